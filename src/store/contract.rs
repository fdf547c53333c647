//! What every store has to do, as tests: `holds_for!` runs them on one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Arc;
use std::time::Duration;

use crate::model::evidence::{Evidence, Identity};
use crate::model::session::{Lineage, Refresh, Secret, Session, SessionKey, Tokens};
use crate::model::time::Timestamp;
use crate::store::{
    ApprovalKey, ApprovalPut, Expect, KeptApproval, Live, Mark, Most, Owner, Parked, ParkedAs,
    ParkedKey, Put, Room, Stock, Store, Version,
};

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_000_000);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Tests in the calling module; the closure makes a fresh store and what it needs to live.
macro_rules! holds_for {
    ($fresh:expr) => {
        $crate::store::contract::holds_for!($fresh;
            a_session_is_created_once_and_updated_by_version,
            nothing_revives_a_deleted_session,
            one_gets_what_many_take,
            indexes_follow_the_sessions,
            an_expired_entry_is_absent_for_reads_and_writes,
            an_update_keeps_the_later_time_of_use,
            marks_keep_the_later_time_and_end,
            a_mark_is_set_once,
            pages_show_all_in_order,
            what_is_parked_is_put_once_and_taken_once,
            parked_requests_end_with_their_owners_and_their_time,
            there_is_room_for_so_much_and_nobody_is_pushed_out,
            an_approval_is_changed_by_whoever_saw_it_last,
            of_many_changes_at_once_one_is_made,
            one_stands_alone_until_it_gives_the_place_back,
            approvals_are_found_by_whose_they_are_now,
            approvals_end_with_their_time_and_take_so_much_room,
        );
    };
    ($fresh:expr; $($name:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let fresh = $fresh;
            let (store, _needs) = fresh().await;
            $crate::store::contract::$name(&store).await;
        })*
    };
}

pub(super) use holds_for;

pub(super) fn key(number: u8) -> SessionKey {
    SessionKey([number; 32])
}

pub(super) fn session(sub: &str, sid: &str) -> Session {
    Session {
        lineage: Lineage("L".to_owned()),
        origin: "https://erp.example.com".to_owned(),
        client: "stepgate".to_owned(),
        identity: Identity {
            iss: "https://sso.example.com".to_owned(),
            sub: sub.to_owned(),
            sid: Some(sid.to_owned()),
            ..Identity::default()
        },
        evidence: Evidence::default(),
        tokens: Tokens {
            id: Secret::new("id"),
            refresh: None,
            access_expires: None,
        },
        refresh: Refresh::default(),
        kc_idp_hint: None,
        created: NOW,
        last_seen: NOW,
        app_cookies: Vec::new(),
        finished: Vec::new(),
        successor: None,
    }
}

pub(super) fn sid(sid: &str) -> Owner {
    Owner::sid("https://sso.example.com", "stepgate", sid)
}

pub(super) fn sub(sub: &str) -> Owner {
    Owner::sub("https://sso.example.com", "stepgate", sub)
}

pub(super) async fn put(store: &dyn Store, number: u8, session: Session, expect: Expect) -> Put {
    let key = key(number);
    let put = store.put(&key, session, NOW.plus(HOUR), expect, NOW);
    put.await.unwrap()
}

pub(super) async fn created(store: &dyn Store, number: u8, session: Session) -> Arc<Live> {
    match put(store, number, session, Expect::Absent).await {
        Put::Done(live) => live,
        Put::Conflict(_) => panic!("there already"),
    }
}

pub(super) async fn get(store: &dyn Store, number: u8) -> Option<Arc<Live>> {
    store.get(&key(number), NOW).await.unwrap()
}

async fn owned(store: &dyn Store, owner: Owner) -> Vec<SessionKey> {
    let mut keys = store.by_index(&owner).await.unwrap();
    keys.sort();
    keys
}

