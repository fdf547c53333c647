#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::evidence::{Evidence, Identity, LevelEvidence};
use crate::model::requirement::{Conditions, Network};
use crate::model::seeded;
use crate::policy::decision::Shortfall;
use crate::policy::evidence::{Assumed, assumed};
use crate::policy::example::{
    KEY, MFA, NOW, PASSWORD, action, alice, given, holder, ladder, strings,
};

mod approvals;

const OFFICE: &str = "192.0.2.7";

/// `mfa 15m`, `password`, `public`.
fn requirement(text: &str) -> Requirement {
    let mut words = text.split(' ');
    let rank = match words.next().unwrap() {
        "public" => Rank::ANONYMOUS,
        "password" => PASSWORD,
        "mfa" => MFA,
        "key" => KEY,
        "nonsense" => Rank::new(9),
        other => panic!("{other}"),
    };
    Requirement {
        rank,
        max_age: words.next().map(span),
        conditions: Conditions::NONE,
        approval: None,
    }
}

fn span(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    Duration::from_secs(match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        other => panic!("{other}"),
    })
}

/// `mfa 3m` (proven so long ago, and what is below it too), `mfa held`; several joined by `+`, later ones win.
fn evidence(text: &str) -> Evidence {
    let mut evidence = Evidence::default();
    for part in text.split(" + ") {
        let (level, how) = part.split_once(' ').unwrap();
        let rank = requirement(level).rank;
        let how = match how {
            "held" => Assumed::Held,
            age => Assumed::Proven(span(age)),
        };
        for known in assumed(&ladder(), rank, how, NOW).levels {
            evidence.levels.retain(|other| other.level != known.level);
            evidence.levels.push(known);
        }
    }
    evidence
}

fn decided(
    demand: &[Requirement],
    evidence: &Evidence,
    identity: &Identity,
    now: Timestamp,
) -> Decision {
    let caller = Caller { evidence, identity };
    decided_for(demand, Known::Found(caller), now)
}

fn decided_for(demand: &[Requirement], caller: Known<Caller<'_>>, now: Timestamp) -> Decision {
    decided_with(demand, caller, Known::Absent, now)
}

fn decided_with(
    demand: &[Requirement],
    caller: Known<Caller<'_>>,
    grant: Known<Grant<'_>>,
    now: Timestamp,
) -> Decision {
    let facts = Facts {
        caller,
        client: OFFICE.parse().unwrap(),
        preflight: false,
        grant,
        spared: None,
    };
    let demand: Vec<_> = demand.iter().collect();
    decide(&demand, &facts, &ladder(), now)
}

/// With a yes that is good for a minute.
fn allows(
    demand: &[Requirement],
    evidence: &Evidence,
    identity: &Identity,
    now: Timestamp,
) -> bool {
    let (approval, holder, action) = (given(), holder(), action());
    let caller = Known::Found(Caller { evidence, identity });
    let grant = Known::Found(Grant {
        approval: &approval,
        holder: &holder,
        action: &action,
    });
    let decision = decided_with(demand, caller, grant, now);
    matches!(decision, Decision::Allow(_))
}

/// The decision with its reason.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::StepUp(step_up) => {
            let shortfall = match step_up.shortfall {
                Shortfall::AgeUnknown => "age unknown",
                Shortfall::Lapsed => "lapsed",
                Shortfall::Missing => "missing",
                Shortfall::TooOld => "too old",
            };
            format!("step-up, {shortfall}")
        }
        Decision::Approve(approve) => match approve.refused {
            None => format!("approve {}", approve.approval),
            Some(refused) => format!("approve {}, {refused}", approve.approval),
        },
        Decision::Deny(denial) => format!("deny {} {}", denial.condition, denial.wanted.join(",")),
        other => other.name().to_owned(),
    }
}

