//! What the writer does beside the writes that are waited for: a small batch at a time, so that these never wait long.

use std::time::{Duration, Instant};

use super::Shared;
use super::near::Use;
use super::record::Record;
use super::tables::{Fault, SEALED_BY_KEY, Tables};
use crate::model::session::SessionKey;
use crate::store::Unopened;

/// Between two looks for what is over.
const LOOK: Duration = Duration::from_secs(1);
/// Sessions that are removed in one transaction: some ten milliseconds.
const OVER: usize = 64;
/// Uses that are written in one transaction.
const USES: usize = 512;
/// Sessions that are looked at, and sealed anew where that is due, in one transaction.
const SEALS: usize = 64;
const SEAL_PAUSE: Duration = Duration::from_millis(20);
const REOPEN: Duration = Duration::from_millis(500);

/// A pass over all sessions, when another key seals.
#[derive(Debug)]
struct Pass {
    after: Option<SessionKey>,
    begun: bool,
    next: Instant,
    anew: u64,
    unknown: u64,
}

#[derive(Debug)]
pub(super) struct Chores {
    look: Instant,
    write_uses: Option<Instant>,
    uses: Vec<Use>,
    pass: Option<Pass>,
    /// Of the key that the last pass was for.
    key_id: Option<u64>,
    reopen: Instant,
    /// Which kind is first: none starves.
    turn: usize,
    ending: bool,
}

pub(super) enum Chore {
    /// What is owed is written by every transaction.
    Owed,
    Over,
    Uses(Vec<Use>),
    Seal {
        key_id: u64,
        after: Option<SessionKey>,
        begun: bool,
        unknown: u64,
    },
}

pub(super) enum Did {
    Nothing,
    Removed {
        gone: Vec<SessionKey>,
        more: bool,
    },
    Wrote(Vec<Use>),
    Sealed {
        up_to: Option<SessionKey>,
        anew: u64,
        unknown: u64,
        was_needed: bool,
    },
}

impl Pass {
    fn new(now: Instant) -> Self {
        Self {
            after: None,
            begun: false,
            next: now,
            anew: 0,
            unknown: 0,
        }
    }
}

impl Chores {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            look: now,
            write_uses: None,
            uses: Vec::new(),
            pass: None,
            key_id: None,
            reopen: now,
            turn: 0,
            ending: false,
        }
    }

    /// Until there is something to do.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        if !self.uses.is_empty() {
            return Duration::ZERO;
        }
        let pass = self.pass.as_ref().map(|pass| pass.next);
        let next = [Some(self.look), self.write_uses, pass];
        let next = next.into_iter().flatten().min().unwrap_or(now);
        next.saturating_duration_since(now).min(LOOK)
    }

    pub(super) fn may_reopen(&mut self, now: Instant) -> bool {
        let may = now >= self.reopen;
        if may {
            self.reopen = now + REOPEN;
            self.look = self.look.max(self.reopen);
        }
        may
    }

    pub(super) fn next(&mut self, shared: &Shared, now: Instant) -> Option<Chore> {
        let pace = Duration::from_secs(shared.grain().max(2) / 2);
        let write_uses = *self.write_uses.get_or_insert(now + pace);
        if self.uses.is_empty() && now >= write_uses {
            self.write_uses = Some(now + pace);
            self.uses = shared.near.unwritten(shared.grain());
        }
        let key_id = shared.sealing.key_id();
        if self.key_id != Some(key_id) {
            self.key_id = Some(key_id);
            self.pass = Some(Pass::new(now));
        }
        for _ in 0..3 {
            self.turn = (self.turn + 1) % 3;
            let chore = match self.turn {
                0 if now >= self.look => Some(Chore::Over),
                1 => self.some_uses(),
                2 => self.pass.as_ref().and_then(|pass| {
                    (now >= pass.next).then_some(Chore::Seal {
                        key_id,
                        after: pass.after,
                        begun: pass.begun,
                        unknown: pass.unknown,
                    })
                }),
                _ => None,
            };
            if chore.is_some() {
                return chore;
            }
        }
        shared.owed.is_any().then_some(Chore::Owed)
    }

    /// Before the end, until there is none.
    pub(super) fn last(&mut self, shared: &Shared) -> Option<Chore> {
        if !self.ending {
            self.ending = true;
            self.uses = shared.near.unwritten(0);
        }
        self.some_uses()
    }

    fn some_uses(&mut self) -> Option<Chore> {
        if self.uses.is_empty() {
            return None;
        }
        let left = self.uses.len().saturating_sub(USES);
        Some(Chore::Uses(self.uses.split_off(left)))
    }

    pub(super) fn done(&mut self, shared: &Shared, did: Did) {
        let now = Instant::now();
        match did {
            Did::Nothing => {}
            Did::Removed { gone, more } => {
                for key in &gone {
                    shared.near.remove(key);
                }
                self.look = if more { now } else { now + LOOK };
            }
            Did::Wrote(uses) => {
                for of in &uses {
                    shared.near.is_written(of);
                }
            }
            Did::Sealed {
                up_to,
                anew,
                unknown,
                was_needed,
            } => {
                let Some(pass) = &mut self.pass else { return };
                pass.begun = true;
                pass.anew += anew;
                pass.unknown += unknown;
                pass.next = now + SEAL_PAUSE;
                if up_to.is_some() {
                    pass.after = up_to;
                    return;
                }
                if was_needed {
                    say(pass);
                }
                self.pass = None;
            }
        }
    }

    /// Tried again in a while.
    pub(super) fn failed(&mut self, now: Instant) {
        self.look = now + LOOK;
        self.uses.clear();
        if let Some(pass) = &mut self.pass {
            pass.next = now + LOOK;
        }
    }
}

