//! The thread that writes: whatever waits goes into one transaction, is carried over to what is at hand, and is answered.
//!
//! Between transactions it does the chores, a small batch at a time: removes what is over, writes uses of sessions, and
//! seals anew what an older key sealed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Shared;
use super::approvals::PuttingApproval;
use super::chores::Chores;
use super::near::Read;
use super::record::{Record, Written};
use super::tables::{Fault, Tables};
use crate::model::session::{Session, SessionKey};
use crate::model::time::Timestamp;
use crate::store::{
    ApprovalPut, Expect, Live, Mark, Owner, Parked, ParkedAs, ParkedKey, Put, Room, Unavailable,
    Unopened, Version,
};

/// Writes of one transaction.
const BATCH: usize = 256;

/// A failure that goes on is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

pub(super) type Answer<T> = oneshot::Sender<Result<T, Unavailable>>;

/// A write, and who waits for it.
pub(super) enum Job {
    Put(Box<Putting>, Answer<Put>),
    /// Gives what was there.
    Remove {
        key: SessionKey,
        now: Timestamp,
        /// The session is asked for, not only whether there was one.
        wanted: bool,
        answer: Answer<Removed>,
    },
    Mark {
        mark: Mark,
        at: Timestamp,
        expires: Timestamp,
        answer: Answer<()>,
    },
    Once {
        mark: Mark,
        expires: Timestamp,
        now: Timestamp,
        answer: Answer<bool>,
    },
    Park {
        key: ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
        answer: Answer<ParkedAs>,
    },
    Unpark {
        key: ParkedKey,
        now: Timestamp,
        answer: Answer<Option<Vec<u8>>>,
    },
    DropParked {
        owner: Owner,
        answer: Answer<usize>,
    },
    PutApproval(Box<PuttingApproval>, Answer<ApprovalPut>),
    Close(Answer<()>),
}

pub(super) struct Putting {
    pub(super) key: SessionKey,
    pub(super) session: Session,
    pub(super) expires: Timestamp,
    pub(super) expect: Expect,
    pub(super) now: Timestamp,
    /// As it goes to the file.
    pub(super) written: Written,
}

#[derive(Debug, Default)]
pub(super) struct Removed {
    pub(super) there: bool,
    pub(super) live: Option<Arc<Live>>,
}

/// What the transaction made of a job; it counts once that is on the disk.
enum Outcome {
    Written {
        seen: Timestamp,
    },
    Conflict(Option<Read>),
    Removed {
        there: bool,
        found: Option<Read>,
    },
    Done,
    First(bool),
    Parked(ParkedAs),
    Unparked(Option<Vec<u8>>),
    Dropped(usize),
    Approval(ApprovalPut),
    /// What is there cannot be read: its key is not configured.
    Unreadable,
}

pub(super) fn version_after(expect: Expect) -> Version {
    match expect {
        Expect::Absent => Version(1),
        Expect::Version(version) => Version(version.0.saturating_add(1)),
    }
}

pub(super) fn run(shared: &Shared, jobs: &Receiver<Job>) {
    let mut writer = Writer {
        shared,
        chores: Chores::new(Instant::now()),
        trouble: None,
    };
    loop {
        let pause = writer.chores.pause(Instant::now());
        let first = match jobs.recv_timeout(pause) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut batch: Vec<_> = first.into_iter().collect();
        batch.extend(jobs.try_iter().take(BATCH - batch.len()));
        let close = batch.iter().position(|job| matches!(job, Job::Close(_)));
        let close = close.map(|index| batch.remove(index));
        if !batch.is_empty() {
            writer.process(batch);
        }
        if let Some(Job::Close(answer)) = close {
            writer.end();
            let _gone = answer.send(Ok(()));
            return;
        }
        writer.chore();
    }
    writer.end();
}

struct Writer<'s> {
    shared: &'s Shared,
    chores: Chores,
    trouble: Option<Trouble>,
}

struct Trouble {
    since: Instant,
    said: Instant,
}

