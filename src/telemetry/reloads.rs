//! How the configuration that is served came to be, and what became of the attempts to change it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::time::Timestamp;

/// Written by who reloads, read by who tells of it.
#[derive(Debug)]
pub struct Reloads(Mutex<ReloadStatus>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadStatus {
    /// Since when the configuration is served.
    pub serving_since: Timestamp,
    /// The last attempt; nothing when there was none since the start.
    pub last: Option<(Timestamp, Outcome)>,
    /// Since the start.
    pub applied: u64,
    /// Since the start.
    pub refused: u64,
    /// Keys that were changed in the files and hold as they were until a restart.
    pub needs_restart: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// The configuration before it is still served.
    Refused {
        /// How many problems it has.
        errors: usize,
        /// The code of the first (`SG0003`), or what it was that failed.
        first: String,
    },
}

impl Reloads {
    pub fn new(started: Timestamp) -> Self {
        Self(Mutex::new(ReloadStatus {
            serving_since: started,
            last: None,
            applied: 0,
            refused: 0,
            needs_restart: Vec::new(),
        }))
    }

    pub fn status(&self) -> ReloadStatus {
        self.lock().clone()
    }

    pub fn applied(&self, needs_restart: Vec<&'static str>, now: Timestamp) {
        let mut status = self.lock();
        status.serving_since = now;
        status.last = Some((now, Outcome::Applied));
        status.applied += 1;
        status.needs_restart = needs_restart;
    }

    pub fn refused(&self, errors: usize, first: impl Into<String>, now: Timestamp) {
        let mut status = self.lock();
        let first = first.into();
        status.last = Some((now, Outcome::Refused { errors, first }));
        status.refused += 1;
    }

    fn lock(&self) -> MutexGuard<'_, ReloadStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReloadStatus {
    /// What is in the files is what is served, as far as a running process can serve it.
    pub fn is_current(&self) -> bool {
        !matches!(self.last, Some((_, Outcome::Refused { .. })))
    }
}
