//! People at the approver app, with a store that can fail: who sees what, who decides, and who does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::HostIndex;
use crate::gate::Verdict;
use crate::gate::approvals::{Asked, Asking};
use crate::gate::testing::{Built, NOW, session};
use crate::model::approval::{Action, Holder, Requester};
use crate::model::session::Lineage;
use crate::model::target::{Relaxations, Target};
use crate::model::time::Clock;
use crate::policy::evidence::{Assumed, assumed};

mod access;
mod devices;
mod served;
mod votes;

const ISSUER: &str = "http://127.0.0.1:1/realms/none";
const HERE: &str = "http://approve.localhost";

const INSTALLATION: &str = r#"
version = 1
[keycloak]
issuer        = "http://127.0.0.1:1/realms/none"
client_id     = "stepgate"
client_secret = { file = "secret" }
[[levels]]
name  = "password"
base  = true
proof = { acr = "1" }
[[levels]]
name  = "mfa"
label = "One-time code"
proof = { acr = "2" }
ask   = { acr_values = "2" }
[[levels]]
name  = "key"
label = "Security key"
proof = { acr = "3" }
ask   = { acr_values = "3" }
[approver_app]
url = "http://approve.localhost"
[sessions]
idle     = "7d"
absolute = "30d"
[upstreams.app]
url = "http://127.0.0.1:1"
"#;

const PUSH: &str = r#"
[channels.push]
kind          = "web-push"
vapid_key     = { file = "vapid" }
subject       = "mailto:admin@example.com"
services      = ["127.0.0.1"]
allow_private = true
"#;

const APP: &str = r#"
url      = "http://app.localhost"
upstream = "app"
require  = { level = "password" }
[[routes]]
id       = "plain"
path     = "/plain"
methods  = ["POST"]
approval = "plain"
[[routes]]
id       = "two"
path     = "/two"
methods  = ["POST"]
approval = "two"
[[routes]]
id       = "pick"
path     = "/pick"
methods  = ["POST"]
approval = "pick"
[[routes]]
id       = "type"
path     = "/type"
methods  = ["POST"]
approval = "type"
[[routes]]
id       = "strict"
path     = "/strict"
methods  = ["POST"]
approval = "strict"
[[routes]]
id       = "own"
path     = "/own"
methods  = ["POST"]
require  = { level = "mfa" }
approval = "own"
[[routes]]
id       = "own-pick"
path     = "/own-pick"
methods  = ["POST"]
approval = "own-pick"
[[routes]]
id       = "either"
path     = "/either"
methods  = ["POST"]
approval = "either"
[[routes]]
id       = "hard"
path     = "/hard"
methods  = ["POST"]
require  = { level = "key" }
approval = "hard"
[approvals.own]
summary   = "Something of my own"
approvers = { self = true }
[approvals.own-pick]
summary   = "Something of my own to pick for"
approvers = "self"
mode      = "number-matching"
[approvals.either]
summary   = "Something of mine or theirs"
approvers = { self = true, groups_any = ["leads"] }
[approvals.hard]
summary   = "Something hard"
approvers = { self = true }
[approvals.plain]
summary   = "Something plain"
approvers = { groups_any = ["leads"] }
mode      = "approve-deny"
[approvals.two]
summary   = "Something for two"
approvers = { groups_any = ["leads"] }
need      = 2
mode      = "approve-deny"
[approvals.pick]
summary   = "Something to pick for"
approvers = { groups_any = ["leads"] }
mode      = "number-matching"
[approvals.type]
summary   = "Something to type for"
approvers = { people = ["dave"] }
mode      = "number-challenge"
[approvals.strict]
summary   = "Something secret"
approvers = { groups_any = ["leads"] }
mode      = "approve-deny"
level     = "key"
reason    = "required"
"#;

struct House {
    built: Built,
}

impl Deref for House {
    type Target = Built;

    fn deref(&self) -> &Built {
        &self.built
    }
}

/// What came back.
struct Page {
    status: u16,
    headers: HeaderMap,
    body: String,
    reason: Option<&'static str>,
}

impl Page {
    fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}

impl House {
    /// Alice asks; dave and erin are leads; mallory is neither. All have a one-time code.
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(channels: &str) -> Self {
        let installation = format!("{INSTALLATION}{channels}");
        let built = Built::of(&[("stepgate.toml", &installation), ("app.toml", APP)]);
        let house = Self { built };
        for (name, groups) in [
            ("alice", &["clerks"][..]),
            ("dave", &["leads"]),
            ("erin", &["leads"]),
            ("mallory", &[]),
        ] {
            house.signs_in(name, groups, "mfa").await;
        }
        house
    }

