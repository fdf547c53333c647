//! `[channels.…]`: how people are told that something waits for them, and what is taken when that fails.

mod ciba;
mod smtp;
mod web_push;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::approvals::ApprovalDraft;
use super::{upstream_tls, urls};
use crate::config::channel::{
    Channel, ChannelKind, Ntfy, Reach, SigningKey, Webhook, may_be_public,
};
use crate::config::code::Code;
use crate::config::document::{Entry, Node, Value};
use crate::config::fields::{self, Fields, Text, check_name};
use crate::config::keys::{self, Keys};
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report, quoted};
use crate::config::secret;
use crate::model::session::Secret;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Webhook,
    Ntfy,
    Smtp,
    WebPush,
    Ciba,
}

/// What a channel may have depends on its kind.
static KINDS: [(&str, Kind, &Keys); 5] = [
    ("webhook", Kind::Webhook, &keys::WEBHOOK),
    ("ntfy", Kind::Ntfy, &keys::NTFY),
    ("smtp", Kind::Smtp, &keys::SMTP),
    ("web-push", Kind::WebPush, &keys::WEB_PUSH),
    ("ciba", Kind::Ciba, &keys::CIBA_DEVICE),
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// Beyond it nobody waits for an answer.
const LONGEST: Duration = Duration::from_secs(60);

/// What Standard Webhooks puts before a key, and how long one is.
const KEY_PREFIX: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const A_KEY: &str = "`whsec_` and 24 to 64 random bytes in base64: printf 'whsec_%s' \"$(openssl rand -base64 32)\"";

const TOPIC_LENGTH: usize = 64;

/// By default above the phone's own normal: somebody waits.
const PRIORITY: u8 = 4;

pub(super) fn resolve(root: Fields<'_>, outside: &Outside<'_>) -> Vec<Channel> {
    let report = root.report();
    let entries = root.named("channels");
    let names: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let channels: Vec<_> = entries
        .iter()
        .filter_map(|entry| channel(entry, &names, outside, report))
        .collect();
    // Otherwise the places do not fit, and there are errors anyway.
    if channels.len() == names.len() {
        check_fallbacks(entries, &channels, report);
    }
    channels
}

fn channel(
    entry: &Entry,
    names: &[String],
    outside: &Outside<'_>,
    report: &Report,
) -> Option<Channel> {
    check_name(&entry.key, &entry.place, &[], report);
    let (kind, keys) = kind_of(&entry.node, report)?;
    let fields = Fields::open(&entry.node, keys, report)?;
    let is_push = matches!(kind, Kind::WebPush);
    // It is asked of Keycloak, and told to nobody.
    let tells = !matches!(kind, Kind::Ciba);
    let kind = match kind {
        Kind::Webhook => webhook(fields, outside).map(ChannelKind::Webhook),
        Kind::Ntfy => ntfy(fields, outside).map(ChannelKind::Ntfy),
        Kind::Smtp => smtp::resolve(fields, outside).map(ChannelKind::Smtp),
        Kind::WebPush => web_push::resolve(fields, outside).map(ChannelKind::WebPush),
        Kind::Ciba => Some(ChannelKind::Ciba(ciba::resolve(fields))),
    };
    let fallback = tells
        .then(|| fields.text("fallback"))
        .flatten()
        .and_then(|given| find(names, given, report));
    Some(Channel {
        name: entry.key.clone(),
        // What goes out by Web Push is an id, and no text.
        detail: !is_push && fields.flag("detail").unwrap_or(false),
        decided: tells && fields.flag("decided").unwrap_or(false),
        timeout: match tells {
            true => timeout(fields),
            false => TIMEOUT,
        },
        fallback,
        kind: kind?,
    })
}

fn kind_of(node: &Node, report: &Report) -> Option<(Kind, &'static Keys)> {
    let Value::Table(_) = node.value else {
        return fields::wrong_type(node, "a table", report);
    };
    let names = KINDS.map(|(name, ..)| name);
    let Some(entry) = node.entry("kind") else {
        report.push(
            Problem::error(
                Code::MissingKey,
                &node.place,
                "`kind` is missing in `[channels.…]`",
            )
            .help(format!("one of {}", quoted(&names))),
        );
        return None;
    };
    let given = fields::text(&entry.node, report)?;
    if let Some((_, kind, keys)) = KINDS.iter().find(|(name, ..)| *name == given.text) {
        return Some((*kind, keys));
    }
    report.push(
        Problem::error(
            Code::UnknownValue,
            given.place,
            format!("`kind` cannot be `{}`", given.text),
        )
        .label(format!("expected {}", quoted(&names)))
        .did_you_mean(given.text, names),
    );
    None
}

fn timeout(fields: Fields<'_>) -> Duration {
    let Some(given) = fields.span("timeout") else {
        return TIMEOUT;
    };
    if given > LONGEST
        && let Some(node) = fields.node("timeout")
    {
        fields.report().push(Problem::error(
            Code::OutOfRange,
            &node.place,
            "`timeout` is a minute at the most",
        ));
    }
    given
}

fn webhook(fields: Fields<'_>, outside: &Outside<'_>) -> Option<Webhook> {
    let reach = reach(fields, outside);
    let url = url(fields, &reach);
    let keys = fields.required("keys");
    let keys = keys.map(|listed| signing_keys(listed, outside, fields.report()));
    let decide_keys = fields.node("decide_keys");
    let decide_keys = decide_keys.map(|listed| signing_keys(listed, outside, fields.report()));
    let (keys, decide_keys) = (keys?, decide_keys.unwrap_or_default());
    // Whoever reads what we send could send it back as a decision.
    if let Some(place) = fields.key_place("decide_keys")
        && decide_keys.iter().any(|key| keys.contains(key))
    {
        fields.report().push(
            Problem::error(
                Code::WeakSecret,
                place,
                "a key that signs what goes out cannot sign what comes in",
            )
            .help("a key of its own for each direction"),
        );
    }
    Some(Webhook {
        url: url?,
        reach,
        keys,
        decide_keys,
    })
}

fn signing_keys(listed: &Node, outside: &Outside<'_>, report: &Report) -> Vec<SigningKey> {
    let nodes = match &listed.value {
        Value::Table(_) | Value::Text(_) => std::slice::from_ref(listed),
        _ => fields::list(listed, report),
    };
    if nodes.is_empty() {
        report.push(Problem::error(
            Code::EmptyValue,
            &listed.place,
            "the list is empty",
        ));
    }
    let key = |node: &Node| {
        let text = secret::read(node, outside, report)?;
        // An unreadable one is empty where that is only a warning.
        if text.reveal().is_empty() {
            return None;
        }
        let bytes = text
            .reveal()
            .strip_prefix(KEY_PREFIX)
            .and_then(|key| BASE64_STANDARD.decode(key).ok())
            .filter(|bytes| KEY_BYTES.contains(&bytes.len()));
        if bytes.is_none() {
            report.push(
                Problem::error(
                    Code::WeakSecret,
                    &node.place,
                    "not a key that signs webhooks",
                )
                .help(A_KEY),
            );
        }
        bytes.map(SigningKey::new)
    };
    nodes.iter().filter_map(key).collect()
}

fn ntfy(fields: Fields<'_>, outside: &Outside<'_>) -> Option<Ntfy> {
    let reach = reach(fields, outside);
    let url = url(fields, &reach);
    let topic = topic(fields);
    let token = match fields.node("token") {
        Some(node) => Some(token(node, outside, fields.report())?),
        None => None,
    };
    let priority = fields.number("priority", 1, 5);
    Some(Ntfy {
        url: url?,
        reach,
        topic: topic?,
        token: token.filter(|token| !token.reveal().is_empty()),
        priority: priority
            .and_then(|given| u8::try_from(given).ok())
            .unwrap_or(PRIORITY),
    })
}

/// As ntfy's own servers take it.
fn topic(fields: Fields<'_>) -> Option<String> {
    let given = fields.required_text("topic")?;
    let fine = given
        .text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fine && given.text.len() <= TOPIC_LENGTH {
        return Some(given.text.to_owned());
    }
    fields.report().push(
        Problem::error(
            Code::BadName,
            given.place,
            format!("`{}` is not a topic", given.text),
        )
        .help(
            "up to 64 letters, digits, `-` and `_`; who knows a topic without a token can read it",
        ),
    );
    None
}

/// It goes into a header.
fn token(node: &Node, outside: &Outside<'_>, report: &Report) -> Option<Secret> {
    let token = secret::read(node, outside, report)?;
    if token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(token);
    }
    report.push(Problem::error(
        Code::WeakSecret,
        &node.place,
        "a token has letters, digits and punctuation only",
    ));
    None
}

