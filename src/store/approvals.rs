//! Requests for somebody's yes: sealed, changed by compare-and-set, and found by whose they are.
//!
//! Nothing is pushed out to make room, and nothing is changed but by whoever saw it last. What is past its expiry is
//! absent, and takes no room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Expect, Owner, Unavailable, Version};
use crate::model::time::Timestamp;

/// The hash of the id by which it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalKey(pub [u8; 32]);

/// Sealed by whoever puts it; a store cannot read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptApproval {
    pub sealed: Vec<u8>,
    /// Under which no other one may be: nothing is put beside one that has it. A later version gives it back by not
    /// having it.
    pub alone: Option<Owner>,
    /// Under which it is found; the first one's share is limited.
    pub owners: Vec<Owner>,
    pub expires: Timestamp,
}

impl KeptApproval {
    /// All that it is found under.
    pub(super) fn indexed(&self) -> BTreeSet<Owner> {
        self.owners.iter().copied().chain(self.alone).collect()
    }
}

/// How many there may be at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub all: usize,
    /// Of the first owner.
    pub share: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalPut {
    Done(Version),
    /// It is not as it was expected to be. Nothing was changed.
    Conflict,
    /// There is this one already where only one may be.
    Beside(ApprovalKey),
    /// There is no room for one more.
    Full,
    /// The first owner has too many already.
    Crowded,
}

/// The part of a store that keeps approvals.
#[async_trait]
pub trait Approvals {
    /// `most` is asked of new ones alone: what is there can always go on.
    async fn put_approval(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable>;

    /// What was put, and the version that a change of it expects.
    async fn approval(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Vec<u8>)>, Unavailable>;

    async fn approvals_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<ApprovalKey>, Unavailable>;
}

/// What a put is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Of what is there under the key.
    pub(super) version: Option<Version>,
    /// The other one that is where only one may be.
    pub(super) beside: Option<ApprovalKey>,
    pub(super) all: usize,
    pub(super) share: usize,
}

impl Standing {
    /// The version that the entry gets, or why it gets none.
    pub(super) fn allows(&self, expect: Expect, most: Most) -> Result<Version, ApprovalPut> {
        let next = match (expect, self.version) {
            (Expect::Absent, None) => Version(1),
            (Expect::Version(expected), Some(version)) if expected == version => {
                Version(version.0.checked_add(1).ok_or(ApprovalPut::Conflict)?)
            }
            _ => return Err(ApprovalPut::Conflict),
        };
        if let Some(other) = self.beside {
            return Err(ApprovalPut::Beside(other));
        }
        if expect == Expect::Absent {
            if self.share >= most.share {
                return Err(ApprovalPut::Crowded);
            }
            if self.all >= most.all {
                return Err(ApprovalPut::Full);
            }
        }
        Ok(next)
    }
}

/// In memory.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    kept: HashMap<ApprovalKey, (Version, KeptApproval)>,
    by_owner: BTreeMap<Owner, BTreeSet<ApprovalKey>>,
    due: BTreeSet<(i64, ApprovalKey)>,
}

impl Ledger {
    pub(super) fn put(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> ApprovalPut {
        let mut content = self.lock();
        content.throw_away(now);
        let standing = content.standing(key, &kept);
        match standing.allows(expect, most) {
            Ok(version) => {
                content.remove(key);
                content.insert(*key, version, kept);
                ApprovalPut::Done(version)
            }
            Err(refused) => refused,
        }
    }

    pub(super) fn get(&self, key: &ApprovalKey, now: Timestamp) -> Option<(Version, Vec<u8>)> {
        let content = self.lock();
        let (version, kept) = content.kept.get(key)?;
        (kept.expires > now).then(|| (*version, kept.sealed.clone()))
    }

    pub(super) fn of(&self, owner: &Owner, now: Timestamp) -> Vec<ApprovalKey> {
        let content = self.lock();
        content
            .keys_of(owner)
            .filter(|key| {
                let kept = content.kept.get(key);
                kept.is_some_and(|(_, kept)| kept.expires > now)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Every change is whole: there is no half-done state behind a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn keys_of(&self, owner: &Owner) -> impl Iterator<Item = ApprovalKey> + '_ {
        self.by_owner.get(owner).into_iter().flatten().copied()
    }

    fn standing(&self, key: &ApprovalKey, kept: &KeptApproval) -> Standing {
        let beside = kept.alone.iter().flat_map(|alone| self.keys_of(alone));
        let share = kept.owners.first().map(|first| self.keys_of(first).count());
        Standing {
            version: self.kept.get(key).map(|(version, _)| *version),
            beside: beside.filter(|other| other != key).min(),
            all: self.kept.len(),
            share: share.unwrap_or(0),
        }
    }

    fn insert(&mut self, key: ApprovalKey, version: Version, kept: KeptApproval) {
        for owner in kept.indexed() {
            self.by_owner.entry(owner).or_default().insert(key);
        }
        self.due.insert((kept.expires.as_unix(), key));
        self.kept.insert(key, (version, kept));
    }

    fn remove(&mut self, key: &ApprovalKey) {
        let Some((_, kept)) = self.kept.remove(key) else {
            return;
        };
        self.due.remove(&(kept.expires.as_unix(), *key));
        for owner in kept.indexed() {
            if let Some(keys) = self.by_owner.get_mut(&owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
        }
    }

    fn throw_away(&mut self, now: Timestamp) {
        while let Some(&(expires, key)) = self.due.first()
            && expires <= now.as_unix()
        {
            self.due.pop_first();
            self.remove(&key);
        }
    }
}
