use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::evidence::{Evidence, Identity, LevelEvidence};
use crate::model::requirement::Conditions;
use crate::policy::decide;
use crate::policy::decision::Decision;
use crate::policy::evidence::{Assumed, assumed};
use crate::policy::example::{KEY, MFA, NOW, PASSWORD, action, alice, given, holder, ladder};
use crate::policy::facts::{Caller, Grant};

/// Seconds around now in which levels were proven; spans are of the same size, so that both sides of each end are met.
const AGES: i64 = 40;

fn short_ladder(lasts: [Option<u64>; 3]) -> Ladder {
    let ladder = ladder();
    let levels = ladder.iter().cloned().zip(lasts).map(|(level, lasts)| {
        let lasts = lasts.map(Duration::from_secs);
        crate::model::level::Level { lasts, ..level }
    });
    Ladder::new(levels.collect())
}

fn is_allowed(
    requirement: &Requirement,
    evidence: &Evidence,
    ladder: &Ladder,
    now: Timestamp,
) -> bool {
    let facts = facts(evidence);
    matches!(
        decide(&[requirement], &facts, ladder, now),
        Decision::Allow(_)
    )
}

static NOBODY: std::sync::LazyLock<Identity> = std::sync::LazyLock::new(Identity::default);

fn facts(evidence: &Evidence) -> Facts<'_> {
    Facts {
        caller: Known::Found(Caller {
            evidence,
            identity: &NOBODY,
        }),
        client: [192, 0, 2, 1].into(),
        preflight: false,
        grant: Known::Absent,
        spared: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW.as_unix() + seconds)
}

prop_compose! {
    fn evidences()(
        levels in prop::collection::vec((prop::option::of(-AGES..4), prop::option::of(-AGES..4)), 3),
        offset in -5..5_i64,
    ) -> Evidence {
        let levels = ladder().iter().zip(levels).map(|(level, (proven, held))| LevelEvidence {
            level: level.name.clone(),
            fingerprint: level.fingerprint.clone(),
            proven_at: proven.map(at),
            held_since: held.map(at),
        }).collect();
        Evidence { levels, offset }
    }
}

fn spans() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(1..AGES as u64)
}

proptest! {
    /// Before the instant it is allowed, second by second; from it on it is not.
    #[test]
    fn it_ends_when_the_decision_says_so(
        evidence in evidences(),
        lasts in [spans(), spans(), spans()],
        max_age in spans(),
        rank in prop::sample::select(vec![PASSWORD, MFA, KEY]),
    ) {
        let ladder = short_ladder(lasts);
        let requirement = Requirement {
            rank,
            max_age: max_age.map(Duration::from_secs),
            conditions: Conditions::NONE,
            approval: None,
        };
        prop_assume!(is_allowed(&requirement, &evidence, &ladder, NOW));
        // What is ahead of the clock counts later, and then it is decided anew anyway.
        let now_there = NOW.as_unix() + evidence.offset + 2;
        let is_ahead = |at: Option<Timestamp>| at.is_some_and(|at| at.as_unix() > now_there);
        let ahead = evidence.levels.iter().any(|level| is_ahead(level.proven_at) || is_ahead(level.held_since));
        let until = holds_until(&[&requirement], &facts(&evidence), &ladder, NOW);
        let allowed = |seconds| is_allowed(&requirement, &evidence, &ladder, at(seconds));
        let far = 4 * AGES;
        match until {
            None => prop_assert!((0..far).all(allowed)),
            Some(until) => {
                let end = until.as_unix() - NOW.as_unix();
                prop_assert!(end > 0);
                prop_assert!((0..end).all(allowed), "before {}", end);
                prop_assert!(ahead || !(end..far).any(allowed), "from {} on", end);
            }
        }
    }
}

#[test]
fn what_is_public_never_ends() {
    let nothing = Evidence::default();
    let until = holds_until(&[&Requirement::PUBLIC], &facts(&nothing), &ladder(), NOW);
    assert_eq!(until, None);
}

/// A yes that is not used by then is none.
#[test]
fn a_yes_ends_before_the_level_does() {
    let evidence = assumed(&ladder(), MFA, Assumed::Held, NOW);
    let alice = alice();
    let (approval, holder, action) = (given(), holder(), action());
    let facts = Facts {
        caller: Known::Found(Caller {
            evidence: &evidence,
            identity: &alice,
        }),
        client: [192, 0, 2, 1].into(),
        preflight: false,
        grant: Known::Found(Grant {
            approval: &approval,
            holder: &holder,
            action: &action,
        }),
        spared: None,
    };
    for (name, yes) in [(None, false), (Some("four-eyes"), true)] {
        let requirement = Requirement {
            rank: MFA,
            max_age: None,
            conditions: Conditions::NONE,
            approval: name.map(str::to_owned),
        };
        let allowed = |at| {
            matches!(
                decide(&[&requirement], &facts, &ladder(), at),
                Decision::Allow(_)
            )
        };
        let until = holds_until(&[&requirement], &facts, &ladder(), NOW).unwrap();
        assert_eq!(until == at(60), yes, "{until:?}");
        assert!(allowed(until.shifted(-1)) && !allowed(until), "{until:?}");
    }
}
