//! The gate with a store that can fail: what is unknown is neither allowed nor signed out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};

use super::testing::{Built, Failing, NOW, Still, session};
use super::*;
use crate::model::approval::{Answer, ApprovalId, Person};
use crate::model::evidence::Identity;
use crate::model::level::Rank;
use crate::model::target::Relaxations;
use crate::policy::approval::Ballot;
use crate::policy::evidence::{Assumed, assumed};

const ISSUER: &str = "http://127.0.0.1:1/realms/none";

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
[upstreams.app]
url = "http://127.0.0.1:1"
[approver_app]
url = "http://approve.localhost"
"#;

const APP: &str = r#"
url         = "http://app.localhost"
upstream    = "app"
require     = { level = "password" }
app_cookies = ["JSESSIONID"]
[[routes]]
id     = "public"
path   = "/public/**"
public = true
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "four-eyes"
[[routes]]
id       = "archive"
path     = "/archive/{year}"
methods  = ["GET"]
approval = "a-while"
[approvals.a-while]
summary   = "Read {path.year}"
approvers = { groups_any = ["leads"] }
mode      = "approve-deny"
grant     = { window = "15m" }
[approvals.four-eyes]
summary   = "Pay {path.id}: {form.amount}"
approvers = { groups_any = ["leads"] }
"#;

struct World {
    gate: Arc<Gate>,
    store: Arc<Failing>,
    clock: Arc<Still>,
    cookie: String,
}

impl World {
    /// Alice is signed in.
    async fn new() -> Self {
        let built = Built::of(&[("stepgate.toml", INSTALLATION), ("app.toml", APP)]);
        let config = built.gate.config();
        let identity = Identity {
            iss: ISSUER.to_owned(),
            sub: "alice".to_owned(),
            sid: Some("sid".to_owned()),
            ..Identity::default()
        };
        let proven = Assumed::Proven(Duration::ZERO);
        let evidence = assumed(&config.ladder, Rank::LOWEST, proven, NOW);
        let session = session("one", "http://app.localhost", identity, evidence);
        let cookie = format!("{}=the-id", config.apps[0].origins[0].cookie);
        let hour = Duration::from_secs(3600);
        built.holds("the-id", session, hour).await;
        let Built {
            gate, store, clock, ..
        } = built;
        Self {
            gate,
            store,
            clock,
            cookie,
        }
    }

    /// A page's navigation, or a program's request, with alice's cookie.
    async fn judge(&self, line: &str, is_page: bool) -> Verdict {
        let (method, raw) = line.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let accept = if is_page {
            "text/html"
        } else {
            "application/json"
        };
        let headers: HeaderMap = [
            (header::COOKIE, self.cookie.as_str()),
            (header::ACCEPT, accept),
            (header::ORIGIN, "http://app.localhost"),
        ]
        .into_iter()
        .map(|(name, value): (HeaderName, _)| (name, HeaderValue::from_str(value).unwrap()))
        .collect();
        let target = Target::parse(raw.as_bytes(), Relaxations::NONE).unwrap();
        let incoming = Incoming {
            place: HostIndex { app: 0, origin: 0 },
            method: &method,
            target: &target,
            headers: &headers,
            client: "127.0.0.1".parse().unwrap(),
            certificate: None,
            request_id: "id",
            body: b"",
            decision_only: false,
        };
        let judging = self.gate.judge(&incoming);
        // It is moved for every request: what few of them come to has no room in it.
        let size = size_of_val(&judging);
        assert!(size <= 2048, "a judgement takes {size} bytes");
        judging.await
    }
}

