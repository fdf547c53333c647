//! Certificates that follow their files: looked at every second, so that it does not matter how a file is replaced —
//! written over, renamed over, or reached by a symbolic link that now leads elsewhere, on whatever file system.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Certificate, CertificateError, ClientCertificates, Config, Files, Stamp};
use crate::edge::{Tls, TlsError};
use crate::model::time::{Clock, Timestamp};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::ReloadResult;

const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What TLS listeners show, and where it comes from.
#[derive(Debug)]
pub(in crate::server) struct Certificates {
    tls: Arc<Tls>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    sources: Mutex<Sources>,
}

#[derive(Clone, Debug)]
struct Sources {
    certificates: Vec<Certificate>,
    client: Option<ClientCertificates>,
    /// What the files were when they were last read, whether or not they were any good.
    /// None: a change between the reading and now shows at the first look.
    stamp: Option<Stamp>,
    /// Since when what is in the files is no good, and why not.
    failing: Option<(Timestamp, String)>,
}

/// How a certificate that is shown stands.
#[derive(Clone, Debug)]
pub(in crate::server) struct CertificateState {
    /// Its file.
    pub(in crate::server) name: String,
    pub(in crate::server) not_after: Timestamp,
    /// Since when the files, of whichever certificate, hold something that cannot be shown.
    pub(in crate::server) failing: Option<(Timestamp, String)>,
}

impl Certificates {
    /// Nothing without TLS listeners.
    pub(in crate::server) fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, TlsError> {
        if config.listen_tls.is_empty() {
            return Ok(None);
        }
        let sources = Sources::of(config);
        let tls = Tls::new(&sources.certificates, sources.client.as_ref())?;
        tell(&metrics, &sources.certificates);
        Ok(Some(Self {
            tls: Arc::new(tls),
            clock,
            metrics,
            sources: Mutex::new(sources),
        }))
    }

    pub(in crate::server) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Those of another configuration, which has read them already. An error changes nothing.
    pub(in crate::server) fn adopt(&self, config: &Config) -> Result<(), TlsError> {
        // Its listeners end with the process, and until then they show what they showed.
        if config.listen_tls.is_empty() {
            return Ok(());
        }
        let next = Sources::of(config);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        self.tls.replace(&next.certificates, next.client.as_ref())?;
        tell(&self.metrics, &next.certificates);
        *sources = next;
        Ok(())
    }

    /// Reads all files again. Whether there was something new; an error changes nothing: what is shown stays as it is.
    pub(in crate::server) fn reload(&self) -> Result<bool, ReloadError> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the files are read: one that changes meanwhile is read once more.
        sources.stamp = Some(sources.stamp_now());
        let now = self.clock.now();
        let certificates = sources
            .certificates
            .iter()
            .map(|certificate| certificate.files.read(now))
            .collect::<Result<Vec<_>, _>>()?;
        let client = sources
            .client
            .as_ref()
            .map(ClientCertificates::again)
            .transpose()?;
        self.tls.replace(&certificates, client.as_ref())?;
        let roots = |client: &Option<ClientCertificates>| {
            client.as_ref().map(|client| client.roots.roots.clone())
        };
        let is_new = differ(&sources.certificates, &certificates)
            || roots(&sources.client) != roots(&client);
        tell(&self.metrics, &certificates);
        sources.certificates = certificates;
        sources.client = client;
        Ok(is_new)
    }

    /// One for each certificate, in the order of the configuration.
    pub(in crate::server) fn states(&self) -> Vec<CertificateState> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |certificate: &Certificate| CertificateState {
            name: certificate.files.cert.display().to_string(),
            not_after: certificate.not_after,
            failing: sources.failing.clone(),
        };
        sources.certificates.iter().map(state).collect()
    }

    fn note(&self, failure: Option<&ReloadError>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.failing = failure.map(|error| {
            let since = sources.failing.as_ref().map(|(since, _)| *since);
            (since.unwrap_or_else(|| self.clock.now()), error.to_string())
        });
    }

    /// Whether a file is another one than was read last.
    fn have_changed(&self) -> bool {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.stamp != Some(sources.stamp_now())
    }

    /// Until it is dropped.
    pub(in crate::server) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(&self);
            // A file system that hangs holds up nobody who serves.
            let looked = tokio::task::spawn_blocking(move || {
                if this.have_changed() {
                    this.reload_and_say();
                }
            });
            if looked.await.is_err() {
                tracing::error!("looking at the certificates' files failed");
            }
        }
    }

    fn reload_and_say(&self) {
        let reloaded = self.reload();
        self.note(reloaded.as_ref().err());
        match reloaded {
            Ok(true) => {
                self.metrics.certificate_reloads.inc(ReloadResult::Done);
                tracing::info!("the certificates were reloaded");
            }
            Ok(false) => {}
            Err(error) => {
                self.metrics.certificate_reloads.inc(ReloadResult::Failed);
                tracing::error!(%error, "the new certificates are no good: the old ones stay");
            }
        }
    }
}

impl Sources {
    fn of(config: &Config) -> Self {
        Self {
            certificates: config.certificates.clone(),
            client: config.client_certificates.clone(),
            stamp: None,
            failing: None,
        }
    }

    fn stamp_now(&self) -> Stamp {
        let of_hosts = self
            .certificates
            .iter()
            .flat_map(|certificate| certificate.files.paths());
        let authorities = self
            .client
            .iter()
            .map(|client| PathBuf::as_path(&client.ca));
        Files::of(of_hosts.chain(authorities)).stamp()
    }
}

/// Under the names of their files: when they end.
fn tell(metrics: &Metrics, certificates: &[Certificate]) {
    let name = |certificate: &Certificate| certificate.files.cert.display().to_string();
    let names: Vec<_> = certificates.iter().map(name).collect();
    metrics.keep_certificates(names.iter().map(String::as_str));
    for (name, certificate) in names.iter().zip(certificates) {
        metrics.certificate(name, certificate.not_after);
    }
}

/// Whether a handshake shows something else.
fn differ(before: &[Certificate], after: &[Certificate]) -> bool {
    let chain = |certificate: &Certificate| certificate.key.as_ref().map(|key| key.cert.clone());
    !before.iter().map(chain).eq(after.iter().map(chain))
}