pub(super) async fn a_session_is_created_once_and_updated_by_version(store: &dyn Store) {
    let first = created(store, 1, session("alice", "s1")).await;
    let again = put(store, 1, session("mallory", "s2"), Expect::Absent).await;
    assert!(matches!(again, Put::Conflict(Some(_))));
    let mut changed = first.session.clone();
    changed.kc_idp_hint = Some("partner".to_owned());
    let Put::Done(second) = put(store, 1, changed, Expect::Version(first.version)).await else {
        panic!("the version was right");
    };
    assert!(second.version > first.version);
    let late = first.session.clone();
    let Put::Conflict(Some(current)) = put(store, 1, late, Expect::Version(first.version)).await
    else {
        panic!("the version was old");
    };
    assert_eq!(current.version, second.version);
    assert_eq!(
        get(store, 1).await.unwrap().session.kc_idp_hint,
        second.session.kc_idp_hint
    );
}

pub(super) async fn nothing_revives_a_deleted_session(store: &dyn Store) {
    let live = created(store, 1, session("alice", "s1")).await;
    assert!(store.delete(&key(1)).await.unwrap());
    assert!(!store.delete(&key(1)).await.unwrap());
    let expect = Expect::Version(live.version);
    let late = put(store, 1, live.session.clone(), expect).await;
    assert!(matches!(late, Put::Conflict(None)));
    assert!(store.near(&key(1), NOW).is_none());
    assert!(get(store, 1).await.is_none());
    assert!(owned(store, sid("s1")).await.is_empty());
    assert!(owned(store, sub("alice")).await.is_empty());
}

pub(super) async fn one_gets_what_many_take(store: &dyn Store) {
    created(store, 1, session("alice", "s1")).await;
    let key = key(1);
    let takes = (0..8).map(|_| store.take(&key, NOW));
    let got = futures_util::future::join_all(takes).await;
    let got = got
        .into_iter()
        .filter(|got| got.as_ref().unwrap().is_some());
    assert_eq!(got.count(), 1);
}

pub(super) async fn indexes_follow_the_sessions(store: &dyn Store) {
    created(store, 1, session("alice", "s1")).await;
    let second = created(store, 2, session("alice", "s2")).await;
    created(store, 3, session("bob", "s3")).await;
    assert_eq!(owned(store, sub("alice")).await, [key(1), key(2)]);
    assert_eq!(owned(store, sid("s2")).await, [key(2)]);
    for other in [
        Owner::sub("https://other", "stepgate", "alice"),
        Owner::sid("https://sso.example.com", "other", "s1"),
    ] {
        assert!(owned(store, other).await.is_empty());
    }

    // The same user came back with a new session at the provider.
    let mut moved = second.session.clone();
    moved.identity.sid = Some("s4".to_owned());
    put(store, 2, moved, Expect::Version(second.version)).await;
    assert!(owned(store, sid("s2")).await.is_empty());
    assert_eq!(owned(store, sid("s4")).await, [key(2)]);
    assert_eq!(owned(store, sub("alice")).await, [key(1), key(2)]);
}

pub(super) async fn an_expired_entry_is_absent_for_reads_and_writes(store: &dyn Store) {
    let live = created(store, 1, session("alice", "s1")).await;
    let later = NOW.plus(HOUR);
    let just = later.minus(Duration::from_secs(1));
    assert!(store.get(&key(1), just).await.unwrap().is_some());
    assert!(store.near(&key(1), later).is_none());
    assert!(store.get(&key(1), later).await.unwrap().is_none());
    let (expect, expires) = (Expect::Version(live.version), later.plus(HOUR));
    let key = key(1);
    let late = store.put(&key, live.session.clone(), expires, expect, later);
    assert!(matches!(late.await.unwrap(), Put::Conflict(None)));
    assert!(store.take(&key, later).await.unwrap().is_none());
}

pub(super) async fn an_update_keeps_the_later_time_of_use(store: &dyn Store) {
    let live = created(store, 1, session("alice", "s1")).await;
    live.touch(NOW.plus(Duration::from_secs(3)));
    assert_eq!(live.last_seen(), NOW, "coarse");
    live.touch(NOW.plus(Duration::from_secs(60)));
    assert_eq!(live.last_seen(), NOW.plus(Duration::from_secs(60)));
    let expect = Expect::Version(live.version);
    let Put::Done(next) = put(store, 1, live.session.clone(), expect).await else {
        panic!("the version was right");
    };
    assert_eq!(next.last_seen(), NOW.plus(Duration::from_secs(60)));
}

