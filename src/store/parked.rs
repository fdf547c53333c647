//! Requests that wait for their user: sealed bytes that are put once and taken once, in one room for all.
//!
//! Nothing is pushed out to make room: what does not fit is refused, so that nobody's flood costs another's form.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Owner, Unavailable};
use crate::model::time::Timestamp;

/// What one costs beside its bytes.
const OVERHEAD: u64 = 256;

/// The hash of the id by which it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParkedKey(pub [u8; 32]);

/// Sealed by whoever parks it; a store cannot read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub sealed: Vec<u8>,
    /// Whose end is its end. The first one's share of the room is limited.
    pub owners: Vec<Owner>,
    pub expires: Timestamp,
}

impl Parked {
    pub(super) fn size(&self) -> u64 {
        size(self.sealed.len())
    }
}

pub(super) fn size(bytes: usize) -> u64 {
    OVERHEAD.saturating_add(bytes as u64)
}

/// How much may be parked at the same time, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub all: u64,
    /// Of one user.
    pub share: u64,
    /// The same in requests.
    pub requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedAs {
    Kept,
    /// The key is in use: nothing was changed.
    Taken,
    /// There is no room for it.
    Full,
    /// The user has parked too much already.
    Crowded,
}

/// How much there is, those included that are about to be thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    pub requests: u64,
    pub bytes: u64,
}

impl Room {
    /// Of what would be there with it: all in all, and of its first owner.
    pub(super) fn holds(&self, all: u64, share: u64, requests: usize) -> ParkedAs {
        if share > self.share || requests > self.requests {
            ParkedAs::Crowded
        } else if all > self.all {
            ParkedAs::Full
        } else {
            ParkedAs::Kept
        }
    }
}

/// The part of a store that keeps requests. One past its expiry is absent, and takes no room.
#[async_trait]
pub trait Parking {
    async fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Unavailable>;

    /// A look; it stays.
    async fn parked(&self, key: &ParkedKey, now: Timestamp)
    -> Result<Option<Vec<u8>>, Unavailable>;

    /// Removes it and hands it to one caller only.
    async fn unpark(&self, key: &ParkedKey, now: Timestamp)
    -> Result<Option<Vec<u8>>, Unavailable>;

    /// All of that owner's; how many it were.
    async fn drop_parked(&self, owner: &Owner) -> Result<usize, Unavailable>;

    fn stock(&self) -> Stock;
}

/// In memory.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    parked: HashMap<ParkedKey, Parked>,
    by_owner: HashMap<Owner, Vec<ParkedKey>>,
    due: BTreeSet<(i64, ParkedKey)>,
    bytes: u64,
}

impl Shelf {
    pub(super) fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> ParkedAs {
        let mut content = self.lock();
        content.throw_away(now);
        if content.parked.contains_key(key) {
            return ParkedAs::Taken;
        }
        let size = parked.size();
        let (share, requests) = parked
            .owners
            .first()
            .map_or((0, 0), |owner| content.share(owner));
        let held = room.holds(
            content.bytes.saturating_add(size),
            share.saturating_add(size),
            requests.saturating_add(1),
        );
        if held == ParkedAs::Kept {
            content.bytes = content.bytes.saturating_add(size);
            content.due.insert((parked.expires.as_unix(), *key));
            for owner in &parked.owners {
                content.by_owner.entry(*owner).or_default().push(*key);
            }
            content.parked.insert(*key, parked);
        }
        held
    }

    pub(super) fn look(&self, key: &ParkedKey, now: Timestamp) -> Option<Vec<u8>> {
        let content = self.lock();
        let parked = content.parked.get(key)?;
        (parked.expires > now).then(|| parked.sealed.clone())
    }

    pub(super) fn take(&self, key: &ParkedKey, now: Timestamp) -> Option<Vec<u8>> {
        let parked = self.lock().remove(key)?;
        (parked.expires > now).then_some(parked.sealed)
    }

    pub(super) fn drop_of(&self, owner: &Owner) -> usize {
        let mut content = self.lock();
        let keys = content.by_owner.get(owner).cloned().unwrap_or_default();
        keys.iter()
            .filter(|key| content.remove(key).is_some())
            .count()
    }

    pub(super) fn stock(&self) -> Stock {
        let content = self.lock();
        Stock {
            requests: content.parked.len() as u64,
            bytes: content.bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Every change is whole: there is no half-done state behind a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn share(&self, owner: &Owner) -> (u64, usize) {
        let keys = self.by_owner.get(owner).map(Vec::as_slice);
        let keys = keys.unwrap_or_default();
        let bytes = keys
            .iter()
            .filter_map(|key| self.parked.get(key))
            .map(Parked::size)
            .sum();
        (bytes, keys.len())
    }

    fn throw_away(&mut self, now: Timestamp) {
        while let Some(&(expires, key)) = self.due.first()
            && expires <= now.as_unix()
        {
            self.due.pop_first();
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &ParkedKey) -> Option<Parked> {
        let parked = self.parked.remove(key)?;
        self.bytes = self.bytes.saturating_sub(parked.size());
        self.due.remove(&(parked.expires.as_unix(), *key));
        for owner in &parked.owners {
            if let Some(keys) = self.by_owner.get_mut(owner) {
                keys.retain(|known| known != key);
                if keys.is_empty() {
                    self.by_owner.remove(owner);
                }
            }
        }
        Some(parked)
    }
}
