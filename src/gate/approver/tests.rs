//! People at the approver app, with a store that can fail: who sees what, who decides, and who does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::{HostIndex, Input, Options, parse};
use crate::gate::approvals::{Asked, Asking};
use crate::gate::tests::{Failing, Still};
use crate::gate::{Parts, Verdict};
use crate::model::approval::{Action, Holder, Requester};
use crate::model::random::Random;
use crate::model::session::{Lineage, Refresh, Secret, Session, Tokens};
use crate::model::target::{Relaxations, Target};
use crate::model::time::Clock;
use crate::oidc::Provider;
use crate::policy::evidence::{Assumed, assumed};
use crate::seal::{Sealer, SystemRandom, fresh_key, session_key};
use crate::store::{Capacity, Expect, MemoryStore, Store};
use crate::telemetry::{Audit, Lines, Metrics};

mod devices;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
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
    gate: Arc<Gate>,
    store: Arc<Failing>,
    clock: Arc<Still>,
    audit: Arc<Mutex<Vec<String>>>,
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
        let _first = rustls::crypto::ring::default_provider().install_default();
        let read = |path: &Path| match path.ends_with("secret") {
            true => Ok("only-for-tests".to_owned()),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        let input = Input {
            sources: &[("stepgate.toml", INSTALLATION), ("app.toml", APP)],
            read: &read,
        };
        let config = Arc::new(parse(&input, &Options::default()).unwrap().config);
        let clock = Arc::new(Still(AtomicI64::new(0)));
        let ticking: Arc<dyn Clock> = Arc::<Still>::clone(&clock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let provider = Provider::new(
            &config.keycloak,
            Arc::clone(&ticking),
            Arc::clone(&random),
            None,
            None,
        );
        let store = Arc::new(Failing::over(MemoryStore::new(
            Capacity::default(),
            Duration::from_secs(86_400),
        )));
        let (lines, audit) = Lines::in_memory();
        let parts = Parts {
            provider: Arc::new(provider.unwrap()),
            store: Arc::<Failing>::clone(&store),
            sealer: Arc::new(Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap()),
            config,
            clock: ticking,
            random,
            audit: Audit::new(lines),
            metrics: Arc::new(Metrics::new()),
            streams: Arc::default(),
        };
        let house = Self {
            gate: Arc::new(Gate::new(parts, None).unwrap()),
            store,
            clock,
            audit,
        };
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
        let session = Session {
            lineage: Lineage(sid.unwrap_or(name).to_owned()),
            origin: HERE.to_owned(),
            client: "stepgate".to_owned(),
            identity: Identity {
                iss: ISSUER.to_owned(),
                sub: name.to_owned(),
                sid: sid.map(str::to_owned),
                groups: groups.iter().map(ToString::to_string).collect(),
                claims: [("preferred_username".to_owned(), name.into())].into(),
                ..Identity::default()
            },
            evidence: assumed(&config.ladder, rank, proven, self.now()),
            tokens: Tokens {
                id: Secret::new("token"),
                refresh: None,
                access_expires: None,
            },
            refresh: Refresh::default(),
            kc_idp_hint: None,
            created: NOW,
            last_seen: NOW,
            app_cookies: Vec::new(),
            finished: Vec::new(),
            successor: None,
        };
        let key = session_key(cookie);
        let expires = NOW.plus(Duration::from_secs(864_000));
        let put = self.store.put(&key, session, expires, Expect::Absent, NOW);
        put.await.unwrap();
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

#[tokio::test]
async fn a_yes_goes_by_the_form_and_the_page_says_what_became_of_it() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let inbox = house.sees("dave", "/").await;
    assert!(
        inbox.has("Something plain") && inbox.has(&href(&approval.id)),
        "{}",
        inbox.body
    );
    let page = house.sees("dave", &href(&approval.id)).await;
    for text in [
        "Do you agree?",
        "alice",
        "192.0.2.7",
        "app&#x2f;plain",
        "0 of 1",
    ] {
        assert!(page.has(text), "{text}: {}", page.body);
    }
    let title = page.body.split("</title>").next().unwrap();
    assert!(!title.contains(&approval.id.0));
    let said = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(said.status, 303);
    let location = said.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("{HERE}{}", href(&approval.id)));
    assert_eq!(house.status(&approval).await, "approved");
    let page = house.sees("dave", &href(&approval.id)).await;
    assert!(
        page.has("You said yes.") && page.has("1 of 1"),
        "{}",
        page.body
    );
    assert!(!page.has("<form"));
    // Nobody else has it in the way any more, and dave finds it again.
    assert!(!house.sees("erin", "/").await.has("Something plain"));
    assert!(house.sees("dave", "/history").await.has("Something plain"));
    assert!(!house.sees("erin", "/history").await.has("Something plain"));
    assert!(house.sees("alice", "/history").await.has("Something plain"));
    assert!(house.sees("alice", "/").await.has("Approved"));
}

