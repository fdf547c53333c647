//! Counts what the adapters do, which know nothing of metrics: calls to Keycloak and to the session store. Through here
//! goes every end of a session, too, and so open streams hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::StatusCode;

use crate::gate::{News, Streams};
use crate::model::session::{Session, SessionKey};
use crate::model::time::{Clock, Timestamp};
use crate::oidc::{Endpoint, Outage, Watch};
use crate::store::{
    ApprovalKey, ApprovalPut, Approvals, Expect, KeptApproval, Live, Mark, Most, Owner, Parked,
    ParkedAs, ParkedKey, Parking, Put, Room, Stock, Store, Unavailable, Version,
};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Both, OidcEndpoint, OidcOutcome, StoreOp, StoreResult};

#[derive(Debug)]
pub(in crate::server) struct Watching(pub(in crate::server) Arc<Metrics>);

impl Watch for Watching {
    fn called(&self, endpoint: Endpoint, outcome: Result<StatusCode, &Outage>, took: Duration) {
        let endpoint = match endpoint {
            Endpoint::Discovery => OidcEndpoint::Discovery,
            Endpoint::Keys => OidcEndpoint::Keys,
            Endpoint::Pushed => OidcEndpoint::Pushed,
            Endpoint::Token => OidcEndpoint::Token,
            Endpoint::Introspection => OidcEndpoint::Introspection,
            Endpoint::Ciba => OidcEndpoint::Ciba,
        };
        let outcome = match outcome {
            Ok(_) => OidcOutcome::Answered,
            Err(Outage::Unreachable) => OidcOutcome::Unreachable,
            Err(Outage::NoAnswer) => OidcOutcome::NoAnswer,
            Err(
                Outage::Status(_) | Outage::Garbage(_) | Outage::CoolingDown | Outage::Clock(_),
            ) => OidcOutcome::Error,
        };
        let metrics = &self.0;
        metrics.oidc_requests.observe(Both(endpoint, outcome), took);
    }
}

/// A store whose calls are timed. What is at hand is none.
#[derive(Debug)]
pub(in crate::server) struct Counted<S> {
    store: S,
    watched: Watched,
}

/// Who is told of a store's answers.
#[derive(Clone, Debug)]
pub(in crate::server) struct Watched {
    pub(in crate::server) metrics: Arc<Metrics>,
    pub(in crate::server) clock: Arc<dyn Clock>,
    pub(in crate::server) health: StoreHealth,
    /// Told of what was written.
    pub(in crate::server) streams: Arc<Streams>,
}

/// Since when a store gives no answers. Cheap to clone; clones are one.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct StoreHealth(Arc<AtomicI64>);

/// No time at all.
const ANSWERS: i64 = 0;

impl StoreHealth {
    pub(in crate::server) fn down_since(&self) -> Option<Timestamp> {
        let since = self.0.load(Ordering::Relaxed);
        (since != ANSWERS).then(|| Timestamp::from_unix(since))
    }

