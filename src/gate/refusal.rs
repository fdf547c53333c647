//! What is said of a request that is not judged at all, or whose upstream failed.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::negotiate::{Kind, kind};
use super::pages::Page;
use super::reply::Problem;
use super::{Gate, Incoming, Record, Reply, Unbelievable};
use crate::config::HostIndex;
use crate::model::target::Ambiguity;

/// Seconds after which an upstream that is down is worth asking for again.
const DOWN_FOR: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Ambiguous(Ambiguity),
    /// A body whose length is given in more than one way.
    Framing,
    /// No single, valid `Host`.
    NoHost,
    UnknownHost,
    /// The connection was made for another host, whose certificate is not for this one.
    Misdirected,
    /// A trusted proxy sent an `X-Forwarded-For` or `Forwarded` that is no list of addresses, or two that disagree.
    UnreadableChain,
    /// `Connection` names a header that only we set.
    Nominated,
    HeaderTooLarge,
    TooManyFields,
    MethodNotAllowed,
    BodyTooLarge,
    BodyTimeout,
    /// A member of a list of groups holds the separator: the app would read more groups than there are.
    AmbiguousIdentity,
    /// Another proxy asks, and is not to be believed.
    Unbelievable(Unbelievable),
    /// The app stands behind another proxy, and the request did not come that way.
    BehindAnother,
    /// The request was let through, and the app behind gave no answer.
    Upstream(NoAnswer),
    Internal,
}

/// What kept an upstream from answering. It is told to everybody; which address, only to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Its name has no address, or nothing there takes connections.
    Unreachable,
    /// No TLS came about, or its certificate is not to be believed.
    Tls,
    /// It ended the connection.
    Closed,
    /// What it said is no answer of its protocol.
    Invalid,
    ConnectTimeout,
    Timeout,
    /// Every address is known not to work, so none was asked.
    Down,
}

impl NoAnswer {
    pub const ALL: &[Self] = &[
        Self::Unreachable,
        Self::Tls,
        Self::Closed,
        Self::Invalid,
        Self::ConnectTimeout,
        Self::Timeout,
        Self::Down,
    ];

    fn status(self) -> StatusCode {
        match self {
            Self::Unreachable | Self::Tls | Self::Closed | Self::Invalid => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Down => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Stable, as those of [`Refusal`].
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "upstream-unreachable",
            Self::Tls => "upstream-tls",
            Self::Closed => "upstream-closed",
            Self::Invalid => "upstream-invalid",
            Self::ConnectTimeout => "upstream-connect-timeout",
            Self::Timeout => "upstream-timeout",
            Self::Down => "upstream-down",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Unreachable => "The app behind this address cannot be reached.",
            Self::Tls => {
                "The app behind this address cannot be reached: the connection to it is not secure."
            }
            Self::Closed => "The app behind this address hung up before its answer was complete.",
            Self::Invalid => {
                "What the app behind this address answered is not an answer that can be passed on."
            }
            Self::ConnectTimeout => "The app behind this address could not be reached in time.",
            Self::Timeout => "The app behind this address did not answer in time.",
            Self::Down => "The app behind this address is down at the moment.",
        }
    }
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Ambiguous(Ambiguity::TooLong) => StatusCode::URI_TOO_LONG,
            Self::Ambiguous(_)
            | Self::Framing
            | Self::NoHost
            | Self::UnreadableChain
            | Self::Nominated => StatusCode::BAD_REQUEST,
            Self::UnknownHost | Self::Misdirected | Self::BehindAnother => {
                StatusCode::MISDIRECTED_REQUEST
            }
            Self::HeaderTooLarge | Self::TooManyFields => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::AmbiguousIdentity | Self::Unbelievable(_) => StatusCode::FORBIDDEN,
            Self::Upstream(why) => why.status(),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable, for the access log and the answer.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ambiguous(ambiguity) => ambiguity.code(),
            Self::Framing => "framing",
            Self::NoHost => "no-host",
            Self::UnknownHost => "unknown-host",
            Self::Misdirected => "misdirected",
            Self::UnreadableChain => "unreadable-chain",
            Self::Nominated => "connection-nomination",
            Self::HeaderTooLarge => "header-too-large",
            Self::TooManyFields => "too-many-fields",
            Self::MethodNotAllowed => "method",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTimeout => "body-timeout",
            Self::AmbiguousIdentity => "ambiguous-identity",
            Self::Unbelievable(why) => why.code(),
            Self::BehindAnother => "behind-another-proxy",
            Self::Upstream(why) => why.code(),
            Self::Internal => "internal",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Ambiguous(Ambiguity::TooLong) => "The address is too long.",
            Self::Ambiguous(_) => {
                "The address can be read in more than one way, so it is not passed on."
            }
            Self::Framing => {
                "Where the request's lines or its body end can be read in more than one way."
            }
            Self::NoHost => "The request does not say which host it is for.",
            Self::UnknownHost => "This host is not served here.",
            Self::Misdirected => "This connection was made for another host.",
            Self::UnreadableChain => {
                "A proxy on the way sent an unreadable X-Forwarded-For or Forwarded, or two that disagree."
            }
            Self::Nominated => "The Connection header names a header that only the proxy may set.",
            Self::HeaderTooLarge => {
                "The request's header is too large. In a browser it helps to clear the cookies of this site."
            }
            Self::TooManyFields => "The request's header has too many fields.",
            Self::MethodNotAllowed => "This method is not served.",
            Self::BodyTooLarge => "The request's body is too large.",
            Self::BodyTimeout => "The request's body did not arrive in time.",
            Self::AmbiguousIdentity => {
                "One of your groups or roles has a name with a comma, which the app would take for two."
            }
            Self::Unbelievable(why) => why.text(),
            Self::BehindAnother => {
                "This app is reached by way of another proxy, not through this one."
            }
            Self::Upstream(why) => why.text(),
            Self::Internal => "Something went wrong here.",
        }
    }
}

