//! Whoever may decide is told, by every channel at once, and nobody waits for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use stepgate::admin::Control as _;
use stepgate::gate::approvals::{Changed, Word};
use stepgate::model::approval::Answer;
use stepgate::telemetry::metrics::Format;
use tokio::net::TcpListener;

use super::{APPROVER_APP, FORM, LAST, MORE, NETWORKS, is_waiting};
use crate::flows::world::{Twist, World, heading};
use crate::harness::eventually;

pub(super) type Heard = Arc<Mutex<Vec<Value>>>;

/// Takes what ntfy takes, and notes it.
pub(super) async fn receiver() -> (SocketAddr, Heard) {
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    let app = Router::new().fallback(move |request: Request| {
        let noted = Arc::clone(&noted);
        async move {
            let body = axum::body::to_bytes(request.into_body(), 1 << 16).await;
            let message = serde_json::from_slice(&body.unwrap()).unwrap();
            noted.lock().unwrap().push(message);
            StatusCode::OK
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, heard)
}

/// Takes connections, and says nothing.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            all.push(stream);
        }
    });
    address
}

async fn telling(told: SocketAddr, hangs: SocketAddr) -> World {
    let channels = format!(
        r#"{APPROVER_APP}
[channels.told]
kind          = "ntfy"
url           = "http://{told}"
topic         = "approvals"
detail        = true
decided       = true
allow_private = true
[channels.discreet]
kind          = "ntfy"
url           = "http://{told}"
topic         = "discreet"
allow_private = true
[channels.silent]
kind          = "ntfy"
url           = "http://{hangs}"
topic         = "silent"
timeout       = "30s"
allow_private = true
"#
    );
    // What stood behind it in its table stands first there.
    let channels = channels.replacen("[networks]", "", 1) + "[networks]";
    let rule = "summary   = \"Pay {path.id}: {form.amount}\"";
    let channelled = format!("{rule}\nchannels = [\"told\", \"discreet\", \"silent\"]");
    let more = MORE.replacen(rule, &channelled, 1);
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &channels)],
        policy: &[(LAST, &more)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    world
}

fn by<'h>(heard: &'h [Value], topic: &str) -> Vec<&'h Value> {
    let of_topic = |message: &&Value| message["topic"] == topic;
    heard.iter().filter(of_topic).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_and_what_became_of_it_is_told_where_it_is_to_be() {
    let (told, heard) = receiver().await;
    let world = telling(told, silent().await).await;
    let began = Instant::now();
    let id = world.has_asked().await;
    assert!(began.elapsed().as_secs() < 10, "no channel is waited for");
    let count = |topic: &str| by(&heard.lock().unwrap(), topic).len();
    eventually("both are told", || {
        (count("approvals") == 1 && count("discreet") == 1).then_some(())
    })
    .await;
    {
        let heard = heard.lock().unwrap();
        let full = by(&heard, "approvals")[0];
        assert_eq!(full["title"], "Approval needed: payroll/four-eyes");
        assert_eq!(
            full["click"],
            format!("http://approve.localhost/approvals/{id}")
        );
        let text = full["message"].as_str().unwrap();
        assert!(text.contains("Pay 7: 42"), "{text}");
        let text = by(&heard, "discreet")[0]["message"].to_string();
        assert!(!text.contains("42") && !text.contains("alice"), "{text}");
    }
    // Asked for once more, it is the same, and nobody is told again; the number is nowhere, for there is none.
    assert_eq!(world.has_asked().await, id);
    world.vote(&id, "carol", Answer::Yes).await;
    eventually("what became of it is told", || {
        (count("approvals") == 2).then_some(())
    })
    .await;
    assert_eq!(
        by(&heard.lock().unwrap(), "approvals")[1]["title"],
        "Approved: payroll/four-eyes"
    );
    assert_eq!(count("discreet"), 1);
    // An operator's no is one as well.
    let other = world.pays("amount=43", None).await.id();
    let gate = world.stepgate.operations().gate();
    let denied = gate.overrule(&other, Word::Deny, "not today", 0).await;
    assert!(matches!(denied, Ok(Changed::Done(_))), "{denied:?}");
    eventually("what the operator said is told", || {
        let heard = heard.lock().unwrap();
        let mut told = by(&heard, "approvals").into_iter();
        told.any(|one| one["title"] == "Denied: payroll/four-eyes")
            .then_some(())
    })
    .await;

    let checks = world.stepgate.operations().checks().await;
    let check = |name: &str| {
        let name = format!("channel {name}");
        let found = checks.iter().find(|check| check.name == name);
        found.map(|check| (check.since.is_some(), check.detail.clone()))
    };
    let (failing, detail) = check("told").unwrap();
    assert!(!failing && detail.starts_with("last sent "), "{detail}");
    assert_eq!(check("silent"), Some((false, String::new())));
}

