//! Sessions, found by the hash of their id, marks of what has ended, requests that wait for their user, and what
//! somebody else has to agree to. Each answer is found, absent or [`Unavailable`], never mixed up. Knows nothing of cookies, flows or Keycloak.
//!
//! [`MemoryStore`] forgets at the end of the process, [`FileStore`] keeps what it answered through a crash.

mod approvals;
#[cfg(test)]
mod contract;
mod file;
mod hasher;
mod live;
mod memory;
mod owner;
mod parked;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::session::{Session, SessionKey};
use crate::model::time::Timestamp;

pub use approvals::{ApprovalKey, ApprovalPut, Approvals, KeptApproval, Most};
pub use file::{FileStore, Folder, OpenError, Settings};
pub use live::{Live, SubjectTag};
pub use memory::{Capacity, MemoryStore};
pub use owner::{Mark, Owner};
pub use parked::{Parked, ParkedAs, ParkedKey, Parking, Room, Stock};

/// The store did not answer. Says nothing about what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session store is unavailable")]
pub struct Unavailable;

/// Counts the writes of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// What an entry must be for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Only the creation of a session asks for this.
    Absent,
    /// Every other write: an entry that is gone stays gone.
    Version(Version),
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Put {
    Done(Arc<Live>),
    /// Somebody was faster; this is what is there now, or nothing.
    Conflict(Option<Arc<Live>>),
}

/// What makes a value unreadable and unforgeable to whoever has the store's files. `place` is where the value belongs:
/// what was sealed for one place opens at no other.
pub trait Sealing: Send + Sync + fmt::Debug {
    fn seal(&self, place: &[&[u8]], plaintext: &[u8]) -> Vec<u8>;

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unopened>;

    /// Of the key that seals.
    fn key_id(&self) -> u64;

    /// Of the key that sealed it.
    fn sealed_by(&self, sealed: &[u8]) -> Option<u64>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Sealed by a key that is not configured: an outage, for the value may well be good.
    UnknownKey,
    /// Not sealed by us, or not for this place.
    Tampered,
}

/// `now` and all expiries: our clock. An entry past its expiry is absent.
#[async_trait]
pub trait Store: Parking + Approvals + Send + Sync + fmt::Debug {
    /// What is at hand and known to be current, without waiting. `None` says nothing: ask [`Store::get`].
    fn near(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Live>>;

    async fn get(&self, key: &SessionKey, now: Timestamp)
    -> Result<Option<Arc<Live>>, Unavailable>;

    /// Writes `session` when the entry is as expected, in one step. A conflict changes nothing.
    async fn put(
        &self,
        key: &SessionKey,
        session: Session,
        expires: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Put, Unavailable>;

    /// Removes the entry and hands it to one caller only.
    async fn take(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable>;

    /// Whether there was anything to delete. Nothing that runs at the same time brings it back.
    async fn delete(&self, key: &SessionKey) -> Result<bool, Unavailable>;

    /// Keys of the sessions of one `sid` or `sub`. Some may have ended meanwhile.
    async fn by_index(&self, owner: &Owner) -> Result<Vec<SessionKey>, Unavailable>;

    /// Remembers `at` under `mark` until `expires`; a later time replaces an earlier one.
    async fn mark(
        &self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unavailable>;

    async fn marked(&self, mark: &Mark, now: Timestamp) -> Result<Option<Timestamp>, Unavailable>;

    /// Sets `mark` for the first caller, who is told so; everybody else until `expires` is told that it was set before.
    async fn once(
        &self,
        mark: &Mark,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable>;

    /// Sessions in the order of their keys, at most `most`, from the first one behind `after` on. For operators: it may
    /// read all there is.
    async fn page(
        &self,
        after: Option<SessionKey>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, Arc<Live>)>, Unavailable>;

    /// How many sessions there are, those included that are about to be thrown away.
    fn stored(&self) -> u64;

    /// The idle limit is another one now: entries are kept at least as long as it says.
    fn idle_is(&self, _idle: Duration) {}

    /// The process ends: what is kept back for later is written. Nothing is answered afterwards.
    async fn close(&self) {}
}