#[test]
fn levels_and_ages() {
    // demand (several hold together) | caller | decision
    let table = "
        public                  | anonymous              | allow
        public                  | unavailable            | allow
        public + public         | anonymous              | allow
        public + password       | anonymous              | login
        password                | anonymous              | login
        mfa 15m                 | anonymous              | login
        password                | unavailable            | unavailable
        mfa 15m                 | unavailable            | unavailable
        nonsense                | anonymous              | deny policy
        nonsense                | key 0s                 | deny policy
        public 5m               | key 0s                 | deny policy

        password                | password 100h          | allow
        password 8h             | password 8h            | allow
        password 8h             | password 28801s        | step-up, too old
        password                | mfa 1m                 | allow
        password 5m             | mfa 4m                 | allow
        password 5m             | mfa 6m                 | step-up, too old
        password                | mfa 10h                | allow

        mfa                     | password 0s            | step-up, missing
        mfa 15m                 | password 0s            | step-up, missing
        mfa                     | mfa 30m                | allow
        mfa                     | mfa 1801s              | step-up, lapsed
        mfa 15m                 | mfa 15m                | allow
        mfa 15m                 | mfa 901s               | step-up, too old
        mfa 15m                 | mfa 31m                | step-up, lapsed
        mfa                     | key 3m                 | allow
        mfa                     | key 10m                | allow
        mfa 2m                  | key 3m                 | step-up, too old
        key                     | mfa 0s                 | step-up, missing
        key                     | key 6m                 | step-up, lapsed

        mfa                     | mfa held               | allow
        mfa 15m                 | mfa held               | step-up, age unknown
        mfa                     | key held               | allow
        mfa 15m                 | key held               | step-up, age unknown
        mfa 15m                 | mfa 3m + key held      | step-up, age unknown
        password 5m             | mfa held               | allow

        mfa + password 5m       | mfa 6m                 | step-up, too old
        mfa + password 5m       | mfa 4m                 | allow
        mfa + password 5m       | mfa held               | step-up, age unknown
        mfa + key               | mfa 1m                 | step-up, missing
        mfa 15m + mfa 5m        | mfa 10m                | step-up, too old
        mfa + nonsense          | key 0s                 | deny policy
    ";
    for row in table.lines().filter(|line| line.contains('|')) {
        let [demand, caller, expected] = row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        let demand: Vec<_> = demand.split(" + ").map(requirement).collect();
        let decision = match caller {
            "anonymous" => decided_for(&demand, Known::Absent, NOW),
            "unavailable" => decided_for(&demand, Known::Unavailable, NOW),
            known => decided(&demand, &evidence(known), &alice(), NOW),
        };
        assert_eq!(told(&decision).trim_end(), expected, "{row}");
    }
}

#[test]
fn a_demand_of_nothing_is_denied() {
    let decision = decided(&[], &evidence("key 0s"), &alice(), NOW);
    assert_eq!(told(&decision), "deny policy ");
}

#[test]
fn a_permit_tells_what_was_needed_and_what_was_there() {
    let demand = [requirement("password 8h"), requirement("mfa")];
    let Decision::Allow(permit) = decided(&demand, &evidence("key 10m"), &alice(), NOW) else {
        panic!("not allowed");
    };
    assert_eq!(permit.need().rank, MFA);
    assert_eq!(permit.need().max_age, Some(span("8h")));
    assert_eq!(permit.have().rank, MFA);
    assert_eq!(permit.have().age, Some(span("10m")));
    assert!(!permit.is_public());
}

type Edit = fn(&mut Conditions);

