//! What serves a request: everything that one configuration describes. A request keeps to the one that it began with.

use std::sync::Arc;

use super::peer::Peers;
use super::reserved::Reserved;
use crate::config::Config;
use crate::gate::Gate;
use crate::model::time::Clock;
use crate::telemetry::Lines;

#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(in crate::edge) gate: Arc<Gate>,
    pub(in crate::edge) peers: Arc<Peers>,
    pub(in crate::edge) reserved: Reserved,
    pub(in crate::edge) access: Lines,
    pub(in crate::edge) clock: Arc<dyn Clock>,
}

impl Snapshot {
    pub(crate) fn new(
        gate: Arc<Gate>,
        peers: Arc<Peers>,
        access: Lines,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            reserved: Reserved::new(gate.config()),
            gate,
            peers,
            access,
            clock,
        }
    }

    pub(in crate::edge) fn config(&self) -> &Config {
        self.gate.config()
    }
}
