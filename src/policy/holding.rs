//! For how long a decision holds by itself: what was allowed and is still open has to be decided anew from then on.

use super::decide::need;
use super::evidence;
use super::facts::{Facts, Known};
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
            evidence::enough_until(ladder, caller.evidence, need, now)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
