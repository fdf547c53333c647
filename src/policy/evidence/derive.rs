//! From a verified ID token to evidence. A forced flow proves a level and when; anything else only shows that the level
//! is held, since a fresh `auth_time` beside a high `acr` may be the password's (seen on Keycloak).

use std::time::Duration;

use super::standing::{AHEAD, find};
use super::token::{Met, Token};
use crate::model::claims::Claims;
use crate::model::evidence::{Evidence, Identity, LevelEvidence};
use crate::model::level::{Enrol, Fingerprint, Ladder, Level, Rank};
use crate::model::time::Timestamp;

/// `auth_time` and the flow's start are known to whole seconds.
const GRAIN: Duration = Duration::from_secs(1);

/// Beyond this many seconds between the provider's clock and ours, no age can be trusted.
const LARGEST_OFFSET: u64 = 60;

/// How the flow that the token ends was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFacts {
    /// The parameters went by PAR: the user could not edit them.
    pub pushed: bool,
    /// The level that was asked for.
    pub asked: Option<Asked>,
    pub prompt_login: bool,
    /// The level was asked for as `always_asked`.
    pub always_asked: bool,
    pub kc_idp_hint: Option<String>,
    /// Our clock: when the flow started.
    pub started: Timestamp,
    /// Our clock: when the exchange was answered.
    pub exchanged: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub level: String,
    pub fingerprint: Fingerprint,
}

/// What was known of the same session before. It is kept only for the same `iss`, `sub` and `sid`.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    pub identity: &'a Identity,
    pub evidence: &'a Evidence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Merged with what was known before.
    pub evidence: Evidence,
    /// The highest level that this token counts for, proven or held; [`Rank::ANONYMOUS`]: none at all.
    pub landed: Rank,
    /// The highest level that this flow itself proved, not counting what is refused.
    pub proven: Rank,
    /// Levels, weakest first, whose factor was enrolled in this very flow and which therefore do not count.
    pub enrolled: Vec<String>,
    /// An `always_asked` level that was not asked: from now on it needs `prompt=login`.
    pub always_asked_broken: Option<String>,
    /// The claims of the provider are there, but something local ran in the same SSO session.
    pub broker_stale: bool,
    /// The provider's clock is too far from ours, or unknown: the flow is void, and nothing is derived from it.
    pub offset_excessive: bool,
    /// What was known before belongs to another SSO session and was dropped.
    pub previous_dropped: bool,
}

/// `claims`: of a verified ID token, fresh from the exchange.
pub fn derive(
    ladder: &Ladder,
    flow: &FlowFacts,
    claims: &Claims,
    previous: Option<Previous<'_>>,
) -> Derived {
    derive_without(ladder, flow, claims, previous, &[])
}

/// The same without the `refused` levels, by name. A level that is refused is no word for those below it either, but
/// for the base level, which nobody reaches a higher one without.
pub fn derive_without(
    ladder: &Ladder,
    flow: &FlowFacts,
    claims: &Claims,
    previous: Option<Previous<'_>>,
    refused: &[String],
) -> Derived {
    let offset = claims
        .integer("iat")
        .map(|issued| issued.saturating_sub(flow.exchanged.as_unix()))
        .filter(|offset| offset.unsigned_abs() <= LARGEST_OFFSET);
    let Some(offset) = offset else {
        return Derived::untimed();
    };
    let judge = Judge {
        ladder,
        flow,
        token: Token::new(claims, ladder),
        auth_time: claims
            .auth_time()
            .filter(|at| *at <= flow.exchanged.shifted(offset).plus(AHEAD)),
        offset,
    };
    let verdicts: Vec<_> = ladder
        .iter()
        .map(|level| (level, judge.level(level)))
        .collect();
    let named = |wanted: fn(&Verdict) -> bool| {
        verdicts
            .iter()
            .filter(move |(_, verdict)| wanted(verdict))
            .map(|(level, _)| *level)
    };
    let counts = |level: &Level| !refused.contains(&level.name);
    let rank = |level: Option<&Level>| level.map_or(Rank::ANONYMOUS, |level| level.rank);
    let proven = rank(named(|verdict| verdict.shown == Shown::Proven).rfind(|level| counts(level)));
    let landed = rank(named(|verdict| verdict.shown != Shown::Nothing).next_back());
    let kept = previous.filter(|previous| is_same_session(previous.identity, claims));

    let levels = verdicts
        .iter()
        .filter(|(level, _)| counts(level))
        .filter_map(|(level, verdict)| {
            let known = kept.and_then(|previous| find(level, previous.evidence));
            let shown = if level.rank <= proven || (level.base && level.rank <= landed) {
                Shown::Proven
            } else {
                verdict.shown
            };
            merge(level, known, shown, judge.auth_time)
        })
        .collect();
    Derived {
        evidence: Evidence { levels, offset },
        landed,
        proven,
        enrolled: named(|verdict| verdict.enrolled)
            .filter(|level| level.rank > landed)
            .map(|level| level.name.clone())
            .collect(),
        always_asked_broken: named(|verdict| verdict.not_asked)
            .next()
            .map(|level| level.name.clone()),
        broker_stale: named(|verdict| verdict.stale).next().is_some(),
        offset_excessive: false,
        previous_dropped: previous.is_some() && kept.is_none(),
    }
}