impl Writer<'_> {
    fn process(&mut self, batch: Vec<Job>) {
        let shared = self.shared;
        let outcome = self.write(|tables| {
            batch
                .iter()
                .map(|job| apply(shared, tables, job))
                .collect::<Result<Vec<_>, _>>()
        });
        match outcome {
            Ok(outcomes) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    carry_over(shared, job, outcome);
                }
            }
            Err(()) => {
                for job in batch {
                    refuse(shared, job);
                }
            }
        }
    }

    fn chore(&mut self) {
        if !self.shared.disk.is_open() {
            if self.chores.may_reopen(Instant::now()) {
                self.reopen();
            }
            return;
        }
        let Some(chore) = self.chores.next(self.shared, Instant::now()) else {
            return;
        };
        let shared = self.shared;
        match self.write(|tables| chore.run(shared, tables)) {
            Ok(result) => self.chores.done(shared, result),
            Err(()) => self.chores.failed(Instant::now()),
        }
    }

    /// Uses that were kept back are written; then the file is closed.
    fn end(&mut self) {
        while let Some(chore) = self.chores.last(self.shared) {
            let shared = self.shared;
            match self.write(|tables| chore.run(shared, tables)) {
                Ok(result) => self.chores.done(shared, result),
                Err(()) => break,
            }
        }
        self.shared.disk.close();
    }

    /// Before anything else what an earlier failure left undone.
    fn write<T>(
        &mut self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault>,
    ) -> Result<T, ()> {
        let owed = self.shared.owed.all();
        let result = self.shared.disk.write(|tables| {
            owed.pay(tables)?;
            let outcome = change(tables)?;
            Ok((outcome, tables.count()?, tables.parked.stock()?))
        });
        match result {
            Ok((outcome, sessions, stock)) => {
                self.shared.stock_is(stock);
                self.shared.stored.store(sessions, Ordering::Relaxed);
                self.shared.owed.is_paid(&owed);
                if let Some(trouble) = self.trouble.take() {
                    let seconds = trouble.since.elapsed().as_secs();
                    tracing::info!(seconds, "the session store can be written again");
                }
                Ok(outcome)
            }
            Err(error) => {
                self.say(&error);
                self.reopen();
                Err(())
            }
        }
    }

    fn say(&mut self, error: &redb::Error) {
        let now = Instant::now();
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            said: now - SAY_AGAIN,
        });
        if now.duration_since(trouble.said) >= SAY_AGAIN {
            trouble.said = now;
            tracing::error!(
                folder = %self.shared.disk.path().display(),
                %error,
                "the session store cannot be written: signing in and out answers 503 until it can"
            );
        }
    }

    fn reopen(&mut self) {
        if let Err(error) = self.shared.disk.reopen() {
            let now = Instant::now();
            let trouble = self.trouble.get_or_insert(Trouble {
                since: now,
                said: now - SAY_AGAIN,
            });
            if now.duration_since(trouble.said) >= SAY_AGAIN {
                trouble.said = now;
                tracing::error!(%error, "the session store cannot be opened again");
            }
        }
    }
}

fn apply(shared: &Shared, tables: &mut Tables<'_>, job: &Job) -> Result<Outcome, Fault> {
    match job {
        Job::Put(putting, _) => put(shared, tables, putting),
        Job::Remove {
            key, now, wanted, ..
        } => remove(shared, tables, key, *now, *wanted),
        Job::Mark {
            mark, at, expires, ..
        } => {
            let known = tables.marked(mark)?;
            let at = known.map_or(*at, |(known, _)| known.max(*at));
            let expires = known.map_or(*expires, |(_, known)| known.max(*expires));
            tables.mark(mark, at, expires)?;
            Ok(Outcome::Done)
        }
        Job::Once {
            mark, expires, now, ..
        } => {
            let known = tables.marked(mark)?;
            let first = known.is_none_or(|(_, known)| known <= *now);
            if first {
                tables.mark(mark, *now, *expires)?;
            }
            Ok(Outcome::First(first))
        }
        Job::Park {
            key,
            parked,
            room,
            now,
            ..
        } => tables
            .parked
            .park(key, parked, *room, *now)
            .map(Outcome::Parked),
        Job::Unpark { key, now, .. } => tables.parked.unpark(key, *now).map(Outcome::Unparked),
        Job::DropParked { owner, .. } => tables.parked.drop_of(owner).map(Outcome::Dropped),
        Job::PutApproval(putting, _) => tables.approvals.put(putting).map(Outcome::Approval),
        Job::Close(_) => Ok(Outcome::Done),
    }
}

fn put(shared: &Shared, tables: &mut Tables<'_>, putting: &Putting) -> Result<Outcome, Fault> {
    let key = &putting.key;
    let current = tables.session(key)?;
    let record = current
        .as_deref()
        .and_then(Record::read)
        .filter(|record| !record.is_expired(putting.now));
    let expected = match (putting.expect, &record) {
        (Expect::Absent, None) => true,
        (Expect::Version(expected), Some(record)) => record.version == expected,
        _ => false,
    };
    if !expected {
        let Some(record) = record else {
            return Ok(Outcome::Conflict(None));
        };
        return Ok(match shared.read(key, &record, tables.seen(key)?) {
            Ok(found) => Outcome::Conflict(Some(found)),
            Err(Unopened::Tampered) => Outcome::Conflict(None),
            Err(Unopened::UnknownKey) => Outcome::Unreadable,
        });
    }
    let mut seen = putting.session.last_seen;
    if record.is_some() {
        seen = seen.max(tables.seen(key)?.unwrap_or(seen));
        seen = seen.max(shared.near.last_seen(key).unwrap_or(seen));
    }
    let due = shared.due(putting.expires, seen);
    let owners: Vec<_> = Owner::of(&putting.session).collect();
    tables.put(key, &putting.written.record, &owners, seen, due)?;
    Ok(Outcome::Written { seen })
}

