//! From a permit to an upstream connection: addresses resolved beforehand, every timeout set.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use pingora::upstreams::peer::HttpPeer;
use url::Url;

use super::tunnel::{Progress, TunnelConnector};
use crate::config::{Timeouts, Upstream};
use crate::policy::decision::Permit;

/// How often names are asked for again; an answer that fails leaves the last good one.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// While a name has never been answered.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// The group of the first tunnel; there are never so many upstreams.
const TUNNELS: u64 = 1 << 32;

/// All upstreams of the config, in its order.
#[derive(Debug)]
pub(crate) struct Peers {
    upstreams: Vec<Resolved>,
    /// The group of the next tunnel.
    tunnels: AtomicU64,
}

#[derive(Debug)]
struct Resolved {
    endpoints: Vec<Endpoint>,
    next: AtomicUsize,
    timeouts: Timeouts,
    /// Pingora's pool key lacks the CA, ALPN and `custom_l4`: each upstream, and each tunnel, has a group of its own.
    group: u64,
}

#[derive(Debug)]
struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
    addresses: ArcSwap<Vec<SocketAddr>>,
}

impl Peers {
    /// Literal addresses are there at once; names when [`Peers::keep_resolved`] has asked for them.
    pub(crate) fn new(upstreams: &[Upstream]) -> Self {
        let resolved = |(index, upstream): (usize, &Upstream)| Resolved {
            endpoints: upstream.urls.iter().filter_map(endpoint).collect(),
            next: AtomicUsize::new(0),
            timeouts: upstream.timeouts,
            group: index as u64 + 1,
        };
        Self {
            upstreams: upstreams.iter().enumerate().map(resolved).collect(),
            tunnels: AtomicU64::new(TUNNELS),
        }
    }

    /// One round over all names; then the caller waits as long as it says.
    pub(crate) async fn resolve(&self) -> Duration {
        let endpoints = self
            .upstreams
            .iter()
            .flat_map(|upstream| &upstream.endpoints);
        // At the same time: a name that hangs must not keep the others waiting.
        let known = join_all(endpoints.map(Endpoint::resolve)).await;
        if known.into_iter().all(|known| known) {
            RESOLVE_EVERY
        } else {
            RETRY_EVERY
        }
    }

    /// The next address of the upstream in turn; nothing when none is known. Without a permit there is no way to one.
    pub(in crate::edge) fn pick(
        &self,
        _permit: &Permit,
        upstream: usize,
        tunnel: Option<Arc<Progress>>,
    ) -> Option<Box<HttpPeer>> {
        self.next(upstream, tunnel)
    }

    fn next(&self, upstream: usize, tunnel: Option<Arc<Progress>>) -> Option<Box<HttpPeer>> {
        let upstream = self.upstreams.get(upstream)?;
        let turn = upstream.next.fetch_add(1, Ordering::Relaxed);
        let endpoint = upstream
            .endpoints
            .get(turn.checked_rem(upstream.endpoints.len())?)?;
        let address = {
            let addresses = endpoint.addresses.load();
            let round = turn / upstream.endpoints.len();
            *addresses.get(round.checked_rem(addresses.len())?)?
        };
        let mut peer = HttpPeer::new(address, endpoint.tls, endpoint.host.clone());
        peer.options.connection_timeout = Some(upstream.timeouts.connect);
        peer.options.total_connection_timeout = Some(upstream.timeouts.connect);
        peer.options.write_timeout = Some(upstream.timeouts.idle);
        peer.options.idle_timeout = Some(upstream.timeouts.idle);
        // Pingora has one for the header and for every read of the body, and no way to change it between them.
        peer.options.read_timeout = Some(upstream.timeouts.response);
        peer.group_key = upstream.group;
        if let Some(progress) = tunnel {
            peer.group_key = self.tunnels.fetch_add(1, Ordering::Relaxed);
            // Its stream keeps the time by itself, and is no use to anybody else.
            peer.options.read_timeout = None;
            peer.options.idle_timeout = Some(Duration::ZERO);
            peer.options.custom_l4 = Some(Arc::new(TunnelConnector {
                address,
                progress,
                timeouts: upstream.timeouts,
            }));
        }
        Some(Box::new(peer))
    }
}

impl Endpoint {
    /// Whether there is an address, be it an old one.
    async fn resolve(&self) -> bool {
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return true;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks for names"
        )]
        let answer = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        match answer.map(Iterator::collect::<Vec<SocketAddr>>) {
            Ok(addresses) if !addresses.is_empty() => {
                self.addresses.store(Arc::new(addresses));
                true
            }
            _ => {
                tracing::warn!(host = self.host, "the upstream's name was not resolved");
                !self.addresses.load().is_empty()
            }
        }
    }
}

fn endpoint(url: &Url) -> Option<Endpoint> {
    let host = url
        .host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = url.port_or_known_default()?;
    let known: Vec<SocketAddr> = host
        .parse()
        .map(|ip| SocketAddr::new(ip, port))
        .into_iter()
        .collect();
    Some(Endpoint {
        host,
        port,
        tls: url.scheme() == "https",
        addresses: ArcSwap::from_pointee(known),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::UpstreamHost;
    use crate::model::target::Relaxations;

    fn upstream(urls: &[&str]) -> Upstream {
        let second = Duration::from_secs(1);
        Upstream {
            name: "app".into(),
            urls: urls.iter().map(|url| Url::parse(url).unwrap()).collect(),
            host: UpstreamHost::Keep,
            timeouts: Timeouts {
                connect: second,
                response: second * 2,
                idle: second * 3,
            },
            accept: Relaxations::default(),
            exact_case: false,
        }
    }

    #[test]
    fn addresses_take_turns_and_every_timeout_is_set() {
        let peers = Peers::new(&[upstream(&["http://127.0.0.1:1", "http://[::1]:2"])]);
        let picked: Vec<_> = (0..3)
            .map(|_| peers.next(0, None).unwrap()._address.to_string())
            .collect();
        assert_eq!(picked, ["127.0.0.1:1", "[::1]:2", "127.0.0.1:1"]);
        let options = peers.next(0, None).unwrap().options;
        assert_eq!(options.read_timeout, Some(Duration::from_secs(2)));
        assert!(options.connection_timeout.is_some() && options.total_connection_timeout.is_some());
        assert!(options.write_timeout.is_some() && options.idle_timeout.is_some());
    }

    #[test]
    fn tunnels_do_not_share_a_pool() {
        let peers = Peers::new(&[
            upstream(&["http://127.0.0.1:1"]),
            upstream(&["http://127.0.0.1:1"]),
        ]);
        let tunnel = || Some(Arc::new(Progress::default()));
        let groups: std::collections::HashSet<_> = [
            (0, None),
            (0, tunnel()),
            (0, tunnel()),
            (1, None),
            (1, tunnel()),
        ]
        .map(|(index, tunnel)| peers.next(index, tunnel).unwrap().group_key)
        .into_iter()
        .collect();
        assert_eq!(groups.len(), 5);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_no_peer_and_no_panic() {
        let peers = Peers::new(&[upstream(&["http://nowhere.invalid:1"])]);
        assert_eq!(peers.resolve().await, RETRY_EVERY);
        assert!(peers.next(0, None).is_none());
        assert!(peers.next(7, None).is_none());
    }
}