fn no_address<T>(given: Text<'_>, report: &Report) -> Option<T> {
    report.push(
        Problem::error(
            Code::BadMailAddress,
            given.place,
            format!("`{}` is not a mail address", given.text),
        )
        .help("such as \"leads@example.com\""),
    );
    None
}

fn reach(fields: Fields<'_>, outside: &Outside<'_>) -> Reach {
    Reach {
        allow_private: fields.flag("allow_private").unwrap_or(false),
        ca: authorities(fields, outside),
    }
}

fn url(fields: Fields<'_>, reach: &Reach) -> Option<Url> {
    let given = fields.required_text("url")?;
    let url = urls::endpoint(given, fields.report())?;
    if !reach.allow_private && !may_be_public(&url) {
        fields.report().push(
            Problem::error(
                Code::PrivateAddress,
                given.place,
                format!("`{}` is not on the public internet", given.text),
            )
            .help("`allow_private = true` if that is where it is to be"),
        );
    }
    Some(url)
}

fn authorities(
    fields: Fields<'_>,
    outside: &Outside<'_>,
) -> Option<Arc<[CertificateDer<'static>]>> {
    fields
        .text("ca")
        .map(|given| upstream_tls::authorities(fields, given, outside).into())
}

/// Index of the one that somebody refers to.
pub(super) fn find(names: &[String], given: Text<'_>, report: &Report) -> Option<usize> {
    let found = names.iter().position(|name| name == given.text);
    if found.is_none() {
        report.push(
            Problem::error(
                Code::UnknownChannel,
                given.place,
                format!("there is no channel `{}`", given.text),
            )
            .did_you_mean(given.text, names.iter().map(String::as_str)),
        );
    }
    found
}