fn say(pass: &Pass) {
    if pass.unknown == 0 {
        tracing::info!(
            anew = pass.anew,
            "every stored session is sealed by the first key now: the other keys may be taken out of `[seal]` ten minutes from now"
        );
    } else {
        tracing::error!(
            sessions = pass.unknown,
            "stored sessions are sealed by a key that is not configured: their users get 503. Put the key back into `[seal]`, behind the first one"
        );
    }
}

impl Chore {
    pub(super) fn run(self, shared: &Shared, tables: &mut Tables<'_>) -> Result<Did, Fault> {
        match self {
            Self::Owed => Ok(Did::Nothing),
            Self::Over => over(shared, tables),
            Self::Uses(uses) => {
                for of in &uses {
                    tables.used(&of.key, of.at)?;
                }
                Ok(Did::Wrote(uses))
            }
            // The keys were changed just now: there is another pass.
            Self::Seal { key_id, .. } if key_id != shared.sealing.key_id() => Ok(Did::Nothing),
            Self::Seal {
                after,
                begun,
                unknown,
                ..
            } => seal(shared, tables, after, begun, unknown),
        }
    }
}

fn over(shared: &Shared, tables: &mut Tables<'_>) -> Result<Did, Fault> {
    let now = shared.clock.now();
    let due = tables.due(now, OVER)?;
    let mut gone = Vec::new();
    for key in &due {
        let expires = tables.session(key)?;
        let expires = expires
            .as_deref()
            .and_then(Record::read)
            .map(|record| record.expires);
        let seen = tables.seen(key)?.max(shared.near.last_seen(key));
        match (expires, seen) {
            (Some(expires), Some(seen)) if shared.due(expires, seen) > now => {
                tables.postpone(key, seen, shared.due(expires, seen))?;
            }
            _ => {
                tables.remove(key)?;
                gone.push(*key);
            }
        }
    }
    let marks = tables.remove_marks(now, OVER)?;
    let parked = tables.parked.throw_away(now, OVER)?;
    let approvals = tables.approvals.throw_away(now, OVER)?;
    Ok(Did::Removed {
        more: [due.len(), marks, parked, approvals].contains(&OVER),
        gone,
    })
}

fn seal(
    shared: &Shared,
    tables: &mut Tables<'_>,
    after: Option<SessionKey>,
    begun: bool,
    unknown_before: u64,
) -> Result<Did, Fault> {
    let key_id = shared.sealing.key_id();
    if !begun {
        if tables.meta(SEALED_BY_KEY)? == Some(key_id) {
            return Ok(Did::Sealed {
                up_to: None,
                anew: 0,
                unknown: 0,
                was_needed: false,
            });
        }
        // Whatever it says does not hold from the first change on.
        tables.set_meta(SEALED_BY_KEY, 0)?;
    }
    let found = tables.sessions_behind(after, SEALS)?;
    let (mut anew, mut unknown) = (0, 0);
    for (key, bytes) in &found {
        let Some(record) = Record::read(bytes) else {
            continue;
        };
        if shared.sealing.sealed_by(record.sealed) == Some(key_id) {
            continue;
        }
        match record.sealed_anew(key, &*shared.sealing) {
            Ok(record) => {
                tables.replace(key, &record)?;
                anew += 1;
            }
            Err(Unopened::UnknownKey) => unknown += 1,
            // Whoever asks for it raises the alarm.
            Err(Unopened::Tampered) => {}
        }
    }
    let up_to = found.last().map(|(key, _)| *key);
    if up_to.is_none() && unknown_before == 0 {
        tables.set_meta(SEALED_BY_KEY, key_id)?;
    }
    Ok(Did::Sealed {
        up_to,
        anew,
        unknown,
        was_needed: begun && after.is_some(),
    })
}
