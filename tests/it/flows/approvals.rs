//! What needs somebody's yes: asked for by whoever sends it, given by somebody else, and sent on once, as it was.

mod clients;
mod passing;
mod telling;
mod windows;
mod words;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use stepgate::admin::Control as _;
use stepgate::gate::approvals::Changed;
use stepgate::model::approval::{Answer, ApprovalId, Person};
use stepgate::model::time::Clock as _;
use stepgate::policy::approval::Ballot;

use super::answers::json as problem;
use super::world::{Twist, World, heading};
use crate::harness::{field, status, upstream};
use crate::keycloak::{Browser, Page};
use crate::upstreams::parts::nghttpd;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

const WHOLE: &str = "require     = { level = \"password\" }";
const NETWORKS: &str = "[networks]";
const APPROVER_APP: &str = "[approver_app]\nurl = \"http://approve.localhost\"\n[networks]";
const LAST: &str = "require = { networks_any = [\"office\"] }\n";
const MORE: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST", "PUT"]
approval = "four-eyes"
[[routes]]
id       = "transfer"
path     = "/transfer/{id}"
methods  = ["POST"]
require  = { level = "mfa", max_age = "2m" }
approval = "numbered"
[[routes]]
id       = "order"
path     = "/order"
methods  = ["POST"]
approval = "orders"
[[routes]]
id       = "refund"
path     = "/refund"
methods  = ["POST", "PUT"]
approval = "large"
[[routes]]
id       = "call"
path     = "/call"
methods  = ["POST"]
approval = "exports"
[[routes]]
id       = "export"
path     = "/export"
methods  = ["GET"]
approval = "exports"
[approvals.four-eyes]
summary   = "Pay {path.id}: {form.amount}"
approvers = { groups_any = ["admins"] }
bind_headers = ["Idempotency-Key"]
[approvals.numbered]
summary   = "Transfer {path.id}"
approvers = { groups_any = ["admins"] }
mode      = "number-challenge"
[approvals.orders]
summary   = "Order {json.what}"
approvers = { groups_any = ["admins"] }
[approvals.large]
summary   = "Refund {form.amount}"
approvers = { groups_any = ["admins"] }
when      = { methods = ["POST"], above = { "form.amount" = 100 } }
[approvals.exports]
summary   = "Export everything"
approvers = { groups_any = ["admins"] }
"#;

/// An answer to a program.
#[derive(Debug)]
struct Told {
    status: u16,
    body: Value,
}

