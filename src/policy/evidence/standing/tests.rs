#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::policy::example::{KEY, MFA, NOW, PASSWORD, ladder};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// `password proven 3m, mfa proven 3m left 27m`
fn told(evidence: &Evidence, now: Timestamp) -> String {
    let in_minutes = |span: Duration| format!("{}m", span.as_secs() / 60);
    standings(&ladder(), evidence, now)
        .map(|one| {
            let how = match one.standing {
                Standing::Proven { age } => format!("proven {}", in_minutes(age)),
                Standing::Held => "held".to_owned(),
                Standing::Lapsed => "lapsed".to_owned(),
                Standing::Missing => "missing".to_owned(),
            };
            let left = one.left.map(|left| format!(" left {}", in_minutes(left)));
            format!("{} {how}{}", one.level.name, left.unwrap_or_default())
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn every_level_decays_by_itself() {
    let proven = assumed(&ladder(), KEY, Assumed::Proven(minutes(3)), NOW);
    for (later, expected) in [
        (
            0,
            "password proven 3m, mfa proven 3m left 27m, hardware-key proven 3m left 2m",
        ),
        (
            2,
            "password proven 5m, mfa proven 5m left 25m, hardware-key proven 5m left 0m",
        ),
        (
            3,
            "password proven 6m, mfa proven 6m left 24m, hardware-key lapsed",
        ),
        (28, "password proven 31m, mfa lapsed, hardware-key lapsed"),
    ] {
        assert_eq!(told(&proven, NOW.plus(minutes(later))), expected);
    }
    let held = assumed(&ladder(), MFA, Assumed::Held, NOW);
    assert_eq!(
        told(&held, NOW.plus(minutes(10))),
        "password proven 10m, mfa held left 20m, hardware-key missing"
    );
    assert_eq!(
        told(&Evidence::default(), NOW),
        "password missing, mfa missing, hardware-key missing"
    );
}

#[test]
fn people_are_told_times_of_our_clock() {
    let mut evidence = assumed(&ladder(), MFA, Assumed::Proven(minutes(3)), NOW);
    evidence.offset = 60;
    let ladder = ladder();
    let mfa = standings(&ladder, &evidence, NOW).nth(1).unwrap();
    assert_eq!(mfa.proven_at, Some(NOW.minus(minutes(4))));
    assert_eq!(mfa.standing, Standing::Proven { age: minutes(4) });
    assert_eq!(mfa.left, Some(minutes(26)));
}

#[test]
fn the_highest_level_that_counts() {
    let ladder = ladder();
    let proven = assumed(&ladder, KEY, Assumed::Proven(minutes(3)), NOW);
    for (later, rank, age) in [(0, KEY, 3), (3, MFA, 6), (28, PASSWORD, 31)] {
        let have = have(&ladder, &proven, NOW.plus(minutes(later)));
        assert_eq!((have.rank, have.age), (rank, Some(minutes(age))));
    }
    let held = assumed(&ladder, MFA, Assumed::Held, NOW);
    assert_eq!(have(&ladder, &held, NOW).age, None);
    assert_eq!(have(&ladder, &held, NOW).rank, MFA);
    assert_eq!(have(&ladder, &Evidence::default(), NOW), Have::NOTHING);
}
