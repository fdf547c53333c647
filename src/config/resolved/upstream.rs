//! Where requests go: addresses, what is spoken there, and how long is waited.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use crate::model::target::Relaxations;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub name: String,
    /// At least one; `http` or `https`, host and port, no path.
    pub urls: Vec<Url>,
    pub protocol: Protocol,
    /// Of the `https` ones among the URLs.
    pub tls: UpstreamTls,
    pub health: Option<Health>,
    pub host: UpstreamHost,
    pub timeouts: Timeouts,
    pub accept: Relaxations,
    /// `path_match = "exact"` turns the lower-cased reading off.
    pub exact_case: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamHost {
    #[default]
    Keep,
    Upstream,
}

/// What is spoken with an upstream. A WebSocket is HTTP/1.1 whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http1,
    /// HTTP/2 over TLS, and nothing else.
    H2,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 3.3).
    H2c,
    /// Over TLS what the upstream takes of HTTP/2 and HTTP/1.1; HTTP/1.1 without.
    Auto,
}

/// An upstream's certificate is checked against the certificate authorities and the name, unless `verify` is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Instead of the system's. Empty where the file cannot be read and that is only a warning: then nobody is believed.
    pub ca: Option<Arc<[CertificateDer<'static>]>>,
    /// Instead of the URL's host, for SNI and for the check.
    pub server_name: Option<String>,
    pub client: Option<Arc<ClientCertificate>>,
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            ca: None,
            server_name: None,
            client: None,
            verify: true,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its own first, then what leads to the authority.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// How an address of an upstream is asked whether it works, beside what its requests tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `GET` answered by 2xx or 3xx; without one, a connection (with TLS where the URL has it).
    pub path: Option<String>,
    /// The `Host` that is asked; the URL's by default.
    pub host: Option<String>,
    /// Between two checks; default 10 s.
    pub interval: Duration,
    /// Of a whole check; default 2 s.
    pub timeout: Duration,
    /// So many good ones in a row bring it back; default 2.
    pub healthy: u32,
    /// So many bad ones in a row take it out; default 3.
    pub unhealthy: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Default 5 s.
    pub connect: Duration,
    /// Until the response header; default 60 s.
    pub response: Duration,
    /// Between two reads or writes, and of a pooled connection; default 60 s.
    pub idle: Duration,
}
