//! Which files are taken, of which version, and which are refused.

use super::*;

/// A file of the version before there was anything to park.
#[tokio::test]
async fn an_older_file_gets_the_tables_that_it_lacks() {
    let folder = folder();
    let store = open(folder.path());
    created(&store, 1, session("alice", "s1")).await;
    drop(store);
    let file = Folder::take(folder.path()).unwrap().sessions();
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let names: Vec<_> = transaction.list_tables().unwrap().collect();
    let mut deleted = 0;
    for table in names {
        if redb::TableHandle::name(&table).starts_with("parked") {
            deleted += 1;
            transaction.delete_table(table).unwrap();
        }
    }
    assert_eq!(deleted, 4);
    transaction.commit().unwrap();
    drop(database);

    let store = open(folder.path());
    assert!(get(&store, 1).await.is_some());
    let key = ParkedKey([1; 32]);
    assert_eq!(store.parked(&key, NOW).await, Ok(None));
    let kept = store.park(&key, form("alice"), ROOM, NOW).await;
    assert_eq!(kept, Ok(ParkedAs::Kept));
    assert!(store.parked(&key, NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn one_process_at_a_time() {
    let (store, folder) = fresh().await;
    assert!(matches!(refused(folder.path()), OpenError::InUse(_)));
    drop(store);
    open(folder.path());
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = folder();
    let missing = folder.path().join("missing");
    assert!(matches!(refused(&missing), OpenError::NoFolder(_)));
    fs::write(&missing, "a file").unwrap();
    assert!(matches!(refused(&missing), OpenError::NoFolder(_)));

    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    assert!(matches!(refused(folder.path()), OpenError::Exposed(_)));
    mode(0o700);

    fs::write(sessions_file(&folder), "not a database".repeat(1000)).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::NotAStore(_)));
    fs::write(sessions_file(&folder), "short").unwrap();
    let error = refused(folder.path());
    assert!(
        matches!(error, OpenError::NotAStore(_) | OpenError::Corrupt { .. }),
        "{error}"
    );
}

#[test]
fn another_format_is_refused() {
    let folder = folder();
    drop(open(folder.path()));
    let disk = Disk::open(Folder::take(folder.path()).unwrap()).unwrap();
    disk.write(|tables| tables.set_meta(tables::SCHEMA_KEY, tables::SCHEMA + 1))
        .unwrap();
    drop(disk);
    let OpenError::Format { found, .. } = refused(folder.path()) else {
        panic!("a newer format was taken");
    };
    assert_eq!(found, "2");

    fs::remove_file(sessions_file(&folder)).unwrap();
    let other = redb::Database::create(sessions_file(&folder)).unwrap();
    let transaction = other.begin_write().unwrap();
    transaction
        .open_table(redb::TableDefinition::<u64, u64>::new("somebody else's"))
        .unwrap();
    transaction.commit().unwrap();
    drop(other);
    assert!(matches!(refused(folder.path()), OpenError::NotAStore(_)));
}

/// Wherever it is damaged: an error, or every session as it was; never another one, and no end of the process.
#[tokio::test]
async fn a_damaged_file_is_no_pass() {
    let (store, folder) = fresh().await;
    for number in 0..40 {
        created(&store, number, session("alice", "s1")).await;
    }
    drop(store);
    let whole = fs::read(sessions_file(&folder)).unwrap();
    let mut refusals = 0;
    for place in (0..whole.len()).step_by(whole.len() / 97) {
        let mut damaged = whole.clone();
        for byte in damaged[place..].iter_mut().take(64) {
            *byte = !*byte;
        }
        fs::write(sessions_file(&folder), &damaged).unwrap();
        match Opening::default().open(folder.path()) {
            Ok(store) => {
                for number in 0..40 {
                    if let Ok(Some(live)) = store.get(&key(number), NOW).await {
                        assert_eq!(live.session, session("alice", "s1"));
                    }
                }
                assert_ne!(
                    store.get(&key(99), NOW).await.map(|found| found.is_some()),
                    Ok(true)
                );
            }
            Err(error) => {
                assert!(
                    matches!(
                        error,
                        OpenError::Corrupt { .. }
                            | OpenError::NotAStore(_)
                            | OpenError::Format { .. }
                    ),
                    "{error}"
                );
                refusals += 1;
            }
        }
    }
    assert!(refusals > 3, "hardly any damage was seen: {refusals}");
    for length in [0, 1, 4096, whole.len() / 2] {
        fs::write(sessions_file(&folder), &whole[..length]).unwrap();
        match Opening::default().open(folder.path()) {
            Ok(store) => assert_eq!(
                store.get(&key(1), NOW).await.map(|found| found.is_some()),
                Ok(false)
            ),
            Err(error) => assert!(
                matches!(error, OpenError::Corrupt { .. } | OpenError::NotAStore(_)),
                "{length}: {error}"
            ),
        }
    }
}

/// As an earlier stepgate stored it. Who adds a field gives it a default, or raises the schema: an upgrade signs nobody out.
#[test]
fn a_session_of_an_earlier_version_is_read() {
    let stored = r#"{"lineage":"L","origin":"https://erp.example.com","client":"stepgate","identity":{"iss":"https://sso.example.com",
        "sub":"alice","sid":"s1","groups":["clerks"],"roles":["user"],"claims":{"email":"alice@example.com"}},
        "evidence":{"levels":[{"level":"mfa","fingerprint":"f","proven_at":1000000,"held_since":null}],"offset":1},
        "tokens":{"id":"id","refresh":"refresh","access_expires":1000300},
        "refresh":{"tried":null,"maybe_used":false,"failing_since":null},"kc_idp_hint":null,"created":1000000,
        "last_seen":1000000,"app_cookies":[],"finished":[{"route":"erp/payments","at":1000000,"short":false}],
        "successor":null}"#;
    let read: Session = serde_json::from_str(stored).unwrap();
    assert_eq!(read.identity.groups, ["clerks"]);
}

/// A file of a version that knew none.
#[tokio::test]
async fn a_file_without_approvals_is_given_them() {
    let (store, folder) = fresh().await;
    created(&store, 1, session("alice", "s1")).await;
    drop(store);
    let older = redb::Database::open(sessions_file(&folder)).unwrap();
    let transaction = older.begin_write().unwrap();
    assert!(transaction.delete_table(approvals::APPROVALS).unwrap());
    transaction.commit().unwrap();
    drop(older);
    let store = open(folder.path());
    assert_eq!(contract::approval_at(&store, 1, NOW).await, None);
    assert!(get(&store, 1).await.is_some());
}