pub(super) async fn marks_keep_the_later_time_and_end(store: &dyn Store) {
    let mark = Mark::logged_out(sid("s1"));
    assert_eq!(store.marked(&mark, NOW).await, Ok(None));
    let earlier = NOW.minus(Duration::from_secs(5));
    let set = store.mark(&mark, NOW, NOW.plus(HOUR), NOW);
    set.await.unwrap();
    store.mark(&mark, earlier, NOW, NOW).await.unwrap();
    assert_eq!(store.marked(&mark, NOW).await, Ok(Some(NOW)));
    assert_eq!(store.marked(&mark, NOW.plus(HOUR)).await, Ok(None));
    let other = Mark::logged_out(sub("s1"));
    assert_eq!(store.marked(&other, NOW).await, Ok(None), "a sub is no sid");
}

pub(super) async fn a_mark_is_set_once(store: &dyn Store) {
    let mark = Mark::used_flow("f1");
    let sets = (0..8).map(|_| store.once(&mark, NOW.plus(HOUR), NOW));
    let first = futures_util::future::join_all(sets).await;
    let first = first.into_iter().filter(|first| *first == Ok(true));
    assert_eq!(first.count(), 1);
    let later = NOW.plus(HOUR);
    assert_eq!(store.once(&mark, later.plus(HOUR), later).await, Ok(true));
}

pub(super) async fn pages_show_all_in_order(store: &dyn Store) {
    for number in [4, 2, 5, 1, 3] {
        created(store, number, session("alice", "s1")).await;
    }
    store.delete(&key(3)).await.unwrap();
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(after, 3, NOW).await.unwrap();
        assert!(page.len() <= 3);
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        assert!(
            page.iter()
                .all(|(_, live)| live.session.identity.sub == "alice")
        );
        shown.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(shown, [key(1), key(2), key(4), key(5)]);
    assert!(
        store
            .page(None, 3, NOW.plus(HOUR))
            .await
            .unwrap()
            .is_empty()
    );
}

const ROOMY: Room = Room {
    all: 1 << 20,
    share: 1 << 20,
    requests: 100,
};

fn parked(sealed: &[u8], owners: &[Owner]) -> Parked {
    Parked {
        sealed: sealed.to_vec(),
        owners: owners.to_vec(),
        expires: NOW.plus(HOUR),
    }
}

async fn park(store: &dyn Store, number: u8, parked: Parked, room: Room) -> ParkedAs {
    let key = ParkedKey([number; 32]);
    store.park(&key, parked, room, NOW).await.unwrap()
}

async fn look(store: &dyn Store, number: u8, at: Timestamp) -> Option<Vec<u8>> {
    store.parked(&ParkedKey([number; 32]), at).await.unwrap()
}

pub(super) async fn what_is_parked_is_put_once_and_taken_once(store: &dyn Store) {
    let form = parked(b"form", &[sub("alice"), sid("s1")]);
    assert_eq!(park(store, 1, form, ROOMY).await, ParkedAs::Kept);
    let other = parked(b"other", &[sub("mallory")]);
    assert_eq!(park(store, 1, other, ROOMY).await, ParkedAs::Taken);
    assert_eq!(look(store, 1, NOW).await.as_deref(), Some(&b"form"[..]));
    assert_eq!(look(store, 2, NOW).await, None);
    let key = ParkedKey([1; 32]);
    let takes = (0..8).map(|_| store.unpark(&key, NOW));
    let got = futures_util::future::join_all(takes).await;
    let got: Vec<_> = got.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(got, [b"form".to_vec()]);
    assert_eq!(look(store, 1, NOW).await, None);
    assert_eq!(store.stock(), Stock::default());
    // What could not be sent after all is put back.
    let again = parked(b"form", &[sub("alice")]);
    assert_eq!(park(store, 1, again, ROOMY).await, ParkedAs::Kept);
}

