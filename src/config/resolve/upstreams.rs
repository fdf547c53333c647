//! `[upstreams.…]`: where requests go, and what an upstream may ask to have let through.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::document::Entry;
use crate::config::fields::{Fields, Text, check_name};
use crate::config::keys;
use crate::config::problem::{Problem, Report};
use crate::config::resolved::{Timeouts, Upstream, UpstreamHost};
use crate::model::target::{RELAXATIONS, Relaxations};

use super::urls;

/// Every one that is named, also with problems: what refers to it is not wrong because of them.
pub(super) fn resolve(root: Fields<'_>) -> Vec<Upstream> {
    let _ = root.required("upstreams");
    root.named("upstreams")
        .iter()
        .map(|entry| upstream(entry, root.report()))
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

fn upstream(entry: &Entry, report: &Report) -> Upstream {
    check_name(&entry.key, &entry.place, &[], report);
    let fields = Fields::open(&entry.node, &keys::UPSTREAM, report);
    let timeouts = fields.and_then(|fields| fields.table("timeouts", &keys::TIMEOUTS));
    let span = |key: &str, seconds: u64| {
        timeouts
            .and_then(|timeouts| timeouts.span(key))
            .unwrap_or(Duration::from_secs(seconds))
    };
    Upstream {
        name: entry.key.clone(),
        urls: fields
            .map(addresses)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|given| urls::upstream(given, report))
            .collect(),
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
