//! `[approvals]`: how often people are told at most, of whom, and of what.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::problem::Problem;
use crate::config::resolved::Quiet;

const MOST: u64 = 1_000;
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn resolve(root: Fields<'_>) -> Quiet {
    let usual = Quiet::default();
    let Some(fields) = root.table("approvals", &keys::APPROVALS) else {
        return usual;
    };
    let number = |key: &str, usual: usize| {
        let given = fields.number(key, 1, MOST);
        given
            .and_then(|given| usize::try_from(given).ok())
            .unwrap_or(usual)
    };
    Quiet {
        within: within(fields).unwrap_or(usual.within),
        per_route: number("notices_per_route", usual.per_route),
        per_requester: number("notices_per_requester", usual.per_requester),
        per_approval: number("notices_per_approval", usual.per_approval),
        per_approver: number("notices_per_approver", usual.per_approver),
    }
}

fn within(fields: Fields<'_>) -> Option<Duration> {
    let given = fields.span("notices_within")?;
    if (SHORTEST..=LONGEST).contains(&given) {
        return Some(given);
    }
    fields.report().push(Problem::error(
        Code::OutOfRange,
        &fields.node("notices_within")?.place,
        "`notices_within` lies between 1 minute and 1 day",
    ));
    None
}
