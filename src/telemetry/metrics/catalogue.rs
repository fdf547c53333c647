//! Every metric: its name, its labels, its meaning. `docs/operations.md` shows this list, and a test holds it to it.

use super::histogram::{Buckets, DECISIONS_OF_PEOPLE, PEOPLE, REQUESTS, SHORT};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram(Buckets),
}

#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// As it is scraped; a histogram's series have `_bucket`, `_sum` and `_count` behind it.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence, without its full stop.
    pub help: &'static str,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    /// None: not a histogram.
    pub const fn buckets(self) -> Buckets {
        match self {
            Self::Counter | Self::Gauge => &[],
            Self::Histogram(buckets) => buckets,
        }
    }
}

macro_rules! catalogue {
    ($($constant:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub(in crate::telemetry::metrics) static $constant: Definition = Definition {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// In the order of the docs.
        pub static CATALOGUE: &[&Definition] = &[$(&$constant),*];
    };
}

catalogue! {
    // Requests. `(none)`: refused before its app or route was known; `(own)`: an endpoint of stepgate's own.
    HTTP_REQUESTS = Kind::Counter, "stepgate_http_requests_total", ["app", "route", "method", "code", "decision"],
        "Requests that ended, by class of the answer's status";
    HTTP_DURATION = Kind::Histogram(REQUESTS), "stepgate_http_request_duration_seconds", ["app", "route"],
        "From a request's header to the end of its answer";
    HTTP_IN_FLIGHT = Kind::Gauge, "stepgate_http_requests_in_flight", [],
        "Requests whose answer has not ended";
    DECISIONS = Kind::Counter, "stepgate_decisions_total", ["app", "route", "decision", "reason"],
        "What was decided, and why when it was not allowed";
    OVERHEAD = Kind::Histogram(SHORT), "stepgate_proxy_overhead_seconds", [],
        "From the header of a request that is allowed to its way upstream";
    CONNECTIONS = Kind::Gauge, "stepgate_connections_open", [],
        "Connections of clients";
    LIMIT_REFUSALS = Kind::Counter, "stepgate_limit_refusals_total", ["limit"],
        "What was refused because a limit was reached";
    STREAMS = Kind::Gauge, "stepgate_streams_active", ["kind"],
        "WebSockets, event streams and gRPC calls that are open";
    STREAMS_CLOSED = Kind::Counter, "stepgate_streams_closed_total", ["kind", "reason"],
        "WebSockets, event streams and gRPC calls that ended";

    // Signing in.
    CHALLENGES = Kind::Counter, "stepgate_challenges_total", ["level", "kind"],
        "Requests that were told which level they need";
    CALLBACKS = Kind::Counter, "stepgate_callbacks_total", ["result"],
        "How logins and step-ups ended that came back from Keycloak";
    LOGINS = Kind::Counter, "stepgate_logins_total", [],
        "Sessions that were made";
    STEP_UPS = Kind::Counter, "stepgate_stepup_outcomes_total", ["level", "outcome"],
        "Step-ups by the level that was asked for";
    STEP_UP_DURATION = Kind::Histogram(PEOPLE), "stepgate_stepup_duration_seconds", ["level"],
        "From a step-up's redirect to its way back, where the level was proven";
    REFRESHES = Kind::Counter, "stepgate_refreshes_total", ["result"],
        "Refreshes of a session's tokens";
    SESSIONS = Kind::Gauge, "stepgate_sessions_active", [],
        "Sessions in the store, those that are about to be thrown away included";
    SESSION_ENDS = Kind::Counter, "stepgate_sessions_ended_total", ["reason"],
        "Sessions that ended before their time";
    BEARERS = Kind::Counter, "stepgate_bearer_tokens_total", ["result"],
        "Bearer tokens that were judged";
    PARKED = Kind::Gauge, "stepgate_parked_requests_active", [],
        "Requests that are kept until their users have signed in or stepped up";
    PARKED_BYTES = Kind::Gauge, "stepgate_parked_bytes", [],
        "What they take, of the budget in [park]";
    PARKED_REQUESTS = Kind::Counter, "stepgate_parked_requests_total", ["result"],
        "What became of requests that were, or should have been, kept";

    // Approvals, by the name that the configuration gives them, behind its app's.
    APPROVALS = Kind::Counter, "stepgate_approvals_total", ["approval", "outcome"],
        "Approvals that were asked for, and what became of them";
    APPROVAL_TIME = Kind::Histogram(DECISIONS_OF_PEOPLE), "stepgate_approval_decision_seconds", ["approval"],
        "From the request for an approval to the last word on it";
    APPROVALS_PENDING = Kind::Gauge, "stepgate_approvals_pending", ["approval"],
        "Approvals that wait for somebody's word";
    APPROVAL_NUMBERS = Kind::Counter, "stepgate_approval_number_failures_total", ["approval"],
        "Numbers that were wrong";
    BREAK_GLASS = Kind::Counter, "stepgate_break_glass_total", ["approval"],
        "Approvals that somebody gave in everybody's place";
    CHANNEL_DECISIONS = Kind::Counter, "stepgate_channel_decisions_total", ["channel", "result"],
        "What channels said that decide themselves";
    SIGN_INS = Kind::Counter, "stepgate_ciba_requests_total", ["client", "outcome"],
        "What other clients asked of users by way of Keycloak, and what became of it";
    NOTIFICATIONS = Kind::Counter, "stepgate_notifications_total", ["channel", "result"],
        "What became of notices to people, by channel";

    // What stepgate depends on.
    OIDC_REQUESTS = Kind::Histogram(REQUESTS), "stepgate_oidc_request_seconds", ["endpoint", "outcome"],
        "Calls to Keycloak";
    OIDC_UP = Kind::Gauge, "stepgate_oidc_up", [],
        "1: the last call to Keycloak was answered, and its endpoints and keys are known";
    JWKS_SUCCESS = Kind::Gauge, "stepgate_jwks_last_success_timestamp_seconds", [],
        "When the realm's keys were last read; 0: never";
    STORE_OPERATIONS = Kind::Histogram(SHORT), "stepgate_store_operation_seconds", ["op", "result"],
        "Calls to the session store; what the near-cache answers is none";
    STORE_UP = Kind::Gauge, "stepgate_store_up", [],
        "1: the session store's last answer was one";
    UPSTREAM_DURATION = Kind::Histogram(REQUESTS), "stepgate_upstream_request_duration_seconds", ["upstream"],
        "From a request's way upstream to the header of the answer";
    UPSTREAM_FAILURES = Kind::Counter, "stepgate_upstream_failures_total", ["upstream", "reason"],
        "Requests that an upstream did not answer";
    UPSTREAM_UP = Kind::Gauge, "stepgate_upstream_up", ["upstream", "address"],
        "1: the address is used; 0: its health check fails";

    // The process.
    CONFIG_RELOADS = Kind::Counter, "stepgate_config_reloads_total", ["result"],
        "Reloads of the configuration";
    CONFIG_LAST_GOOD = Kind::Gauge, "stepgate_config_last_reload_successful", [],
        "1: the files on disk were good when they were last read";
    CONFIG_LAST_TIME = Kind::Gauge, "stepgate_config_last_reload_success_timestamp_seconds", [],
        "Since when the configuration that serves does";
    CERTIFICATE_END = Kind::Gauge, "stepgate_tls_certificate_not_after_timestamp_seconds", ["name"],
        "When a certificate of a listener ends";
    CERTIFICATE_RELOADS = Kind::Counter, "stepgate_tls_certificate_reloads_total", ["result"],
        "Reloads of certificates whose files changed";
    DRAINING = Kind::Gauge, "stepgate_draining", [],
        "1: told to drain or stop; /readyz is red";
    BUILD_INFO = Kind::Gauge, "stepgate_build_info", ["version"],
        "Always 1";
    PROCESS_CPU = Kind::Counter, "process_cpu_seconds_total", [],
        "Processor time of the process, user and system";
    PROCESS_MEMORY = Kind::Gauge, "process_resident_memory_bytes", [],
        "Memory of the process that is in RAM";
    PROCESS_VIRTUAL = Kind::Gauge, "process_virtual_memory_bytes", [],
        "Address space of the process";
    PROCESS_FDS = Kind::Gauge, "process_open_fds", [],
        "File descriptors that are open";
    PROCESS_MAX_FDS = Kind::Gauge, "process_max_fds", [],
        "File descriptors that may be open";
    PROCESS_START = Kind::Gauge, "process_start_time_seconds", [],
        "When the process started";
    PROCESS_THREADS = Kind::Gauge, "process_threads", [],
        "Threads of the process";
}
