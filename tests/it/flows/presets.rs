//! Identity presets, held against what the peers' own documentation shows an app to get.

use super::world::{Twist, World};

/// Preset, what the peer documents for this user, and what of it is left out: it tells of a token that no app gets.
type Peer = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const PEERS: [Peer; 3] = [
    // oauth2-proxy, "Configuration": `--pass-user-headers`, which is on.
    (
        "oauth2-proxy",
        &[
            ("X-Forwarded-User", "sub-alice"),
            ("X-Forwarded-Groups", "clerks"),
            ("X-Forwarded-Email", "alice@example.test"),
            ("X-Forwarded-Preferred-Username", "alice"),
        ],
        &[],
    ),
    // gatekeeper, "Upstream Headers": `id.name` is the preferred user name.
    (
        "gatekeeper",
        &[
            ("X-Auth-Userid", "alice"),
            ("X-Auth-Subject", "sub-alice"),
            ("X-Auth-Username", "alice"),
            ("X-Auth-Email", "alice@example.test"),
            ("X-Auth-Groups", "clerks"),
            ("X-Auth-Roles", "offline_access,employee"),
        ],
        &["X-Auth-Audience", "X-Auth-ExpiresIn", "X-Auth-Token"],
    ),
    // Authelia, "Trusted Header SSO": response headers.
    (
        "authelia",
        &[
            ("Remote-User", "alice"),
            ("Remote-Groups", "clerks"),
            ("Remote-Name", "Alice"),
            ("Remote-Email", "alice@example.test"),
        ],
        &[],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_what_its_earlier_proxy_sent() {
    for (preset, documented, left_out) in PEERS {
        let identity = format!("identity    = {{ preset = \"{preset}\" }}");
        let mut world = World::twisted(Twist {
            policy: &[(
                "identity    = { preset = \"oauth2-proxy\", X-Level = \"{level}\" }",
                &identity,
            )],
            ..Twist::default()
        })
        .await;
        world.lands("/x", "alice").await;
        let hit = world.last_hit();
        for (name, value) in documented {
            assert_eq!(hit.header(name), *value, "{preset}: {name}");
        }
        for name in left_out {
            assert_eq!(hit.header(name), "", "{preset}: {name}");
        }
        // And nothing that the peer does not send.
        let known = |name: &str| {
            documented
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let identity = ["x-auth-", "remote-", "x-forwarded-"];
        let way = ["for", "host", "port", "proto"];
        let further: Vec<_> = hit
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .filter(|name| identity.iter().any(|start| name.starts_with(start)))
            .filter(|name| !known(name) && !way.iter().any(|end| name.ends_with(end)))
            .collect();
        assert_eq!(further, Vec::<&str>::new(), "{preset}");
    }
}
