//! What is counted. Every metric stands in [`CATALOGUE`] and is a field of [`Metrics`]; there is no global one.
//!
//! Labels are values of an enum or names of the configuration, so that no client can make a series.

mod catalogue;
mod histogram;
mod labels;
mod process;
mod requests;
mod series;

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use crate::config::Config;
use crate::model::level::Level;
use crate::model::time::Timestamp;

pub use catalogue::{CATALOGUE, Definition, Kind};
pub use histogram::{Buckets, Histogram};
pub use labels::{
    ApprovalOutcome, BearerResult, CallbackResult, ChallengeKind, ChannelDecision, DecisionLabel,
    Label, Limit, MethodLabel, NotificationResult, OidcEndpoint, OidcOutcome, ParkedResult,
    RefreshResult, ReloadResult, SessionEnd, SignInOutcome, StatusClass, StepUpOutcome, StoreOp,
    StoreResult, StreamEnd, StreamLabel, UpstreamFailure,
};
pub use requests::{Ended, Http, RouteSeries, Routes};
pub use series::{Both, Counters, Fixed, Gauges, Histograms, MOST_NAMES, Named};

use catalogue as defined;

/// Of one process, over all its reloads. Handed down as an `Arc`.
pub struct Metrics {
    registry: Registry,
    pub http: Http,
    pub in_flight: Gauge,
    pub overhead: Histogram,
    pub connections: Gauge,
    pub limit_refusals: Counters<Limit>,
    pub streams: Gauges<StreamLabel>,
    pub streams_closed: Counters<Both<StreamLabel, StreamEnd>>,
    challenges: Named<Counter>,
    pub callbacks: Counters<CallbackResult>,
    pub logins: Counter,
    step_ups: Named<Counter>,
    step_up_duration: Named<Histogram>,
    pub refreshes: Counters<RefreshResult>,
    /// Set when it is scraped.
    pub sessions: Gauge,
    pub session_ends: Counters<SessionEnd>,
    pub bearers: Counters<BearerResult>,
    approvals: Named<Counter>,
    approval_time: Named<Histogram>,
    approvals_pending: Named<Gauge>,
    approval_numbers: Named<Counter>,
    break_glass: Named<Counter>,
    channel_decisions: Named<Counter>,
    sign_ins: Named<Counter>,
    /// Set when they are scraped.
    pub parked: Gauge,
    pub parked_bytes: Gauge,
    pub parked_requests: Counters<ParkedResult>,
    notifications: Named<Counter>,
    pub oidc_requests: Histograms<Both<OidcEndpoint, OidcOutcome>>,
    pub oidc_up: Gauge,
    jwks_success: Gauge,
    pub store_operations: Histograms<Both<StoreOp, StoreResult>>,
    pub store_up: Gauge,
    upstream_duration: Named<Histogram>,
    upstream_failures: Named<Counter>,
    upstream_up: Named<Gauge>,
    pub config_reloads: Counters<ReloadResult>,
    pub config_last_good: Gauge,
    config_last_time: Gauge,
    certificate_end: Named<Gauge>,
    pub certificate_reloads: Counters<ReloadResult>,
    pub draining: Gauge,
}

/// Of one upstream of a configuration.
#[derive(Clone, Debug)]
pub struct UpstreamSeries {
    /// From the way upstream to the header of the answer.
    pub duration: Histogram,
    failures: Vec<Counter>,
}