pub(super) async fn parked_requests_end_with_their_owners_and_their_time(store: &dyn Store) {
    let lineage = Owner::lineage(&Lineage("L".to_owned()));
    park(store, 1, parked(b"1", &[sub("alice"), sid("s1")]), ROOMY).await;
    park(store, 2, parked(b"2", &[sub("alice"), lineage]), ROOMY).await;
    park(store, 3, parked(b"3", &[sub("bob"), sid("s3")]), ROOMY).await;
    assert_eq!(store.drop_parked(&sid("s2")).await, Ok(0));
    assert_eq!(store.drop_parked(&lineage).await, Ok(1));
    assert!(look(store, 1, NOW).await.is_some());
    assert_eq!(look(store, 2, NOW).await, None);
    assert_eq!(store.drop_parked(&sub("alice")).await, Ok(1));
    assert_eq!(look(store, 1, NOW).await, None);
    assert_eq!(store.stock().requests, 1);

    let later = NOW.plus(HOUR);
    let just = later.minus(Duration::from_secs(1));
    assert!(look(store, 3, just).await.is_some());
    assert_eq!(look(store, 3, later).await, None);
    let key = ParkedKey([3; 32]);
    assert_eq!(store.unpark(&key, later).await, Ok(None));
    assert_eq!(store.drop_parked(&sub("bob")).await, Ok(0));
    // What a session is found by is another thing.
    assert!(owned(store, sub("bob")).await.is_empty());
}

pub(super) async fn there_is_room_for_so_much_and_nobody_is_pushed_out(store: &dyn Store) {
    let room = Room {
        all: 10_000,
        share: 4_000,
        requests: 3,
    };
    let of = |user: &str, bytes: usize| parked(&vec![0; bytes], &[sub(user)]);
    assert_eq!(
        park(store, 1, of("alice", 3_500), room).await,
        ParkedAs::Kept
    );
    let more = park(store, 2, of("alice", 1_000), room).await;
    assert_eq!(more, ParkedAs::Crowded, "bytes of one user");
    assert_eq!(park(store, 3, of("bob", 3_500), room).await, ParkedAs::Kept);
    assert_eq!(
        park(store, 4, of("carol", 3_000), room).await,
        ParkedAs::Full
    );
    for number in 5..8 {
        let small = park(store, number, of("dave", 10), room).await;
        assert_eq!(small, ParkedAs::Kept);
    }
    let fourth = park(store, 8, of("dave", 10), room).await;
    assert_eq!(fourth, ParkedAs::Crowded, "requests of one user");
    for number in [1, 3, 5, 6, 7] {
        assert!(look(store, number, NOW).await.is_some(), "{number}");
    }
    let stock = store.stock();
    assert_eq!(stock.requests, 5);
    assert!((7_030..=10_000).contains(&stock.bytes), "{stock:?}");
    // What is over takes no room.
    let later = NOW.plus(HOUR);
    let mut form = of("carol", 3_000);
    form.expires = later.plus(HOUR);
    let key = ParkedKey([4; 32]);
    assert_eq!(
        store.park(&key, form, room, later).await,
        Ok(ParkedAs::Kept)
    );
    assert_eq!(store.stock().requests, 1);
}

const ENOUGH: Most = Most {
    all: 100,
    share: 100,
};

pub(super) fn approval(sealed: &str, owners: &[Owner]) -> KeptApproval {
    KeptApproval {
        sealed: sealed.into(),
        alone: None,
        owners: owners.to_vec(),
        expires: NOW.plus(HOUR),
    }
}

pub(super) async fn put_approval(
    store: &dyn Store,
    number: u8,
    kept: KeptApproval,
    expect: Expect,
) -> ApprovalPut {
    let key = ApprovalKey([number; 32]);
    let put = store.put_approval(&key, kept, expect, ENOUGH, NOW);
    put.await.unwrap()
}

pub(super) async fn approval_at(store: &dyn Store, number: u8, at: Timestamp) -> Option<String> {
    let found = store.approval(&ApprovalKey([number; 32]), at).await;
    found
        .unwrap()
        .map(|(_, sealed)| String::from_utf8(sealed).unwrap())
}