#[tokio::test]
async fn a_no_and_a_report_end_it() {
    let house = House::new().await;
    for (form, state, text) in [
        ("answer=no&reason=not+now", "denied", "Denied"),
        ("answer=report", "reported", "Reported as wrong"),
    ] {
        let approval = house.asked("two").await;
        assert_eq!(house.says("erin", &approval, form).await.status, 303);
        assert_eq!(house.status(&approval).await, state);
        let page = house.sees("dave", &href(&approval.id)).await;
        assert!(page.has(text) && !page.has("<form"), "{}", page.body);
        let late = house.says("dave", &approval, "answer=yes").await;
        assert_eq!(late.status, 409);
        assert!(late.has("It was over before your answer came."));
        assert_eq!(house.status(&approval).await, state);
    }
    assert!(house.sees("dave", "/history").await.body.len() > 100);
}

#[tokio::test]
async fn a_number_to_pick_has_one_try() {
    let house = House::new().await;
    let approval = house.asked("pick").await;
    let page = house.sees("dave", &href(&approval.id)).await;
    for choice in &approval.choices {
        assert!(page.has(&format!("name=\"number\" value=\"{choice}\"")));
    }
    let form = format!("answer=yes&number={}", wrong(&approval));
    let said = house.says("dave", &approval, &form).await;
    assert_eq!(said.status, 422);
    assert!(said.has("there is no try left"), "{}", said.body);
    assert_eq!(house.status(&approval).await, "number");
    let approval = house.asked("pick").await;
    let none = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(none.status, 422);
    assert!(none.has("The number is needed."));
    let form = format!("answer=yes&number={}", number(&approval));
    assert_eq!(house.says("erin", &approval, &form).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
}

#[tokio::test]
async fn a_number_to_type_has_two_and_is_shown_nowhere() {
    let house = House::new().await;
    let approval = house.asked("type").await;
    // Dave is named by his user name; erin's group counts for nothing here.
    assert_eq!(house.sees("erin", &href(&approval.id)).await.status, 404);
    let page = house.sees("dave", &href(&approval.id)).await;
    assert!(
        page.has("inputmode=\"numeric\"") && page.has("7 digits"),
        "{}",
        page.body
    );
    let form = format!("answer=yes&number={}", wrong(&approval));
    let said = house.says("dave", &approval, &form).await;
    assert_eq!(said.status, 422);
    assert!(said.has("Tries left: 1."), "{}", said.body);
    assert_eq!(house.status(&approval).await, "pending");
    let pages = [
        page,
        said,
        house.sees("dave", "/").await,
        house.sees("alice", &href(&approval.id)).await,
    ];
    for page in pages {
        assert_eq!(page.body.matches(number(&approval)).count(), 0);
    }
    let last = house.says("dave", &approval, &form).await;
    assert!(last.has("there is no try left"), "{}", last.body);
    assert_eq!(house.status(&approval).await, "number");

    let approval = house.asked("type").await;
    let (one, two) = number(&approval).split_at(3);
    let form = format!("answer=yes&number={one}+{two}");
    assert_eq!(house.says("dave", &approval, &form).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
}

#[tokio::test]
async fn whoever_asks_looks_on_and_can_say_that_it_was_somebody_else() {
    let house = House::new().await;
    let approval = house.asked("pick").await;
    let page = house.sees("alice", &href(&approval.id)).await;
    assert!(page.has("somebody else decides") && page.has("value=\"report\""));
    assert!(
        !page.has("value=\"yes\"") && !page.has("name=\"number\""),
        "{}",
        page.body
    );
    let form = format!("answer=yes&number={}", number(&approval));
    for form in [&*form, "answer=no"] {
        let said = house.says("alice", &approval, form).await;
        assert_eq!(said.status, 403, "{form}");
        assert_eq!(house.status(&approval).await, "pending");
    }
    assert_eq!(
        house.says("alice", &approval, "answer=report").await.status,
        303
    );
    assert_eq!(house.status(&approval).await, "reported");
}

/// Alice's session is that of her lineage.
#[tokio::test]
async fn a_report_ends_the_elevation_of_who_asked_and_is_in_the_audit() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    assert_eq!(house.sees("alice", "/").await.status, 200);
    assert_eq!(house.says("dave", &approval, "answer=no").await.status, 303);
    assert_eq!(house.sees("alice", "/").await.status, 200);
    let approval = house.asked("plain").await;
    assert_eq!(
        house.says("dave", &approval, "answer=report").await.status,
        303
    );
    assert_ne!(house.sees("alice", "/").await.status, 200);
    assert_eq!(house.sees("dave", "/").await.status, 200);
    let audit = house.audit.lock().unwrap().join("\n");
    for event in [
        "\"event\":\"approval-voted\",\"reason\":\"no\"",
        "\"event\":\"approval-decided\",\"reason\":\"denied\"",
        "\"event\":\"approval-voted\",\"reason\":\"report\"",
        "\"event\":\"alarm\",\"reason\":\"approval-reported\"",
    ] {
        assert!(audit.contains(event), "{event}: {audit}");
    }
    assert!(audit.contains(&approval.id.0), "{audit}");
}

#[tokio::test]
async fn what_is_not_theirs_is_not_there() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let known = house.sees("mallory", &href(&approval.id)).await;
    let unknown = house
        .sees("mallory", "/approvals/AAAAAAAAAAAAAAAAAAAAAA")
        .await;
    assert_eq!((known.status, &known.body), (404, &unknown.body));
    assert_eq!(known.reason, unknown.reason);
    for form in ["answer=yes", "answer=no", "answer=report"] {
        let said = house.says("mallory", &approval, form).await;
        assert_eq!((said.status, &said.body), (404, &known.body));
    }
    assert_eq!(house.status(&approval).await, "pending");
    assert!(!house.sees("mallory", "/").await.has("Something plain"));
    let stream = format!("/events?for={}", approval.id.0);
    assert_eq!(house.sees("mallory", &stream).await.status, 404);
}

