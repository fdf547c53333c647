//! Why somebody was not told, and whether it is worth another try.

use std::time::Duration;

use http::StatusCode;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("it leads to an address that is not on the public internet (`allow_private`)")]
    Private,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    Late,
    #[error("it answers {status}")]
    Status {
        status: u16,
        /// What it says of when to come again.
        after: Option<Duration>,
    },
    #[error("the mail server says {0}")]
    Mail(String),
    /// For a while only, such as a mailbox that is greylisted.
    #[error("the mail server says {0}, for now")]
    MailLater(String),
    #[error("{0}")]
    Unusable(&'static str),
    #[error("there is nobody to tell")]
    Nobody,
}

impl Failure {
    /// Another try would end the same way.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late | Self::MailLater(_) => false,
            Self::Status { status, .. } => !is_for_now(*status),
            Self::Private | Self::Mail(_) | Self::Unusable(_) | Self::Nobody => true,
        }
    }

    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => *after,
            _ => None,
        }
    }
}

/// 408, 425, 429, and what is the server's own trouble.
fn is_for_now(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| {
        status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_and_a_refusal_are_final_and_an_outage_is_not() {
        let is_final = |status| {
            let failure = Failure::Status {
                status,
                after: None,
            };
            failure.is_final()
        };
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413] {
            assert!(is_final(status), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(!is_final(status), "{status}");
        }
    }
}