impl Told {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn id(&self) -> String {
        let id = self.body["approval_id"].as_str();
        id.unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl World {
    async fn careful() -> Self {
        let mut world = Self::twisted(Twist {
            config: &[(NETWORKS, APPROVER_APP)],
            policy: &[(LAST, MORE)],
            ..Twist::default()
        })
        .await;
        world.lands("/", "alice").await;
        world
    }

    async fn told(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Told {
        let url = self.url(path);
        told_to(&self.browser, method, &url, headers, body).await
    }

    async fn pays(&self, body: &str, approval: Option<&str>) -> Told {
        let mut headers = vec![FORM];
        headers.extend(approval.map(|id| ("stepgate-approval", id)));
        self.told("POST", "/pay/7", &headers, body).await
    }

    /// Asked for by a program.
    async fn has_asked(&self) -> String {
        let told = self.pays("amount=42", None).await;
        assert_eq!(
            (told.status, told.code()),
            (403, "approval-required"),
            "{told:?}"
        );
        told.id()
    }

    /// The same, and agreed to.
    async fn agreed(&self) -> String {
        let id = self.has_asked().await;
        assert!(matches!(
            self.vote(&id, "carol", Answer::Yes).await,
            Changed::Done(_)
        ));
        id
    }

    /// By an operator's way in: whether a person may is the approver app's matter.
    async fn vote(&self, id: &str, who: &str, answer: Answer) -> Changed {
        self.vote_with(id, who, answer, None).await
    }

    async fn vote_with(
        &self,
        id: &str,
        who: &str,
        answer: Answer,
        number: Option<&str>,
    ) -> Changed {
        let person = Person {
            iss: self.realm.issuer.clone(),
            sub: format!("sub-{who}"),
        };
        let ballot = Ballot {
            person: &person,
            name: who,
            answer,
            reason: Some("because"),
            number,
            channel: "operator",
            device: None,
        };
        let gate = self.stepgate.operations().gate();
        let id = ApprovalId(id.to_owned());
        let now = self.clock.now();
        gate.vote_on(&id, &ballot, now).await.unwrap()
    }

    async fn state(&self, id: &str) -> Told {
        let path = format!("/.stepgate/approval/{id}");
        self.told("GET", &path, &[], "").await
    }

    async fn standing(&self, id: &str) -> String {
        let told = self.state(id).await;
        told.body["status"].as_str().unwrap_or_default().to_owned()
    }

    /// A page of the app sends it.
    async fn submits(&mut self, path: &str, body: &str) -> Page {
        let url = self.url(path).parse().unwrap();
        let body = Some(body.as_bytes().to_vec());
        self.browser
            .navigate(reqwest::Method::POST, url, &[FORM], body)
            .await
    }

    async fn presses(&mut self, page: &Page, form: &str) -> Page {
        let action = page.action().unwrap_or_else(|| panic!("{}", page.text()));
        let body = form.as_bytes().to_vec();
        self.browser
            .navigate(reqwest::Method::POST, action, &[FORM], Some(body))
            .await
    }
}

async fn told_to(
    browser: &Browser,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Told {
    let answer = browser.send(method, url, headers, body.to_owned()).await;
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::from(text));
    Told { status, body }
}

fn is_waiting(page: &Page) -> String {
    assert_eq!(
        heading(page),
        "Waiting for somebody to agree",
        "{}",
        page.text()
    );
    let path = page.url.path();
    path.strip_prefix("/.stepgate/approval/")
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_waits_and_comes_back_once() {
    let world = World::careful().await;
    let asked = world.pays("amount=42", None).await;
    assert_eq!(
        (asked.status, asked.code()),
        (403, "approval-required"),
        "{asked:?}"
    );
    assert_eq!(asked.body["summary"], "Pay 7: 42");
    let id = asked.id();
    let status_url = asked.body["status_url"].as_str().unwrap();
    assert_eq!(status_url, world.url(&format!("/.stepgate/approval/{id}")));
    // 2027-01-15T08:00:00Z, and ten minutes.
    assert_eq!(asked.body["expires_at"], "2027-01-15T08:10:00Z");

    // Asked again, it is the same one; used too early, it is none.
    assert_eq!(world.has_asked().await, id);
    let early = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (early.status, early.code()),
        (403, "approval-pending"),
        "{early:?}"
    );
    assert_eq!(world.standing(&id).await, "pending");
    assert_eq!(world.hit_count(), 1, "but for the first page");

    // Whoever waits is told as soon as it changes.
    let wait = async {
        let headers = [("prefer", "respond-async, wait=30")];
        told_to(&world.browser, "GET", status_url, &headers, "").await
    };
    let vote = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.vote(&id, "carol", Answer::Yes).await
    };
    let (waited, voted) = tokio::join!(wait, vote);
    assert!(matches!(voted, Changed::Done(_)), "{voted:?}");
    assert_eq!(waited.body["status"], "approved", "{waited:?}");
    assert_eq!(waited.body["use_until"], "2027-01-15T08:10:00Z");

    let sent = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (sent.status, sent.body.as_str()),
        (200, Some("app POST /pay/7"))
    );
    let hit = world.last_hit();
    assert_eq!(hit.body, "amount=42");
    assert_eq!(hit.header("stepgate-approval"), "");
    assert_eq!(hit.header("content-type"), FORM.1);
    assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
    let state = world.state(&id).await;
    assert_eq!(state.body["status"], "consumed");
    assert_eq!(state.body["app_status"], 200);