#[tokio::test]
async fn one_person_has_one_vote_however_many_come_at_once() {
    let house = House::new().await;
    let approval = house.asked("two").await;
    let twice = join_all((0..8).map(|_| house.says("dave", &approval, "answer=yes"))).await;
    let taken = twice.iter().filter(|said| said.status == 303).count();
    assert_eq!(taken, 1);
    let refused = twice.iter().find(|said| said.status == 409).unwrap();
    assert!(refused.has("each person answers once"), "{}", refused.body);
    assert_eq!(house.status(&approval).await, "pending");
    assert!(house.sees("erin", &href(&approval.id)).await.has("1 of 2"));
    assert!(!house.sees("dave", "/").await.has("Something for two"));
    assert_eq!(
        house.says("erin", &approval, "answer=yes").await.status,
        303
    );
    assert_eq!(house.status(&approval).await, "approved");

    let approval = house.asked("plain").await;
    let both = join_all(["dave", "erin"].map(|who| house.says(who, &approval, "answer=yes"))).await;
    let mut statuses: Vec<_> = both.iter().map(|said| said.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
}

#[tokio::test]
async fn late_is_too_late() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    house.clock.0.fetch_add(600, Ordering::SeqCst);
    assert!(!house.sees("dave", "/").await.has("Something plain"));
    let said = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(said.status, 409);
    assert!(said.has("The time for it ran out"), "{}", said.body);
    assert_eq!(house.status(&approval).await, "expired");
}

