#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::model::approval::{ApprovalId, Requester, Terms};
use crate::model::seeded;
use crate::model::session::{Lineage, Secret};

const CREATED: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(CREATED + second)
}

fn person(name: &str) -> Person {
    Person {
        iss: "https://sso.example.com/realms/corp".to_owned(),
        sub: name.to_owned(),
    }
}

fn lineage(name: &str) -> Holder {
    Holder::Session(Lineage(name.to_owned()))
}

fn action(target: &str) -> Action {
    Action {
        origin: "https://erp.example.com".to_owned(),
        route: "erp/release".to_owned(),
        policy: [1; 32],
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: vec![("content-type".to_owned(), Some("text/plain".to_owned()))],
        parameters: Vec::new(),
        body: [2; 32],
    }
}

/// By alice, to be decided within a minute.
fn asked(need: u32, mode: Mode) -> Approval {
    Approval {
        id: ApprovalId("an-id".to_owned()),
        name: "four-eyes".to_owned(),
        requester: Requester {
            person: person("alice"),
            holder: lineage("alice's"),
            name: "Alice".to_owned(),
            address: "192.0.2.7".to_owned(),
            sid: None,
        },
        action: action("/payments/7/release"),
        summary: "Release payment 7".to_owned(),
        reason: None,
        terms: Terms {
            need,
            deny: 1,
            mode,
            by_self: false,
            reason_required: false,
            for_a_while: false,
            redeem_ttl: Duration::from_secs(30),
            escalate_after: None,
            ciba: None,
        },
        named: Vec::new(),
        choices: Vec::new(),
        number: (mode != Mode::ApproveDeny).then(|| Secret::new("4711")),
        tries: tries(mode),
        votes: Vec::new(),
        status: Status::Pending,
        created: at(0),
        expires: at(60),
        escalated: None,
        awaited: None,
    }
}

fn says(
    approval: &Approval,
    who: &str,
    answer: Answer,
    number: Option<&str>,
    second: i64,
) -> Result<Change, Refused> {
    let ballot = Ballot {
        person: &person(who),
        name: who,
        answer,
        reason: None,
        number,
        channel: "app",
        device: (who == "alice").then_some("a phone"),
    };
    vote(approval, &ballot, at(second))
}

fn after(approval: &Approval, who: &str, answer: Answer) -> Approval {
    let change = says(approval, who, answer, Some("4711"), 1).unwrap();
    assert_eq!(change.refused, None);
    change.approval
}

fn is_approved_now(approval: &Approval) -> bool {
    matches!(approval.status, Status::Approved { .. })
}

#[test]
fn as_many_people_as_it_needs() {
    let one = after(&asked(2, Mode::ApproveDeny), "bob", Answer::Yes);
    assert_eq!(one.status, Status::Pending);
    assert_eq!(says(&one, "bob", Answer::Yes, None, 2), Err(Refused::Voted));
    let two = after(&one, "carol", Answer::Yes);
    let until = Status::Approved {
        at: at(1),
        redeem_until: at(31),
    };
    assert_eq!(two.status, until);
    assert_eq!(says(&two, "dave", Answer::No, None, 2), Err(Refused::Over));
}

#[test]
fn one_no_ends_it_and_nothing_brings_it_back() {
    let one = after(&asked(2, Mode::ApproveDeny), "bob", Answer::Yes);
    let denied = after(&one, "carol", Answer::No);
    let why = Denied::No;
    assert_eq!(denied.status, Status::Denied { at: at(1), why });
    for who in ["dave", "erin"] {
        assert_eq!(says(&denied, who, Answer::Yes, None, 2), Err(Refused::Over));
    }
    let two_needed = Approval {
        terms: Terms {
            deny: 2,
            ..asked(1, Mode::ApproveDeny).terms
        },
        ..asked(1, Mode::ApproveDeny)
    };
    let one = after(&two_needed, "bob", Answer::No);
    assert_eq!(one.status, Status::Pending);
    assert!(is_approved_now(&after(&one, "carol", Answer::Yes)));
    assert!(!is_approved_now(&after(&one, "carol", Answer::No)));
}