#[test]
fn conditions() {
    let table: &[(Edit, &str)] = &[
        (|c| c.groups_any = strings(&["x", "clerks"]), "allow"),
        (
            |c| c.groups_any = strings(&["x", "y"]),
            "deny groups_any x,y",
        ),
        (
            |c| c.groups_any = strings(&["Clerks"]),
            "deny groups_any Clerks",
        ),
        (
            |c| c.groups_any = strings(&["/clerks"]),
            "deny groups_any /clerks",
        ),
        (|c| c.groups_all = strings(&["clerks", "staff"]), "allow"),
        (
            |c| c.groups_all = strings(&["clerks", "x"]),
            "deny groups_all clerks,x",
        ),
        (|c| c.roles_any = strings(&["approver"]), "allow"),
        (
            |c| c.roles_any = strings(&["clerks"]),
            "deny roles_any clerks",
        ),
        (
            |c| c.roles_all = strings(&["approver", "x"]),
            "deny roles_all approver,x",
        ),
        (|c| c.scopes_any = strings(&["x", "payments"]), "allow"),
        (
            |c| c.scopes_any = strings(&["Payments"]),
            "deny scopes_any Payments",
        ),
        (|c| c.scopes_all = strings(&["payments", "openid"]), "allow"),
        (
            |c| c.scopes_all = strings(&["payments", "refunds"]),
            "deny scopes_all payments,refunds",
        ),
        (|c| c.networks_any = networks(&["192.0.2.0/24"]), "allow"),
        (
            |c| c.networks_any = networks(&["10.0.0.0/8", "192.0.2.7/32"]),
            "allow",
        ),
        (
            |c| c.networks_any = networks(&["10.0.0.0/8"]),
            "deny networks_any office",
        ),
        (
            |c| c.networks_any = networks(&["::/0"]),
            "deny networks_any office",
        ),
        (
            |c| c.claims = claim("country", &json!(["de", "at"])),
            "allow",
        ),
        (
            |c| c.claims = claim("country", &json!(["at"])),
            "deny claims country=at",
        ),
        (|c| c.claims = claim("sites", &json!(["ulm"])), "allow"),
        (
            |c| c.claims = claim("sites", &json!(["kiel"])),
            "deny claims sites=kiel",
        ),
        (|c| c.claims = claim("age", &json!([42])), "allow"),
        (
            |c| c.claims = claim("age", &json!(["42"])),
            "deny claims age=42",
        ),
        (
            |c| c.claims = claim("absent", &json!([null])),
            "deny claims absent=null",
        ),
        (
            |c| {
                c.groups_any = strings(&["clerks"]);
                c.roles_any = strings(&["x"]);
            },
            "deny roles_any x",
        ),
    ];
    for (number, (edit, expected)) in table.iter().enumerate() {
        let mut requirement = requirement("password");
        edit(&mut requirement.conditions);
        let decision = decided(&[requirement], &evidence("password 0s"), &alice(), NOW);
        assert_eq!(told(&decision), *expected, "row {number}");
    }
}

/// Nobody is sent for a second factor who would be refused afterwards; and nobody learns of conditions who is unknown.
#[test]
fn conditions_come_after_login_and_before_step_up() {
    let mut demand = requirement("mfa 15m");
    demand.conditions.groups_any = strings(&["x"]);
    let demand = [demand];
    let told_of = |caller| told(&decided_for(&demand, caller, NOW));
    assert_eq!(told_of(Known::Absent), "login");
    assert_eq!(told_of(Known::Unavailable), "unavailable");
    let decision = decided(&demand, &evidence("password 0s"), &alice(), NOW);
    assert_eq!(told(&decision), "deny groups_any x");
}

#[test]
fn conditions_of_every_requirement_hold() {
    let mut first = requirement("password");
    first.conditions.groups_any = strings(&["clerks"]);
    let mut second = requirement("password");
    second.conditions.groups_any = strings(&["leads"]);
    let decision = decided(&[first, second], &evidence("password 0s"), &alice(), NOW);
    assert_eq!(told(&decision), "deny groups_any leads");
}

#[test]
fn an_ipv4_client_is_the_same_on_an_ipv6_socket() {
    let mut demand = requirement("password");
    demand.conditions.networks_any = networks(&["192.0.2.0/24"]);
    let (evidence, identity) = (evidence("password 0s"), alice());
    for (client, expected) in [
        ("::ffff:192.0.2.9", "allow"),
        ("::ffff:198.51.100.1", "deny"),
        ("2001:db8::1", "deny"),
    ] {
        let facts = Facts {
            caller: Known::Found(Caller {
                evidence: &evidence,
                identity: &identity,
            }),
            client: client.parse::<IpAddr>().unwrap(),
            preflight: false,
            grant: Known::Absent,
            spared: None,
        };
        let decision = decide(&[&demand], &facts, &ladder(), NOW);
        assert_eq!(decision.name(), expected, "{client}");
    }
}

