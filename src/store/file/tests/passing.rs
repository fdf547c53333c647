//! What goes by time, and what is at hand of it meanwhile.

use super::*;

#[tokio::test]
async fn the_last_use_survives_in_time() {
    let folder = folder();
    let opening = Opening::default();
    let store = opening.open(folder.path()).unwrap();
    let live = created(&store, 1, session("alice", "s1")).await;
    // Not worth a write: less than a twentieth of the idle limit.
    live.touch(opening.at(100));
    // Ten minutes: it is.
    let later = opening.at(600);
    let other = created(&store, 2, session("bob", "s2")).await;
    other.touch(later);
    drop((live, other));
    // The writer's pace is a fortieth of the idle limit; it is not waited for here, the end writes everything.
    store.close().await;
    assert!(store.get(&key(9), NOW).await.is_err(), "closed");
    drop(store);
    let store = opening.open(folder.path()).unwrap();
    assert_eq!(
        get(&store, 1).await.unwrap().last_seen(),
        NOW.plus(Duration::from_secs(100))
    );
    assert_eq!(get(&store, 2).await.unwrap().last_seen(), later);
}

#[tokio::test]
async fn the_last_use_is_written_beside_the_requests() {
    let folder = folder();
    let opening = Opening::default();
    let settings = Settings {
        // A pace of a second.
        idle: Duration::from_secs(40),
        near: 1 << 20,
    };
    let clock = Arc::clone(&opening.clock);
    let store = FileStore::open(
        Folder::take(folder.path()).unwrap(),
        settings,
        Arc::new(Sums(vec![1])),
        clock,
    )
    .unwrap();
    let live = created(&store, 1, session("alice", "s1")).await;
    let later = opening.at(30);
    live.touch(later);
    eventually("the use in the file", async || {
        let image = crashed(&store);
        let after = opening.open(image.path()).unwrap();
        (get(&after, 1).await.unwrap().last_seen() == later).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_over_goes_by_itself() {
    let folder = folder();
    let opening = Opening::default();
    let store = opening.open(folder.path()).unwrap();
    let two_hours = NOW.plus(2 * HOUR);
    let create = async |number: u8, expires| {
        let key = key(number);
        let put = store.put(&key, session("alice", "s1"), expires, Expect::Absent, NOW);
        let Put::Done(live) = put.await.unwrap() else {
            panic!("there already")
        };
        live
    };
    create(1, NOW.plus(Duration::from_secs(600))).await;
    create(2, two_hours).await;
    let used = create(3, two_hours).await;
    let mark = Mark::used_flow("f");
    store
        .once(&mark, NOW.plus(Duration::from_secs(60)), NOW)
        .await
        .unwrap();

    opening.at(601);
    eventually("the first one's end", async || {
        (store.stored() == 2).then_some(())
    })
    .await;
    assert_eq!(
        store.by_index(&sub("alice")).await.unwrap(),
        [key(2), key(3)]
    );
    used.touch(opening.at(3500));
    // The second one has been idle for an hour and a bit.
    opening.at(4000);
    eventually("the second one's end", async || {
        (store.stored() == 1).then_some(())
    })
    .await;
    assert!(store.near(&key(2), NOW).is_none(), "nor is it at hand");
    assert!(store.near(&key(3), NOW).is_some());
    opening.at(7201);
    eventually("the third one's end", async || {
        (store.stored() == 0).then_some(())
    })
    .await;
    let rows = store.shared.disk.read(|transaction| {
        let mut rows = 0;
        for table in transaction.list_tables().map_err(fault)? {
            use redb::ReadableTableMetadata as _;
            let table = transaction.open_untyped_table(table).map_err(fault)?;
            rows += table.len().map_err(fault)?;
        }
        Ok(rows)
    });
    // Of the table that describes the file.
    assert_eq!(rows.unwrap(), 2);
}

/// Many more sessions than there is room at hand, and many readers and writers: nobody ever sees what was before an
/// answered write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_at_hand_is_never_behind() {
    let folder = folder();
    let opening = Opening {
        near: 8 << 10,
        ..Opening::default()
    };
    let store = Arc::new(opening.open(folder.path()).unwrap());
    let tasks: Vec<_> = (0..32_u8)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut version = created(&*store, number, session("alice", "s1"))
                    .await
                    .version;
                for round in 0..20 {
                    let mut next = session("alice", "s1");
                    next.kc_idp_hint = Some(round.to_string());
                    let Put::Done(live) =
                        contract::put(&*store, number, next, Expect::Version(version)).await
                    else {
                        panic!("nobody else writes");
                    };
                    version = live.version;
                    // Others push it out, and bring it back.
                    for other in 0..8 {
                        get(&*store, number.wrapping_add(other * 5) % 32).await;
                    }
                    let read = get(&*store, number).await.unwrap();
                    assert_eq!(read.version, version);
                    assert_eq!(read.session.kc_idp_hint, Some(round.to_string()));
                }
                store.delete(&key(number)).await.unwrap();
                assert!(get(&*store, number).await.is_none());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(store.page(None, 100, NOW).await.unwrap().is_empty());
}
