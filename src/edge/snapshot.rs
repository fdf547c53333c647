//! What serves a request: everything that one configuration describes. A request keeps to the one that it began with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::guard;
use super::peers::Peers;
use super::reserved::Reserved;
use crate::config::{Config, HostIndex};
use crate::gate::Gate;
use crate::model::time::Clock;
use crate::telemetry::metrics::{Routes, UpstreamSeries};
use crate::telemetry::{Lines, Metrics};

#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Grows with every configuration: by it, what was made from an older one is told.
    pub(in crate::edge) number: u64,
    pub(in crate::edge) gate: Arc<Gate>,
    pub(in crate::edge) peers: Arc<Peers>,
    pub(in crate::edge) reserved: Reserved,
    pub(in crate::edge) access: Lines,
    hsts: Option<HeaderValue>,
    pub(in crate::edge) clock: Arc<dyn Clock>,
    pub(in crate::edge) metrics: Arc<Metrics>,
    pub(in crate::edge) routes: Routes,
    /// In the order of the configuration.
    pub(in crate::edge) upstreams: Vec<UpstreamSeries>,
}

impl Snapshot {
    pub(crate) fn new(
        number: u64,
        gate: Arc<Gate>,
        peers: Arc<Peers>,
        access: Lines,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let metrics = Arc::clone(gate.metrics());
        Self {
            number,
            routes: metrics.http.routes(gate.config()),
            upstreams: metrics.upstreams(gate.config()),
            metrics,
            reserved: Reserved::new(gate.config()),
            hsts: gate
                .config()
                .hsts
                .and_then(|age| HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok()),
            gate,
            peers,
            access,
            clock,
        }
    }

    pub(in crate::edge) fn config(&self) -> &Config {
        self.gate.config()
    }

    /// What is said of HTTPS in an answer over a connection of TLS.
    pub(in crate::edge) fn hsts(&self, place: HostIndex) -> Option<HeaderValue> {
        let hsts = self.hsts.as_ref()?;
        let secure = guard::secured(|_| ()).is_some()
            && self
                .config()
                .origin(place)
                .is_some_and(|origin| origin.https);
        secure.then(|| hsts.clone())
    }
}

/// What the next request begins with. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<ArcSwap<Snapshot>>);

impl Current {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Arc::new(ArcSwap::new(snapshot)))
    }

    /// All at once: a request sees the one before or this one, never parts of both.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }

    pub(in crate::edge) fn get(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// For a look that ends before anything is waited for.
    pub(in crate::edge) fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.0.load())
    }
}