fn remove(
    shared: &Shared,
    tables: &mut Tables<'_>,
    key: &SessionKey,
    now: Timestamp,
    wanted: bool,
) -> Result<Outcome, Fault> {
    let found = if wanted {
        let seen = tables.seen(key)?;
        let current = tables.session(key)?;
        match current.as_deref().and_then(Record::read) {
            Some(record) if !record.is_expired(now) => match shared.read(key, &record, seen) {
                Ok(found) => Some(found),
                Err(Unopened::Tampered) => None,
                Err(Unopened::UnknownKey) => return Ok(Outcome::Unreadable),
            },
            _ => None,
        }
    } else {
        None
    };
    let there = tables.remove(key)?.is_some();
    Ok(Outcome::Removed { there, found })
}

/// It is on the disk: now it holds.
fn carry_over(shared: &Shared, job: Job, outcome: Outcome) {
    // A job whose outcome is of another kind, which cannot be, goes without an answer: that is unavailable.
    match (job, outcome) {
        (Job::Put(putting, answer), Outcome::Written { seen }) => {
            let Putting {
                key,
                session,
                expires,
                expect,
                written,
                ..
            } = *putting;
            let written = Read {
                session,
                length: written.length,
                version: version_after(expect),
                expires,
                seen,
            };
            if let Some(live) = shared.near.written(&key, written) {
                let _gone = answer.send(Ok(Put::Done(live)));
            }
        }
        (Job::Put(putting, answer), Outcome::Conflict(found)) => {
            let found = found.map(|found| shared.near.look(&putting.key, found));
            let _gone = answer.send(Ok(Put::Conflict(found)));
        }
        (Job::Put(_, answer), Outcome::Unreadable) => {
            let _gone = answer.send(Err(Unavailable));
        }
        (Job::Remove { key, answer, .. }, Outcome::Removed { there, found }) => {
            let at_hand = shared.near.remove(&key);
            let live = found.map(|found| match at_hand {
                Some(live) if live.version == found.version => live,
                _ => shared.near.look(&key, found),
            });
            let _gone = answer.send(Ok(Removed { there, live }));
        }
        (Job::Remove { answer, .. }, Outcome::Unreadable) => {
            let _gone = answer.send(Err(Unavailable));
        }
        (Job::Mark { answer, .. }, Outcome::Done) => {
            let _gone = answer.send(Ok(()));
        }
        (Job::Once { answer, .. }, Outcome::First(first)) => {
            let _gone = answer.send(Ok(first));
        }
        (Job::Park { answer, .. }, Outcome::Parked(parked)) => {
            let _gone = answer.send(Ok(parked));
        }
        (Job::Unpark { answer, .. }, Outcome::Unparked(found)) => {
            let _gone = answer.send(Ok(found));
        }
        (Job::DropParked { answer, .. }, Outcome::Dropped(dropped)) => {
            let _gone = answer.send(Ok(dropped));
        }
        (Job::PutApproval(_, answer), Outcome::Approval(put)) => {
            let _gone = answer.send(Ok(put));
        }
        _ => {}
    }
}

/// It may or may not be on the disk. What ends something holds from now on all the same, and is written when that is
/// possible again.
fn refuse(shared: &Shared, job: Job) {
    match job {
        Job::Put(putting, answer) => {
            shared.near.remove(&putting.key);
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Remove { key, answer, .. } => {
            shared.owed.removal(key);
            shared.near.remove(&key);
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Mark {
            mark,
            at,
            expires,
            answer,
        } => {
            shared.owed.mark(mark, at, expires);
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Once { answer, .. } => {
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Park { answer, .. } => {
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Unpark { answer, .. } => {
            let _gone = answer.send(Err(Unavailable));
        }
        // The marks of what ended are owed, and whoever asks for what was parked asks for them.
        Job::DropParked { answer, .. } => {
            let _gone = answer.send(Err(Unavailable));
        }
        // Whoever asks again finds it changed or not, and the version tells.
        Job::PutApproval(_, answer) => {
            let _gone = answer.send(Err(Unavailable));
        }
        Job::Close(answer) => {
            let _gone = answer.send(Err(Unavailable));
        }
    }
}