    fn note(&self, is_up: bool, now: Timestamp) {
        if is_up {
            self.0.store(ANSWERS, Ordering::Relaxed);
        } else {
            let now = now.as_unix().max(1);
            // The first failure's time stays.
            let _known =
                self.0
                    .compare_exchange(ANSWERS, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl<S: Store> Counted<S> {
    pub(in crate::server) fn new(store: S, watched: Watched) -> Self {
        watched.metrics.store_up.set(1);
        Self { store, watched }
    }

    async fn timed<T>(
        &self,
        op: StoreOp,
        call: impl Future<Output = Result<T, Unavailable>>,
        found: impl FnOnce(&T) -> bool,
    ) -> Result<T, Unavailable> {
        let begun = Instant::now();
        let answer = call.await;
        let result = match &answer {
            Ok(answer) if found(answer) => StoreResult::Done,
            Ok(_) => StoreResult::Absent,
            Err(Unavailable) => StoreResult::Unavailable,
        };
        let Watched {
            metrics,
            clock,
            health,
            ..
        } = &self.watched;
        metrics
            .store_operations
            .observe(Both(op, result), begun.elapsed());
        metrics.store_up.set(i64::from(answer.is_ok()));
        health.note(answer.is_ok(), clock.now());
        answer
    }
}

#[async_trait]
impl<S: Store> Store for Counted<S> {
    fn near(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Live>> {
        self.store.near(key, now)
    }

    async fn get(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        let call = self.store.get(key, now);
        self.timed(StoreOp::Get, call, Option::is_some).await
    }

    async fn put(
        &self,
        key: &SessionKey,
        session: Session,
        expires: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Put, Unavailable> {
        let successor = session.successor.as_ref().map(|next| next.key);
        let call = self.store.put(key, session, expires, expect, now);
        let done = |put: &Put| matches!(put, Put::Done(_));
        let put = self.timed(StoreOp::Put, call, done).await;
        let streams = &self.watched.streams;
        match (&put, successor) {
            (Ok(Put::Done(_)), Some(next)) => streams.moved(*key, next),
            // Who created it has nothing open by it yet.
            _ if expect != Expect::Absent => streams.tell(News::Session(*key)),
            _ => {}
        }
        put
    }

    async fn take(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        let call = self.store.take(key, now);
        let taken = self.timed(StoreOp::Take, call, Option::is_some).await;
        self.watched.streams.tell(News::Session(*key));
        taken
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, Unavailable> {
        let call = self.store.delete(key);
        let deleted = self
            .timed(StoreOp::Delete, call, |was_there| *was_there)
            .await;
        self.watched.streams.tell(News::Session(*key));
        deleted
    }

    async fn by_index(&self, owner: &Owner) -> Result<Vec<SessionKey>, Unavailable> {
        let call = self.store.by_index(owner);
        self.timed(StoreOp::Find, call, |keys| !keys.is_empty())
            .await
    }

    async fn mark(
        &self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let call = self.store.mark(mark, at, expires, now);
        let marked = self.timed(StoreOp::Mark, call, |()| true).await;
        self.watched.streams.tell(News::Marked(*mark));
        marked
    }

    async fn marked(&self, mark: &Mark, now: Timestamp) -> Result<Option<Timestamp>, Unavailable> {
        let call = self.store.marked(mark, now);
        self.timed(StoreOp::Marked, call, Option::is_some).await
    }

    async fn once(
        &self,
        mark: &Mark,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let call = self.store.once(mark, expires, now);
        self.timed(StoreOp::Once, call, |first| *first).await
    }

    async fn page(
        &self,
        after: Option<SessionKey>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, Arc<Live>)>, Unavailable> {
        self.store.page(after, most, now).await
    }

    fn stored(&self) -> u64 {
        self.store.stored()
    }

    fn idle_is(&self, idle: Duration) {
        self.store.idle_is(idle);
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl<S: Store> Parking for Counted<S> {
    async fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Unavailable> {
        let call = self.store.park(key, parked, room, now);
        let kept = |parked: &ParkedAs| *parked == ParkedAs::Kept;
        self.timed(StoreOp::Park, call, kept).await
    }

    async fn parked(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let call = self.store.parked(key, now);
        self.timed(StoreOp::Parked, call, Option::is_some).await
    }

    async fn unpark(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let call = self.store.unpark(key, now);
        self.timed(StoreOp::Unpark, call, Option::is_some).await
    }

    async fn drop_parked(&self, owner: &Owner) -> Result<usize, Unavailable> {
        let call = self.store.drop_parked(owner);
        self.timed(StoreOp::DropParked, call, |dropped| *dropped > 0)
            .await
    }

    fn stock(&self) -> Stock {
        self.store.stock()
    }
}

#[async_trait]
impl<S: Store> Approvals for Counted<S> {
    async fn put_approval(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let call = self.store.put_approval(key, kept, expect, most, now);
        let done = |put: &ApprovalPut| matches!(put, ApprovalPut::Done(_));
        self.timed(StoreOp::PutApproval, call, done).await
    }

    async fn approval(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Vec<u8>)>, Unavailable> {
        let call = self.store.approval(key, now);
        self.timed(StoreOp::Approval, call, Option::is_some).await
    }

    async fn approvals_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<ApprovalKey>, Unavailable> {
        let call = self.store.approvals_of(owner, now);
        self.timed(StoreOp::ApprovalsOf, call, |keys| !keys.is_empty())
            .await
    }
}
