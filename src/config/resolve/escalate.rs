//! `escalate` of an approval: who may decide as well on what nobody has decided on for a while.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::keys::{self, Keys};
use crate::config::problem::Problem;
use crate::policy::approval::who::Approvers;

/// After how long; whom it goes on to is added to `approvers`.
pub(super) fn resolve(
    fields: Fields<'_>,
    request_ttl: Duration,
    approvers: Option<&mut Approvers>,
) -> Option<Duration> {
    let given = fields.table("escalate", &keys::ESCALATE)?;
    let report = given.report();
    given.required("after");
    given.required("to");
    let after = given.span("after");
    if let (Some(after), Some(place)) = (after, given.key_place("after"))
        && after >= request_ttl
    {
        let message = "nobody decides on it any more by then: `request_ttl` is over";
        let problem = Problem::error(Code::LateEscalation, place, message);
        report.push(problem.help("a shorter `after`, or a longer `request_ttl`"));
    }
    let second = people(given, "to", &keys::SECOND);
    let (after, second) = (after?, second?);
    approvers?.second = Some(Box::new(second));
    Some(after)
}

/// Groups and people, at least one of them.
pub(super) fn people(fields: Fields<'_>, key: &str, keys: &'static Keys) -> Option<Approvers> {
    let given = fields.table(key, keys)?;
    let texts = |key: &str| -> Vec<String> {
        let texts = given.texts(key).unwrap_or_default();
        texts.into_iter().map(|text| text.text.to_owned()).collect()
    };
    if !given.has("groups_any") && !given.has("people") {
        let message = format!("`{key}` names nobody");
        let problem = Problem::error(Code::NeverApproved, given.place(), message);
        given
            .report()
            .push(problem.help("{ groups_any = [\"…\"] } or { people = [\"…\"] }"));
    }
    Some(Approvers {
        groups_any: texts("groups_any"),
        people: texts("people"),
        ..Approvers::default()
    })
}
