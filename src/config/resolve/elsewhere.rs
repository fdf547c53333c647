//! Approvers that are no people in the approver app: a program, by a webhook, and Keycloak, which has the requester confirm
//! it on a device.

use super::{Names, channels};
use crate::config::code::Code;
use crate::config::document::Value;
use crate::config::fields::Fields;
use crate::config::problem::{Place, Problem};
use crate::model::approval::Mode;

/// By which approvers are told: one that is a program, by its own channel in any case.
pub(super) fn told_by(fields: Fields<'_>, webhook: Option<usize>, names: &Names) -> Vec<usize> {
    let listed = fields.texts("channels").unwrap_or_default().into_iter();
    let mut told: Vec<usize> = listed
        .filter_map(|given| channels::find(&names.channels, given, fields.report()))
        .collect();
    told.extend(webhook.filter(|at| !told.contains(at)));
    told
}

/// The channel that is an approver: its place, its name, and where it is named. It sees no number.
pub(super) fn webhook(
    given: Fields<'_>,
    mode: Option<Mode>,
    names: &Names,
) -> Option<(usize, String, Place)> {
    let named = given.text("webhook")?;
    let at = channels::find(&names.channels, named, given.report());
    if mode.is_some_and(|mode| mode != Mode::ApproveDeny) {
        let message = "a webhook does not know the number that the requester sees";
        let problem = Problem::error(Code::NotOfMode, named.place, message);
        given
            .report()
            .push(problem.help("mode = \"approve-deny\", or people as approvers"));
    }
    Some((at?, named.text.to_owned(), named.place.clone()))
}

/// The channel by which Keycloak decides: its name, and where it is named. Nothing that people in the app would say or see
/// goes with it.
pub(super) fn ciba(given: Fields<'_>, rule: Fields<'_>, names: &Names) -> Option<(String, Place)> {
    let named = given.text("ciba")?;
    channels::find(&names.channels, named, given.report())?;
    let beside = ["self", "groups_any", "claim", "people", "webhook"];
    let beside = beside.iter().filter_map(|key| given.key_place(key));
    let of_people = ["mode", "digits", "reason", "deny", "level", "escalate"];
    let of_people = of_people.iter().filter_map(|key| {
        let usual = match *key {
            "mode" => Mode::ApproveDeny.name(),
            "reason" => "optional",
            _ => "",
        };
        match &rule.node(key)?.value {
            Value::Text(text) if text == usual => None,
            _ => rule.key_place(key),
        }
    });
    for place in beside.chain(of_people) {
        let message = "this cannot hold where Keycloak has the requester confirm it";
        let problem = Problem::error(Code::Elsewhere, place, message);
        let problem = problem.related(named.place, "here");
        given
            .report()
            .push(problem.help("take it out, or have people decide in the approver app"));
    }
    Some((named.text.to_owned(), named.place.clone()))
}
