//! `[keycloak.ciba]`: which clients' requests Keycloak may hand on to us, and what their users need to answer.

use std::collections::BTreeMap;

use super::{Names, require};
use crate::config::ciba::CibaChannel;
use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::problem::{Problem, Report};
use crate::model::level::Rank;

/// In ten minutes.
const PER_USER: u64 = 10;
const PER_CLIENT: u64 = 600;

/// People read it on a phone.
const LONGEST_NAME: usize = 80;

/// `usual`: the level of the approver app, without which nobody answers anything.
pub(super) fn resolve(
    root: Fields<'_>,
    usual: Option<Rank>,
    names: &Names,
    report: &Report,
) -> Option<CibaChannel> {
    // What else stands in `[keycloak]` is read elsewhere.
    let node: &Node = &root.node("keycloak")?.entry("ciba")?.node;
    let fields = Fields::open(node, &keys::CIBA, report)?;
    if !root.has("approver_app") {
        report.push(
            Problem::error(
                Code::NeverApproved,
                fields.place(),
                "nobody can answer: there is no approver app",
            )
            .help("[approver_app] of the installation says where people decide"),
        );
    }
    let clients = clients(fields);
    // Plainly: what guards an answer is to stand in the file.
    fields.required("device");
    let by_device = fields.choice("device", &[("none", false), ("required", true)]);
    let level = match fields.has("level") {
        true => require::level(fields, names),
        false => usual,
    };
    let number = |key: &str, default: u64| {
        let given = fields.number(key, 1, 100_000).unwrap_or(default);
        usize::try_from(given).unwrap_or(usize::MAX)
    };
    Some(CibaChannel {
        per_user: number("per_user", PER_USER),
        per_client: number("per_client", PER_CLIENT),
        clients: clients?,
        level: level?,
        by_device: by_device?,
    })
}

fn clients(fields: Fields<'_>) -> Option<BTreeMap<String, String>> {
    let report = fields.report();
    let listed = fields.required("clients")?;
    let given = fields.map("clients")?;
    if listed.entries().is_empty() && matches!(listed.value, Value::Table(_)) {
        report.push(
            Problem::error(Code::EmptyValue, &listed.place, "no client may ask")
                .help("such as clients = { teller = \"The teller's desk\" }"),
        );
    }
    let clients = given.into_iter().filter_map(|(id, name)| {
        if name.text.chars().count() > LONGEST_NAME {
            report.push(Problem::error(
                Code::OutOfRange,
                name.place,
                format!("a client's name has {LONGEST_NAME} characters at the most"),
            ));
            return None;
        }
        Some((id, name.text.to_owned()))
    });
    Some(clients.collect())
}
