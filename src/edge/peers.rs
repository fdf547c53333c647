//! From a permit to an upstream connection: addresses resolved beforehand and taken in turn, those that do not work left
//! out, every timeout set.

mod address;
mod connection;
mod probe;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use pingora::upstreams::peer::HttpPeer;
use url::Url;

use self::address::Address;
use self::connection::{Groups, Recipe};
use self::probe::Prober;
use super::tunnel::Progress;
use crate::config::{Health, Upstream};
use crate::gate::NoAnswer;
use crate::model::time::{Clock, Timestamp};
use crate::policy::decision::Permit;

/// How often names are asked for again; an answer that fails leaves the last good one.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// While a name has never been answered.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// How often it is seen whether an address that requests found closed is due for another try.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// All upstreams of the config, in its order.
#[derive(Debug)]
pub(crate) struct Peers {
    upstreams: Vec<Arc<Resolved>>,
    groups: Arc<Groups>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Resolved {
    described: Upstream,
    endpoints: Vec<Endpoint>,
    recipe: Recipe,
    /// Pauses are measured from it.
    opened: Instant,
    /// Of all endpoints.
    targets: ArcSwap<Vec<Target>>,
    next: AtomicUsize,
}

/// One URL.
#[derive(Clone, Debug)]
struct Endpoint {
    host: Arc<str>,
    port: u16,
    tls: bool,
    /// As `Host` has it.
    authority: Arc<str>,
}

#[derive(Clone, Debug)]
struct Target {
    endpoint: Endpoint,
    address: Arc<Address>,
}

/// What is known of one address of an upstream; of a name that has none, without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressState {
    /// As the configuration calls it.
    pub(crate) upstream: String,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) is_healthy: bool,
    pub(crate) since: Timestamp,
    /// The code of the last thing that went wrong, however long ago.
    pub(crate) last_error: Option<&'static str>,
}

impl Peers {
    /// Literal addresses are there at once; names when [`Peers::look_after`] has asked for them. `before`: what they take
    /// the place of; an upstream that is described as it was there, its certificates included, goes on as it is.
    pub(crate) fn new(
        upstreams: &[Upstream],
        clock: Arc<dyn Clock>,
        before: Option<&Self>,
    ) -> Self {
        let groups = before.map_or_else(Arc::default, |before| Arc::clone(&before.groups));
        let known = |upstream: &Upstream| {
            let mut known = before.into_iter().flat_map(|before| &before.upstreams);
            known.find(|known| known.described == *upstream).cloned()
        };
        let now = clock.now();
        let resolved = |upstream: &Upstream| {
            known(upstream).unwrap_or_else(|| Arc::new(Resolved::new(upstream, &groups, now)))
        };
        Self {
            upstreams: upstreams.iter().map(resolved).collect(),
            groups,
            clock,
        }
    }

    /// Asks for names, and for the health of those that want to be asked, until it is dropped.
    pub(crate) async fn look_after(&self) {
        let names = async {
            loop {
                let pause = self.resolve().await;
                tokio::time::sleep(pause).await;
            }
        };
        let prober = Prober::new();
        let checks =
            join_all(self.upstreams.iter().map(
                async |upstream| match &upstream.described.health {
                    Some(health) => self.check_on(upstream, health, &prober).await,
                    None => self.look_for(upstream, &prober).await,
                },
            ));
        tokio::join!(names, checks);
    }

    /// Every address of every upstream, in the order of the config.
    pub(crate) fn states(&self) -> Vec<AddressState> {
        self.upstreams
            .iter()
            .flat_map(|upstream| upstream.states(self.clock.now()))
            .collect()
    }

    /// Asks for the names that were never answered, all at once.
    pub(crate) async fn resolve_new(&self) {
        let now = self.clock.now();
        let unknown = self
            .upstreams
            .iter()
            .filter(|upstream| upstream.lacks_names());
        join_all(unknown.map(|upstream| upstream.resolve(now))).await;
    }

    /// One round over all names; then the caller waits as long as it says.
    pub(crate) async fn resolve(&self) -> Duration {
        // At the same time: a name that hangs must not keep the others waiting.
        let now = self.clock.now();
        let known = join_all(self.upstreams.iter().map(|upstream| upstream.resolve(now))).await;
        if known.into_iter().all(|known| known) {
            RESOLVE_EVERY
        } else {
            RETRY_EVERY
        }
    }