async fn approvals_of(store: &dyn Store, owner: Owner, at: Timestamp) -> Vec<u8> {
    let keys = store.approvals_of(&owner, at).await.unwrap();
    let mut numbers: Vec<_> = keys.iter().map(|key| key.0[0]).collect();
    numbers.sort_unstable();
    numbers
}

const FIRST: ApprovalPut = ApprovalPut::Done(Version(1));

fn asking(who: &str) -> Owner {
    Owner::asking("https://sso.example.com", "stepgate", who, "erp/release")
}

pub(super) async fn an_approval_is_changed_by_whoever_saw_it_last(store: &dyn Store) {
    let put = |sealed, expect| put_approval(store, 1, approval(sealed, &[sub("alice")]), expect);
    let early = put("pending", Expect::Version(Version(1))).await;
    assert_eq!(early, ApprovalPut::Conflict, "only a creation makes one");
    assert_eq!(put("pending", Expect::Absent).await, FIRST);
    assert_eq!(put("mine", Expect::Absent).await, ApprovalPut::Conflict);
    let approved = put("approved", Expect::Version(Version(1))).await;
    assert_eq!(approved, ApprovalPut::Done(Version(2)));
    let late = put("denied", Expect::Version(Version(1))).await;
    assert_eq!(late, ApprovalPut::Conflict);
    let early = put("denied", Expect::Version(Version(3))).await;
    assert_eq!(early, ApprovalPut::Conflict);
    let found = store.approval(&ApprovalKey([1; 32]), NOW).await;
    assert_eq!(found, Ok(Some((Version(2), b"approved".to_vec()))));
    assert_eq!(approval_at(store, 2, NOW).await, None);
}

pub(super) async fn of_many_changes_at_once_one_is_made(store: &dyn Store) {
    let creations = (0..64).map(|_| {
        let kept = approval("pending", &[sub("alice")]);
        put_approval(store, 1, kept, Expect::Absent)
    });
    let made = futures_util::future::join_all(creations).await;
    let made = made.into_iter().filter(|put| *put == FIRST);
    assert_eq!(made.count(), 1);
    let changes = (0..64).map(|number| async move {
        let sealed = format!("used by {number}");
        let kept = approval(&sealed, &[sub("alice")]);
        let put = put_approval(store, 1, kept, Expect::Version(Version(1))).await;
        (put == ApprovalPut::Done(Version(2))).then_some(sealed)
    });
    let made = futures_util::future::join_all(changes).await;
    let made: Vec<_> = made.into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(approval_at(store, 1, NOW).await, made.first().cloned());
}

pub(super) async fn one_stands_alone_until_it_gives_the_place_back(store: &dyn Store) {
    let alone = |who| KeptApproval {
        alone: Some(asking(who)),
        ..approval("pending", &[sub(who)])
    };
    let creations = (1..=64).map(|number| async move {
        let put = put_approval(store, number, alone("alice"), Expect::Absent).await;
        (number, put)
    });
    let puts = futures_util::future::join_all(creations).await;
    let made: Vec<_> = puts.iter().filter(|(_, put)| *put == FIRST).collect();
    let [(first, _)] = made[..] else {
        panic!("{made:?}");
    };
    let beside = ApprovalPut::Beside(ApprovalKey([*first; 32]));
    assert!(puts.iter().all(|(_, put)| [FIRST, beside].contains(put)));
    let (first, other) = (*first, *first % 64 + 1);
    assert_eq!(approvals_of(store, asking("alice"), NOW).await, [first]);
    let bobs = put_approval(store, 100, alone("bob"), Expect::Absent).await;
    assert_eq!(bobs, FIRST);

    // It is in nobody's way when it changes, and in no other's when it is over.
    let second = put_approval(store, first, alone("alice"), Expect::Version(Version(1))).await;
    assert_eq!(second, ApprovalPut::Done(Version(2)));
    let put = put_approval(store, other, alone("alice"), Expect::Absent).await;
    assert_eq!(put, beside);
    let over = approval("denied", &[sub("alice")]);
    let third = put_approval(store, first, over, Expect::Version(Version(2))).await;
    assert_eq!(third, ApprovalPut::Done(Version(3)));
    let put = put_approval(store, other, alone("alice"), Expect::Absent).await;
    assert_eq!(put, FIRST);
    // Nor does it come back to a place that was taken since.
    let back = put_approval(store, first, alone("alice"), Expect::Version(Version(3))).await;
    assert_eq!(back, ApprovalPut::Beside(ApprovalKey([other; 32])));
    assert_eq!(
        approval_at(store, first, NOW).await.as_deref(),
        Some("denied")
    );
}

