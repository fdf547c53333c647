//! Killed between the moment when a yes is used up and the one when the app has answered: it is not sent again, and what
//! is told of it is that nobody knows.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::site::Site;
use crate::harness::{self, eventually, eventually_async, status};

const POLICY: &str = r#"
url      = "http://app.localhost"
upstream = "app"
require  = { level = "password" }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "four-eyes"
[approvals.four-eyes]
summary   = "Pay {path.id}: {form.amount}"
approvers = { groups_any = ["leads"] }
"#;

/// The same, where Keycloak has the requester confirm it on a device.
const CONFIRMED: &str = r#"
url      = "http://app.localhost"
upstream = "app"
require  = { level = "password" }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "own-device"
[approvals.own-device]
summary   = "Pay {path.id}: {form.amount}"
approvers = { ciba = "device" }
cooldown  = "0s"
"#;

const DEVICE: &str = "[channels.device]\nkind = \"ciba\"\n";

/// Takes connections, and reads nothing of what is sent there as long as it holds back.
#[derive(Clone, Default)]
struct App {
    holds_back: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
    payments: Arc<AtomicUsize>,
}

impl App {
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.clone();
        tokio::spawn(async move {
            let mut unread = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if app.holds_back.load(Ordering::SeqCst) {
                    unread.push(stream);
                    app.held.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let mut read = Vec::new();
                let is_whole = |read: &[u8]| match read.starts_with(b"POST ") {
                    true => read.ends_with(b"amount=42"),
                    false => read.ends_with(b"\r\n\r\n"),
                };
                while !is_whole(&read) {
                    if stream.read_buf(&mut read).await.unwrap_or_default() == 0 {
                        break;
                    }
                }
                let is_payment = read.starts_with(b"POST ");
                app.payments
                    .fetch_add(usize::from(is_payment), Ordering::SeqCst);
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\napp";
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        address
    }
}

async fn site(app: &App) -> Site {
    site_of(app, &harness::realm().await, POLICY, "").await
}

/// `more`: of the installation.
async fn site_of(app: &App, issuer: &str, policy: &str, more: &str) -> Site {
    let site = Site::before(app.serve().await, issuer);
    std::fs::write(site.path("policies/app.toml"), policy).unwrap();
    site.edit(
        "policies = \"policies\"",
        "policies = \"policies\"\nadmin_socket = \"admin.sock\"",
    );
    let audit = format!(
        "audit = {{ file = \"{}\" }}",
        site.path("audit.log").display()
    );
    site.edit("audit  = \"off\"", &audit);
    site.edit(
        "[upstreams.app]",
        &format!("[approver_app]\nurl = \"http://approve.localhost\"\n{more}[upstreams.app]"),
    );
    site
}

impl Site {
    fn paying(cookie: &str, approval: Option<&str>) -> String {
        let approval = approval.map(|id| format!("Stepgate-Approval: {id}\r\n"));
        format!(
            "POST /pay/7 HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\nAccept: application/json\r\n{}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\nConnection: close\r\n\r\namount=42",
            approval.unwrap_or_default()
        )
    }

    async fn json(&self, request: String) -> (u16, Value) {
        let answer = self.ask(request).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::from(body));
        (status(&answer), body)
    }

    async fn asked_for(&self, cookie: &str) -> String {
        let (status, told) = self.json(Self::paying(cookie, None)).await;
        assert_eq!(status, 403, "{told}");
        told["approval_id"].as_str().unwrap().to_owned()
    }

    /// By an operator.
    fn approve(&self, id: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["approvals", "approve", id, "--reason", "a test"])
            .args(["--config", "stepgate.toml"])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    async fn state(&self, cookie: &str, id: &str) -> Value {
        let request = format!(
            "GET /.stepgate/approval/{id} HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\n\
             Accept: application/json\r\nConnection: close\r\n\r\n"
        );
        let (status, state) = self.json(request).await;
        assert_eq!(status, 200, "{state}");
        state
    }

    /// As Keycloak does.
    async fn pings(&self, token: &str, request: &str) -> u16 {
        let body = format!("{{\"auth_req_id\":\"{request}\"}}");
        let ping = format!(
            "POST /.stepgate/ciba/ping HTTP/1.1\r\nHost: approve.localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        status(&self.ask(ping).await.unwrap())
    }

    fn audited(&self, event: &str, id: &str) -> usize {
        let log = std::fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["event"] == event && line["approval"] == id)
            .count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_that_was_used_up_before_a_kill_9_sends_nothing_after_it() {
    let app = App::default();
    let site = site(&app).await;
    let process = site.start().await;
    let cookie = site.log_in().await.unwrap();
    let id = site.asked_for(&cookie).await;
    site.approve(&id);
    app.holds_back.store(true, Ordering::SeqCst);
    let held = app.held.load(Ordering::SeqCst);
    let sending = async {
        let answer = site.ask(Site::paying(&cookie, Some(&id))).await;
        assert_eq!(answer, None, "nobody was there any more to answer");
    };
    let killing = async {
        eventually("its use in the audit log", || {
            (site.audited("approval-consumed", &id) == 1).then_some(())
        })
        .await;
        eventually("the connection to the app", || {
            (app.held.load(Ordering::SeqCst) > held).then_some(())
        })
        .await;
        process.kill();
    };
    tokio::join!(sending, killing);
    app.holds_back.store(false, Ordering::SeqCst);

    let process = site.start().await;
    let state = site.state(&cookie, &id).await;
    assert_eq!(state["status"], "consumed", "{state}");
    assert_eq!(state.get("app_status"), None, "{state}");
    for _ in 0..2 {
        let (status, told) = site.json(Site::paying(&cookie, Some(&id))).await;
        let code = told["code"].as_str();
        assert_eq!((status, code), (409, Some("approval-used")), "{told}");
    }
    assert_eq!(app.payments.load(Ordering::SeqCst), 0);
    assert_eq!(site.audited("approval-consumed", &id), 1);
    assert_eq!(site.audited("approval-answered", &id), 0);

    // One that was agreed to, and not used, is good for one still.
    let id = site.asked_for(&cookie).await;
    site.approve(&id);
    process.kill();
    let _process = site.start().await;
    let (status, told) = site.json(Site::paying(&cookie, Some(&id))).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(app.payments.load(Ordering::SeqCst), 1);
    assert_eq!(site.audited("approval-answered", &id), 1);
}

/// Killed while its user is asked: the next process asks for the word, and the request still goes once or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keycloaks_word_is_waited_for_again_after_a_kill_9() {
    for delivery in ["poll", "ping"] {
        let realm = harness::serving_realm().await;
        let app = App::default();
        let device = format!("{DEVICE}delivery = \"{delivery}\"\n");
        let site = site_of(&app, &realm.issuer, CONFIRMED, &device).await;
        let mut process = site.start().await;
        let cookie = site.log_in().await.unwrap();
        for (says, status, code, payments) in [
            ("access_denied", 403, Some("approval-denied"), 0),
            ("approved", 200, None, 1),
        ] {
            realm.quirks().ciba_says = "authorization_pending".to_owned();
            let id = site.asked_for(&cookie).await;
            let asked = realm.ciba_asked();
            let ping = asked.last().unwrap().get("client_notification_token");
            assert_eq!(ping.is_some(), delivery == "ping");
            process.kill();
            process = site.start().await;
            let polls = realm.ciba_polls();
            // A ping has it polled at once; without one it would not be for a quarter of a minute.
            eventually_async("a poll by the next process", async || {
                if let Some(token) = ping {
                    let request = realm.ciba_request().unwrap();
                    assert_eq!(site.pings("a-guess", &request).await, 401);
                    site.pings(token, &request).await;
                }
                (realm.ciba_polls() > polls).then_some(())
            })
            .await;
            let state = site.state(&cookie, &id).await;
            assert_eq!(state["status"], "pending", "{state}");
            realm.quirks().ciba_says = says.to_owned();
            if let Some(token) = ping {
                let request = realm.ciba_request().unwrap();
                assert_eq!(site.pings(token, &request).await, 204);
            }
            eventually("the word in the audit log", || {
                (site.audited("approval-decided", &id) == 1).then_some(())
            })
            .await;
            let (answered, told) = site.json(Site::paying(&cookie, Some(&id))).await;
            assert_eq!((answered, told["code"].as_str()), (status, code), "{told}");
            assert_eq!(app.payments.load(Ordering::SeqCst), payments);
            assert_eq!(
                realm.ciba_asked().len(),
                asked.len(),
                "nobody is asked twice"
            );
            assert_eq!(site.audited("approval-voted", &id), 1);
        }
    }
}

/// Its channel has gone from the configuration meanwhile: nobody's word is taken, and the time runs out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_gone_after_a_restart_has_no_word() {
    let realm = harness::serving_realm().await;
    let app = App::default();
    let short = format!("{CONFIRMED}request_ttl = \"8s\"\n");
    let site = site_of(&app, &realm.issuer, &short, DEVICE).await;
    let process = site.start().await;
    let cookie = site.log_in().await.unwrap();
    let id = site.asked_for(&cookie).await;
    process.stop().await;
    let polls = realm.ciba_polls();
    realm.quirks().ciba_says = "approved".to_owned();
    site.edit("[channels.device]", "[channels.phone]");
    let phone = short.replace("\"device\"", "\"phone\"");
    std::fs::write(site.path("policies/app.toml"), phone).unwrap();
    let _process = site.start().await;
    eventually("its end in the audit log", || {
        (site.audited("approval-expired", &id) == 1).then_some(())
    })
    .await;
    let (status, told) = site.json(Site::paying(&cookie, Some(&id))).await;
    assert_eq!(status, 403, "{told}");
    assert_eq!(realm.ciba_polls(), polls);
    assert_eq!(app.payments.load(Ordering::SeqCst), 0);
    assert_eq!(site.audited("approval-voted", &id), 0);
}
