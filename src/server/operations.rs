//! The process as its operators see it: what is up, and what can be asked of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::certificates::CertificateState;
use super::instance::Handle;
use super::reload::Reloader;
use crate::admin::{self, Check, Control, Drain, State};
use crate::edge::AddressState;
use crate::gate::{ChannelState, Gate};
use crate::model::time::{Clock, Timestamp};
use crate::oidc::Status;
use crate::store::Mark;
use crate::telemetry::{Metrics, Outcome, ReloadStatus};

/// A store that takes longer for a look is no use to a request either.
const STORE_TIME: Duration = Duration::from_secs(2);

/// A certificate that ends sooner needs somebody.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
    fn gauge(&self, checks: &[Check], provider: &Status, upstreams: &[AddressState]) {
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
        let stock = self.handle.lasting().store.stock();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.parked.set(gauge(stock.requests));
        metrics.parked_bytes.set(gauge(stock.bytes));
        metrics.upstreams_are(upstreams.iter().map(|state| {
            let address = state
                .address
                .map_or(String::new(), |address| address.to_string());
            (state.upstream.as_str(), address, state.is_healthy)
        }));
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
        let upstreams = generation.peers.states();
        let mut checks = vec![self.store().await, keycloak(&provider, needed)];
        self.gauge(&checks, &provider, &upstreams);
        generation.gate.count_pending_approvals().await;
        checks.push(configuration(&self.reloader.reloads().status()));
        let now = self.clock().now();
        let certificates = self.handle.certificates();
        checks.extend(
            certificates
                .into_iter()
                .flat_map(|all| all.states())
                .map(|state| certificate(state, now)),
        );
        checks.extend(upstreams.iter().map(upstream));
        checks.extend(generation.gate.channels().into_iter().map(channel));
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

/// One app's trouble: to take the others' traffic away would not help it.
fn upstream(state: &AddressState) -> Check {
    let name = match state.address {
        Some(address) => format!("upstream {} {address}", state.upstream),
        None => format!("upstream {}", state.upstream),
    };
    if state.is_healthy {
        return Check::up(name);
    }
    let why = match (state.address, state.last_error) {
        (None, _) => "its name was never resolved",
        (Some(_), Some(error)) => error,
        (Some(_), None) => "not used",
    };
    Check::failing(name, State::Degraded, Some(state.since), why)
}

/// Who decides finds it in the inbox all the same.
fn channel(state: ChannelState) -> Check {
    let name = format!("channel {}", state.name);
    if let Some((since, why)) = state.failing {
        return Check::failing(name, State::Degraded, Some(since), why);
    }
    let detail = match state.well {
        Some(at) => format!("last sent {}", admin::rfc3339(at)),
        None => String::new(),
    };
    Check {
        detail,
        ..Check::up(name)
    }
}

/// Clients that refuse it do so on every instance that has it.
fn certificate(state: CertificateState, now: Timestamp) -> Check {
    let name = format!("certificate {}", state.name);
    if let Some((since, error)) = state.failing {
        return Check::failing(
            name,
            State::Degraded,
            Some(since),
            format!("not reloaded: {error}"),
        );
    }
    if state.not_after <= now {
        return Check::failing(name, State::Degraded, Some(state.not_after), "it has ended");
    }
    let left = state.not_after.since(now);
    if left < CERTIFICATE_WARNING {
        let hours = left.as_secs() / 3600;
        return Check::failing(name, State::Degraded, None, format!("it ends in {hours} h"));
    }
    Check::up(name)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::{Health, Outage};

    const DAY: i64 = 24 * 60 * 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    #[test]
    fn a_certificate_is_told_of_a_week_before_it_ends() {
        let check = |now: i64, failing: Option<(Timestamp, String)>| {
            let state = CertificateState {
                name: "erp.pem".to_owned(),
                not_after: at(100 * DAY),
                failing,
            };
            let check = certificate(state, at(now));
            (check.state, check.since, check.detail)
        };
        assert_eq!(check(93 * DAY, None).0, State::Up);
        let (state, since, detail) = check(93 * DAY + 1, None);
        assert_eq!((state, since), (State::Degraded, None));
        assert_eq!(detail, "it ends in 167 h");
        assert_eq!(check(100 * DAY, None).1, Some(100 * DAY));
        let (state, since, _) = check(1, Some((at(5), "no key".to_owned())));
        assert_eq!((state, since), (State::Degraded, Some(5)));
    }

    #[test]
    fn keycloak_is_up_when_everything_of_it_is() {
        let up = Health {
            well: Some(at(1)),
            failing: None,
        };
        let status = |ready, calls: &Health, keys: &Health| Status {
            ready,
            pushes: None,
            calls: calls.clone(),
            discovery: up.clone(),
            keys: keys.clone(),
        };
        let down = Health {
            well: Some(at(1)),
            failing: Some((at(2), Outage::Unreachable.into())),
        };
        assert_eq!(keycloak(&status(true, &up, &up), false).state, State::Up);
        for status in [
            status(false, &up, &up),
            status(true, &down, &up),
            status(true, &up, &down),
        ] {
            assert_eq!(keycloak(&status, false).state, State::Degraded);
            assert_eq!(keycloak(&status, true).state, State::Down);
        }
        assert_eq!(keycloak(&status(true, &down, &up), false).since, Some(2));
    }
}
