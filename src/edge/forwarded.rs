//! What an upstream is told of the way a request came: `X-Forwarded-*` and `Forwarded` (RFC 7239), always ours.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::client::Client;
use crate::config::{HostIndex, Origin};

/// Names and values; the request's own fields of these names are gone before.
pub(in crate::edge) type Fields = [(&'static str, Option<HeaderValue>); 6];

/// Those of requests that come over one connection straight from its client: for one origin they are always the same.
#[derive(Debug, Default)]
pub(in crate::edge) struct Straight(ArcSwapOption<Kept>);

#[derive(Debug)]
struct Kept {
    /// Of the snapshot and the origin in it.
    of: (u64, HostIndex),
    fields: Arc<Fields>,
}

impl Straight {
    /// Made anew when the last request was for another origin, or of another configuration.
    pub(in crate::edge) fn fields(
        &self,
        snapshot: u64,
        place: HostIndex,
        make: impl FnOnce() -> Fields,
    ) -> Arc<Fields> {
        let of = (snapshot, place);
        if let Some(kept) = &*self.0.load()
            && kept.of == of
        {
            return Arc::clone(&kept.fields);
        }
        let fields = Arc::new(make());
        let kept = Arc::clone(&fields);
        self.0.store(Some(Arc::new(Kept { of, fields: kept })));
        fields
    }
}

pub(in crate::edge) fn fields(client: &Client, peer: IpAddr, origin: &Origin) -> Fields {
    let proto = if origin.https { "https" } else { "http" };
    let (host, port) = split(&origin.authority, origin.https);
    let mut chain = String::with_capacity(32);
    let mut forwarded = String::with_capacity(96);
    for hop in client.chain.iter().chain([&peer.to_canonical()]) {
        if !chain.is_empty() {
            chain.push_str(", ");
            forwarded.push_str(", ");
        }
        // Writing to a string does not fail.
        let _written = write!(chain, "{hop}");
        let _written = match hop {
            IpAddr::V4(hop) => write!(forwarded, "for={hop}"),
            IpAddr::V6(hop) => write!(forwarded, "for=\"[{hop}]\""),
        };
    }
    let _written = write!(forwarded, ";host=\"{}\";proto={proto}", origin.authority);
    [
        ("X-Forwarded-For", HeaderValue::try_from(chain).ok()),
        (
            "X-Real-IP",
            HeaderValue::try_from(client.address.to_string()).ok(),
        ),
        ("X-Forwarded-Proto", Some(HeaderValue::from_static(proto))),
        ("X-Forwarded-Host", HeaderValue::from_str(host).ok()),
        ("X-Forwarded-Port", HeaderValue::from_str(port).ok()),
        ("Forwarded", HeaderValue::try_from(forwarded).ok()),
    ]
}

/// `X-Forwarded-Host` carries the port where it is not the scheme's default, as `Host` does.
fn split(authority: &str, https: bool) -> (&str, &str) {
    let default = if https { "443" } else { "80" };
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (authority, port)
        }
        _ => (authority, default),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_whole_way_is_told() {
        let origin = Origin {
            text: "https://erp.example.com:8443".into(),
            authority: "erp.example.com:8443".into(),
            https: true,
            cookie: String::new(),
        };
        let client = Client {
            address: "2001:db8::1".parse().unwrap(),
            chain: vec!["2001:db8::1".parse().unwrap()],
        };
        let told: Vec<_> = fields(&client, "10.0.0.1".parse().unwrap(), &origin)
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", value.unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                "X-Forwarded-For: 2001:db8::1, 10.0.0.1",
                "X-Real-IP: 2001:db8::1",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: erp.example.com:8443",
                "X-Forwarded-Port: 8443",
                "Forwarded: for=\"[2001:db8::1]\", for=10.0.0.1;host=\"erp.example.com:8443\";proto=https",
            ]
        );
    }
}
