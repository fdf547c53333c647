//! One running stepgate: everything that a configuration describes, on the current runtime.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::certificates::Certificates;
use super::generation::{Generation, Lasting};
use super::running::Running;
use super::store::StoreError;
use crate::admin::AdminError;
use crate::config::{Config, Par};
use crate::edge::{self, Connections, Proxy, TlsError};
use crate::gate::GateError;
use crate::model::random::Random;
use crate::model::time::Clock;
use crate::oidc::OidcError;
use crate::seal::KeyError;
use crate::store::Stock;
use crate::telemetry::{LinesError, Metrics};

/// Between two looks at what is still in flight.
const LOOK: Duration = Duration::from_millis(20);

/// Between two looks at what time has done to approvals.
const APPROVALS_EVERY: Duration = Duration::from_secs(1);

/// Between two looks at open streams.
const STREAMS_EVERY: Duration = Duration::from_millis(100);

/// Between two looks at seal keys that were replaced.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Log(#[from] LinesError),
    #[error("sessions: {0}")]
    Store(#[from] StoreError),
    #[error("seal keys: {0}")]
    Seal(#[from] KeyError),
    #[error("keycloak: {0}")]
    Provider(#[from] OidcError),
    #[error("listen_tls: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// Sockets that are bound already: a port that is taken is told before anything runs.
#[derive(Debug)]
pub struct Listeners {
    plain: Vec<TcpListener>,
    secure: Vec<TcpListener>,
}

impl Listeners {
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = |address: &SocketAddr| {
            let listen = |source| StartError::Listen {
                address: *address,
                source,
            };
            let listener = TcpListener::bind(address).map_err(listen)?;
            listener.set_nonblocking(true).map_err(listen)?;
            Ok(listener)
        };
        let all = |addresses: &[SocketAddr]| -> Result<Vec<_>, StartError> {
            addresses.iter().map(bind).collect()
        };
        Ok(Self {
            plain: all(&config.listen)?,
            secure: all(&config.listen_tls)?,
        })
    }

    /// Of plain HTTP, as they are: port 0 of the configuration is a real one here.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        addresses(&self.plain)
    }

    /// Of TLS.
    pub fn tls_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        addresses(&self.secure)
    }
}

fn addresses(listeners: &[TcpListener]) -> impl Iterator<Item = SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
}

/// Cheap to clone: a hand on what runs.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Running>);

impl Handle {
    /// Serves `config` from the next request on; an error leaves everything as it was. What is under way, and whoever is
    /// signed in, goes on. The keys that wait for a restart.
    pub async fn change(&self, config: Arc<Config>) -> Result<Vec<&'static str>, StartError> {
        self.0.change(config).await
    }

    /// What the process counts.
    /// Of the requests that are parked.
    pub fn stock(&self) -> Stock {
        self.lasting().store.stock()
    }

    pub fn metrics(&self) -> &Metrics {
        self.0.metrics()
    }

    pub(in crate::server) fn lasting(&self) -> &Lasting {
        self.0.lasting()
    }

    pub(in crate::server) fn certificates(&self) -> Option<Arc<Certificates>> {
        self.0.certificates()
    }

    pub(in crate::server) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.0.generations().borrow())
    }
}

#[derive(Debug)]
pub struct Instance {
    running: Arc<Running>,
    proxy: Proxy,
}

impl Instance {
    /// No I/O but opening the logs and the session store. `rustls`' process-wide crypto provider has to be installed before.
    pub fn new(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let lasting = Lasting::new(Arc::clone(&config), clock, random)?;
        let running = Arc::new(Running::new(lasting, config)?);
        Ok(Self {
            proxy: running.proxy(),
            running,
        })
    }

    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.running))
    }

    /// Until `stop` says so; then what is in flight has the configured grace.
    pub async fn serve(self, listeners: Listeners, stop: watch::Receiver<bool>) {
        let front = edge::front(self.proxy, self.running.current());
        let connections = front.connections();
        let mut tasks = JoinSet::new();
        let generations = || self.running.generations();
        tasks.spawn(keep_fresh(generations(), stop.clone()));
        tasks.spawn(look_for_push(generations()));
        tasks.spawn(look_after_upstreams(generations()));
        tasks.spawn(look_after_streams(generations()));
        tasks.spawn(look_after_approvals(generations()));
        tasks.spawn(forget_keys(Arc::clone(&self.running)));
        match self.running.certificates() {
            Some(certificates) => {
                let secure = front.secure(certificates.tls());
                tasks.spawn(certificates.watch());
                let plain = serve(front, listeners.plain, stop.clone());
                tokio::join!(plain, serve(secure, listeners.secure, stop));
            }
            None => serve(front, listeners.plain, stop).await,
        }
        let grace = generations().borrow().config.limits.grace;
        drain(&connections, grace).await;
        tasks.shutdown().await;
        self.running.close().await;
    }
}

