//! The configuration that is served, and its change: a new one is made whole, and then takes the old one's place at once.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::certificates::Certificates;
use super::generation::{Generation, Lasting};
use super::instance::StartError;
use crate::config::Config;
use crate::edge::{Current, Proxy};
use crate::telemetry::Metrics;

#[derive(Debug)]
pub(in crate::server) struct Running {
    lasting: Lasting,
    generation: watch::Sender<Arc<Generation>>,
    current: Current,
    /// Of the listeners with TLS.
    certificates: Option<Arc<Certificates>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Running {
    pub(in crate::server) fn new(
        lasting: Lasting,
        config: Arc<Config>,
    ) -> Result<Self, StartError> {
        let certificates = Certificates::new(
            &config,
            Arc::clone(&lasting.clock),
            Arc::clone(&lasting.metrics),
        )?;
        let first = Generation::new(config, &lasting, None)?;
        Ok(Self {
            current: Current::new(Arc::clone(&first.snapshot)),
            generation: watch::Sender::new(Arc::new(first)),
            certificates: certificates.map(Arc::new),
            lasting,
            changing: Mutex::default(),
        })
    }

    /// What serves its requests, and those of every configuration that follows.
    pub(in crate::server) fn proxy(&self) -> Proxy {
        Proxy::new(self.current(), &*self.lasting.random)
    }

    pub(in crate::server) fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    pub(in crate::server) fn metrics(&self) -> &Metrics {
        &self.lasting.metrics
    }

    /// At the end: what is only in memory yet is stored.
    pub(in crate::server) async fn close(&self) {
        self.lasting.store.close().await;
    }

    pub(in crate::server) fn forget_keys(&self) {
        self.lasting.forget_keys();
    }

    pub(in crate::server) fn current(&self) -> Current {
        self.current.clone()
    }

    /// Nothing without TLS.
    pub(in crate::server) fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// The generation that is served, and each that follows.
    pub(in crate::server) fn generations(&self) -> watch::Receiver<Arc<Generation>> {
        self.generation.subscribe()
    }

    /// Serves `config` from the next request on; an error leaves everything as it was. The keys that wait for a restart.
    pub(in crate::server) async fn change(
        &self,
        config: Arc<Config>,
    ) -> Result<Vec<&'static str>, StartError> {
        let _one = self.changing.lock().await;
        let before = Arc::clone(&self.generation.borrow());
        let next = Arc::new(Generation::new(config, &self.lasting, Some(&before))?);
        next.settle().await;
        if let Some(certificates) = &self.certificates {
            certificates.adopt(&next.config)?;
        }
        // Before the first request that may seal with them. The configuration was checked: there is no error left.
        self.lasting.take_keys(&next.config)?;
        self.lasting.store.idle_is(next.config.sessions.idle);
        self.current.publish(Arc::clone(&next.snapshot));
        self.generation.send_replace(Arc::clone(&next));
        Ok(next.config.needs_restart(&self.lasting.began))
    }
}