impl World {
    /// A program sends a form to `/pay/7`, and says that it has an approval.
    async fn pays(&self, body: &[u8], approval: Option<&str>) -> Verdict {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        };
        put(header::COOKIE, &self.cookie);
        put(header::ACCEPT, "application/json");
        put(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(id) = approval {
            put(APPROVAL, id);
        }
        let target = Target::parse(b"/pay/7", Relaxations::NONE).unwrap();
        let incoming = Incoming {
            place: HostIndex { app: 0, origin: 0 },
            method: &Method::POST,
            target: &target,
            headers: &headers,
            client: "127.0.0.1".parse().unwrap(),
            certificate: None,
            request_id: "id",
            body: b"",
            decision_only: false,
        };
        match self.gate.judge(&incoming).await {
            Verdict::Approve(mut wanting) => {
                self.gate.take_in(&mut wanting.intake, body).unwrap();
                self.gate.ask_or_use(&incoming, *wanting).await
            }
            other => other,
        }
    }

    async fn agreed(&self) -> String {
        let Verdict::Reply(reply) = self.pays(b"amount=42", None).await else {
            panic!("nobody has agreed to it");
        };
        self.says_yes(&reply).await
    }

    /// Bob, to what was asked for.
    async fn says_yes(&self, asked: &Reply) -> String {
        let told: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
        let id = told["approval_id"].as_str().unwrap().to_owned();
        let bob = Person {
            iss: ISSUER.to_owned(),
            sub: "bob".to_owned(),
        };
        let ballot = Ballot {
            person: &bob,
            name: "Bob",
            answer: Answer::Yes,
            reason: None,
            number: None,
            channel: "app",
            device: None,
        };
        let approval = ApprovalId(id.clone());
        let voted = self.gate.vote_on(&approval, &ballot, NOW).await;
        assert!(matches!(voted, Ok(Changed::Done(_))));
        id
    }
}

/// Whatever is not known of a yes, nothing is sent by it; and what is sent has used one up.
#[tokio::test]
async fn nothing_goes_by_a_yes_that_cannot_be_used_up() {
    let world = World::new().await;
    let id = world.agreed().await;
    world.store.down.store(true, Ordering::SeqCst);
    for approval in [None, Some(id.as_str())] {
        let Verdict::Reply(reply) = world.pays(b"amount=42", approval).await else {
            panic!("allowed without a store");
        };
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    world.store.down.store(false, Ordering::SeqCst);
    let Verdict::Forward(mut forward) = world.pays(b"amount=42", Some(&id)).await else {
        panic!("bob has agreed");
    };
    assert!(!forward.may_go(), "it is not used up yet");
    assert_eq!(forward.sending.as_ref().unwrap().request.body, "amount=42");
    world.store.down.store(true, Ordering::SeqCst);
    let refused = world.gate.redeem(&mut forward, "id").await.unwrap_err();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!forward.may_go());
    world.store.down.store(false, Ordering::SeqCst);

    // Two that were judged before either was sent.
    let Verdict::Forward(mut other) = world.pays(b"amount=42", Some(&id)).await else {
        panic!("it was not used");
    };
    world.gate.redeem(&mut other, "id").await.unwrap();
    assert!(other.may_go());
    let refused = world.gate.redeem(&mut forward, "id").await.unwrap_err();
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(!forward.may_go());
    // As after a crash: it is gone, and whether it has arrived is not known.
    drop(other);
    let Verdict::Reply(reply) = world.pays(b"amount=42", Some(&id)).await else {
        panic!("a yes was used twice");
    };
    assert_eq!(reply.record.reason, Some("approval-used"));
    // What a permit has nothing to do with needs none.
    let Verdict::Forward(mut plain) = world.judge("GET /", true).await else {
        panic!("alice is signed in");
    };
    assert!(plain.may_go());
    world.gate.redeem(&mut plain, "id").await.unwrap();
}

