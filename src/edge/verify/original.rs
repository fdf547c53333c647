//! The request that another proxy asks about, read from the one set of headers that a proxy of its kind sends.
//!
//! Which set is read follows from what is there, never from a guess: with headers of two sets, or one of them twice,
//! nobody knows which the proxy wrote and which its client (GHSA-7x63-xv5r-3p2x).

use http::{HeaderMap, Method};

use crate::config::ForwardAuth;
use crate::gate::Unbelievable;

const X_ORIGINAL_METHOD: &str = "x-original-method";
const X_ORIGINAL_URL: &str = "x-original-url";
const X_FORWARDED_METHOD: &str = "x-forwarded-method";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_URI: &str = "x-forwarded-uri";

/// By which other software is told of another request; no set has them.
const OF_NO_SET: &[&str] = &[
    "x-original-host",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-path",
];

/// `X-Original-Method` and `X-Original-URL`.
const ORIGINAL: &[&str] = &[X_ORIGINAL_METHOD, X_ORIGINAL_URL];

/// `X-Forwarded-Proto` alone describes no request, and proxies of every kind set it.
const FORWARDED: &[&str] = &[X_FORWARDED_METHOD, X_FORWARDED_HOST, X_FORWARDED_URI];

/// Not yet judged by anybody.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) struct Original {
    pub(in crate::edge) method: Method,
    /// As far as the set says it.
    pub(in crate::edge) https: Option<bool>,
    pub(in crate::edge) authority: String,
    /// Path and query, as the other proxy was sent them.
    pub(in crate::edge) target: Vec<u8>,
    set: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Original,
    Forwarded,
    /// The request itself, with the path behind a prefix; or a message that describes it.
    Itself,
}

impl Original {
    /// Of the headers of a request for the decision.
    pub(in crate::edge) fn of(headers: &HeaderMap) -> Result<Self, Unbelievable> {
        let has = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
        match (has(ORIGINAL), has(FORWARDED)) {
            _ if has(OF_NO_SET) => Err(Unbelievable::OtherSet),
            (true, true) => Err(Unbelievable::OtherSet),
            (true, false) => Self::of_original(headers),
            (false, true) => Self::of_forwarded(headers),
            (false, false) => Err(Unbelievable::Incomplete),
        }
    }

    /// Of a request that is the original but for its path, or that a message describes: no header may say otherwise.
    pub(in crate::edge) fn itself(
        method: &Method,
        authority: &str,
        target: &[u8],
        headers: &HeaderMap,
    ) -> Result<Self, Unbelievable> {
        let others = [OF_NO_SET, ORIGINAL, FORWARDED];
        if others
            .iter()
            .any(|names| names.iter().any(|name| headers.contains_key(*name)))
        {
            return Err(Unbelievable::OtherSet);
        }
        Ok(Self {
            method: method.clone(),
            https: None,
            authority: authority.to_owned(),
            target: target.to_vec(),
            set: Set::Itself,
        })
    }

    /// Whether a proxy of that kind describes requests so.
    pub(in crate::edge) fn is_of(&self, kind: ForwardAuth) -> bool {
        let set = match kind {
            ForwardAuth::Nginx => Set::Original,
            ForwardAuth::Traefik | ForwardAuth::Caddy => Set::Forwarded,
            ForwardAuth::Envoy => Set::Itself,
        };
        self.set == set
    }

    fn of_original(headers: &HeaderMap) -> Result<Self, Unbelievable> {
        let url = one(headers, X_ORIGINAL_URL)?;
        let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(Unbelievable::Unreadable),
        };
        // Whatever ends an authority for any parser ends it here; then it is none of ours.
        let at = rest
            .find(['/', '?', '#', '\\', '@'])
            .ok_or(Unbelievable::Unreadable)?;
        let (authority, target) = rest.split_at(at);
        if !target.starts_with('/') {
            return Err(Unbelievable::Unreadable);
        }
        Ok(Self {
            method: method(one(headers, X_ORIGINAL_METHOD)?)?,
            https: Some(https),
            authority: authority.to_owned(),
            target: target.as_bytes().to_vec(),
            set: Set::Original,
        })
    }

    fn of_forwarded(headers: &HeaderMap) -> Result<Self, Unbelievable> {
        let https = match one(headers, X_FORWARDED_PROTO)? {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(Unbelievable::Unreadable),
        };
        Ok(Self {
            method: method(one(headers, X_FORWARDED_METHOD)?)?,
            https: Some(https),
            authority: one(headers, X_FORWARDED_HOST)?.to_owned(),
            target: one(headers, X_FORWARDED_URI)?.as_bytes().to_vec(),
            set: Set::Forwarded,
        })
    }
}

