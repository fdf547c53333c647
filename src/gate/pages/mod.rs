//! What people see: one template a page, in every language of [`Language`], filled with text that is escaped and links
//! that stay here. A page works without script; the few that have one have it as a file of ours.
//!
//! Every page has a way on and the request's id. Its policy (CSP) allows our own style and forms, and nothing else.

mod words;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minijinja::value::Serde;
use serde::{Serialize, Serializer};

use super::words::{Language, Templates};
use words::TEXTS;

#[cfg(test)]
mod tests;

pub(in crate::gate) const STYLE: &str = include_str!("style.css");

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!($name))),*];
    };
}

templates![
    "layout.html",
    "asked-for.html",
    "being-confirmed.html",
    "confirm-logout.html",
    "continue.html",
    "done.html",
    "forbidden.html",
    "in-frame.html",
    "login-failed.html",
    "kept.html",
    "kept-for-another.html",
    "me.html",
    "no-answer.html",
    "not-enough.html",
    "not-sent.html",
    "nothing-kept.html",
    "other-pending.html",
    "refused.html",
    "say-why.html",
    "send-kept.html",
    "signed-out.html",
    "somebody-else.html",
    "still-kept.html",
    "too-many-logins.html",
    "unavailable.html",
    "user-switched.html",
    "wait-for-others.html",
    "waiting.html",
];

#[derive(Debug)]
pub(in crate::gate) struct Pages {
    templates: Templates,
    csp: HeaderValue,
    /// For a page that is meant to be seen in a frame.
    framed_csp: HeaderValue,
    /// For the one whose form goes to the app, which may lead on to wherever it likes.
    sending_csp: HeaderValue,
    /// For the one that has a script, which is one of our own.
    scripted_csp: HeaderValue,
    /// The same for the one whose script looks again.
    looking_csp: HeaderValue,
}

#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    #[error("a page's template: {0}")]
    Template(#[from] minijinja::Error),
    #[error("the pages' content security policy is no header value: {0}")]
    Policy(#[from] http::header::InvalidHeaderValue),
}

#[derive(Debug)]
pub(in crate::gate) struct Rendered {
    pub(in crate::gate) html: Vec<u8>,
    /// `Content-Security-Policy`.
    pub(in crate::gate) csp: HeaderValue,
}

/// Why a sign-in brought nothing.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gate) enum Failure {
    Cancelled,
    Late,
    Invalid,
    ProviderError,
}

/// Why a sign-in brought less than is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gate) enum Short {
    NotGranted,
    Enrolled,
    EnrolHeld,
    ProviderStale,
    TooOld,
    WithoutProvider,
}

#[derive(Debug, Serialize)]
pub(in crate::gate) struct LevelRow<'a> {
    pub(in crate::gate) label: &'a str,
    /// `proven held lapsed missing`
    pub(in crate::gate) state: &'a str,
    #[serde(serialize_with = "optional_seconds")]
    pub(in crate::gate) proven_ago: Option<Duration>,
    #[serde(serialize_with = "optional_seconds")]
    pub(in crate::gate) left: Option<Duration>,
    pub(in crate::gate) confirm: Option<&'a str>,
}

/// How it is with telling people once more.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::gate) struct Remind {
    /// Since they were.
    #[serde(serialize_with = "optional_seconds")]
    pub(in crate::gate) ago: Option<Duration>,
    /// Until they can be.
    #[serde(serialize_with = "optional_seconds")]
    pub(in crate::gate) left: Option<Duration>,
    /// It was wished for, and people were told of enough.
    pub(in crate::gate) limited: bool,
}

/// Who can say yes as well by now.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct Also<'a> {
    pub(in crate::gate) groups: &'a [String],
    pub(in crate::gate) people: &'a [String],
    /// Seconds since the epoch.
    pub(in crate::gate) at: i64,
    /// Seconds.
    pub(in crate::gate) since: u64,
}

/// Where whoever waits passes it in everybody's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gate) enum Glass {
    No,
    Link,
    Form,
}