impl UpstreamSeries {
    pub fn failed(&self, reason: UpstreamFailure) {
        if let Some(counter) = self.failures.get(reason.index()) {
            counter.inc();
        }
    }
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Metrics {
    #[expect(
        clippy::new_without_default,
        reason = "there is one for a process, made in one place"
    )]
    pub fn new() -> Self {
        let mut all = Adding(Registry::default());
        let http = Http::default();
        all.add(&defined::HTTP_REQUESTS, requests::Requests(http.clone()));
        all.add(&defined::HTTP_DURATION, requests::Durations(http.clone()));
        all.add(&defined::DECISIONS, requests::Decisions(http.clone()));
        let version: Named<Gauge> = all.named(&defined::BUILD_INFO);
        version.of(&[env!("CARGO_PKG_VERSION")]).set(1);
        all.0
            .register_collector(Box::new(process::ProcessCollector));
        Self {
            http,
            in_flight: all.gauge(&defined::HTTP_IN_FLIGHT),
            overhead: all.histogram(&defined::OVERHEAD),
            connections: all.gauge(&defined::CONNECTIONS),
            limit_refusals: all.counters(&defined::LIMIT_REFUSALS),
            streams: all.gauges(&defined::STREAMS),
            streams_closed: all.counters(&defined::STREAMS_CLOSED),
            challenges: all.named(&defined::CHALLENGES),
            callbacks: all.counters(&defined::CALLBACKS),
            logins: all.add(&defined::LOGINS, Counter::default()),
            step_ups: all.named(&defined::STEP_UPS),
            step_up_duration: all.named(&defined::STEP_UP_DURATION),
            refreshes: all.counters(&defined::REFRESHES),
            sessions: all.gauge(&defined::SESSIONS),
            session_ends: all.counters(&defined::SESSION_ENDS),
            bearers: all.counters(&defined::BEARERS),
            approvals: all.named(&defined::APPROVALS),
            approval_time: all.named(&defined::APPROVAL_TIME),
            approvals_pending: all.named(&defined::APPROVALS_PENDING),
            approval_numbers: all.named(&defined::APPROVAL_NUMBERS),
            break_glass: all.named(&defined::BREAK_GLASS),
            channel_decisions: all.named(&defined::CHANNEL_DECISIONS),
            sign_ins: all.named(&defined::SIGN_INS),
            parked: all.gauge(&defined::PARKED),
            parked_bytes: all.gauge(&defined::PARKED_BYTES),
            parked_requests: all.counters(&defined::PARKED_REQUESTS),
            notifications: all.named(&defined::NOTIFICATIONS),
            oidc_requests: all.histograms(&defined::OIDC_REQUESTS),
            oidc_up: all.gauge(&defined::OIDC_UP),
            jwks_success: all.gauge(&defined::JWKS_SUCCESS),
            store_operations: all.histograms(&defined::STORE_OPERATIONS),
            store_up: all.gauge(&defined::STORE_UP),
            upstream_duration: all.named(&defined::UPSTREAM_DURATION),
            upstream_failures: all.named(&defined::UPSTREAM_FAILURES),
            upstream_up: all.named(&defined::UPSTREAM_UP),
            config_reloads: all.counters(&defined::CONFIG_RELOADS),
            config_last_good: all.gauge(&defined::CONFIG_LAST_GOOD),
            config_last_time: all.gauge(&defined::CONFIG_LAST_TIME),
            certificate_end: all.named(&defined::CERTIFICATE_END),
            certificate_reloads: all.counters(&defined::CERTIFICATE_RELOADS),
            draining: all.gauge(&defined::DRAINING),
            registry: all.0,
        }
    }

    /// A request was told that it needs the level.
    pub fn challenged(&self, level: &Level, kind: ChallengeKind) {
        self.challenges.of(&[&level.name, kind.name()]).inc();
    }

    pub fn step_up(&self, level: &Level, outcome: StepUpOutcome) {
        self.step_ups.of(&[&level.name, outcome.name()]).inc();
    }

    /// The level was proven, so long after the redirect.
    pub fn step_up_took(&self, level: &Level, took: std::time::Duration) {
        self.step_up_duration.of(&[&level.name]).observe(took);
    }

    /// `channel`: as the configuration names it.
    pub fn notified(&self, channel: &str, result: NotificationResult) {
        self.notifications.of(&[channel, result.name()]).inc();
    }

    pub fn approval(&self, name: &str, outcome: ApprovalOutcome) {
        self.approvals.of(&[name, outcome.name()]).inc();
    }

    /// So long after it was asked for somebody's word was the last one.
    pub fn approval_took(&self, name: &str, took: std::time::Duration) {
        self.approval_time.of(&[name]).observe(took);
    }

    pub fn wrong_number(&self, name: &str) {
        self.approval_numbers.of(&[name]).inc();
    }

    pub fn break_glass(&self, name: &str) {
        self.break_glass.of(&[name]).inc();
    }

    /// `channel`: as the configuration names it.
    pub fn decided_by(&self, channel: &str, result: ChannelDecision) {
        self.channel_decisions.of(&[channel, result.name()]).inc();
    }

    /// `client`: one that the configuration names, or `other`.
    pub fn sign_in(&self, client: &str, outcome: SignInOutcome) {
        self.sign_ins.of(&[client, outcome.name()]).inc();
    }

    /// How many of each name wait; what is not named is told of no more.
    pub fn approvals_are<'n>(&self, pending: impl IntoIterator<Item = (&'n str, usize)>) {
        let row = |(name, count): (&str, usize)| {
            let gauge = Gauge::default();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            (vec![name.into()], gauge)
        };
        self.approvals_pending.replace(pending.into_iter().map(row));
    }

    /// In the order of the configuration; once for each.
    pub fn upstreams(&self, config: &Config) -> Vec<UpstreamSeries> {
        let names = || {
            config
                .upstreams
                .iter()
                .map(|upstream| upstream.name.as_str())
        };
        let failure =
            |name, reason: UpstreamFailure| self.upstream_failures.of(&[name, reason.name()]);
        names()
            .map(|name| UpstreamSeries {
                duration: self.upstream_duration.of(&[name]),
                failures: UpstreamFailure::ALL
                    .iter()
                    .map(|reason| failure(name, *reason))
                    .collect(),
            })
            .collect()
    }

    /// Upstream, address, and whether it is used; what is not named is told of no more.
    pub fn upstreams_are<'n>(&self, states: impl IntoIterator<Item = (&'n str, String, bool)>) {
        let row = |(upstream, address, is_up): (&str, String, bool)| {
            let gauge = Gauge::default();
            gauge.set(i64::from(is_up));
            (vec![upstream.into(), address.into()], gauge)
        };
        self.upstream_up.replace(states.into_iter().map(row));
    }

    /// `name`: by which the configuration knows the certificate.
    pub fn certificate(&self, name: &str, not_after: Timestamp) {
        self.certificate_end.of(&[name]).set(not_after.as_unix());
    }

    /// Certificates of other names are told of no more.
    pub fn keep_certificates<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        self.certificate_end.keep(names);
    }

    pub fn keys_were_read(&self, at: Timestamp) {
        self.jwks_success.set(at.as_unix());
    }

    /// The first configuration is no reload, and counts as none: `loaded` alone.
    pub fn config_loaded(&self, at: Timestamp) {
        self.config_last_good.set(1);
        self.config_last_time.set(at.as_unix());
    }

    pub fn config_reloaded(&self, at: Timestamp) {
        self.config_reloads.inc(ReloadResult::Done);
        self.config_loaded(at);
    }

    /// The one that serves still does.
    pub fn config_refused(&self) {
        self.config_reloads.inc(ReloadResult::Failed);
        self.config_last_good.set(0);
    }

    /// All of them.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(64 << 10);
        match format {
            Format::Prometheus => prometheus_text::encode(&mut text, &self.registry)?,
            Format::OpenMetrics => text::encode(&mut text, &self.registry)?,
        }
        Ok(text)
    }
}

