//! Whose request it is: the peer's address, or what a trusted proxy says of it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client, and the hops before the peer that trusted proxies vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Client {
    pub(in crate::edge) address: IpAddr,
    /// From the client to the last hop before the peer; empty when the peer is the client.
    pub(in crate::edge) chain: Vec<IpAddr>,
}

/// A trusted proxy sent an `X-Forwarded-For` that is not a list of addresses: with an unknown client a decision by
/// network could only be a guess (CVE-2024-47070).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct UnreadableChain;

/// The last address that no trusted proxy owns, reading from the peer backwards.
pub(in crate::edge) fn client(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Result<Client, UnreadableChain> {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Ok(Client {
            address: peer,
            chain: Vec::new(),
        });
    }
    let mut claimed = Vec::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        for part in value.to_str().map_err(|_| UnreadableChain)?.split(',') {
            claimed.push(address(part.trim()).ok_or(UnreadableChain)?);
        }
    }
    let from = claimed
        .iter()
        .rposition(|hop| !is_trusted(*hop, trusted))
        .unwrap_or(0);
    let chain = claimed.split_off(from.min(claimed.len()));
    Ok(Client {
        address: chain.first().copied().unwrap_or(peer),
        chain,
    })
}

pub(in crate::edge) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|range| range.contains(&address))
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let parsed = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()));
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, chain: &[&str]) -> Result<String, UnreadableChain> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in chain {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).map(|client| client.address.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(
            seen("203.0.113.9", &["192.0.2.1"]),
            Ok("203.0.113.9".into())
        );
        assert_eq!(seen("10.0.0.1", &["192.0.2.1"]), Ok("192.0.2.1".into()));
        assert_eq!(
            seen("::ffff:10.0.0.1", &["192.0.2.1:4711"]),
            Ok("192.0.2.1".into())
        );
        assert_eq!(seen("10.0.0.1", &[]), Ok("10.0.0.1".into()));
    }

    #[test]
    fn what_the_client_prepends_is_not_believed() {
        assert_eq!(
            seen("10.0.0.1", &["10.9.9.9, 192.0.2.1, 10.0.0.2"]),
            Ok("192.0.2.1".into())
        );
        assert_eq!(
            seen("10.0.0.1", &["127.0.0.1", "192.0.2.1"]),
            Ok("192.0.2.1".into())
        );
        assert_eq!(
            seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            Ok("10.0.0.3".into())
        );
    }

    #[test]
    fn a_chain_that_is_none_is_refused() {
        for chain in ["unknown", "", "192.0.2.1, ", "192.0.2.1;x", "_hidden"] {
            assert_eq!(
                seen("10.0.0.1", &[chain]),
                Err(UnreadableChain),
                "{chain:?}"
            );
        }
        assert_eq!(seen("203.0.113.9", &["unknown"]), Ok("203.0.113.9".into()));
    }
}
