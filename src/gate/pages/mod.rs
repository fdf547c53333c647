//! placeholder
use http::HeaderValue;
use std::time::Duration;
#[derive(Debug)]
pub(in crate::gate) struct Pages {}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PagesError;
pub(in crate::gate) struct Rendered {
    pub(in crate::gate) html: Vec<u8>,
    pub(in crate::gate) csp: HeaderValue,
}
impl Pages {
    pub(in crate::gate) fn new(_: &[&str]) -> Result<Self, PagesError> {
        Ok(Self {})
    }
    pub(in crate::gate) fn render(&self, page: &Page<'_>, id: &str) -> Rendered {
        Rendered {
            html: format!("{page:?} {id}").into_bytes(),
            csp: HeaderValue::from_static("x"),
        }
    }
}
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) enum Failure {
    Cancelled,
    Refused,
    Late,
    Invalid,
    ProviderError,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Short {
    NotGranted,
    Enrolled,
    EnrolHeld,
    ProviderStale,
    TooOld,
    WithoutProvider,
}
#[derive(Debug, serde::Serialize)]
pub(in crate::gate) struct LevelRow<'a> {
    pub(in crate::gate) label: &'a str,
    pub(in crate::gate) state: &'a str,
    pub(in crate::gate) proven_ago: Option<Duration>,
    pub(in crate::gate) left: Option<Duration>,
    pub(in crate::gate) confirm: Option<&'a str>,
}
#[derive(Debug)]
pub(in crate::gate) enum Page<'a> {
    LoginFailed {
        cause: Failure,
        code: &'a str,
        retry: Option<&'a str>,
    },
    Continue {
        user: &'a str,
        href: &'a str,
    },
    NotEnough {
        user: &'a str,
        have: &'a str,
        need: &'a str,
        max_age: Option<Duration>,
        why: Short,
        retry: Option<&'a str>,
    },
    Forbidden {
        user: &'a str,
        condition: &'a str,
        wanted: &'a [String],
    },
    Unavailable {
        retry: Option<&'a str>,
    },
    TooManyLogins {
        seconds: u64,
        retry: &'a str,
    },
    WaitForOthers {
        retry: &'a str,
    },
    NotSent {
        method: &'a str,
        need: &'a str,
        confirm: &'a str,
        back: &'a str,
    },
    InFrame {
        need: &'a str,
        href: &'a str,
    },
    SomebodyElse {
        user: &'a str,
        href: &'a str,
    },
    UserSwitched {
        user: &'a str,
        href: &'a str,
    },
    SignedOut {
        login: &'a str,
        provider_too: bool,
    },
    ConfirmLogout {
        user: &'a str,
        action: &'a str,
        back: &'a str,
    },
    Me {
        user: &'a str,
        levels: &'a [LevelRow<'a>],
        idle_left: Duration,
        absolute_left: Duration,
        groups: &'a [String],
        logout: &'a str,
        back: &'a str,
    },
    Refused {
        status: u16,
        code: &'a str,
        text: &'a str,
        back: Option<&'a str>,
    },
}
