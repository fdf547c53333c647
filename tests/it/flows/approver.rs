//! Two people and a whole stepgate: one asks in the app, the other decides in the approver app, and what was agreed to is
//! what the app gets, once.

mod devices;

use std::mem::replace;

use super::world::{FORM, LAST, NETWORKS, Twist, World, heading};
use crate::keycloak::{Browser, Page};

const APPROVER_APP: &str =
    "[approver_app]\nurl = \"APPROVER\"\ndevice_cooldown = \"0s\"\n[networks]";
const MORE: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "four-eyes"
[[routes]]
id       = "transfer"
path     = "/transfer/{id}"
methods  = ["POST"]
approval = "numbered"
[[routes]]
id       = "withdraw"
path     = "/withdraw/{id}"
methods  = ["POST"]
approval = "own"
[approvals.own]
summary   = "Withdraw {path.id}: {form.amount}"
approvers = { self = true }
mode      = "number-matching"
[approvals.four-eyes]
summary   = "Pay {path.id}: {form.amount}"
approvers = { groups_any = ["leads"] }
mode      = "approve-deny"
[approvals.numbered]
summary   = "Transfer {path.id}"
approvers = { groups_any = ["leads"] }
mode      = "number-challenge"
"#;

/// Somebody at the approver app, with a browser of their own.
struct Lead {
    browser: Browser,
    origin: String,
}

impl Lead {
    async fn opens(&mut self, path: &str) -> Page {
        let url = format!("{}{path}", self.origin);
        self.browser.open(&url).await
    }

    async fn says(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let url = format!("{}{path}", self.origin).parse().unwrap();
        let form = form
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.browser.post(url, form.collect()).await
    }

    /// The one request that waits.
    async fn finds(&mut self) -> String {
        let inbox = self.opens("/").await;
        assert_eq!(heading(&inbox), "Waiting for you", "{}", inbox.text());
        let link = inbox
            .link("/approvals/")
            .unwrap_or_else(|| panic!("{}", inbox.text()));
        link.strip_prefix(&self.origin).unwrap().to_owned()
    }
}

impl World {
    async fn with_leads() -> Self {
        let mut world = Self::twisted(Twist {
            config: &[(NETWORKS, APPROVER_APP)],
            policy: &[(LAST, MORE)],
            ..Twist::default()
        })
        .await;
        world.lands("/", "alice").await;
        world
    }

    fn approver(&self) -> String {
        self.origin.replace("payroll.", "approve.")
    }

    async fn lead(&mut self, name: &str) -> Lead {
        let alice = replace(&mut self.browser, Browser::new());
        let origin = self.approver();
        let page = self.browser.open(&format!("{origin}/")).await;
        let walk = self.go_on(page, name).await;
        assert_eq!(walk.typed, ["password", "code"]);
        assert_eq!(
            heading(&walk.page),
            "Waiting for you",
            "{}",
            walk.page.text()
        );
        let browser = replace(&mut self.browser, alice);
        Lead { browser, origin }
    }

    /// Alice's browser, by a page of the app.
    async fn asks_for(&mut self, path: &str, body: &str) -> Page {
        let url = self.url(path).parse().unwrap();
        let body = Some(body.as_bytes().to_vec());
        let page = self
            .browser
            .navigate(reqwest::Method::POST, url, &[FORM], body)
            .await;
        assert_eq!(
            heading(&page),
            "Waiting for somebody to agree",
            "{}",
            page.text()
        );
        page
    }

    async fn looks_again(&mut self, waiting: &Page) -> Page {
        let url = waiting.url.to_string();
        self.browser.open(&url).await
    }
}

