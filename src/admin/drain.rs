//! Whether this process wants no more traffic: `/readyz` is red, and whoever comes all the same is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::time::Timestamp;

/// Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Drain(Arc<AtomicI64>);

const OFF: i64 = i64::MIN;

impl Drain {
    /// A second time changes nothing.
    pub fn begin(&self, now: Timestamp) {
        let _known =
            self.0
                .compare_exchange(OFF, now.as_unix(), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.store(OFF, Ordering::Relaxed);
    }

    pub fn since(&self) -> Option<Timestamp> {
        let since = self.0.load(Ordering::Relaxed);
        (since != OFF).then(|| Timestamp::from_unix(since))
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(OFF)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_since_it_was_first_asked_for() {
        let drain = Drain::default();
        assert_eq!(drain.since(), None);
        drain.begin(Timestamp::from_unix(5));
        drain.begin(Timestamp::from_unix(9));
        assert_eq!(drain.since(), Some(Timestamp::from_unix(5)));
        drain.end();
        assert_eq!(drain.since(), None);
    }
}
