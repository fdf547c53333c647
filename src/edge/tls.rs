//! TLS towards clients: the certificate by the name that a client asks for, all of it replaced while connections go on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4;
use pingora::protocols::{Ssl as _, Stream};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
    VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use super::client_certificate;
use crate::config::{Certificate, ClientCertificates, Names};
use crate::model::client_certificate::ClientCertificate;

/// Sessions that clients may resume; the oldest go first.
const SESSIONS: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("there is no certificate")]
    NoCertificate,
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[from] VerifierBuilderError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What handshakes go by. Each one keeps to what it began with.
pub(crate) struct Tls(ArcSwap<Served>);

struct Served {
    acceptor: Acceptor,
    shown: Arc<ByName>,
    /// Carried over while the same clients are let in: a session stands for the client certificate that it began with.
    sessions: Arc<dyn StoresServerSessions>,
    client: Option<ClientCertificates>,
}

/// What a handshake came to.
#[derive(Clone, Debug)]
pub(in crate::edge) struct Secured {
    /// As the client asked for it.
    server_name: Option<Arc<str>>,
    shown: Arc<Shown>,
    client: Option<Arc<ClientCertificate>>,
}

impl Secured {
    /// Verified; nothing where the client showed none.
    pub(in crate::edge) fn client(&self) -> Option<&Arc<ClientCertificate>> {
        self.client.as_ref()
    }

    /// Whether this connection may ask for that host: a client may use one connection for all hosts of its certificate
    /// (RFC 9113 9.1.1), and for no other. A client that named none cannot be held to it.
    pub(in crate::edge) fn covers(&self, host: &str) -> bool {
        self.server_name
            .as_deref()
            .is_none_or(|name| name == host || self.shown.names.cover(host))
    }
}

impl Tls {
    pub(crate) fn new(
        certificates: &[Certificate],
        client: Option<&ClientCertificates>,
    ) -> Result<Self, TlsError> {
        let served = Served::new(certificates, client, sessions())?;
        Ok(Self(ArcSwap::from_pointee(served)))
    }

    /// For handshakes from now on; an error changes nothing.
    pub(crate) fn replace(
        &self,
        certificates: &[Certificate],
        client: Option<&ClientCertificates>,
    ) -> Result<(), TlsError> {
        let before = self.0.load_full();
        let same = match (&before.client, client) {
            (None, None) => true,
            (Some(before), Some(client)) => {
                before.require == client.require && before.roots.roots == client.roots.roots
            }
            _ => false,
        };
        let kept = if same {
            Arc::clone(&before.sessions)
        } else {
            sessions()
        };
        let served = Served::new(certificates, client, kept)?;
        self.0.store(Arc::new(served));
        Ok(())
    }

    /// Nothing: it is none that can be talked to. `stream`: as a plain listener hands it over.
    pub(in crate::edge) async fn handshake(
        &self,
        stream: Stream,
    ) -> pingora::Result<(Stream, Secured)> {
        let served = self.0.load_full();
        let Ok(stream) = stream.into_any().downcast::<l4::stream::Stream>() else {
            return pingora::Error::e_explain(
                pingora::ErrorType::InternalError,
                "a stream that is no connection of its own",
            );
        };
        let stream = served.acceptor.tls_handshake(*stream).await?;
        let tls = stream.get_ssl();
        let client = match tls.and_then(|tls| tls.peer_certificate_der()) {
            None => None,
            Some(der) => match client_certificate::parse(der) {
                Some(client) => Some(Arc::new(client)),
                None => {
                    return pingora::Error::e_explain(
                        pingora::ErrorType::InvalidCert,
                        "a client certificate that cannot be read",
                    );
                }
            },
        };
        let server_name = tls.and_then(|tls| tls.server_name());
        let secured = Secured {
            client,
            shown: served.shown.first_for(server_name),
            server_name: server_name.map(Arc::from),
        };
        Ok((Box::new(stream), secured))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.load().shown).finish()
    }
}

fn sessions() -> Arc<dyn StoresServerSessions> {
    ServerSessionMemoryCache::new(SESSIONS)
}

impl Served {
    fn new(
        certificates: &[Certificate],
        client: Option<&ClientCertificates>,
        sessions: Arc<dyn StoresServerSessions>,
    ) -> Result<Self, TlsError> {
        let shown = Arc::new(ByName::new(certificates)?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match client {
            Some(client) => builder.with_client_cert_verifier(verifier(client, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::clone(&sessions);
        Ok(Self {
            acceptor: Acceptor::from_server_config(Arc::new(config)),
            shown,
            sessions,
            client: client.cloned(),
        })
    }
}

fn verifier(
    client: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&client.roots), provider);
    let builder = if client.require {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    Ok(builder.build()?)
}

/// A certificate that may be shown.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    names: Names,
}

#[derive(Debug)]
struct ByName {
    /// In the order of the configuration; several for clients that know different kinds of keys.
    exact: HashMap<String, Vec<Arc<Shown>>>,
    /// By the name without its first label.
    wildcards: HashMap<String, Vec<Arc<Shown>>>,
    /// For a client that names no host, such as a health check by address, or one that no certificate is for: it gets to
    /// see which certificate it is, and can be told why it is wrong here.
    first: Arc<Shown>,
}

impl ByName {
    fn new(certificates: &[Certificate]) -> Result<Self, TlsError> {
        let mut all = certificates.iter().filter_map(|certificate| {
            Some(Arc::new(Shown {
                key: Arc::clone(certificate.key.as_ref()?),
                names: certificate.names.clone(),
            }))
        });
        let first = all.next().ok_or(TlsError::NoCertificate)?;
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for shown in std::iter::once(Arc::clone(&first)).chain(all) {
            let add = |table: &mut HashMap<String, Vec<Arc<Shown>>>, name: &str| {
                table
                    .entry(name.to_owned())
                    .or_default()
                    .push(Arc::clone(&shown));
            };
            shown.names.exact().for_each(|name| add(&mut exact, name));
            shown
                .names
                .wildcards()
                .for_each(|name| add(&mut wildcards, name));
        }
        Ok(Self {
            exact,
            wildcards,
            first,
        })
    }

    /// Those for a name; a wildcard only where nobody has the name itself.
    fn of(&self, server_name: Option<&str>) -> &[Arc<Shown>] {
        let Some(name) = server_name else {
            return &[];
        };
        self.exact
            .get(name)
            .or_else(|| self.wildcards.get(name.split_once('.')?.1))
            .map_or(&[], Vec::as_slice)
    }

    fn first_for(&self, server_name: Option<&str>) -> Arc<Shown> {
        Arc::clone(self.of(server_name).first().unwrap_or(&self.first))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = hello.signature_schemes();
        let found = self.of(hello.server_name());
        let shown = found
            .iter()
            .find(|shown| shown.key.key.choose_scheme(known).is_some())
            .or(found.first())
            .unwrap_or(&self.first);
        Some(Arc::clone(&shown.key))
    }
}
