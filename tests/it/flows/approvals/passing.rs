//! What time does to what waits, and what whoever asks can do about it: say why, and, where they may, go on without
//! anybody.

use serde_json::Value;
use stepgate::admin::Control as _;
use stepgate::gate::{Changed, Which};
use stepgate::model::approval::Answer;
use stepgate::telemetry::metrics::Format;

use super::telling::{Heard, receiver};
use super::{APPROVER_APP, FORM, LAST, NETWORKS, is_waiting};
use crate::flows::world::{Twist, World, heading};
use crate::harness::eventually;
use crate::keycloak::{Browser, Page};

const ROUTES: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "pay"
[[routes]]
id       = "wipe"
path     = "/wipe"
methods  = ["POST"]
require  = { level = "mfa", max_age = "2m" }
approval = "wipe"
[[routes]]
id       = "glass"
path     = "/glass"
methods  = ["POST"]
require  = { level = "mfa", max_age = "2m" }
approval = "glass"
[approvals.pay]
summary   = "Pay {path.id}"
approvers = { people = ["bob"] }
escalate  = { after = "5m", to = { groups_any = ["admins"] } }
channels  = "told"
[approvals.wipe]
summary   = "Wipe it"
approvers = { groups_any = ["admins"] }
requester_reason = "required"
channels  = "told"
[approvals.glass]
summary     = "Restart it"
approvers   = { groups_any = ["admins"] }
break_glass = { people = ["alice"] }
channels    = "told"
"#;

async fn passing() -> (World, Heard) {
    let (told, heard) = receiver().await;
    let channel = format!(
        r#"{APPROVER_APP}
[channels.told]
kind          = "ntfy"
url           = "http://{told}"
topic         = "approvals"
detail        = true
allow_private = true
"#
    );
    // What stood behind it in its table stands first there.
    let channel = channel.replacen("[networks]", "", 1) + "[networks]";
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &channel)],
        policy: &[(LAST, ROUTES)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    (world, heard)
}

impl World {
    fn metric(&self, line: &str) -> bool {
        let text = self.stepgate.counted().encode(Format::Prometheus).unwrap();
        text.lines().any(|known| known == line)
    }

    fn lines_of(&self, event: &str, id: &str) -> Vec<Value> {
        let log = self.stepgate.log("audit.log");
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["event"] == event && line["approval"] == id)
            .collect()
    }
}

fn titles(heard: &Heard) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let titles = heard.iter().map(|message| message["title"].as_str());
    titles
        .map(|title| title.unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_on_goes_on_to_others_once() {
    let (mut world, heard) = passing().await;
    let page = world.submits("/pay/7", "amount=1").await;
    let id = is_waiting(&page);
    eventually("the first are told", || {
        (titles(&heard).len() == 1).then_some(())
    })
    .await;
    assert!(!page.body.contains("anybody in admins"), "{}", page.text());
    world.clock.advance(299);
    world.clock.advance(1);
    eventually("others are asked", || {
        (!world.lines_of("approval-escalated", &id).is_empty()).then_some(())
    })
    .await;
    eventually("they are told", || {
        (titles(&heard).len() == 2).then_some(())
    })
    .await;
    world.clock.advance(60);
    let path = format!("/.stepgate/approval/{id}");
    let page = world.open(&path).await;
    for part in [
        "bob",
        "Also, since",
        " UTC</time> (1 minute ago)",
        "anybody in admins",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.text());
    }
    // Over a restart nobody is told again.
    world.restart().await;
    let gate = world.stepgate.operations().gate();
    for _ in 0..3 {
        gate.look_after_approvals().await;
    }
    assert_eq!(world.lines_of("approval-escalated", &id).len(), 1);
    assert_eq!(titles(&heard).len(), 2);
    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&path).await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());
}