/// Registers each as it is defined.
struct Adding(Registry);

impl Adding {
    fn add<M: Metric + Clone>(&mut self, definition: &Definition, metric: M) -> M {
        // The encoder puts it back.
        let name = match definition.kind {
            Kind::Counter => definition.name.trim_end_matches("_total"),
            Kind::Gauge | Kind::Histogram(_) => definition.name,
        };
        self.0.register(name, definition.help, metric.clone());
        metric
    }

    fn gauge(&mut self, definition: &Definition) -> Gauge {
        self.add(definition, Gauge::default())
    }

    fn gauges<L: series::Labels>(&mut self, definition: &Definition) -> Gauges<L> {
        self.add(definition, Fixed::new(definition, Gauge::default))
    }

    fn counters<L: series::Labels>(&mut self, definition: &Definition) -> Counters<L> {
        self.add(definition, Fixed::new(definition, Counter::default))
    }

    fn histogram(&mut self, definition: &Definition) -> Histogram {
        self.add(definition, Histogram::new(definition.kind.buckets()))
    }

    fn histograms<L: series::Labels>(&mut self, definition: &Definition) -> Histograms<L> {
        let make = || Histogram::new(definition.kind.buckets());
        self.add(definition, Fixed::new(definition, make))
    }

    fn named<M: series::Make + Metric + TypedMetric>(
        &mut self,
        definition: &'static Definition,
    ) -> Named<M> {
        self.add(definition, Named::new(definition))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
