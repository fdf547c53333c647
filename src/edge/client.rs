//! Whose request it is: the peer's address, or what a trusted proxy says of it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client, and the hops before the peer that trusted proxies vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Client {
    pub(in crate::edge) address: IpAddr,
    /// From the client to the last hop before the peer; empty when the peer is the client.
    pub(in crate::edge) chain: Vec<IpAddr>,
}

/// A trusted proxy sent an `X-Forwarded-For` or `Forwarded` that is not a list of addresses, or two that disagree: with an unknown client a decision by
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
    let chain = match (x_forwarded_for(headers)?, forwarded(headers)?) {
        (claimed, None) | (None, claimed) => vouched(claimed.unwrap_or_default(), trusted),
        (Some(one), Some(other)) => {
            let (one, other) = (vouched(one, trusted), vouched(other, trusted));
            // The proxy sets one of them, and the client may have sent the other.
            if one.first() != other.first() {
                return Err(UnreadableChain);
            }
            one
        }
    };
    Ok(Client {
        address: chain.first().copied().unwrap_or(peer),
        chain,
    })
}

/// From the last hop on that no trusted proxy owns: what stands before it anybody may have written.
fn vouched(mut claimed: Vec<IpAddr>, trusted: &[IpNet]) -> Vec<IpAddr> {
    let from = claimed
        .iter()
        .rposition(|hop| !is_trusted(*hop, trusted))
        .unwrap_or(0);
    claimed.split_off(from.min(claimed.len()))
}

fn x_forwarded_for(headers: &HeaderMap) -> Result<Option<Vec<IpAddr>>, UnreadableChain> {
    let mut claimed = None::<Vec<_>>;
    for value in headers.get_all(&X_FORWARDED_FOR) {
        let hops = claimed.get_or_insert_default();
        for part in value.to_str().map_err(|_| UnreadableChain)?.split(',') {
            hops.push(address(part.trim()).ok_or(UnreadableChain)?);
        }
    }
    Ok(claimed)
}

/// RFC 7239, of which `for` is what counts. A hop without it, or with a hidden one, leaves the client unknown. No value
/// that is an address holds a comma or a semicolon, so that quoting needs no more than to be taken off.
fn forwarded(headers: &HeaderMap) -> Result<Option<Vec<IpAddr>>, UnreadableChain> {
    let mut claimed = None::<Vec<_>>;
    for value in headers.get_all(header::FORWARDED) {
        let hops = claimed.get_or_insert_default();
        for hop in value.to_str().map_err(|_| UnreadableChain)?.split(',') {
            let mut named = hop.split(';').filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim()
                    .eq_ignore_ascii_case("for")
                    .then_some(value.trim())
            });
            let (Some(node), None) = (named.next(), named.next()) else {
                return Err(UnreadableChain);
            };
            hops.push(address(unquoted(node)).ok_or(UnreadableChain)?);
        }
    }
    Ok(claimed)
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

pub(in crate::edge) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|range| range.contains(&address))
}

/// Some proxies add the port; an IPv6 address may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let parsed = bare
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
        let chain: Vec<_> = chain
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        seen_in(peer, &chain)
    }

    fn seen_in(peer: &str, fields: &[(&str, &str)]) -> Result<String, UnreadableChain> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).map(|client| client.address.to_string())
    }

    #[test]
    fn the_standard_header_is_read_as_well() {
        let rows = [
            ("for=192.0.2.1", Ok("192.0.2.1")),
            (
                "For=\"192.0.2.1:4711\";proto=https;by=10.0.0.2",
                Ok("192.0.2.1"),
            ),
            ("for=\"[2001:db8::1]:4711\"", Ok("2001:db8::1")),
            ("for=\"[2001:db8::1]\"", Ok("2001:db8::1")),
            (
                "for=127.0.0.1, for=192.0.2.1, for=10.0.0.2",
                Ok("192.0.2.1"),
            ),
            ("for=_hidden", Err(UnreadableChain)),
            ("for=unknown", Err(UnreadableChain)),
            ("proto=https", Err(UnreadableChain)),
            ("for=192.0.2.1;for=192.0.2.2", Err(UnreadableChain)),
            ("for=\"192.0.2.1,192.0.2.2\"", Err(UnreadableChain)),
            ("", Err(UnreadableChain)),
        ];
        for (value, expected) in rows {
            let given = seen_in("10.0.0.1", &[("forwarded", value)]);
            assert_eq!(given, expected.map(str::to_owned), "{value}");
            let stranger = seen_in("203.0.113.9", &[("forwarded", value)]);
            assert_eq!(stranger, Ok("203.0.113.9".into()), "{value}");
        }
    }

    #[test]
    fn two_that_disagree_are_refused() {
        let both = |other| [("x-forwarded-for", "192.0.2.1"), ("forwarded", other)];
        assert_eq!(
            seen_in("10.0.0.1", &both("for=192.0.2.1")),
            Ok("192.0.2.1".into())
        );
        assert_eq!(
            seen_in("10.0.0.1", &both("for=192.0.2.2")),
            Err(UnreadableChain)
        );
        assert_eq!(seen_in("10.0.0.1", &both("for=_x")), Err(UnreadableChain));
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
