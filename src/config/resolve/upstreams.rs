//! `[upstreams.…]`: where requests go, and what an upstream may ask to have let through.

use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use url::Url;

use crate::config::code::Code;
use crate::config::document::Entry;
use crate::config::fields::{Fields, Text, check_name};
use crate::config::keys;
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report};
use crate::config::resolved::{Health, Protocol, Timeouts, Upstream, UpstreamHost};
use crate::model::target::{RELAXATIONS, Relaxations};

use super::{upstream_tls, urls};

/// Of thresholds: beyond it a check says nothing any more.
const MOST_IN_A_ROW: u64 = 100;

/// Every one that is named, also with problems: what refers to it is not wrong because of them.
pub(super) fn resolve(root: Fields<'_>, outside: &Outside<'_>) -> Vec<Upstream> {
    let _ = root.required("upstreams");
    root.named("upstreams")
        .iter()
        .map(|entry| upstream(entry, outside, root.report()))
        .collect()
}

/// `url` or `urls`, one of them.
pub(super) fn addresses<'d>(fields: Fields<'d>) -> Vec<Text<'d>> {
    match (fields.key_place("url"), fields.key_place("urls")) {
        (Some(first), Some(second)) => {
            fields.report().push(
                Problem::error(Code::Duplicate, second, "either `url` or `urls`")
                    .related(first, "the other one"),
            );
            Vec::new()
        }
        (None, Some(_)) => fields.texts("urls").unwrap_or_default(),
        _ => fields.required_text("url").into_iter().collect(),
    }
}

fn upstream(entry: &Entry, outside: &Outside<'_>, report: &Report) -> Upstream {
    check_name(&entry.key, &entry.place, &[], report);
    let fields = Fields::open(&entry.node, &keys::UPSTREAM, report);
    let timeouts = fields.and_then(|fields| fields.table("timeouts", &keys::TIMEOUTS));
    let span = |key: &str, seconds: u64| {
        timeouts
            .and_then(|timeouts| timeouts.span(key))
            .unwrap_or(Duration::from_secs(seconds))
    };
    let urls: Vec<Url> = fields
        .map(addresses)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| urls::upstream(given, report))
        .collect();
    Upstream {
        name: entry.key.clone(),
        protocol: fields
            .and_then(|fields| protocol(fields, &urls))
            .unwrap_or_default(),
        tls: fields
            .and_then(|fields| upstream_tls::resolve(fields, &urls, outside))
            .unwrap_or_default(),
        health: fields.and_then(health),
        urls,
        host: fields
            .and_then(|fields| {
                fields.choice(
                    "host",
                    &[
                        ("keep", UpstreamHost::Keep),
                        ("upstream", UpstreamHost::Upstream),
                    ],
                )
            })
            .unwrap_or_default(),
        timeouts: Timeouts {
            connect: span("connect", 5),
            response: span("response", 60),
            idle: span("idle", 60),
        },
        accept: fields.map(accept).unwrap_or_default(),
        exact_case: fields
            .and_then(|fields| fields.choice("path_match", &[("exact", true), ("any-case", false)]))
            .unwrap_or(false),
    }
}

fn protocol(fields: Fields<'_>, urls: &[Url]) -> Option<Protocol> {
    let protocol = fields.choice(
        "protocol",
        &[
            ("http1", Protocol::Http1),
            ("h2", Protocol::H2),
            ("h2c", Protocol::H2c),
            ("auto", Protocol::Auto),
        ],
    )?;
    let wrong = |scheme: &str| urls.iter().any(|url| url.scheme() == scheme);
    let help = match protocol {
        Protocol::H2 if wrong("http") => "HTTP/2 without TLS is `h2c`",
        Protocol::H2c if wrong("https") => "HTTP/2 over TLS is `h2`",
        _ => return Some(protocol),
    };
    if let Some(given) = fields.text("protocol") {
        fields.report().push(
            Problem::error(
                Code::ProtocolOfScheme,
                given.place,
                format!("`{}` does not go with the upstream's URLs", given.text),
            )
            .help(help),
        );
    }
    Some(protocol)
}

fn health(fields: Fields<'_>) -> Option<Health> {
    let fields = fields.table("health", &keys::HEALTH)?;
    let seconds =
        |key: &str, default: u64| fields.span(key).unwrap_or(Duration::from_secs(default));
    let in_a_row = |key: &str, default: u32| {
        fields
            .number(key, 1, MOST_IN_A_ROW)
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    let refuse = |given: &Text<'_>, help: &str| {
        fields.report().push(
            Problem::error(
                Code::BadProbe,
                given.place,
                format!("`{}` cannot be asked", given.text),
            )
            .help(help),
        );
    };
    let path = fields.text("path").filter(|given| {
        let fine = given.text.starts_with('/') && given.text.parse::<PathAndQuery>().is_ok();
        if !fine {
            refuse(given, "a path, and a query if need be: \"/healthz\"");
        }
        fine
    });
    let host = fields.text("host").filter(|given| {
        let fine = given.text.parse::<Authority>().is_ok() && !given.text.contains('@');
        if !fine {
            refuse(
                given,
                "a host, and a port if need be: \"erp.internal:8080\"",
            );
        } else if !fields.has("path") {
            refuse(
                given,
                "without a `path` only a connection is made, and no host is told",
            );
        }
        fine
    });
    Some(Health {
        path: path.map(|given| given.text.to_owned()),
        host: host.map(|given| given.text.to_owned()),
        interval: seconds("interval", 10),
        timeout: seconds("timeout", 2),
        healthy: in_a_row("healthy", 2),
        unhealthy: in_a_row("unhealthy", 3),
    })
}

fn accept(fields: Fields<'_>) -> Relaxations {
    fields
        .texts("accept")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| {
            let found = Relaxations::from_name(given.text);
            if found.is_none() {
                fields.report().push(
                    Problem::error(
                        Code::UnknownValue,
                        given.place,
                        format!("there is no relaxation `{}`", given.text),
                    )
                    .did_you_mean(given.text, RELAXATIONS.iter().map(|row| row.name)),
                );
            }
            found
        })
        .fold(Relaxations::NONE, |all, one| all | one)
}
