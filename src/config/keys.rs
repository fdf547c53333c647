//! The language's keys, table by table, with those that later versions bring. They are known so that a policy written for
//! a later version is refused instead of half understood.

#[derive(Debug)]
pub struct Keys {
    /// `[keycloak]`; empty at the top of a file.
    pub(super) table: &'static str,
    pub known: &'static [&'static str],
    pub later: &'static [&'static str],
}

impl Keys {
    pub(super) fn within(&self) -> String {
        if self.table.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.table)
        }
    }
}

macro_rules! keys {
    ($($name:ident = $table:literal, [$($known:literal),* $(,)?], [$($later:literal),* $(,)?];)*) => {
        $(pub(super) static $name: Keys = Keys {
            table: $table,
            known: &[$($known),*],
            later: &[$($later),*],
        };)*

        /// Every table by the name that the docs mark it with.
        pub static KEYS: &[(&str, &Keys)] = &[$((stringify!($name), &$name)),*];
    };
}

keys! {
    INSTALLATION = "",
        ["version", "listen", "listen_tls", "plain", "certificates", "client_certificates", "hsts", "policies",
         "trusted_proxies", "sessions", "keycloak", "levels", "floors", "upstreams", "seal", "networks", "limits", "park", "log",
         "admin_listen", "admin_hosts", "admin_socket", "ready_needs_keycloak", "approver_app", "approvals", "channels"],
        ["redis", "peers"];
    APPROVALS = "[approvals]",
        ["notices_within", "notices_per_route", "notices_per_requester", "notices_per_approval", "notices_per_approver"],
        [];
    APPROVER_APP = "[approver_app]", ["url", "level", "title", "device_cooldown"], [];
    CERTIFICATE = "[[certificates]]", ["cert", "key"], [];
    CLIENT_CERTIFICATES = "[client_certificates]", ["ca", "require"], [];
    SESSIONS = "[sessions]",
        ["store", "path", "cache", "idle", "absolute", "refresh_grace"],
        ["url", "redis", "on_lapse"];
    KEYCLOAK = "[keycloak]",
        ["issuer", "client_id", "client_secret", "client_key", "client_key_id", "par", "groups_claim", "roles_claim",
         "timeout", "algorithms", "ciba"],
        ["introspect", "bearer_age"];
    CIBA = "[keycloak.ciba]", ["clients", "device", "level", "per_user", "per_client"], [];
    LEVEL = "[[levels]]", ["name", "label", "base", "proof", "ask", "lasts", "enrol", "enrol_hold"], ["approval"];
    PROOF = "proof", ["acr", "amr_any", "amr_all", "claims", "kc_idp_hint"], [];
    ASK = "ask",
        ["acr_values", "scope", "prompt", "always_asked", "essential", "max_age", "params"], [];
    FLOOR = "[[floors]]", ["id", "hosts", "path", "methods", "require"], ["approval"];
    UPSTREAM = "[upstreams.…]",
        ["url", "urls", "protocol", "tls", "health", "host", "timeouts", "accept", "path_match"],
        ["assertion", "forward_token"];
    TIMEOUTS = "timeouts", ["connect", "response", "idle"], [];
    UPSTREAM_TLS = "tls", ["ca", "server_name", "client_cert", "client_key", "insecure_skip_verify"], [];
    HEALTH = "health", ["path", "host", "interval", "timeout", "healthy", "unhealthy"], [];
    SEAL = "[seal]", ["keys"], [];
    LIMITS = "[limits]",
        ["header_time", "header_bytes", "header_count", "body_bytes", "body_time", "connections", "connections_per_address", "h2_streams",
         "h2_resets", "logins_in_flight",
         "logins_per_minute", "sessions_per_subject", "grace"],
        [];
    PARK = "[park]", ["body_bytes", "lasts", "budget"], [];
    LOG = "[log]", ["access", "audit"], [];
    LOG_FILE = "[log]", ["file"], [];
    WEBHOOK = "[channels.…]",
        ["kind", "url", "keys", "decide_keys", "allow_private", "ca", "detail", "decided", "timeout", "fallback"],
        [];
    NTFY = "[channels.…]",
        ["kind", "url", "topic", "token", "priority", "allow_private", "ca", "detail", "decided", "timeout", "fallback"],
        [];
    WEB_PUSH = "[channels.…]",
        ["kind", "vapid_key", "subject", "services", "allow_private", "ca", "decided", "timeout", "fallback"],
        [];
    SMTP = "[channels.…]",
        ["kind", "host", "port", "tls", "ca", "username", "password", "from", "to", "to_approvers", "detail", "decided",
         "timeout", "fallback"],
        [];
    CIBA_DEVICE = "[channels.…]", ["kind", "delivery", "params", "detail"], [];
    SECRET = "a secret", ["file", "env", "credential"], ["vault"];
    APP = "",
        ["url", "urls", "upstream", "require", "identity", "app_cookies", "login", "body_bytes", "park_bytes", "bearer", "bearer_age", "introspect",
         "forward_token", "challenge", "cors", "inject_agent", "renew_before", "on_lapse", "lapse_grace", "forward_auth",
         "routes", "approvals"],
        ["assertion"];
    BEARER = "bearer", ["audience", "algorithms", "required_scopes", "dpop"], [];
    CORS = "cors", ["origins"], [];
    LOGIN = "login", ["kc_idp_hint", "params"], [];
    ROUTE = "[[routes]]",
        ["id", "path", "methods", "public", "upstream", "require", "loosens", "challenge", "body_bytes", "park_bytes",
         "on_lapse", "lapse_grace", "approval"],
        ["bearer", "bearer_age", "introspect", "forward_token"];
    REQUIRE = "require",
        ["level", "max_age", "groups_any", "groups_all", "roles_any", "roles_all", "scopes_any", "scopes_all",
         "networks_any", "claims", "inherit"],
        ["introspect", "approval"];
    APPROVAL = "[approvals.…]",
        ["summary", "approvers", "need", "deny", "mode", "digits", "reason", "requester_reason", "request_ttl", "redeem_ttl", "level",
         "bind_headers", "grant", "cooldown", "when", "channels", "escalate", "break_glass"],
        [];
    BREAK_GLASS = "break_glass", ["groups_any", "people"], [];
    ESCALATE = "escalate", ["after", "to"], [];
    SECOND = "to", ["groups_any", "people"], [];
    WHEN = "when", ["methods", "outside", "hours", "above"], [];
    WINDOW = "grant", ["window", "per"], [];
    HOURS = "hours", ["from", "to", "days", "zone"], [];
    APPROVERS = "approvers", ["self", "groups_any", "claim", "people", "webhook", "ciba", "need"], [];
}
