//! A yes that holds for a while: for all of a route's requests of the same kind, each judged and written down, until it
//! ends. And hours in which nobody needs to be asked at all.

use reqwest::Method;
use serde_json::Value;
use stepgate::admin::Control as _;
use stepgate::gate::{Changed, Word};
use stepgate::model::approval::Answer;

use super::{FORM, LAST, Told, is_waiting, told_to, twist};
use crate::flows::world::{Twist, World, heading};
use crate::harness::eventually;
use crate::keycloak::Browser;

const ROUTES: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "archive"
path     = "/archive/{year}/{id}"
methods  = ["GET", "POST"]
require  = { level = "mfa", max_age = "20m" }
approval = "archive"
[[routes]]
id       = "reports"
path     = "/reports/{id}"
methods  = ["GET", "POST"]
approval = "reports"
[[routes]]
id       = "night"
path     = "/night"
methods  = ["POST"]
approval = "night"
[approvals.archive]
summary   = "Read the archive of {path.year}"
approvers = { groups_any = ["admins"] }
grant     = { window = "15m", per = ["year"] }
[approvals.reports]
summary   = "Reports {path.id} of {claim.preferred_username}"
approvers = { groups_any = ["admins"] }
grant     = { window = "1h" }
[approvals.night]
summary   = "Work at night"
approvers = { groups_any = ["admins"] }
when      = { hours = [{ from = "18:00", to = "08:00", zone = "Europe/Berlin" }, { days = ["sat", "sun"], zone = "Europe/Berlin" }] }
"#;

async fn windows() -> World {
    let mut world = World::twisted(Twist {
        policy: &[(LAST, ROUTES)],
        ..twist()
    })
    .await;
    world.lands("/", "alice").await;
    world.lands("/mfa/1", "alice").await;
    world
}

impl World {
    async fn gets(&self, path: &str) -> Told {
        self.told("GET", path, &[], "").await
    }

    /// Asked for, and agreed to for a while.
    async fn opens(&self, path: &str) -> String {
        let asked = self.gets(path).await;
        let expected = (403, "approval-required");
        assert_eq!((asked.status, asked.code()), expected, "{asked:?}");
        let voted = self.vote(&asked.id(), "carol", Answer::Yes).await;
        assert!(matches!(voted, Changed::Done(_)), "{voted:?}");
        assert_eq!(self.gets(path).await.status, 200);
        asked.id()
    }

    /// Nothing goes any more without somebody being asked.
    async fn is_shut(&self, path: &str) {
        let hits = self.hit_count();
        let told = self.gets(path).await;
        assert_eq!((told.status, told.code()), (403, "approval-required"));
        assert_eq!(self.hit_count(), hits);
        let state = format!("/.stepgate/approval/{}", told.id());
        assert_eq!(self.told("DELETE", &state, &[], "").await.status, 204);
    }

