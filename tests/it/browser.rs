//! Chromium walks through the shipped program and the shipped realm: `tests/browser/*.test.mjs`, run from here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Wire, eventually, eventually_async, field, upstream};
use crate::keycloak::{Keycloak, free_port, keycloak, not_run, relay};
use crate::oracle::{Oracle, sample_app};
use crate::tls::pki::Authority;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// In the log.
const APPLIED: &str = "the configuration was reloaded";

/// Of one file of tests; none hangs longer.
const BOUND: Duration = Duration::from_secs(300);

/// The shipped configuration with other addresses, and levels that decay while one looks on.
struct Program {
    origin: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Program {
    /// `secure`: by HTTPS, and so by HTTP/2.
    async fn start(port: u16, issuer: &str, app: &str, more: &str, secure: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = origin(port, secure);
        let listen = match secure {
            true => "listen_tls = [\"127.0.0.1:8080\"]",
            false => "listen   = [\"127.0.0.1:8080\"]",
        };
        let certificates = match secure {
            true => "[[certificates]]\ncert = \"app.pem\"\nkey = { file = \"app.key\" }\n",
            false => "",
        };
        let shipped = |name: &str| std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
        let replaced = |text: String, (from, to): (&str, &str)| {
            assert!(text.contains(from), "{from:?} is not in the shipped file");
            text.replace(from, to)
        };
        let config = [
            ("listen   = [\"127.0.0.1:8080\"]", listen.to_owned()),
            ("127.0.0.1:8080", format!("127.0.0.1:{port}")),
            ("http://localhost:9080/realms/demo", issuer.to_owned()),
            ("http://approve.localhost:8080", approver_origin(&origin)),
            ("http://127.0.0.1:9081", app.to_owned()),
            ("lasts = \"2m\"", "lasts = \"30s\"".to_owned()),
            // It asks Keycloak itself, too.
            (
                "clients = { teller",
                "clients = { stepgate = \"The payroll app\", teller".to_owned(),
            ),
            // The approver app's: two people take longer than a level lasts here.
            ("level = \"mfa\"\n", "level = \"password\"\n".to_owned()),
        ]
        .iter()
        .map(|(from, to)| (*from, to.as_str()))
        .fold(shipped("config/stepgate.toml"), replaced);
        let dead = format!(
            "[upstreams.dead]\nurl = \"http://127.0.0.1:{}\"\n{certificates}{more}\n\
             [channels.device]\nkind = \"ciba\"\ndetail = true\n",
            free_port()
        );
        let policy = [
            ("http://payroll.localhost:8080", origin.as_str()),
            ("max_age = \"1m\"", "max_age = \"5s\""),
            ("require  = { level = \"mfa\" }\napproval", "approval"),
        ]
        .into_iter()
        .fold(shipped("policies/payroll.toml"), replaced);
        let further = r#"
            [[routes]]
            id      = "key"
            path    = "/key/**"
            require = { level = "hardware-key" }
            [[routes]]
            id       = "quick"
            path     = "/quick/{id}"
            approval = "quick"
            [approvals.quick]
            summary     = "Something quick"
            approvers   = { groups_any = ["leads"] }
            mode        = "approve-deny"
            request_ttl = "4s"
            [[routes]]
            id       = "confirm"
            path     = "/confirm/{id}"
            approval = "own-device"
            [approvals.own-device]
            summary   = "Confirm {path.id}"
            approvers = { ciba = "device" }
            [[routes]]
            id       = "dead"
            path     = "/dead/**"
            upstream = "dead"
            [[routes]]
            id       = "live"
            path     = "/live/**"
            upstream = "live"
            require  = { level = "mfa" }
        "#;
        for (name, text) in [
            ("config/stepgate.toml", config + &dead),
            (
                "config/demo-client-secret",
                shipped("config/demo-client-secret"),
            ),
            ("policies/payroll.toml", policy + further),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::create_dir(folder.path().join("config/sessions")).unwrap();
        if secure {
            let certificate =
                Authority::new("test").server(&["payroll.localhost", "approve.localhost"]);
            certificate.write(&folder.path().join("config"), "app");
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .arg("serve")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .danger_accept_invalid_certs(true)
            .resolve("payroll.localhost", ([127, 0, 0, 1], port).into());
        let client = client.build().unwrap();
        eventually_async("stepgate", async || {
            let ping = format!("{origin}/.stepgate/ping");
            let answer = client.get(ping).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Self {
            origin,
            child,
            folder,
        }
    }
}

impl Program {
    /// With that changed in the installation.
    async fn reload(&self, (from, to): (&str, &str)) {
        let config = self.folder.path().join("config/stepgate.toml");
        let log = self.folder.path().join("log");
        let applied = || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.matches(APPLIED).count()
        };
        let before = applied();
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{from:?} is not there");
        std::fs::write(config, text.replace(from, to)).unwrap();
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-HUP", &id]).status().unwrap();
        assert!(told.success());
        eventually("the reload", || (applied() > before).then_some(())).await;
    }
}

fn origin(port: u16, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://payroll.localhost:{port}")
}

/// Of the approver app beside it.
fn approver_origin(origin: &str) -> String {
    origin.replace("payroll.", "approve.")
}

/// An event stream that begins with an event, and WebSockets that send back what comes (RFC 6455, sections 4.2.2 and 5.2;
/// short texts only).
async fn live_app() -> SocketAddr {
    let (address, _) = upstream(|header, mut wire: Wire| async move {
        if header.contains("/live/events") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: hello\n\n")
                .await;
            let mut nothing = [0];
            let _gone = wire.0.read(&mut nothing).await;
            return None;
        }
        let key = field(&header, "sec-websocket-key").to_owned() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()));
        wire.send(&format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
        .await;
        let mut head = [0; 6];
        while wire.0.read_exact(&mut head).await.is_ok() {
            let length = head[1] & 0x7f;
            let mut payload = vec![0; usize::from(length)];
            wire.0.read_exact(&mut payload).await.unwrap();
            let mask = head[2..].iter().cycle();
            let plain = payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
            let frame: Vec<u8> = [head[0], length].into_iter().chain(plain).collect();
            if wire.0.write_all(&frame).await.is_err() {
                break;
            }
        }
        None
    })
    .await;
    address
}

/// The world in which the scripts walk, and how they are told of it.
struct World {
    /// Before the programs, whose logs it reads.
    _oracle: Oracle,
    stepgate: Program,
    lost: Program,
    keycloak: &'static Keycloak,
    realm: String,
}

impl World {
    async fn new(keycloak: &'static Keycloak, realm: &str, secure: bool) -> Self {
        let app = sample_app().await;
        let live_app = live_app().await;
        let upstream = format!("http://{app}");
        let port = free_port();
        let origin = origin(port, secure);
        keycloak.admin().await.import(realm, &origin).await;
        let issuer = keycloak.issuer(realm);
        let nowhere = format!("http://localhost:{}/realms/demo", free_port());
        let live = format!("[upstreams.live]\nurl = \"http://{live_app}\"\n");
        let strict = format!("{live}[limits]\nlogins_per_minute = 1\n");
        let stepgate = Program::start(port, &issuer, &upstream, &live, secure).await;
        let lost = Program::start(free_port(), &nowhere, &upstream, &strict, false).await;
        let logs = [&stepgate, &lost].map(|program| program.folder.path().join("log"));
        Self {
            _oracle: Oracle {
                apps: vec![app, live_app],
                logs: logs.into(),
            },
            stepgate,
            lost,
            keycloak,
            realm: realm.to_owned(),
        }
    }

    /// Neither in the access and audit log nor in what the program says of itself; these are all in one file here.
    fn no_secret_is_logged(&self) {
        for program in [&self.stepgate, &self.lost] {
            let log = std::fs::read_to_string(program.folder.path().join("log")).unwrap();
            assert!(log.contains("\"log\":\"access\""), "{log}");
            for secret in [
                "code=",
                "state=",
                "nonce",
                "request_uri",
                "__Host-",
                "eyJ",
                "password=",
                "month=11",
            ] {
                let found = log.lines().find(|line| line.contains(secret));
                assert_eq!(found, None, "{secret}");
            }
        }
    }

    async fn node(&self, arguments: &[&str]) {
        let mut command = tokio::process::Command::new("node");
        command
            .args(arguments)
            .current_dir(SCRIPTS)
            .env("STEPGATE_APP", &self.stepgate.origin)
            .env("STEPGATE_APPROVER", approver_origin(&self.stepgate.origin))
            .env("STEPGATE_LOST", &self.lost.origin)
            .env("STEPGATE_KEYCLOAK", &self.keycloak.url)
            .env("STEPGATE_REALM", &self.realm)
            .env(
                "STEPGATE_PICTURES",
                concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures"),
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(BOUND, command.output())
            .await
            .unwrap_or_else(|_| panic!("{arguments:?} hangs"))
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}:\n{text}");
    }
}

/// Chromium and what drives it; `None`, and said so, where they are not.
async fn browser(test: &str) -> Option<&'static Keycloak> {
    let modules = Path::new(SCRIPTS).join("node_modules/playwright-core");
    let chromium = PathBuf::from("/usr/bin/chromium");
    if !modules.exists() || !chromium.exists() {
        let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
        assert!(
            !required,
            "Chromium or Playwright is missing, and STEPGATE_REQUIRE_REAL=1"
        );
        not_run(test, "there is no Chromium with Playwright here");
        return None;
    }
    keycloak(test).await
}

async fn scripts(test: &str, file: &str) {
    scripts_by(test, file, false).await;
}

async fn scripts_by(test: &str, file: &str, secure: bool) {
    let Some(keycloak) = browser(test).await else {
        return;
    };
    let world = World::new(keycloak, test, secure).await;
    world.node(&["--test", file]).await;
    world.no_secret_is_logged();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story() {
    scripts("browser-story", "story.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tabs_and_the_back_button() {
    scripts("browser-tabs", "tabs.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_key() {
    scripts("browser-key", "key.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_pages_go_on() {
    scripts("browser-agent", "agent.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_survive_a_step_up() {
    scripts("browser-forms", "forms.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_survive_a_step_up_over_http_2() {
    scripts_by("browser-forms-h2", "forms.test.mjs", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_goes_on_after_a_step_up() {
    scripts("browser-streams", "streams.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_and_one_payment() {
    scripts("browser-approver", "approver.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_sees_how_it_stands() {
    scripts("browser-waiting", "waiting.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_sees_how_it_stands_over_http_2() {
    scripts_by("browser-waiting-h2", "waiting.test.mjs", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_and_a_second_device() {
    scripts("browser-devices", "devices.test.mjs").await;
}

/// Keycloak asks, here and for others: both sides of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_keycloak_asks_is_fit_for_everybody() {
    let test = "browser-ciba";
    let Some(keycloak) = browser(test).await else {
        return;
    };
    let world = World::new(keycloak, test, false).await;
    let origin = &world.stepgate.origin;
    relay::lead(test, origin);
    let admin = keycloak.admin().await;
    let approver = approver_origin(origin);
    admin.may_ask_by_ciba(test, "poll", &approver).await;
    world.node(&["--test", "ciba.test.mjs"]).await;
    world.no_secret_is_logged();
    // The same, where a device has to sign.
    world
        .stepgate
        .reload(("device  = \"none\"", "device  = \"required\""))
        .await;
    world.node(&["--test", "ciba-device.test.mjs"]).await;
    world.no_secret_is_logged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_wakes_the_service_worker_and_leads_to_the_app() {
    scripts("browser-push", "push.test.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_fit_for_everybody() {
    scripts("browser-pages", "pages.test.mjs").await;
}

/// `make screenshots`: README's pictures, from the shipped realm's own users.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into docs/pictures"]
async fn pictures() {
    let keycloak = browser("pictures").await.expect("Chromium and Keycloak");
    let world = World::new(keycloak, "pictures", false).await;
    world.node(&["pictures.mjs"]).await;
}
