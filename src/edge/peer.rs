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
use crate::config::Upstream;
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
    upstreams: Vec<Arc<Resolved>>,
    groups: Arc<Groups>,
}

/// Never one twice, whichever configuration brought it.
#[derive(Debug)]
struct Groups {
    upstream: AtomicU64,
    tunnel: AtomicU64,
}

#[derive(Debug)]
struct Resolved {
    described: Upstream,
    endpoints: Vec<Endpoint>,
    next: AtomicUsize,
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
    /// `before`: what they take the place of; an upstream that is described as it was there goes on as it is.
    pub(crate) fn new(upstreams: &[Upstream], before: Option<&Self>) -> Self {
        let groups = before.map_or_else(Arc::default, |before| Arc::clone(&before.groups));
        let known = |upstream: &Upstream| {
            let mut known = before.into_iter().flat_map(|before| &before.upstreams);
            known.find(|known| known.described == *upstream).cloned()
        };
        let resolved = |upstream: &Upstream| {
            known(upstream).unwrap_or_else(|| Arc::new(Resolved::new(upstream, &groups)))
        };
        Self {
            upstreams: upstreams.iter().map(resolved).collect(),
            groups,
        }
    }

    /// Asks for the names that were never answered, all at once.
    pub(crate) async fn resolve_new(&self) {
        let endpoints = self
            .upstreams
            .iter()
            .flat_map(|upstream| &upstream.endpoints)
            .filter(|endpoint| endpoint.addresses.load().is_empty());
        join_all(endpoints.map(Endpoint::resolve)).await;
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
        let timeouts = upstream.described.timeouts;
        peer.options.connection_timeout = Some(timeouts.connect);
        peer.options.total_connection_timeout = Some(timeouts.connect);
        peer.options.write_timeout = Some(timeouts.idle);
        peer.options.idle_timeout = Some(timeouts.idle);
        // Pingora has one for the header and for every read of the body, and no way to change it between them.
        peer.options.read_timeout = Some(timeouts.response);
        peer.group_key = upstream.group;
        if let Some(progress) = tunnel {
            peer.group_key = self.groups.tunnel.fetch_add(1, Ordering::Relaxed);
            // Its stream keeps the time by itself, and is no use to anybody else.
            peer.options.read_timeout = None;
            peer.options.idle_timeout = Some(Duration::ZERO);
            peer.options.custom_l4 = Some(Arc::new(TunnelConnector {
                address,
                progress,
                timeouts,
            }));
        }
        Some(Box::new(peer))
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            upstream: AtomicU64::new(1),
            tunnel: AtomicU64::new(TUNNELS),
        }
    }
}

impl Resolved {
    fn new(upstream: &Upstream, groups: &Groups) -> Self {
        Self {
            described: upstream.clone(),
            endpoints: upstream.urls.iter().filter_map(endpoint).collect(),
            next: AtomicUsize::new(0),
            group: groups.upstream.fetch_add(1, Ordering::Relaxed),
        }
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
    use crate::config::{Timeouts, UpstreamHost};
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
        let peers = Peers::new(&[upstream(&["http://127.0.0.1:1", "http://[::1]:2"])], None);
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
        let mut other = upstream(&["http://127.0.0.1:1"]);
        other.name = "other".into();
        let peers = Peers::new(&[upstream(&["http://127.0.0.1:1"]), other], None);
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

    #[test]
    fn only_what_changed_is_made_anew() {
        let (kept, gone) = (
            upstream(&["http://127.0.0.1:1"]),
            upstream(&["http://127.0.0.1:2"]),
        );
        let new = upstream(&["http://127.0.0.1:3"]);
        let before = Peers::new(&[gone, kept.clone()], None);
        let after = Peers::new(&[new, kept], Some(&before));
        let group = |peers: &Peers, index| peers.next(index, None).unwrap().group_key;
        assert_eq!(group(&after, 1), group(&before, 1));
        assert!(![group(&before, 0), group(&before, 1)].contains(&group(&after, 0)));
        assert!(after.next(2, None).is_none());
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_no_peer_and_no_panic() {
        let peers = Peers::new(&[upstream(&["http://nowhere.invalid:1"])], None);
        assert_eq!(peers.resolve().await, RETRY_EVERY);
        assert!(peers.next(0, None).is_none());
        assert!(peers.next(7, None).is_none());
    }
}
