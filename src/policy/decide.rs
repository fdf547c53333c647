//! The decision: one pure function, called in one place for every protocol and entry point. It is monotone: less
//! evidence, more age or a stricter requirement never turns into `Allow`, and whatever is odd is denied.

use super::approval::{self, Refused};
use super::conditions::{self, Unmet};
use super::decision::{Approve, Decision, Denial, Have, Need, Permit, StepUp};
use super::evidence;
use super::facts::{Caller, Facts, Grant, Known};
use crate::model::level::{Ladder, Rank};
use crate::model::requirement::Requirement;
use crate::model::time::Timestamp;

/// `demand`: requirements that hold together, as of a floor: the highest level, the smallest age, all conditions.
/// `now`: our clock.
pub fn decide(
    demand: &[&Requirement],
    facts: &Facts<'_>,
    ladder: &Ladder,
    now: Timestamp,
) -> Decision {
    let need = need(demand);
    if is_public(demand) {
        return Decision::Allow(Permit::new(need, Have::NOTHING));
    }
    if ladder.level(need.rank).is_none() {
        return unenforceable(need);
    }
    if facts.preflight {
        return preflight(demand, facts, need);
    }
    let caller = match &facts.caller {
        Known::Unavailable => return Decision::Unavailable(need),
        Known::Absent => return Decision::Login(need),
        Known::Found(caller) => caller,
    };
    let have = evidence::have(ladder, caller.evidence, now);
    for requirement in demand {
        let met = conditions::check(&requirement.conditions, caller.identity, facts.client);
        if let Err(Unmet { condition, wanted }) = met {
            return Decision::Deny(Denial {
                condition,
                wanted,
                have,
                need,
            });
        }
    }
    match evidence::shortfall(ladder, caller.evidence, need, now) {
        Some(shortfall) => Decision::StepUp(StepUp {
            need,
            have,
            shortfall,
        }),
        None => approved(demand, facts, caller, (need, have), now),
    }
}

/// The last thing that is asked for, when all else is there. Whoever has a yes has it for this request, under the policy
/// of now, as the one who asked for it.
fn approved(
    demand: &[&Requirement],
    facts: &Facts<'_>,
    caller: &Caller<'_>,
    (need, have): (Need, Have),
    now: Timestamp,
) -> Decision {
    let mut wanted = demand.iter().filter_map(|part| part.approval.as_deref());
    let Some(name) = wanted.next() else {
        return Decision::Allow(Permit::new(need, have));
    };
    // One request refers to one approval; two of different names are never both given.
    if wanted.any(|other| other != name) {
        return unenforceable(need);
    }
    if facts.spared.is_some_and(|spared| spared.is_of(name)) {
        return Decision::Allow(Permit::new(need, have));
    }
    let refused = match &facts.grant {
        Known::Unavailable => return Decision::Unavailable(need),
        Known::Absent => None,
        Known::Found(grant) => match is_given(grant, name, caller, now) {
            Ok(()) => {
                let id = grant.approval.id.clone();
                return Decision::Allow(match grant.approval.terms.for_a_while {
                    true => Permit::within(id, need, have),
                    false => Permit::by(id, need, have),
                });
            }
            Err(refused) => Some(refused),
        },
    };
    Decision::Approve(Approve {
        approval: name.to_owned(),
        need,
        have,
        refused,
    })
}

fn is_given(
    grant: &Grant<'_>,
    name: &str,
    caller: &Caller<'_>,
    now: Timestamp,
) -> Result<(), Refused> {
    let approval = grant.approval;
    let (person, identity) = (&approval.requester.person, caller.identity);
    if person.iss != identity.iss || person.sub != identity.sub {
        return Err(Refused::OtherHolder);
    }
    if approval.name != name {
        return Err(Refused::OtherAction);
    }
    approval::covers(approval, grant.holder, grant.action, now)
}

/// Nobody can sign in to be allowed to ask. What can be told without anybody, the client's network, holds; and what is
/// allowed reaches the app as nobody's request, which its own answer then decides.
fn preflight(demand: &[&Requirement], facts: &Facts<'_>, need: Need) -> Decision {
    for requirement in demand {
        if let Err(Unmet { condition, wanted }) =
            conditions::networks(&requirement.conditions, facts.client)
        {
            return Decision::Deny(Denial {
                condition,
                wanted,
                have: Have::NOTHING,
                need,
            });
        }
    }
    Decision::Allow(Permit::anonymous())
}

pub(super) fn need(demand: &[&Requirement]) -> Need {
    Need {
        rank: demand
            .iter()
            .map(|requirement| requirement.rank)
            .max()
            .unwrap_or(Rank::UNREACHABLE),
        max_age: demand
            .iter()
            .filter_map(|requirement| requirement.max_age)
            .min(),
    }
}

/// Public is only what asks for nothing at all, and a demand of nothing is none.
fn is_public(demand: &[&Requirement]) -> bool {
    !demand.is_empty()
        && demand
            .iter()
            .all(|requirement| requirement.is_public() && **requirement == Requirement::PUBLIC)
}

/// A demand that no configuration that was checked can make.
fn unenforceable(need: Need) -> Decision {
    Decision::Deny(Denial {
        condition: "policy",
        wanted: Vec::new(),
        have: Have::NOTHING,
        need,
    })
}

#[cfg(test)]
mod tests;
