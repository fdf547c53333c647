//! What is told to another proxy that asks about a request of its own: never "yes" without a permit.

use http::{HeaderMap, Method, StatusCode};

use super::{Forward, Gate, Incoming, Record, Reply};
use crate::policy::decision::Decision;

/// Why what another proxy says of a request is not believed. Always 403: it is a wrong set-up, or an attack on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbelievable {
    /// It is none of `trusted_proxies`.
    Stranger,
    /// No request is described, or not all of it.
    Incomplete,
    /// Something is said twice.
    Repeated,
    /// What a proxy of another kind would say is there as well, and may be the client's.
    OtherSet,
    /// Not a method, URL, host or target.
    Unreadable,
    /// The app is not behind a proxy of this kind.
    NotConfigured,
    /// The app is served by `https`, and the request came by `http`, or the other way round.
    Scheme,
    /// Our own endpoints are no app's.
    OwnPath,
    /// A header that servers fold to one that tells who asks, or that names another method.
    Disguised,
}

impl Unbelievable {
    /// Stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Stranger => "verify-stranger",
            Self::Incomplete => "verify-incomplete",
            Self::Repeated => "verify-repeated",
            Self::OtherSet => "verify-other-set",
            Self::Unreadable => "verify-unreadable",
            Self::NotConfigured => "verify-not-configured",
            Self::Scheme => "verify-scheme",
            Self::OwnPath => "verify-own-path",
            Self::Disguised => "verify-disguised",
        }
    }

    pub(in crate::gate) fn text(self) -> &'static str {
        match self {
            Self::Stranger => "Only a trusted proxy may ask this.",
            Self::Incomplete => "The proxy does not say which request it asks about.",
            Self::Repeated => "The proxy says something twice of the request that it asks about.",
            Self::OtherSet => {
                "The request carries a header by which a proxy of another kind would describe it."
            }
            Self::Unreadable => "What the proxy says of the request cannot be read.",
            Self::NotConfigured => "This app does not stand behind a proxy of this kind.",
            Self::Scheme => "The app is not served by this scheme.",
            Self::Disguised => {
                "The request carries a header that the app could take for one that only a proxy may set."
            }
            Self::OwnPath => "This address belongs to the sign-in, not to the app.",
        }
    }
}

impl Reply {
    /// Yes, with what goes on to the app. Nothing else here answers 2xx.
    pub fn yes(forward: Forward, headers: HeaderMap) -> Self {
        let mut reply = Self::new(StatusCode::OK, "", forward.record);
        reply.headers.extend(headers);
        reply
    }

    /// For a proxy that understands nothing else, and asks then what to tell the client.
    #[must_use]
    pub fn yes_or_no(mut self) -> Self {
        if self.status != StatusCode::OK {
            self.status = StatusCode::UNAUTHORIZED;
        }
        self
    }

    /// To whoever wanted the decision alone.
    pub(in crate::gate) fn unheard(decision: &Decision, record: Record) -> Self {
        let status = match decision {
            // Does not come here; and if it did, nothing would be let through.
            Decision::Allow(_) => StatusCode::FORBIDDEN,
            Decision::Login(_) | Decision::StepUp(_) => StatusCode::UNAUTHORIZED,
            // Nobody can approve what is not seen whole.
            Decision::Deny(_) | Decision::Approve(_) => StatusCode::FORBIDDEN,
            Decision::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut record = record;
        match decision {
            Decision::Allow(_) => {}
            Decision::Login(need) | Decision::Unavailable(need) => record.need = Some(*need),
            Decision::StepUp(step_up) => {
                record.need = Some(step_up.need);
                record.have = Some(step_up.have);
                record.reason = Some(super::judge::reason(step_up.shortfall));
            }
            Decision::Approve(approve) => {
                record.need = Some(approve.need);
                record.have = Some(approve.have);
            }
            Decision::Deny(denial) => {
                record.need = Some(denial.need);
                record.have = Some(denial.have);
                record.reason = Some(denial.condition);
            }
        }
        Self::new(status, "", record)
    }

    /// A proxy that asks takes every 2xx for a yes, and gRPC's answers have that status whatever they say.
    #[must_use]
    pub fn never_a_yes(mut self) -> Self {
        if self.status.is_success() {
            self.status = match self.headers.get("grpc-status").map(|code| code.as_bytes()) {
                Some(b"16") => StatusCode::UNAUTHORIZED,
                Some(b"14") => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
        }
        self
    }
}

impl Gate {
    /// Between the question and the wish to know what to tell, the answer has become yes.
    pub fn ask_again(&self, incoming: &Incoming<'_>, record: Record) -> Reply {
        let mut reply = match (incoming.method, self.site(incoming.place)) {
            (&Method::GET | &Method::HEAD, Some(site)) => {
                Reply::redirect(&site.url(incoming.target.path_and_query()), record)
            }
            _ => {
                let mut reply = Reply::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Please send this again.\n",
                    record,
                );
                reply.retry_after(1);
                reply
            }
        };
        reply.record.reason = Some("allowed-meanwhile");
        reply
    }
}
