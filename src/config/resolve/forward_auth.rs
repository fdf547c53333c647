//! `forward_auth`: the app stands behind another proxy, which asks stepgate about every request and sends it on itself.

use ipnet::IpNet;

use super::app::AppDraft;
use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::Fields;
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::ForwardAuth;

const STREAMS: &str = "stepgate does not see what stays open";

/// What takes a look at bodies, at answers, or at the client's own connection: stepgate sees none of them there.
const OF_THE_APP: &[(&str, &str)] = &[
    ("app_cookies", "stepgate does not see what the app sets"),
    ("inject_agent", "stepgate does not see the app's pages"),
    ("body_bytes", "stepgate does not see the body"),
    ("park_bytes", "stepgate does not see the body"),
    ("on_lapse", STREAMS),
    ("lapse_grace", STREAMS),
];
const OF_A_ROUTE: &[(&str, &str)] = &[
    ("approval", "stepgate does not see the body"),
    ("body_bytes", "stepgate does not see the body"),
    ("park_bytes", "stepgate does not see the body"),
    ("on_lapse", STREAMS),
    ("lapse_grace", STREAMS),
    (
        "upstream",
        "the other proxy chooses where the request goes on to",
    ),
];

pub(super) fn resolve(app: Fields<'_>) -> Option<(ForwardAuth, Place)> {
    let kind = app.choice("forward_auth", ForwardAuth::ALL);
    let place = app.key_place("forward_auth")?;
    for (key, why) in OF_THE_APP {
        if let Some(at) = app.key_place(key) {
            app.report().push(cannot_hold(key, why, at, place));
        }
    }
    for entry in app.node("identity").map_or(&[][..], |node| node.entries()) {
        if let Some(at) = of_connection(&entry.node) {
            let why = "the client's certificate is shown to the other proxy";
            app.report()
                .push(cannot_hold("client_cert", why, at, place));
        }
    }
    for route in app.tables("routes") {
        for (key, why) in OF_A_ROUTE {
            if let Some(entry) = route.entry(key) {
                app.report()
                    .push(cannot_hold(key, why, &entry.place, place));
            }
        }
    }
    Some((kind?, place.clone()))
}

/// Nobody else is answered.
pub(super) fn check_asked(drafts: &[AppDraft], trusted: &[IpNet], report: &Report) {
    if !trusted.is_empty() {
        return;
    }
    for (kind, place) in drafts
        .iter()
        .filter_map(|draft| draft.forward_auth.as_ref())
    {
        report.push(
            Problem::error(
                Code::NobodyAsks,
                place,
                format!(
                    "`forward_auth` without `trusted_proxies`: {} would not be answered",
                    kind.name()
                ),
            )
            .help("`trusted_proxies` of the installation names the addresses that it asks from"),
        );
    }
}

fn cannot_hold(key: &str, why: &str, at: &Place, because: &Place) -> Problem {
    Problem::error(
        Code::NotForwarded,
        at,
        format!("`{key}` cannot hold behind another proxy: {why}"),
    )
    .related(because, "behind another proxy by this")
}

/// Where a template speaks of the client's certificate.
fn of_connection(node: &Node) -> Option<&Place> {
    match &node.value {
        Value::Text(text) if text.contains("{client_cert.") => Some(&node.place),
        _ => None,
    }
}