    async fn signs_in(&self, name: &str, groups: &[&str], level: &str) {
        let cookie = format!("{name} {level}");
        self.has_session(&cookie, name, groups, level, None).await;
    }

    /// `sid`: of the sign-in at the provider.
    async fn has_session(
        &self,
        cookie: &str,
        name: &str,
        groups: &[&str],
        level: &str,
        sid: Option<&str>,
    ) {
        let config = self.gate.config();
        let rank = config.ladder.by_name(level).unwrap().rank;
        let proven = Assumed::Proven(Duration::ZERO);
        let identity = Identity {
            iss: ISSUER.to_owned(),
            sub: name.to_owned(),
            sid: sid.map(str::to_owned),
            groups: groups.iter().map(ToString::to_string).collect(),
            claims: [("preferred_username".to_owned(), name.into())].into(),
            ..Identity::default()
        };
        let evidence = assumed(&config.ladder, rank, proven, self.now());
        let session = session(sid.unwrap_or(name), HERE, identity, evidence);
        let days = Duration::from_secs(864_000);
        self.built.holds(cookie, session, days).await;
    }

    /// Alice's, over `rule`.
    async fn asked(&self, rule: &str) -> Approval {
        let rule = self.gate.config().approval(&format!("app/{rule}")).unwrap();
        let asking = Asking {
            name: rule.name.clone(),
            requester: Requester {
                person: Person {
                    iss: ISSUER.to_owned(),
                    sub: "alice".to_owned(),
                },
                holder: Holder::Session(Lineage("alice".to_owned())),
                name: "alice".to_owned(),
                address: "192.0.2.7".to_owned(),
                sid: Some("desk".to_owned()),
            },
            action: Action {
                origin: "http://app.localhost".to_owned(),
                route: rule.name.clone(),
                policy: [1; 32],
                method: "POST".to_owned(),
                target: "/".to_owned(),
                headers: Vec::new(),
                parameters: Vec::new(),
                body: [2; 32],
            },
            summary: rule.summary.to_string(),
            reason: None,
            named: Vec::new(),
            terms: rule.terms.clone(),
            digits: rule.digits,
            request_ttl: rule.request_ttl,
            cooldown: rule.cooldown,
        };
        let asked = self.gate.approvals().ask(asking, self.now()).await.unwrap();
        match asked {
            Asked::New(approval) => approval,
            other => panic!("{other:?}"),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn status(&self, approval: &Approval) -> &'static str {
        let found = self.gate.approvals().find(&approval.id, self.now()).await;
        state(&found.unwrap().unwrap(), self.now())
    }

    /// `who`: name and level; nobody where it is empty.
    async fn sends(&self, who: &str, line: &str, body: &str, more: &[(&str, &str)]) -> Page {
        let (method, raw) = line.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let config = self.gate.config();
        let app = config.approver_app.as_ref().unwrap().app;
        let place = HostIndex { app, origin: 0 };
        let cookie = match who.contains(' ') {
            true => who.to_owned(),
            false => format!("{who} mfa"),
        };
        let cookie = format!("{}={cookie}", config.apps[app].origins[0].cookie);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cookie", cookie.as_str()),
            ("accept", "text/html"),
            ("origin", HERE),
        ]
        .iter()
        .chain(more)
        {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        if who.is_empty() {
            headers.remove("cookie");
        }
        let target = Target::parse(raw.as_bytes(), Relaxations::NONE).unwrap();
        let incoming = Incoming {
            place,
            method: &method,
            target: &target,
            headers: &headers,
            client: "127.0.0.1".parse().unwrap(),
            certificate: None,
            request_id: "id",
            body: body.as_bytes(),
            decision_only: false,
        };
        let Verdict::Reply(reply) = self.gate.judge(&incoming).await else {
            panic!("{line}: more than an answer of ours");
        };
        let body = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(!body.contains("Something went wrong"), "{line}");
        Page {
            status: reply.status.as_u16(),
            headers: reply.headers,
            body,
            reason: reply.record.reason,
        }
    }

    async fn sees(&self, who: &str, path: &str) -> Page {
        self.sends(who, &format!("GET {path}"), "", &[]).await
    }

    async fn says(&self, who: &str, approval: &Approval, form: &str) -> Page {
        let line = format!("POST {}", href(&approval.id));
        self.sends(who, &line, form, &[]).await
    }
}

fn number(approval: &Approval) -> &str {
    approval.number.as_ref().unwrap().reveal()
}

/// One that it is not.
fn wrong(approval: &Approval) -> String {
    match approval.choices.iter().find(|one| *one != number(approval)) {
        Some(choice) => choice.clone(),
        None => number(approval).replace(|_| true, "x"),
    }
}
