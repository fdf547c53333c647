#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::store::contract::{self, HOUR, NOW, key, session, sid, sub};

contract::holds_for!(async || (store(), ()));

fn store() -> MemoryStore {
    MemoryStore::new(Capacity::default(), HOUR)
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
fn nothing_personal_shows() {
    let store = store();
    let live = created(&store, 1, session("alice", "s1"));
    assert!(!format!("{:?}", live.subject).contains("alice"));
    assert_eq!(live.subject.to_string().len(), 12);
    assert!(!format!("{:?}", sub("alice")).contains("alice"));
}
