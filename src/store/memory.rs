//! Sessions in the memory of this process, bounded; the least recently used go first.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::approvals::Ledger;
use super::hasher::DigestHasher;
use super::parked::Shelf;
use super::{
    ApprovalKey, ApprovalPut, Approvals, Expect, KeptApproval, Live, Mark, Most, Owner, Parked,
    ParkedAs, ParkedKey, Parking, Put, Room, Stock, Store, Unavailable, Version,
};
use crate::model::session::{Session, SessionKey};
use crate::model::time::Timestamp;

/// How much may be kept. What is over is the least recently used; its user logs in again.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub sessions: u64,
    pub marks: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            sessions: 1_000_000,
            marks: 1_000_000,
        }
    }
}

#[derive(Debug)]
pub struct MemoryStore {
    sessions: Cache<SessionKey, Entry, BuildHasherDefault<DigestHasher>>,
    marks: Cache<Mark, Marked>,
    index: Index,
    shelf: Shelf,
    ledger: Ledger,
}

/// The lifetime is for throwing away in time; whether an entry counts is told by its expiry in our clock.
#[derive(Clone, Debug)]
struct Entry {
    live: Arc<Live>,
    lifetime: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Marked {
    at: Timestamp,
    expires: Timestamp,
    lifetime: Duration,
}

/// Off the path of requests: only logins, rotations and ends come here. Each key with the version that it was last
/// written as, for the cache may tell of an eviction after an update has put the entry back.
#[derive(Clone, Debug, Default)]
struct Index(Arc<Mutex<HashMap<Owner, Keys>>>);

type Keys = Vec<(SessionKey, Version)>;

impl MemoryStore {
    /// `idle`: entries that nobody asked for so long are thrown away.
    pub fn new(capacity: Capacity, idle: Duration) -> Self {
        let index = Index::default();
        let sessions = Cache::builder()
            .max_capacity(capacity.sessions)
            // A new session must get in, however seldom it was asked for so far.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(idle)
            .expire_after(Lifetime)
            .eviction_listener({
                let index = index.clone();
                move |key: Arc<SessionKey>, entry: Entry, cause| {
                    if cause != RemovalCause::Replaced {
                        let evicted = entry.live.version;
                        index.remove(&key, Owner::of(&entry.live.session), |v| v <= evicted);
                    }
                }
            })
            .build_with_hasher(BuildHasherDefault::default());
        let marks = Cache::builder()
            .max_capacity(capacity.marks)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetime)
            .build();
        Self {
            sessions,
            marks,
            index,
            shelf: Shelf::default(),
            ledger: Ledger::default(),
        }
    }

