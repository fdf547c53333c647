//! One address of an upstream: whether it is asked, and why not.
//!
//! Requests tell of connections that fail; checks, where they are configured, tell more. An address that requests found
//! closed is left alone for a pause and then tried again, by one connection or, where there is no other address, one
//! request. One that checks took out comes back by checks alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Health;
use crate::gate::NoAnswer;
use crate::model::time::Timestamp;

/// Milliseconds that an address is left alone after a connection to it failed; doubled each time.
const FIRST_PAUSE: u64 = 1_000;
const LONGEST_PAUSE: u64 = 16_000;

const OPEN: u64 = 0;
/// Until checks say otherwise.
const UNHEALTHY: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Address {
    pub(super) at: SocketAddr,
    /// [`OPEN`], [`UNHEALTHY`], or the moment from which it is tried again, in milliseconds from the start of its `Peers`.
    closed: AtomicU64,
    /// Locked when something changes, and never on the way of a request that goes well.
    story: Mutex<Story>,
}

/// How it came to be as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    pub(super) since: Timestamp,
    pub(super) last_error: Option<NoAnswer>,
    /// Connections that failed without one that did not.
    failed: u32,
    /// Checks of the same kind in a row.
    good: u32,
    bad: u32,
}

impl Address {
    pub(super) fn new(at: SocketAddr, now: Timestamp) -> Self {
        Self {
            at,
            closed: AtomicU64::new(OPEN),
            story: Mutex::new(Story {
                since: now,
                last_error: None,
                failed: 0,
                good: 0,
                bad: 0,
            }),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.closed.load(Ordering::Relaxed) == OPEN
    }

    /// Its pause is over, and nobody else is trying it. Who gets the word has to use it.
    pub(super) fn may_be_tried(&self, millis: u64) -> bool {
        let until = self.closed.load(Ordering::Relaxed);
        until != OPEN
            && until != UNHEALTHY
            && until <= millis
            && self
                .closed
                .compare_exchange(
                    until,
                    millis.saturating_add(LONGEST_PAUSE),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// A connection for a request did not come about. Says whether that is news.
    pub(super) fn failed(&self, why: NoAnswer, millis: u64, now: Timestamp) -> bool {
        let mut story = self.story();
        story.last_error = Some(why);
        story.failed = story.failed.saturating_add(1);
        let until = self.closed.load(Ordering::Relaxed);
        if until == UNHEALTHY {
            return false;
        }
        let doublings = story.failed.saturating_sub(1).min(8);
        let pause = (FIRST_PAUSE << doublings).min(LONGEST_PAUSE);
        self.closed
            .store(millis.saturating_add(pause), Ordering::Relaxed);
        let is_news = until == OPEN;
        if is_news {
            story.since = now;
        }
        is_news
    }

    /// A connection for a request came about. Says whether that is news.
    pub(super) fn connected(&self, now: Timestamp) -> bool {
        if matches!(self.closed.load(Ordering::Relaxed), OPEN | UNHEALTHY) {
            return false;
        }
        let mut story = self.story();
        self.open(&mut story, now)
    }

    /// What a check said. Says whether that changed something.
    pub(super) fn checked(
        &self,
        result: Result<(), NoAnswer>,
        health: &Health,
        now: Timestamp,
    ) -> bool {
        let mut story = self.story();
        match result {
            Ok(()) => {
                story.good = story.good.saturating_add(1);
                story.bad = 0;
                story.good >= health.healthy && self.open(&mut story, now)
            }
            Err(why) => {
                story.bad = story.bad.saturating_add(1);
                story.good = 0;
                story.last_error = Some(why);
                if story.bad < health.unhealthy {
                    return false;
                }
                let before = self.closed.swap(UNHEALTHY, Ordering::Relaxed);
                if before == OPEN {
                    story.since = now;
                }
                before != UNHEALTHY
            }
        }
    }

    pub(super) fn tell(&self) -> Story {
        *self.story()
    }

    fn open(&self, story: &mut Story, now: Timestamp) -> bool {
        story.failed = 0;
        let is_news = self.closed.swap(OPEN, Ordering::Relaxed) != OPEN;
        if is_news {
            story.since = now;
        }
        is_news
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn address() -> Address {
        Address::new(SocketAddr::from(([127, 0, 0, 1], 1)), at(0))
    }

    const HEALTH: Health = Health {
        path: None,
        host: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy: 2,
        unhealthy: 3,
    };

    #[test]
    fn a_closed_one_is_tried_by_one_request_after_its_pause() {
        let address = address();
        assert!(address.is_open() && !address.may_be_tried(0));
        assert!(address.failed(NoAnswer::Unreachable, 0, at(5)));
        assert!(!address.is_open() && !address.may_be_tried(FIRST_PAUSE - 1));
        assert!(address.may_be_tried(FIRST_PAUSE));
        assert!(!address.may_be_tried(FIRST_PAUSE), "somebody is at it");
        assert!(!address.failed(NoAnswer::Tls, FIRST_PAUSE, at(6)));
        assert!(!address.may_be_tried(3 * FIRST_PAUSE - 1), "it doubles");
        assert!(address.may_be_tried(3 * FIRST_PAUSE));
        assert_eq!(address.tell().since, at(5));
        assert_eq!(address.tell().last_error, Some(NoAnswer::Tls));
        assert!(address.connected(at(9)) && !address.connected(at(10)));
        assert!(address.is_open());
        assert_eq!(address.tell().since, at(9));
        // It starts from the shortest pause again.
        assert!(address.failed(NoAnswer::Unreachable, 0, at(11)));
        assert!(address.may_be_tried(FIRST_PAUSE));
    }

    #[test]
    fn pauses_have_an_end() {
        let address = address();
        for _ in 0..100 {
            address.failed(NoAnswer::Unreachable, 0, at(0));
        }
        assert!(address.may_be_tried(LONGEST_PAUSE));
    }

    #[test]
    fn checks_take_it_out_and_bring_it_back() {
        let address = address();
        for changed in [false, false, true, false] {
            assert_eq!(
                address.checked(Err(NoAnswer::Invalid), &HEALTH, at(1)),
                changed
            );
        }
        assert!(!address.is_open());
        assert!(!address.may_be_tried(u64::MAX), "no request goes there");
        assert!(!address.connected(at(2)) && !address.failed(NoAnswer::Closed, 0, at(2)));
        assert!(!address.checked(Ok(()), &HEALTH, at(3)));
        assert!(!address.checked(Err(NoAnswer::Invalid), &HEALTH, at(3)));
        assert!(!address.checked(Ok(()), &HEALTH, at(3)));
        assert!(address.checked(Ok(()), &HEALTH, at(4)));
        assert!(address.is_open());
        assert_eq!(address.tell().since, at(4));
    }

    #[test]
    fn checks_bring_back_what_requests_found_closed() {
        let address = address();
        address.failed(NoAnswer::Unreachable, 0, at(1));
        assert!(!address.checked(Ok(()), &HEALTH, at(2)));
        assert!(address.checked(Ok(()), &HEALTH, at(2)));
        assert!(address.is_open());
    }
}