#[tokio::test]
async fn only_a_form_of_this_host_decides() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let line = format!("POST {}", href(&approval.id));
    for origin in [
        "http://app.localhost",
        "http://approve.localhost:8080",
        "https://approve.localhost",
        "null",
    ] {
        let said = house
            .sends("dave", &line, "answer=yes", &[("origin", origin)])
            .await;
        assert_eq!(
            (said.status, said.reason),
            (403, Some("cross-site")),
            "{origin}"
        );
    }
    for path in ["?answer=yes", "?answer=no", ""] {
        let page = house
            .sees("dave", &format!("{}{path}", href(&approval.id)))
            .await;
        assert_eq!(page.status, 200);
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        let line = format!("{method} {}", href(&approval.id));
        let said = house.sends("dave", &line, "answer=yes", &[]).await;
        assert_eq!(said.status, 405, "{method}");
    }
    for form in ["", "answer=yes&answer=no", "answer=maybe"] {
        assert_eq!(
            house.says("dave", &approval, form).await.status,
            400,
            "{form}"
        );
    }
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_request_is_read_and_decided_at_its_own_level() {
    let house = House::new().await;
    let approval = house.asked("strict").await;
    let inbox = house.sees("dave", "/").await;
    assert!(
        inbox.has("Security key") && !inbox.has("Something secret"),
        "{}",
        inbox.body
    );
    let page = house.sees("dave", &href(&approval.id)).await;
    assert_eq!(page.status, 403);
    assert!(
        page.has("/.stepgate/step-up?level=key&amp;return="),
        "{}",
        page.body
    );
    assert!(!page.has("Something secret") && !page.has("alice"));
    let said = house.says("dave", &approval, "answer=yes&reason=x").await;
    assert_eq!(said.status, 401);
    assert_eq!(
        said.headers["refresh"],
        format!("0; url={}", href(&approval.id)).as_str()
    );
    assert_eq!(house.status(&approval).await, "pending");
    house.signs_in("dave", &["leads"], "key").await;
    let page = house.sees("dave key", &href(&approval.id)).await;
    assert!(
        page.has("Something secret") && page.has("required"),
        "{}",
        page.body
    );
    let said = house
        .says("dave key", &approval, "answer=yes&reason=+")
        .await;
    assert_eq!(said.status, 422);
    assert!(said.has("A reason is needed."));
    assert_eq!(
        house
            .says("dave key", &approval, "answer=yes&reason=I+asked+her")
            .await
            .status,
        303
    );
    let page = house.sees("dave key", &href(&approval.id)).await;
    assert!(page.has("I asked her"));
    // What was read with the key is not read without it.
    let history = house.sees("dave", "/history").await;
    assert!(history.has("Security key") && !history.has("Something secret"));
    assert!(
        house
            .sees("dave key", "/history")
            .await
            .has("Something secret")
    );
}

