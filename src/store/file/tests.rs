#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::store::contract::{self, HOUR, NOW, created, get, key, session, sid, sub};
use crate::store::{ApprovalPut, Parked, ParkedAs, ParkedKey, Parking as _, Room, Version};

contract::holds_for!(fresh);

/// A hand-set clock.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// Adds the key's number, and a sum over the place and the text: enough to tell all mistakes of a store.
#[derive(Debug)]
struct Sums(Vec<u64>);

impl Sums {
    fn sum(place: &[&[u8]], text: &[u8]) -> [u8; 32] {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in place.iter().chain([&text]) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().unwrap()
    }
}

impl Sealing for Sums {
    fn seal(&self, place: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = self.0[0].to_be_bytes().to_vec();
        sealed.extend(Self::sum(place, plaintext));
        sealed.extend(plaintext.iter().map(|byte| byte ^ 0x5a));
        sealed
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let id = self.sealed_by(sealed).ok_or(Unopened::Tampered)?;
        if !self.0.contains(&id) {
            return Err(Unopened::UnknownKey);
        }
        let plaintext: Vec<_> = sealed[40..].iter().map(|byte| byte ^ 0x5a).collect();
        if Self::sum(place, &plaintext) != sealed[8..40] {
            return Err(Unopened::Tampered);
        }
        Ok(plaintext)
    }

    fn key_id(&self) -> u64 {
        self.0[0]
    }

    fn sealed_by(&self, sealed: &[u8]) -> Option<u64> {
        (sealed.len() >= 40).then(|| u64::from_be_bytes(sealed[..8].try_into().unwrap()))
    }
}

struct Opening {
    clock: Arc<Hand>,
    keys: Vec<u64>,
    near: u64,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            clock: Arc::new(Hand(AtomicI64::new(NOW.as_unix()))),
            keys: vec![1],
            near: 1 << 20,
        }
    }
}

impl Opening {
    fn open(&self, path: &Path) -> Result<FileStore, OpenError> {
        let settings = Settings {
            idle: HOUR,
            near: self.near,
        };
        let sealing = Arc::new(Sums(self.keys.clone()));
        let clock = Arc::clone(&self.clock);
        FileStore::open(Folder::take(path)?, settings, sealing, clock)
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.clock
            .0
            .store(NOW.as_unix() + seconds, Ordering::SeqCst);
        self.clock.now()
    }
}

async fn fresh() -> (FileStore, TempDir) {
    let folder = folder();
    (open(folder.path()), folder)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> FileStore {
    Opening::default().open(path).unwrap()
}

fn refused(path: &Path) -> OpenError {
    Opening::default().open(path).unwrap_err()
}

/// What a kill -9 would leave: the file as it is now, beside a store that goes on.
fn crashed(store: &FileStore) -> TempDir {
    let image = folder();
    let name = "sessions.redb";
    fs::copy(store.shared.disk.path().join(name), image.path().join(name)).unwrap();
    image
}

fn sessions_file(folder: &TempDir) -> PathBuf {
    folder.path().join("sessions.redb")
}

async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

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

fn form(user: &str) -> Parked {
    Parked {
        sealed: b"form".to_vec(),
        owners: vec![sub(user), sid("s1")],
        expires: NOW.plus(HOUR),
    }
}

const ROOM: Room = Room {
    all: 1 << 20,
    share: 1 << 20,
    requests: 16,
};

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
