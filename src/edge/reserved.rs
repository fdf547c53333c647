//! Header names that only stepgate may set towards an upstream, and those that no upstream should see from a client.
//!
//! Many servers fold `_`, `.` and other bytes to `-` (CVE-2025-64484, CVE-2026-54763, CVE-2026-88011). A name with any
//! byte but letters, digits and `-` is therefore dropped whole; what is left needs no folding to be compared.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, header};

use crate::config::Config;
use crate::gate::{APPROVAL, REASON};
use crate::model::target::METHOD_OVERRIDES;

/// By which other proxies and apps tell who the user is; a client never gets to say it, whatever the config sets.
const IDENTITY: &[&str] = &[
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "http-remote-user",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "x-access-token",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-email",
    "x-groups",
    "x-real-ip",
    "x-request-id",
    "x-roles",
    "x-user",
    "x-username",
    "x-userinfo",
];

const IDENTITY_PREFIXES: &[&str] = &[
    "ssl-client-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-client-verify",
    "x-forwarded-",
    "x-pomerium-",
    "x-remote-",
    "x-ssl-",
    "x-stepgate-",
    "x-tls-client-",
    "x-vouch-",
    "x-webauth-",
];

/// By which a server may be told another path than the one that was decided on; and `Proxy` (httpoxy).
const REWRITES: &[&str] = &[
    "proxy",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// What a proxy that stands before an app in place of stepgate has to keep from it, whatever the configuration says.
pub(crate) const NEVER_A_CLIENTS: [&[&str]; 3] = [IDENTITY, REWRITES, METHOD_OVERRIDES];

/// Families of them.
pub(crate) const NEVER_A_CLIENTS_FAMILIES: &[&str] = IDENTITY_PREFIXES;

/// How many names `Connection` may hold; Pingora passes no request on that has more.
const NOMINATIONS: usize = 9;

/// Computed once from the config.
#[derive(Debug)]
pub(in crate::edge) struct Reserved {
    names: HashSet<HeaderName>,
}

impl Reserved {
    pub(in crate::edge) fn new(config: &Config) -> Self {
        let fixed = IDENTITY
            .iter()
            .chain(REWRITES)
            .map(|name| HeaderName::from_static(name));
        let own = config
            .apps
            .iter()
            .flat_map(|app| app.identity.all())
            .map(|(name, _)| name.clone());
        Self {
            names: fixed
                .chain(own)
                .chain([header::FORWARDED, APPROVAL, REASON])
                .collect(),
        }
    }

    /// Whether only stepgate may set it, or nobody.
    pub(in crate::edge) fn contains(&self, name: &HeaderName) -> bool {
        self.names.contains(name)
            || IDENTITY_PREFIXES
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
    }

    /// The names of a client's request that must not reach the upstream; usually none, so nothing is allocated.
    pub(in crate::edge) fn dropped(
        &self,
        headers: &HeaderMap,
        method_override: bool,
    ) -> Vec<HeaderName> {
        headers
            .keys()
            .filter(|name| {
                !is_plain(name)
                    || self.contains(name)
                    || (!method_override && METHOD_OVERRIDES.contains(&name.as_str()))
            })
            .cloned()
            .collect()
    }

    /// A `Connection` field that names one of ours would have it removed on the way (CVE-2026-105299 and its kin).
    pub(in crate::edge) fn is_nominated(&self, headers: &HeaderMap) -> bool {
        let mut count = 0;
        headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty())
            .any(|name| {
                count += 1;
                count > NOMINATIONS || self.may_not_be_named(name)
            })
    }

    /// Whether a request carries what the app must not read, by a name that many servers fold to a reserved one, or as
    /// another method than the one that is judged. For where it is not in our hands to drop it.
    pub(in crate::edge) fn is_disguised(&self, headers: &HeaderMap, method_override: bool) -> bool {
        headers.keys().any(|name| {
            let overrides = !method_override && METHOD_OVERRIDES.contains(&name.as_str());
            overrides
                || (!is_plain(name)
                    && HeaderName::from_bytes(&folded(name)).is_ok_and(|name| self.contains(&name)))
        })
    }

    fn may_not_be_named(&self, name: &[u8]) -> bool {
        // What is no header name cannot nominate one, but nobody sends it by accident either.
        HeaderName::from_bytes(name).map_or(true, |name| {
            self.contains(&name)
                || !is_plain(&name)
                || matches!(name, header::HOST | header::COOKIE)
        })
    }
}

fn folded(name: &HeaderName) -> Vec<u8> {
    let plain = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            byte
        } else {
            b'-'
        }
    };
    name.as_str().bytes().map(plain).collect()
}

fn is_plain(name: &HeaderName) -> bool {
    name.as_str()
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn reserved() -> Reserved {
        let names = ["x-auth-request-user", "x-own"]
            .into_iter()
            .chain(IDENTITY.iter().copied())
            .chain(REWRITES.iter().copied());
        Reserved {
            names: names
                .map(HeaderName::from_static)
                .chain([header::FORWARDED])
                .collect(),
        }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        lines.iter().map(pair).collect()
    }

    #[test]
    fn aliases_of_reserved_names_are_dropped() {
        for name in [
            "X-Own",
            "x_own",
            "X.Own",
            "x-own",
            "X-Forwarded-User",
            "X_Forwarded_User",
            "x-forwarded_user",
            "Remote-User",
            "REMOTE_USER",
            "X-Original-URL",
            "X-Rewrite-Url",
            "Forwarded",
            "X-Real-Ip",
            "X-HTTP-Method-Override",
            "Proxy",
            "X-Auth-Request-Email",
            "X-Authentik-Username",
            "X-Pomerium-Claim-Email",
            "X-Vouch-User",
            "X-Client-Cert",
            "X-Forwarded-Client-Cert",
            "X-SSL-Client-S-DN",
            "X_SSL_Client_Verify",
            "Client-Cert",
            "anything~odd",
            "x!own",
        ] {
            assert_eq!(
                reserved().dropped(&headers(&[(name, "1")]), false).len(),
                1,
                "{name} passes"
            );
        }
    }

    #[test]
    fn ordinary_names_pass() {
        let ordinary = headers(&[
            ("Accept", "*/*"),
            ("Authorization", "Basic eA=="),
            ("X-Requested-With", "x"),
            ("Cookie", "a=b"),
        ]);
        assert_eq!(
            reserved().dropped(&ordinary, false),
            Vec::<HeaderName>::new()
        );
    }

    #[test]
    fn a_relaxed_upstream_gets_the_method_override() {
        let sent = headers(&[("X-HTTP-Method-Override", "DELETE")]);
        assert!(reserved().dropped(&sent, true).is_empty());
    }

    #[test]
    fn nominations_of_reserved_names_are_seen() {
        for value in [
            "x-own",
            "close, X-Own",
            "X_OWN",
            "keep-alive,x-forwarded-user",
            "host",
            "cookie",
            "a b",
        ] {
            assert!(
                reserved().is_nominated(&headers(&[("Connection", value)])),
                "{value} passes"
            );
        }
        let many = |count| vec!["x-a"; count].join(",");
        assert!(reserved().is_nominated(&headers(&[("Connection", &many(NOMINATIONS + 1))])));
        assert!(!reserved().is_nominated(&headers(&[("Connection", &many(NOMINATIONS))])));
        for value in ["close", "keep-alive, Upgrade", "TE", ""] {
            assert!(
                !reserved().is_nominated(&headers(&[("Connection", value)])),
                "{value} is refused"
            );
        }
    }
}
