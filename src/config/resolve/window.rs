//! `grant = { window = "15m", per = ["id"] }` of an approval: a yes that holds for all of a route's requests until it ends.
//! What it does not hold to must not be part of what people are asked.

use std::time::Duration;

use super::approvals::ttl;
use super::routes::RouteDraft;
use crate::config::code::Code;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::{ApprovalRule, Grant};
use crate::policy::approval::summary::Field;

/// What a yes is good for, and for how long where it is a while.
pub(super) fn grant(fields: Fields<'_>) -> (Grant, Option<Duration>) {
    let is_table = |value: &Value| matches!(value, Value::Table(_));
    if !fields
        .node("grant")
        .is_some_and(|node| is_table(&node.value))
    {
        let _once = fields.choice("grant", &[("once", ())]);
        return (Grant::Once, None);
    }
    let Some(given) = fields.table("grant", &keys::WINDOW) else {
        return (Grant::Once, None);
    };
    given.required("window");
    for (key, why) in [
        ("redeem_ttl", "the window says how long the yes holds"),
        (
            "bind_headers",
            "headers bind one request, and this yes holds for all until the window ends",
        ),
    ] {
        if let Some(place) = fields.key_place(key) {
            let message = format!("`{key}` goes with grant = \"once\": {why}");
            fields
                .report()
                .push(Problem::error(Code::NotOfMode, place, message));
        }
    }
    let binds_nothing = given
        .node("per")
        .is_some_and(|node| matches!(&node.value, Value::List(members) if members.is_empty()));
    let per = match binds_nothing {
        true => Some(Vec::new()),
        false => given.has("per").then(|| {
            let names = given.texts("per").unwrap_or_default().into_iter();
            names.map(|name| name.text.to_owned()).collect()
        }),
    };
    (Grant::Window { per }, Some(ttl(given, "window")))
}

/// Who says yes to one amount would say it to all others.
pub(super) fn check(rule: &ApprovalRule, place: &Place, report: &Report) {
    let Grant::Window { per } = &rule.grant else {
        return;
    };
    let is_free = |name: &String| per.as_ref().is_some_and(|per| !per.contains(name));
    let of_summary = rule.summary.fields().map(|field| (field, "summary"));
    let of_when = rule.when.iter().flat_map(|when| &when.above);
    let of_when = of_when.map(|(field, _)| (field, "when"));
    for (field, key) in of_summary.chain(of_when) {
        let help = match field {
            Field::Form(_) | Field::Json(_) | Field::Query(_) => {
                "parameters of the path and claims stay the same; grant = \"once\" is for the rest"
            }
            // Whether one needs it at all is told of each request.
            Field::Path(name) if is_free(name) && key == "summary" => {
                "name it in `per`, or leave it out"
            }
            Field::Path(_) | Field::Claim(_) => continue,
        };
        let message =
            format!("`{field}` in `{key}` may be another one in each request of the window");
        report.push(Problem::error(Code::BeyondWindow, place, message).help(help));
    }
}

/// A parameter that the route's path does not have would refuse all of its requests.
pub(super) fn check_parameters(rule: &ApprovalRule, route: &RouteDraft, report: &Report) {
    let Grant::Window { per: Some(per) } = &rule.grant else {
        return;
    };
    let pattern = &route.route.pattern;
    for name in per {
        if pattern.parameters().any(|known| known == name) {
            continue;
        }
        report.push(Problem::error(
            Code::SummaryField,
            route.approval.as_ref().unwrap_or(&route.place),
            format!(
                "`per` of `{}`: `{pattern}` has no parameter `{name}`",
                rule.name
            ),
        ));
    }
}
