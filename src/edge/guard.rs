//! Before the first phase: how many connections there may be, and how long a request header may take in all.
//!
//! Pingora's own header timer restarts with every read (cloudflare/pingora#447): a byte every 59 seconds would hold a
//! connection for ever. The deadline here covers the wait between two requests of a connection, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora::time::fast_timeout::fast_sleep;

use super::client::is_trusted;
use crate::config::Config;

tokio::task_local! {
    /// Set by the first phase: the header is there.
    static HEADER_SEEN: Arc<AtomicBool>;
}

/// Ends the deadline of the request that this task serves.
pub(in crate::edge) fn header_is_there() {
    // Outside a guarded connection there is no deadline to end.
    let _outside = HEADER_SEEN.try_with(|seen| seen.store(true, Ordering::Relaxed));
}

/// The proxy with a deadline on request headers. Delegates everything else, or graceful stop and limits are lost.
#[derive(Debug)]
struct Deadline<A> {
    inner: Arc<A>,
    header_time: Duration,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Deadline<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let seen = Arc::new(AtomicBool::new(false));
        let work = HEADER_SEEN.scope(
            Arc::clone(&seen),
            self.inner.process_new_http(session, shutdown),
        );
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = fast_sleep(self.header_time) => {}
            // The process is about to end: a connection that waits for its next request has no reason to.
            () = stopping(shutdown.clone()) => {}
        }
        if seen.load(Ordering::Relaxed) {
            work.await
        } else {
            None
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.inner.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.inner.server_options()
    }

    async fn http_cleanup(&self) {
        self.inner.http_cleanup().await;
    }
}

async fn stopping(mut shutdown: ShutdownWatch) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        // Whoever could have said so is gone, and so is the reason to wait for it.
        std::future::pending().await
    }
}

/// The whole front: counted connections, each with the deadline.
#[derive(Debug)]
pub(crate) struct Guard<A> {
    app: Arc<Deadline<A>>,
    config: Arc<Config>,
    open: Connections,
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
    address: Option<IpAddr>,
}

impl<A> Guard<A> {
    pub(crate) fn new(app: A, config: Arc<Config>) -> Self {
        let app = Arc::new(Deadline {
            inner: Arc::new(app),
            header_time: config.limits.header_time,
        });
        Self {
            app,
            config,
            open: Connections::default(),
        }
    }

    pub(crate) fn connections(&self) -> Connections {
        self.open.clone()
    }

    /// Nothing when there is none left. All of a trusted proxy's clients share its address, so it has no limit of its own.
    fn place(&self, address: Option<IpAddr>) -> Option<Place> {
        let limits = &self.config.limits;
        let address = address.filter(|address| !is_trusted(*address, &self.config.trusted_proxies));
        let mut open = self.open.lock();
        if open.all >= limits.connections {
            return None;
        }
        if let Some(address) = address {
            let count = open.by_address.entry(address).or_default();
            if *count >= limits.connections_per_address {
                return None;
            }
            *count += 1;
        }
        open.all += 1;
        Some(Place {
            open: self.open.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
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
        let Some(_place) = self.place(peer.map(|address| address.ip().to_canonical())) else {
            tracing::warn!("a connection was closed at once: too many are open");
            return None;
        };
        self.app.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
