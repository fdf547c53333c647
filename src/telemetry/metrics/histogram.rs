//! How long things take, counted without a lock: two additions an observation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in microseconds, rising; what is longer than the last one goes into one more bucket.
pub type Buckets = &'static [u64];

/// A request as a user feels it: OpenTelemetry's buckets for `http.server.request.duration`.
pub(super) const REQUESTS: Buckets = &[
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// What the proxy itself adds, and what a store on a local disk takes.
pub(super) const SHORT: Buckets = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000,
];

/// A person who types a code.
pub(super) const PEOPLE: Buckets = &[
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// Somebody else has to look at it first: up to an hour.
pub(super) const DECISIONS_OF_PEOPLE: Buckets = &[
    5_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_200_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Histogram(Arc<Inner>);

struct Inner {
    bounds: Buckets,
    /// One more than there are bounds. Each observation is in one of them.
    cells: Box<[AtomicU64]>,
    /// In nanoseconds: full after 580 years.
    sum: AtomicU64,
}

impl Histogram {
    pub(in crate::telemetry::metrics) fn new(bounds: Buckets) -> Self {
        Self(Arc::new(Inner {
            bounds,
            cells: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }))
    }

    pub fn observe(&self, took: Duration) {
        let inner = &*self.0;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let index = inner
            .bounds
            .partition_point(|bound| bound * 1_000 < nanoseconds);
        if let Some(cell) = inner.cells.get(index) {
            cell.fetch_add(1, Ordering::Relaxed);
            inner.sum.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// How often it was observed.
    pub fn count(&self) -> u64 {
        let cells = self.0.cells.iter();
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has floating-point numbers; a millisecond is still there after a century"
)]
impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let inner = &*self.0;
        let bounds = inner.bounds.iter().map(|bound| *bound as f64 / 1e6);
        let counts = inner.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        // Not a number of its own: it could not agree with buckets that are counted at the same time.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = inner.sum.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use prometheus_client::encoding::prometheus_text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn an_observation_is_in_every_bucket_that_holds_it() {
        let histogram = Histogram::new(&[1_000, 2_000]);
        for microseconds in [0, 1_000, 1_001, 2_000, 2_001, 5_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let mut registry = Registry::default();
        registry.register("h", "h", histogram);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        let shown: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            shown,
            [
                "h_bucket{le=\"0.001\"} 2",
                "h_bucket{le=\"0.002\"} 4",
                "h_bucket{le=\"+Inf\"} 6",
                "h_sum 5.006002",
                "h_count 6",
            ]
        );
    }

    #[test]
    fn bounds_rise() {
        for buckets in [REQUESTS, SHORT, PEOPLE, DECISIONS_OF_PEOPLE] {
            assert!(buckets.is_sorted_by(|one, next| one < next));
        }
    }
}
