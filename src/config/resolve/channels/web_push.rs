//! `kind = "web-push"`: browsers, by way of their makers' push services.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lettre::Address;
use url::{Host, Url};

use super::reach;
use crate::config::channel::{VapidKey, WebPush};
use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::{Fields, Text};
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report};
use crate::config::secret;

/// Those of the browsers' makers: Chrome and its kin, Firefox, Safari, Edge.
const SERVICES: [&str; 4] = [
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
];

pub(super) fn resolve(fields: Fields<'_>, outside: &Outside<'_>) -> Option<WebPush> {
    let report = fields.report();
    let key = fields
        .required("vapid_key")
        .and_then(|node| vapid_key(node, outside, report));
    let subject = fields.required_text("subject").and_then(|given| {
        let is_mail = given
            .text
            .strip_prefix("mailto:")
            .is_some_and(|address| address.parse::<Address>().is_ok());
        let is_page = Url::parse(given.text).is_ok_and(|url| url.scheme() == "https");
        if !is_mail && !is_page {
            report.push(
                Problem::error(
                    Code::BadMailAddress,
                    given.place,
                    format!(
                        "`{}` is nowhere that a push service could write to",
                        given.text
                    ),
                )
                .help("such as \"mailto:admin@example.com\", or an https URL"),
            );
            return None;
        }
        Some(given.text.to_owned())
    });
    let services = match fields.texts("services") {
        Some(given) => given
            .into_iter()
            .filter_map(|given| service(given, report))
            .collect(),
        None => SERVICES.map(str::to_owned).to_vec(),
    };
    Some(WebPush {
        key: key?,
        subject: subject?,
        services,
        reach: reach(fields, outside),
    })
}

/// An unreadable one is none, where that is a warning: nothing is served then.
fn vapid_key(node: &Node, outside: &Outside<'_>, report: &Report) -> Option<VapidKey> {
    let text = secret::read(node, outside, report)?;
    if text.reveal().is_empty() {
        // Any: whoever only looks pushes nothing.
        return VapidKey::new(vec![1; 32]);
    }
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(text.reveal())
        .ok()
        .and_then(VapidKey::new);
    if key.is_none() {
        report.push(
            Problem::error(
                Code::WeakSecret,
                &node.place,
                "not a private key for Web Push",
            )
            .help("stepgate keygen vapid --out FILE"),
        );
    }
    key
}

/// A host in the form in which it is compared.
fn service(given: Text<'_>, report: &Report) -> Option<String> {
    let (star, host) = match given.text.strip_prefix("*.") {
        Some(parent) => ("*.", parent),
        None => ("", given.text),
    };
    let is_deep = star.is_empty() || host.contains('.');
    match Host::parse(host) {
        Ok(parsed) if is_deep && !host.contains('*') && !host.is_empty() => {
            Some(format!("{star}{parsed}"))
        }
        _ => {
            report.push(
                Problem::error(
                    Code::BadName,
                    given.place,
                    format!("`{}` is not a push service's host", given.text),
                )
                .help("such as \"fcm.googleapis.com\" or \"*.push.apple.com\""),
            );
            None
        }
    }
}
