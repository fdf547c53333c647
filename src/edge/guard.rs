//! Before the first phase: how many connections there may be, and how long a request header may take in all.
//!
//! Pingora's own header timer restarts with every read (cloudflare/pingora#447): a byte every 59 seconds would hold a
//! connection for ever. The deadline here covers the wait between two requests of a connection, too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::fast_timeout::fast_sleep;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::begin::{Beginning, RequestLine};
use super::client::is_trusted;
use super::farewell::{ClientStream, Farewell, Reason};
use super::forwarded::Straight;
use super::h2;
use super::snapshot::Current;
use super::tls::{Secured, Tls};
use crate::config::ForwardAuth;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Label as _, Limit};

tokio::task_local! {
    /// The one that this task serves.
    static CONNECTION: Arc<Connection>;
}

/// What is known of a connection, for as long as it is open.
#[derive(Debug)]
pub(in crate::edge) struct Connection {
    wait: Wait,
    farewell: Farewell,
    /// Bytes of the header that is waited for.
    header: AtomicUsize,
    line: RequestLine,
    straight: Straight,
    /// Once there was a handshake; never on a plain one.
    secured: OnceLock<Secured>,
}

impl Connection {
    fn new() -> Self {
        Self {
            wait: Wait::new(),
            farewell: Farewell::default(),
            header: AtomicUsize::new(0),
            line: RequestLine::default(),
            straight: Straight::default(),
            secured: OnceLock::new(),
        }
    }

    /// A request's header is not all there.
    pub(in crate::edge) fn waits(&self) -> bool {
        self.wait.is_on()
    }

    pub(in crate::edge) fn header_read(&self) -> usize {
        self.header.load(Ordering::Relaxed)
    }

    pub(in crate::edge) fn header_grows(&self, bytes: &[u8]) {
        self.header.fetch_add(bytes.len(), Ordering::Relaxed);
        self.line.grows(bytes);
    }

    /// What still comes of it is nothing that is waited for.
    pub(in crate::edge) fn header_is_refused(&self) {
        self.header.store(0, Ordering::Relaxed);
    }

    fn begin(&self) {
        self.header.store(0, Ordering::Relaxed);
        self.line.begins();
        self.wait.begin();
    }
}

/// Whether the target that Pingora shows for this task's request is not what the client sent.
pub(in crate::edge) fn target_is_repaired() -> bool {
    CONNECTION
        .try_with(|connection| connection.line.is_illegal())
        .unwrap_or(false)
}

/// A look at how the connection that this task serves is secured; nothing on a plain one.
pub(in crate::edge) fn secured<T>(look: impl FnOnce(&Secured) -> T) -> Option<T> {
    CONNECTION
        .try_with(|connection| connection.secured.get().map(look))
        .ok()
        .flatten()
}

/// A look at what is told of requests that come straight over the connection that this task serves.
pub(in crate::edge) fn straight<T>(look: impl FnOnce(&Straight) -> T) -> Option<T> {
    CONNECTION
        .try_with(|connection| look(&connection.straight))
        .ok()
}

/// Since when a connection waits for a request's header. One for each connection, so that a request costs no timer.
#[derive(Debug)]
struct Wait {
    opened: Instant,
    /// Milliseconds from `opened`, or [`SERVED`].
    since: AtomicU64,
}

/// Seconds, for whoever was turned away.
const RETRY: u64 = 5;

/// For an answer to one that is turned away, and how many get one at the same time.
const FAREWELL: Duration = Duration::from_secs(1);
const ANSWERED: usize = 64;

/// Between two words on connections that are turned away.
const QUIET: Duration = Duration::from_secs(60);

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

/// The answer that switches protocols is about to be written to the connection that this task serves.
pub(in crate::edge) fn tunnel_opens() {
    let _outside = CONNECTION.try_with(|connection| connection.farewell.tunnel_opens());
}

/// A hand on the connection that this task serves.
pub(in crate::edge) fn farewell() -> Option<Farewell> {
    CONNECTION
        .try_with(|connection| connection.farewell.clone())
        .ok()
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
        let _outside = CONNECTION.try_with(|connection| connection.begin());
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
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
    /// Of answers to those that are too many.
    turns: Arc<Semaphore>,
}

impl Connections {
    fn new() -> Self {
        Self {
            open: Arc::default(),
            turns: Arc::new(Semaphore::new(ANSWERED)),
        }
    }

    /// Whether an operator has not been told of it for a while.
    fn is_news(&self) -> bool {
        let mut open = self.lock();
        let is_news = open.told.is_none_or(|told| told.elapsed() >= QUIET);
        if is_news {
            open.told = Some(Instant::now());
        }
        is_news
    }

