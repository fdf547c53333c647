//! A document of the provider's of which the last good version is kept, and which is fetched once at a time.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::error::{OidcError, Outage};
use super::watch::Health;
use crate::model::time::{Clock, Timestamp};

/// Clones share it.
pub(super) struct Kept<T>(Arc<Shared<T>>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<T> {
    seen: RwLock<Seen<T>>,
    health: RwLock<Health>,
    flight: Mutex<Option<Attempt>>,
    clock: Arc<dyn Clock>,
}

/// The last good version, since when it is known to be good, and how many attempts had ended when it was looked at.
pub(super) struct Seen<T> {
    pub(super) document: Option<Arc<T>>,
    pub(super) fetched: Timestamp,
    attempts: u64,
}

struct Attempt {
    ended: Timestamp,
    failure: Option<OidcError>,
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            seen: RwLock::new(Seen {
                document: None,
                fetched: Timestamp::from_unix(0),
                attempts: 0,
            }),
            health: RwLock::default(),
            flight: Mutex::new(None),
            clock,
        }))
    }

    pub(super) fn look(&self) -> Seen<T> {
        self.0.look()
    }

    /// Of its attempts.
    pub(super) fn health(&self) -> Health {
        let health = self.0.health.read();
        health.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches, unless somebody has since `seen` (then that result counts) or the last attempt is younger than
    /// `cool_down`. A caller that goes away does not stop the fetch: others wait for it.
    pub(super) async fn renew(
        &self,
        seen: &Seen<T>,
        cool_down: Duration,
        fetch: impl Future<Output = Result<T, OidcError>> + Send + 'static,
    ) -> Result<(), OidcError> {
        let shared = Arc::clone(&self.0);
        let attempts = seen.attempts;
        tokio::spawn(async move { shared.fly(attempts, cool_down, fetch).await })
            .await
            .map_err(|_| OidcError::Unavailable(Outage::NoAnswer))?
    }
}

impl<T> Shared<T> {
    fn look(&self) -> Seen<T> {
        self.seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn fly(
        &self,
        attempts: u64,
        cool_down: Duration,
        fetch: impl Future<Output = Result<T, OidcError>>,
    ) -> Result<(), OidcError> {
        let mut flight = self.flight.lock().await;
        if let Some(last) = flight.as_ref() {
            if self.look().attempts != attempts {
                return last.failure.clone().map_or(Ok(()), Err);
            }
            let now = self.clock.now();
            // A clock that was set back must not stretch the cool-down.
            if now >= last.ended && now.since(last.ended) < cool_down {
                return Err(last.failure.clone().unwrap_or(Outage::CoolingDown.into()));
            }
        }
        let (document, failure) = match fetch.await {
            Ok(document) => (Some(Arc::new(document)), None),
            Err(failure) => (None, Some(failure)),
        };
        {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            seen.attempts += 1;
            if document.is_some() {
                seen.document = document;
                seen.fetched = self.clock.now();
            }
        }
        let result = failure.clone().map_or(Ok(()), Err);
        let ended = self.clock.now();
        self.health
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .note(ended, failure.clone());
        *flight = Some(Attempt { ended, failure });
        result
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self {
            document: self.document.clone(),
            fetched: self.fetched,
            attempts: self.attempts,
        }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
