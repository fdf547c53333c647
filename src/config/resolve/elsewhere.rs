//! Approvers that are no people in the approver app: a program, by a webhook.

use super::{Names, channels};
use crate::config::code::Code;
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