/// Whoever asks often silences those who are asked at first, and not those to whom it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_to_others_is_told_however_often_somebody_asked() {
    let (world, heard) = passing().await;
    let asks = async || world.told("POST", "/pay/7", &[FORM], "a=1").await.id();
    for _ in 0..3 {
        let state = format!("/.stepgate/approval/{}", asks().await);
        assert_eq!(world.told("DELETE", &state, &[], "").await.status, 204);
    }
    let id = asks().await;
    assert!(world.metric("stepgate_notifications_total{channel=\"told\",result=\"limited\"} 1"));
    eventually("three are told of", || {
        (titles(&heard).len() == 3).then_some(())
    })
    .await;
    world.clock.advance(300);
    eventually("others are asked", || {
        (!world.lines_of("approval-escalated", &id).is_empty()).then_some(())
    })
    .await;
    eventually("they are told", || {
        let heard = heard.lock().unwrap();
        let last = heard.last().map(|message| message["click"].to_string());
        last.is_some_and(|link| link.contains(&id)).then_some(())
    })
    .await;
    // Nor does it count against what is asked for next.
    assert!(world.metric("stepgate_notifications_total{channel=\"told\",result=\"limited\"} 1"));
}

/// Whether or not anybody looks; and a clock that jumps makes nothing good again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_written_down_once() {
    let (world, _) = passing().await;
    let asked = world.told("POST", "/pay/7", &[FORM], "a=1").await;
    let (undecided, gate) = (asked.id(), world.stepgate.operations().gate());
    world.clock.advance(600);
    // All at once, and with whoever comes by.
    let sweeps = (0..8).map(|_| gate.look_after_approvals());
    let late = world.vote(&undecided, "bob", Answer::Yes);
    let (_, late) = tokio::join!(futures_util::future::join_all(sweeps), late);
    assert!(matches!(late, Changed::Refused(_)), "{late:?}");
    eventually("it is written down", || {
        (!world.lines_of("approval-expired", &undecided).is_empty()).then_some(())
    })
    .await;
    gate.look_after_approvals().await;
    assert_eq!(world.lines_of("approval-expired", &undecided).len(), 1);
    let line = "stepgate_approvals_total{approval=\"payroll/pay\",outcome=\"expired\"} 1";
    assert!(world.metric(line));

    let asked = world.told("POST", "/pay/7", &[FORM], "a=1").await;
    let unused = asked.id();
    world.vote(&unused, "bob", Answer::Yes).await;
    world.clock.advance(600);
    eventually("the yes is over", || {
        (world.lines_of("approval-expired", &unused).len() == 1).then_some(())
    })
    .await;
    // Back by an hour: what was over is over.
    world.clock.advance(-3600);
    for id in [&undecided, &unused] {
        assert_eq!(world.standing(id).await, "expired");
        let late = world.vote(id, "bob", Answer::Yes).await;
        assert!(matches!(late, Changed::Refused(_)), "{late:?}");
        let named = [FORM, ("stepgate-approval", id.as_str())];
        let told = world.told("POST", "/pay/7", &named, "a=1").await;
        // Nor is a sign-in that lies ahead any proof.
        assert!(matches!(told.status, 401 | 403), "{told:?}");
    }
    assert_eq!(world.hit_count(), 1);
    let pending = gate.approvals_of(&Which::Pending).await.unwrap();
    assert!(pending.is_empty(), "{pending:?}");
}

