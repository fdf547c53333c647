//! What needs somebody's yes: asked for by whoever sends it, given by somebody else, and sent on once, as it was.

mod clients;
mod elsewhere;
mod once;
mod pages;
mod passing;
mod telling;
mod windows;
mod words;

use serde_json::Value;
use stepgate::admin::Control as _;
use stepgate::gate::approvals::Changed;
use stepgate::model::approval::{Answer, ApprovalId, Person};
use stepgate::model::time::Clock as _;
use stepgate::policy::approval::Ballot;

use tokio::task::JoinHandle;

use super::world::{FORM, LAST, NETWORKS, Twist, World, heading};
use crate::harness::{ask, eventually};
use crate::keycloak::{Browser, Page};

const JSON: (&str, &str) = ("content-type", "application/json");

const PLAIN: (&str, &str) = ("content-type", "text/plain");

const APPROVER_APP: &str = "[approver_app]\nurl = \"http://approve.localhost\"\n[networks]";
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
id       = "draw"
path     = "/draw"
methods  = ["POST"]
approval = "draws"
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
[approvals.draws]
summary   = "Draw {query.sum}"
approvers = { groups_any = ["admins"] }
[approvals.exports]
summary   = "Export everything"
approvers = { groups_any = ["admins"] }
"#;

/// An answer to a program.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    body: Value,
}

impl Told {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(super) fn id(&self) -> String {
        let id = self.body["approval_id"].as_str();
        id.unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl World {
    async fn careful() -> Self {
        let mut world = Self::twisted(twist()).await;
        world.lands("/", "alice").await;
        world
    }

    pub(super) async fn told(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Told {
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
    pub(super) async fn vote(&self, id: &str, who: &str, answer: Answer) -> Changed {
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

    /// What a program waits with that has the browser's cookies of now.
    fn cookie_line(&self) -> String {
        let url = self.url("/").parse().unwrap();
        format!("Cookie: {}", self.browser.cookies_for(&url))
    }

    /// A program waits for news; its answer, as it comes.
    fn waits(&self, id: &str, credential: &str) -> JoinHandle<String> {
        let host = self.origin.trim_start_matches("http://");
        let request = format!(
            "GET /.stepgate/approval/{id} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Accept: application/json\r\nPrefer: wait=30\r\n{credential}\r\n\r\n"
        );
        let address = self.stepgate.address;
        tokio::spawn(async move { ask(address, &request).await })
    }

    /// Until whoever waits has looked at it several times: beside that it is read once when they come, and once by the
    /// instance itself.
    async fn is_waited_for(&self) {
        let looks = || {
            let metrics = self.stepgate.metrics();
            let series = "stepgate_store_operation_seconds_count{op=\"approval\",result=\"done\"} ";
            let count = metrics.lines().find_map(|line| line.strip_prefix(series));
            count.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        let before = looks();
        eventually("somebody looks", || (looks() >= before + 4).then_some(())).await;
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

/// With routes that need a yes.
fn twist<'t>() -> Twist<'t> {
    Twist {
        config: &[(NETWORKS, APPROVER_APP)],
        policy: &[(LAST, MORE)],
        ..Twist::default()
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