    async fn uses(&self, id: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} uses of {id}"), || {
            let log = self.stepgate.log("audit.log");
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let uses: Vec<_> = lines
                .filter(|line| line["event"] == "approval-used" && line["approval"] == id)
                .collect();
            (uses.len() == count).then_some(uses)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_yes_holds_for_all_of_its_kind_until_it_ends() {
    let mut world = windows().await;
    // Nothing of what is sent now is part of what is asked for, however large it is.
    let large = "x".repeat(100 << 10);
    let asked = world.told("POST", "/archive/2026/1", &[FORM], &large).await;
    assert_eq!((asked.status, asked.code()), (403, "approval-required"));
    let every = "Every \u{201c}Read the archive of 2026\u{201d} for 15 minutes";
    assert_eq!(asked.body["summary"], every);
    let id = asked.id();
    let state = world.state(&id).await;
    assert_eq!(state.body["for_a_while"], true, "{state:?}");
    let early = world.gets("/archive/2026/2").await;
    assert_eq!((early.status, early.id()), (403, id.clone()), "{early:?}");
    world.vote(&id, "carol", Answer::Yes).await;

    let hits = world.hit_count();
    assert_eq!(world.gets("/archive/2026/1").await.status, 200);
    assert_eq!(world.gets("/archive/2026/2?x=1").await.status, 200);
    let sent = world.told("POST", "/archive/2026/3", &[FORM], &large).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().body.len(), 100 << 10);
    let named = [("stepgate-approval", id.as_str())];
    let sent = world.told("GET", "/archive/2026/1", &named, "").await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().header("stepgate-approval"), "");
    assert_eq!(world.hit_count(), hits + 4);
    let uses = world.uses(&id, 4).await;
    assert!(uses.iter().all(|line| line["sub"] == "sub-alice"
        && line["route"] == "payroll/archive"
        && line["reason"] == "payroll/archive"
        && line["request"].is_string()));
    assert_eq!(world.standing(&id).await, "approved", "nothing is used up");

    // Of another kind, and in another session of the same user.
    world.is_shut("/archive/2025/1").await;
    let put = world.told("PUT", "/archive/2026/1", &[FORM], "a=1").await;
    assert_eq!((put.status, put.code()), (403, "approval-required"));
    let state = format!("/.stepgate/approval/{}", put.id());
    world.told("DELETE", &state, &[], "").await;
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.lands("/mfa/1", "alice").await;
    world.is_shut("/archive/2026/1").await;
    world.browser = first;
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Accept: application/json",
    ];
    let answer = world.raw_with("GET /archive/2026/1", &upgrade, "").await;
    assert!(answer.contains("approval-of-a-stream"), "{answer}");

    assert_eq!(world.gets("/archive/2026/1").await.status, 200);
    world.clock.advance(899);
    assert_eq!(world.gets("/archive/2026/1").await.status, 200);
    world.clock.advance(1);
    world.is_shut("/archive/2026/1").await;
    assert_eq!(world.standing(&id).await, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_and_the_policy_of_now_are_judged_at_each() {
    let mut world = windows().await;
    world.clock.advance(600);
    let id = world.opens("/archive/2026/1").await;
    world.clock.advance(601);
    // The yes is there for another five minutes, the level no more.
    let hits = world.hit_count();
    let told = world.gets("/archive/2026/1").await;
    assert_eq!((told.status, told.code()), (401, "step-up"), "{told:?}");
    assert_eq!(world.hit_count(), hits);
    assert_eq!(world.standing(&id).await, "approved");
    world.lands("/archive/2026/1", "alice").await;
    assert_eq!(world.gets("/archive/2026/1").await.status, 200);

    world.stepgate.edit("policies/payroll.toml", |text| {
        text.replace("max_age = \"20m\"", "max_age = \"19m\"")
    });
    let reloaded = world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    world.is_shut("/archive/2026/1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_taken_back_reported_or_its_session_ends() {
    let mut world = windows().await;
    let id = world.opens("/reports/7").await;
    let gate = world.stepgate.operations().gate();
    let revoked = gate.overrule(&id, Word::Revoke, "", 0).await.unwrap();
    assert!(matches!(revoked, Changed::Done(_)), "{revoked:?}");
    assert_eq!(world.standing(&id).await, "revoked");
    world.is_shut("/reports/7").await;

    // Whoever said yes finds out later; what else was agreed to for that session ends with it.
    let id = world.opens("/reports/7").await;
    let other = world.opens("/archive/2026/1").await;
    let reported = world.vote(&id, "carol", Answer::Report).await;
    assert!(matches!(reported, Changed::Done(_)), "{reported:?}");
    for id in [&id, &other] {
        assert_eq!(world.standing(id).await, "revoked");
    }
    world.audited("alarm", "approval-reported").await;
    world.audited("approval-revoked", "approval-reported").await;
    let told = world.gets("/reports/7").await;
    let expected = (429, "approval-denied-lately");
    assert_eq!((told.status, told.code()), expected, "{told:?}");
    world.clock.advance(60);
    world.is_shut("/reports/7").await;
    assert_eq!(world.status("/mfa/1").await, 401, "nor its levels");

    world.opens("/reports/7").await;
    world.browser = Browser::new();
    world.lands("/", "alice").await;
    world.is_shut("/reports/7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_by_itself_and_the_next_one_at_once() {
    let mut world = windows().await;
    let page = world.submits("/reports/7", "a=1").await;
    let id = is_waiting(&page);
    for part in [
        "Every \u{201c}Reports 7 of ",
        "for 1 hour",
        "not for this one alone",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.text());
    }
    world.vote(&id, "carol", Answer::Yes).await;
    let path = format!("/.stepgate/approval/{id}");
    let page = world.open(&path).await;
    assert_eq!(page.body, "app POST /reports/7", "{}", page.text());
    assert_eq!(world.last_hit().body, "a=1");
    // Loaded again it is the app's own page, and sends nothing twice.
    let marked = page.url.to_string();
    let page = world.browser.open(&marked).await;
    assert_eq!(page.body, "app GET /reports/7", "{}", page.text());
    let page = world.submits("/reports/7", "a=2").await;
    assert_eq!(page.body, "app POST /reports/7", "{}", page.text());
    world.uses(&id, 3).await;
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
    assert!(
        page.body.contains("as often as you send one"),
        "{}",
        page.text()
    );
    assert_eq!(world.hit_count(), 5, "and nothing was sent again");
    let page = world.open("/reports/8").await;
    is_waiting(&page);
}

/// 2027-01-15 is a Friday, and the clock of these tests begins at nine in Berlin.
#[tokio::test(flavor = "multi_thread")]
async fn by_day_nobody_is_asked() {
    let mut world = windows().await;
    let large = format!("amount={}", "1".repeat(100 << 10));
    let sent = world.told("POST", "/night", &[FORM], &large).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().body, large);
    let page = world.submits("/night", "a=1").await;
    assert_eq!(page.body, "app POST /night", "{}", page.text());
    // Not until six.
    world.clock.advance(9 * 3600 - 1);
    world.browser = Browser::new();
    world.lands("/", "alice").await;
    assert_eq!(
        world.told("POST", "/night", &[FORM], "a=1").await.status,
        200
    );
    world.clock.advance(1);
    let hits = world.hit_count();
    let told = world.told("POST", "/night", &[FORM], "a=1").await;
    assert_eq!((told.status, told.code()), (403, "approval-required"));
    let url = world.url("/night");
    let origin = [("origin", world.origin.as_str()), FORM];
    let told = told_to(&world.browser, Method::POST.as_str(), &url, &origin, "a=2").await;
    assert_eq!(
        (told.status, told.code()),
        (409, "another-approval-pending")
    );
    assert_eq!(world.hit_count(), hits);
}
