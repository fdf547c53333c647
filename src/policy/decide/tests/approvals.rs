//! Routes that need somebody's yes.

use super::*;
use crate::model::approval::{Approval, Holder, Status};
use crate::model::route::Pattern;
use crate::model::session::Lineage;
use crate::model::target::{Relaxations, Target};
use crate::policy::approval;
use crate::policy::approval::summary::Asked;
use crate::policy::approval::when::{self, When};

fn four_eyes(text: &str) -> Requirement {
    Requirement {
        approval: Some("four-eyes".to_owned()),
        ..requirement(text)
    }
}

type Spoil = fn(&mut Approval);

fn with(demand: &[Requirement], caller: &str, approval: &Approval, now: Timestamp) -> Decision {
    let (evidence, identity) = (evidence(caller), alice());
    let caller = Caller {
        evidence: &evidence,
        identity: &identity,
    };
    let (holder, action) = (holder(), action());
    let grant = Grant {
        approval,
        holder: &holder,
        action: &action,
    };
    decided_with(demand, Known::Found(caller), Known::Found(grant), now)
}

/// Nobody is asked for a yes for somebody who may not do it anyway, and the level is judged again with the yes at hand.
#[test]
fn a_yes_is_the_last_thing_that_is_asked_for() {
    let mut clerks = four_eyes("mfa 15m");
    clerks.conditions.groups_any = strings(&["x"]);
    let (evidence, alice) = (evidence("mfa 1m"), alice());
    let caller = Caller {
        evidence: &evidence,
        identity: &alice,
    };
    let rows: [(&Requirement, Known<Caller<'_>>, Known<()>, &str); 6] = [
        (&four_eyes("mfa"), Known::Absent, Known::Absent, "login"),
        (
            &four_eyes("mfa"),
            Known::Unavailable,
            Known::Absent,
            "unavailable",
        ),
        (
            &clerks,
            Known::Found(caller),
            Known::Unavailable,
            "deny groups_any x",
        ),
        (
            &four_eyes("key"),
            Known::Found(caller),
            Known::Unavailable,
            "step-up, missing",
        ),
        (
            &four_eyes("mfa"),
            Known::Found(caller),
            Known::Unavailable,
            "unavailable",
        ),
        (
            &four_eyes("mfa"),
            Known::Found(caller),
            Known::Absent,
            "approve four-eyes",
        ),
    ];
    for (demand, caller, grant, expected) in rows {
        let grant = match grant {
            Known::Unavailable => Known::Unavailable,
            _ => Known::Absent,
        };
        let decision = decided_with(std::slice::from_ref(demand), caller, grant, NOW);
        assert_eq!(told(&decision), expected);
    }
    let old = with(&[four_eyes("mfa 2m")], "mfa 3m", &given(), NOW);
    assert_eq!(told(&old), "step-up, too old");
}

#[test]
fn a_yes_is_for_one_request_of_one_person_and_for_a_while() {
    let rows: &[(&str, Spoil, i64, &str)] = &[
        ("as it was given", |_| {}, 0, "allow"),
        ("in time", |_| {}, 59, "allow"),
        ("late", |_| {}, 60, "it has expired"),
        (
            "not yet given",
            |approval| approval.status = Status::Pending,
            0,
            "nobody has said yes to it yet",
        ),
        (
            "used up",
            |approval| {
                let (holder, action) = (holder(), action());
                *approval = approval::redeem(approval, &holder, &action, NOW)
                    .unwrap()
                    .approval;
            },
            0,
            "it is over",
        ),
        (
            "taken back",
            |approval| *approval = approval::revoke(approval, NOW).unwrap().approval,
            0,
            "it is over",
        ),
        (
            "another approval",
            |approval| approval.name = "six-eyes".to_owned(),
            0,
            "it is for another request",
        ),
        (
            "another policy",
            |approval| approval.action.policy = [9; 32],
            0,
            "it is for another request",
        ),
        (
            "another query",
            |approval| approval.action.target.push_str("?amount=1"),
            0,
            "it is for another request",
        ),
        (
            "another body",
            |approval| approval.action.body = [9; 32],
            0,
            "it is for another request",
        ),
        (
            "another method",
            |approval| approval.action.method = "PUT".to_owned(),
            0,
            "it is for another request",
        ),
        (
            "another content type",
            |approval| approval.action.headers.clear(),
            0,
            "it is for another request",
        ),
        (
            "another session",
            |approval| {
                approval.requester.holder = Holder::Session(Lineage("another".to_owned()));
            },
            0,
            "it is somebody else's",
        ),
        (
            "another user, in what may be the same session",
            |approval| approval.requester.person.sub = "mallory".to_owned(),
            0,
            "it is somebody else's",
        ),
        (
            "the same name at another provider",
            |approval| approval.requester.person.iss.push('x'),
            0,
            "it is somebody else's",
        ),
    ];
    for (what, spoil, later, expected) in rows {
        let mut approval = given();
        spoil(&mut approval);
        let decision = with(
            &[four_eyes("mfa")],
            "mfa 0s",
            &approval,
            NOW.shifted(*later),
        );
        match *expected {
            "allow" => assert_eq!(told(&decision), "allow", "{what}"),
            why => assert_eq!(
                told(&decision),
                format!("approve four-eyes, {why}"),
                "{what}"
            ),
        }
        // Where nobody asks for a yes, none that is odd takes anything away.
        let free = with(&[requirement("mfa")], "mfa 0s", &approval, NOW);
        assert_eq!(told(&free), "allow", "{what}");
    }
}

#[test]
fn the_permit_says_which_yes_is_to_be_used_up() {
    let used = |demand: Requirement| match with(&[demand], "mfa 0s", &given(), NOW) {
        Decision::Allow(permit) => permit.uses().cloned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(used(four_eyes("mfa")), Some(given().id));
    assert_eq!(used(requirement("mfa")), None);
    let mut holds = given();
    holds.terms.for_a_while = true;
    match with(&[four_eyes("mfa")], "mfa 0s", &holds, NOW) {
        Decision::Allow(permit) => {
            assert_eq!(permit.uses(), None);
            assert_eq!(permit.is_within(), Some(&holds.id));
        }
        other => panic!("{other:?}"),
    }
    // All else is judged at each of its requests.
    let weak = with(&[four_eyes("mfa")], "password 0s", &holds, NOW);
    assert!(matches!(weak, Decision::StepUp(_)), "{weak:?}");
}

#[test]
fn requirements_that_hold_together_need_one_yes_of_one_name() {
    let mut six = four_eyes("mfa");
    six.approval = Some("six-eyes".to_owned());
    let four = four_eyes("mfa");
    let of = |demand: &[Requirement]| told(&with(demand, "mfa 0s", &given(), NOW));
    assert_eq!(of(&[four.clone(), four.clone()]), "allow");
    assert_eq!(of(&[requirement("password"), four.clone()]), "allow");
    assert_eq!(of(&[four, six]), "deny policy ");
    // No configuration makes one.
    assert_eq!(of(&[four_eyes("public")]), "deny policy ");
}

proptest! {
    #![proptest_config(seeded::cases(2000))]

    #[test]
    fn less_of_a_yes_never_allows(
        demand in some_demand(), evidence in some_evidence(), what in 0..7_u8, later in 0..200_i64,
    ) {
        let (identity, holder, action) = (alice(), holder(), action());
        let caller = Caller { evidence: &evidence, identity: &identity };
        let mut approval = given();
        match what {
            2 => approval.status = Status::Pending,
            3 => approval.action.body = [9; 32],
            4 => approval.requester.person.sub.push('x'),
            5 => approval.name.push('x'),
            6 => approval.requester.holder = Holder::Session(Lineage("another".to_owned())),
            _ => {}
        }
        let grant = match what {
            0 => Known::Absent,
            1 => Known::Unavailable,
            _ => Known::Found(Grant { approval: &approval, holder: &holder, action: &action }),
        };
        let now = NOW.shifted(later);
        if let Decision::Allow(permit) = decided_with(&demand, Known::Found(caller), grant, now) {
            prop_assert!(demand.iter().all(|one| one.approval.is_none()));
            prop_assert!(permit.uses().is_none());
            prop_assert!(allows(&demand, &evidence, &identity, now));
        }
    }
}

/// Of another approval it spares nothing, and never anything but the approval.
#[test]
fn a_request_of_the_other_half_needs_no_yes() {
    let spared = |name: &str| {
        let other_method = When {
            methods: vec![http::Method::PUT],
            ..When::default()
        };
        let pattern = Pattern::parse("/**").unwrap();
        let target = Target::parse(b"/", Relaxations::NONE).unwrap();
        let asked = Asked {
            pattern: &pattern,
            target: &target,
            content_type: &[],
            content_encoding: &[],
            body: b"",
            requester: &alice(),
        };
        let client = OFFICE.parse().unwrap();
        let post = &http::Method::POST;
        let spared = when::spared(name, &other_method, post, client, &asked, NOW);
        spared.unwrap().unwrap()
    };
    let (evidence, alice) = (evidence("mfa 1m"), alice());
    let decided = |demand: &[Requirement], name: &str| {
        let spared = spared(name);
        let facts = Facts {
            caller: Known::Found(Caller {
                evidence: &evidence,
                identity: &alice,
            }),
            client: OFFICE.parse().unwrap(),
            preflight: false,
            grant: Known::Absent,
            spared: Some(&spared),
        };
        let demand: Vec<_> = demand.iter().collect();
        told(&decide(&demand, &facts, &ladder(), NOW))
    };
    assert_eq!(decided(&[four_eyes("mfa")], "four-eyes"), "allow");
    assert_eq!(
        decided(&[four_eyes("mfa")], "six-eyes"),
        "approve four-eyes"
    );
    assert_eq!(
        decided(&[four_eyes("key")], "four-eyes"),
        "step-up, missing"
    );
    let mut clerks = four_eyes("mfa");
    clerks.conditions.groups_any = strings(&["x"]);
    assert_eq!(decided(&[clerks], "four-eyes"), "deny groups_any x");
    let mut six_eyes = four_eyes("mfa");
    six_eyes.approval = Some("six-eyes".to_owned());
    let both = decided(&[four_eyes("mfa"), six_eyes], "four-eyes");
    assert!(both.starts_with("deny policy"), "{both}");
}
