//! Sessions in a file of this machine: what was answered survives the process, however it ends.
//!
//! One thread writes ([`writer`]), many writes to a transaction; reads are of what is at hand ([`near`]), else of the file,
//! on tokio's threads for blocking work. The file is redb's: its pages have checksums, a commit is on the disk when it
//! returns, and after any I/O error it has to be opened anew ([`disk`]).

mod approvals;
mod chores;
mod disk;
mod folder;
mod near;
mod owed;
mod parked;
mod record;
mod tables;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::ReadTransaction;
use tokio::sync::{Semaphore, oneshot};

use super::{Expect, Live, Mark, Owner, Put, Sealing, Stock, Store, Unavailable, Unopened};
use crate::model::session::{Session, SessionKey};
use crate::model::time::{Clock, Timestamp};
use disk::Disk;
use near::{Near, Read};
use owed::Owed;
use record::Record;
use tables::{Fault, MARKS, OWNERS, SEEN, SESSIONS, fault};
use writer::{Answer, Job, Putting, version_after};

pub use folder::{Folder, OpenError};

/// Writes that wait. More than that is a disk that stands still.
const WAITING: usize = 4096;

/// Reads of the file at the same time.
const READERS: usize = 32;

/// A disk that does not answer for so long is unavailable.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Sessions that nobody used for so long are over.
    pub idle: Duration,
    /// Bytes of sessions at hand.
    pub near: u64,
}

pub struct FileStore {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    readers: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer and the readers have in common.
struct Shared {
    disk: Disk,
    near: Near,
    owed: Owed,
    sealing: Arc<dyn Sealing>,
    clock: Arc<dyn Clock>,
    /// Seconds.
    idle: AtomicU64,
    /// Sessions in the file as of the last transaction.
    stored: AtomicU64,
    /// The same of parked requests.
    parked: AtomicU64,
    parked_bytes: AtomicU64,
    /// When a value that cannot be opened was told of, so that a flood of requests is no flood of lines.
    alarmed: AtomicI64,
}

impl FileStore {
    /// Waits for the disk.
    pub fn open(
        folder: Folder,
        settings: Settings,
        sealing: Arc<dyn Sealing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            disk: Disk::open(folder)?,
            near: Near::new(settings.near),
            owed: Owed::default(),
            sealing,
            clock,
            idle: AtomicU64::new(settings.idle.as_secs()),
            stored: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            parked_bytes: AtomicU64::new(0),
            alarmed: AtomicI64::new(0),
        });
        let (jobs, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("session-store".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, &waiting)
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            jobs,
            readers: Arc::new(Semaphore::new(READERS)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Of sessions at hand.
    pub fn near_bytes(&self) -> u64 {
        self.shared.near.bytes()
    }

    async fn write<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(job(answer)).map_err(|_| Unavailable)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            // Nobody knows what becomes of it.
            _ => Err(Unavailable),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Shared) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let readers = Arc::clone(&self.readers);
        let read = async {
            let place = readers.acquire_owned().await.map_err(|_| Unavailable)?;
            let reading = tokio::task::spawn_blocking(move || {
                let _place = place;
                look(&shared)
            });
            reading.await.unwrap_or(Err(Unavailable))
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .unwrap_or(Err(Unavailable))
    }
}

impl Shared {
    fn stock(&self) -> Stock {
        Stock {
            requests: self.parked.load(Ordering::Relaxed),
            bytes: self.parked_bytes.load(Ordering::Relaxed),
        }
    }

    fn stock_is(&self, stock: Stock) {
        self.parked.store(stock.requests, Ordering::Relaxed);
        self.parked_bytes.store(stock.bytes, Ordering::Relaxed);
    }

    /// Behind how many seconds the file may be with the last use of a session: a twentieth of the idle limit.
    fn grain(&self) -> u64 {
        self.idle.load(Ordering::Relaxed) / 20
    }

    /// When a session has to be looked at. The idle limit itself is the gate's; here there is some room behind it.
    fn due(&self, expires: Timestamp, seen: Timestamp) -> Timestamp {
        let idle = self.idle.load(Ordering::Relaxed);
        expires.min(seen.plus(Duration::from_secs(idle + 60 + self.grain())))
    }

    /// A record of the file as a session.
    fn read(
        &self,
        key: &SessionKey,
        record: &Record<'_>,
        seen: Option<Timestamp>,
    ) -> Result<Read, Unopened> {
        match record.open(key, &*self.sealing) {
            Ok((session, length)) => Ok(Read {
                seen: seen.unwrap_or(session.last_seen),
                session,
                length,
                version: record.version,
                expires: record.expires,
            }),
            Err(why) => {
                self.alarm(why);
                Err(why)
            }
        }
    }

