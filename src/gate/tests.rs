//! The gate with a store that can fail: what is unknown is neither allowed nor signed out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, header};

use super::*;
use crate::config::{Input, Options, parse};
use crate::model::approval::{Answer, ApprovalId, Person};
use crate::model::evidence::Identity;
use crate::model::level::Rank;
use crate::model::session::{Lineage, Refresh, Secret, Session, SessionKey, Tokens};
use crate::model::target::Relaxations;
use crate::model::time::Timestamp;
use crate::policy::approval::Ballot;
use crate::policy::evidence::{Assumed, assumed};
use crate::seal::{SystemRandom, fresh_key, session_key};
use crate::store::{
    ApprovalKey, ApprovalPut, Approvals as KeepsApprovals, Capacity, Expect, KeptApproval, Mark,
    MemoryStore, Most, Owner, Parked, ParkedAs, ParkedKey, Parking, Put, Room, Stock, Unavailable,
    Version,
};
use crate::telemetry::Lines;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

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

#[derive(Debug, Default)]
pub(in crate::gate) struct Still(pub(in crate::gate) AtomicI64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW.shifted(self.0.load(Ordering::SeqCst))
    }
}

/// Where the next change of an approval is the last thing that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Cut {
    /// It is not made.
    Before,
    /// It is made, and nobody hears of it.
    Behind,
}

/// Answers nothing while it is down.
#[derive(Debug)]
pub(in crate::gate) struct Failing<S = MemoryStore> {
    pub(in crate::gate) store: S,
    pub(in crate::gate) down: AtomicBool,
    /// Of approvals alone.
    blind: AtomicBool,
    cut: Mutex<Option<Cut>>,
}

impl<S> Failing<S> {
    pub(in crate::gate) fn over(store: S) -> Self {
        Self {
            store,
            down: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            cut: Mutex::default(),
        }
    }

    pub(in crate::gate) fn cut(&self, at: Cut) {
        *self.cut.lock().unwrap() = Some(at);
    }

    fn sees(&self) -> Result<&S, Unavailable> {
        match self.blind.load(Ordering::SeqCst) {
            true => Err(Unavailable),
            false => self.up(),
        }
    }

    fn up(&self) -> Result<&S, Unavailable> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(Unavailable),
            false => Ok(&self.store),
        }
    }
}

#[async_trait]
impl<S: Store> Store for Failing<S> {
    fn near(&self, _: &SessionKey, _: Timestamp) -> Option<Arc<Live>> {
        None
    }

    async fn get(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        self.up()?.get(key, now).await
    }

    async fn put(
        &self,
        key: &SessionKey,
        session: Session,
        expires: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Put, Unavailable> {
        self.up()?.put(key, session, expires, expect, now).await
    }

    async fn take(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        self.up()?.take(key, now).await
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, Unavailable> {
        self.up()?.delete(key).await
    }

    async fn by_index(&self, owner: &Owner) -> Result<Vec<SessionKey>, Unavailable> {
        self.up()?.by_index(owner).await
    }

    async fn page(
        &self,
        after: Option<SessionKey>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, Arc<Live>)>, Unavailable> {
        self.up()?.page(after, most, now).await
    }

    fn stored(&self) -> u64 {
        self.store.stored()
    }

    async fn mark(
        &self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.up()?.mark(mark, at, expires, now).await
    }

    async fn marked(&self, mark: &Mark, now: Timestamp) -> Result<Option<Timestamp>, Unavailable> {
        self.up()?.marked(mark, now).await
    }

    async fn once(
        &self,
        mark: &Mark,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        self.up()?.once(mark, expires, now).await
    }
}

#[async_trait]
impl<S: Store> Parking for Failing<S> {
    async fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Unavailable> {
        self.up()?.park(key, parked, room, now).await
    }

    async fn parked(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        self.up()?.parked(key, now).await
    }

    async fn unpark(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        self.up()?.unpark(key, now).await
    }

    async fn drop_parked(&self, owner: &Owner) -> Result<usize, Unavailable> {
        self.up()?.drop_parked(owner).await
    }

    fn stock(&self) -> Stock {
        self.store.stock()
    }
}

#[async_trait]
impl<S: Store> KeepsApprovals for Failing<S> {
    async fn put_approval(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let store = self.up()?;
        let cut = self.cut.lock().unwrap().take();
        self.down.fetch_or(cut.is_some(), Ordering::SeqCst);
        if cut == Some(Cut::Before) {
            return Err(Unavailable);
        }
        let put = store.put_approval(key, kept, expect, most, now).await;
        match cut {
            None => put,
            Some(_) => Err(Unavailable),
        }
    }

    async fn approval(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Vec<u8>)>, Unavailable> {
        self.sees()?.approval(key, now).await
    }

    async fn approvals_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<ApprovalKey>, Unavailable> {
        self.sees()?.approvals_of(owner, now).await
    }
}

struct World {
    gate: Arc<Gate>,
    store: Arc<Failing>,
    clock: Arc<Still>,
    cookie: String,
}

impl World {
    /// Alice is signed in.
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
        let still = Arc::new(Still(AtomicI64::new(0)));
        let clock: Arc<dyn Clock> = Arc::clone(&still) as _;
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let provider = Provider::new(
            &config.keycloak,
            Arc::clone(&clock),
            Arc::clone(&random),
            None,
            None,
        );
        let store = Arc::new(Failing::over(MemoryStore::new(
            Capacity::default(),
            Duration::from_secs(3600),
        )));
        let evidence = assumed(
            &config.ladder,
            Rank::LOWEST,
            Assumed::Proven(Duration::ZERO),
            NOW,
        );
        let session = Session {
            lineage: Lineage("one".to_owned()),
            origin: "http://app.localhost".to_owned(),
            client: "stepgate".to_owned(),
            identity: Identity {
                iss: ISSUER.to_owned(),
                sub: "alice".to_owned(),
                sid: Some("sid".to_owned()),
                ..Identity::default()
            },
            evidence,
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
        let expires = NOW.plus(Duration::from_secs(3600));
        let key = session_key("the-id");
        store
            .put(&key, session, expires, Expect::Absent, NOW)
            .await
            .unwrap();
        let cookie = format!("{}=the-id", config.apps[0].origins[0].cookie);
        let gate = Gate::new(
            Parts {
                provider: Arc::new(provider.unwrap()),
                store: Arc::clone(&store) as Arc<dyn Store>,
                sealer: Arc::new(Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap()),
                config,
                clock,
                random,
                audit: Audit::new(Lines::in_memory().0),
                metrics: Arc::new(Metrics::new()),
                streams: Arc::default(),
            },
            None,
        );
        Self {
            gate: Arc::new(gate.unwrap()),
            store,
            clock: still,
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
