//! Tokens are refreshed before they lapse, one refresh at a time for each session.
//!
//! Who writes the start of a refresh into the session may send its token; everybody else waits or goes on. A refusal
//! ends the session, an outage does not. No level changes: Keycloak's `acr` on refresh belongs to another login.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::Gate;
use super::sessions::Held;
use crate::model::session::{Refresh, Secret, Session, SessionKey};
use crate::model::time::Timestamp;
use crate::oidc::{self, Exchange, RefreshError};
use crate::policy::facts::Known;
use crate::store::{Expect, Put, Unavailable};
use crate::telemetry::metrics::{Label as _, RefreshResult, SessionEnd};
use crate::telemetry::{AuditEvent, AuditKind};

/// Before the access token lapses: the first request from here on starts a refresh and does not wait.
const EARLY: Duration = Duration::from_secs(30);

/// A request whose tokens have lapsed waits so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries, whoever makes them.
const COOL_DOWN: Duration = Duration::from_secs(10);

/// Refreshes of this process that are under way, for requests that wait for them.
#[derive(Debug, Default)]
pub(in crate::gate) struct InFlight(Mutex<HashMap<SessionKey, watch::Receiver<()>>>);

impl InFlight {
    fn begin(&self, key: SessionKey) -> watch::Sender<()> {
        let (sender, receiver) = watch::channel(());
        self.lock().insert(key, receiver);
        sender
    }

