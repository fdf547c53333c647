//! What a kill -9 leaves: all that was answered, and nothing that was taken.

use super::*;

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let (store, _folder) = fresh().await;
    created(&store, 1, session("alice", "s1")).await;
    created(&store, 2, session("alice", "s2")).await;
    created(&store, 3, session("bob", "s3")).await;
    let Put::Done(changed) = contract::put(
        &store,
        1,
        session("alice", "s9"),
        Expect::Version(Version(1)),
    )
    .await
    else {
        panic!("the version was right");
    };
    store.delete(&key(2)).await.unwrap();
    store.take(&key(3), NOW).await.unwrap().unwrap();
    let mark = Mark::logged_out(sub("bob"));
    store.mark(&mark, NOW, NOW.plus(HOUR), NOW).await.unwrap();
    let flow = Mark::used_flow("f");
    assert!(store.once(&flow, NOW.plus(HOUR), NOW).await.unwrap());

    let image = crashed(&store);
    let after = open(image.path());
    let found = get(&after, 1).await.unwrap();
    assert_eq!(found.version, changed.version);
    assert_eq!(found.session, changed.session);
    assert!(get(&after, 2).await.is_none());
    assert!(get(&after, 3).await.is_none());
    assert_eq!(after.by_index(&sub("alice")).await.unwrap(), [key(1)]);
    assert_eq!(after.by_index(&sid("s9")).await.unwrap(), [key(1)]);
    assert!(after.by_index(&sid("s1")).await.unwrap().is_empty());
    assert!(after.by_index(&sub("bob")).await.unwrap().is_empty());
    assert_eq!(after.marked(&mark, NOW).await.unwrap(), Some(NOW));
    assert!(!after.once(&flow, NOW.plus(HOUR), NOW).await.unwrap());
}

#[tokio::test]
async fn what_was_parked_survives_a_crash_and_what_was_taken_does_not_come_back() {
    let (store, _folder) = fresh().await;
    let keys = [1, 2, 3].map(|number| ParkedKey([number; 32]));
    for (key, user) in keys.iter().zip(["alice", "alice", "bob"]) {
        let kept = store.park(key, form(user), ROOM, NOW).await;
        assert_eq!(kept, Ok(ParkedAs::Kept));
    }
    let taken = store.unpark(&keys[0], NOW).await;
    assert_eq!(taken, Ok(Some(b"form".to_vec())));
    assert_eq!(store.drop_parked(&sub("bob")).await, Ok(1));

    let image = crashed(&store);
    let after = open(image.path());
    let found: Vec<_> =
        futures_util::future::join_all(keys.iter().map(|key| after.parked(key, NOW))).await;
    assert_eq!(found, [Ok(None), Ok(Some(b"form".to_vec())), Ok(None)]);
    let taken = after.unpark(&keys[1], NOW).await;
    assert_eq!(taken, Ok(Some(b"form".to_vec())));
    assert_eq!(after.stock(), Stock::default());
}

/// A change that was answered is there after a crash; one of which the disk said nothing is made once or not at all.
#[tokio::test]
async fn an_approval_that_was_used_up_stays_so_through_a_crash() {
    let (store, _folder) = fresh().await;
    let made = contract::put_approval(
        &store,
        1,
        contract::approval("approved", &[]),
        Expect::Absent,
    );
    assert_eq!(made.await, ApprovalPut::Done(Version(1)));
    let before = crashed(&store);
    let used = contract::approval("consumed", &[]);
    let used = contract::put_approval(&store, 1, used, Expect::Version(Version(1)));
    assert_eq!(used.await, ApprovalPut::Done(Version(2)));
    let after = crashed(&store);
    for (image, expected, again) in [
        (before, "approved", ApprovalPut::Done(Version(2))),
        (after, "consumed", ApprovalPut::Conflict),
    ] {
        let store = open(image.path());
        let found = contract::approval_at(&store, 1, NOW).await;
        assert_eq!(found.as_deref(), Some(expected));
        let kept = contract::approval("consumed", &[]);
        let used = contract::put_approval(&store, 1, kept, Expect::Version(Version(1)));
        assert_eq!(used.await, again);
    }
}
