//! Sessions of the store: found by the cookie, judged by our limits, written only as long as they are there.

use crate::config::Origin;
use crate::model::evidence::Identity;
use crate::model::session::{Lineage, Secret, Session, SessionKey};
use crate::model::time::Timestamp;
use crate::policy::facts::Known;
use crate::seal::session_key;
use crate::store::{Expect, Live, Mark, Owner, Put, Unavailable};
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::{Limit, SessionEnd};

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::audit::Circumstances;
use super::{Gate, Incoming, NAMES, cookies};

/// How long a mark of a logout lives: longer than any flow that began before it.
pub(in crate::gate) const MARK_LIFE: Duration = Duration::from_secs(900);

/// The same where an app takes bearers, for which a sign-out counts as long as the mark is there; access tokens live
/// minutes, seldom hours.
const BEARER_MARK_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How often a write is tried again when somebody else was faster; each time somebody else did get through.
const TRIES: usize = 16;

/// A session and where it is kept.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Held {
    pub(in crate::gate) key: SessionKey,
    pub(in crate::gate) live: Arc<Live>,
}

impl Gate {
    /// The session that the request's cookie names, when it is good on this origin now. It is used with this.
    pub(in crate::gate) async fn session(
        &self,
        incoming: &Incoming<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Known<Held> {
        let known = self.known_session(incoming, origin, now).await;
        if let Known::Found(held) = &known {
            held.live.touch(now);
        }
        known
    }

    /// The same without being a use of it.
    pub(in crate::gate) async fn known_session(
        &self,
        incoming: &Incoming<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Known<Held> {
        let Some(id) = cookies::value(incoming.headers, &origin.cookie) else {
            return Known::Absent;
        };
        let key = session_key(id);
        let store = &self.parts.store;
        let live = match store.near(&key, now) {
            Some(live) => live,
            None => match store.get(&key, now).await {
                Ok(Some(live)) => live,
                Ok(None) => return Known::Absent,
                Err(Unavailable) => return Known::Unavailable,
            },
        };
        if !self.is_good(&live, origin, now) {
            return Known::Absent;
        }
        Known::Found(Held { key, live })
    }

    /// The session that is or was kept there, wherever rotations have moved it; without being a use of it.
    pub(in crate::gate) async fn session_at(
        &self,
        key: SessionKey,
        origin: &Origin,
        now: Timestamp,
    ) -> Known<Held> {
        let store = &self.parts.store;
        let mut key = key;
        for _ in 0..TRIES {
            let live = match store.near(&key, now) {
                Some(live) => live,
                None => match store.get(&key, now).await {
                    Ok(Some(live)) => live,
                    Ok(None) => return Known::Absent,
                    Err(Unavailable) => return Known::Unavailable,
                },
            };
            match &live.session.successor {
                Some(successor) => key = successor.key,
                None if self.is_good(&live, origin, now) => {
                    return Known::Found(Held { key, live });
                }
                None => return Known::Absent,
            }
        }
        Known::Unavailable
    }

    /// Of this origin, provider and client, and used lately. The absolute limit is the entry's own expiry.
    fn is_good(&self, live: &Live, origin: &Origin, now: Timestamp) -> bool {
        let session = &live.session;
        let config = &self.parts.config;
        session.origin == origin.text
            && session.client == config.keycloak.client_id
            && session.identity.iss == config.keycloak.issuer
            && now.since(live.last_seen()) <= config.sessions.idle
    }

    /// Changes a session that is there; `None`: it is not there any more, and stays so.
    pub(in crate::gate) async fn update(
        &self,
        key: &SessionKey,
        change: impl Fn(&mut Session),
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        let now = self.parts.clock.now();
        let mut known = self.parts.store.get(key, now).await?;
        for _ in 0..TRIES {
            let Some(live) = known else {
                return Ok(None);
            };
            let mut session = live.session.clone();
            change(&mut session);
            let expect = Expect::Version(live.version);
            let put = self
                .parts
                .store
                .put(key, session, live.expires, expect, now);
            match put.await? {
                Put::Done(live) => return Ok(Some(live)),
                Put::Conflict(current) => known = current,
            }
        }
        Err(Unavailable)
    }

    /// Ends all sessions of the owner, on all origins, and keeps flows that began before from making another.
    pub(in crate::gate) async fn end_all(
        &self,
        owner: Owner,
        now: Timestamp,
    ) -> Result<usize, Unavailable> {
        let store = &self.parts.store;
        // The mark first: what is created after the search is undone by who creates it.
        let takes_bearers = self
            .parts
            .config
            .apps
            .iter()
            .any(|app| app.bearer.is_some());
        let life = match takes_bearers {
            true => BEARER_MARK_LIFE,
            false => MARK_LIFE,
        };
        let mark = Mark::logged_out(owner);
        let mut done = store.mark(&mark, now, now.plus(life), now).await;
        if let Err(error) = store.drop_parked(&owner).await {
            done = Err(error);
        }
        let mut ended = 0;
        for key in store.by_index(&owner).await? {
            // One that fails keeps no other from its end.
            match store.delete(&key).await {
                Ok(was_there) => ended += usize::from(was_there),
                Err(error) => done = Err(error),
            }
        }
        // Last: whoever still waits for it is told no more, and not that somebody has cancelled it.
        self.cancel_with(&owner, now).boxed().await;
        done.map(|()| ended)
    }

    /// Ends what the user has too many of on one origin beside `held`, the longest unused ones first. Where the store does
    /// not answer, the next sign-in makes up for it.
    pub(in crate::gate) async fn end_surplus(
        &self,
        incoming: &Incoming<'_>,
        held: &Held,
        now: Timestamp,
    ) {
        let store = &self.parts.store;
        let session = &held.live.session;
        let most = self.parts.config.limits.sessions_per_subject;
        let identity = &session.identity;
        let owner = Owner::sub(&identity.iss, &session.client, &identity.sub);
        let keys = store.by_index(&owner).await.unwrap_or_default();
        if keys.len() <= most {
            return;
        }
        let mut others = Vec::new();
        for key in keys.into_iter().filter(|key| *key != held.key) {
            if let Ok(Some(live)) = store.get(&key, now).await
                && live.session.origin == session.origin
                && live.session.successor.is_none()
            {
                others.push(Held { key, live });
            }
        }
        let surplus = (others.len() + 1).saturating_sub(most);
        others.sort_by_key(|other| (other.live.last_seen(), other.live.session.created));
        for other in others.iter().take(surplus) {
            if self.end(other, now).await.is_err() {
                return;
            }
            let metrics = &self.parts.metrics;
            metrics.limit_refusals.inc(Limit::SessionsPerSubject);
            metrics.session_ends.inc(SessionEnd::PerSubject);
            let circumstances = Circumstances {
                reason: Some("sessions-per-subject"),
                ..Circumstances::of(other)
            };
            self.audit(AuditKind::SessionEnded, incoming, circumstances);
        }
    }

    /// Ends one session, whatever became of it meanwhile.
    pub(in crate::gate) async fn end(
        &self,
        held: &Held,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let store = &self.parts.store;
        let mark = Mark::ended(&held.live.session.lineage);
        let mut marked = store.mark(&mark, now, now.plus(MARK_LIFE), now).await;
        let lineage = Owner::lineage(&held.live.session.lineage);
        if let Err(error) = store.drop_parked(&lineage).await {
            marked = Err(error);
        }
        let mut next = Some(held.key);
        // A rotation may be under way: its successor goes too.
        for _ in 0..TRIES {
            let Some(key) = next else { break };
            let taken = store.take(&key, now).await?;
            next = taken.and_then(|live| {
                live.session
                    .successor
                    .as_ref()
                    .map(|successor| successor.key)
            });
        }
        self.cancel_with(&lineage, now).boxed().await;
        marked
    }

    /// Whether a logout since `started` forbids a session: of this lineage, SSO session or user.
    pub(in crate::gate) async fn was_ended(
        &self,
        identity: &Identity,
        lineage: Option<&Lineage>,
        started: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let client = &self.parts.config.keycloak.client_id;
        let sid = identity.sid.as_deref();
        let marks = [
            sid.map(|sid| Mark::logged_out(Owner::sid(&identity.iss, client, sid))),
            Some(Mark::logged_out(Owner::sub(
                &identity.iss,
                client,
                &identity.sub,
            ))),
            lineage.map(Mark::ended),
        ];
        for mark in marks.iter().flatten() {
            if let Some(at) = self.parts.store.marked(mark, now).await?
                && at >= started
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For the store: until the absolute limit.
    pub(in crate::gate) fn expires(&self, session: &Session) -> Timestamp {
        session.created.plus(self.parts.config.sessions.absolute)
    }

    pub(in crate::gate) fn new_session_id(&self) -> (Secret, SessionKey) {
        let id = crate::seal::session_id(&*self.parts.random);
        let key = session_key(id.reveal());
        (id, key)
    }
}

/// What a user is called on pages.
pub(in crate::gate) fn display_name(identity: &Identity) -> &str {
    user_name(identity).unwrap_or(&identity.sub)
}

/// What a user types to sign in, as far as the tokens say it.
pub(in crate::gate) fn user_name(identity: &Identity) -> Option<&str> {
    NAMES
        .iter()
        .find_map(|name| identity.claims.get(*name)?.as_str())
}