#[test]
fn who_asks_decides_by_a_device_of_their_own_and_only_where_it_is_theirs() {
    let asked = asked(1, Mode::ApproveDeny);
    for answer in [Answer::Yes, Answer::No] {
        assert_eq!(
            says(&asked, "alice", answer, None, 1),
            Err(Refused::Requester)
        );
    }
    // The same name at another provider is another person.
    let stranger = Person {
        iss: "https://other.example.com".to_owned(),
        sub: "alice".to_owned(),
    };
    let ballot = Ballot {
        person: &stranger,
        name: "Alice",
        answer: Answer::Yes,
        reason: None,
        number: None,
        channel: "app",
        device: None,
    };
    assert!(vote(&asked, &ballot, at(1)).is_ok());
    let reported = after(&asked, "alice", Answer::Report);
    let why = Denied::Reported;
    assert_eq!(reported.status, Status::Denied { at: at(1), why });

    let mut own = asked;
    own.terms.by_self = true;
    assert!(is_approved_now(&after(&own, "alice", Answer::Yes)));
    let no = Status::Denied {
        at: at(1),
        why: Denied::No,
    };
    for (answer, expected) in [
        (Answer::Yes, Err(Refused::NoDevice)),
        (Answer::No, Ok(no)),
        (Answer::Report, Ok(reported.status)),
    ] {
        let ballot = Ballot {
            person: &person("alice"),
            name: "Alice",
            answer,
            reason: None,
            number: None,
            channel: "app",
            device: None,
        };
        let voted = vote(&own, &ballot, at(1));
        assert_eq!(voted.map(|change| change.approval.status), expected);
    }
}

#[test]
fn a_number_is_guessed_as_often_as_the_mode_has_it() {
    for (mode, most) in [(Mode::NumberMatching, 1), (Mode::NumberChallenge, 2)] {
        let mut now = asked(1, mode);
        assert_eq!(
            says(&now, "bob", Answer::Yes, None, 1),
            Err(Refused::NoNumber)
        );
        // Whoever tries: the tries are those of all together.
        for (count, who) in ["bob", "carol"].into_iter().take(most).enumerate() {
            assert_eq!(now.status, Status::Pending);
            let change = says(&now, who, Answer::Yes, Some("0000"), 1).unwrap();
            assert_eq!(change.refused, Some(Refused::WrongNumber));
            assert_eq!(change.approval.tries as usize, most - count - 1);
            now = change.approval;
        }
        let why = Denied::Number;
        assert_eq!(now.status, Status::Denied { at: at(1), why });
        assert_eq!(
            says(&now, "dave", Answer::Yes, Some("4711"), 1),
            Err(Refused::Over)
        );
        assert!(is_approved_now(&after(&asked(1, mode), "bob", Answer::Yes)));
        // A no needs no number.
        let no = says(&asked(1, mode), "bob", Answer::No, None, 1).unwrap();
        assert_eq!(no.refused, None);
        // Lost on the way to the store: nobody knows it.
        let lost = Approval {
            number: None,
            ..asked(1, mode)
        };
        let change = says(&lost, "bob", Answer::Yes, Some(""), 1).unwrap();
        assert_eq!(change.refused, Some(Refused::WrongNumber));
    }
}

#[test]
fn late_is_late() {
    let asked = asked(1, Mode::ApproveDeny);
    assert!(says(&asked, "bob", Answer::Yes, None, 59).is_ok());
    assert_eq!(
        says(&asked, "bob", Answer::Yes, None, 60),
        Err(Refused::Expired)
    );
    assert_eq!(expire(&asked, at(59)), None);
    let status = expire(&asked, at(60)).unwrap().approval.status;
    assert_eq!(status, Status::Expired { at: at(60) });
    let approved = after(&asked, "bob", Answer::Yes);
    let redeemed = |second| redeem(&approved, &lineage("alice's"), &approved.action, at(second));
    assert!(redeemed(30).is_ok());
    assert_eq!(redeemed(31), Err(Refused::Expired));
}

#[test]
fn what_is_undecided_goes_on_to_others_once() {
    let mut asked = asked(1, Mode::ApproveDeny);
    assert_eq!(escalate(&asked, at(59)), None);
    assert_eq!(next_change(&asked), Some(at(60)));
    asked.terms.escalate_after = Some(Duration::from_secs(20));
    assert_eq!(next_change(&asked), Some(at(20)));
    assert_eq!(escalate(&asked, at(19)), None);
    let gone_on = escalate(&asked, at(25)).unwrap().approval;
    assert_eq!(gone_on.escalated, Some(at(25)));
    assert_eq!(gone_on.status, Status::Pending);
    assert_eq!(escalate(&gone_on, at(30)), None);
    assert_eq!(next_change(&gone_on), Some(at(60)));
    // Nor when it is decided, or over.
    assert_eq!(escalate(&asked, at(60)), None);
    let approved = after(&asked, "bob", Answer::Yes);
    assert_eq!(escalate(&approved, at(25)), None);
    assert_eq!(next_change(&approved), Some(at(31)));
    let denied = after(&asked, "bob", Answer::No);
    assert_eq!(escalate(&denied, at(25)), None);
    assert_eq!(next_change(&denied), None);
}