/// What an approval names as an approver has to be able to decide.
pub(super) fn check_deciding<'a>(
    root: Fields<'_>,
    channels: &[Channel],
    approvals: impl Iterator<Item = &'a ApprovalDraft>,
) {
    for draft in approvals {
        check_telling(root, channels, draft);
        let deciders = [(&draft.webhook, false), (&draft.ciba, true)];
        let decider = deciders
            .into_iter()
            .find_map(|(decider, is_ciba)| Some((decider.as_ref()?, is_ciba)));
        let Some(((name, place), is_ciba)) = decider else {
            continue;
        };
        let Some(channel) = channels.iter().find(|channel| channel.name == *name) else {
            // That it is not there is said already.
            continue;
        };
        let entry = root
            .named("channels")
            .iter()
            .find(|entry| entry.key == *name);
        // Where it cannot be read and that is only a warning, there is none.
        let has_keys = entry.is_some_and(|entry| entry.node.entry("decide_keys").is_some());
        let (can, help) = match is_ciba {
            true => (
                matches!(channel.kind, ChannelKind::Ciba(_)),
                "a channel of kind \"ciba\" can",
            ),
            false => (
                matches!(channel.kind, ChannelKind::Webhook(_)) && has_keys,
                "a channel of kind \"webhook\" with `decide_keys` can",
            ),
        };
        if !can {
            let problem =
                Problem::error(Code::NotDeciding, place, format!("`{name}` cannot decide"));
            let problem = problem.help(help);
            root.report().push(match entry {
                Some(entry) => problem.related(&entry.place, "this channel"),
                None => problem,
            });
        }
    }
}

