#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::model::evidence::{Evidence, Identity};
use crate::model::session::{Lineage, Refresh, Secret, Tokens};

const NOW: Timestamp = Timestamp::from_unix(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn store() -> MemoryStore {
    MemoryStore::new(Capacity::default(), HOUR)
}

fn key(number: u8) -> SessionKey {
    SessionKey([number; 32])
}

fn session(sub: &str, sid: &str) -> Session {
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

fn sid(sid: &str) -> Owner {
    Owner::sid("https://sso.example.com", "stepgate", sid)
}

fn sub(sub: &str) -> Owner {
    Owner::sub("https://sso.example.com", "stepgate", sub)
}

/// The memory store never waits.
fn ready<T>(future: impl Future<Output = Result<T, Unavailable>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(result) => result.unwrap(),
        std::task::Poll::Pending => panic!("the memory store waited"),
    }
}

fn put(store: &MemoryStore, number: u8, session: Session, expect: Expect) -> Put {
    ready(store.put(&key(number), session, NOW.plus(HOUR), expect, NOW))
}

fn created(store: &MemoryStore, number: u8, session: Session) -> Arc<Live> {
    match put(store, number, session, Expect::Absent) {
        Put::Done(live) => live,
        Put::Conflict(_) => panic!("there already"),
    }
}

#[test]
fn a_session_is_created_once_and_updated_by_version() {
    let store = store();
    let first = created(&store, 1, session("alice", "s1"));
    assert!(matches!(
        put(&store, 1, session("mallory", "s2"), Expect::Absent),
        Put::Conflict(Some(_))
    ));
    let mut changed = first.session.clone();
    changed.kc_idp_hint = Some("partner".to_owned());
    let Put::Done(second) = put(&store, 1, changed, Expect::Version(first.version)) else {
        panic!("the version was right");
    };
    assert!(second.version > first.version);
    let Put::Conflict(Some(current)) = put(
        &store,
        1,
        first.session.clone(),
        Expect::Version(first.version),
    ) else {
        panic!("the version was old");
    };
    assert_eq!(current.version, second.version);
    assert_eq!(
        store.near(&key(1), NOW).unwrap().session.kc_idp_hint,
        second.session.kc_idp_hint
    );
}

#[test]
fn nothing_revives_a_deleted_session() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    assert!(ready(store.delete(&key(1))));
    assert!(!ready(store.delete(&key(1))));
    let late = put(
        &store,
        1,
        live.session.clone(),
        Expect::Version(live.version),
    );
    assert!(matches!(late, Put::Conflict(None)));
    assert!(store.near(&key(1), NOW).is_none());
    assert!(ready(store.by_index(&sid("s1"))).is_empty());
    assert!(ready(store.by_index(&sub("alice"))).is_empty());
}

#[test]
fn deletes_win_over_updates_that_run_at_the_same_time() {
    for _ in 0..200 {
        let store = store();
        let live = created(&store, 1, session("alice", "s1"));
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut live = Arc::clone(&live);
                    start.wait();
                    for _ in 0..20 {
                        match put(
                            &store,
                            1,
                            live.session.clone(),
                            Expect::Version(live.version),
                        ) {
                            Put::Done(next) | Put::Conflict(Some(next)) => live = next,
                            Put::Conflict(None) => return,
                        }
                    }
                });
            }
            scope.spawn(|| {
                start.wait();
                assert!(ready(store.delete(&key(1))));
            });
        });
        assert!(store.near(&key(1), NOW).is_none());
        assert!(ready(store.by_index(&sid("s1"))).is_empty());
    }
}

#[test]
fn of_many_updates_of_one_version_one_wins() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    let wins: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    matches!(
                        put(
                            &store,
                            1,
                            live.session.clone(),
                            Expect::Version(live.version)
                        ),
                        Put::Done(_)
                    )
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!(wins, 1);
}

#[test]
fn of_many_that_take_one_gets_it() {
    let store = store();
    created(&store, 1, session("alice", "s1"));
    let got: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ready(store.take(&key(1), NOW)).is_some()))
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!(got, 1);
}

