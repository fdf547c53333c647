//! Metrics with labels: by values that are known beforehand, or by names of the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::catalogue::Definition;
use super::histogram::Histogram;
use super::labels::Label;

/// Series that one metric may have by names of configurations, over all reloads of a process. What comes later is
/// counted under [`OTHER`].
pub const MOST_NAMES: usize = 5_000;

/// No name of a configuration: those have no brackets.
pub(super) const OTHER: &str = "(other)";

/// One label, or two: what [`Fixed`] has a series for.
pub trait Labels: Copy + Send + Sync + 'static {
    const COUNT: usize;

    fn position(self) -> usize;

    /// The values at a position, in the order of the definition's labels.
    fn values(position: usize) -> Vec<&'static str>;
}

impl<L: Label> Labels for L {
    const COUNT: usize = L::ALL.len();

    fn position(self) -> usize {
        self.index()
    }

    fn values(position: usize) -> Vec<&'static str> {
        L::ALL
            .get(position)
            .map(|label| label.name())
            .into_iter()
            .collect()
    }
}

/// Two labels at once.
#[derive(Clone, Copy, Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Label, B: Label> Labels for Both<A, B> {
    const COUNT: usize = A::ALL.len() * B::ALL.len();

    fn position(self) -> usize {
        self.0.index() * B::ALL.len() + self.1.index()
    }

    fn values(position: usize) -> Vec<&'static str> {
        let width = B::ALL.len().max(1);
        let mut values = A::values(position / width);
        values.extend(B::values(position % width));
        values
    }
}

/// A metric for each value of its labels. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Fixed<L, M> {
    labels: &'static [&'static str],
    all: Arc<[M]>,
    of: PhantomData<L>,
}

pub type Counters<L> = Fixed<L, Counter>;
pub type Gauges<L> = Fixed<L, Gauge>;
pub type Histograms<L> = Fixed<L, Histogram>;

impl<L: Labels, M> Fixed<L, M> {
    pub(in crate::telemetry::metrics) fn new(
        definition: &Definition,
        make: impl Fn() -> M,
    ) -> Self {
        Self {
            labels: definition.labels,
            all: (0..L::COUNT).map(|_| make()).collect(),
            of: PhantomData,
        }
    }

    fn at(&self, labels: L) -> Option<&M> {
        self.all.get(labels.position())
    }
}

impl<L: Labels> Fixed<L, Counter> {
    pub fn inc(&self, labels: L) {
        self.add(labels, 1);
    }

    pub fn add(&self, labels: L, count: u64) {
        if let Some(counter) = self.at(labels) {
            counter.inc_by(count);
        }
    }

    pub fn get(&self, labels: L) -> u64 {
        self.at(labels).map_or(0, |counter| counter.get())
    }
}

impl<L: Labels> Fixed<L, Gauge> {
    pub fn inc(&self, labels: L) {
        if let Some(gauge) = self.at(labels) {
            gauge.inc();
        }
    }

    pub fn dec(&self, labels: L) {
        if let Some(gauge) = self.at(labels) {
            gauge.dec();
        }
    }

    pub fn set(&self, labels: L, value: i64) {
        if let Some(gauge) = self.at(labels) {
            gauge.set(value);
        }
    }

    pub fn get(&self, labels: L) -> i64 {
        self.at(labels).map_or(0, |gauge| gauge.get())
    }
}

impl<L: Labels> Fixed<L, Histogram> {
    pub fn observe(&self, labels: L, took: std::time::Duration) {
        if let Some(histogram) = self.at(labels) {
            histogram.observe(took);
        }
    }

    pub fn count(&self, labels: L) -> u64 {
        self.at(labels).map_or(0, Histogram::count)
    }
}

impl<L: Labels, M: EncodeMetric + TypedMetric> EncodeMetric for Fixed<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (position, metric) in self.all.iter().enumerate() {
            let values = L::values(position);
            let labels: Vec<_> = self.labels.iter().copied().zip(values).collect();
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

impl<L, M> fmt::Debug for Fixed<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixed")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// A metric for each name that configurations have had: upstreams, levels, certificates. A handle is taken once for each
/// configuration; taking one locks, counting with it does not.
#[derive(Clone)]
pub struct Named<M> {
    definition: &'static Definition,
    all: Arc<Mutex<BTreeMap<Vec<Arc<str>>, M>>>,
}

/// A new one, at zero.
pub trait Make: Clone {
    fn make(definition: &Definition) -> Self;
}

impl Make for Counter {
    fn make(_: &Definition) -> Self {
        Self::default()
    }
}

impl Make for Gauge {
    fn make(_: &Definition) -> Self {
        Self::default()
    }
}

impl Make for Histogram {
    fn make(definition: &Definition) -> Self {
        Self::new(definition.kind.buckets())
    }
}

impl<M: Make> Named<M> {
    pub(in crate::telemetry::metrics) fn new(definition: &'static Definition) -> Self {
        Self {
            definition,
            all: Arc::default(),
        }
    }

    /// `names`, in the order of the definition's labels: of the configuration or fixed in the code, never a client's.
    pub(in crate::telemetry::metrics) fn of(&self, names: &[&str]) -> M {
        let mut all = self.lock();
        let mut key: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        if all.len() >= MOST_NAMES && !all.contains_key(&key) {
            key = names.iter().map(|_| Arc::from(OTHER)).collect();
        }
        all.entry(key)
            .or_insert_with(|| M::make(self.definition))
            .clone()
    }

    /// These and no others, all at once.
    pub(in crate::telemetry::metrics) fn replace(
        &self,
        rows: impl IntoIterator<Item = (Vec<Arc<str>>, M)>,
    ) {
        let rows = rows.into_iter().take(MOST_NAMES).collect();
        *self.lock() = rows;
    }

    /// What is configured no more is told of no more. `names`: of the first label.
    pub(in crate::telemetry::metrics) fn keep<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        let names: Vec<_> = names.into_iter().collect();
        let is_known = |key: &[Arc<str>]| key.first().is_some_and(|name| names.contains(&&**name));
        self.lock().retain(|key, _| is_known(key));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<Arc<str>>, M>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Named<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, metric) in &*all {
            let labels = self
                .definition
                .labels
                .iter()
                .copied()
                .zip(key.iter().map(|name| &**name));
            let labels: Vec<_> = labels.collect();
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

impl<M> fmt::Debug for Named<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named")
            .field("definition", self.definition)
            .finish_non_exhaustive()
    }
}
