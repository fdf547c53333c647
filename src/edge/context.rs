//! What is known of one request while it goes through the phases.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::client::Client;
use super::tunnel::Progress;
use crate::config::HostIndex;
use crate::gate::{Forward, Record};
use crate::model::random::Random;
use crate::model::target::Target;

/// From its first phase to its line in the access log.
#[derive(Debug)]
pub(crate) struct Context {
    pub(in crate::edge) id: String,
    pub(in crate::edge) started: Instant,
    pub(in crate::edge) place: Option<HostIndex>,
    pub(in crate::edge) target: Option<Target>,
    pub(in crate::edge) client: Option<Client>,
    pub(in crate::edge) peer: Option<IpAddr>,
    /// May go upstream.
    pub(in crate::edge) forward: Option<Forward>,
    /// Of what does not.
    pub(in crate::edge) record: Option<Record>,
    /// Of a request to upgrade.
    pub(in crate::edge) tunnel: Option<Arc<Progress>>,
    /// Why the upstream did not answer.
    pub(in crate::edge) error: Option<&'static str>,
}

impl Context {
    pub(in crate::edge) fn new(id: String) -> Self {
        Self {
            id,
            started: Instant::now(),
            place: None,
            target: None,
            client: None,
            peer: None,
            forward: None,
            record: None,
            tunnel: None,
            error: None,
        }
    }

    pub(in crate::edge) fn record(&self) -> Option<&Record> {
        self.record
            .as_ref()
            .or_else(|| self.forward.as_ref().map(|forward| &forward.record))
    }
}

/// Names of requests for logs and pages: unique over processes, and no secret.
#[derive(Debug)]
pub(in crate::edge) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(in crate::edge) fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self {
            process: u64::from_be_bytes(bytes),
            next: AtomicU64::new(0),
        }
    }

    pub(in crate::edge) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number:08x}", self.process)
    }
}
