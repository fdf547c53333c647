//! One running stepgate: everything that a configuration describes, on the current runtime.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::watch;

use crate::config::{Config, Par};
use crate::edge::{self, Connections, Peers, Proxy, Snapshot};
use crate::gate::{Gate, GateError, Parts};
use crate::model::random::Random;
use crate::model::time::Clock;
use crate::oidc::{OidcError, Provider};
use crate::seal::{KeyError, Sealer, fresh_key};
use crate::store::{Capacity, MemoryStore};
use crate::telemetry::{Audit, Lines, LinesError};

/// Between two looks at what is still in flight.
const LOOK: Duration = Duration::from_millis(20);

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
    #[error("seal keys: {0}")]
    Seal(#[from] KeyError),
    #[error("keycloak: {0}")]
    Provider(#[from] OidcError),
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// Sockets that are bound already: a port that is taken is told before anything runs.
#[derive(Debug)]
pub struct Listeners(Vec<TcpListener>);

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
        config
            .listen
            .iter()
            .map(bind)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As they are: port 0 of the configuration is a real one here.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
    }
}

#[derive(Debug)]
pub struct Instance {
    config: Arc<Config>,
    provider: Arc<Provider>,
    peers: Arc<Peers>,
    proxy: Proxy,
}

impl Instance {
    /// No I/O but opening the logs. `rustls`' process-wide crypto provider has to be installed before.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is handed on to all that draw"
    )]
    pub fn new(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let provider = Arc::new(Provider::new(
            &config.keycloak,
            Arc::clone(&clock),
            Arc::clone(&random),
        )?);
        let store = MemoryStore::new(Capacity::default(), config.sessions.idle);
        // Sessions live no longer than this process, so its flows need not either.
        let drawn = [fresh_key(&*random)];
        let keys = if config.seal_keys.is_empty() {
            &drawn[..]
        } else {
            &config.seal_keys
        };
        let sealer = Sealer::new(keys, Arc::clone(&random))?;
        let audit = Audit::new(Lines::open(&config.log.audit)?);
        let gate = Arc::new(Gate::new(Parts {
            config: Arc::clone(&config),
            provider: Arc::clone(&provider),
            store: Arc::new(store),
            sealer,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            audit,
        })?);
        let peers = Arc::new(Peers::new(&config.upstreams));
        let access = Lines::open(&config.log.access)?;
        let snapshot = Snapshot::new(gate, Arc::clone(&peers), access, clock);
        let proxy = Proxy::new(snapshot, &*random);
        Ok(Self {
            config,
            provider,
            peers,
            proxy,
        })
    }

    /// Until `stop` says so; then what is in flight has the configured grace.
    pub async fn serve(self, listeners: Listeners, stop: watch::Receiver<bool>) {
        let mut fds = Fds::new();
        let front = edge::front(self.proxy, Arc::clone(&self.config));
        let connections = front.connections();
        let mut service = Service::new("stepgate".to_owned(), front);
        for (index, listener) in listeners.0.into_iter().enumerate() {
            // Only a key: Pingora finds the socket under it, and binds nothing itself.
            let key = format!("stepgate-{index}");
            fds.add(key.clone(), listener.into_raw_fd());
            service.add_tcp(&key);
        }
        let fresh = tokio::spawn({
            let provider = Arc::clone(&self.provider);
            let stop = until(stop.clone());
            async move { provider.keep_fresh(stop).await }
        });
        let looking = tokio::spawn(look_for_push(
            Arc::clone(&self.provider),
            Arc::clone(&self.config),
        ));
        let resolving = tokio::spawn({
            let peers = Arc::clone(&self.peers);
            async move {
                loop {
                    let pause = peers.resolve().await;
                    tokio::time::sleep(pause).await;
                }
            }
        });
        service
            .start_service(Some(Arc::new(Mutex::new(fds))), stop, 1)
            .await;
        drain(&connections, self.config.limits.grace).await;
        resolving.abort();
        fresh.abort();
        looking.abort();
    }
}

/// Once discovery is there: without pushed requests some routes can never be met, and whoever runs this has to know.
async fn look_for_push(provider: Arc<Provider>, config: Arc<Config>) {
    let offered = loop {
        match provider.status().pushes {
            Some(offered) => break offered,
            None => tokio::time::sleep(LOOK).await,
        }
    };
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
