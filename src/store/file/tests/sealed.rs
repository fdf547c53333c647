//! What is in the file is sealed: for its keys, for its place, and for nobody who reads it.

use super::*;

#[tokio::test]
async fn keys_change_and_nobody_is_signed_out() {
    let folder = folder();
    let with = |keys: &[u64]| {
        Opening {
            keys: keys.to_vec(),
            ..Opening::default()
        }
        .open(folder.path())
    };
    let store = with(&[1]).unwrap();
    created(&store, 1, session("alice", "s1")).await;
    created(&store, 2, session("bob", "s2")).await;
    drop(store);

    // Without the old key nothing is known of the sessions: they are not absent.
    let store = with(&[2]).unwrap();
    assert!(store.get(&key(1), NOW).await.is_err());
    assert!(store.take(&key(1), NOW).await.is_err());
    let key_1 = key(1);
    let late = store.put(
        &key_1,
        session("alice", "s1"),
        NOW.plus(HOUR),
        Expect::Absent,
        NOW,
    );
    assert!(late.await.is_err());
    drop(store);

    let store = with(&[2, 1]).unwrap();
    assert!(get(&store, 1).await.is_some());
    eventually("the sessions sealed anew", async || {
        let image = crashed(&store);
        let sealed_by = Disk::open(Folder::take(image.path()).unwrap())
            .unwrap()
            .write(|tables| tables.meta(tables::SEALED_BY_KEY));
        (sealed_by.unwrap() == Some(2)).then_some(())
    })
    .await;
    drop(store);

    let store = with(&[2]).unwrap();
    for number in [1, 2] {
        assert!(get(&store, number).await.is_some());
    }
}

/// Whoever can write to the file makes no session of it.
#[tokio::test]
async fn a_changed_or_moved_value_is_absent() {
    let (store, folder) = fresh().await;
    created(&store, 1, session("alice", "s1")).await;
    drop(store);
    let change = |to: u8, change: fn(&mut Vec<u8>)| {
        let disk = Disk::open(Folder::take(folder.path()).unwrap()).unwrap();
        disk.write(|tables| {
            let mut record = tables.session(&key(1))?.unwrap();
            change(&mut record);
            tables.replace(&key(to), &record)
        })
        .unwrap();
    };
    change(2, |_| {});
    // Its version, its expiry, its owner, what is sealed.
    change(3, |record| record[8] ^= 1);
    change(4, |record| record[10] ^= 1);
    change(5, |record| record[20] ^= 1);
    change(6, |record| *record.last_mut().unwrap() ^= 1);
    change(7, |record| record.truncate(30));
    change(8, |record| record[0] = 9);
    change(9, Vec::clear);
    let store = open(folder.path());
    assert!(get(&store, 1).await.is_some());
    for number in 2..=9 {
        assert!(get(&store, number).await.is_none(), "{number}");
        assert!(
            store.take(&key(number), NOW).await.unwrap().is_none(),
            "{number}"
        );
    }
}

#[tokio::test]
async fn nothing_readable_is_in_the_file() {
    let (store, folder) = fresh().await;
    let mut secret = session("subject-in-the-clear", "sid-in-the-clear");
    secret.tokens.id = crate::model::session::Secret::new("token-in-the-clear");
    created(&store, 1, secret).await;
    drop(store);
    let file = fs::read(sessions_file(&folder)).unwrap();
    let has = |text: &str| {
        file.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(
        has("https://erp.example.com"),
        "the origin is there, and the search finds it"
    );
    assert!(!has("in-the-clear"));
    assert_eq!(
        fs::metadata(sessions_file(&folder))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}
