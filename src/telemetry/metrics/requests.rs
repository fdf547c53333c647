//! Requests by route: found by index, counted without a lock where they are allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::catalogue::{DECISIONS, HTTP_DURATION, HTTP_REQUESTS};
use super::histogram::{Histogram, REQUESTS};
use super::labels::{DecisionLabel, Label, MethodLabel, StatusClass};
use super::series::{MOST_NAMES, OTHER};
use crate::config::Config;

/// Refused before its app was known.
const NOWHERE: &str = "(none)";

/// An endpoint of stepgate's own.
const OWN: &str = "(own)";

/// Every route that configurations of this process have had.
#[derive(Clone, Default)]
pub struct Http(Arc<Mutex<BTreeMap<Name, Arc<RouteSeries>>>>);

/// App and route.
type Name = (Arc<str>, Arc<str>);

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'r> {
    pub method: &'r Method,
    /// 0: no answer began.
    pub status: u16,
    /// As the access log spells it.
    pub decision: &'r str,
    /// Of the code's, so there are only so many.
    pub reason: Option<&'static str>,
    pub took: Duration,
}

/// The series of one configuration's routes, by its indexes.
#[derive(Debug)]
pub struct Routes {
    apps: Vec<AppSeries>,
    nowhere: Arc<RouteSeries>,
}

#[derive(Debug)]
struct AppSeries {
    own: Arc<RouteSeries>,
    /// Of a request with a known host that was refused before the look-up.
    nowhere: Arc<RouteSeries>,
    routes: Vec<Arc<RouteSeries>>,
}

/// Of one route; a table for each method that was used.
#[derive(Default)]
pub struct RouteSeries {
    requests: [OnceLock<Box<[AtomicU64]>>; MethodLabel::ALL.len()],
    duration: OnceLock<Histogram>,
    /// Of decisions other than `allow`.
    reasons: Mutex<BTreeMap<(usize, &'static str), u64>>,
}

/// Of one method: status class by decision.
const CELLS: usize = StatusClass::ALL.len() * DecisionLabel::ALL.len();

impl Http {
    /// Once for each configuration.
    pub fn routes(&self, config: &Config) -> Routes {
        let apps = config.apps.iter().map(|app| AppSeries {
            own: self.series(&app.name, OWN),
            nowhere: self.series(&app.name, NOWHERE),
            routes: app
                .table
                .routes()
                .iter()
                .map(|route| self.series(&app.name, &route.id))
                .collect(),
        });
        Routes {
            apps: apps.collect(),
            nowhere: self.series(NOWHERE, NOWHERE),
        }
    }

    /// More than can be told apart are counted together.
    fn series(&self, app: &str, route: &str) -> Arc<RouteSeries> {
        let mut all = self.lock();
        let mut name: Name = (app.into(), route.into());
        if all.len() >= MOST_NAMES && !all.contains_key(&name) {
            name = (OTHER.into(), OTHER.into());
        }
        Arc::clone(all.entry(name).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<RouteSeries>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes {
    /// `app`: known by the host; `route`: app and position, where one was looked up.
    pub fn of(
        &self,
        app: Option<usize>,
        route: Option<(usize, usize)>,
        decision: &str,
    ) -> &RouteSeries {
        if let Some((app, position)) = route
            && let Some(series) = self.apps.get(app).and_then(|app| app.routes.get(position))
        {
            return series;
        }
        match app.and_then(|app| self.apps.get(app)) {
            Some(app) if decision == DecisionLabel::Own.name() => &app.own,
            Some(app) => &app.nowhere,
            None => &self.nowhere,
        }
    }
}

impl RouteSeries {
    pub fn count(&self, ended: Ended<'_>) {
        let method = MethodLabel::from(ended.method);
        let decision = DecisionLabel::of(ended.decision);
        let table = self
            .requests
            .get(method.index())
            .map(|table| table.get_or_init(|| (0..CELLS).map(|_| AtomicU64::new(0)).collect()));
        let class = StatusClass::of(ended.status);
        if let Some(cell) = table.and_then(|table| table.get(cell(class, decision))) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
        self.duration
            .get_or_init(|| Histogram::new(REQUESTS))
            .observe(ended.took);
        if decision != DecisionLabel::Allow {
            let key = (decision.index(), ended.reason.unwrap_or_default());
            *self.lock().entry(key).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, &'static str), u64>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is not zero: method, class, decision, count.
    fn counted(&self) -> impl Iterator<Item = (MethodLabel, StatusClass, DecisionLabel, u64)> {
        let tables = MethodLabel::ALL.iter().zip(&self.requests);
        tables
            .filter_map(|(method, table)| Some((*method, table.get()?)))
            .flat_map(|(method, table)| {
                StatusClass::ALL.iter().flat_map(move |class| {
                    DecisionLabel::ALL.iter().filter_map(move |decision| {
                        let count = table.get(cell(*class, *decision))?.load(Ordering::Relaxed);
                        (count > 0).then_some((method, *class, *decision, count))
                    })
                })
            })
    }
}

fn cell(class: StatusClass, decision: DecisionLabel) -> usize {
    class.index() * DecisionLabel::ALL.len() + decision.index()
}

/// `stepgate_http_requests_total`
#[derive(Clone, Debug)]
pub(in crate::telemetry::metrics) struct Requests(pub(in crate::telemetry::metrics) Http);

impl EncodeMetric for Requests {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for ((app, route), series) in &*self.0.lock() {
            for (method, class, decision, count) in series.counted() {
                let values = [
                    &**app,
                    &**route,
                    method.name(),
                    class.name(),
                    decision.name(),
                ];
                counter(&mut encoder, HTTP_REQUESTS.labels, &values, count)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// `stepgate_http_request_duration_seconds`
#[derive(Clone, Debug)]
pub(in crate::telemetry::metrics) struct Durations(pub(in crate::telemetry::metrics) Http);

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for ((app, route), series) in &*self.0.lock() {
            if let Some(duration) = series.duration.get() {
                let labels = labels(HTTP_DURATION.labels, &[app, route]);
                duration.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// `stepgate_decisions_total`
#[derive(Clone, Debug)]
pub(in crate::telemetry::metrics) struct Decisions(pub(in crate::telemetry::metrics) Http);

impl EncodeMetric for Decisions {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for ((app, route), series) in &*self.0.lock() {
            let allowed: u64 = series
                .counted()
                .filter(|(.., decision, _)| *decision == DecisionLabel::Allow)
                .map(|(.., count)| count)
                .sum();
            if allowed > 0 {
                let values = [&**app, &**route, DecisionLabel::Allow.name(), ""];
                counter(&mut encoder, DECISIONS.labels, &values, allowed)?;
            }
            for ((decision, reason), count) in &*series.lock() {
                let decision = DecisionLabel::ALL
                    .get(*decision)
                    .map_or("", |label| label.name());
                let values = [&**app, &**route, decision, reason];
                counter(&mut encoder, DECISIONS.labels, &values, *count)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

fn counter(
    encoder: &mut MetricEncoder<'_>,
    names: &'static [&'static str],
    values: &[&str],
    count: u64,
) -> fmt::Result {
    let labels = labels(names, values);
    encoder
        .encode_family(&labels)?
        .encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn labels<'v>(names: &'static [&'static str], values: &[&'v str]) -> Vec<(&'static str, &'v str)> {
    names.iter().copied().zip(values.iter().copied()).collect()
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl fmt::Debug for RouteSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteSeries").finish_non_exhaustive()
    }
}