impl Derived {
    fn untimed() -> Self {
        Self {
            evidence: Evidence::default(),
            landed: Rank::ANONYMOUS,
            proven: Rank::ANONYMOUS,
            enrolled: Vec::new(),
            always_asked_broken: None,
            broker_stale: false,
            offset_excessive: true,
            previous_dropped: false,
        }
    }
}

/// What the token shows of one level by that level's own proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Proven,
    Held,
    Nothing,
}

#[derive(Debug)]
struct Verdict {
    shown: Shown,
    /// The flow forced the level, and all of its proof is there but its factor's name in `amr`.
    enrolled: bool,
    /// See [`Met::Stale`].
    stale: bool,
    /// An `always_asked` level without a fresh time.
    not_asked: bool,
}

struct Judge<'a> {
    ladder: &'a Ladder,
    flow: &'a FlowFacts,
    token: Token<'a>,
    /// Provider's clock; `None` when it is no proof of any time.
    auth_time: Option<Timestamp>,
    offset: i64,
}

impl Judge<'_> {
    fn level(&self, level: &Level) -> Verdict {
        let asked = self.is_forced_for(level);
        let forced = asked && self.is_fresh();
        let hinted = |hint: &str| forced && self.flow.kc_idp_hint.as_deref() == Some(hint);

        let ways: Vec<_> = self.token.meets(level).collect();
        let any = |wanted: &dyn Fn(&Met<'_>) -> bool| ways.iter().any(wanted);
        let met = any(&|way| match way {
            Met::Always => true,
            Met::Forced => forced,
            Met::Brokered(hint) => hinted(hint),
            Met::Stale(_) | Met::ButAmr => false,
        });
        let enrolled = !met && !level.base && forced && any(&|way| *way == Met::ButAmr);
        let enrolment_counts = enrolled && level.enrol == Enrol::Allow;
        Verdict {
            shown: match met || enrolment_counts {
                true if forced => Shown::Proven,
                true => Shown::Held,
                false => Shown::Nothing,
            },
            enrolled: enrolled && !enrolment_counts,
            stale: !met && any(&|way| matches!(way, Met::Stale(hint) if hinted(hint))),
            not_asked: asked
                && !forced
                && !self.flow.prompt_login
                && self.auth_time.is_some()
                && any(&|way| matches!(way, Met::Always | Met::Forced)),
        }
    }

    /// Whether Keycloak could not have finished the flow from its SSO session without the level's factor.
    fn is_forced_for(&self, level: &Level) -> bool {
        let Some(asked) = &self.flow.asked else {
            return false;
        };
        let Some(target) = self.ladder.by_name(&asked.level) else {
            return false;
        };
        self.flow.pushed
            && target.fingerprint == asked.fingerprint
            && (self.flow.prompt_login && target.rank >= level.rank
                || self.flow.always_asked && target.rank == level.rank)
    }

    /// Whether somebody authenticated in the course of the flow.
    fn is_fresh(&self) -> bool {
        let started = self.flow.started.shifted(self.offset);
        self.auth_time.is_some_and(|at| at >= started.minus(GRAIN))
    }
}

/// The later proof wins. `held_since` stays at the first sighting, or `lasts` would begin anew with every token.
fn merge(
    level: &Level,
    known: Option<&LevelEvidence>,
    shown: Shown,
    auth_time: Option<Timestamp>,
) -> Option<LevelEvidence> {
    let (proven_at, held_since) = match (shown, auth_time) {
        (Shown::Proven, Some(at)) => (known.and_then(|known| known.proven_at).max(Some(at)), None),
        _ => match (known, shown) {
            (Some(known), _) => (known.proven_at, known.held_since),
            (None, Shown::Nothing) => return None,
            // Without a time, held since ever: a level that decays is not counted then.
            (None, _) => (None, Some(auth_time.unwrap_or(Timestamp::from_unix(0)))),
        },
    };
    Some(LevelEvidence {
        level: level.name.clone(),
        fingerprint: level.fingerprint.clone(),
        proven_at,
        held_since,
    })
}

fn is_same_session(identity: &Identity, claims: &Claims) -> bool {
    claims.text("iss") == Some(&identity.iss)
        && claims.text("sub") == Some(&identity.sub)
        && claims.text("sid") == identity.sid.as_deref()
}

#[cfg(test)]
mod tests;