/// A page and what it says. Links are paths on this origin, but for the one of [`Page::Waiting`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made for each answer, and rendered at once"
)]
pub(in crate::gate) enum Page<'a> {
    LoginFailed {
        cause: Failure,
        code: &'a str,
        retry: Option<&'a str>,
    },
    Continue {
        user: &'a str,
        href: &'a str,
        /// Where other tabs of the browser wanted to go.
        others: &'a [String],
    },
    /// The end of a popup, which says so to the page that opened it, and closes.
    Done {},
    NotEnough {
        user: &'a str,
        have: &'a str,
        need: &'a str,
        #[serde(serialize_with = "optional_seconds")]
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
    /// To be loaded again until one of the other flows has ended.
    WaitForOthers {
        retry: &'a str,
    },
    /// To be loaded again until the other tab has what this one needs.
    BeingConfirmed {
        need: &'a str,
        confirm: &'a str,
    },
    NotSent {
        method: &'a str,
        need: &'a str,
        confirm: &'a str,
        back: &'a str,
        /// Why it was not kept.
        why: &'a str,
        /// Of what is too large.
        most: u64,
    },
    /// What was kept, on the way to what is missing.
    Kept {
        need: &'a str,
        href: &'a str,
    },
    /// What was kept, and goes on by a click.
    SendKept {
        user: &'a str,
        method: &'a str,
        host: &'a str,
        path: &'a str,
        kind: &'a str,
        bytes: usize,
        action: &'a str,
        #[serde(serialize_with = "seconds")]
        left: Duration,
    },
    NothingKept {
        sent: bool,
        #[serde(serialize_with = "seconds")]
        lasts: Duration,
        back: &'a str,
    },
    KeptForAnother {
        user: &'a str,
    },
    /// Somebody was asked for their yes; on the way to the page that waits for it.
    AskedFor {
        summary: &'a str,
        href: &'a str,
    },
    /// What waits for somebody's yes, and what became of it.
    Waiting {
        /// `pending approved denied expired cancelled revoked consumed`
        state: &'a str,
        summary: &'a str,
        number: Option<&'a str>,
        /// Among others; else it is typed.
        is_picked: bool,
        /// Who can say yes: whoever asks, on another device, anybody in these, and these.
        by_self: bool,
        /// What the device shows on which whoever asks confirms it to Keycloak; nobody else can then.
        device: Option<&'a str>,
        groups: &'a [String],
        people: &'a [String],
        also: Option<Box<Also<'a>>>,
        given: u32,
        need: u32,
        /// For so many seconds a yes holds for every such request.
        window: Option<u64>,
        #[serde(serialize_with = "seconds")]
        left: Duration,
        /// Of a no: `no reported number`
        why: &'a str,
        by: Option<&'a str>,
        reason: Option<&'a str>,
        app_status: Option<u16>,
        here: &'a str,
        /// Where whoever decides sees it; on another host.
        link: Option<&'a str>,
        /// Nothing where nobody is told.
        remind: Option<Remind>,
        /// Where it goes on, and sends what was kept.
        go: Option<&'a str>,
        /// Whoever waits may pass it in everybody's place: a `link` to where it is done, or the `form`. A page that is
        /// loaded again would take what is being written with it.
        break_glass: Glass,
    },
    /// Before anybody is asked.
    SayWhy {
        summary: &'a str,
        kept: &'a str,
        action: &'a str,
        most: usize,
    },
    /// Something else waits already.
    OtherPending {
        summary: &'a str,
        href: &'a str,
        /// In another session it is waited for elsewhere, and can be ended alone.
        is_here: bool,
        /// What was sent now.
        kept: Option<&'a str>,
        #[serde(serialize_with = "seconds")]
        left: Duration,
    },
    /// Of an upstream, called by its name, that could not be reached.
    StillKept {
        status: u16,
        code: &'a str,
        upstream: &'a str,
        #[serde(serialize_with = "seconds")]
        left: Duration,
        again: &'a str,
    },
    /// Shown inside of a frame; leads out of it.
    InFrame {
        need: &'a str,
        href: &'a str,
    },
    SomebodyElse {
        user: &'a str,
        href: &'a str,
        /// What the flow was to send on is gone.
        dropped: bool,
    },
    UserSwitched {
        user: &'a str,
        href: &'a str,
        dropped: bool,
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
        #[serde(serialize_with = "seconds")]
        idle_left: Duration,
        #[serde(serialize_with = "seconds")]
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
    /// Of an upstream, called by its name.
    NoAnswer {
        status: u16,
        code: &'a str,
        text: &'a str,
        upstream: &'a str,
        back: &'a str,
    },
}

impl Page<'_> {
    const fn template(&self) -> &'static str {
        match self {
            Self::LoginFailed { .. } => "login-failed.html",
            Self::Continue { .. } => "continue.html",
            Self::Done {} => "done.html",
            Self::NotEnough { .. } => "not-enough.html",
            Self::Forbidden { .. } => "forbidden.html",
            Self::Unavailable { .. } => "unavailable.html",
            Self::TooManyLogins { .. } => "too-many-logins.html",
            Self::WaitForOthers { .. } => "wait-for-others.html",
            Self::BeingConfirmed { .. } => "being-confirmed.html",
            Self::NotSent { .. } => "not-sent.html",
            Self::Kept { .. } => "kept.html",
            Self::SendKept { .. } => "send-kept.html",
            Self::NothingKept { .. } => "nothing-kept.html",
            Self::KeptForAnother { .. } => "kept-for-another.html",
            Self::AskedFor { .. } => "asked-for.html",
            Self::Waiting { .. } => "waiting.html",
            Self::SayWhy { .. } => "say-why.html",
            Self::OtherPending { .. } => "other-pending.html",
            Self::StillKept { .. } => "still-kept.html",
            Self::InFrame { .. } => "in-frame.html",
            Self::SomebodyElse { .. } => "somebody-else.html",
            Self::UserSwitched { .. } => "user-switched.html",
            Self::SignedOut { .. } => "signed-out.html",
            Self::ConfirmLogout { .. } => "confirm-logout.html",
            Self::Me { .. } => "me.html",
            Self::Refused { .. } => "refused.html",
            Self::NoAnswer { .. } => "no-answer.html",
        }
    }
}

