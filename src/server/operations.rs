//! The process as its operators see it: what is up, and what can be asked of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::instance::Handle;
use super::reload::Reloader;
use crate::admin::{self, Check, Control, Drain, State};
use crate::gate::Gate;
use crate::model::time::Clock;
use crate::oidc::Status;
use crate::store::Mark;
use crate::telemetry::{Metrics, Outcome, ReloadStatus};

/// A store that takes longer for a look is no use to a request either.
const STORE_TIME: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Operations {
    handle: Handle,
    reloader: Arc<Reloader>,
    drain: Drain,
}

impl Operations {
    pub fn new(handle: Handle, reloader: Arc<Reloader>) -> Self {
        Self {
            handle,
            reloader,
            drain: Drain::default(),
        }
    }

    /// The process is about to end: whoever looks is told to send no more.
    pub fn begin_to_drain(&self) {
        self.drain.begin(self.clock().now());
    }

    /// Asked, since nobody may have asked it for a while.
    async fn store(&self) -> Check {
        const NAME: &str = "store";
        let lasting = self.handle.lasting();
        let look = Mark::used_flow("a look at whether it answers");
        let answer = lasting.store.marked(&look, lasting.clock.now());
        match tokio::time::timeout(STORE_TIME, answer).await {
            Ok(Ok(_)) => Check::up(NAME),
            Ok(Err(_)) => {
                let since = lasting.store_health.down_since();
                Check::failing(NAME, State::Down, since, "no session can be looked up")
            }
            Err(_) => Check::failing(NAME, State::Down, None, "it takes too long"),
        }
    }

    /// What is looked at rather than counted.
    fn gauge(&self, checks: &[Check], provider: &Status) {
        let is_up = |name: &str| {
            let mut all = checks.iter().filter(|check| check.name == name);
            i64::from(all.all(|check| check.state == State::Up))
        };
        let metrics = self.metrics();
        metrics.store_up.set(is_up("store"));
        metrics.oidc_up.set(is_up("keycloak"));
        if let Some(read) = provider.keys.well {
            metrics.keys_were_read(read);
        }
        metrics
            .draining
            .set(i64::from(self.drain.since().is_some()));
        let sessions = self.handle.lasting().store.stored();
        metrics
            .sessions
            .set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }
}

#[async_trait]
impl Control for Operations {
    fn clock(&self) -> &dyn Clock {
        &*self.handle.lasting().clock
    }

    fn metrics(&self) -> &Metrics {
        self.handle.metrics()
    }

    fn drain(&self) -> &Drain {
        &self.drain
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.handle.generation().gate)
    }

    async fn checks(&self) -> Vec<Check> {
        let generation = self.handle.generation();
        let provider = generation.provider.status();
        let needed = generation.config.admin.ready_needs_keycloak;
        let checks = vec![
            self.store().await,
            keycloak(&provider, needed),
            configuration(&self.reloader.reloads().status()),
        ];
        self.gauge(&checks, &provider);
        checks
    }

    async fn reload(&self) -> admin::Reloaded {
        let reloaded = self.reloader.reload().await;
        admin::Reloaded {
            applied: reloaded.is_applied(),
            report: reloaded.report(false),
        }
    }
}

fn keycloak(status: &Status, needed: bool) -> Check {
    const NAME: &str = "keycloak";
    let state = if needed { State::Down } else { State::Degraded };
    let failing = [&status.calls, &status.discovery, &status.keys]
        .into_iter()
        .find_map(|health| health.failing.as_ref());
    match failing {
        Some((since, error)) => Check::failing(NAME, state, Some(*since), error.to_string()),
        None if !status.ready => Check::failing(NAME, state, None, "not asked yet"),
        None => Check::up(NAME),
    }
}

fn configuration(status: &ReloadStatus) -> Check {
    const NAME: &str = "configuration";
    match &status.last {
        Some((at, Outcome::Refused { errors, first })) => {
            let more = match errors {
                0 | 1 => String::new(),
                errors => format!(" and {} more", errors - 1),
            };
            let detail = format!("{first}{more}; the configuration before serves on");
            Check::failing(NAME, State::Degraded, Some(*at), detail)
        }
        Some((_, Outcome::Applied)) | None if !status.needs_restart.is_empty() => Check {
            detail: format!("waits for a restart: {}", status.needs_restart.join(", ")),
            ..Check::up(NAME)
        },
        Some((_, Outcome::Applied)) | None => Check::up(NAME),
    }
}