#[test]
fn indexes_follow_the_sessions() {
    let store = store();
    created(&store, 1, session("alice", "s1"));
    let second = created(&store, 2, session("alice", "s2"));
    created(&store, 3, session("bob", "s3"));
    assert_eq!(ready(store.by_index(&sub("alice"))), [key(1), key(2)]);
    assert_eq!(ready(store.by_index(&sid("s2"))), [key(2)]);
    assert!(ready(store.by_index(&Owner::sub("https://other", "stepgate", "alice"))).is_empty());
    assert!(
        ready(store.by_index(&Owner::sid("https://sso.example.com", "other", "s1"))).is_empty()
    );

    // The same user came back with a new session at the provider.
    let mut moved = second.session.clone();
    moved.identity.sid = Some("s4".to_owned());
    put(&store, 2, moved, Expect::Version(second.version));
    assert!(ready(store.by_index(&sid("s2"))).is_empty());
    assert_eq!(ready(store.by_index(&sid("s4"))), [key(2)]);
    assert_eq!(ready(store.by_index(&sub("alice"))), [key(1), key(2)]);
}

#[test]
fn the_index_holds_only_what_is_there() {
    let store = MemoryStore::new(
        Capacity {
            sessions: 8,
            marks: 8,
        },
        HOUR,
    );
    for number in 0..=200 {
        created(&store, number, session("alice", "s1"));
    }
    store.sessions.run_pending_tasks();
    let indexed = ready(store.by_index(&sub("alice")));
    assert_eq!(indexed.len() as u64, store.sessions.entry_count());
    assert!(indexed.iter().all(|key| store.near(key, NOW).is_some()));
    assert!(
        store.near(&key(200), NOW).is_some(),
        "the newest was let in"
    );
}

#[test]
fn an_expired_entry_is_absent_for_reads_and_writes() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    let later = NOW.plus(HOUR);
    assert!(
        store
            .near(&key(1), later.minus(Duration::from_secs(1)))
            .is_some()
    );
    assert!(store.near(&key(1), later).is_none());
    assert!(ready(store.get(&key(1), later)).is_none());
    let late = ready(store.put(
        &key(1),
        live.session.clone(),
        later.plus(HOUR),
        Expect::Version(live.version),
        later,
    ));
    assert!(matches!(late, Put::Conflict(None)));
    assert!(ready(store.take(&key(1), later)).is_none());
}

#[test]
fn an_update_keeps_the_later_time_of_use() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    live.touch(NOW.plus(Duration::from_secs(3)));
    assert_eq!(live.last_seen(), NOW, "coarse");
    live.touch(NOW.plus(Duration::from_secs(60)));
    assert_eq!(live.last_seen(), NOW.plus(Duration::from_secs(60)));
    let Put::Done(next) = put(
        &store,
        1,
        live.session.clone(),
        Expect::Version(live.version),
    ) else {
        panic!("the version was right");
    };
    assert_eq!(next.last_seen(), NOW.plus(Duration::from_secs(60)));
}

#[test]
fn marks_keep_the_later_time_and_end() {
    let store = store();
    let mark = Mark::logged_out(sid("s1"));
    assert_eq!(ready(store.marked(&mark, NOW)), None);
    let earlier = NOW.minus(Duration::from_secs(5));
    ready(store.mark(&mark, NOW, NOW.plus(HOUR), NOW));
    ready(store.mark(&mark, earlier, NOW, NOW));
    assert_eq!(ready(store.marked(&mark, NOW)), Some(NOW));
    assert_eq!(ready(store.marked(&mark, NOW.plus(HOUR))), None);
    assert_eq!(
        ready(store.marked(&Mark::logged_out(sub("s1")), NOW)),
        None,
        "a sub is no sid"
    );
}

#[test]
fn nothing_personal_shows() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    assert!(!format!("{:?}", live.subject).contains("alice"));
    assert_eq!(live.subject.to_string().len(), 12);
    assert!(!format!("{:?}", sub("alice")).contains("alice"));
}
