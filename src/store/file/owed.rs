//! What could not be written and holds all the same: ends of sessions and marks of logouts, until the disk takes them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tables::{Fault, Tables};
use crate::model::session::SessionKey;
use crate::model::time::Timestamp;
use crate::store::Mark;

/// Of each kind. There are no more ends than there are people who sign out while the disk is full.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Owed {
    debt: Mutex<Debt>,
    /// Nearly always not, and then nobody takes the lock.
    any: AtomicBool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Debt {
    removals: HashSet<SessionKey>,
    marks: HashMap<Mark, (Timestamp, Timestamp)>,
}

impl Owed {
    pub(super) fn removal(&self, key: SessionKey) {
        let mut debt = self.lock();
        if debt.removals.len() < MOST {
            debt.removals.insert(key);
        }
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn mark(&self, mark: Mark, at: Timestamp, expires: Timestamp) {
        let mut debt = self.lock();
        if debt.marks.len() < MOST {
            let known = debt.marks.entry(mark).or_insert((at, expires));
            *known = (known.0.max(at), known.1.max(expires));
        }
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn is_removed(&self, key: &SessionKey) -> bool {
        self.is_any() && self.lock().removals.contains(key)
    }

    pub(super) fn marked(&self, mark: &Mark, now: Timestamp) -> Option<Timestamp> {
        if !self.is_any() {
            return None;
        }
        let (at, expires) = self.lock().marks.get(mark).copied()?;
        (expires > now).then_some(at)
    }

    pub(super) fn all(&self) -> Debt {
        if self.is_any() {
            self.lock().clone()
        } else {
            Debt::default()
        }
    }

    pub(super) fn is_paid(&self, paid: &Debt) {
        if paid.removals.is_empty() && paid.marks.is_empty() {
            return;
        }
        let mut debt = self.lock();
        debt.removals.retain(|key| !paid.removals.contains(key));
        debt.marks
            .retain(|mark, times| paid.marks.get(mark) != Some(times));
        let any = !debt.removals.is_empty() || !debt.marks.is_empty();
        self.any.store(any, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Debt> {
        // Every change is whole: there is no half-done state behind a panic.
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debt {
    pub(super) fn pay(&self, tables: &mut Tables<'_>) -> Result<(), Fault> {
        for key in &self.removals {
            tables.remove(key)?;
        }
        for (mark, (at, expires)) in &self.marks {
            let known = tables.marked(mark)?.unwrap_or((*at, *expires));
            tables.mark(mark, known.0.max(*at), known.1.max(*expires))?;
        }
        Ok(())
    }
}
