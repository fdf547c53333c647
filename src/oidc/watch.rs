//! How calls to the provider go: kept for whoever asks for the state, and told to whoever counts them.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;

use super::error::{OidcError, Outage};
use crate::model::time::{Clock, Timestamp};

/// What of the provider is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Discovery,
    Keys,
    Pushed,
    Token,
    Introspection,
    /// What belongs to requests that go by a device instead of a browser.
    Ciba,
}

pub trait Watch: Send + Sync + fmt::Debug {
    /// `outcome`: the status, be it a refusal, or why there was no answer of its own.
    fn called(&self, endpoint: Endpoint, outcome: Result<StatusCode, &Outage>, took: Duration);
}

/// How something goes that is done again and again. Our clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When it last went well.
    pub well: Option<Timestamp>,
    /// Since when it does not, and why not the last time.
    pub failing: Option<(Timestamp, OidcError)>,
}

impl Health {
    pub(super) fn note(&mut self, now: Timestamp, failure: Option<OidcError>) {
        match failure {
            None => {
                self.well = Some(now);
                self.failing = None;
            }
            Some(error) => {
                let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
                self.failing = Some((since, error));
            }
        }
    }
}

/// All calls of one provider.
pub(super) struct Calls {
    health: RwLock<Health>,
    /// A call failed that was not the first to.
    failed: Notify,
    told: Option<Arc<dyn Watch>>,
    clock: Arc<dyn Clock>,
}

impl Calls {
    pub(super) fn new(clock: Arc<dyn Clock>, told: Option<Arc<dyn Watch>>) -> Self {
        Self {
            health: RwLock::default(),
            failed: Notify::new(),
            told,
            clock,
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Until calls begin to fail.
    pub(super) async fn begin_to_fail(&self) {
        self.failed.notified().await;
    }

    pub(super) fn note<T>(
        &self,
        endpoint: Endpoint,
        outcome: &Result<http::Response<T>, Outage>,
        took: Duration,
    ) {
        let failure = outcome.as_ref().err().cloned().map(OidcError::from);
        {
            let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
            if failure.is_some() && health.failing.is_none() {
                self.failed.notify_one();
            }
            health.note(self.clock.now(), failure);
        }
        if let Some(told) = &self.told {
            let outcome = outcome.as_ref().map(http::Response::status);
            told.called(endpoint, outcome, took);
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_lasts_since_the_first() {
        let at = Timestamp::from_unix;
        let mut health = Health::default();
        health.note(at(1), None);
        health.note(at(2), Some(Outage::Unreachable.into()));
        health.note(at(3), Some(Outage::NoAnswer.into()));
        assert_eq!(
            health,
            Health {
                well: Some(at(1)),
                failing: Some((at(2), Outage::NoAnswer.into())),
            }
        );
        health.note(at(4), None);
        assert_eq!((health.well, health.failing), (Some(at(4)), None));
    }
}
