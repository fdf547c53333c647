//! Step-ups that a session has under way, so that many tabs ask a person for the same factor once.
//!
//! Keycloak sends the other tabs of a sign-in on by itself, but not those of a forced step-up. A tab that needs what
//! another one went for waits for it, and can go for it itself. A guess of this process, not a decision: what is lost
//! here costs a factor typed twice.

use std::time::Duration;

use moka::sync::Cache;

use crate::model::session::Lineage;
use crate::model::time::Timestamp;

/// Then a step-up is taken for abandoned. A person who went back and asks again has one more click until then.
const LIFE: Duration = Duration::from_secs(120);

/// What is more is forgotten.
const MOST: u64 = 100_000;

/// Clones share it.
#[derive(Clone, Debug)]
pub(in crate::gate) struct UnderWay(Cache<(Lineage, String), Timestamp>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MOST)
                .time_to_live(LIFE)
                .build(),
        )
    }
}

impl UnderWay {
    /// Whether another tab is at it; else this one is from now on.
    pub(in crate::gate) fn is_taken(&self, lineage: &Lineage, level: &str, now: Timestamp) -> bool {
        let key = (lineage.clone(), level.to_owned());
        let entry = self.0.entry(key).or_insert(now);
        if entry.is_fresh() {
            return false;
        }
        let taken = now.since(*entry.value()) < LIFE;
        if !taken {
            self.0.insert(entry.key().clone(), now);
        }
        taken
    }

    /// It came back, however it ended, or did not even start.
    pub(in crate::gate) fn is_over(&self, lineage: &Lineage, level: &str) {
        self.0.invalidate(&(lineage.clone(), level.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tab_at_a_time_goes_for_a_level() {
        let under_way = UnderWay::default();
        let (mine, yours) = (Lineage("mine".to_owned()), Lineage("yours".to_owned()));
        let start = Timestamp::from_unix(1_800_000_000);
        assert!(!under_way.is_taken(&mine, "mfa", start));
        assert!(under_way.is_taken(&mine, "mfa", start));
        assert!(!under_way.is_taken(&mine, "key", start), "another level");
        assert!(!under_way.is_taken(&yours, "mfa", start), "another session");
        under_way.is_over(&mine, "mfa");
        assert!(!under_way.is_taken(&mine, "mfa", start));
        let later = start.plus(LIFE);
        assert!(!under_way.is_taken(&mine, "mfa", later), "abandoned");
        assert!(under_way.is_taken(&mine, "mfa", later));
    }
}
