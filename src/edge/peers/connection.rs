//! How the connections of one upstream are made: protocol, TLS, times, and the pool that they may be taken from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use crate::config::{ClientCertificate, Protocol, Timeouts, Upstream};
use crate::edge::tunnel::{Progress, TunnelConnector};

/// Requests at the same time on one HTTP/2 connection; fewer where the upstream says so.
const STREAMS: usize = 100;

/// An upstream that has vanished without a word is found out by it. gRPC servers take pings more often than every five
/// minutes for an attack (`too_many_pings`).
const PING: Duration = Duration::from_secs(6 * 60);

/// What Pingora's key of a pooled connection lacks: the authorities and the protocol; and of a client's certificate it has
/// the serial number only. So each upstream has a group of its own, and each tunnel; none is given twice, whichever
/// configuration brought it.
#[derive(Debug)]
pub(super) struct Groups {
    upstream: AtomicU64,
    tunnel: AtomicU64,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            upstream: AtomicU64::new(1),
            // There are never so many upstreams.
            tunnel: AtomicU64::new(1 << 32),
        }
    }
}

impl Groups {
    fn of_upstream(&self) -> u64 {
        self.upstream.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn of_tunnel(&self) -> u64 {
        self.tunnel.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Recipe {
    protocol: Protocol,
    timeouts: Timeouts,
    verify: bool,
    server_name: Option<String>,
    ca: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    group: u64,
}

impl Recipe {
    pub(super) fn new(upstream: &Upstream, groups: &Groups) -> Self {
        let tls = &upstream.tls;
        Self {
            protocol: upstream.protocol,
            timeouts: upstream.timeouts,
            verify: tls.verify,
            server_name: tls.server_name.clone(),
            ca: tls.ca.as_deref().map(|roots| {
                let read = |root: &rustls::pki_types::CertificateDer<'_>| wrapped(root);
                roots.iter().map(read).collect()
            }),
            client: tls.client.as_deref().map(|client| Arc::new(pair(client))),
            group: groups.of_upstream(),
        }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.timeouts.connect
    }

    /// For a request; for a WebSocket with its progress and group.
    pub(super) fn peer(
        &self,
        address: SocketAddr,
        host: &str,
        tls: bool,
        tunnel: Option<(Arc<Progress>, u64)>,
    ) -> HttpPeer {
        let timeouts = &self.timeouts;
        // Never empty: without a name Pingora would check nothing.
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let mut peer = HttpPeer::new(address, tls, name);
        peer.group_key = self.group;
        peer.client_cert_key = self.client.clone();
        let options = &mut peer.options;
        options.ca = self.ca.clone();
        options.verify_cert = self.verify;
        options.verify_hostname = self.verify;
        options.alpn = match self.protocol {
            Protocol::Http1 => ALPN::H1,
            Protocol::H2 | Protocol::H2c => ALPN::H2,
            Protocol::Auto if tls => ALPN::H2H1,
            Protocol::Auto => ALPN::H1,
        };
        options.max_h2_streams = STREAMS;
        options.h2_ping_interval = Some(PING);
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect);
        options.write_timeout = Some(timeouts.idle);
        options.idle_timeout = Some(timeouts.idle);
        // Pingora has one for the header and for every read of the body, and no way to change it between them.
        options.read_timeout = Some(timeouts.response);
        if let Some((progress, group)) = tunnel {
            peer.group_key = group;
            // An upgrade is HTTP/1.1; its stream keeps the time by itself, and is no use to anybody else.
            options.alpn = ALPN::H1;
            options.read_timeout = None;
            options.idle_timeout = Some(Duration::ZERO);
            options.custom_l4 = Some(Arc::new(TunnelConnector {
                address,
                progress,
                timeouts: *timeouts,
            }));
        }
        peer
    }

    /// For a check: a connection of its own, which ends with it.
    pub(super) fn probe(
        &self,
        address: SocketAddr,
        host: &str,
        tls: bool,
        timeout: Duration,
    ) -> HttpPeer {
        let mut peer = self.peer(address, host, tls, None);
        // Pingora remembers an HTTP/2 connection as soon as it could carry a second request.
        peer.options.max_h2_streams = 1;
        peer.options.h2_ping_interval = None;
        peer.options.connection_timeout = Some(timeout);
        peer.options.total_connection_timeout = Some(timeout);
        peer.options.read_timeout = Some(timeout);
        peer.options.write_timeout = Some(timeout);
        peer
    }
}

/// Each was read once when the configuration was: Pingora's parser would panic on another.
fn wrapped(der: &[u8]) -> WrappedX509 {
    WrappedX509::new(der.to_vec(), parse_x509)
}

fn pair(client: &ClientCertificate) -> CertKey {
    let chain = client.chain.iter().map(|der| der.to_vec()).collect();
    CertKey::new(chain, client.key.secret_der().to_vec())
}