    fn remove(&self, key: &SessionKey) -> Option<Arc<Live>> {
        // Not `Cache::remove`: that does not wait for an update of the same entry, which would then bring it back.
        let result = self
            .sessions
            .entry_by_ref(key)
            .and_compute_with(|entry| match entry {
                Some(_) => Op::Remove,
                None => Op::Nop,
            });
        match result {
            CompResult::Removed(entry) => Some(entry.into_value().live),
            _ => None,
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn near(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Live>> {
        let live = self.sessions.get(key)?.live;
        (!live.is_expired(now)).then_some(live)
    }

    async fn get(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        Ok(self.near(key, now))
    }

    async fn put(
        &self,
        key: &SessionKey,
        session: Session,
        expires: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Put, Unavailable> {
        let mut outgoing = Vec::new();
        let mut conflict = None;
        let result = self.sessions.entry_by_ref(key).and_compute_with(|entry| {
            let current = entry
                .map(|entry| entry.into_value().live)
                .filter(|live| !live.is_expired(now));
            let version = match (expect, &current) {
                (Expect::Absent, None) => Version(1),
                (Expect::Version(expected), Some(live)) if live.version == expected => {
                    Version(expected.0.saturating_add(1))
                }
                _ => {
                    conflict = current;
                    return Op::Nop;
                }
            };
            // First the index: a logout that runs at the same time must not miss what is about to be there.
            self.index.add(key, version, Owner::of(&session));
            let mut session = session;
            if let Some(live) = &current {
                session.last_seen = session.last_seen.max(live.last_seen());
                outgoing.extend(
                    Owner::of(&live.session)
                        .filter(|owner| !Owner::of(&session).any(|stays| stays == *owner)),
                );
            }
            Op::Put(Entry {
                live: Arc::new(Live::new(session, version, expires)),
                lifetime: lifetime(expires, now),
            })
        });
        Ok(match result {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => {
                self.index.remove(key, outgoing, |_| true);
                Put::Done(entry.into_value().live)
            }
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => {
                Put::Conflict(conflict)
            }
        })
    }

    async fn take(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        Ok(self.remove(key).filter(|live| !live.is_expired(now)))
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, Unavailable> {
        Ok(self.remove(key).is_some())
    }

    async fn by_index(&self, owner: &Owner) -> Result<Vec<SessionKey>, Unavailable> {
        let index = self.index.lock();
        let keys = index.get(owner).map(Vec::as_slice).unwrap_or_default();
        Ok(keys.iter().map(|(key, _)| *key).collect())
    }

    async fn mark(
        &self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.marks.entry_by_ref(mark).and_compute_with(|entry| {
            let known = entry.map(moka::Entry::into_value);
            let at = known.map_or(at, |known| known.at.max(at));
            let expires = known.map_or(expires, |known| known.expires.max(expires));
            Op::Put(Marked {
                at,
                expires,
                lifetime: lifetime(expires, now),
            })
        });
        Ok(())
    }

    async fn marked(&self, mark: &Mark, now: Timestamp) -> Result<Option<Timestamp>, Unavailable> {
        let marked = self.marks.get(mark);
        Ok(marked.filter(|known| known.expires > now).map(|m| m.at))
    }

    async fn once(
        &self,
        mark: &Mark,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let mut first = false;
        self.marks.entry_by_ref(mark).and_compute_with(|entry| {
            if entry.is_some_and(|known| known.into_value().expires > now) {
                return Op::Nop;
            }
            first = true;
            Op::Put(Marked {
                at: now,
                expires,
                lifetime: lifetime(expires, now),
            })
        });
        Ok(first)
    }

    async fn page(
        &self,
        after: Option<SessionKey>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, Arc<Live>)>, Unavailable> {
        let mut first = BTreeMap::new();
        for (key, entry) in &self.sessions {
            if after.is_none_or(|after| *key > after) && !entry.live.is_expired(now) {
                first.insert(*key, entry.live);
                if first.len() > most {
                    first.pop_last();
                }
            }
        }
        Ok(first.into_iter().collect())
    }

    fn stored(&self) -> u64 {
        // What was done a moment ago counts.
        self.sessions.run_pending_tasks();
        self.sessions.entry_count()
    }
}

#[async_trait]
impl Parking for MemoryStore {
    async fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Unavailable> {
        Ok(self.shelf.park(key, parked, room, now))
    }

    async fn parked(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.shelf.look(key, now))
    }

    async fn unpark(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.shelf.take(key, now))
    }

    async fn drop_parked(&self, owner: &Owner) -> Result<usize, Unavailable> {
        Ok(self.shelf.drop_of(owner))
    }

    fn stock(&self) -> Stock {
        self.shelf.stock()
    }
}

#[async_trait]
impl Approvals for MemoryStore {
    async fn put_approval(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        Ok(self.ledger.put(key, kept, expect, most, now))
    }

    async fn approval(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Vec<u8>)>, Unavailable> {
        Ok(self.ledger.get(key, now))
    }

    async fn approvals_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<ApprovalKey>, Unavailable> {
        Ok(self.ledger.of(owner, now))
    }
}

impl Index {
    fn add(&self, key: &SessionKey, version: Version, owners: impl Iterator<Item = Owner>) {
        let mut index = self.lock();
        for owner in owners {
            let keys = index.entry(owner).or_default();
            match keys.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = version,
                None => keys.push((*key, version)),
            }
        }
    }

    fn remove(
        &self,
        key: &SessionKey,
        owners: impl IntoIterator<Item = Owner>,
        concerns: impl Fn(Version) -> bool,
    ) {
        let mut index = self.lock();
        for owner in owners {
            if let Some(keys) = index.get_mut(&owner) {
                keys.retain(|(known, version)| known != key || !concerns(*version));
                if keys.is_empty() {
                    index.remove(&owner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Keys>> {
        // Every change is whole: there is no half-done state behind a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One second more, for our clock is read in whole ones.
fn lifetime(expires: Timestamp, now: Timestamp) -> Duration {
    expires.since(now).saturating_add(Duration::from_secs(1))
}

struct Lifetime;

impl Expiry<SessionKey, Entry> for Lifetime {
    fn expire_after_create(&self, _: &SessionKey, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &SessionKey,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }
}

impl Expiry<Mark, Marked> for Lifetime {
    fn expire_after_create(&self, _: &Mark, marked: &Marked, _: Instant) -> Option<Duration> {
        Some(marked.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &Mark,
        marked: &Marked,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(marked.lifetime)
    }
}

#[cfg(test)]
mod tests;