    /// The next address of the upstream in turn. Without a permit there is no way to one.
    pub(in crate::edge) fn pick(
        &self,
        _permit: &Permit,
        upstream: usize,
        tunnel: Option<Arc<Progress>>,
    ) -> Result<Box<HttpPeer>, NoAnswer> {
        self.next(upstream, tunnel)
    }

    /// Whether an address of it is known to work, as far as is known.
    pub(in crate::edge) fn is_up(&self, upstream: usize) -> bool {
        self.upstreams.get(upstream).is_some_and(|upstream| {
            let targets = upstream.targets.load();
            targets.iter().any(|target| target.address.is_open())
        })
    }

    /// By which a request gets a connection of its own.
    pub(in crate::edge) fn group_of_one(&self) -> u64 {
        self.groups.of_tunnel()
    }

    /// A connection did not come about. Whether there is another address that may do.
    pub(in crate::edge) fn failed(
        &self,
        upstream: usize,
        address: Option<&SocketAddr>,
        why: NoAnswer,
    ) -> bool {
        let Some(upstream) = self.upstreams.get(upstream) else {
            return false;
        };
        let targets = upstream.targets.load();
        for target in targets
            .iter()
            .filter(|target| Some(&target.address.at) == address)
        {
            self.note_failed(upstream, target, why);
        }
        targets.iter().any(|target| target.address.is_open())
    }

    /// A new connection came about.
    pub(in crate::edge) fn connected(&self, upstream: usize, address: Option<&SocketAddr>) {
        let Some(upstream) = self.upstreams.get(upstream) else {
            return;
        };
        let targets = upstream.targets.load();
        for target in targets
            .iter()
            .filter(|target| Some(&target.address.at) == address)
        {
            self.note_connected(upstream, target);
        }
    }

    fn next(
        &self,
        upstream: usize,
        tunnel: Option<Arc<Progress>>,
    ) -> Result<Box<HttpPeer>, NoAnswer> {
        let upstream = self.upstreams.get(upstream).ok_or(NoAnswer::Unreachable)?;
        let targets = upstream.targets.load();
        let turn = upstream.next.fetch_add(1, Ordering::Relaxed);
        let first = turn
            .checked_rem(targets.len())
            .ok_or(NoAnswer::Unreachable)?;
        let (before, from) = targets.split_at(first);
        let in_turn = || from.iter().chain(before);
        let target = in_turn()
            .find(|target| target.address.is_open())
            .or_else(|| in_turn().find(|target| target.address.may_be_tried(upstream.millis())))
            .ok_or(NoAnswer::Down)?;
        let Endpoint { host, tls, .. } = &target.endpoint;
        let tunnel = tunnel.map(|progress| (progress, self.groups.of_tunnel()));
        let peer = upstream.recipe.peer(target.address.at, host, *tls, tunnel);
        Ok(Box::new(peer))
    }

    async fn check_on(&self, upstream: &Resolved, health: &Health, prober: &Prober) {
        loop {
            let targets = upstream.targets.load_full();
            join_all(targets.iter().map(async |target| {
                let Endpoint {
                    host,
                    tls,
                    authority,
                    ..
                } = &target.endpoint;
                let at = target.address.at;
                let peer = upstream.recipe.probe(at, host, *tls, health.timeout);
                let result = prober.ask(&peer, authority, health).await;
                if target.address.checked(result, health, self.clock.now()) {
                    upstream.report(&target.address, result.err());
                }
            }))
            .await;
            tokio::time::sleep(health.interval).await;
        }
    }

    /// So that no request has to find out whether an address is back.
    async fn look_for(&self, upstream: &Resolved, prober: &Prober) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let targets = upstream.targets.load_full();
            let due = targets
                .iter()
                .filter(|target| target.address.may_be_tried(upstream.millis()));
            join_all(due.map(async |target| {
                let Endpoint { host, tls, .. } = &target.endpoint;
                let at = target.address.at;
                let timeout = upstream.recipe.connect_timeout();
                let peer = upstream.recipe.probe(at, host, *tls, timeout);
                match prober.connect(&peer, timeout).await {
                    Ok(()) => self.note_connected(upstream, target),
                    Err(why) => self.note_failed(upstream, target, why),
                }
            }))
            .await;
        }
    }

    fn note_connected(&self, upstream: &Resolved, target: &Target) {
        if target.address.connected(self.clock.now()) {
            upstream.report(&target.address, None);
        }
    }

    fn note_failed(&self, upstream: &Resolved, target: &Target, why: NoAnswer) {
        if target
            .address
            .failed(why, upstream.millis(), self.clock.now())
        {
            upstream.report(&target.address, Some(why));
        }
    }
}

