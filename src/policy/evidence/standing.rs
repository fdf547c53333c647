//! What evidence is worth at a given time: levels decay by `lasts`, and age counts only where it is proven.

use std::time::Duration;

use crate::model::evidence::{Evidence, LevelEvidence};
use crate::model::level::{Ladder, Level, Rank};
use crate::model::time::Timestamp;
use crate::policy::decision::{Have, Need, Shortfall};

/// How far `auth_time` may be ahead of the provider's clock: it is known to whole seconds only, on both sides.
pub(super) const AHEAD: Duration = Duration::from_secs(2);

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Proven {
        age: Duration,
    },
    /// Good where no age is asked for.
    Held,
    /// Decayed by the level's `lasts`.
    Lapsed,
    Missing,
}

/// How a caller stands at one level, for people.
#[derive(Clone, Copy, Debug)]
pub struct LevelStanding<'l> {
    pub level: &'l Level,
    pub standing: Standing,
    /// Our clock.
    pub proven_at: Option<Timestamp>,
    /// Until the level decays by itself; `None`: it does not, or it does not count.
    pub left: Option<Duration>,
}

/// One for each level, weakest first. `now`: our clock.
pub fn standings<'l>(
    ladder: &'l Ladder,
    evidence: &Evidence,
    now: Timestamp,
) -> impl Iterator<Item = LevelStanding<'l>> {
    ladder.iter().map(move |level| {
        let known = find(level, evidence);
        let standing = standing(level, evidence, now);
        let proven_at = known.and_then(|known| known.proven_at);
        let since = match standing {
            Standing::Proven { .. } => proven_at,
            Standing::Held => known.and_then(|known| known.held_since),
            Standing::Lapsed | Standing::Missing => None,
        };
        LevelStanding {
            level,
            standing,
            proven_at: proven_at.map(|at| at.shifted(evidence.offset.saturating_neg())),
            left: level.lasts.zip(since).map(|(lasts, since)| {
                lasts.saturating_sub(now.shifted(evidence.offset).since(since))
            }),
        }
    })
}

/// The highest level that counts now. `now`: our clock.
pub fn have(ladder: &Ladder, evidence: &Evidence, now: Timestamp) -> Have {
    ladder
        .iter()
        .rev()
        .find_map(|level| {
            let age = match standing(level, evidence, now) {
                Standing::Proven { age } => Some(age),
                Standing::Held => None,
                Standing::Lapsed | Standing::Missing => return None,
            };
            Some(Have {
                rank: level.rank,
                age,
            })
        })
        .unwrap_or(Have::NOTHING)
}

/// What is missing for `need`, or nothing. A higher level is as good. Of several levels that fall short, the one that
/// comes closest is told.
pub(in crate::policy) fn shortfall(
    ladder: &Ladder,
    evidence: &Evidence,
    need: Need,
    now: Timestamp,
) -> Option<Shortfall> {
    let mut closest = Shortfall::Missing;
    for level in ladder.iter().filter(|level| level.rank >= need.rank) {
        let shortfall = match (standing(level, evidence, now), need.max_age) {
            (Standing::Proven { .. } | Standing::Held, None) => return None,
            (Standing::Proven { age }, Some(max_age)) if age <= max_age => return None,
            (Standing::Proven { .. }, Some(_)) => Shortfall::TooOld,
            (Standing::Held, Some(_)) => Shortfall::AgeUnknown,
            (Standing::Lapsed, _) => Shortfall::Lapsed,
            (Standing::Missing, _) => Shortfall::Missing,
        };
        if closeness(shortfall) > closeness(closest) {
            closest = shortfall;
        }
    }
    Some(closest)
}

/// For how long what counts now goes on to be enough for `need`: the first instant at which it is not. `None`: by itself
/// for ever, or not even now. `now` and the answer: our clock.
pub(in crate::policy) fn enough_until(
    ladder: &Ladder,
    evidence: &Evidence,
    need: Need,
    now: Timestamp,
) -> Option<Timestamp> {
    let at = now.shifted(evidence.offset);
    let mut last = None;
    for level in ladder.iter().filter(|level| level.rank >= need.rank) {
        let Some(known) = find(level, evidence) else {
            continue;
        };
        // Without an age what is held counts beside what is proven, and the one that lasts longer decides.
        let held = known.held_since.filter(|_| need.max_age.is_none());
        for since in [known.proven_at, held].into_iter().flatten() {
            let limits = [level.lasts, need.max_age];
            let Some(limit) = limits.into_iter().flatten().min() else {
                if since <= at.plus(AHEAD) {
                    return None;
                }
                continue;
            };
            // Ages are whole seconds, and one that is the limit is good.
            let end = since.plus(limit).plus(SECOND);
            if since <= at.plus(AHEAD) && at < end {
                last = last.max(Some(end));
            }
        }
    }
    last.map(|end| end.shifted(evidence.offset.saturating_neg()))
}

/// What a simulated caller is assumed to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumed {
    /// Proven so long ago, and the levels below it with it.
    Proven(Duration),
    /// Reported just now, without proof of when.
    Held,
}

/// Evidence of a caller who exists only for `explain` and tests. `now`: our clock, and the provider's.
pub fn assumed(ladder: &Ladder, rank: Rank, assumed: Assumed, now: Timestamp) -> Evidence {
    let levels = ladder
        .iter()
        .filter(|level| level.rank <= rank)
        .map(|level| LevelEvidence {
            level: level.name.clone(),
            fingerprint: level.fingerprint.clone(),
            proven_at: match assumed {
                Assumed::Proven(age) => Some(now.minus(age)),
                // Any login tells when the base level was proven.
                Assumed::Held => level.base.then_some(now),
            },
            held_since: (assumed == Assumed::Held && !level.base).then_some(now),
        })
        .collect();
    Evidence { levels, offset: 0 }
}

fn standing(level: &Level, evidence: &Evidence, now: Timestamp) -> Standing {
    let Some(known) = find(level, evidence) else {
        return Standing::Missing;
    };
    let now = now.shifted(evidence.offset);
    let age = |at: Option<Timestamp>| Some(now.since(at.filter(|at| *at <= now.plus(AHEAD))?));
    let counts = |age: &Duration| level.lasts.is_none_or(|lasts| *age <= lasts);
    let (proven, held) = (age(known.proven_at), age(known.held_since));
    if let Some(age) = proven.filter(counts) {
        Standing::Proven { age }
    } else if held.filter(counts).is_some() {
        Standing::Held
    } else if proven.or(held).is_some() {
        Standing::Lapsed
    } else {
        Standing::Missing
    }
}

/// By name and fingerprint: what was recorded under another proof or ask does not count.
pub(super) fn find<'e>(level: &Level, evidence: &'e Evidence) -> Option<&'e LevelEvidence> {
    evidence
        .levels
        .iter()
        .find(|known| known.level == level.name && known.fingerprint == level.fingerprint)
}

fn closeness(shortfall: Shortfall) -> u8 {
    match shortfall {
        Shortfall::Missing => 0,
        Shortfall::Lapsed => 1,
        Shortfall::AgeUnknown => 2,
        Shortfall::TooOld => 3,
    }
}

#[cfg(test)]
mod tests;
