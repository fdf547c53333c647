//! Sessions at hand: the latest used ones of the file, in memory, bounded in bytes.
//!
//! Never behind the file: only this process writes to it, each write is carried over before it is answered, and a session
//! is read into here under the same lock by which a write is carried over.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::model::session::{Session, SessionKey};
use crate::model::time::Timestamp;
use crate::store::hasher::DigestHasher;
use crate::store::{Live, Version};

/// Of a session in memory beside the texts in it, roughly.
const OVERHEAD: usize = 1024;

type Hashed = BuildHasherDefault<DigestHasher>;

#[derive(Debug)]
pub(super) struct Near {
    sessions: Cache<SessionKey, Entry, Hashed>,
    used: Used,
}

#[derive(Clone, Debug)]
struct Entry {
    live: Arc<Live>,
    weight: u32,
}

/// Uses of sessions that are not at hand any more, until they are written.
#[derive(Clone, Debug, Default)]
struct Used(Arc<Mutex<HashMap<SessionKey, Timestamp, Hashed>>>);

/// A use that is to be written.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) key: SessionKey,
    pub(super) at: Timestamp,
    live: Option<Arc<Live>>,
}

/// As read from the file.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) session: Session,
    pub(super) length: usize,
    pub(super) version: Version,
    pub(super) expires: Timestamp,
    /// The time of the last use as the file has it.
    pub(super) seen: Timestamp,
}

impl Near {
    pub(super) fn new(bytes: u64) -> Self {
        let used = Used::default();
        let sessions = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Entry| entry.weight)
            // A new session must get in, however seldom it was asked for so far.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener({
                let used = used.clone();
                move |key: Arc<SessionKey>, entry: Entry, cause| {
                    if cause == RemovalCause::Size && entry.live.last_seen() > entry.live.kept() {
                        used.note(*key, entry.live.last_seen());
                    }
                }
            })
            .build_with_hasher(Hashed::default());
        Self { sessions, used }
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Live>> {
        self.sessions.get(key).map(|entry| entry.live)
    }

    /// What is at hand, else what `read` finds, which is at hand from then on.
    pub(super) fn get_or_read<E>(
        &self,
        key: &SessionKey,
        read: impl FnOnce() -> Result<Option<Read>, E>,
    ) -> Result<Option<Arc<Live>>, E> {
        let mut failed = None;
        let result = self.sessions.entry_by_ref(key).and_compute_with(|entry| {
            if entry.is_some() {
                return Op::Nop;
            }
            match read() {
                Ok(Some(found)) => Op::Put(self.entry(key, found)),
                Ok(None) => Op::Nop,
                Err(error) => {
                    failed = Some(error);
                    Op::Nop
                }
            }
        });
        match (failed, result) {
            (Some(error), _) => Err(error),
            (None, CompResult::Inserted(entry) | CompResult::Unchanged(entry)) => {
                Ok(Some(entry.into_value().live))
            }
            (None, _) => Ok(None),
        }
    }

    /// As it would be at hand, but without keeping it.
    pub(super) fn look(&self, key: &SessionKey, found: Read) -> Arc<Live> {
        let known = self.get(key).filter(|live| live.version == found.version);
        known.unwrap_or_else(|| self.entry(key, found).live)
    }

    /// What was written just now; uses meanwhile are not lost.
    pub(super) fn written(&self, key: &SessionKey, written: Read) -> Option<Arc<Live>> {
        let result = self.sessions.entry_by_ref(key).and_compute_with(|before| {
            let mut written = written;
            if let Some(before) = before {
                let before = before.into_value().live.last_seen();
                written.session.last_seen = written.session.last_seen.max(before);
            }
            Op::Put(self.entry(key, written))
        });
        match result {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => {
                Some(entry.into_value().live)
            }
            _ => None,
        }
    }

    /// Not `Cache::invalidate`: that does not wait for a read of the same session, which would then bring it back.
    pub(super) fn remove(&self, key: &SessionKey) -> Option<Arc<Live>> {
        self.used.forget(key);
        let removal = self.sessions.entry_by_ref(key);
        match removal.and_compute_with(|entry| match entry {
            Some(_) => Op::Remove,
            None => Op::Nop,
        }) {
            CompResult::Removed(entry) => Some(entry.into_value().live),
            _ => None,
        }
    }

    /// The last use that is not in the file yet.
    pub(super) fn last_seen(&self, key: &SessionKey) -> Option<Timestamp> {
        let at_hand = self.get(key).map(|live| live.last_seen());
        at_hand.max(self.used.of(key))
    }

    /// Uses that the file does not know of, where it is behind by more than `grain` seconds.
    pub(super) fn unwritten(&self, grain: u64) -> Vec<Use> {
        let gone = self.used.lock();
        let gone = gone.iter().map(|(key, at)| Use {
            key: *key,
            at: *at,
            live: None,
        });
        let mut uses: Vec<_> = gone.collect();
        uses.extend(self.sessions.iter().filter_map(|(key, entry)| {
            let at = entry.live.last_seen();
            (at.since(entry.live.kept()).as_secs() > grain).then_some(Use {
                key: *key,
                at,
                live: Some(entry.live),
            })
        }));
        uses
    }

    pub(super) fn is_written(&self, of: &Use) {
        match &of.live {
            Some(live) => live.is_kept(of.at),
            None => self.used.forget_until(&of.key, of.at),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sessions.weighted_size()
    }

    fn entry(&self, key: &SessionKey, read: Read) -> Entry {
        let mut session = read.session;
        let weight = u32::try_from(read.length.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
        session.last_seen = session.last_seen.max(read.seen);
        if let Some(used) = self.used.of(key) {
            session.last_seen = session.last_seen.max(used);
        }
        let live = Live::restored(session, read.version, read.expires, read.seen);
        Entry {
            live: Arc::new(live),
            weight,
        }
    }
}

impl Used {
    fn note(&self, key: SessionKey, at: Timestamp) {
        let mut used = self.lock();
        let known = used.entry(key).or_insert(at);
        *known = at.max(*known);
    }

    fn of(&self, key: &SessionKey) -> Option<Timestamp> {
        self.lock().get(key).copied()
    }

    fn forget(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    /// Unless there was a later one.
    fn forget_until(&self, key: &SessionKey, at: Timestamp) {
        let mut used = self.lock();
        if used.get(key).is_some_and(|known| *known <= at) {
            used.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Timestamp, Hashed>> {
        // Every change is whole: there is no half-done state behind a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