/// A preflight names nobody, and may say nothing either: only networks can be told of it.
#[test]
fn a_preflight_asks_as_nobody() {
    let office = Requirement {
        conditions: Conditions {
            networks_any: vec![Network {
                name: "office".to_owned(),
                ranges: vec!["192.0.2.0/24".parse().unwrap()],
            }],
            groups_any: strings(&["clerks"]),
            ..Conditions::NONE
        },
        ..requirement("mfa 15m")
    };
    let unenforceable = requirement("nonsense");
    let rows: [(&[&Requirement], &str, &str); 6] = [
        (&[&requirement("mfa 15m")], OFFICE, "allow"),
        (&[&requirement("public")], OFFICE, "allow"),
        (&[&office], OFFICE, "allow"),
        (&[&requirement("public"), &office], "198.51.100.1", "deny"),
        (&[&unenforceable], OFFICE, "deny"),
        (&[], OFFICE, "deny"),
    ];
    for (demand, client, expected) in rows {
        for caller in [Known::Absent, Known::Unavailable] {
            let facts = Facts {
                caller,
                client: client.parse().unwrap(),
                preflight: true,
                grant: Known::Absent,
                spared: None,
            };
            let decision = decide(demand, &facts, &ladder(), NOW);
            assert_eq!(decision.name(), expected, "{demand:?} {client}");
            if let Decision::Allow(permit) = decision {
                assert!(permit.is_public(), "it would carry an identity");
            }
        }
    }
}

#[test]
fn time_is_the_providers() {
    let demand = [requirement("mfa 15m")];
    for (offset, expected) in [
        (0, "allow"),
        (60, "allow"),
        (301, "step-up, too old"),
        (-600, "allow"),
        (-602, "allow"),
        // Proven more than 2 s from now: no proof.
        (-603, "step-up, missing"),
    ] {
        let mut evidence = evidence("mfa 10m");
        evidence.offset = offset;
        let decision = decided(&demand, &evidence, &alice(), NOW);
        assert_eq!(told(&decision), expected, "{offset}");
    }
}

#[test]
fn evidence_counts_for_the_level_it_was_recorded_for() {
    let mut stale = evidence("mfa 0s");
    for known in &mut stale.levels {
        if known.level == "mfa" {
            known.fingerprint.0.push('x');
        }
    }
    let decision = decided(&[requirement("mfa")], &stale, &alice(), NOW);
    assert_eq!(told(&decision), "step-up, missing");

    // By name, not by rank.
    let mut renamed = evidence("mfa 0s");
    renamed.levels.retain(|known| known.level == "mfa");
    renamed.levels[0].level = "hardware-key".to_owned();
    let decision = decided(&[requirement("key")], &renamed, &alice(), NOW);
    assert_eq!(told(&decision), "step-up, missing");
}

fn networks(ranges: &[&str]) -> Vec<Network> {
    vec![Network {
        name: "office".to_owned(),
        ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
    }]
}

fn claim(name: &str, values: &serde_json::Value) -> Vec<(String, Vec<serde_json::Value>)> {
    vec![(name.to_owned(), values.as_array().unwrap().clone())]
}

fn ages() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(prop_oneof![-2..1000_i64, 1000..20_000_i64])
}

fn some_evidence() -> impl Strategy<Value = Evidence> {
    (proptest::collection::vec((ages(), ages()), 3), -30..30_i64).prop_map(|(ages, offset)| {
        let at = |age: Option<i64>| age.map(|age| NOW.shifted(offset - age));
        Evidence {
            levels: ladder()
                .iter()
                .zip(ages)
                .map(|(level, (proven, held))| LevelEvidence {
                    level: level.name.clone(),
                    fingerprint: level.fingerprint.clone(),
                    proven_at: at(proven),
                    held_since: at(held),
                })
                .collect(),
            offset,
        }
    })
}

fn some_requirement() -> impl Strategy<Value = Requirement> {
    let groups = || {
        proptest::sample::subsequence(vec!["clerks", "staff", "leads"], 0..=2)
            .prop_map(|names| strings(&names))
    };
    (
        0..5_u8,
        proptest::option::of(0..5000_u64),
        groups(),
        groups(),
        proptest::option::weighted(0.3, Just("four-eyes".to_owned())),
    )
        .prop_map(
            |(rank, max_age, groups_any, groups_all, approval)| match rank {
                0 => Requirement::PUBLIC,
                rank => Requirement {
                    rank: Rank::new(rank),
                    max_age: max_age.map(Duration::from_secs),
                    conditions: Conditions {
                        groups_any,
                        groups_all,
                        ..Conditions::NONE
                    },
                    approval,
                },
            },
        )
}