    let again = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    assert_eq!(world.hit_count(), 2);
    let line = world
        .audited("approval-consumed", "payroll/four-eyes")
        .await;
    assert_eq!(line["sub"], "sub-alice");
    world.audited("approval-asked", "payroll/four-eyes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_come_back_with_one_yes_one_gets_through() {
    let world = World::careful().await;
    let id = world.agreed().await;
    let all = join_all((0..64).map(|_| world.pays("amount=42", Some(&id)))).await;
    let sent = all.iter().filter(|told| told.status == 200).count();
    assert_eq!(sent, 1);
    assert!(
        all.iter().all(|told| matches!(told.status, 200 | 409)),
        "{all:?}"
    );
    assert_eq!(world.hit_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_is_what_is_sent_and_nothing_else() {
    let mut world = World::careful().await;
    let id = world.agreed().await;
    let approval = ("stepgate-approval", id.as_str());
    let plain = (
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    let key = ("idempotency-key", "k");
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r str);
    let rows: [Row<'_>; 8] = [
        ("POST", "/pay/7", &[FORM], "amount=43"),
        ("POST", "/pay/7", &[FORM], "amount=42&x"),
        ("POST", "/pay/7?a=1", &[FORM], "amount=42"),
        ("POST", "/pay/7/", &[FORM], "amount=42"),
        ("POST", "/pay/8", &[FORM], "amount=42"),
        ("PUT", "/pay/7", &[FORM], "amount=42"),
        ("POST", "/pay/7", &[plain], "amount=42"),
        ("POST", "/pay/7", &[FORM, key], "amount=42"),
    ];
    for (method, path, headers, body) in rows {
        let headers = [headers, &[approval]].concat();
        let told = world.told(method, path, &headers, body).await;
        let expected = (409, "approval-of-another-request");
        assert_eq!(
            (told.status, told.code()),
            expected,
            "{method} {path} {headers:?} {body}"
        );
    }
    // Another route that needs another approval.
    let headers = [JSON, approval];
    let other = world
        .told("POST", "/order", &headers, r#"{"what":"a"}"#)
        .await;
    assert_eq!(
        (other.status, other.code()),
        (409, "approval-of-another-request")
    );
    // Two ids, and none at all.
    for wrong in [vec![approval, approval], vec![("stepgate-approval", "a b")]] {
        let headers = [vec![FORM], wrong].concat();
        let told = world.told("POST", "/pay/7", &headers, "amount=42").await;
        assert_eq!(
            (told.status, told.code()),
            (400, "approval-reference"),
            "{told:?}"
        );
    }
    let unknown = [FORM, ("stepgate-approval", "AAAAAAAAAAAAAAAAAAAAAA")];
    let told = world.told("POST", "/pay/7", &unknown, "amount=42").await;
    assert_eq!((told.status, told.code()), (403, "no-such-approval"));

    // Another session of the same user, and another user.
    for user in ["alice", "bob"] {
        let first = std::mem::replace(&mut world.browser, Browser::new());
        world.visit("/", user).await;
        let told = world.pays("amount=42", Some(&id)).await;
        assert_eq!(
            (told.status, told.code()),
            (403, "no-such-approval"),
            "{user}"
        );
        assert_eq!(world.state(&id).await.status, 404, "{user}");
        world.browser = first;
    }

    // Under another policy.
    let hits = world.hit_count();
    world.stepgate.edit("policies/payroll.toml", |text| {
        text.replace(
            "path     = \"/pay/{id}\"",
            "path     = \"/pay/{id}\"\nrequire  = { level = \"password\", max_age = \"10h\" }",
        )
    });
    let reloaded = world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    let told = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (409, "approval-of-another-request"),
        "{told:?}"
    );
    assert_eq!(world.hit_count(), hits, "nothing was sent");
    assert_eq!(world.standing(&id).await, "approved", "and nothing used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_and_the_end_of_its_time_are_final() {
    let world = World::careful().await;
    let denied = world.has_asked().await;
    assert!(matches!(
        world.vote(&denied, "carol", Answer::No).await,
        Changed::Done(_)
    ));
    assert!(matches!(
        world.vote(&denied, "dave", Answer::Yes).await,
        Changed::Refused(_)
    ));
    let told = world.pays("amount=42", Some(&denied)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-denied"),
        "{told:?}"
    );

    // Nobody is asked again at once.
    let told = world.pays("amount=42", None).await;
    assert_eq!(
        (told.status, told.code()),
        (429, "approval-denied-lately"),
        "{told:?}"
    );
    world.clock.advance(60);

    let late = world.has_asked().await;
    assert_ne!(late, denied);
    world.clock.advance(600);
    assert!(matches!(
        world.vote(&late, "carol", Answer::Yes).await,
        Changed::Refused(_)
    ));
    let told = world.pays("amount=42", Some(&late)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-expired"),
        "{told:?}"
    );

    let unused = world.agreed().await;
    world.clock.advance(600);
    let told = world.pays("amount=42", Some(&unused)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-expired"),
        "{told:?}"
    );

    let cancelled = world.has_asked().await;
    let path = format!("/.stepgate/approval/{cancelled}");
    assert_eq!(world.told("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(world.standing(&cancelled).await, "cancelled");
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_of_what_could_be_read_otherwise() {
    let world = World::careful().await;
    let large = format!("amount=42&x={}", "x".repeat(64 << 10));
    type Row<'r> = (&'r str, (&'r str, &'r str), &'r str, u16, &'r str);
    let rows: [Row<'_>; 8] = [
        ("/pay/7", FORM, "amount=42&amount=43", 400, "repeated"),
        ("/pay/7?amount=1", FORM, "amount=42", 400, "repeated"),
        ("/pay/7", FORM, "sum=42", 400, "absent"),
        ("/pay/7", FORM, "amount=%ff", 400, "not-utf-8"),
        ("/pay/7", JSON, "amount=42", 400, "content-type"),
        (
            "/order",
            JSON,
            r#"{"what":"a","what":"b"}"#,
            400,
            "duplicate-key",
        ),
        ("/PAY/7", FORM, "amount=42", 400, "ambiguous"),
        ("/pay/7", FORM, &large, 413, "body-too-large"),
    ];
    for (path, kind, body, status, code) in rows {
        let told = world.told("POST", path, &[kind], body).await;
        assert_eq!(
            (told.status, told.code()),
            (status, code),
            "{path} {body:.40}"
        );
    }
    // Two approvals are never both given.
    let told = world
        .told(
            "POST",
            "/pay/7",
            &[FORM, ("content-encoding", "gzip")],
            "amount=42",
        )
        .await;
    assert_eq!((told.status, told.code()), (400, "encoded"));
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Accept: application/json",
    ];
    let answer = world.raw_with("GET /export", &upgrade, "").await;
    assert!(answer.contains("approval-of-a-stream"), "{answer}");
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_waits_on_a_page_and_goes_on_by_itself() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7?x=1", "amount=42&note=%C3%A9").await;
    let id = is_waiting(&page);
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    assert!(page.body.contains("anybody in admins"), "{}", page.text());
    assert_eq!(world.hit_count(), 1);
    // Sent twice, it is the same.
    let again = world.submits("/pay/7?x=1", "amount=42&note=%C3%A9").await;
    assert_eq!(is_waiting(&again), id);

    // Nobody else sees it, nor a script a page in its place.
    let first = std::mem::replace(&mut world.browser, Browser::new());
    let path = format!("/.stepgate/approval/{id}");
    assert_eq!(world.open(&path).await.status, 404);
    world.visit("/", "carol").await;
    assert_eq!(world.open(&path).await.status, 404);
    world.browser = first;

    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&path).await;
    assert_eq!(page.body, "app POST /pay/7?x=1", "{}", page.text());
    let hit = world.last_hit();
    assert_eq!(hit.body, "amount=42&note=%C3%A9");
    assert_eq!(
        (hit.method.as_str(), hit.target.as_str()),
        ("POST", "/pay/7?x=1")
    );
    assert_eq!(world.hit_count(), 3, "alice's page, carol's, and this");
    // Loaded again, it is the app's own page, and nothing is sent twice.
    let marked = page.url.to_string();
    let page = world.browser.open(&marked).await;
    assert_eq!(page.body, "app GET /pay/7?x=1", "{}", page.text());
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "It was sent", "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_sends_nothing_on() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let url = world.url(&format!("/pay/7?__stepgate_approved={id}"));
    let hits = world.hit_count();
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("sec-fetch-site", site)];
        let page = world
            .browser
            .navigate(reqwest::Method::GET, url.parse().unwrap(), &headers, None)
            .await;
        assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
        assert_eq!(world.hit_count(), hits, "{site}");
    }
    let page = world
        .open(&format!("/.stepgate/approval/{id}?stay=1"))
        .await;
    let page = world.presses(&page, "do=send").await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());

    // Nor does it ask, or cancel.
    let foreign = [FORM, ("origin", "https://evil.example")];
    let url = world.url("/pay/8").parse().unwrap();
    let body = Some(b"amount=1".to_vec());
    let page = world
        .browser
        .navigate(reqwest::Method::POST, url, &foreign, body)
        .await;
    assert_eq!(page.status, 403, "{}", page.text());
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    let url = page.url.clone();
    let body = Some(b"do=cancel".to_vec());
    world
        .browser
        .navigate(reqwest::Method::POST, url, &foreign, body)
        .await;
    assert_eq!(world.standing(&id).await, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_thing_is_asked_for_at_a_time() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7", "amount=42").await;
    let first = is_waiting(&page);
    let page = world.submits("/pay/8", "amount=43").await;
    assert_eq!(
        heading(&page),
        "Something else is waiting for a yes",
        "{}",
        page.text()
    );
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    let told = world.told("POST", "/pay/8", &[FORM], "amount=43").await;
    assert_eq!(
        (told.status, told.code()),
        (409, "another-approval-pending")
    );
    assert_eq!(told.id(), first);
    let kept = page.body.split("name=\"kept\" value=\"").nth(1).unwrap();
    let kept = kept.split('"').next().unwrap();
    let page = world
        .presses(&page, &format!("do=replace&kept={kept}"))
        .await;
    let second = is_waiting(&page);
    assert!(page.body.contains("Pay 8: 43"), "{}", page.text());
    assert_eq!(world.standing(&first).await, "cancelled");
    world.vote(&second, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{second}")).await;
    assert_eq!(page.body, "app POST /pay/8", "{}", page.text());

    let page = world.submits("/pay/9", "amount=1").await;
    let third = is_waiting(&page);
    let page = world.presses(&page, "do=cancel").await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());
    assert!(matches!(
        world.vote(&third, "carol", Answer::Yes).await,
        Changed::Refused(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_lapsed_meanwhile_is_asked_for_again_and_the_yes_stays() {
    let mut world = World::careful().await;
    world.lands("/mfa/1", "alice").await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let id = is_waiting(&page);
    let number = page.body.split("<p class=\"number\">").nth(1).unwrap();
    let number = number.split('<').next().unwrap().to_owned();
    assert_eq!(number.len(), 7);
    assert!(!page.url.as_str().contains(&number) && !heading(&page).contains(&number));
    let wrong = format!("{:07}", (number.parse::<u32>().unwrap() + 1) % 10_000_000);
    let refused = world
        .vote_with(&id, "carol", Answer::Yes, Some(&wrong))
        .await;
    assert!(matches!(refused, Changed::Refused(_)));
    let voted = world
        .vote_with(&id, "carol", Answer::Yes, Some(&number))
        .await;
    assert!(matches!(voted, Changed::Done(_)));

    world.clock.advance(180);
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed, ["password", "code"]);
    assert_eq!(
        walk.page.body,
        "app POST /transfer/7",
        "{}",
        walk.page.text()
    );
    assert_eq!(world.last_hit().body, "to=bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_needs_both_is_kept_over_both() {
    let mut world = World::careful().await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(heading(&walk.page), "Send it now?", "{}", walk.page.text());
    let page = world.presses(&walk.page, "do=send").await;
    let id = is_waiting(&page);
    let state = world.state(&id).await;
    let number = state.body["number"].as_str().unwrap();
    world
        .vote_with(&id, "carol", Answer::Yes, Some(number))
        .await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app POST /transfer/7", "{}", page.text());
    assert_eq!(world.last_hit().body, "to=bob");
    assert_eq!(world.hit_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_only_looked_at_may_need_a_yes_too() {
    let mut world = World::careful().await;
    let page = world.open("/export").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::No).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert!(
        page.body.contains("carol") && page.body.contains("because"),
        "{}",
        page.text()
    );
    world.clock.advance(60);
    let page = world.open("/export").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app GET /export", "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_takes_what_the_session_has_proven() {
    let mut world = World::careful().await;
    world.lands("/mfa/1", "alice").await;
    assert_eq!(world.status("/mfa/1").await, 200);
    let id = world.has_asked().await;
    world.vote(&id, "carol", Answer::Report).await;
    assert_eq!(world.standing(&id).await, "denied");
    assert_eq!(world.status("/mfa/1").await, 401);
    assert_eq!(world.status("/").await, 200, "signed in all the same");
    world.audited("approval-voted", "report").await;
    world.audited("approval-decided", "denied").await;
    world.audited("alarm", "approval-reported").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_back_with_a_yes_of_its_own_alone() {
    let world = World::twisted(Twist {
        config: &[(NETWORKS, APPROVER_APP)],
        policy: &[
            (LAST, MORE),
            (
                "identity    = {",
                "bearer = { audience = \"erp\" }\nidentity    = {",
            ),
            (
                WHOLE,
                "require     = { level = \"password\" }\nbearer_age = \"auth_time\"",
            ),
        ],
        ..Twist::default()
    })
    .await;
    let send = async |method: &str, path: &str, over: Value, id: Option<&str>| {
        let token = format!("Bearer {}", world.token(&over));
        let mut headers = vec![FORM, ("authorization", token.as_str())];
        headers.extend(id.map(|id| ("stepgate-approval", id)));
        let body = if method == "POST" { "amount=42" } else { "" };
        world.told(method, path, &headers, body).await
    };
    let asked = send("POST", "/pay/7", json!({}), None).await;
    assert_eq!(
        (asked.status, asked.code()),
        (403, "approval-required"),
        "{asked:?}"
    );
    let id = asked.id();
    world.vote(&id, "carol", Answer::Yes).await;
    let state = format!("/.stepgate/approval/{id}");
    for other in [json!({ "azp": "another" }), json!({ "sub": "sub-bob" })] {
        let told = send("POST", "/pay/7", other.clone(), Some(&id)).await;
        assert_eq!(
            (told.status, told.code()),
            (403, "no-such-approval"),
            "{other}"
        );
        assert_eq!(send("GET", &state, other, None).await.status, 404);
    }
    assert_eq!(world.hit_count(), 0);
    let told = send("GET", &state, json!({}), None).await;
    assert_eq!(told.body["status"], "approved", "{told:?}");
    // Another token of the same client, with what it is for.
    let fresh = json!({ "iat": world.clock.seconds() - 1 });
    let sent = send("POST", "/pay/7", fresh, Some(&id)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().body, "amount=42");
    let again = send("POST", "/pay/7", json!({}), Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_body_comes_it_is_the_same() {
    let world = World::careful().await;
    let kind = format!("Content-Type: {}", FORM.1);
    let chunked = [kind.as_str(), "Transfer-Encoding: chunked"];
    let pieces = "5\r\namoun\r\n4\r\nt=42\r\n0\r\n\r\n";
    let answer = world.raw_with("POST /pay/7", &chunked, pieces).await;
    assert_eq!(status(&answer), 403, "{answer}");
    let id = problem(&answer)["approval_id"].as_str().unwrap().to_owned();
    world.vote(&id, "carol", Answer::Yes).await;
    assert_eq!(world.pays("amount=42", Some(&id)).await.status, 200);
    assert_eq!(world.last_hit().body, "amount=42");

    let id = world.agreed().await;
    let named = format!("Stepgate-Approval: {id}");
    let answer = world
        .raw_with("POST /pay/7", &[chunked[0], chunked[1], &named], pieces)
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.last_hit().body, "amount=42");
    assert_eq!(world.last_hit().header("content-length"), "9");

    // Whoever asks first (RFC 9110 10.1.1) is told to go on, or at once that it is too large.
    let host = world.origin.strip_prefix("http://").unwrap();
    let url = world.origin.parse().unwrap();
    let cookies = world.browser.cookies_for(&url);
    let head = |length: usize| {
        format!(
            "POST /pay/7 HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n{kind}\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let mut wire = world.stepgate.wire().await;
    wire.send(&head(9)).await;
    assert_eq!(status(&wire.header().await), 100);
    wire.send("amount=42").await;
    let answer = wire.rest().await;
    assert_eq!(problem(&answer)["code"], "approval-required", "{answer}");
    let mut wire = world.stepgate.wire().await;
    wire.send(&head((64 << 10) + 1)).await;
    assert_eq!(status(&wire.rest().await), 413);
    let hits = world.hit_count();
    assert_eq!(hits, 3, "the page, and two that were agreed to");

    // A call of gRPC asks and comes back in its own words.
    let grpc = ["Content-Type: application/grpc", "Content-Length: 5"];
    let answer = world.raw_with("POST /call", &grpc, "\0\0\0\0\0").await;
    assert_eq!(field(&answer, "grpc-status"), "7", "{answer}");
    let id = field(&answer, "stepgate-approval").to_owned();
    assert!(field(&answer, "grpc-message").contains(&id), "{answer}");
    world.vote(&id, "carol", Answer::Yes).await;
    let named = format!("Stepgate-Approval: {id}");
    let answer = world
        .raw_with("POST /call", &[grpc[0], grpc[1], &named], "\0\0\0\0\0")
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.last_hit().target, "/call");
}

/// What is sent has used its yes up, whether or not it arrives; what surely does not, has not.
#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_not_sent_again() {
    let closing = |_, _| async { None };
    let (app, seen) = upstream(closing).await;
    let url = format!("http://{app}");
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, APPROVER_APP)],
        policy: &[(LAST, MORE)],
        upstream: Some(&url),
        ..Twist::default()
    })
    .await;
    world.visit("/", "alice").await;
    let id = world.agreed().await;
    assert_eq!(world.pays("amount=42", Some(&id)).await.status, 502);
    let again = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    let arrived = seen.lock().unwrap().clone();
    let arrived = arrived.iter().filter(|header| header.contains("/pay/7"));
    assert_eq!(arrived.count(), 1);
    let state = world.state(&id).await;
    assert_eq!(state.body["status"], "consumed");
    assert_eq!(state.body["app_status"], Value::Null);
    world
        .audited("approval-consumed", "payroll/four-eyes")
        .await;

    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, APPROVER_APP)],
        policy: &[(LAST, MORE)],
        upstream: Some("http://127.0.0.1:1"),
        ..Twist::default()
    })
    .await;
    let page = world.visit("/", "alice").await.page;
    assert!(page.status.is_server_error(), "{}", page.text());
    let id = world.agreed().await;
    // That nothing listens there was seen just now.
    assert!(world.status("/").await >= 500);
    let told = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (503, "upstream-down"),
        "{told:?}"
    );
    assert_eq!(world.standing(&id).await, "approved");
}

/// A navigation by itself has no body, and over HTTP/2 Pingora would say so to the app before the other one comes.
#[tokio::test(flavor = "multi_thread")]
async fn over_h2_a_form_goes_on_by_a_click_and_whole() {
    let test = "over_h2_a_form_goes_on_by_a_click_and_whole";
    let Some(part) = nghttpd(test, &[], None).await else {
        return;
    };
    let url = format!("http://{}", part.address(0));
    let mut world = World::twisted(Twist {
        config: &[
            (NETWORKS, APPROVER_APP),
            ("[upstreams.app]\n", "[upstreams.app]\nprotocol = \"h2c\"\n"),
        ],
        policy: &[(LAST, MORE)],
        upstream: Some(&url),
        ..Twist::default()
    })
    .await;
    world.visit("/", "alice").await;
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let path = format!("/.stepgate/approval/{id}");
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
    // Nor by hand: what was agreed to has a body.
    let headers = [("sec-fetch-site", "same-origin")];
    let url = world.url(&format!("/pay/7?__stepgate_approved={id}"));
    let page = world
        .browser
        .navigate(reqwest::Method::GET, url.parse().unwrap(), &headers, None)
        .await;
    assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
    let page = world.presses(&page, "do=send").await;
    assert_eq!(page.body, "amount=42", "{}", page.text());

    let id = world.agreed().await;
    let sent = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (sent.status, &sent.body),
        (200, &json!("amount=42")),
        "{sent:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_risky_needs_a_yes() {
    let mut world = World::careful().await;
    let refund =
        async |method: &str, body: &str| world.told(method, "/refund", &[FORM], body).await;
    let small = refund("POST", "amount=100&note=x").await;
    assert_eq!(
        (small.status, small.body.as_str()),
        (200, Some("app POST /refund"))
    );
    assert_eq!(world.last_hit().body, "amount=100&note=x");
    assert_eq!(refund("PUT", "amount=5000").await.status, 200);
    assert_eq!(world.last_hit().body, "amount=5000");
    let hits = world.hit_count();
    for (body, status, code) in [
        ("amount=101", 403, "approval-required"),
        ("amount=101&x", 409, "another-approval-pending"),
        ("amount=1,00", 409, "another-approval-pending"),
        ("amount=1&amount=5000", 400, "repeated"),
        ("sum=1", 400, "absent"),
    ] {
        let told = refund("POST", body).await;
        assert_eq!((told.status, told.code()), (status, code), "{body}");
    }
    assert_eq!(world.hit_count(), hits);
    // A page's form, too.
    let page = world.submits("/refund", "amount=7").await;
    assert_eq!(page.body, "app POST /refund", "{}", page.text());
    assert_eq!(world.last_hit().body, "amount=7");
}