#[tokio::test]
async fn nobody_without_the_apps_level_gets_in() {
    let house = House::new().await;
    house.signs_in("dave", &["leads"], "password").await;
    let approval = house.asked("plain").await;
    let path = href(&approval.id);
    for who in ["", "dave password"] {
        for path in ["/", "/history", &path, "/events?for=inbox", "/nothing"] {
            let page = house.sees(who, path).await;
            // The provider of this test cannot be reached.
            assert_eq!(page.status, 503, "{who} {path}: {}", page.body);
            let program = [("accept", "application/json")];
            let page = house.sends(who, &format!("GET {path}"), "", &program).await;
            assert_eq!(page.status, 401, "{who} {path}");
            assert!(!page.has("Something plain"));
        }
        let said = house.says(who, &approval, "answer=yes").await;
        assert_eq!(said.status, 401, "{who}");
        assert_eq!(said.headers["refresh"], format!("0; url={path}").as_str());
    }
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_store_that_does_not_answer_decides_nothing() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    house.store.down.store(true, Ordering::SeqCst);
    for path in ["/", "/history", &href(&approval.id)] {
        assert_eq!(house.sees("dave", path).await.status, 503, "{path}");
    }
    assert_eq!(
        house.says("dave", &approval, "answer=yes").await.status,
        503
    );
    house.store.down.store(false, Ordering::SeqCst);
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_stream_tells_that_something_has_changed() {
    let house = House::new().await;
    let approval = house.asked("two").await;
    let seen = |page: &Page| {
        let rest = page.body.split("data-seen=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    for (of, at) in [(live::INBOX, "/"), (&*approval.id.0, &*href(&approval.id))] {
        let known = seen(&house.sees("erin", at).await);
        let path = format!("/events?for={of}&seen={known}");
        let other = house
            .sees("erin", &format!("/events?for={of}&seen=other"))
            .await;
        assert_eq!(other.headers["content-type"], "text/event-stream");
        assert!(
            other.has("event: state") && other.has(&format!("id: {known}\n")),
            "{}",
            other.body
        );
        assert!(!other.has("two") && !other.has("alice"));
        let listens = house.sees("erin", &path);
        let acts = async {
            // It waits by now, or sees it at its first look.
            tokio::task::yield_now().await;
            let form = if of == live::INBOX {
                "answer=yes"
            } else {
                "answer=no"
            };
            let who = if of == live::INBOX { "dave" } else { "erin" };
            house.says(who, &approval, form).await
        };
        let (told, said) = tokio::join!(listens, acts);
        assert_eq!(said.status, 303);
        assert!(
            told.has("event: state") && !told.has(&known),
            "{}",
            told.body
        );
    }
}

/// Without a change it ends by itself, and says nothing.
#[tokio::test(start_paused = true)]
async fn a_stream_does_not_wait_for_ever() {
    let house = House::new().await;
    let inbox = house.sees("dave", "/").await;
    let known = inbox.body.split("data-seen=\"").nth(1).unwrap();
    let known = known.split('"').next().unwrap();
    let path = format!("/events?for=inbox&seen={known}");
    let told = house.sees("dave", &path).await;
    assert_eq!(told.status, 200);
    assert!(!told.has("event:") && told.has("retry:"), "{}", told.body);
    let last = [("last-event-id", known), ("accept", "text/event-stream")];
    let told = house
        .sends("dave", "GET /events?for=inbox&seen=x", "", &last)
        .await;
    assert!(!told.has("event:"), "{}", told.body);
}

#[tokio::test]
async fn pages_speak_german_and_say_so() {
    let house = House::new().await;
    house.asked("plain").await;
    let page = house
        .sends(
            "dave",
            "GET /",
            "",
            &[("accept-language", "de-CH,de;q=0.9")],
        )
        .await;
    assert!(
        page.has("Wartet auf Sie") && page.has("lang=\"de\""),
        "{}",
        page.body
    );
    let vary = page.headers["vary"].to_str().unwrap();
    assert!(vary.contains("Accept-Language"), "{vary}");
}

#[tokio::test]
async fn what_everybody_gets_needs_nobody() {
    let house = House::new().await;
    for (path, kind) in [
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/worker.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/manifest.webmanifest", "application/manifest+json"),
    ] {
        let page = house.sees("", path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], kind);
        assert_eq!(
            house
                .sends("", &format!("POST {path}"), "", &[])
                .await
                .status,
            405
        );
    }
    let manifest = house.sees("", "/manifest.webmanifest").await.body;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["display"], "standalone");
    assert_eq!(manifest["name"], "Approvals");
    let page = house.sees("dave", "/").await;
    let csp = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(csp.contains(part), "{csp}");
    }
    assert!(!csp.contains("unsafe"));
}

/// [`House::sends`] panics at anything that is more than an answer.
#[tokio::test]
async fn nothing_on_that_host_ever_goes_on() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let one = href(&approval.id);
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND",
    ] {
        for path in [
            "/",
            &one,
            "/plain",
            "/static/x",
            "/events",
            "/approvals/",
            "/approvals/a/b",
            "/?stepgate=x",
            "/.well-known/x",
        ] {
            for who in ["", "dave", "mallory"] {
                for more in [
                    &[][..],
                    &[("upgrade", "websocket"), ("connection", "upgrade")],
                    &[("content-type", "application/grpc")],
                    &[("authorization", "Bearer x")],
                    &[("access-control-request-method", "POST")],
                ] {
                    if path == "/events" && method == "GET" {
                        continue;
                    }
                    house
                        .sends(who, &format!("{method} {path}"), "", more)
                        .await;
                }
            }
        }
    }
    assert_eq!(house.status(&approval).await, "pending");
}
