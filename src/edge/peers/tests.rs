//! Whose turn it is, and what each connection is made with.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::{Protocol, Timeouts, UpstreamHost, UpstreamTls};
use crate::model::target::Relaxations;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(43_200)
    }
}

fn upstream(urls: &[&str]) -> Upstream {
    let second = Duration::from_secs(1);
    Upstream {
        name: "app".into(),
        urls: urls.iter().map(|url| Url::parse(url).unwrap()).collect(),
        protocol: Protocol::Http1,
        tls: UpstreamTls::default(),
        health: None,
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

fn peers(upstreams: &[Upstream]) -> Peers {
    Peers::new(upstreams, Arc::new(Noon), None)
}

fn picked(peers: &Peers) -> String {
    peers.next(0, None).unwrap()._address.to_string()
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn addresses_take_turns_and_every_timeout_is_set() {
    let peers = peers(&[upstream(&["http://127.0.0.1:1", "http://[::1]:2"])]);
    let turns: Vec<_> = (0..3).map(|_| picked(&peers)).collect();
    assert_eq!(turns, ["127.0.0.1:1", "[::1]:2", "127.0.0.1:1"]);
    let options = peers.next(0, None).unwrap().options;
    assert_eq!(options.read_timeout, Some(Duration::from_secs(2)));
    assert!(options.connection_timeout.is_some() && options.total_connection_timeout.is_some());
    assert!(options.write_timeout.is_some() && options.idle_timeout.is_some());
    assert!(options.h2_ping_interval.is_some() && options.max_h2_streams > 1);
    assert!(options.verify_cert && options.verify_hostname);
}

#[test]
fn one_that_failed_is_left_out() {
    let peers = peers(&[upstream(&["http://127.0.0.1:1", "http://127.0.0.1:2"])]);
    assert!(peers.failed(0, Some(&at(1)), NoAnswer::Unreachable));
    for _ in 0..3 {
        assert_eq!(picked(&peers), "127.0.0.1:2");
    }
    let states = peers.states();
    assert!(!states[0].is_healthy && states[1].is_healthy);
    assert_eq!(states[0].last_error, Some("upstream-unreachable"));
    assert!(!peers.failed(0, Some(&at(2)), NoAnswer::Tls));
    assert_eq!(peers.next(0, None).unwrap_err(), NoAnswer::Down);
    peers.connected(0, Some(&at(1)));
    assert_eq!(picked(&peers), "127.0.0.1:1");
}

#[test]
fn no_two_upstreams_and_no_tunnels_share_a_pool() {
    let peers = peers(&[
        upstream(&["http://127.0.0.1:1"]),
        upstream(&["http://127.0.0.1:1"]),
    ]);
    let tunnel = || Some(Arc::new(Progress::default()));
    let groups: HashSet<_> = [
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

/// A pooled connection was made by the old description, be it that only the authorities changed.
#[test]
fn only_what_changed_is_made_anew() {
    let kept = upstream(&["https://127.0.0.1:1"]);
    let before = peers(std::slice::from_ref(&kept));
    before.failed(0, Some(&at(1)), NoAnswer::Unreachable);
    let group = |peers: &Peers| {
        peers.upstreams[0]
            .recipe
            .peer(at(1), "a", true, None)
            .group_key
    };
    let after = |upstream: &Upstream| {
        Peers::new(
            std::slice::from_ref(upstream),
            Arc::new(Noon),
            Some(&before),
        )
    };
    let same = after(&kept);
    assert_eq!(group(&same), group(&before));
    assert!(!same.states()[0].is_healthy);
    let changes: [&dyn Fn(&mut Upstream); 5] = [
        &|upstream| upstream.name = "other".into(),
        &|upstream| upstream.protocol = Protocol::H2,
        &|upstream| upstream.tls.verify = false,
        &|upstream| upstream.tls.server_name = Some("app".into()),
        &|upstream| upstream.tls.ca = Some(Arc::from([])),
    ];
    let mut groups = HashSet::from([group(&before)]);
    for change in changes {
        let mut changed = kept.clone();
        change(&mut changed);
        let after = after(&changed);
        assert!(groups.insert(group(&after)));
        assert!(after.states()[0].is_healthy);
    }
}

#[test]
fn a_name_is_checked_always() {
    for (url, name) in [
        ("https://127.0.0.1:1", "127.0.0.1"),
        ("https://[::1]:1", "::1"),
    ] {
        assert_eq!(peers(&[upstream(&[url])]).next(0, None).unwrap().sni, name);
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_no_peer_and_no_panic() {
    let peers = peers(&[upstream(&["http://nowhere.invalid:1"])]);
    assert_eq!(peers.resolve().await, RETRY_EVERY);
    assert_eq!(peers.next(0, None).unwrap_err(), NoAnswer::Unreachable);
    assert_eq!(peers.next(7, None).unwrap_err(), NoAnswer::Unreachable);
    let state = &peers.states()[0];
    assert!(!state.is_healthy && state.address.is_none());
}

#[tokio::test]
async fn an_address_keeps_its_state_when_names_are_asked_again() {
    let peers = peers(&[upstream(&["http://localhost:1", "http://127.0.0.1:2"])]);
    assert_eq!(peers.resolve().await, RESOLVE_EVERY);
    peers.failed(0, Some(&at(1)), NoAnswer::Unreachable);
    peers.resolve().await;
    let states = peers.states();
    let found = states.iter().find(|state| state.address == Some(at(1)));
    assert!(!found.unwrap().is_healthy, "{states:?}");
}
