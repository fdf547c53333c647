//! What one configuration makes, and what outlives it: sessions, keys, whatever is under way.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::edge::{Peers, Snapshot};
use crate::gate::{Gate, Parts, Streams};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::Clock;
use crate::oidc::Provider;
use crate::seal::Sealer;
use crate::store::Store;
use crate::telemetry::{Audit, Lines, Metrics};

use super::counting::{StoreHealth, Watched, Watching};
use super::instance::StartError;
use super::store::{self, OwnKey, StoreError};

/// How long a new upstream's name is waited for before it is served.
const NAMES: Duration = Duration::from_secs(2);

/// How long a seal key that was replaced still opens what it sealed: longer than a login that began with it
/// takes, and than it takes to seal the stored sessions anew.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// One of each for the whole process.
#[derive(Debug)]
pub(in crate::server) struct Lasting {
    pub(in crate::server) store: Arc<dyn Store>,
    pub(in crate::server) store_health: StoreHealth,
    pub(in crate::server) sealer: Arc<Sealer>,
    pub(in crate::server) clock: Arc<dyn Clock>,
    pub(in crate::server) random: Arc<dyn Random>,
    pub(in crate::server) metrics: Arc<Metrics>,
    streams: Arc<Streams>,
    /// What the process began with: some keys of it hold until its end.
    pub(in crate::server) began: Arc<Config>,
    /// Where none is configured.
    own_key: OwnKey,
}

impl Lasting {
    pub(in crate::server) fn new(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let place = store::Place::take(&config)?;
        let metrics = Arc::new(Metrics::new());
        metrics.config_loaded(clock.now());
        let own_key = place.own_key(&*random);
        let keys = seal_keys(&config, &own_key, &*random)?;
        let sealer = Arc::new(Sealer::new(&keys, Arc::clone(&random))?);
        let store_health = StoreHealth::default();
        let streams = Arc::new(Streams::default());
        let watched = Watched {
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            health: store_health.clone(),
            streams: Arc::clone(&streams),
        };
        let store = place.open(&config, &sealer, watched)?;
        Ok(Self {
            store,
            store_health,
            sealer,
            clock,
            random,
            metrics,
            streams,
            began: config,
            own_key,
        })
    }

    pub(in crate::server) fn forget_keys(&self) {
        self.sealer.forget(self.clock.now().minus(KEPT));
    }

    /// The keys of a configuration that is about to be served.
    pub(in crate::server) fn take_keys(&self, config: &Config) -> Result<(), StartError> {
        let keys = seal_keys(config, &self.own_key, &*self.random)?;
        Ok(self.sealer.replace(&keys, self.clock.now())?)
    }
}

fn seal_keys(
    config: &Config,
    own: &OwnKey,
    random: &dyn Random,
) -> Result<Vec<Secret>, StoreError> {
    match &config.seal_keys[..] {
        [] => Ok(vec![own.get(random)?]),
        keys => Ok(keys.to_vec()),
    }
}

#[derive(Debug)]
pub(in crate::server) struct Generation {
    number: u64,
    pub(in crate::server) config: Arc<Config>,
    pub(in crate::server) provider: Arc<Provider>,
    pub(in crate::server) peers: Arc<Peers>,
    pub(in crate::server) snapshot: Arc<Snapshot>,
    pub(in crate::server) gate: Arc<Gate>,
    access: Lines,
    audit: Audit,
}

impl Generation {
    /// No I/O but opening the logs. `before`: the one that this one takes the place of; what the configuration says the
    /// same of goes on as it is.
    pub(in crate::server) fn new(
        config: Arc<Config>,
        lasting: &Lasting,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let same_provider = before.filter(|before| before.config.keycloak == config.keycloak);
        let provider = match same_provider {
            Some(before) => Arc::clone(&before.provider),
            None => Arc::new(Provider::new(
                &config.keycloak,
                Arc::clone(&lasting.clock),
                Arc::clone(&lasting.random),
                before.map(|before| &*before.provider),
                Some(Arc::new(Watching(Arc::clone(&lasting.metrics)))),
            )?),
        };
        let audit = match before.filter(|before| before.config.log.audit == config.log.audit) {
            Some(before) => {
                before.audit.reopen()?;
                before.audit.clone()
            }
            None => Audit::open(&config.log.audit)?,
        };
        let access = match before.filter(|before| before.config.log.access == config.log.access) {
            Some(before) => {
                before.access.reopen()?;
                before.access.clone()
            }
            None => Lines::open_gathering(&config.log.access)?,
        };
        let parts = Parts {
            config: Arc::clone(&config),
            provider: Arc::clone(&provider),
            store: Arc::clone(&lasting.store),
            sealer: Arc::clone(&lasting.sealer),
            clock: Arc::clone(&lasting.clock),
            random: Arc::clone(&lasting.random),
            audit: audit.clone(),
            metrics: Arc::clone(&lasting.metrics),
            streams: Arc::clone(&lasting.streams),
        };
        let gate = Arc::new(Gate::new(parts, before.map(|before| &*before.gate))?);
        let peers = Peers::new(
            &config.upstreams,
            Arc::clone(&lasting.clock),
            before.map(|before| &*before.peers),
        );
        let peers = Arc::new(peers);
        let number = before.map_or(0, |before| before.number) + 1;
        let snapshot = Arc::new(Snapshot::new(
            number,
            Arc::clone(&gate),
            Arc::clone(&peers),
            access.clone(),
            Arc::clone(&lasting.clock),
        ));
        Ok(Self {
            number,
            config,
            provider,
            peers,
            snapshot,
            gate,
            access,
            audit,
        })
    }

    /// Until its new upstreams can be reached, as far as that does not take long.
    pub(in crate::server) async fn settle(&self) {
        let _late = tokio::time::timeout(NAMES, self.peers.resolve_new()).await;
    }
}
