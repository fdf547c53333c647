//! For the tests of this folder: a gate from its configuration's text, with a store that can fail, a clock that is set by
//! hand, and sessions in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Gate, Parts};
use crate::config::{Input, Options, parse};
use crate::model::evidence::{Evidence, Identity};
use crate::model::random::Random;
use crate::model::session::{Lineage, Refresh, Secret, Session, SessionKey, Tokens};
use crate::model::time::{Clock, Timestamp};
use crate::oidc::Provider;
use crate::seal::{Sealer, SystemRandom, fresh_key, session_key};
use crate::store::{
    ApprovalKey, ApprovalPut, Approvals as KeepsApprovals, Capacity, Expect, KeptApproval, Live,
    Mark, MemoryStore, Most, Owner, Parked, ParkedAs, ParkedKey, Parking, Put, Room, Stock, Store,
    Unavailable, Version,
};
use crate::telemetry::{Audit, Lines, Metrics};

/// Any time will do; it is the tests' present.
pub(in crate::gate) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// Of RFC 8291, section 5.
const VAPID: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";

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
    pub(in crate::gate) blind: AtomicBool,
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

/// A gate, and what it stands on.
pub(in crate::gate) struct Built {
    pub(in crate::gate) gate: Arc<Gate>,
    pub(in crate::gate) store: Arc<Failing>,
    pub(in crate::gate) clock: Arc<Still>,
    /// Lines of the audit log.
    pub(in crate::gate) audit: Arc<Mutex<Vec<String>>>,
}

impl Built {
    /// Of files with secrets there are `secret` and `vapid`.
    pub(in crate::gate) fn of(sources: &[(&str, &str)]) -> Self {
        let _first = rustls::crypto::ring::default_provider().install_default();
        let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("secret") => Ok("only-for-tests".to_owned()),
            Some("vapid") => Ok(VAPID.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let input = Input {
            sources,
            read: &read,
        };
        let config = Arc::new(parse(&input, &Options::default()).unwrap().config);
        let clock = Arc::new(Still::default());
        let ticking = Arc::clone(&clock) as Arc<dyn Clock>;
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let provider = Provider::new(
            &config.keycloak,
            Arc::clone(&ticking),
            Arc::clone(&random),
            None,
            None,
        );
        let day = Duration::from_secs(86_400);
        let store = Arc::new(Failing::over(MemoryStore::new(Capacity::default(), day)));
        let (lines, audit) = Lines::in_memory();
        let parts = Parts {
            provider: Arc::new(provider.unwrap()),
            store: Arc::clone(&store) as Arc<dyn Store>,
            sealer: Arc::new(Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap()),
            config,
            clock: ticking,
            random,
            audit: Audit::new(lines),
            metrics: Arc::new(Metrics::new()),
            streams: Arc::default(),
        };
        Self {
            gate: Arc::new(Gate::new(parts, None).unwrap()),
            store,
            clock,
            audit,
        }
    }

    /// Under the cookie's value `id`.
    pub(in crate::gate) async fn holds(&self, id: &str, session: Session, lasts: Duration) {
        let (key, expires) = (session_key(id), NOW.plus(lasts));
        let put = self.store.put(&key, session, expires, Expect::Absent, NOW);
        put.await.unwrap();
    }
}

/// Begun now.
pub(in crate::gate) fn session(
    lineage: &str,
    origin: &str,
    identity: Identity,
    evidence: Evidence,
) -> Session {
    Session {
        lineage: Lineage(lineage.to_owned()),
        origin: origin.to_owned(),
        client: "stepgate".to_owned(),
        identity,
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
    }
}