impl Resolved {
    fn new(upstream: &Upstream, groups: &Groups, now: Timestamp) -> Self {
        let endpoints: Vec<_> = upstream.urls.iter().filter_map(endpoint).collect();
        let literal = endpoints.iter().filter_map(|endpoint| {
            let at = SocketAddr::new(endpoint.literal()?, endpoint.port);
            Some((endpoint, at))
        });
        Self {
            described: upstream.clone(),
            recipe: Recipe::new(upstream, groups),
            opened: Instant::now(),
            targets: ArcSwap::from_pointee(targets(literal, &[], now)),
            next: AtomicUsize::new(0),
            endpoints,
        }
    }

    /// Whether every name has an address, be it an old one.
    async fn resolve(&self, now: Timestamp) -> bool {
        if self
            .endpoints
            .iter()
            .all(|endpoint| endpoint.literal().is_some())
        {
            return true;
        }
        let answers = join_all(self.endpoints.iter().map(Endpoint::resolve)).await;
        let before = self.targets.load_full();
        let mut found = Vec::new();
        let mut all_known = true;
        for (endpoint, answer) in self.endpoints.iter().zip(answers) {
            let addresses = answer.unwrap_or_else(|| {
                tracing::warn!(
                    upstream = self.described.name,
                    host = &*endpoint.host,
                    "the upstream's name was not resolved"
                );
                let kept = before
                    .iter()
                    .filter(|target| target.endpoint.is_as(endpoint));
                kept.map(|target| target.address.at).collect()
            });
            all_known &= !addresses.is_empty();
            found.extend(addresses.into_iter().map(|at| (endpoint, at)));
        }
        self.targets
            .store(Arc::new(targets(found.into_iter(), &before, now)));
        all_known
    }

    /// A name that has no address yet.
    fn lacks_names(&self) -> bool {
        let targets = self.targets.load();
        self.endpoints
            .iter()
            .any(|endpoint| !targets.iter().any(|target| target.endpoint.is_as(endpoint)))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn states(&self, now: Timestamp) -> Vec<AddressState> {
        let targets = self.targets.load();
        let state = |address: Option<&Address>| {
            let story = address.map(Address::tell);
            AddressState {
                upstream: self.described.name.clone(),
                address: address.map(|address| address.at),
                is_healthy: address.is_some_and(Address::is_open),
                since: story.map_or(now, |story| story.since),
                last_error: match story {
                    Some(story) => story.last_error.map(NoAnswer::code),
                    None => Some(NoAnswer::Unreachable.code()),
                },
            }
        };
        if targets.is_empty() {
            return vec![state(None)];
        }
        targets
            .iter()
            .map(|target| state(Some(&target.address)))
            .collect()
    }

    fn report(&self, address: &Address, down: Option<NoAnswer>) {
        let upstream = self.described.name.as_str();
        match down {
            Some(why) => {
                tracing::warn!(upstream, address = %address.at, why = why.code(), "an upstream's address is down");
            }
            None => {
                tracing::info!(upstream, address = %address.at, "an upstream's address is back")
            }
        }
    }
}

impl Endpoint {
    fn is_as(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    async fn resolve(&self) -> Option<Vec<SocketAddr>> {
        if let Some(ip) = self.literal() {
            return Some(vec![SocketAddr::new(ip, self.port)]);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks for names"
        )]
        let answer = tokio::net::lookup_host((&*self.host, self.port)).await;
        let addresses: Vec<SocketAddr> = answer.ok()?.collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

/// Each address once; one that was there before stays as it is.
fn targets<'e>(
    found: impl Iterator<Item = (&'e Endpoint, SocketAddr)>,
    before: &[Target],
    now: Timestamp,
) -> Vec<Target> {
    let mut seen = HashSet::new();
    found
        .filter(|(_, at)| seen.insert(*at))
        .map(|(endpoint, at)| Target {
            endpoint: endpoint.clone(),
            address: before
                .iter()
                .find(|target| target.address.at == at)
                .map_or_else(
                    || Arc::new(Address::new(at, now)),
                    |target| Arc::clone(&target.address),
                ),
        })
        .collect()
}

fn endpoint(url: &Url) -> Option<Endpoint> {
    let host = url
        .host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']');
    Some(Endpoint {
        host: host.into(),
        port: url.port_or_known_default()?,
        tls: url.scheme() == "https",
        authority: url.authority().into(),
    })
}

#[cfg(test)]
mod tests;