#[test]
fn a_reason_is_given_where_it_is_asked_for() {
    let mut asked = asked(1, Mode::ApproveDeny);
    asked.terms.reason_required = true;
    let with = |reason| {
        let ballot = Ballot {
            person: &person("bob"),
            name: "Bob",
            answer: Answer::Yes,
            reason,
            number: None,
            channel: "app",
            device: None,
        };
        vote(&asked, &ballot, at(1))
    };
    assert_eq!(with(None), Err(Refused::NoReason));
    assert_eq!(with(Some(" \n")), Err(Refused::NoReason));
    let vote = &with(Some(" ordered by phone ")).unwrap().approval.votes[0];
    assert_eq!(vote.reason.as_deref(), Some("ordered by phone"));
}

/// Every field of what was shown.
#[test]
fn what_was_approved_is_what_runs() {
    let approved = after(&asked(1, Mode::ApproveDeny), "bob", Answer::Yes);
    let base = &approved.action;
    let others: [fn(&mut Action); 9] = [
        |action| action.origin.push('s'),
        |action| action.route.push('2'),
        |action| action.policy[31] = 0,
        |action| action.method = "PUT".to_owned(),
        |action| action.target.push_str("?b=1"),
        |action| action.headers[0].1 = None,
        |action| action.headers.clear(),
        |action| {
            let encoding = Some("gzip".to_owned());
            action
                .headers
                .push(("content-encoding".to_owned(), encoding));
        },
        |action| action.body[0] = 0,
    ];
    let holder = lineage("alice's");
    for change in others {
        let mut other = base.clone();
        change(&mut other);
        assert_eq!(
            redeem(&approved, &holder, &other, at(2)),
            Err(Refused::OtherAction)
        );
    }
    for holder in [
        lineage("alice's other one"),
        Holder::Bearer {
            azp: None,
            cnf: None,
        },
    ] {
        assert_eq!(
            redeem(&approved, &holder, base, at(2)),
            Err(Refused::OtherHolder)
        );
    }
    let consumed = redeem(&approved, &holder, base, at(2)).unwrap().approval;
    assert_eq!(redeem(&consumed, &holder, base, at(2)), Err(Refused::Over));
    // Nobody else takes back what waits, nor anybody what was agreed to.
    let pending = asked(1, Mode::ApproveDeny);
    let bobs = cancel(&pending, &person("bob"), at(2));
    assert_eq!(bobs, Err(Refused::OtherHolder));
    let hers = cancel(&approved, &person("alice"), at(2));
    assert_eq!(hers, Err(Refused::Over));
    let told = answered(&consumed, 204).unwrap().approval;
    assert_eq!(answered(&told, 500), None);
    assert_eq!(answered(&approved, 204), None);
}

#[test]
fn what_holds_for_a_while_is_never_used_up() {
    let mut asked = asked(1, Mode::ApproveDeny);
    asked.terms.for_a_while = true;
    let approved = after(&asked, "bob", Answer::Yes);
    let holder = lineage("alice's");
    let base = &approved.action;
    let covered = |action: &Action, second| covers(&approved, &holder, action, at(second));
    assert_eq!(covered(base, 2), Ok(()));
    assert_eq!(covered(base, 30), Ok(()));
    assert_eq!(covered(base, 31), Err(Refused::Expired));
    let mut other = base.clone();
    other.parameters.push(("id".to_owned(), "8".to_owned()));
    assert_eq!(covered(&other, 2), Err(Refused::OtherAction));
    let stranger = covers(&approved, &lineage("bob's"), base, at(2));
    assert_eq!(stranger, Err(Refused::OtherHolder));
    assert!(redeem(&approved, &holder, base, at(2)).is_err());
    assert_eq!(covers(&asked, &holder, base, at(2)), Err(Refused::Pending));
}

#[test]
fn what_was_agreed_to_ends_when_somebody_says_that_it_is_wrong() {
    let approved = after(&asked(1, Mode::NumberChallenge), "bob", Answer::Yes);
    // Whoever said yes as well, and whoever asked.
    for who in ["bob", "carol", "alice"] {
        let change = says(&approved, who, Answer::Report, None, 2).unwrap();
        assert_eq!(change.approval.status, revoked(true, at(2)));
        assert_eq!(change.approval.votes.len(), 2);
        for answer in [Answer::Yes, Answer::No, Answer::Report] {
            let again = says(&change.approval, "dave", answer, Some("4711"), 3);
            assert_eq!(again, Err(Refused::Over));
        }
    }
    // What else its holder was given ends by it; what an operator takes back does not.
    let fallen = fall_with_reported(&approved, at(2)).unwrap();
    assert_eq!(fallen.approval.status, revoked(true, at(2)));
    let taken = revoke(&approved, at(2)).unwrap();
    assert_eq!(taken.approval.status, revoked(false, at(2)));
    let late = says(&approved, "carol", Answer::Report, None, 31);
    assert_eq!(late, Err(Refused::Expired));
    let holder = lineage("alice's");
    let used = redeem(&approved, &holder, &approved.action, at(2)).unwrap();
    let late = says(&used.approval, "carol", Answer::Report, None, 3);
    assert_eq!(late, Err(Refused::Over));
}

