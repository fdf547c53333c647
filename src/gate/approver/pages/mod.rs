//! The approver app's pages: one template a page, in every language of [`Language`], filled with text that is escaped.
//!
//! Everything works without the script; with it, pages change by themselves. The policy (CSP) lets that one script run,
//! and what it needs: this host, and nothing else.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minijinja::value::{Serde, merge_maps};
use minijinja::{Error, Value, context};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::words::TEXTS;
use crate::gate::pages::{PagesError, Rendered, STYLE};
use crate::gate::words::{Language, Templates};

const OWN_STYLE: &str = include_str!("style.css");

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!($name))),*];
    };
}

templates![
    "layout.html",
    "rows.html",
    "confirm.html",
    "devices.html",
    "history.html",
    "inbox.html",
    "message.html",
    "new-device.html",
    "request.html",
    "sign-in.html",
];

/// What every page has.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Around<'a> {
    pub(in crate::gate) language: Language,
    /// Nobody's name where nobody is known.
    pub(in crate::gate) user: Option<&'a str>,
    pub(in crate::gate) request_id: &'a str,
    /// What the script listens for.
    pub(in crate::gate) live: Option<Live<'a>>,
}

/// Whose news: `inbox`, or an approval's id; and what was seen of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::gate) struct Live<'a> {
    pub(in crate::gate) of: &'a str,
    pub(in crate::gate) seen: &'a str,
}

/// One of a list. Spans in seconds.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct Row<'a> {
    pub(in crate::gate) href: String,
    /// Nothing as long as a level is missing for it.
    pub(in crate::gate) summary: Option<Cow<'a, str>>,
    /// Which one, then.
    pub(in crate::gate) level: &'a str,
    pub(in crate::gate) who: &'a str,
    pub(in crate::gate) ago: u64,
    pub(in crate::gate) left: Option<u64>,
    pub(in crate::gate) state: &'static str,
    /// What the reader said to it: `yes no report`.
    pub(in crate::gate) mine: Option<&'static str>,
}

/// One request, and how far it is. Spans in seconds.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct One<'a> {
    pub(in crate::gate) summary: &'a str,
    pub(in crate::gate) who: &'a str,
    pub(in crate::gate) why: Option<&'a str>,
    pub(in crate::gate) origin: &'a str,
    pub(in crate::gate) method: &'a str,
    pub(in crate::gate) route: &'a str,
    pub(in crate::gate) address: &'a str,
    pub(in crate::gate) ago: u64,
    /// To decide.
    pub(in crate::gate) left: Option<u64>,
    /// To use the yes.
    pub(in crate::gate) redeem: u64,
    pub(in crate::gate) state: &'static str,
    /// Since when others can decide as well.
    pub(in crate::gate) escalated: Option<u64>,
    /// For so long a yes holds for every such request.
    pub(in crate::gate) window: Option<u64>,
    /// What the app answered.
    pub(in crate::gate) upstream: Option<u16>,
    /// By the same requester.
    pub(in crate::gate) lately: usize,
    pub(in crate::gate) lately_denied: usize,
    pub(in crate::gate) yes: usize,
    pub(in crate::gate) need: u32,
    pub(in crate::gate) votes: Vec<VoteRow<'a>>,
    pub(in crate::gate) mine: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct VoteRow<'a> {
    pub(in crate::gate) name: &'a str,
    pub(in crate::gate) answer: &'static str,
    pub(in crate::gate) ago: u64,
    pub(in crate::gate) reason: Option<&'a str>,
}

/// One of "my devices". Spans in seconds.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct DeviceRow<'a> {
    pub(in crate::gate) id: &'a str,
    pub(in crate::gate) name: &'a str,
    /// Since it was enrolled.
    pub(in crate::gate) ago: u64,
    /// Since it decided.
    pub(in crate::gate) used: Option<u64>,
    /// Until it may.
    pub(in crate::gate) wait: u64,
}

/// A yes that is signed by one of its reader's own devices.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct Own<'a> {
    pub(in crate::gate) approval: &'a str,
    pub(in crate::gate) binding: String,
    /// Not in the sign-in that asked.
    pub(in crate::gate) signs: bool,
    pub(in crate::gate) devices: &'a [OwnDevice],
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct OwnDevice {
    pub(in crate::gate) id: String,
    /// The name of the text that says why it cannot decide, where it cannot.
    pub(in crate::gate) text: Option<&'static str>,
    /// Until it may, in seconds.
    pub(in crate::gate) wait: u64,
}

/// What can be answered.
#[derive(Clone, Debug, Serialize)]
pub(in crate::gate) struct Form<'a> {
    pub(in crate::gate) action: &'a str,
    /// Who asks can only report it and take it back, unless it is theirs.
    pub(in crate::gate) may_say_yes: bool,
    pub(in crate::gate) is_requester: bool,
    /// It was agreed to and still holds: everybody can only report.
    pub(in crate::gate) is_given: bool,
    /// Where it is.
    pub(in crate::gate) own: Option<Own<'a>>,
    pub(in crate::gate) mode: &'static str,
    pub(in crate::gate) choices: &'a [String],
    pub(in crate::gate) digits: usize,
    pub(in crate::gate) tries: u32,
    pub(in crate::gate) reason_required: bool,
    pub(in crate::gate) reason_most: usize,
}