type Generations = watch::Receiver<Arc<Generation>>;

/// The provider of the configuration that is served.
async fn keep_fresh(mut generations: Generations, stop: watch::Receiver<bool>) {
    loop {
        let provider = Arc::clone(&generations.borrow_and_update().provider);
        tokio::select! {
            () = provider.keep_fresh(until(stop.clone())) => return,
            changed = generations.wait_for(|next| !Arc::ptr_eq(&next.provider, &provider)) => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Seal keys that were taken out of the configuration, once nothing that they sealed can still be of use.
async fn forget_keys(running: Arc<Running>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        running.forget_keys();
    }
}

/// The names and the health of the upstreams that are served.
async fn look_after_upstreams(mut generations: Generations) {
    loop {
        let peers = Arc::clone(&generations.borrow_and_update().peers);
        tokio::select! {
            () = peers.look_after() => {}
            changed = generations.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// What is open and may have to end; by the configuration that is served.
async fn look_after_streams(mut generations: Generations) {
    loop {
        tokio::time::sleep(STREAMS_EVERY).await;
        // Nobody who changes it is left: the process ends.
        let Ok(changed) = generations.has_changed() else {
            return;
        };
        let generation = Arc::clone(&generations.borrow_and_update());
        if changed {
            generation.gate.streams().tell_all();
        }
        generation.gate.look_after_streams().await;
    }
}

/// What is over, or goes on to others; by the configuration that is served.
async fn look_after_approvals(generations: Generations) {
    loop {
        tokio::time::sleep(APPROVALS_EVERY).await;
        // Nobody who changes it is left: the process ends.
        if generations.has_changed().is_err() {
            return;
        }
        let generation = Arc::clone(&generations.borrow());
        generation.gate.look_after_approvals().await;
    }
}

/// Until `stop` says so.
async fn serve<A: ServerApp + Send + Sync + 'static>(
    front: A,
    listeners: Vec<TcpListener>,
    stop: watch::Receiver<bool>,
) {
    // A service that has nothing to listen on ends at once, and takes the proxy that it shares with it.
    if listeners.is_empty() {
        return;
    }
    let mut fds = Fds::new();
    let mut service = Service::new("stepgate".to_owned(), front);
    for (index, listener) in listeners.into_iter().enumerate() {
        // Only a key: Pingora finds the socket under it, and binds nothing itself.
        let key = format!("stepgate-{index}");
        fds.add(key.clone(), listener.into_raw_fd());
        service.add_tcp(&key);
    }
    service
        .start_service(Some(Arc::new(Mutex::new(fds))), stop, 1)
        .await;
}

/// Once discovery is there: without pushed requests some routes can never be met, and whoever runs this has to know.
async fn look_for_push(mut generations: Generations) {
    loop {
        let generation = Arc::clone(&generations.borrow_and_update());
        let offered = async {
            loop {
                match generation.provider.status().pushes {
                    Some(offered) => break offered,
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        let changed = tokio::select! {
            offered = offered => {
                warn_of_no_push(offered, &generation.config);
                generations.changed().await
            }
            changed = generations.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn warn_of_no_push(offered: bool, config: &Config) {
    if !offered && config.keycloak.par == Par::Auto {
        tracing::warn!(
            never_met = config.needs_push.join(", "),
            "keycloak offers no pushed requests (PAR): no level above the base is ever proven"
        );
    }
}

/// Whoever could say "stop" being gone means stop.
async fn until(mut stop: watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}

async fn drain(connections: &Connections, grace: Duration) {
    let over = async {
        while !connections.are_over() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(grace, over).await.is_err() {
        tracing::warn!("the grace period is over: what is still in flight is cut off");
    }
}