    fn end(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    /// Until the refresh of that session has ended, or patience has.
    async fn wait(&self, key: &SessionKey) {
        let Some(mut receiver) = self.lock().get(key).cloned() else {
            return;
        };
        // Nothing is ever sent: the sender is dropped at the end.
        let _ended = tokio::time::timeout(PATIENCE, receiver.changed()).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// The session as it is to be used now. Absent: it ended.
    pub(in crate::gate) async fn refreshed(
        self: &Arc<Self>,
        held: Held,
        now: Timestamp,
    ) -> Known<Held> {
        let session = &held.live.session;
        let (Some(expires), Some(_)) = (session.tokens.access_expires, &session.tokens.refresh)
        else {
            return Known::Found(held);
        };
        if now < expires.minus(EARLY) || session.successor.is_some() {
            return Known::Found(held);
        }
        // Seldom, so it is boxed: see `gate::judge`.
        self.refreshed_now(held, expires, now).boxed().await
    }

    async fn refreshed_now(
        self: &Arc<Self>,
        held: Held,
        expires: Timestamp,
        now: Timestamp,
    ) -> Known<Held> {
        let session = &held.live.session;
        if self.grace_is_over(session, now) {
            tracing::warn!("a session ends: keycloak could not be asked about it for too long");
            self.note_end(session, SessionEnd::Grace, now);
            return match self.end(&held, now).await {
                Ok(()) => Known::Absent,
                Err(Unavailable) => Known::Unavailable,
            };
        }
        self.begin_refresh(&held, now).await;
        if now < expires {
            return Known::Found(held);
        }
        self.refreshes.wait(&held.key).await;
        match self.parts.store.get(&held.key, now).await {
            Ok(Some(live)) => Known::Found(Held {
                key: held.key,
                live,
            }),
            Ok(None) => Known::Absent,
            Err(Unavailable) => Known::Unavailable,
        }
    }

    fn grace_is_over(&self, session: &Session, now: Timestamp) -> bool {
        session
            .refresh
            .failing_since
            .is_some_and(|since| now.since(since) > self.parts.config.sessions.refresh_grace)
    }

    /// Whoever gets the note of it into the session sends the token.
    async fn begin_refresh(self: &Arc<Self>, held: &Held, now: Timestamp) {
        let session = &held.live.session;
        let too_soon = session
            .refresh
            .tried
            .is_some_and(|tried| now.since(tried) < COOL_DOWN);
        let Some(token) = session.tokens.refresh.clone() else {
            return;
        };
        if too_soon {
            return;
        }
        let mut noted = session.clone();
        noted.refresh.tried = Some(now);
        if session.refresh.maybe_used {
            // It is not sent a second time. The failure lasts, and with it the grace runs.
            noted.refresh.failing_since.get_or_insert(now);
        }
        let put = self
            .parts
            .store
            .put(
                &held.key,
                noted,
                held.live.expires,
                Expect::Version(held.live.version),
                now,
            )
            .await;
        if !matches!(put, Ok(Put::Done(_))) || session.refresh.maybe_used {
            return;
        }
        let done = self.refreshes.begin(held.key);
        let gate = Arc::clone(self);
        let key = held.key;
        // Not the request's: it may be gone before Keycloak answers, and the token would be used up for nothing.
        tokio::spawn(async move {
            gate.refresh(&key, &token).await;
            gate.refreshes.end(&key);
            drop(done);
        });
    }

    async fn refresh(&self, key: &SessionKey, token: &Secret) {
        let outcome = self.parts.provider.refresh(token).await;
        let now = self.parts.clock.now();
        self.parts.metrics.refreshes.inc(match &outcome {
            Ok(_) => RefreshResult::Renewed,
            Err(RefreshError::Refused) => RefreshResult::Refused,
            Err(RefreshError::Unavailable { .. }) => RefreshResult::Failed,
        });
        let written = match outcome {
            Ok(exchange) => self.take_over(key, token, &exchange, now).await,
            Err(RefreshError::Refused) => self.end_refused(key, token, now).await,
            Err(RefreshError::Unavailable { maybe_used, cause }) => {
                tracing::warn!(%cause, maybe_used, "a session could not be refreshed");
                self.update(key, |session| {
                    if session.tokens.refresh.as_ref() == Some(token) {
                        session.refresh.failing_since.get_or_insert(now);
                        session.refresh.maybe_used |= maybe_used;
                    }
                })
                .await
                .map(|_| ())
            }
        };
        if written.is_err() {
            tracing::warn!("the store is unavailable: the outcome of a refresh is lost");
        }
    }

    /// Groups, roles and claims are the new ones, levels stay.
    async fn take_over(
        &self,
        key: &SessionKey,
        sent: &Secret,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let keycloak = &self.parts.config.keycloak;
        let identity = oidc::identity(&exchange.id, exchange.access.as_ref(), keycloak, &self.kept);
        let Some(live) = self.parts.store.get(key, now).await? else {
            return Ok(());
        };
        let known = &live.session.identity;
        if (&known.iss, &known.sub, &known.sid) != (&identity.iss, &identity.sub, &identity.sid) {
            self.note_end(&live.session, SessionEnd::Identity, now);
            return self.end(&Held { key: *key, live }, now).await;
        }
        self.update(key, |session| {
            // A step-up may have brought newer tokens meanwhile.
            if session.tokens.refresh.as_ref() != Some(sent) {
                return;
            }
            session.identity = identity.clone();
            session.tokens.id = exchange.id_token.clone();
            session.tokens.access_expires = exchange.access_expires;
            if let Some(next) = &exchange.refresh {
                session.tokens.refresh = Some(next.clone());
            }
            session.refresh = Refresh::default();
        })
        .await
        .map(|_| ())
    }

    async fn end_refused(
        &self,
        key: &SessionKey,
        sent: &Secret,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let Some(live) = self.parts.store.get(key, now).await? else {
            return Ok(());
        };
        if live.session.tokens.refresh.as_ref() != Some(sent) {
            return Ok(());
        }
        self.note_end(&live.session, SessionEnd::Refused, now);
        self.end(&Held { key: *key, live }, now).await
    }

    fn note_end(&self, session: &Session, reason: SessionEnd, now: Timestamp) {
        self.parts.metrics.session_ends.inc(reason);
        let event = AuditEvent {
            reason: Some(reason.name()),
            origin: Some(&session.origin),
            sub: Some(&session.identity.sub),
            sid: session.identity.sid.as_deref(),
            ..AuditEvent::new(AuditKind::SessionEnded)
        };
        self.parts.audit.record(&event, now);
    }
}