/// A page and what it says. Links are paths on this origin.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::gate) enum Page<'a> {
    Inbox {
        waiting: &'a [Row<'a>],
        /// What they could have agreed to, and somebody passed in their place.
        passed: &'a [Row<'a>],
        asked: &'a [Row<'a>],
        /// Names of devices that were added of late.
        fresh: &'a [&'a str],
        /// Since one was removed, of late and elsewhere; in seconds.
        removed: Option<u64>,
    },
    History {
        decided: &'a [Row<'a>],
        asked: &'a [Row<'a>],
    },
    Request {
        one: &'a One<'a>,
        form: Option<&'a Form<'a>>,
        /// Why an answer was not taken.
        notice: Option<String>,
    },
    Devices {
        devices: &'a [DeviceRow<'a>],
        fresh: &'a [&'a str],
        removed: Option<u64>,
        /// What became of a test; the name of a text.
        notice: Option<&'a str>,
        name_most: usize,
        has_room: bool,
    },
    NewDevice {
        /// What its key signs.
        challenge: &'a str,
        /// Until it may decide, in seconds.
        cooldown: u64,
        name_most: usize,
    },
    /// What another client asks by way of Keycloak. Spans in seconds.
    SignIn {
        client: &'a str,
        message: Option<&'a str>,
        scope: &'a [String],
        /// What else the client says: names and texts.
        details: &'a [(String, String)],
        ago_seconds: u64,
        left: u64,
        state: &'static str,
        action: &'a str,
        /// Where a device has to sign a yes.
        own: Option<Own<'a>>,
        /// Why an answer was not taken.
        notice: Option<String>,
    },
    /// Something has to be confirmed first: a level, or, without one, that somebody is here at all. `about`: the name of
    /// the text that says for what.
    Confirm {
        about: &'a str,
        level: Option<&'a str>,
        go: &'a str,
    },
    /// Title and text are names of texts.
    Message { title: &'a str, text: &'a str },
}

impl Page<'_> {
    const fn template(&self) -> &'static str {
        match self {
            Self::Inbox { .. } => "inbox.html",
            Self::History { .. } => "history.html",
            Self::Request { .. } => "request.html",
            Self::Devices { .. } => "devices.html",
            Self::NewDevice { .. } => "new-device.html",
            Self::SignIn { .. } => "sign-in.html",
            Self::Confirm { .. } => "confirm.html",
            Self::Message { .. } => "message.html",
        }
    }

    const fn here(&self) -> &'static str {
        match self {
            Self::Inbox { .. } => "inbox",
            Self::History { .. } => "history",
            Self::Devices { .. } | Self::NewDevice { .. } => "devices",
            _ => "",
        }
    }
}

#[derive(Debug)]
pub(in crate::gate) struct Pages {
    templates: Templates,
    title: String,
    csp: HeaderValue,
}

impl Pages {
    pub(in crate::gate) fn new(title: &str) -> Result<Self, PagesError> {
        let style = format!("{STYLE}{OWN_STYLE}");
        let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
        let csp = format!(
            "default-src 'none'; img-src 'self'; style-src 'sha256-{hash}'; script-src 'self'; connect-src 'self'; \
             manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Ok(Self {
            templates: Templates::new(TEMPLATES, TEXTS, &style)?,
            title: title.to_owned(),
            csp: HeaderValue::try_from(csp)?,
        })
    }

    pub(in crate::gate) fn title(&self) -> &str {
        &self.title
    }

    pub(in crate::gate) fn render(&self, page: &Page<'_>, around: Around<'_>) -> Rendered {
        let html = self.html(page, around).unwrap_or_else(|error| {
            // Each template is rendered by a test; the answer's status stands all the same.
            tracing::error!(page = page.template(), %error, "a page could not be made");
            "<!doctype html><html lang=\"en\"><title>stepgate</title><h1>Something went wrong</h1>\
             <p><a href=\"/\">Go to the inbox</a></p>"
                .to_owned()
        });
        Rendered {
            html: html.into_bytes(),
            csp: self.csp.clone(),
        }
    }

    fn html(&self, page: &Page<'_>, around: Around<'_>) -> Result<String, Error> {
        let (user, request_id) = (around.user, around.request_id);
        let common =
            context! { user, request_id, here => page.here(), app_title => self.title.as_str() };
        let live = match around.live {
            Some(live) => context! { live => Value::from(Serde(live)) },
            None => context! {},
        };
        let context = merge_maps([common, live, Value::from(Serde(page))]);
        self.templates
            .render(around.language, page.template(), context)
    }
}

#[cfg(test)]
mod tests;
