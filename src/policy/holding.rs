//! For how long a decision holds by itself: what was allowed and is still open has to be decided anew from then on.

use super::decide::need;
use super::evidence;
use super::facts::{Facts, Known};
use crate::model::approval::Status;
use crate::model::level::{Ladder, Rank};
use crate::model::requirement::Requirement;
use crate::model::time::Timestamp;

/// Of what [`super::decide`] allows at `now`: the first instant at which it does not any more, with nothing changed but
/// the time. `None`: it never ends by itself. Both times: our clock.
pub fn holds_until(
    demand: &[&Requirement],
    facts: &Facts<'_>,
    ladder: &Ladder,
    now: Timestamp,
) -> Option<Timestamp> {
    let need = need(demand);
    match &facts.caller {
        Known::Found(caller) if need.rank > Rank::ANONYMOUS && !facts.preflight => {
            let enough = evidence::enough_until(ladder, caller.evidence, need, now);
            let given = given_until(demand, facts);
            enough.into_iter().chain(given).min()
        }
        _ => None,
    }
}

/// Until when a yes that is needed may be used.
fn given_until(demand: &[&Requirement], facts: &Facts<'_>) -> Option<Timestamp> {
    let is_needed = demand.iter().any(|part| part.approval.is_some());
    match &facts.grant {
        Known::Found(grant) if is_needed => match grant.approval.status {
            Status::Approved { redeem_until, .. } => Some(redeem_until),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