fn some_demand() -> impl Strategy<Value = Vec<Requirement>> {
    proptest::collection::vec(some_requirement(), 1..4)
}

proptest! {
    #![proptest_config(seeded::cases(3000))]

    #[test]
    fn more_age_never_allows(demand in some_demand(), evidence in some_evidence(), later in 0..10_000_i64) {
        if allows(&demand, &evidence, &alice(), NOW.shifted(later)) {
            prop_assert!(allows(&demand, &evidence, &alice(), NOW));
        }
    }

    #[test]
    fn earlier_evidence_never_allows(
        demand in some_demand(), evidence in some_evidence(), level in 0..3_usize, earlier in 0..10_000_i64,
    ) {
        let mut older = evidence.clone();
        let known = &mut older.levels[level];
        known.proven_at = known.proven_at.map(|at| at.shifted(-earlier));
        known.held_since = known.held_since.map(|at| at.shifted(-earlier));
        if allows(&demand, &older, &alice(), NOW) {
            prop_assert!(allows(&demand, &evidence, &alice(), NOW));
        }
    }

    #[test]
    fn fewer_facts_never_allow(
        demand in some_demand(), evidence in some_evidence(), what in 0..6_u8, level in 0..3_usize,
    ) {
        let (mut less, mut identity) = (evidence.clone(), alice());
        match what {
            0 => less.levels[level].proven_at = None,
            1 => less.levels[level].held_since = None,
            2 => drop(less.levels.remove(level)),
            3 => less.levels[level].fingerprint.0.clear(),
            // Proven becomes held.
            4 => {
                let known = &mut less.levels[level];
                known.held_since = known.held_since.or(known.proven_at.take());
            }
            _ => drop(identity.groups.remove(level % 2)),
        }
        if allows(&demand, &less, &identity, NOW) {
            prop_assert!(allows(&demand, &evidence, &alice(), NOW));
        }
    }

    #[test]
    fn no_caller_is_allowed_what_a_caller_is_not(demand in some_demand(), evidence in some_evidence()) {
        for caller in [Known::Absent, Known::Unavailable] {
            if matches!(decided_for(&demand, caller, NOW), Decision::Allow(_)) {
                prop_assert!(allows(&demand, &evidence, &alice(), NOW));
                prop_assert!(demand.iter().all(|one| *one == Requirement::PUBLIC));
            }
        }
    }

    #[test]
    fn a_stricter_requirement_never_allows(
        demand in some_demand(), evidence in some_evidence(), what in 0..7_u8, which in 0..3_usize, by in 1..3000_u64,
    ) {
        let mut stricter = demand.clone();
        let which = which % demand.len();
        let one = &mut stricter[which];
        match what {
            0 => one.rank = Rank::new(one.rank.get() + 1),
            1 => one.max_age = Some(one.max_age.map_or(Duration::from_secs(by), |age| {
                age.saturating_sub(Duration::from_secs(by))
            })),
            2 => one.conditions.groups_all.push("leads".to_owned()),
            3 => one.conditions.groups_any = strings(&["leads"]),
            4 => one.approval = Some("four-eyes".to_owned()),
            5 => one.approval = Some("six-eyes".to_owned()),
            _ => {
                let another = Requirement { rank: Rank::new((by % 5) as u8), ..one.clone() };
                stricter.push(another);
            }
        }
        if allows(&stricter, &evidence, &alice(), NOW) {
            prop_assert!(allows(&demand, &evidence, &alice(), NOW));
        }
    }

    /// Requirements that hold together hold each by itself.
    #[test]
    fn together_is_no_less_than_each(demand in some_demand(), evidence in some_evidence()) {
        if allows(&demand, &evidence, &alice(), NOW) {
            for one in demand {
                prop_assert!(allows(&[one], &evidence, &alice(), NOW));
            }
        }
    }

    #[test]
    fn no_time_overflows(at in any::<i64>(), offset in any::<i64>(), now in any::<i64>(), demand in some_demand()) {
        let mut evidence = evidence("key 0s");
        evidence.offset = offset;
        for known in &mut evidence.levels {
            known.proven_at = Some(Timestamp::from_unix(at));
        }
        let _ = decided(&demand, &evidence, &alice(), Timestamp::from_unix(now));
    }
}