/// Whether a yes of before covers a request cannot be told: that is no yes, no reason to ask again, and no sign-out.
#[tokio::test]
async fn a_window_that_cannot_be_looked_up_lets_nothing_in() {
    let world = World::new().await;
    let Verdict::Reply(asked) = world.judge("GET /archive/2026", false).await else {
        panic!("nobody has agreed to it");
    };
    world.says_yes(&asked).await;
    let goes = async || {
        let verdict = world.judge("GET /archive/2026", false).await;
        matches!(verdict, Verdict::Forward(_))
    };
    assert!(goes().await);
    let store = &world.store;
    for flag in [&store.blind, &store.down] {
        flag.store(true, Ordering::SeqCst);
        for is_page in [false, true] {
            let Verdict::Reply(reply) = world.judge("GET /archive/2026", is_page).await else {
                panic!("allowed without a store");
            };
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(reply.record.decision, "unavailable");
            assert!(!reply.headers.contains_key(header::SET_COOKIE));
        }
        flag.store(false, Ordering::SeqCst);
        assert!(goes().await);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_allows_nobody_and_signs_nobody_out() {
    let world = World::new().await;
    assert!(matches!(
        world.judge("GET /", true).await,
        Verdict::Forward(_)
    ));
    world.store.down.store(true, Ordering::SeqCst);
    for line in [
        "GET /",
        "POST /",
        "DELETE /x",
        "GET /.stepgate/me",
        "GET /.stepgate/login?return=/",
        "GET /.stepgate/step-up?level=password",
        "GET /.stepgate/logout",
        "POST /.stepgate/logout",
        "GET /.stepgate/callback?state=x&code=y",
    ] {
        for is_page in [true, false] {
            let Verdict::Reply(reply) = world.judge(line, is_page).await else {
                panic!("{line} is allowed");
            };
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{line}");
            assert_eq!(reply.record.reason, Some("store-unavailable"), "{line}");
            assert!(reply.headers.contains_key(header::RETRY_AFTER), "{line}");
            assert!(!reply.headers.contains_key(header::SET_COOKIE), "{line}");
            assert!(!reply.headers.contains_key(header::LOCATION), "{line}");
        }
    }
    let Verdict::Forward(forward) = world.judge("GET /public/x", true).await else {
        panic!("what is public needs no store");
    };
    assert!(forward.permit.is_public() && forward.session.is_none());
    // The app's own session belongs to nobody who is known now.
    assert!(!world.gate.forwards_cookie(&forward, b"JSESSIONID", b"x"));

    world.store.down.store(false, Ordering::SeqCst);
    assert!(matches!(
        world.judge("GET /", true).await,
        Verdict::Forward(_)
    ));
}

/// Notes why it was ended.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<Lack>>);

impl Hand for Noting {
    fn close(&self, closing: Closing) {
        self.0.lock().unwrap().push(closing.lack);
    }
}

/// What was allowed holds while nothing else is known, and no longer than it would by itself.
#[tokio::test]
async fn an_outage_ends_what_is_open_only_when_it_has_to_be_decided_anew() {
    let world = World::new().await;
    let Verdict::Forward(forward) = world.judge("GET /", false).await else {
        panic!("alice is signed in");
    };
    let target = Target::parse(b"/", Relaxations::NONE).unwrap();
    let incoming = Incoming {
        place: HostIndex { app: 0, origin: 0 },
        method: &Method::GET,
        target: &target,
        headers: &HeaderMap::new(),
        client: "127.0.0.1".parse().unwrap(),
        certificate: None,
        request_id: "id",
        body: b"",
        decision_only: false,
    };
    let hand = Arc::new(Noting::default());
    let pull = Arc::clone(&hand) as Arc<dyn Hand>;
    let open = world
        .gate
        .open_stream(&forward, &incoming, StreamKind::Events, pull);
    let told = async |seconds: i64| {
        world.clock.0.fetch_add(seconds, Ordering::SeqCst);
        world.gate.look_after_streams().await;
        hand.0.lock().unwrap().clone()
    };
    assert_eq!(told(0).await, []);
    world.store.down.store(true, Ordering::SeqCst);
    world.gate.streams().tell_all();
    for _ in 0..10 {
        assert_eq!(told(60).await, []);
    }
    // The session lives for an hour.
    assert_eq!(told(2999).await, []);
    assert_eq!(told(1).await, [Lack::Answer]);
    world.store.down.store(false, Ordering::SeqCst);
    world.gate.streams().tell_all();
    assert_eq!(told(60).await, [Lack::Answer], "told once");
    drop(open);
    assert_eq!(world.gate.streams().count(), 0);
}
