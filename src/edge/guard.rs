//! Before the first phase: how many connections there may be, and how long a request header may take in all.
//!
//! Pingora's own header timer restarts with every read (cloudflare/pingora#447): a byte every 59 seconds would hold a
//! connection for ever. The deadline here covers the wait between two requests of a connection, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::fast_timeout::fast_sleep;

use super::client::is_trusted;
use super::h2;
use super::snapshot::Current;
use super::tls::{Secured, Tls};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Limit;

tokio::task_local! {
    /// The one that this task serves.
    static CONNECTION: Arc<Connection>;
}

/// What is known of a connection, for as long as it is open.
#[derive(Debug)]
struct Connection {
    wait: Wait,
    /// Once there was a handshake; never on a plain one.
    secured: OnceLock<Secured>,
}

/// A look at how the connection that this task serves is secured; nothing on a plain one.
pub(in crate::edge) fn secured<T>(look: impl FnOnce(&Secured) -> T) -> Option<T> {
    CONNECTION
        .try_with(|connection| connection.secured.get().map(look))
        .ok()
        .flatten()
}

/// Since when a connection waits for a request's header. One for each connection, so that a request costs no timer.
#[derive(Debug)]
struct Wait {
    opened: Instant,
    /// Milliseconds from `opened`, or [`SERVED`].
    since: AtomicU64,
}

/// The header is there.
const SERVED: u64 = u64::MAX;

impl Wait {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    fn begin(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(SERVED, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != SERVED
    }

    /// What is left of the time for a header; all of it while there is none to wait for.
    fn left(&self, most: Duration) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let waited = Duration::from_millis(self.now().saturating_sub(since));
        most.saturating_sub(waited)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(SERVED - 1)
    }
}

/// Ends the wait of the connection that this task serves.
pub(in crate::edge) fn header_is_there() {
    // Outside a guarded connection there is no deadline to end.
    let _outside = CONNECTION.try_with(|connection| connection.wait.end());
}

/// The proxy, saying when it begins to wait for a header. Delegates everything else, or graceful stop and limits are lost.
#[derive(Debug)]
struct Waiting<A>(Arc<A>);

impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Waiting<A> {
    /// As `async_trait` has it, written out: the future of a request is large, and would be moved once more.
    fn process_new_http<'a, 'b, 'f>(
        self: &'a Arc<Self>,
        session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
    {
        let _outside = CONNECTION.try_with(|connection| connection.wait.begin());
        self.0.process_new_http(session, shutdown)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    fn http_cleanup<'a, 'f>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        'a: 'f,
    {
        self.0.http_cleanup()
    }
}

pub(in crate::edge) async fn stopping(mut shutdown: ShutdownWatch) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        // Whoever could have said so is gone, and so is the reason to wait for it.
        std::future::pending().await
    }
}

/// The whole front: counted connections, each with the deadline.
#[derive(Debug)]
pub(crate) struct Guard<A> {
    app: Arc<Waiting<A>>,
    current: Current,
    metrics: Arc<Metrics>,
    open: Connections,
    /// Handshakes are made here and not by Pingora's listener: the limits and the deadline hold for them, too.
    tls: Option<Arc<Tls>>,
}

/// How many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<Open>>);

impl Connections {
    pub(crate) fn are_over(&self) -> bool {
        self.lock().all == 0
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when it ends.
#[derive(Debug)]
struct Place {
    open: Connections,
    metrics: Arc<Metrics>,
    address: Option<IpAddr>,
}

impl<A> Guard<A> {
    pub(crate) fn new(app: A, current: Current) -> Self {
        Self {
            app: Arc::new(Waiting(Arc::new(app))),
            metrics: current.look(|snapshot| Arc::clone(&snapshot.metrics)),
            current,
            open: Connections::default(),
            tls: None,
        }
    }

    /// The same for connections that begin with a handshake. What is counted is counted together.
    pub(crate) fn secure(&self, tls: Arc<Tls>) -> Self {
        Self {
            app: Arc::clone(&self.app),
            current: self.current.clone(),
            metrics: Arc::clone(&self.metrics),
            open: self.open.clone(),
            tls: Some(tls),
        }
    }

    pub(crate) fn connections(&self) -> Connections {
        self.open.clone()
    }

    /// Nothing when there is none left. All of a trusted proxy's clients share its address, so it has no limit of its own.
    fn place(&self, address: Option<IpAddr>) -> Result<Place, Limit> {
        let (most, most_of_one, address) = self.current.look(|snapshot| {
            let config = snapshot.config();
            let counted = |address: &IpAddr| !is_trusted(*address, &config.trusted_proxies);
            let limits = &config.limits;
            (
                limits.connections,
                limits.connections_per_address,
                address.filter(counted),
            )
        });
        let mut open = self.open.lock();
        if open.all >= most {
            return Err(Limit::Connections);
        }
        if let Some(address) = address {
            let count = open.by_address.entry(address).or_default();
            if *count >= most_of_one {
                return Err(Limit::ConnectionsPerAddress);
            }
            *count += 1;
        }
        open.all += 1;
        self.metrics.connections.inc();
        Ok(Place {
            open: self.open.clone(),
            metrics: Arc::clone(&self.metrics),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        let mut open = self.open.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(address) = self.address
            && let Some(count) = open.by_address.get_mut(&address)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Guard<A> {
    async fn serve(
        &self,
        mut stream: Stream,
        connection: &Arc<Connection>,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        if let Some(tls) = &self.tls {
            let (secure, secured) = match tls.handshake(stream).await {
                Ok(done) => done,
                Err(error) => {
                    tracing::debug!(%error, "a client and stepgate found no way to talk TLS");
                    return None;
                }
            };
            stream = secure;
            let _first = connection.secured.set(secured);
        }
        if stream.selected_alpn_proto() != Some(ALPN::H2) {
            return self.app.process_new(stream, shutdown).await;
        }
        let limits = self
            .current
            .look(|snapshot| snapshot.config().limits.clone());
        h2::serve(
            &self.app.0,
            stream,
            shutdown,
            &limits,
            || connection.wait.end(),
            |work| {
                tokio::spawn(CONNECTION.scope(Arc::clone(connection), work));
            },
        )
        .await;
        None
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Guard<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        let peer = digest
            .as_ref()
            .and_then(|digest| digest.peer_addr())
            .and_then(|address| address.as_inet());
        let place = self.place(peer.map(|address| address.ip().to_canonical()));
        let _place = match place {
            Ok(place) => place,
            Err(limit) => {
                self.metrics.limit_refusals.inc(limit);
                tracing::warn!("a connection was closed at once: too many are open");
                return None;
            }
        };
        let connection = Arc::new(Connection {
            wait: Wait::new(),
            secured: OnceLock::new(),
        });
        let wait = &connection.wait;
        let work = self.serve(stream, &connection, shutdown);
        let work = CONNECTION.scope(Arc::clone(&connection), work);
        tokio::pin!(work);
        let most = self
            .current
            .look(|snapshot| snapshot.config().limits.header_time);
        let stopping = stopping(shutdown.clone());
        tokio::pin!(stopping);
        let mut stops = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut stopping, if !stops => stops = true,
                () = fast_sleep(wait.left(most)) => {}
            }
            // The process is about to end: a connection that waits for its next request has no reason to.
            if wait.is_on() && (stops || wait.left(most).is_zero()) {
                return None;
            }
        }
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