    pub(crate) fn are_over(&self) -> bool {
        self.lock().all == 0
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Of connections that were turned away.
    told: Option<Instant>,
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
            open: Connections::new(),
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
                address.filter(counted).map(source),
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

/// One household or host gets a /64 of IPv6, and with it more addresses than can be counted.
fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
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
    /// A client that there is no place for is told so, if that costs little: not before a handshake, and not to many at
    /// the same time.
    async fn turn_away(&self, mut stream: Stream, limit: Limit) {
        if self.open.is_news() {
            tracing::warn!(
                limit = limit.name(),
                "connections are turned away: too many are open"
            );
        }
        if self.tls.is_some() {
            return;
        }
        let Ok(_turn) = self.open.turns.try_acquire() else {
            return;
        };
        let status = match limit {
            Limit::ConnectionsPerAddress => "429 Too Many Requests",
            _ => "503 Service Unavailable",
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nCache-Control: no-store\r\nRetry-After: {RETRY}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let told = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(&mut stream).await?;
            // What it has sent already would otherwise take the answer away from it.
            let mut sent = [0; 1024];
            for _ in 0..64 {
                if stream.read(&mut sent).await? == 0 {
                    break;
                }
            }
            std::io::Result::Ok(())
        };
        let _gone = tokio::time::timeout(FAREWELL, told).await;
    }

    /// Envoy puts its questions by HTTP/2 without TLS (RFC 9113 3.3); nobody else is listened to for that.
    fn is_asked_by_grpc(&self, peer: Option<IpAddr>) -> bool {
        self.current.look(|snapshot| {
            let config = snapshot.config();
            peer.is_some_and(|peer| is_trusted(peer, &config.trusted_proxies))
                && config
                    .apps
                    .iter()
                    .any(|app| app.forward_auth == Some(ForwardAuth::Envoy))
        })
    }

    async fn serve(
        &self,
        mut stream: Stream,
        connection: &Arc<Connection>,
        peer: Option<IpAddr>,
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
        let limits = self
            .current
            .look(|snapshot| snapshot.config().limits.clone());
        let is_h2 = match &self.tls {
            Some(_) => stream.selected_alpn_proto() == Some(ALPN::H2),
            None => self.is_asked_by_grpc(peer) && begins_h2(&mut stream).await?,
        };
        if !is_h2 {
            let stream = Beginning::new(
                stream,
                Arc::clone(connection),
                limits.header_bytes,
                self.current.clone(),
                peer,
            );
            let stream = ClientStream::new(Box::new(stream), connection.farewell.clone());
            return self.app.process_new(Box::new(stream), shutdown).await;
        }
        h2::serve(
            &self.app.0,
            stream,
            shutdown,
            &limits,
            &self.metrics.limit_refusals,
            || connection.wait.end(),
            |work| {
                tokio::spawn(CONNECTION.scope(Arc::clone(connection), work));
            },
        )
        .await;
        None
    }
}

/// The preface of RFC 9113 3.4 begins as no other request does. `None`: the connection has ended before.
async fn begins_h2(stream: &mut Stream) -> Option<bool> {
    let mut first = [0; 3];
    let is_looked_at = stream.try_peek(&mut first).await.ok()?;
    Some(is_looked_at && first == *b"PRI")
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
            .and_then(|address| address.as_inet())
            .map(|address| address.ip().to_canonical());
        let place = self.place(peer);
        let _place = match place {
            Ok(place) => place,
            Err(limit) => {
                self.metrics.limit_refusals.inc(limit);
                self.turn_away(stream, limit).await;
                return None;
            }
        };
        let connection = Arc::new(Connection::new());
        let Connection { wait, farewell, .. } = &*connection;
        let work = self.serve(stream, &connection, peer, shutdown);
        let work = CONNECTION.scope(Arc::clone(&connection), work);
        tokio::pin!(work);
        let most = self
            .current
            .look(|snapshot| snapshot.config().limits.header_time);
        let stopping = stopping(shutdown.clone());
        tokio::pin!(stopping);
        let late = farewell.is_late();
        tokio::pin!(late);
        let mut stops = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut late => return None,
                () = &mut stopping, if !stops => {
                    stops = true;
                    farewell.say(Reason::GoingAway);
                }
                () = fast_sleep(wait.left(most)) => {}
            }
            // The process is about to end: a connection that waits for its next request has no reason to.
            if wait.is_on() && (stops || wait.left(most).is_zero()) {
                // One that is kept open for a next request may have none.
                let began = connection.header_read() > 0
                    || (self.tls.is_some() && connection.secured.get().is_none());
                if !stops && began {
                    self.metrics.limit_refusals.inc(Limit::HeaderTime);
                }
                return None;
            }
        }
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