fn method(name: &str) -> Result<Method, Unbelievable> {
    Method::from_bytes(name.as_bytes()).map_err(|_| Unbelievable::Unreadable)
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Unbelievable> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Unbelievable::Unreadable),
        (Some(_), Some(_)) => Err(Unbelievable::Repeated),
        (None, _) => Err(Unbelievable::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn original(url: &str) -> Result<(String, String), Unbelievable> {
        let told = Original::of(&headers(&[
            ("x-original-method", b"GET"),
            ("x-original-url", url.as_bytes()),
        ]))?;
        Ok((told.authority, String::from_utf8(told.target).unwrap()))
    }

    #[test]
    fn a_url_has_one_reading() {
        let fine = |authority: &str, target: &str| Ok((authority.to_owned(), target.to_owned()));
        assert_eq!(
            original("https://erp.example.com/a?b=https://x/"),
            fine("erp.example.com", "/a?b=https://x/")
        );
        assert_eq!(
            original("http://erp.example.com:8080/"),
            fine("erp.example.com:8080", "/")
        );
        // The host ends at the first slash: this one is another's.
        assert_eq!(
            original("https://evil.example/https://erp.example.com/"),
            fine("evil.example", "/https://erp.example.com/")
        );
        for unreadable in [
            "",
            "/a",
            "//erp.example.com/a",
            "HTTPS://erp.example.com/a",
            "ftp://erp.example.com/a",
            "https://erp.example.com",
            "https://erp.example.com?/a",
            "https://erp.example.com#/a",
            "https://evil.example\\/erp.example.com/",
            "https://erp.example.com@evil.example/",
            "https://user@erp.example.com/",
        ] {
            let told = original(unreadable);
            assert_eq!(told, Err(Unbelievable::Unreadable), "{unreadable}");
        }
    }

    #[test]
    fn one_set_once() {
        type Lines = &'static [(&'static str, &'static [u8])];
        const ORIGINAL: Lines = &[
            ("x-original-method", b"GET"),
            ("x-original-url", b"https://a/"),
        ];
        const FORWARDED: Lines = &[
            ("x-forwarded-method", b"GET"),
            ("x-forwarded-proto", b"https"),
            ("x-forwarded-host", b"a"),
            ("x-forwarded-uri", b"/"),
        ];
        let told = |lines: &[(&'static str, &[u8])]| {
            Original::of(&headers(lines)).map(|original| original.target)
        };
        for set in [ORIGINAL, FORWARDED] {
            assert_eq!(told(set), Ok(b"/".to_vec()));
            for line in set {
                let twice = [set, &[*line]].concat();
                let expected = match line.0 {
                    // Read by one set only.
                    "x-forwarded-proto" if set == ORIGINAL => Ok(b"/".to_vec()),
                    _ => Err(Unbelievable::Repeated),
                };
                assert_eq!(told(&twice), expected, "{twice:?}");
                let without: Vec<_> = set.iter().filter(|known| *known != line).copied().collect();
                assert_eq!(told(&without), Err(Unbelievable::Incomplete), "{without:?}");
                let broken = without.iter().copied().chain([(line.0, &b"\xff"[..])]);
                assert_eq!(
                    told(&broken.collect::<Vec<_>>()),
                    Err(Unbelievable::Unreadable)
                );
            }
        }
        for foreign in [
            "x-original-uri",
            "x-original-host",
            "x-rewrite-url",
            "x-forwarded-path",
            "x-forwarded-uri",
        ] {
            let both = [ORIGINAL, &[(foreign, &b"/public"[..])]].concat();
            assert_eq!(told(&both), Err(Unbelievable::OtherSet), "{foreign}");
        }
        let both = [FORWARDED, &[("x-original-url", &b"https://a/public"[..])]].concat();
        assert_eq!(told(&both), Err(Unbelievable::OtherSet));
        assert_eq!(told(&[]), Err(Unbelievable::Incomplete));
        assert_eq!(told(&FORWARDED[1..2]), Err(Unbelievable::Incomplete));
    }

    #[test]
    fn no_header_speaks_against_the_request_itself() {
        let told = |lines: &[(&'static str, &[u8])]| {
            Original::itself(&Method::GET, "a", b"/", &headers(lines)).map(|_| ())
        };
        assert_eq!(told(&[("x-forwarded-proto", b"https")]), Ok(()));
        for name in [
            "x-forwarded-uri",
            "x-forwarded-host",
            "x-forwarded-method",
            "x-original-url",
            "x-original-method",
            "x-rewrite-url",
        ] {
            assert_eq!(told(&[(name, b"x")]), Err(Unbelievable::OtherSet), "{name}");
        }
    }
}
