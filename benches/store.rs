//! A million sessions in the file: what they take in memory and on the disk, and how long writes, reads, the end of all
//! of them and a start after a kill -9 take. `cargo bench --bench store -- [SESSIONS]`; in `$TMPDIR`, 5 GB for a million.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "benchmark"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stepgate::model::evidence::{Evidence, Identity};
use stepgate::model::session::{Lineage, Refresh, Secret, Session, SessionKey, Tokens};
use stepgate::model::time::{Clock, Timestamp};
use stepgate::seal::{Sealer, SystemRandom, fresh_key, sealed_by, session_key};
use stepgate::store::{Expect, FileStore, Folder, Put, Sealing, Settings, Store, Unopened};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
/// As `[sessions] cache` has it by default.
const NEAR: u64 = 256 << 20;
/// Sign-ins at the same time.
const AT_ONCE: usize = 64;

#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Sealed(Sealer);

impl Sealing for Sealed {
    fn seal(&self, place: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        self.0.seal_bytes("session", place, plaintext)
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let opened = self.0.open_bytes("session", place, sealed);
        opened.map_err(|_| Unopened::Tampered)
    }

    fn key_id(&self) -> u64 {
        self.0.key_id()
    }

    fn sealed_by(&self, sealed: &[u8]) -> Option<u64> {
        sealed_by(sealed)
    }
}

/// As a sign-in at Keycloak makes it: an ID token of 1.1 KB, a refresh token of 0.7 KB, a few claims.
fn session(number: usize) -> Session {
    Session {
        lineage: Lineage(format!("lineage-{number:032}")),
        origin: "https://erp.example.com".to_owned(),
        client: "stepgate".to_owned(),
        identity: Identity {
            iss: "https://sso.example.com/realms/corp".to_owned(),
            sub: format!("00000000-0000-0000-0000-{:012}", number / 3),
            sid: Some(format!("11111111-0000-0000-0000-{number:012}")),
            groups: vec!["clerks".to_owned(), "staff".to_owned()],
            roles: vec!["user".to_owned()],
            scopes: Vec::new(),
            claims: BTreeMap::from([(
                "preferred_username".to_owned(),
                format!("user-{}", number / 3).into(),
            )]),
        },
        evidence: Evidence::default(),
        tokens: Tokens {
            id: Secret::new("i".repeat(1100)),
            refresh: Some(Secret::new("r".repeat(700))),
            access_expires: Some(NOW.plus(HOUR)),
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

fn key(number: usize) -> SessionKey {
    session_key(&number.to_string())
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() >> 10
}

/// Median, 99 of 100, worst.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    format!("{:?} / {:?} / {:?}", at(50), at(99), at(100))
}

async fn put(store: &Arc<FileStore>, numbers: std::ops::Range<usize>) -> Vec<Duration> {
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(numbers.start));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (store, next, end) = (Arc::clone(store), Arc::clone(&next), numbers.end);
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return times;
                    }
                    let begun = Instant::now();
                    let (key, session) = (key(number), session(number));
                    let put = store.put(&key, session, NOW.plus(HOUR), Expect::Absent, NOW);
                    assert!(matches!(put.await, Ok(Put::Done(_))));
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    times
}

fn open(path: &Path, sealing: &Arc<Sealed>, clock: &Arc<Hand>) -> Arc<FileStore> {
    let folder = Folder::take(path).unwrap();
    let settings = Settings {
        idle: 2 * HOUR,
        near: NEAR,
    };
    let clock: Arc<dyn Clock> = Arc::<Hand>::clone(clock);
    let sealing: Arc<dyn Sealing> = Arc::<Sealed>::clone(sealing);
    Arc::new(FileStore::open(folder, settings, sealing, clock).unwrap())
}

fn main() {
    let given = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let sessions: usize = given.unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(sessions));
}

async fn measure(sessions: usize) {
    let place = tempfile::tempdir().unwrap();
    let random = Arc::new(SystemRandom::new());
    let keys = [fresh_key(&*random)];
    let sealing = Arc::new(Sealed(Sealer::new(&keys, random).unwrap()));
    let clock = Arc::new(Hand(AtomicI64::new(NOW.as_unix())));
    println!("resident before            {} MiB", resident());
    let store = open(place.path(), &sealing, &clock);

    let begun = Instant::now();
    let mut written = 0;
    for tenth in 1..=10 {
        let until = sessions * tenth / 10;
        let times = put(&store, written..until).await;
        written = until;
        println!(
            "{written:>9} sign-ins, {AT_ONCE} at once: {} (median / 99 % / worst); {} MiB resident, {} MiB at hand",
            spread(times),
            resident(),
            store.near_bytes() >> 20
        );
    }
    let rate = sessions as f64 / begun.elapsed().as_secs_f64();
    println!("sign-ins a second          {rate:.0}");
    let file = std::fs::metadata(place.path().join("sessions.redb")).unwrap();
    println!("file                       {} MiB", file.len() >> 20);

    let mut times = Vec::new();
    for round in 0..20_000 {
        let key = key(round * 7919 % sessions);
        let begun = Instant::now();
        assert!(store.get(&key, NOW).await.unwrap().is_some());
        times.push(begun.elapsed());
    }
    println!("reads, mostly of the file  {}", spread(times));
    let at_hand = key(19_999 * 7919 % sessions);
    let begun = Instant::now();
    for _ in 0..1_000_000 {
        assert!(store.near(&at_hand, NOW).is_some());
    }
    println!(
        "a read of what is at hand  {:?}",
        begun.elapsed() / 1_000_000
    );

    let image = tempfile::tempdir().unwrap();
    let copy = image.path().join("sessions.redb");
    std::fs::copy(place.path().join("sessions.redb"), &copy).unwrap();
    let begun = Instant::now();
    let after = open(image.path(), &sealing, &clock);
    println!("a start after a kill -9    {:?}", begun.elapsed());
    assert!(after.get(&key(1), NOW).await.unwrap().is_some());
    drop((after, image));

    // All of them are over at once, and people go on signing in.
    let later = NOW.plus(HOUR).plus(Duration::from_secs(1));
    clock.0.store(later.as_unix(), Ordering::Relaxed);
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut number = sessions;
    while store.stored() > times.len() as u64 {
        let written = Instant::now();
        let (key, session) = (key(number), session(number));
        let put = store.put(&key, session, later.plus(HOUR), Expect::Absent, later);
        assert!(matches!(put.await, Ok(Put::Done(_))));
        times.push(written.elapsed());
        number += 1;
    }
    println!("all over, and gone after   {:?}", begun.elapsed());
    println!("sign-ins meanwhile         {}", spread(times));
    println!("resident after             {} MiB", resident());
}
