//! What is said of a request that is not judged at all, or whose upstream failed.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::pages::Page;
use super::{Gate, Incoming, Record, Reply};
use crate::model::target::Ambiguity;

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
    MethodNotAllowed,
    BodyTooLarge,
    BodyTimeout,
    /// A member of a list of groups holds the separator: the app would read more groups than there are.
    AmbiguousIdentity,
    UpstreamDown,
    UpstreamTimeout,
    Internal,
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
            Self::UnknownHost | Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::AmbiguousIdentity => StatusCode::FORBIDDEN,
            Self::UpstreamDown => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
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
            Self::MethodNotAllowed => "method",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTimeout => "body-timeout",
            Self::AmbiguousIdentity => "ambiguous-identity",
            Self::UpstreamDown => "upstream-down",
            Self::UpstreamTimeout => "upstream-timeout",
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
            Self::MethodNotAllowed => "This method is not served.",
            Self::BodyTooLarge => "The request's body is too large.",
            Self::BodyTimeout => "The request's body did not arrive in time.",
            Self::AmbiguousIdentity => {
                "One of your groups or roles has a name with a comma, which the app would take for two."
            }
            Self::UpstreamDown => "The app behind this address cannot be reached.",
            Self::UpstreamTimeout => "The app behind this address did not answer in time.",
            Self::Internal => "Something went wrong here.",
        }
    }
}

impl Gate {
    /// A page for a navigation, JSON for everything else. `known_host`: there is an app to go back to.
    pub fn refuse(
        &self,
        refusal: Refusal,
        headers: &HeaderMap,
        known_host: bool,
        request_id: &str,
    ) -> Reply {
        let status = refusal.status();
        let record = Record {
            reason: Some(refusal.code()),
            ..Record::of("refuse")
        };
        let page = Page::Refused {
            status: status.as_u16(),
            code: refusal.code(),
            text: refusal.text(),
            back: known_host.then_some("/"),
        };
        let mut reply = self.page_or_problem(
            headers,
            status,
            &page,
            refusal.code(),
            refusal.text(),
            request_id,
            record,
        );
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
            incoming.request_id,
            record,
        );
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        if let Ok(value) = HeaderValue::try_from(allowed.join(", ")) {
            reply.headers.insert(header::ALLOW, value);
        }
        reply
    }
}