impl Gate {
    /// A page for a navigation, JSON for everything else. `place`: of the app to go back to, if there is one. `upstream`: the
    /// name of the one that did not answer.
    pub fn refuse(
        &self,
        refusal: Refusal,
        headers: &HeaderMap,
        place: Option<HostIndex>,
        upstream: Option<&str>,
        request_id: &str,
    ) -> Reply {
        let status = refusal.status();
        let record = Record {
            reason: Some(refusal.code()),
            ..Record::of("refuse")
        };
        let (code, text, back) = (refusal.code(), refusal.text(), "/");
        let page = match upstream {
            Some(upstream) => Page::NoAnswer {
                status: status.as_u16(),
                code,
                text,
                upstream,
                back,
            },
            None => Page::Refused {
                status: status.as_u16(),
                code,
                text,
                back: place.map(|_| back),
            },
        };
        let problem = Problem {
            status: status.as_u16(),
            title: text,
            code,
            request_id,
            upstream,
            ..Problem::default()
        };
        let mut reply = match kind(headers) {
            Kind::Page | Kind::Frame => {
                let language = self.language_at(place, headers);
                self.page_in(language, status, &page, request_id, record)
            }
            Kind::Grpc => match upstream {
                Some(upstream) => Reply::grpc(status, &format!("{text} ({upstream})"), record),
                None => Reply::grpc(status, text, record),
            },
            Kind::Htmx | Kind::Program => Reply::json(status, &problem, record),
        };
        if refusal == Refusal::Upstream(NoAnswer::Down) {
            reply.retry_after(DOWN_FOR);
        }
        if refusal == Refusal::MethodNotAllowed {
            // RFC 9110 15.5.6: a list must be there; which methods a route has is not told.
            reply.headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        reply
    }

    /// One of our own endpoints, and not with that method.
    pub(in crate::gate) fn wrong_method(
        &self,
        allowed: &[Method],
        incoming: &Incoming<'_>,
    ) -> Reply {
        let record = Record {
            reason: Some("method"),
            ..Record::of("own")
        };
        let page = Page::Refused {
            status: 405,
            code: "method",
            text: Refusal::MethodNotAllowed.text(),
            back: Some("/"),
        };
        let mut reply = self.page_or_problem(
            incoming.headers,
            StatusCode::METHOD_NOT_ALLOWED,
            &page,
            Refusal::MethodNotAllowed.code(),
            Refusal::MethodNotAllowed.text(),
            incoming,
            record,
        );
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        if let Ok(value) = HeaderValue::try_from(allowed.join(", ")) {
            reply.headers.insert(header::ALLOW, value);
        }
        reply
    }
}
