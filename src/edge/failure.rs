//! Why a request that was let through gets no answer of its upstream's, and what it gets instead.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};

use crate::gate::{NoAnswer, Refusal};

/// Pingora's name for it; the constant itself is private there. A test sends one.
const INVALID_CHUNK: &str = "InvalidChunk";

/// Of errors of ours: every address is known not to work.
const ALL_DOWN: &str = "AllDown";
/// The upstream speaks another protocol than the one that is wanted.
const OTHER_PROTOCOL: &str = "OtherProtocol";
/// Ours, for a body that goes on beyond its limit.
const TOO_LARGE: &str = "BodyTooLarge";

/// Ours, for what is open and must not be any more.
const STREAM_ENDS: &str = "StreamEnds";

/// An open request has been told to end.
pub(in crate::edge) fn stream_ends() -> Box<Error> {
    Error::new_down(ErrorType::Custom(STREAM_ENDS))
}

/// What came of a body is more than it may be.
pub(in crate::edge) fn too_large() -> Box<Error> {
    Error::new_down(ErrorType::Custom(TOO_LARGE))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Failure {
    /// The client is gone.
    Client,
    /// What the client sent after its header cannot be passed on.
    Request(Refusal),
    Upstream(NoAnswer),
    Internal,
}

impl Failure {
    pub(in crate::edge) fn of(error: &Error) -> Self {
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
                Self::Request(Refusal::BodyTimeout)
            }
            (ErrorSource::Downstream, ErrorType::Custom(TOO_LARGE)) => {
                Self::Request(Refusal::BodyTooLarge)
            }
            (ErrorSource::Downstream, ErrorType::Custom(INVALID_CHUNK)) => {
                Self::Request(Refusal::Framing)
            }
            (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => {
                Self::Request(Refusal::Nominated)
            }
            (ErrorSource::Downstream, _) => Self::Client,
            (ErrorSource::Upstream, _) => Self::Upstream(no_answer(error)),
            (ErrorSource::Internal | ErrorSource::Unset, _) => Self::Internal,
        }
    }

    /// For the access log.
    pub(in crate::edge) fn name(self) -> &'static str {
        match self {
            Self::Client => "client-gone",
            Self::Request(refusal) => refusal.code(),
            Self::Upstream(why) => why.code(),
            Self::Internal => "internal",
        }
    }

    /// Nothing where nobody reads it.
    pub(in crate::edge) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Client => None,
            Self::Request(refusal) => Some(refusal),
            Self::Upstream(why) => Some(Refusal::Upstream(why)),
            Self::Internal => Some(Refusal::Internal),
        }
    }
}

/// What an error on the upstream's side comes to.
pub(in crate::edge) fn no_answer(error: &Error) -> NoAnswer {
    use ErrorType as Kind;
    match error.etype() {
        Kind::ConnectTimedout | Kind::TLSHandshakeTimedout => NoAnswer::ConnectTimeout,
        Kind::ReadTimedout | Kind::WriteTimedout => NoAnswer::Timeout,
        Kind::TLSHandshakeFailure | Kind::TLSWantX509Lookup | Kind::InvalidCert => NoAnswer::Tls,
        Kind::ConnectRefused
        | Kind::ConnectNoRoute
        | Kind::ConnectError
        | Kind::SocketError
        | Kind::BindError => NoAnswer::Unreachable,
        Kind::Custom(ALL_DOWN) => NoAnswer::Down,
        Kind::Custom(OTHER_PROTOCOL)
        | Kind::InvalidHTTPHeader
        | Kind::HandshakeError
        | Kind::H1Error
        | Kind::InvalidH2 => NoAnswer::Invalid,
        _ if io_kind(error) == Some(io::ErrorKind::TimedOut) => NoAnswer::Timeout,
        _ => NoAnswer::Closed,
    }
}

/// Nothing was asked, and this is why.
pub(in crate::edge) fn unasked(why: NoAnswer) -> Box<Error> {
    let kind = match why {
        NoAnswer::Down => ErrorType::new(ALL_DOWN),
        _ => ErrorType::ConnectNoRoute,
    };
    Error::new_up(kind)
}

pub(in crate::edge) fn other_protocol() -> Box<Error> {
    Error::new_up(ErrorType::new(OTHER_PROTOCOL))
}

/// For the operator. Pingora's own text may quote what was read from the upstream, so only kinds and causes are told.
pub(in crate::edge) fn reason(error: &Error) -> String {
    let kind = error.root_etype().as_str();
    let cause = error.root_cause();
    if cause.is::<Error>() {
        kind.to_owned()
    } else {
        format!("{kind}: {cause}")
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .map(io::Error::kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_side_and_kind() {
        let up = |kind| Failure::of(&Error::new_up(kind));
        let down = |kind| Failure::of(&Error::new_down(kind));
        for (kind, why) in [
            (ErrorType::ConnectRefused, NoAnswer::Unreachable),
            (ErrorType::ConnectTimedout, NoAnswer::ConnectTimeout),
            (ErrorType::InvalidCert, NoAnswer::Tls),
            (ErrorType::TLSHandshakeFailure, NoAnswer::Tls),
            (ErrorType::ConnectionClosed, NoAnswer::Closed),
            (ErrorType::ReadError, NoAnswer::Closed),
            (ErrorType::H2Error, NoAnswer::Closed),
            (ErrorType::InvalidHTTPHeader, NoAnswer::Invalid),
            (ErrorType::ReadTimedout, NoAnswer::Timeout),
        ] {
            assert_eq!(up(kind), Failure::Upstream(why));
        }
        for why in [NoAnswer::Down, NoAnswer::Unreachable] {
            assert_eq!(Failure::of(&unasked(why)), Failure::Upstream(why));
        }
        assert_eq!(
            Failure::of(&other_protocol()),
            Failure::Upstream(NoAnswer::Invalid)
        );
        assert_eq!(down(ErrorType::WriteError), Failure::Client);
        assert_eq!(down(ErrorType::ConnectionClosed), Failure::Client);
        assert_eq!(
            down(ErrorType::ReadTimedout),
            Failure::Request(Refusal::BodyTimeout)
        );
        assert_eq!(
            down(ErrorType::Custom(INVALID_CHUNK)),
            Failure::Request(Refusal::Framing)
        );
        assert_eq!(
            Failure::of(&too_large()),
            Failure::Request(Refusal::BodyTooLarge)
        );
        assert_eq!(
            Failure::of(&Error::new_in(ErrorType::InternalError)),
            Failure::Internal
        );
    }

    #[test]
    fn a_stream_that_gave_up_is_a_timeout() {
        let gave_up = io::Error::from(io::ErrorKind::TimedOut);
        let error = Error::because(ErrorType::ReadError, "reading", gave_up).into_up();
        assert_eq!(Failure::of(&error), Failure::Upstream(NoAnswer::Timeout));
    }

    #[test]
    fn the_reason_quotes_nothing_that_was_read() {
        let read = Error::explain(ErrorType::InvalidHTTPHeader, "buf: Set-Cookie: secret");
        let outer = Error::because(ErrorType::ReadError, "GET /path?secret", read);
        assert_eq!(reason(&outer), "InvalidHTTPHeader");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::because(ErrorType::ConnectRefused, "secret", refused);
        assert_eq!(reason(&error), "ConnectRefused: connection refused");
    }
}