fn number(waiting: &Page) -> String {
    let rest = waiting.body.split("class=\"number\">").nth(1).unwrap();
    rest.split('<').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_another_agrees_and_it_goes_on_once() {
    let mut world = World::with_leads().await;
    let mut dave = world.lead("dave").await;
    let hits = world.hit_count();
    let waiting = world.asks_for("/pay/7", "amount=42").await;
    let path = dave.finds().await;
    let page = dave.opens(&path).await;
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    assert_eq!(world.hit_count(), hits, "nothing is sent before");
    let said = dave.says(&path, &[("answer", "yes")]).await;
    assert_eq!(heading(&said), "Approved", "{}", said.text());
    let page = world.looks_again(&waiting).await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());
    assert_eq!(world.last_hit().body, "amount=42");
    let page = dave.opens(&path).await;
    assert_eq!(heading(&page), "Done", "{}", page.text());
    assert!(
        page.body.contains("The app answered 200"),
        "{}",
        page.text()
    );
    assert_eq!(world.hit_count(), hits + 1);
    let voted = world.audited("approval-voted", "yes").await;
    assert_eq!(voted["sub"], "sub-dave");
    // What dave asked for of the approver app was answered there.
    let line = world.logged(&path).await;
    assert_eq!(
        (line["decision"].as_str(), line["route"].as_str()),
        (Some("own"), Some("approver_app"))
    );
    world.browser.seen.append(&mut dave.browser.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_known_by_whoever_was_told_it() {
    let mut world = World::with_leads().await;
    let mut dave = world.lead("dave").await;
    let waiting = world.asks_for("/transfer/7", "a=1").await;
    let number = number(&waiting);
    assert_eq!(number.len(), 7);
    let path = dave.finds().await;
    let page = dave.opens(&path).await;
    assert!(!page.body.contains(&number), "{}", page.text());
    let guess = if number == "0000000" {
        "1111111"
    } else {
        "0000000"
    };
    let said = dave
        .says(&path, &[("answer", "yes"), ("number", guess)])
        .await;
    assert!(said.body.contains("Tries left: 1."), "{}", said.text());
    let said = dave
        .says(&path, &[("answer", "yes"), ("number", &number)])
        .await;
    assert_eq!(heading(&said), "Approved", "{}", said.text());
    let page = world.looks_again(&waiting).await;
    assert_eq!(page.body, "app POST /transfer/7", "{}", page.text());

    // Guessed twice, by whomever.
    let hits = world.hit_count();
    let waiting = world.asks_for("/transfer/8", "a=1").await;
    let mut erin = world.lead("erin").await;
    let path = dave.finds().await;
    for lead in [&mut dave, &mut erin] {
        lead.says(&path, &[("answer", "yes"), ("number", "x")])
            .await;
    }
    let page = world.looks_again(&waiting).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert_eq!(world.hit_count(), hits);
    world.audited("approval-voted", "wrong-number").await;
    world.audited("approval-decided", "denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_says_who_and_a_report_ends_the_elevation_of_who_asked() {
    let mut world = World::with_leads().await;
    let mut dave = world.lead("dave").await;
    let waiting = world.asks_for("/pay/7", "amount=42").await;
    let path = dave.finds().await;
    let said = dave
        .says(&path, &[("answer", "no"), ("reason", "too much")])
        .await;
    assert_eq!(heading(&said), "Denied", "{}", said.text());
    let page = world.looks_again(&waiting).await;
    assert!(page.body.contains("too much"), "{}", page.text());
    // Once for a while is enough.
    world.clock.advance(120);
    world.lands("/mfa/", "alice").await;
    let hits = world.hit_count();
    world.asks_for("/pay/8", "amount=43").await;
    let path = dave.finds().await;
    let said = dave.says(&path, &[("answer", "report")]).await;
    assert_eq!(heading(&said), "Reported as wrong", "{}", said.text());
    world.audited("alarm", "approval-reported").await;
    assert_eq!(
        world.levels().await,
        "password=proven mfa=missing hardware-key=missing"
    );
    assert_eq!(world.hit_count(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_does_not_decide_and_others_see_nothing() {
    let mut world = World::with_leads().await;
    world.asks_for("/pay/7", "amount=42").await;
    let mut dave = world.lead("dave").await;
    let path = dave.finds().await;
    // Alice has the same user name there, and carol is an administrator of another kind.
    for name in ["alice", "carol"] {
        let mut other = world.lead(name).await;
        let said = other.says(&path, &[("answer", "yes")]).await;
        assert_ne!(heading(&said), "Approved", "{name}: {}", said.text());
    }
    let url = format!("{}{path}", dave.origin);
    let from_elsewhere = [FORM, ("origin", world.origin.as_str())];
    let said = dave
        .browser
        .navigate(
            reqwest::Method::POST,
            url.parse().unwrap(),
            &from_elsewhere,
            Some(b"answer=yes".to_vec()),
        )
        .await;
    assert_eq!(said.status, 403, "{}", said.text());
    let page = dave.opens(&path).await;
    assert_eq!(heading(&page), "Do you agree?", "{}", page.text());
    world.clock.advance(600);
    let said = dave.says(&path, &[("answer", "yes")]).await;
    assert_eq!(heading(&said), "Expired", "{}", said.text());
}

/// In the session of the approver app, which is another one than the one that asked.
#[tokio::test(flavor = "multi_thread")]
async fn who_asked_takes_it_back_there_and_nobody_else_does() {
    let mut world = World::with_leads().await;
    let waiting = world.asks_for("/pay/7", "amount=42").await;
    let mut dave = world.lead("dave").await;
    let path = dave.finds().await;
    let page = dave.opens(&path).await;
    assert!(!page.body.contains("Take back"), "{}", page.text());
    let said = dave.says(&path, &[("answer", "take-back")]).await;
    assert_eq!(said.status, 403, "{}", said.text());
    assert_eq!(heading(&said), "Do you agree?", "{}", said.text());
    let mut alice = world.lead("alice").await;
    let page = alice.opens(&path).await;
    assert!(page.body.contains("Take back"), "{}", page.text());
    let said = alice.says(&path, &[("answer", "take-back")]).await;
    assert_eq!(heading(&said), "Taken back", "{}", said.text());
    let line = world
        .audited("approval-cancelled", "payroll/four-eyes")
        .await;
    assert_eq!(line["channel"], "app", "{line}");
    let said = dave.says(&path, &[("answer", "yes")]).await;
    assert_eq!(heading(&said), "Taken back", "{}", said.text());
    let page = world.looks_again(&waiting).await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());
    // Nothing is in the way, and it is no "no" that would have to cool down.
    world.asks_for("/pay/8", "amount=43").await;
}

/// Signed out, or at a level that has lapsed: nothing is decided, and the way leads back.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_at_a_level_that_lapsed_leads_to_it_and_back() {
    let mut world = World::with_leads().await;
    let mut dave = world.lead("dave").await;
    world.clock.advance(1801);
    world.asks_for("/pay/7", "amount=42").await;
    let path = {
        let mut erin = world.lead("erin").await;
        erin.finds().await
    };
    let page = dave.says(&path, &[("answer", "yes")]).await;
    // The page leads on by itself, to the sign-in.
    let alice = replace(&mut world.browser, dave.browser);
    let walk = world.go_on(page, "dave").await;
    assert_eq!(walk.typed, ["password", "code"], "{}", walk.page.text());
    assert_eq!(heading(&walk.page), "Do you agree?", "{}", walk.page.text());
    assert_eq!(walk.page.url.path(), path);
    dave.browser = replace(&mut world.browser, alice);
    let said = dave.says(&path, &[("answer", "yes")]).await;
    assert_eq!(heading(&said), "Approved", "{}", said.text());
}

/// A sign-out that Keycloak tells of ends what waits for news, too, and does not wait for any.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_who_is_signed_out_sees_nothing_more_at_once() {
    let mut world = World::with_leads().await;
    let mut dave = world.lead("dave").await;
    let inbox = dave.opens("/").await;
    let seen = inbox.body.split("data-seen=\"").nth(1).unwrap();
    let seen = seen.split('"').next().unwrap();
    let url = format!("{}/events?for=inbox&seen={seen}", dave.origin);
    let began = std::time::Instant::now();
    let waits = dave.browser.fetch("GET", &url);
    let ends = async {
        // So that it surely waits by then; if not, it is told the same.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        world.realm.end_sessions_of("dave").await;
    };
    let (answer, ()) = tokio::join!(waits, ends);
    let status = answer.status().as_u16();
    assert!(matches!(status, 401 | 404), "{status}");
    assert!(!answer.text().await.unwrap().contains("event: state"));
    assert!(
        began.elapsed().as_secs() < 15,
        "an answer waits for 20 seconds"
    );
    world.audited("logout", "back-channel").await;
    world.asks_for("/pay/7", "amount=42").await;
    let page = dave.opens("/").await;
    assert_eq!(heading(&page), "Sign in", "{}", page.text());
    assert!(!page.body.contains("Pay 7"), "{}", page.text());
    world.browser.seen.append(&mut dave.browser.seen);
}
