//! Lines of the audit log that anybody can cause, who proves nothing by it: a token that is none, a message that nobody has
//! signed. A flood of them would hide those that matter, and wake whoever is called by an alarm.
//!
//! Of each kind a few are written whole, and then one a minute, which says how many there were beside it. The metrics count
//! them all.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audit::Circumstances;
use super::limits::{Bucket, source};
use super::{Gate, Incoming};
use crate::model::time::Timestamp;
use crate::telemetry::{AuditEvent, AuditKind};

/// Lines of one kind at once, and of one address among them: one address alone hides none of another.
const FEW: u32 = 10;
const FEW_OF_ONE: u32 = 3;

/// And then so many a minute.
const RATE: u32 = 1;

/// Before a number is told by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Addresses that are remembered, of one kind; of one that there is no room for nothing is written, but its number is.
const ADDRESSES: usize = 1024;

/// What is refused: a word of ours, and of a channel its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Refused {
    pub(in crate::gate) event: AuditKind,
    pub(in crate::gate) reason: &'static str,
    pub(in crate::gate) channel: Option<String>,
}

/// Over all configurations. Clones share it.
#[derive(Clone, Default)]
pub(in crate::gate) struct Strangers(Arc<Mutex<Vec<Heard>>>);

/// Of one kind.
#[derive(Debug)]
struct Heard {
    of: Refused,
    lines: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
    /// The last line.
    last: Timestamp,
    left_out: u64,
}

impl Strangers {
    /// `None`: it is not written, and its number is, later. Else how many were not since the last one that was.
    pub(in crate::gate) fn hear(
        &self,
        what: &Refused,
        client: IpAddr,
        now: Timestamp,
    ) -> Option<u64> {
        let mut all = lock(&self.0);
        let at = all.iter().position(|heard| heard.of == *what);
        let at = at.unwrap_or_else(|| {
            all.push(Heard {
                of: what.clone(),
                lines: Bucket::full(FEW, now),
                addresses: HashMap::new(),
                last: now,
                left_out: 0,
            });
            all.len().saturating_sub(1)
        });
        let heard = all.get_mut(at)?;
        if heard.of_address(client, now) && heard.lines.take(FEW, RATE, now).is_ok() {
            heard.last = now;
            return Some(std::mem::take(&mut heard.left_out));
        }
        heard.left_out = heard.left_out.saturating_add(1);
        None
    }

    /// Numbers that no later one has come to tell; to be asked for now and then.
    fn due(&self, now: Timestamp) -> Vec<(Refused, u64)> {
        let mut all = lock(&self.0);
        let mut due = Vec::new();
        for heard in all.iter_mut().filter(|heard| heard.left_out > 0) {
            let is_due = now.since(heard.last) >= PATIENCE;
            if is_due && heard.lines.take(FEW, RATE, now).is_ok() {
                heard.last = now;
                due.push((heard.of.clone(), std::mem::take(&mut heard.left_out)));
            }
        }
        // Names of channels come and go.
        all.retain(|heard| heard.left_out > 0 || !heard.lines.is_full(FEW, RATE, now));
        due
    }
}

impl Heard {
    fn of_address(&mut self, client: IpAddr, now: Timestamp) -> bool {
        let client = source(client);
        if !self.addresses.contains_key(&client) && self.addresses.len() >= ADDRESSES {
            self.addresses
                .retain(|_, known| !known.is_full(FEW_OF_ONE, RATE, now));
            if self.addresses.len() >= ADDRESSES {
                return false;
            }
        }
        let known = self.addresses.entry(client);
        let known = known.or_insert_with(|| Bucket::full(FEW_OF_ONE, now));
        known.take(FEW_OF_ONE, RATE, now).is_ok()
    }
}

impl Gate {
    /// Whether it was written.
    pub(in crate::gate) fn alarm_by_anybody(
        &self,
        incoming: &Incoming<'_>,
        reason: &'static str,
    ) -> bool {
        let event = AuditKind::Alarm;
        let refused = Refused {
            event,
            reason,
            channel: None,
        };
        let now = self.parts.clock.now();
        let Some(left_out) = self.strangers.hear(&refused, incoming.client, now) else {
            return false;
        };
        let circumstances = Circumstances {
            left_out,
            ..Circumstances::because(reason)
        };
        self.audit(event, incoming, circumstances);
        true
    }

    pub(in crate::gate) fn say_how_many_were_left_out(&self, now: Timestamp) {
        for (refused, left_out) in self.strangers.due(now) {
            let event = AuditEvent {
                reason: Some(refused.reason),
                channel: refused.channel.as_deref(),
                left_out,
                ..AuditEvent::new(refused.event)
            };
            self.parts.audit.record(&event, now);
        }
    }
}

/// Every change is whole: there is no half-done state behind a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strangers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::*;

    fn forged(channel: &str) -> Refused {
        Refused {
            event: AuditKind::WebhookRefused,
            reason: "signature",
            channel: Some(channel.to_owned()),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    fn from(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn one_address_is_a_few_lines_and_then_one_a_minute_and_hides_nobody() {
        let strangers = Strangers::default();
        let hears = |number, second| strangers.hear(&forged("a"), from(number), at(second));
        let written = (0..1000).filter(|_| hears(1, 0).is_some()).count();
        assert_eq!(written, 3);
        // Nor are lines of others used up by telling how many it was.
        assert_eq!(strangers.due(at(59)), []);
        assert_eq!(hears(2, 0), Some(997), "with all that was left out");
        assert_eq!(hears(1, 59), None);
        assert_eq!(hears(1, 60), Some(1));
        assert_eq!(hears(1, 60), None);
        // Each kind, and each channel, by itself.
        let of = |what: &Refused| strangers.hear(what, from(1), at(60));
        assert_eq!(of(&forged("b")), Some(0));
        let late = Refused {
            reason: "timestamp",
            ..forged("a")
        };
        assert_eq!(of(&late), Some(0));
    }

    #[test]
    fn many_addresses_are_ten_lines_and_take_no_more_room() {
        let strangers = Strangers::default();
        let hears = |number, second| strangers.hear(&forged("a"), from(number), at(second));
        let written = (0..5000).filter(|number| hears(*number, 0).is_some());
        assert_eq!(written.count(), 10);
        let known = lock(&strangers.0).first().unwrap().addresses.len();
        assert_eq!(known, ADDRESSES);
        // A clock that goes back brings none.
        assert_eq!(hears(9000, -600), None);
        let written = (0..5000).filter(|number| hears(*number, 60).is_some());
        assert_eq!(written.count(), 1);
    }

    #[test]
    fn what_no_later_one_tells_is_told_all_the_same_and_then_forgotten() {
        let strangers = Strangers::default();
        for number in 0..100 {
            strangers.hear(&forged("a"), from(number), at(0));
        }
        assert_eq!(strangers.due(at(59)), []);
        assert_eq!(strangers.due(at(60)), [(forged("a"), 90)]);
        assert_eq!(strangers.due(at(120)), []);
        assert_eq!(lock(&strangers.0).len(), 1);
        assert_eq!(strangers.due(at(700)), []);
        assert_eq!(lock(&strangers.0).len(), 0);
    }
}
