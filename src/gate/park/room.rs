//! Memory for bodies on their way in and out, of the same budget as what is parked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use by this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct InHand(Arc<AtomicU64>);

/// Given back when it is dropped.
#[derive(Debug)]
pub(in crate::gate) struct Held {
    in_hand: InHand,
    bytes: u64,
}

impl InHand {
    pub(in crate::gate) fn nothing(&self) -> Held {
        Held {
            in_hand: self.clone(),
            bytes: 0,
        }
    }
}

impl Held {
    /// Whether there was room for so much more, with `parked` beside it.
    pub(in crate::gate) fn grow(&mut self, more: u64, parked: u64, budget: u64) -> bool {
        let room = budget.saturating_sub(parked);
        let grown = self
            .in_hand
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
                bytes.checked_add(more).filter(|bytes| *bytes <= room)
            })
            .is_ok();
        if grown {
            self.bytes = self.bytes.saturating_add(more);
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_hand.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_counts_and_is_given_back() {
        let in_hand = InHand::default();
        let mut first = in_hand.nothing();
        assert!(first.grow(60, 0, 100));
        let mut second = in_hand.nothing();
        assert!(!second.grow(41, 0, 100));
        assert!(!second.grow(40, 1, 100), "beside what is parked");
        assert!(second.grow(40, 0, 100));
        assert!(!first.grow(1, 0, 100));
        drop(second);
        assert!(first.grow(40, 0, 100));
        assert!(!in_hand.nothing().grow(u64::MAX, 0, u64::MAX));
        drop(first);
        assert_eq!(in_hand.0.load(Ordering::Relaxed), 0);
    }
}