#[derive(Clone, Debug)]
enum Step {
    Vote(usize, Answer, Option<&'static str>),
    Cancel(bool),
    Revoke,
    Redeem(bool),
    Expire,
    Answered,
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![Just(Answer::Yes), Just(Answer::No), Just(Answer::Report)];
    let number = prop_oneof![Just(None), Just(Some("4711")), Just(Some("0000"))];
    let step = prop_oneof![
        6 => (0..5_usize, answer, number).prop_map(|(who, answer, number)| Step::Vote(who, answer, number)),
        1 => any::<bool>().prop_map(Step::Cancel),
        1 => Just(Step::Revoke),
        2 => any::<bool>().prop_map(Step::Redeem),
        1 => Just(Step::Expire),
        1 => Just(Step::Answered),
        2 => (0..40_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..24)
}

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

proptest! {
    #![proptest_config(seeded::cases(2000))]

    /// Whatever happens in whatever order: what is over stays over, one execution at most, and only after enough
    /// different people who are not the requester have said yes, with the number, in time, and none has said no.
    #[test]
    fn nothing_runs_that_was_not_allowed(
        steps in steps(),
        need in 1..3_u32,
        mode in prop_oneof![Just(Mode::ApproveDeny), Just(Mode::NumberMatching), Just(Mode::NumberChallenge)],
        by_self in any::<bool>(),
        for_a_while in any::<bool>(),
    ) {
        let mut now = asked(if by_self { 1 } else { need }, mode);
        now.terms.by_self = by_self;
        now.terms.for_a_while = for_a_while;
        let (mut second, mut executions, mut wrong) = (0, 0, 0);
        let mut yes = HashSet::new();
        let (mut said_no, mut first_change_after_end) = (false, None);
        let holder = lineage("alice's");
        for step in steps {
            let over = !matches!(now.status, Status::Pending | Status::Approved { .. });
            let before = now.clone();
            let change = match &step {
                Step::Wait(seconds) => {
                    second += seconds;
                    continue;
                }
                Step::Vote(who, answer, number) => {
                    let change = says(&now, PEOPLE[*who], *answer, *number, second);
                    if let Ok(change) = &change {
                        let is_taken_back =
                            is_approved_now(&before) && *answer == Answer::Report;
                        prop_assert!(second < 60 || is_taken_back, "a vote after its time");
                        match (change.refused, answer) {
                            (None, Answer::Yes) => {
                                prop_assert!(mode == Mode::ApproveDeny || *number == Some("4711"));
                                prop_assert!(yes.insert(PEOPLE[*who]), "twice");
                                prop_assert!(PEOPLE[*who] != "alice" || by_self);
                            }
                            (None, Answer::No | Answer::Report) => said_no = true,
                            (Some(_), _) => wrong += 1,
                        }
                    }
                    change.ok()
                }
                Step::Cancel(own) => {
                    let who = person(if *own { "alice" } else { "bob" });
                    let change = cancel(&now, &who, at(second)).ok();
                    prop_assert!(*own || change.is_none());
                    change
                }
                Step::Revoke => revoke(&now, at(second)).ok(),
                Step::Redeem(same) => {
                    let target = if *same { "/payments/7/release" } else { "/payments/8/release" };
                    let change = redeem(&now, &holder, &action(target), at(second)).ok();
                    let covered = covers(&now, &holder, &action(target), at(second)).is_ok();
                    prop_assert_eq!(covered, change.is_some() || (covered && for_a_while));
                    executions += u32::from(change.is_some());
                    if covered {
                        prop_assert!(*same && !said_no);
                        prop_assert_eq!(yes.len(), now.terms.need as usize);
                    }
                    change
                }
                Step::Expire => expire(&now, at(second)),
                Step::Answered => answered(&now, 200),
            };
            if let Some(change) = change {
                now = change.approval;
                // Only what the upstream said is written afterwards.
                if over && !matches!(step, Step::Answered) {
                    first_change_after_end = Some(step);
                }
            } else {
                prop_assert_eq!(&before, &now);
            }
        }
        prop_assert!(executions <= u32::from(!for_a_while));
        prop_assert!(wrong <= tries(mode));
        prop_assert!(first_change_after_end.is_none(), "{first_change_after_end:?}");
    }
}

#[test]
fn keycloaks_word_counts_where_it_was_to_be_asked_and_nobody_elses() {
    let word = |sub: &str, answer| Vote {
        person: Person {
            sub: sub.to_owned(),
            ..asked(1, Mode::ApproveDeny).requester.person
        },
        name: sub.to_owned(),
        answer,
        reason: None,
        channel: "ciba:device".to_owned(),
        at: at(1),
    };
    let plain = asked(1, Mode::ApproveDeny);
    let requester = plain.requester.person.sub.clone();
    let refused = confirm(&plain, "device", word(&requester, Answer::Yes), at(1));
    assert_eq!(refused, Err(Refused::Elsewhere));
    let by_device = Approval {
        terms: Terms {
            ciba: Some("device".to_owned()),
            ..plain.terms.clone()
        },
        ..plain
    };
    for who in ["bob", requester.as_str()] {
        let said = says(&by_device, who, Answer::Yes, None, 1);
        assert_eq!(said, Err(Refused::Elsewhere), "{who}");
    }
    let confirmed = |channel, sub: &str, answer, now| {
        confirm(&by_device, channel, word(sub, answer), at(now)).map(|change| change.approval)
    };
    assert_eq!(
        confirmed("other", &requester, Answer::Yes, 1),
        Err(Refused::Elsewhere)
    );
    assert_eq!(
        confirmed("device", "bob", Answer::Yes, 1),
        Err(Refused::OtherHolder)
    );
    let yes = confirmed("device", &requester, Answer::Yes, 1).unwrap();
    assert!(is_approved_now(&yes));
    let again = confirm(&yes, "device", word(&requester, Answer::No), at(2));
    assert_eq!(again, Err(Refused::Over));
    let no = confirmed("device", &requester, Answer::No, 1).unwrap();
    let why = Denied::No;
    assert_eq!(no.status, Status::Denied { at: at(1), why });
    let late = by_device.expires.as_unix() - at(0).as_unix();
    assert_eq!(
        confirmed("device", &requester, Answer::Yes, late),
        Err(Refused::Expired)
    );
    let over = lapse(&by_device, at(1)).unwrap().approval;
    assert_eq!(over.status, Status::Expired { at: at(1) });
    assert_eq!(lapse(&over, at(2)), Err(Refused::Expired));
}

/// By what is kept of it Keycloak's word is asked for: as long as it counts, and no longer.
#[test]
fn what_is_awaited_is_gone_when_nobody_waits_any_more() {
    let awaited = || Awaited {
        request: Secret::new("r-1"),
        ping: None,
        interval: Duration::from_secs(5),
        ends: at(60),
    };
    let plain = asked(1, Mode::ApproveDeny);
    assert_eq!(awaits(&plain, awaited(), at(1)), Err(Refused::Elsewhere));
    let by_device = Approval {
        terms: Terms {
            ciba: Some("device".to_owned()),
            ..plain.terms.clone()
        },
        ..plain
    };
    let waiting = awaits(&by_device, awaited(), at(1)).unwrap().approval;
    assert_eq!(waiting.awaited, Some(awaited()));
    assert_eq!(waiting.status, Status::Pending);
    let late = waiting.expires;
    assert_eq!(awaits(&by_device, awaited(), late), Err(Refused::Expired));
    let requester = &waiting.requester;
    let word = |answer| Vote {
        person: requester.person.clone(),
        name: requester.name.clone(),
        answer,
        reason: Some("a reason".to_owned()),
        channel: "ciba:device".to_owned(),
        at: at(2),
    };
    let over = [
        confirm(&waiting, "device", word(Answer::Yes), at(2)),
        confirm(&waiting, "device", word(Answer::No), at(2)),
        overrule(&waiting, word(Answer::Yes), at(2)),
        cancel(&waiting, &requester.person, at(2)),
        lapse(&waiting, at(2)),
        fall_with_reported(&waiting, at(2)),
        expire(&waiting, late).ok_or(Refused::Pending),
        says(&waiting, &requester.person.sub, Answer::Report, None, 2),
    ];
    for change in over {
        let after = change.unwrap().approval;
        assert_ne!(after.status, Status::Pending);
        assert_eq!(after.awaited, None, "{:?}", after.status);
        assert!(awaits(&after, awaited(), at(2)).is_err());
    }
}
