#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::*;
use crate::config::LogTarget;
use crate::gate::testing::Failing;
use crate::model::approval::{Answer, Denied};
use crate::model::session::Lineage;
use crate::seal::SystemRandom;
use crate::store::{Approvals as _, Capacity, KeptApproval, MemoryStore, Version};
use crate::telemetry::metrics::Format;

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

const ISSUER: &str = "https://sso.example.com/realms/corp";

struct Office {
    store: Arc<MemoryStore>,
    approvals: Approvals,
}

impl Office {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new(Capacity::default(), MINUTE));
        let approvals = over(&store, "a key of thirty-two or more bytes");
        Self { store, approvals }
    }

    async fn asked(&self, need: u32, mode: Mode) -> Approval {
        let mut asking = asking("alice", "/payments/7/release");
        (asking.terms.need, asking.terms.mode) = (need, mode);
        match self.approvals.ask(asking, NOW).await.unwrap() {
            Asked::New(approval) => approval,
            other => panic!("{other:?}"),
        }
    }

    async fn says(
        &self,
        id: &ApprovalId,
        who: &str,
        answer: Answer,
        number: Option<&str>,
        now: Timestamp,
    ) -> Changed {
        let ballot = Ballot {
            person: &person(who),
            name: who,
            answer,
            reason: None,
            number,
            channel: "app",
            device: None,
        };
        self.approvals.vote(id, &ballot, now).await.unwrap()
    }

    async fn status(&self, id: &ApprovalId) -> Status {
        let found = self.approvals.find(id, NOW).await.unwrap();
        found.unwrap().status
    }

    /// Alice's.
    async fn redeem(&self, approval: &Approval, now: Timestamp) -> Changed {
        let (holder, action) = (&approval.requester.holder, &approval.action);
        let redeemed = self.approvals.redeem(&approval.id, holder, action, now);
        redeemed.await.unwrap()
    }
}

pub(super) fn over<S: Store + 'static>(store: &Arc<S>, key: &str) -> Approvals {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let sealer = Sealer::new(&[Secret::new(key)], Arc::clone(&random)).unwrap();
    let store: Arc<dyn Store> = Arc::<S>::clone(store);
    let audit = Audit::open(&LogTarget::Off).unwrap();
    let told = (audit, Arc::new(Metrics::new()));
    Approvals::new(store, Arc::new(sealer), random, ISSUER, "stepgate", told)
}

pub(super) fn person(sub: &str) -> Person {
    Person {
        iss: ISSUER.to_owned(),
        sub: sub.to_owned(),
    }
}

pub(super) fn asking(who: &str, target: &str) -> Asking {
    Asking {
        name: "four-eyes".to_owned(),
        requester: Requester {
            person: person(who),
            holder: Holder::Session(Lineage(format!("{who}'s"))),
            name: who.to_owned(),
            address: "192.0.2.7".to_owned(),
            sid: None,
        },
        action: Action {
            origin: "https://erp.example.com".to_owned(),
            route: "erp/release".to_owned(),
            policy: [1; 32],
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            parameters: Vec::new(),
            body: [2; 32],
        },
        summary: "Release a payment".to_owned(),
        reason: None,
        terms: Terms {
            need: 1,
            deny: 1,
            mode: Mode::ApproveDeny,
            by_self: false,
            reason_required: false,
            for_a_while: false,
            redeem_ttl: MINUTE,
            escalate_after: None,
            ciba: None,
        },
        named: Vec::new(),
        digits: 7,
        request_ttl: MINUTE,
        cooldown: MINUTE,
    }
}