fn kept(page: &Page) -> String {
    let kept = page.body.split("name=\"kept\" value=\"").nth(1);
    let kept = kept.unwrap_or_else(|| panic!("{}", page.text()));
    kept.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_before_it_is_said_why() {
    let (mut world, heard) = passing().await;
    world.lands("/mfa/1", "alice").await;
    let told = world.told("POST", "/wipe", &[FORM], "a=1").await;
    assert_eq!((told.status, told.code()), (403, "reason-required"));
    for wrong in ["%ff", &"x".repeat(501)] {
        let headers = [FORM, ("stepgate-reason", wrong)];
        let told = world.told("POST", "/wipe", &headers, "a=1").await;
        assert_eq!((told.status, told.code()), (400, "reason-unreadable"));
    }
    let page = world.submits("/wipe", "a=1").await;
    assert_eq!(heading(&page), "Say why you need this", "{}", page.text());
    assert!(page.body.contains("Wipe it"), "{}", page.text());
    // Nothing is a reason, and another session's form is nobody's.
    let first_kept = kept(&page);
    let nothing = format!("kept={first_kept}&reason=+");
    let page = world.presses(&page, &nothing).await;
    assert_eq!(heading(&page), "Say why you need this", "{}", page.text());
    assert_eq!(kept(&page), first_kept, "it is kept once");
    let form = format!("kept={}&reason=It+is+old%0D%0A%3Cb%3E", kept(&page));
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.lands("/mfa/1", "alice").await;
    let foreign = world.presses(&page, &form).await;
    assert_eq!(foreign.status, 410, "{}", foreign.text());
    world.browser = first;
    let url = page.action().unwrap();
    let headers = [FORM, ("origin", "https://evil.example")];
    let body = Some(form.as_bytes().to_vec());
    let foreign = world
        .browser
        .navigate(reqwest::Method::POST, url, &headers, body)
        .await;
    assert_eq!(foreign.status, 403, "{}", foreign.text());
    let gate = world.stepgate.operations().gate();
    assert!(gate.approvals_of(&Which::Pending).await.unwrap().is_empty());
    assert!(titles(&heard).is_empty());

    let page = world.presses(&page, &form).await;
    let id = is_waiting(&page);
    let line = world.audited("approval-asked", "payroll/wipe").await;
    assert_eq!(line["words"], "It is old  <b>");
    // What was asked for can be told from the log alone.
    for (name, value) in [
        ("summary", "Wipe it"),
        ("route", "payroll/wipe"),
        ("method", "POST"),
        ("path", "/wipe"),
        // SHA-256 of `a=1`.
        ("body", "wi_qXXQo5c9H72NUyXySI8ldbc3D4NIwD_eQVrH_PYU"),
        ("approval", id.as_str()),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    eventually("people are told", || {
        (titles(&heard).len() == 1).then_some(())
    })
    .await;
    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app POST /wipe", "{}", page.text());
    assert_eq!(world.last_hit().body, "a=1");

    let headers = [FORM, ("stepgate-reason", "%C3%BCber")];
    let told = world.told("POST", "/wipe", &headers, "a=2").await;
    assert_eq!((told.status, told.code()), (403, "approval-required"));
    let id = told.id();
    let asked = eventually("it is in the audit log", || {
        world.lines_of("approval-asked", &id).pop()
    });
    assert_eq!(asked.await["words"], "über");
    // Where it is not asked for, it does not reach the app all the same.
    world.told("GET", "/", &headers[1..], "").await;
    assert_eq!(world.last_hit().header("stepgate-reason"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_goes_on_without_anybody_and_everybody_hears_of_it() {
    let (mut world, heard) = passing().await;
    world.lands("/mfa/1", "alice").await;
    let page = world.submits("/glass", "a=1").await;
    let id = is_waiting(&page);
    assert!(page.body.contains("It cannot wait"), "{}", page.text());
    let page = world.presses(&page, "do=break-glass&reason=+").await;
    assert_eq!(is_waiting(&page), id, "not without a reason");
    // A level that has lapsed is asked for all the same.
    world.clock.advance(180);
    let page = world
        .presses(&page, "do=break-glass&reason=The+house+is+on+fire")
        .await;
    let hits = world.hit_count();
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed, ["password", "code"]);
    let page = walk.page;
    assert_eq!(page.body, "app POST /glass", "{}", page.text());
    assert_eq!(world.hit_count(), hits + 1);
    let line = world.audited("approval-break-glass", "payroll/glass").await;
    assert_eq!(line["words"], "The house is on fire");
    assert_eq!(line["sub"], "sub-alice");
    assert_eq!(line["approval"], id);
    assert!(world.metric("stepgate_break_glass_total{approval=\"payroll/glass\"} 1"));
    eventually("everybody is told", || {
        let titles = titles(&heard);
        let last = titles.last().map(String::as_str);
        (last == Some("Passed without approval: payroll/glass")).then_some(())
    })
    .await;

    // Nobody else may, and nothing else.
    let page = world.submits("/pay/7", "a=1").await;
    let id = is_waiting(&page);
    assert!(!page.body.contains("It cannot wait"), "{}", page.text());
    let page = world.presses(&page, "do=break-glass&reason=x").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(
        page.body.contains("none of those who may pass this"),
        "{}",
        page.text()
    );
    assert_eq!(world.standing(&id).await, "pending");
    world.browser = Browser::new();
    world.lands("/mfa/1", "dave").await;
    let page = world.submits("/glass", "a=1").await;
    let id = is_waiting(&page);
    assert!(!page.body.contains("It cannot wait"), "{}", page.text());
    let page = world.presses(&page, "do=break-glass&reason=x").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert_eq!(world.standing(&id).await, "pending");
}

/// A thousand requests of one user from fifty sessions, each of which cancels what it got and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_are_three_notices() {
    let (mut world, heard) = passing().await;
    let mut sessions = vec![std::mem::replace(&mut world.browser, Browser::new())];
    while sessions.len() < 50 {
        world.browser = Browser::new();
        world.lands("/", "alice").await;
        sessions.push(std::mem::replace(&mut world.browser, Browser::new()));
    }
    let url = world.url("/pay/7");
    let one = async |browser: &Browser| {
        let mut asked = 0;
        for _ in 0..20 {
            let told = super::told_to(browser, "POST", &url, &[FORM], "a=1").await;
            match (told.status, told.code()) {
                (403, "approval-required") => {
                    asked += 1;
                    let state = told.body["status_url"].as_str().unwrap();
                    super::told_to(browser, "DELETE", state, &[], "").await;
                }
                (409, "another-approval-pending") => {}
                other => panic!("{other:?}"),
            }
        }
        asked
    };
    let asked = futures_util::future::join_all(sessions.iter().map(one)).await;
    let asked: usize = asked.into_iter().sum();
    // What is cancelled is in nobody's way, however much of it there was.
    assert!((4..=1000).contains(&asked), "{asked}");
    let limited = "stepgate_notifications_total{channel=\"told\",result=\"limited\"}";
    eventually("the rest is counted", || {
        world
            .metric(&format!("{limited} {}", asked - 3))
            .then_some(())
    })
    .await;
    eventually("three notices", || {
        (titles(&heard).len() == 3).then_some(())
    })
    .await;
    assert_eq!(world.hit_count(), 50, "the pages that they began with");
}

/// By whoever: the tries are those of all together.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_guessed_twice_and_then_it_is_over() {
    let mut world = World::careful().await;
    world.lands("/mfa/1", "alice").await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let id = is_waiting(&page);
    let number = page.body.split("<p class=\"number\">").nth(1).unwrap();
    let number = number.split('<').next().unwrap().to_owned();
    for who in ["carol", "dave"] {
        let guess = Some("0");
        let guessed = world.vote_with(&id, who, Answer::Yes, guess).await;
        assert!(matches!(guessed, Changed::Refused(_)), "{guessed:?}");
    }
    assert_eq!(world.standing(&id).await, "denied");
    let late = world
        .vote_with(&id, "erin", Answer::Yes, Some(&number))
        .await;
    assert!(matches!(late, Changed::Refused(_)), "{late:?}");
    world.audited("approval-voted", "wrong-number").await;
    world.audited("approval-decided", "denied").await;
    assert_eq!(world.lines_of("approval-voted", &id).len(), 2);
    assert_eq!(world.lines_of("approval-decided", &id).len(), 1);
    let denied = "stepgate_approvals_total{approval=\"payroll/numbered\",outcome=\"denied\"} 1";
    assert!(world.metric(denied));
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert!(page.body.contains("wrong too often"), "{}", page.text());
    assert!(!page.body.contains(&number), "{}", page.text());
    assert!(
        !world
            .hits
            .lock()
            .unwrap()
            .iter()
            .any(|hit| hit.target.starts_with("/transfer"))
    );
}