    /// `None`: there is no such session, or it was tampered with.
    fn find(
        &self,
        transaction: &ReadTransaction,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Read>, Failed> {
        if self.owed.is_removed(key) {
            return Ok(None);
        }
        let sessions = transaction.open_table(SESSIONS).map_err(fault)?;
        let Some(bytes) = sessions.get(&key.0).map_err(fault)? else {
            return Ok(None);
        };
        let Some(record) = Record::read(bytes.value()) else {
            self.alarm(Unopened::Tampered);
            return Ok(None);
        };
        if record.is_expired(now) {
            return Ok(None);
        }
        let seen = transaction.open_table(SEEN).map_err(fault)?;
        let seen = seen.get(&key.0).map_err(fault)?;
        let seen = seen.map(|row| Timestamp::from_unix(row.value().0));
        match self.read(key, &record, seen) {
            Ok(read) => Ok(Some(read)),
            Err(Unopened::Tampered) => Ok(None),
            Err(Unopened::UnknownKey) => Err(Failed::Unreadable),
        }
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Failed>,
    ) -> Result<T, Unavailable> {
        match self.disk.read(|transaction| match look(transaction) {
            Ok(found) => Ok(Ok(found)),
            Err(Failed::Unreadable) => Ok(Err(Unavailable)),
            Err(Failed::Disk(error)) => Err(error),
        }) {
            Ok(found) => found,
            Err(error) => {
                self.alarm_of(|| {
                    tracing::error!(
                        folder = %self.disk.path().display(),
                        %error,
                        "the session store cannot be read"
                    );
                });
                Err(Unavailable)
            }
        }
    }

    fn alarm(&self, why: Unopened) {
        self.alarm_of(|| match why {
            Unopened::UnknownKey => tracing::error!(
                "a stored session is sealed by a key that is not configured: its user gets 503. Put the key back into `[seal]`, behind the first one"
            ),
            Unopened::Tampered => tracing::error!(
                "a stored session is not what was stored: somebody or something changed the file. It counts as absent"
            ),
        });
    }

    /// Once a minute.
    fn alarm_of(&self, say: impl FnOnce()) {
        let now = self.clock.now().as_unix();
        let before = self.alarmed.load(Ordering::Relaxed);
        if now.saturating_sub(before) >= 60
            && self
                .alarmed
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            say();
        }
    }
}

enum Failed {
    Disk(Fault),
    Unreadable,
}

impl From<Fault> for Failed {
    fn from(error: Fault) -> Self {
        Self::Disk(error)
    }
}

#[async_trait]
impl Store for FileStore {
    fn near(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Live>> {
        let live = self.shared.near.get(key)?;
        (!live.is_expired(now)).then_some(live)
    }

    async fn get(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        if let Some(live) = self.near(key, now) {
            return Ok(Some(live));
        }
        let key = *key;
        let found = self
            .read(move |shared| {
                shared.near.get_or_read(&key, || {
                    shared.look(|transaction| shared.find(transaction, &key, now))
                })
            })
            .await?;
        Ok(found.filter(|live| !live.is_expired(now)))
    }

    async fn put(
        &self,
        key: &SessionKey,
        session: Session,
        expires: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Put, Unavailable> {
        let version = version_after(expect);
        let sealing = &*self.shared.sealing;
        let written = record::write(key, &session, version, expires, sealing).ok_or(Unavailable)?;
        let putting = Box::new(Putting {
            key: *key,
            session,
            expires,
            expect,
            now,
            written,
        });
        self.write(|answer| Job::Put(putting, answer)).await
    }

    async fn take(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, Unavailable> {
        let job = |answer| Job::Remove {
            key: *key,
            now,
            wanted: true,
            answer,
        };
        Ok(self.write(job).await?.live)
    }

    async fn delete(&self, key: &SessionKey) -> Result<bool, Unavailable> {
        let job = |answer| Job::Remove {
            key: *key,
            now: self.shared.clock.now(),
            wanted: false,
            answer,
        };
        Ok(self.write(job).await?.there)
    }

    async fn by_index(&self, owner: &Owner) -> Result<Vec<SessionKey>, Unavailable> {
        let owner = *owner;
        self.read(move |shared| {
            shared.look(|transaction| {
                let owners = transaction.open_table(OWNERS).map_err(fault)?;
                Ok(tables::owned(&owners, &owner)?)
            })
        })
        .await
    }

    async fn mark(
        &self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
        _now: Timestamp,
    ) -> Result<(), Unavailable> {
        let mark = *mark;
        self.write(|answer| Job::Mark {
            mark,
            at,
            expires,
            answer,
        })
        .await
    }

    async fn marked(&self, mark: &Mark, now: Timestamp) -> Result<Option<Timestamp>, Unavailable> {
        let mark = *mark;
        self.read(move |shared| {
            let stored = shared.look(|transaction| {
                let marks = transaction.open_table(MARKS).map_err(fault)?;
                let row = marks.get(&mark.0).map_err(fault)?;
                Ok(row.map(|row| row.value()))
            })?;
            let stored = stored.and_then(|(at, expires)| {
                (expires > now.as_unix()).then_some(Timestamp::from_unix(at))
            });
            Ok(stored.max(shared.owed.marked(&mark, now)))
        })
        .await
    }

    async fn once(
        &self,
        mark: &Mark,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let mark = *mark;
        self.write(|answer| Job::Once {
            mark,
            expires,
            now,
            answer,
        })
        .await
    }

    async fn page(
        &self,
        after: Option<SessionKey>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, Arc<Live>)>, Unavailable> {
        self.read(move |shared| {
            shared.look(|transaction| {
                let sessions = transaction.open_table(SESSIONS).map_err(fault)?;
                let mut found = Vec::new();
                let mut after = after;
                // What is over, or cannot be opened, does not end the list.
                while found.len() < most {
                    let rows = tables::page(&sessions, after, most - found.len())?;
                    let Some((last, _)) = rows.last() else { break };
                    after = Some(*last);
                    for (key, _) in &rows {
                        if let Ok(Some(read)) = shared.find(transaction, key, now) {
                            found.push((*key, shared.near.look(key, read)));
                        }
                    }
                }
                Ok(found)
            })
        })
        .await
    }

    fn stored(&self) -> u64 {
        self.shared.stored.load(Ordering::Relaxed)
    }

    fn idle_is(&self, idle: Duration) {
        self.shared.idle.store(idle.as_secs(), Ordering::Relaxed);
    }

    async fn close(&self) {
        // A full queue is emptied when the store is dropped.
        let _ended = self.write(Job::Close).await;
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let (none, _) = sync_channel(0);
        drop(std::mem::replace(&mut self.jobs, none));
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ended = thread.join();
        }
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("folder", &self.shared.disk.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