/// However far what is reported had come.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_what_was_agreed_to_is_one_like_any_other() {
    let (told, heard) = receiver().await;
    let world = telling(told, silent().await).await;
    let outcome = |name: &str, outcome: &str, count: u32| {
        let line = format!(
            "stepgate_approvals_total{{approval=\"payroll/{name}\",outcome=\"{outcome}\"}} {count}\n"
        );
        let metrics = world.stepgate.metrics();
        assert!(metrics.contains(&line), "{line}{metrics}");
    };
    // An operator who takes a yes back reports nobody.
    let id = world.agreed().await;
    let gate = world.stepgate.operations().gate();
    let revoked = gate.overrule(&id, Word::Revoke, "", 0).await;
    assert!(matches!(revoked, Ok(Changed::Done(_))), "{revoked:?}");
    outcome("four-eyes", "revoked", 1);

    let id = world.agreed().await;
    let headers = [("content-type", "application/json")];
    let order = r#"{"what":"a"}"#;
    let other = world.told("POST", "/order", &headers, order).await.id();
    world.vote(&other, "carol", Answer::Yes).await;
    world.vote(&id, "dave", Answer::Report).await;
    for (id, name) in [(&id, "four-eyes"), (&other, "orders")] {
        assert_eq!(world.standing(id).await, "revoked");
        outcome(name, "reported", 1);
        let taken = eventually("it is written down", || {
            let log = world.stepgate.log("audit.log");
            let mut lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["event"] == "approval-revoked" && line["approval"] == **id)
        })
        .await;
        assert_eq!(taken["reason"], "approval-reported", "{taken}");
    }
    outcome("four-eyes", "revoked", 1);
    world.audited("approval-voted", "report").await;
    world.audited("alarm", "approval-reported").await;
    eventually("it is told", || {
        let heard = heard.lock().unwrap();
        let mut told = by(&heard, "approvals").into_iter();
        told.any(|one| one["title"] == "Reported as wrong: payroll/four-eyes")
            .then_some(())
    })
    .await;

    // Nobody is asked again at once, on either route.
    let again = world.pays("amount=43", None).await;
    let expected = (429, "approval-denied-lately");
    assert_eq!((again.status, again.code()), expected, "{again:?}");
    let again = world.told("POST", "/order", &headers, order).await;
    assert_eq!((again.status, again.code()), expected, "{again:?}");
    world.clock.advance(60);
    world.has_asked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_and_again_is_told_of_three_times() {
    let (told, heard) = receiver().await;
    let world = telling(told, silent().await).await;
    for _ in 0..3 {
        let id = world.has_asked().await;
        world.vote(&id, "carol", Answer::No).await;
        // A denial pauses whoever was denied.
        world.clock.advance(61);
    }
    world.has_asked().await;
    let limited = "stepgate_notifications_total{channel=\"discreet\",result=\"limited\"} 1\n";
    let metrics = world.stepgate.counted().encode(Format::Prometheus);
    assert!(metrics.unwrap().contains(limited));
    let count = || by(&heard.lock().unwrap(), "discreet").len();
    eventually("three are told of", || (count() == 3).then_some(())).await;
    world.clock.advance(600);
    let id = world.has_asked().await;
    eventually("the next one is", || (count() == 4).then_some(())).await;
    let heard = heard.lock().unwrap();
    let last = by(&heard, "discreet")[3]["click"].to_string();
    assert!(last.contains(&id), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_reminds_people_once_in_a_while() {
    let (told, heard) = receiver().await;
    let mut world = telling(told, silent().await).await;
    let count = || by(&heard.lock().unwrap(), "discreet").len();
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    assert!(page.body.contains("They can be told again in 2 minutes."));
    assert!(!page.body.contains("value=\"remind\""), "{}", page.text());
    let link = format!("value=\"http:&#x2f;&#x2f;approve.localhost&#x2f;approvals&#x2f;{id}\"");
    assert!(page.body.contains(&link), "{}", page.body);
    // Too early, and by another site's page.
    world.presses(&page, "do=remind").await;
    world.clock.advance(120);
    let foreign = [FORM, ("origin", "https://evil.example")];
    let body = Some(b"do=remind".to_vec());
    let url = page.url.clone();
    let post = reqwest::Method::POST;
    let refused = world.browser.navigate(post, url, &foreign, body).await;
    assert_eq!(refused.status, 403, "{}", refused.text());

    let page = world.browser.open(page.url.as_str()).await;
    assert!(page.body.contains("value=\"remind\""), "{}", page.text());
    let page = world.presses(&page, "do=remind").await;
    assert!(
        page.body.contains("They were told again just now."),
        "{}",
        page.text()
    );
    // Pressed twice, or in another tab: once.
    world.presses(&page, "do=remind").await;
    eventually("they are told once more", || (count() == 2).then_some(())).await;
    let title = by(&heard.lock().unwrap(), "discreet")[1]["title"].to_string();
    assert!(title.contains("still needed"), "{title}");
    world
        .audited("approval-reminded", "payroll/four-eyes")
        .await;

    world.clock.advance(120);
    world.presses(&page, "do=remind").await;
    eventually("and again", || (count() == 3).then_some(())).await;
    // Three notices of one requester and route are enough for ten minutes.
    world.clock.advance(120);
    let page = world.presses(&page, "do=remind").await;
    assert!(
        page.body.contains("Nobody was told this time"),
        "{}",
        page.text()
    );
    let limited = "stepgate_notifications_total{channel=\"discreet\",result=\"limited\"} 1\n";
    let metrics = world.stepgate.counted().encode(Format::Prometheus);
    assert!(metrics.unwrap().contains(limited));
    assert_eq!(count(), 3);

    // What is over reminds nobody.
    world.vote(&id, "carol", Answer::No).await;
    world.clock.advance(600);
    let page = world.presses(&page, "do=remind").await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert_eq!(count(), 3);
}

/// Whoever reads the channel cannot decide on it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reminded_of_what_keycloak_asks_the_requester() {
    let (told, heard) = receiver().await;
    let config = format!(
        r#"[approver_app]
url = "APPROVER"
[channels.told]
kind          = "ntfy"
url           = "http://{told}"
topic         = "approvals"
decided       = true
allow_private = true
[channels.device]
kind = "ciba"
[networks]"#
    );
    let policy = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "withdraw"
path     = "/withdraw"
methods  = ["POST"]
approval = "own-device"
[approvals.own-device]
summary   = "Withdraw"
approvers = { ciba = "device" }
channels  = "told"
"#;
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &config)],
        policy: &[(LAST, policy)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    let page = world.submits("/withdraw", "a=1").await;
    let id = is_waiting(&page);
    assert!(
        !page.body.contains("They can be told again"),
        "{}",
        page.text()
    );
    let gate = world.stepgate.operations().gate();
    let denied = gate.overrule(&id, Word::Deny, "not today", 0).await;
    assert!(matches!(denied, Ok(Changed::Done(_))), "{denied:?}");
    eventually("what became of it is told", || {
        (!heard.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    let heard = heard.lock().unwrap();
    let titles: Vec<_> = heard.iter().map(|one| &one["title"]).collect();
    assert_eq!(titles, ["Denied: payroll/own-device"]);
}