impl Pages {
    /// `form_targets`: origins other than this one where a form of ours may end, such as the provider's at logout.
    pub(in crate::gate) fn new(form_targets: &[&str]) -> Result<Self, PagesError> {
        let style = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
        // The icon is in the page itself (`data:`): a browser that finds none there asks the app for /favicon.ico.
        let policy = format!(
            "default-src 'none'; img-src data:; style-src 'sha256-{}'; form-action 'self'",
            STANDARD.encode(style),
        );
        let sending = format!("{policy} https: http:; base-uri 'none'; frame-ancestors 'none'");
        let policy = format!("{policy} {}; base-uri 'none'", form_targets.join(" "));
        Ok(Self {
            templates: Templates::new(TEMPLATES, TEXTS, STYLE)?,
            sending_csp: HeaderValue::try_from(sending)?,
            csp: HeaderValue::try_from(format!("{policy}; frame-ancestors 'none'"))?,
            scripted_csp: HeaderValue::try_from(format!(
                "{policy}; script-src 'self'; frame-ancestors 'none'"
            ))?,
            looking_csp: HeaderValue::try_from(format!(
                "{policy}; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
            ))?,
            framed_csp: HeaderValue::try_from(policy)?,
        })
    }

    pub(in crate::gate) fn render(
        &self,
        page: &Page<'_>,
        language: Language,
        request_id: &str,
    ) -> Rendered {
        let html = self.html(page, language, request_id).unwrap_or_else(|error| {
            // Each template is rendered by a test; the answer's status stands all the same.
            tracing::error!(page = page.template(), %error, "a page could not be made");
            "<!doctype html><html lang=\"en\"><title>stepgate</title><h1>Something went wrong</h1>\
             <p><a href=\"/\">Go to the start page</a></p>"
                .to_owned()
        });
        let csp = match page {
            Page::InFrame { .. } => &self.framed_csp,
            Page::SendKept { .. } | Page::Waiting { go: Some(_), .. } => &self.sending_csp,
            Page::Done {} => &self.scripted_csp,
            Page::Waiting {
                state: "pending", ..
            } => &self.looking_csp,
            _ => &self.csp,
        };
        Rendered {
            html: html.into_bytes(),
            csp: csp.clone(),
        }
    }

    fn html(
        &self,
        page: &Page<'_>,
        language: Language,
        request_id: &str,
    ) -> Result<String, minijinja::Error> {
        let context = minijinja::context! { request_id, ..Serde(page) };
        self.templates.render(language, page.template(), context)
    }
}

fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(span.as_secs())
}

fn optional_seconds<S: Serializer>(
    span: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.serialize_some(&span.as_secs()),
        None => serializer.serialize_none(),
    }
}
