//! What is known of one request while it goes through the phases.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{HeaderValue, Method};

use super::access::{self, Sent};
use super::client::Client;
use super::counts;
use super::inject::Inject;
use super::snapshot::Snapshot;
use super::streaming::{self, Streaming};
use super::tunnel::Progress;
use crate::config::{ForwardAuth, HostIndex};
use crate::gate::{Forward, Record};
use crate::model::client_certificate::ClientCertificate;
use crate::model::random::Random;
use crate::model::target::Target;
use crate::telemetry::metrics::UpstreamSeries;

/// From its first phase to its line in the access log. A request that is broken off, by the end of the process or a
/// panic, has its line as well: nothing reaches an upstream without one.
#[derive(Debug)]
pub(crate) struct Context {
    /// What the request began with, and keeps to.
    pub(in crate::edge) snapshot: Arc<Snapshot>,
    pub(in crate::edge) id: String,
    pub(in crate::edge) method: Method,
    pub(in crate::edge) started: Instant,
    pub(in crate::edge) place: Option<HostIndex>,
    pub(in crate::edge) target: Option<Target>,
    pub(in crate::edge) client: Option<Client>,
    pub(in crate::edge) peer: Option<IpAddr>,
    /// Of the connection's client.
    pub(in crate::edge) certificate: Option<Arc<ClientCertificate>>,
    /// May go upstream.
    pub(in crate::edge) forward: Option<Forward>,
    /// Another proxy asks about it, and sends it on itself.
    pub(in crate::edge) forward_auth: Option<ForwardAuth>,
    /// The answer is a message of gRPC, with its status behind it.
    pub(in crate::edge) grpc_message: bool,
    /// Of what does not.
    pub(in crate::edge) record: Option<Record>,
    /// What was parked is on its way: from here on nobody knows what the app has seen of it.
    pub(in crate::edge) is_sent_on: bool,
    /// How many more bytes of its body may come.
    pub(in crate::edge) body_left: u64,
    /// Of a request to upgrade.
    pub(in crate::edge) tunnel: Option<Arc<Progress>>,
    /// When the request went upstream.
    pub(in crate::edge) sent: Option<Instant>,
    /// `Strict-Transport-Security` of the answer (RFC 6797 7.2: never over plain HTTP).
    pub(in crate::edge) hsts: Option<HeaderValue>,
    /// Of the upstream, the last one that was asked; for the operator alone.
    pub(in crate::edge) address: Option<SocketAddr>,
    /// A browser wants a page, and the app's pages get the agent.
    pub(in crate::edge) wants_agent: bool,
    /// A page on its way; without a lock in use, there for `Sync`.
    pub(in crate::edge) inject: Option<Mutex<Inject>>,
    /// Why the upstream did not answer.
    pub(in crate::edge) error: Option<&'static str>,
    /// It stays open: a WebSocket, an event stream, a gRPC call.
    pub(in crate::edge) streaming: Option<Streaming>,
    /// Its line is written.
    is_logged: bool,
}

impl Context {
    pub(in crate::edge) fn new(snapshot: Arc<Snapshot>, id: String) -> Self {
        snapshot.metrics.in_flight.inc();
        Self {
            snapshot,
            id,
            method: Method::default(),
            started: Instant::now(),
            place: None,
            target: None,
            client: None,
            peer: None,
            certificate: None,
            forward: None,
            forward_auth: None,
            grpc_message: false,
            record: None,
            is_sent_on: false,
            body_left: 0,
            tunnel: None,
            sent: None,
            hsts: None,
            address: None,
            wants_agent: false,
            inject: None,
            error: None,
            streaming: None,
            is_logged: false,
        }
    }

    pub(in crate::edge) fn log(&mut self, sent: Sent) {
        self.is_logged = true;
        if let Some(closing) = self.streaming.as_ref().and_then(Streaming::told) {
            self.error = Some(streaming::name(closing.lack));
        }
        counts::ended(self, sent);
        access::write(self, sent);
    }

    pub(in crate::edge) fn begins(&mut self, streaming: Streaming) {
        counts::opened(self, streaming.kind);
        self.streaming = Some(streaming);
    }

    /// Of the upstream that it may go to.
    pub(in crate::edge) fn upstream_series(&self) -> Option<&UpstreamSeries> {
        self.snapshot.upstreams.get(self.forward.as_ref()?.upstream)
    }

    pub(in crate::edge) fn record(&self) -> Option<&Record> {
        self.record
            .as_ref()
            .or_else(|| self.forward.as_ref().map(|forward| &forward.record))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.is_logged {
            self.error = Some("broken-off");
            self.log(Sent::default());
        }
        counts::gone(self);
    }
}

/// Names of requests for logs and pages: unique over processes, and no secret.
#[derive(Debug)]
pub(in crate::edge) struct RequestIds {
    /// Of this process.
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(in crate::edge) fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self {
            prefix: format!("{:016x}-", u64::from_be_bytes(bytes)),
            next: AtomicU64::new(0),
        }
    }

    pub(in crate::edge) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(self.prefix.len() + 16);
        id.push_str(&self.prefix);
        // At least eight digits. Not by `format!`: this is done for every request.
        let digits = (16 - number.leading_zeros() / 4).max(8);
        for place in (0..digits).rev() {
            let digit = u32::try_from(number >> (place * 4) & 0xf).unwrap_or_default();
            id.extend(char::from_digit(digit, 16));
        }
        id
    }
}