pub(super) async fn approvals_are_found_by_whose_they_are_now(store: &dyn Store) {
    let waiting = Owner::waiting("four-eyes");
    let pending = |who| approval("pending", &[sub(who), waiting]);
    put_approval(store, 1, pending("alice"), Expect::Absent).await;
    put_approval(store, 2, pending("alice"), Expect::Absent).await;
    put_approval(store, 3, pending("bob"), Expect::Absent).await;
    assert_eq!(approvals_of(store, waiting, NOW).await, [1, 2, 3]);
    let over = approval("denied", &[sub("alice")]);
    put_approval(store, 2, over, Expect::Version(Version(1))).await;
    assert_eq!(approvals_of(store, waiting, NOW).await, [1, 3]);
    assert_eq!(approvals_of(store, sub("alice"), NOW).await, [1, 2]);
    assert!(
        approvals_of(store, Owner::waiting("six-eyes"), NOW)
            .await
            .is_empty()
    );
    // What a session is found by is another thing, and so is what is parked.
    assert!(owned(store, sub("alice")).await.is_empty());
    assert_eq!(store.drop_parked(&sub("alice")).await, Ok(0));
    assert_eq!(approval_at(store, 1, NOW).await.as_deref(), Some("pending"));
}

pub(super) async fn approvals_end_with_their_time_and_take_so_much_room(store: &dyn Store) {
    let most = Most { all: 5, share: 2 };
    let pending = |who: &str, expires| KeptApproval {
        alone: Some(asking(who)),
        expires,
        ..approval("pending", &[sub(who)])
    };
    let put = async |number, kept, expect, now| {
        let key = ApprovalKey([number; 32]);
        store.put_approval(&key, kept, expect, most, now).await
    };
    let soon = NOW.plus(HOUR);
    let just = soon.minus(Duration::from_secs(1));
    let alices = pending("alice", soon);
    assert_eq!(put(1, alices.clone(), Expect::Absent, NOW).await, Ok(FIRST));
    let more = || approval("approved", &[sub("alice")]);
    assert_eq!(put(2, more(), Expect::Absent, NOW).await, Ok(FIRST));
    let third = put(3, more(), Expect::Absent, NOW).await;
    assert_eq!(third, Ok(ApprovalPut::Crowded));
    for number in 4..7 {
        let kept = pending(&format!("user {number}"), soon.plus(HOUR));
        assert_eq!(put(number, kept, Expect::Absent, NOW).await, Ok(FIRST));
    }
    let full = put(7, pending("bob", soon), Expect::Absent, NOW).await;
    assert_eq!(full, Ok(ApprovalPut::Full));
    // What is there goes on, however full it is.
    let version = Expect::Version(Version(1));
    let second = put(2, more(), version, just).await;
    assert_eq!(second, Ok(ApprovalPut::Done(Version(2))));

    assert!(approval_at(store, 1, just).await.is_some());
    assert_eq!(approval_at(store, 1, soon).await, None);
    assert!(approvals_of(store, sub("alice"), soon).await.is_empty());
    assert_eq!(approvals_of(store, sub("user 4"), soon).await, [4]);
    // Whoever saw it in time is late; and it neither takes room nor a place.
    let late = put(1, alices, version, soon).await;
    assert_eq!(late, Ok(ApprovalPut::Conflict));
    let new = pending("alice", soon.plus(HOUR));
    assert_eq!(put(8, new, Expect::Absent, soon).await, Ok(FIRST));
    let new = pending("bob", soon.plus(HOUR));
    assert_eq!(put(9, new, Expect::Absent, soon).await, Ok(FIRST));
}
