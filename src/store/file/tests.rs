//! The store in a file: what holds of every store, and what only a file has to hold.
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

mod crashes;
mod opening;
mod passing;
mod sealed;

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
