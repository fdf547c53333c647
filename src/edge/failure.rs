//! Why a request that was let through gets no answer of its upstream's, and what it gets instead.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};

use crate::gate::Refusal;

/// Pingora's name for it; the constant itself is private there. A test sends one.
const INVALID_CHUNK: &str = "InvalidChunk";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Failure {
    /// The client is gone.
    Client,
    /// What the client sent after its header cannot be passed on.
    Request(Refusal),
    Down,
    Timeout,
    Internal,
}

impl Failure {
    pub(in crate::edge) fn of(error: &Error) -> Self {
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
                Self::Request(Refusal::BodyTimeout)
            }
            (ErrorSource::Downstream, ErrorType::Custom(INVALID_CHUNK)) => {
                Self::Request(Refusal::Framing)
            }
            (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => {
                Self::Request(Refusal::Nominated)
            }
            (ErrorSource::Downstream, _) => Self::Client,
            (
                ErrorSource::Upstream,
                ErrorType::ConnectTimedout
                | ErrorType::ReadTimedout
                | ErrorType::WriteTimedout
                | ErrorType::TLSHandshakeTimedout,
            ) => Self::Timeout,
            (ErrorSource::Upstream, _) if io_kind(error) == Some(io::ErrorKind::TimedOut) => {
                Self::Timeout
            }
            (ErrorSource::Upstream, _) => Self::Down,
            (ErrorSource::Internal | ErrorSource::Unset, _) => Self::Internal,
        }
    }

    /// For the access log.
    pub(in crate::edge) fn name(self) -> &'static str {
        match self {
            Self::Client => "client-gone",
            Self::Request(refusal) => refusal.code(),
            Self::Down => "upstream-down",
            Self::Timeout => "upstream-timeout",
            Self::Internal => "internal",
        }
    }

    /// Nothing where nobody reads it.
    pub(in crate::edge) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Client => None,
            Self::Request(refusal) => Some(refusal),
            Self::Down => Some(Refusal::UpstreamDown),
            Self::Timeout => Some(Refusal::UpstreamTimeout),
            Self::Internal => Some(Refusal::Internal),
        }
    }
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
        assert_eq!(up(ErrorType::ConnectRefused), Failure::Down);
        assert_eq!(up(ErrorType::ConnectionClosed), Failure::Down);
        assert_eq!(up(ErrorType::InvalidHTTPHeader), Failure::Down);
        assert_eq!(up(ErrorType::ConnectTimedout), Failure::Timeout);
        assert_eq!(up(ErrorType::ReadTimedout), Failure::Timeout);
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
            Failure::of(&Error::new_in(ErrorType::InternalError)),
            Failure::Internal
        );
    }

    #[test]
    fn a_stream_that_gave_up_is_a_timeout() {
        let gave_up = io::Error::from(io::ErrorKind::TimedOut);
        let error = Error::because(ErrorType::ReadError, "reading", gave_up).into_up();
        assert_eq!(Failure::of(&error), Failure::Timeout);
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