fn done(changed: Changed) -> Approval {
    match changed {
        Changed::Done(approval) => *approval,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_yes_is_used_once_however_many_use_it_at_once() {
    let office = Office::new();
    let approval = office.asked(1, Mode::ApproveDeny).await;
    let early = office.redeem(&approval, NOW).await;
    assert_eq!(early, Changed::Refused(Refused::Pending));
    let yes = office.says(&approval.id, "bob", Answer::Yes, None, NOW);
    done(yes.await);
    let uses = join_all((0..64).map(|_| office.redeem(&approval, NOW))).await;
    let (sent, refused): (Vec<_>, Vec<_>) = uses
        .into_iter()
        .partition(|changed| matches!(changed, Changed::Done(_)));
    assert_eq!(sent.len(), 1);
    assert_eq!(refused.len(), 63);
    assert!(
        refused
            .iter()
            .all(|one| *one == Changed::Refused(Refused::Over))
    );
    // After a crash from here on this is what is known of it: used up, and nothing of what came of it.
    let unknown = Status::Consumed {
        at: NOW,
        upstream: None,
    };
    assert_eq!(office.status(&approval.id).await, unknown);
    let told = |status| office.approvals.answered(&approval.id, status, NOW);
    done(told(201).await.unwrap());
    let again = told(500).await.unwrap();
    assert_eq!(again, Changed::Refused(Refused::Over));
    let known = Status::Consumed {
        at: NOW,
        upstream: Some(201),
    };
    assert_eq!(office.status(&approval.id).await, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_request_is_not_what_was_agreed_to() {
    let office = Office::new();
    let approval = office.asked(1, Mode::ApproveDeny).await;
    done(
        office
            .says(&approval.id, "bob", Answer::Yes, None, NOW)
            .await,
    );
    let mut other = approval.clone();
    other.action.body = [9; 32];
    let changed = office.redeem(&other, NOW).await;
    assert_eq!(changed, Changed::Refused(Refused::OtherAction));
    let mut other = approval.clone();
    other.requester.holder = Holder::Session(Lineage("mallory's".to_owned()));
    let changed = office.redeem(&other, NOW).await;
    assert_eq!(changed, Changed::Refused(Refused::OtherHolder));
    other.id.0.push('x');
    assert_eq!(office.redeem(&other, NOW).await, Changed::Absent);
    done(office.redeem(&approval, NOW).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thing_is_asked_for_at_a_time() {
    let office = Office::new();
    let asked = join_all((0..64).map(|number| {
        let target = format!("/payments/{number}/release");
        office.approvals.ask(asking("alice", &target), NOW)
    }));
    let (new, other): (Vec<_>, Vec<_>) = asked
        .await
        .into_iter()
        .map(Result::unwrap)
        .partition(|asked| matches!(asked, Asked::New(_)));
    let [Asked::New(first)] = &new[..] else {
        panic!("{new:?}");
    };
    assert!(
        other
            .iter()
            .all(|asked| *asked == Asked::Other(first.clone()))
    );
    assert_eq!(
        office
            .approvals
            .pending("four-eyes", NOW)
            .await
            .unwrap()
            .len(),
        1
    );

    // The same once more is the same; from another session of hers it is another.
    let same = office
        .approvals
        .ask(asking("alice", &first.action.target), NOW);
    assert_eq!(same.await, Ok(Asked::Same(first.clone())));
    let mut elsewhere = asking("alice", &first.action.target);
    elsewhere.requester.holder = Holder::Session(Lineage("her phone's".to_owned()));
    let other = office.approvals.ask(elsewhere, NOW).await;
    assert_eq!(other, Ok(Asked::Other(first.clone())));
    // Neither another user's nor another route's is in the way.
    let mut route = asking("alice", "/payments/7/cancel");
    route.action.route = "erp/cancel".to_owned();
    for asking in [route, asking("carol", "/payments/7/release")] {
        let asked = office.approvals.ask(asking, NOW).await.unwrap();
        assert!(matches!(asked, Asked::New(_)), "{asked:?}");
    }

    // When it is over, in whatever way, the next one can be asked for.
    let alice = &first.requester.person;
    done(
        office
            .approvals
            .cancel(&first.id, alice, NOW)
            .await
            .unwrap(),
    );
    let next = asking("alice", "/payments/8/release");
    let Ok(Asked::New(next)) = office.approvals.ask(next, NOW).await else {
        panic!("a cancelled one is in the way");
    };
    done(office.says(&next.id, "bob", Answer::No, None, NOW).await);
    let next = asking("alice", "/payments/9/release");
    let asked = office.approvals.ask(next, NOW).await.unwrap();
    assert!(matches!(asked, Asked::New(_)), "{asked:?}");
    let all = office.approvals.asked_by(&person("alice"), NOW).await;
    assert_eq!(all.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_refused_and_in_nobodys_way() {
    let office = Office::new();
    let (late, later) = (NOW.plus(MINUTE), NOW.plus(2 * MINUTE));
    let first = office.asked(1, Mode::ApproveDeny).await;
    let pending = |now| office.approvals.pending("four-eyes", now);
    assert_eq!(pending(late.shifted(-1)).await.unwrap().len(), 1);
    assert!(pending(late).await.unwrap().is_empty());
    // Nobody has written so; whoever asks does.
    let asked = office.approvals.ask(asking("alice", "/other"), late).await;
    let Ok(Asked::New(second)) = asked else {
        panic!("{asked:?}");
    };
    let expired = Status::Expired { at: late };
    assert_eq!(office.status(&first.id).await, expired);
    // So does whoever votes.
    let vote = office.says(&second.id, "bob", Answer::Yes, None, later);
    assert_eq!(vote.await, Changed::Refused(Refused::Expired));
    assert_eq!(
        office.status(&second.id).await,
        Status::Expired { at: later }
    );
    // A yes that nobody used.
    let asked = office.approvals.ask(asking("alice", "/third"), later).await;
    let Ok(Asked::New(third)) = asked else {
        panic!("{asked:?}");
    };
    done(
        office
            .says(&third.id, "bob", Answer::Yes, None, later)
            .await,
    );
    let used = office.redeem(&third, later.plus(MINUTE)).await;
    assert_eq!(used, Changed::Refused(Refused::Expired));
    // In the end there is nothing to be seen of any of them.
    let end = later.plus(2 * MINUTE).plus(HISTORY);
    assert_eq!(office.approvals.find(&third.id, end).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_counts_once_however_many_decide_at_once() {
    let office = Office::new();
    let approval = office.asked(40, Mode::ApproveDeny).await;
    let votes = (0..80).map(|number| {
        let (office, id) = (&office, &approval.id);
        async move {
            let who = format!("voter {}", number % 40);
            office.says(id, &who, Answer::Yes, None, NOW).await
        }
    });
    let votes = join_all(votes).await;
    let counted = votes.iter().filter(|vote| matches!(vote, Changed::Done(_)));
    assert_eq!(counted.count(), 40);
    let found = office.approvals.find(&approval.id, NOW).await;
    let found = found.unwrap().unwrap();
    let people: BTreeSet<_> = found.votes.iter().map(|vote| &vote.name).collect();
    assert_eq!((found.votes.len(), people.len()), (40, 40));
    assert!(matches!(found.status, Status::Approved { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_guessed_as_often_as_it_may_be_by_all_together() {
    for (mode, most) in [(Mode::NumberChallenge, 2), (Mode::NumberMatching, 1)] {
        let office = Office::new();
        let approval = office.asked(1, mode).await;
        let number = approval.number.as_ref().unwrap().reveal();
        assert_eq!(
            approval.choices.iter().any(|choice| choice == number),
            mode == Mode::NumberMatching
        );
        let wrong = if number == "10" { "11" } else { "10" };
        let guesses = (0..20).map(|guesser| {
            let (office, id) = (&office, &approval.id);
            async move {
                let who = format!("guesser {guesser}");
                office.says(id, &who, Answer::Yes, Some(wrong), NOW).await
            }
        });
        let guesses = join_all(guesses).await;
        let counted = Changed::Refused(Refused::WrongNumber);
        let counted = guesses.iter().filter(|guess| **guess == counted);
        assert_eq!(counted.count(), most, "{mode:?}");
        let denied = Status::Denied {
            at: NOW,
            why: Denied::Number,
        };
        assert_eq!(office.status(&approval.id).await, denied);
        let right = office.says(&approval.id, "bob", Answer::Yes, Some(number), NOW);
        assert_eq!(right.await, Changed::Refused(Refused::Over));
    }
}

/// Whoever has the store's files can neither read one, nor change it, nor put it in another's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_sealed_for_its_place() {
    let office = Office::new();
    let approval = office.asked(1, Mode::NumberChallenge).await;
    let key = key_of(&approval.id);
    let (_, sealed) = office.store.approval(&key, NOW).await.unwrap().unwrap();
    let number = approval.number.as_ref().unwrap().reveal().as_bytes();
    assert!(!sealed.windows(number.len()).any(|window| window == number));
    let moved = ApprovalId("another".to_owned());
    let kept = KeptApproval {
        sealed,
        alone: None,
        owners: Vec::new(),
        expires: NOW.plus(MINUTE),
    };
    let put = office
        .store
        .put_approval(&key_of(&moved), kept, Expect::Absent, MOST, NOW)
        .await;
    assert_eq!(put, Ok(ApprovalPut::Done(Version(1))));
    assert_eq!(office.approvals.find(&moved, NOW).await, Ok(None));
    // By a key that is not configured: nobody knows, which is not "there is none".
    let other = over(&office.store, "another key of thirty-two or more bytes");
    assert_eq!(other.find(&approval.id, NOW).await, Err(Unavailable));
    assert_eq!(other.pending("four-eyes", NOW).await, Err(Unavailable));
}

/// A flood of one user's leaves room for others, and is not put right by time alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_has_so_many_at_the_most() {
    let office = Office::new();
    let ask = async |who, route: u32| {
        let mut asking = asking(who, "/payments/7/release");
        asking.action.route = format!("erp/route-{route}");
        office.approvals.ask(asking, NOW).await.unwrap()
    };
    for route in 0..256 {
        let asked = ask("alice", route).await;
        assert!(matches!(asked, Asked::New(_)), "{asked:?}");
    }
    assert_eq!(ask("alice", 256).await, Asked::Crowded);
    let bobs = ask("bob", 256).await;
    assert!(matches!(bobs, Asked::New(_)), "{bobs:?}");
}

/// Whoever works all day is not stopped by what they are done with, and nobody gets around a no by asking for more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_makes_room_and_nothing_else_does() {
    let office = Office::new();
    let ask = async |route: u32, at: Timestamp| {
        let mut asking = asking("alice", "/payments/7/release");
        asking.action.route = format!("erp/route-{route}");
        asking.terms.for_a_while = route == 2;
        office.approvals.ask(asking, at).await.unwrap()
    };
    let new = async |route: u32, at: Timestamp| match ask(route, at).await {
        Asked::New(approval) => approval,
        other => panic!("{route}: {other:?}"),
    };
    let is_there = async |one: &Approval, at: Timestamp| {
        let found = office.approvals.find(&one.id, at).await;
        found.unwrap().is_some()
    };
    let says = async |one: &Approval, answer| {
        done(office.says(&one.id, "bob", answer, None, NOW).await);
    };
    let (denied, agreed, window) = (new(0, NOW).await, new(1, NOW).await, new(2, NOW).await);
    says(&denied, Answer::No).await;
    says(&agreed, Answer::Yes).await;
    says(&window, Answer::Yes).await;
    let reported = new(3, NOW).await;
    says(&reported, Answer::Yes).await;
    says(&reported, Answer::Report).await;
    let (used, cancelled) = (new(4, NOW.shifted(1)).await, new(5, NOW.shifted(2)).await);
    says(&used, Answer::Yes).await;
    done(office.redeem(&used, NOW).await);
    let alice = &cancelled.requester.person;
    let over = office.approvals.cancel(&cancelled.id, alice, NOW).await;
    done(over.unwrap());
    let soon = NOW.shifted(3);
    for route in 6..256 {
        new(route, soon).await;
    }

    // The oldest that is over goes first.
    new(300, soon).await;
    assert!(!is_there(&used, soon).await && is_there(&cancelled, soon).await);
    // What is forgotten lets nothing pass.
    assert_eq!(office.redeem(&used, soon).await, Changed::Absent);
    let vote = office.says(&used.id, "carol", Answer::Yes, None, soon);
    assert_eq!(vote.await, Changed::Absent);
    new(301, soon).await;
    assert!(!is_there(&cancelled, soon).await);
    // And now there is nothing that could.
    assert_eq!(ask(302, soon).await, Asked::Crowded);
    for one in [&denied, &agreed, &window, &reported] {
        assert!(is_there(one, soon).await, "{one:?}");
    }
    let all = office.approvals.asked_by(&person("alice"), soon).await;
    assert_eq!(all.unwrap().len(), 256);

    // What its time has ended goes before a no does, whose cool-down is over as well; it is written down first.
    let later = NOW.plus(MINUTE);
    for route in [310, 311] {
        new(route, later).await;
        assert!(is_there(&denied, later).await && is_there(&reported, later).await);
    }
    assert!(!is_there(&agreed, later).await && !is_there(&window, later).await);
    for route in [312, 313] {
        new(route, later).await;
    }
    assert!(!is_there(&denied, later).await && !is_there(&reported, later).await);
    assert_eq!(ask(314, later).await, Asked::Crowded);
    let written = office.approvals.metrics.encode(Format::Prometheus).unwrap();
    let expired = "stepgate_approvals_total{approval=\"four-eyes\",outcome=\"expired\"} 2";
    assert!(written.contains(expired), "{written}");
}

/// However many ask at once, each that is told so has been asked for, and no more are kept than may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_made_for_all_who_ask_at_once() {
    let office = Office::new();
    let ask = async |route: u32| {
        let mut asking = asking("alice", "/payments/7/release");
        asking.action.route = format!("erp/route-{route}");
        office.approvals.ask(asking, NOW).await.unwrap()
    };
    for route in 0..256 {
        let Asked::New(one) = ask(route).await else {
            panic!("{route}");
        };
        if route < 16 {
            let alice = &one.requester.person;
            done(office.approvals.cancel(&one.id, alice, NOW).await.unwrap());
        }
    }
    let asked = join_all((300..324).map(ask)).await;
    let (new, crowded): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .partition(|asked| matches!(asked, Asked::New(_)));
    assert_eq!((new.len(), crowded.len()), (16, 8));
    assert!(crowded.iter().all(|asked| *asked == Asked::Crowded));
    let all = office.approvals.asked_by(&person("alice"), NOW).await;
    assert_eq!(all.unwrap().len(), 256);
}

/// Nobody else's, and not what was decided on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_found_by_its_session_and_ended_by_its_user_alone() {
    let office = Office::new();
    let mut asking = asking("alice", "/payments/7/release");
    asking.requester.sid = Some("her sign-in".to_owned());
    let Ok(Asked::New(one)) = office.approvals.ask(asking, NOW).await else {
        panic!("not asked");
    };
    let owners = [
        Owner::lineage(&Lineage("alice's".to_owned())),
        Owner::sid(ISSUER, "stepgate", "her sign-in"),
        Owner::sub(ISSUER, "stepgate", "alice"),
    ];
    for owner in &owners {
        let found = office.approvals.pending_of(owner, NOW).await;
        assert_eq!(found, Ok(vec![one.clone()]));
    }
    let others = [
        Owner::lineage(&Lineage("another of alice's".to_owned())),
        Owner::sid(ISSUER, "stepgate", "another"),
        Owner::sub(ISSUER, "stepgate", "bob"),
    ];
    for owner in &others {
        assert_eq!(office.approvals.pending_of(owner, NOW).await, Ok(vec![]));
    }
    let bobs = office.approvals.cancel(&one.id, &person("bob"), NOW).await;
    assert_eq!(bobs, Ok(Changed::Refused(Refused::OtherHolder)));
    let alice = person("alice");
    let hers = office.approvals.cancel(&one.id, &alice, NOW).await;
    done(hers.unwrap());
    for owner in &owners {
        assert_eq!(office.approvals.pending_of(owner, NOW).await, Ok(vec![]));
    }
}

/// Nobody is told yes or no by a store that is down, and what it held is as it was when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_nobody_agrees_and_nothing_is_used_up() {
    let store = Arc::new(Failing::over(MemoryStore::new(Capacity::default(), MINUTE)));
    let approvals = over(&store, "a key of thirty-two or more bytes");
    let asked = approvals.ask(asking("alice", "/payments/7/release"), NOW);
    let Ok(Asked::New(approval)) = asked.await else {
        panic!("not asked");
    };
    let ballot = Ballot {
        person: &person("bob"),
        name: "bob",
        answer: Answer::Yes,
        reason: None,
        number: None,
        channel: "app",
        device: None,
    };
    let (id, holder, action) = (&approval.id, &approval.requester.holder, &approval.action);
    store.down.store(true, Ordering::SeqCst);
    assert_eq!(approvals.vote(id, &ballot, NOW).await, Err(Unavailable));
    store.down.store(false, Ordering::SeqCst);
    assert_eq!(approvals.find(id, NOW).await, Ok(Some(approval.clone())));
    done(approvals.vote(id, &ballot, NOW).await.unwrap());

    store.down.store(true, Ordering::SeqCst);
    let other = approvals.ask(asking("carol", "/payments/8/release"), NOW);
    assert_eq!(other.await, Err(Unavailable));
    assert_eq!(approvals.find(id, NOW).await, Err(Unavailable));
    assert_eq!(approvals.pending("four-eyes", NOW).await, Err(Unavailable));
    let used = approvals.redeem(id, holder, action, NOW).await;
    assert_eq!(used, Err(Unavailable));
    store.down.store(false, Ordering::SeqCst);
    done(approvals.redeem(id, holder, action, NOW).await.unwrap());
}
