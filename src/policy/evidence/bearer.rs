//! What a bearer's access token shows. Nothing tells how it was obtained: what only a flow of ours can prove does not
//! count, and above the base level there is no time (a fresh `auth_time` may be the password's, and a refresh moves it).

use std::time::Duration;

use super::standing::AHEAD;
use super::token::{Met, Token};
use crate::model::claims::Claims;
use crate::model::evidence::{Evidence, LevelEvidence};
use crate::model::level::{Ladder, Level, Proof, Rank};
use crate::model::time::Timestamp;

/// Whether an `auth_time` is believed to be that of the token's level, as RFC 9470 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BearerAge {
    /// Above the base level a bearer is held, and nobody knows since when.
    #[default]
    Unknown,
    AuthTime,
}

/// `claims`: of a verified access token. `now`: our clock when it was verified. Without the `refused` levels, by name.
///
/// The provider's clock is at least as far ahead of ours as the token's `iat` is; more is not known of it, and an age may
/// be taken for younger by as much as the verifier tolerates.
pub fn of_bearer(
    ladder: &Ladder,
    claims: &Claims,
    age: BearerAge,
    now: Timestamp,
    refused: &[String],
) -> Evidence {
    let offset = claims
        .integer("iat")
        .map_or(0, |issued| issued.saturating_sub(now.as_unix()).max(0));
    let auth_time = claims
        .auth_time()
        .filter(|at| *at <= now.shifted(offset).plus(AHEAD));
    let token = Token::new(claims, ladder);
    let shown: Vec<&Level> = ladder
        .iter()
        .filter(|level| token.meets(level).any(|way| way == Met::Always))
        .collect();
    let highest = shown.last().map_or(Rank::ANONYMOUS, |level| level.rank);
    let counts = |level: &Level| {
        // Nobody reaches a higher level without the first factor.
        level.base && level.rank <= highest
            || shown.iter().any(|known| known.rank == level.rank) && !refused.contains(&level.name)
    };
    let levels = ladder
        .iter()
        .filter(|level| counts(level))
        .map(|level| shown_at(level, auth_time, age))
        .collect();
    Evidence { levels, offset }
}

/// Evidence of a bearer who exists only for `explain` and tests.
pub fn assumed_of_bearer(
    ladder: &Ladder,
    rank: Rank,
    auth_time: Option<Timestamp>,
    age: BearerAge,
) -> Evidence {
    let levels = ladder
        .iter()
        .filter(|level| level.rank <= rank)
        .filter(|level| level.proofs.iter().any(is_shown_by_bearers))
        .map(|level| shown_at(level, auth_time, age))
        .collect();
    Evidence { levels, offset: 0 }
}

fn shown_at(level: &Level, auth_time: Option<Timestamp>, age: BearerAge) -> LevelEvidence {
    let dated = level.base || age == BearerAge::AuthTime;
    let proven_at = auth_time.filter(|_| dated);
    LevelEvidence {
        level: level.name.clone(),
        fingerprint: level.fingerprint.clone(),
        proven_at,
        // Without a time, held since ever: a level that decays is not counted then.
        held_since: proven_at
            .is_none()
            .then(|| auth_time.unwrap_or(Timestamp::from_unix(0))),
    }
}

/// The weakest level from `rank` up by which some bearer could meet a demand; `None`: none ever does.
pub fn for_bearer(
    ladder: &Ladder,
    rank: Rank,
    max_age: Option<Duration>,
    age: BearerAge,
) -> Option<&Level> {
    ladder
        .iter()
        .filter(|level| level.rank >= rank)
        .find(|level| {
            let dated = level.base || age == BearerAge::AuthTime;
            (max_age.is_none() || dated) && level.proofs.iter().any(is_shown_by_bearers)
        })
}

/// What claims say alone, or after a provider's hint, counts from a forced flow only.
fn is_shown_by_bearers(proof: &Proof) -> bool {
    !proof.is_claims_only() && proof.kc_idp_hint.is_none()
}

#[cfg(test)]
mod tests;