/// What decides by itself tells nobody.
fn check_telling(root: Fields<'_>, channels: &[Channel], draft: &ApprovalDraft) {
    let told = draft
        .rule
        .channels
        .iter()
        .filter_map(|at| channels.get(*at));
    let telling = told.flat_map(|channel| {
        let fallback = channel.fallback.and_then(|at| channels.get(at));
        std::iter::once(channel).chain(fallback)
    });
    for channel in telling {
        if matches!(channel.kind, ChannelKind::Ciba(_)) {
            let message = format!("`{}` tells nobody", channel.name);
            let problem = Problem::error(Code::NotTelling, &draft.place, message);
            let help = format!(
                "approvers = {{ ciba = \"{}\" }} has it decide",
                channel.name
            );
            root.report().push(problem.help(help));
        }
    }
}

/// A channel that nobody is told by is there by mistake, or its approval has forgotten it.
pub(super) fn check_used<'a>(
    root: Fields<'_>,
    channels: &[Channel],
    approvals: impl Iterator<Item = &'a ApprovalDraft>,
) {
    let mut used: Vec<usize> = Vec::new();
    for draft in approvals {
        used.extend(draft.rule.channels.iter().copied());
        let decider = draft.ciba.as_ref().map(|(name, _)| name);
        used.extend(
            channels
                .iter()
                .position(|known| Some(&known.name) == decider),
        );
    }
    // Users are told in their browsers of what is asked by CIBA.
    let has_ciba = root
        .node("keycloak")
        .is_some_and(|keycloak| keycloak.entry("ciba").is_some());
    let pushed = channels
        .iter()
        .enumerate()
        .filter(|(_, channel)| has_ciba && matches!(channel.kind, ChannelKind::WebPush(_)));
    used.extend(pushed.map(|(at, _)| at));
    // A fallback is used by whoever falls back on it.
    let mut next = 0;
    while let Some(at) = used.get(next).copied() {
        let fallback = channels.get(at).and_then(|channel| channel.fallback);
        used.extend(fallback.filter(|fallback| !used.contains(fallback)));
        next += 1;
    }
    for entry in root.named("channels") {
        let mut known = channels.iter().enumerate();
        let Some((at, channel)) = known.find(|(_, known)| known.name == entry.key) else {
            continue;
        };
        if used.contains(&at) {
            continue;
        }
        let (message, use_it) = match &channel.kind {
            ChannelKind::Ciba(_) => (
                "nothing is confirmed by this channel",
                format!("`approvers = {{ ciba = \"{}\" }}`", channel.name),
            ),
            _ => (
                "nobody is told by this channel",
                "`channels = [\"…\"]`".to_owned(),
            ),
        };
        root.report().push(
            Problem::error(Code::UnusedChannel, &entry.place, message)
                .warning()
                .help(format!("{use_it} of an approval, or take it out")),
        );
    }
}

/// A channel that is taken instead of itself would be tried for ever, or never.
fn check_fallbacks(entries: &[Entry], channels: &[Channel], report: &Report) {
    let mut told = vec![false; channels.len()];
    for start in 0..channels.len() {
        let mut way = vec![start];
        while let Some(next) = way
            .last()
            .and_then(|at| channels.get(*at))
            .and_then(|channel| channel.fallback)
        {
            if next == start {
                let names: Vec<_> = way
                    .iter()
                    .filter_map(|at| channels.get(*at))
                    .map(|channel| channel.name.as_str())
                    .collect();
                let is_told = way.iter().any(|at| told.get(*at) == Some(&true));
                if let Some(entry) = entries.get(start)
                    && !is_told
                {
                    let place = entry
                        .node
                        .entry("fallback")
                        .map_or(&entry.place, |fallback| &fallback.node.place);
                    report.push(Problem::error(
                        Code::FallbackLoop,
                        place,
                        match names.as_slice() {
                            [one] => format!("`{one}` falls back on itself"),
                            names => {
                                format!("{} fall back on each other in a circle", quoted(names))
                            }
                        },
                    ));
                }
                for at in &way {
                    if let Some(told) = told.get_mut(*at) {
                        *told = true;
                    }
                }
                break;
            }
            if way.contains(&next) {
                break;
            }
            way.push(next);
        }
    }
}
