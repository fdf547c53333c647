//! Devices of people's own: the public half of a key that a browser keeps and does not give away, and whose it is. With it
//! somebody decides on what they asked for themselves, or says that a sign-in somewhere else is theirs. Sealed in the
//! store, beside the approvals.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::{Filed, Ledger};
use crate::model::evidence::Identity;
use crate::model::level::Ladder;
use crate::model::level::Rank;
use crate::model::time::Timestamp;
use crate::seal::session_key;
use crate::store::{ApprovalKey, ApprovalPut, Expect, Most, Owner, Unavailable};

const PURPOSE: &str = "device";

/// Of one person.
pub(in crate::gate) const SHARE: usize = 10;

/// With the approvals, which have room for twice as many.
const MOST: Most = Most {
    all: 20_000,
    share: SHARE,
};

/// From its enrolment, or the last time that it decided.
const LASTS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Somebody else's change came between so often.
const TRIES: usize = 16;

#[derive(Clone, Debug)]
pub(in crate::gate) struct Devices {
    ledger: Ledger,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gate) struct Device {
    /// The digest of its key.
    pub(in crate::gate) id: String,
    pub(in crate::gate) iss: String,
    pub(in crate::gate) sub: String,
    /// As its owner calls it.
    pub(in crate::gate) name: String,
    /// A point on P-256, uncompressed (SEC 1, 2.3.3), in base64url.
    pub(in crate::gate) key: String,
    /// The level that was proven for it, by name: after a reload it may be another rank.
    pub(in crate::gate) level: String,
    pub(in crate::gate) enrolled: Timestamp,
    /// The sign-in at the provider that it was enrolled in.
    pub(in crate::gate) sid: String,
    pub(in crate::gate) used: Option<Timestamp>,
}

impl Device {
    pub(in crate::gate) fn is_of(&self, whose: &Identity) -> bool {
        self.iss == whose.iss && self.sub == whose.sub
    }

    /// From then on it may decide.
    pub(in crate::gate) fn ready(&self, cooldown: Duration) -> Timestamp {
        self.enrolled.plus(cooldown)
    }

    pub(in crate::gate) fn has_level(&self, ladder: &Ladder, rank: Rank) -> bool {
        let level = ladder.by_name(&self.level);
        level.is_some_and(|level| level.rank >= rank)
    }

    fn expires(&self) -> Timestamp {
        self.used.unwrap_or(self.enrolled).plus(LASTS)
    }
}

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Enrolled {
    Done,
    /// There is that key already, whosever it is.
    Known,
    /// Its owner has as many as anybody may have.
    TooMany,
    /// There are too many of everybody's.
    Full,
}

impl Devices {
    /// In the store of `ledger`, for its users.
    pub(in crate::gate) fn new(ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.beside(PURPOSE),
        }
    }

    pub(in crate::gate) async fn enrol(
        &self,
        device: &Device,
        now: Timestamp,
    ) -> Result<Enrolled, Unavailable> {
        let key = key_of(&device.id);
        let put = self.put(&key, device, Expect::Absent, device.expires(), now);
        Ok(match put.await? {
            ApprovalPut::Done(_) => Enrolled::Done,
            ApprovalPut::Conflict => Enrolled::Known,
            ApprovalPut::Crowded => Enrolled::TooMany,
            ApprovalPut::Full | ApprovalPut::Beside(_) => Enrolled::Full,
        })
    }

    /// Theirs, the oldest first.
    pub(in crate::gate) async fn of(
        &self,
        whose: &Identity,
        now: Timestamp,
    ) -> Result<Vec<Device>, Unavailable> {
        let owner = self.owner(&whose.iss, &whose.sub);
        let found: Vec<(_, Device)> = self.ledger.all(&owner, now).await?;
        let mut theirs: Vec<_> = found
            .into_iter()
            .map(|(_, one)| one)
            .filter(|one| one.is_of(whose))
            .collect();
        theirs.sort_by(|one, other| (one.enrolled, &one.id).cmp(&(other.enrolled, &other.id)));
        Ok(theirs)
    }

    /// `None`: it is not theirs, or no more.
    pub(in crate::gate) async fn find(
        &self,
        whose: &Identity,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Device>, Unavailable> {
        let found = self.ledger.look::<Device>(&key_of(id), now).await?;
        let found = found.and_then(|(_, found)| found);
        Ok(found.filter(|found| found.id == id && found.is_of(whose)))
    }

    /// What it was, where it was theirs. Nothing of it counts any more.
    pub(in crate::gate) async fn remove(
        &self,
        whose: &Identity,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Device>, Unavailable> {
        // What is past its time is absent.
        self.change(whose, id, now, |_| Some(now)).await
    }

    pub(in crate::gate) async fn rename(
        &self,
        whose: &Identity,
        id: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Device>, Unavailable> {
        let change = |device: &mut Device| {
            name.clone_into(&mut device.name);
            None
        };
        self.change(whose, id, now, change).await
    }

    /// It has decided.
    pub(in crate::gate) async fn used(
        &self,
        whose: &Identity,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Device>, Unavailable> {
        let change = |device: &mut Device| {
            device.used = Some(now);
            None
        };
        self.change(whose, id, now, change).await
    }

    /// As it is afterwards. `change` may say when it ends.
    async fn change(
        &self,
        whose: &Identity,
        id: &str,
        now: Timestamp,
        change: impl Fn(&mut Device) -> Option<Timestamp>,
    ) -> Result<Option<Device>, Unavailable> {
        let key = key_of(id);
        for _ in 0..TRIES {
            let found = self.ledger.look::<Device>(&key, now).await?;
            let Some((version, Some(mut device))) = found else {
                return Ok(None);
            };
            if device.id != id || !device.is_of(whose) {
                return Ok(None);
            }
            let ends = change(&mut device);
            let expires = ends.unwrap_or_else(|| device.expires());
            let put = self.put(&key, &device, Expect::Version(version), expires, now);
            match put.await? {
                ApprovalPut::Done(_) => return Ok(Some(device)),
                ApprovalPut::Conflict => {}
                ApprovalPut::Beside(_) | ApprovalPut::Full | ApprovalPut::Crowded => {
                    return Err(Unavailable);
                }
            }
        }
        Err(Unavailable)
    }

    async fn put(
        &self,
        key: &ApprovalKey,
        device: &Device,
        expect: Expect,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let filed = Filed {
            alone: None,
            owners: vec![self.owner(&device.iss, &device.sub)],
            expires,
        };
        let put = self.ledger.put(key, device, filed, expect, MOST, now);
        put.await
    }

    fn owner(&self, iss: &str, sub: &str) -> Owner {
        Owner::devices(iss, self.ledger.client(), sub)
    }
}

fn key_of(id: &str) -> ApprovalKey {
    ApprovalKey(session_key(&format!("device {id}")).0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::model::random::Random;
    use crate::policy::example::alice;
    use crate::seal::{Sealer, SystemRandom, fresh_key};
    use crate::store::{Capacity, MemoryStore};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn devices() -> Devices {
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let sealer = Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap();
        let store = MemoryStore::new(Capacity::default(), Duration::from_secs(3600));
        let (store, sealer) = (Arc::new(store), Arc::new(sealer));
        Devices::new(&Ledger::new("test", store, sealer, "issuer", "stepgate"))
    }

    fn of(whose: &Identity, id: &str) -> Device {
        Device {
            id: id.to_owned(),
            iss: whose.iss.clone(),
            sub: whose.sub.clone(),
            name: "Phone".to_owned(),
            key: "key".to_owned(),
            level: "mfa".to_owned(),
            enrolled: NOW,
            sid: "s2".to_owned(),
            used: None,
        }
    }

    fn bob() -> Identity {
        Identity {
            sub: "bob".to_owned(),
            ..alice()
        }
    }

    #[tokio::test]
    async fn a_device_is_one_persons_and_only_they_change_it() {
        let devices = devices();
        let one = of(&alice(), "one");
        assert_eq!(devices.enrol(&one, NOW).await, Ok(Enrolled::Done));
        // The same key for somebody else, or once more, is none.
        for whose in [alice(), bob()] {
            let again = devices.enrol(&of(&whose, "one"), NOW).await;
            assert_eq!(again, Ok(Enrolled::Known));
        }
        assert_eq!(devices.find(&bob(), "one", NOW).await, Ok(None));
        assert_eq!(devices.rename(&bob(), "one", "Mine", NOW).await, Ok(None));
        assert_eq!(devices.remove(&bob(), "one", NOW).await, Ok(None));
        assert_eq!(devices.of(&bob(), NOW).await, Ok(Vec::new()));
        assert_eq!(devices.of(&alice(), NOW).await, Ok(vec![one]));

        let renamed = devices.rename(&alice(), "one", "Tablet", NOW).await;
        assert_eq!(renamed.unwrap().unwrap().name, "Tablet");
        devices.used(&alice(), "one", NOW.shifted(9)).await.unwrap();
        let found = devices.find(&alice(), "one", NOW.shifted(9)).await.unwrap();
        assert_eq!(found.unwrap().used, Some(NOW.shifted(9)));
        assert!(
            devices
                .remove(&alice(), "one", NOW)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(devices.find(&alice(), "one", NOW).await, Ok(None));
        assert_eq!(devices.remove(&alice(), "one", NOW).await, Ok(None));
    }

    #[tokio::test]
    async fn a_person_has_ten_and_an_unused_one_is_forgotten() {
        let devices = devices();
        for number in 0..SHARE {
            let one = of(&alice(), &number.to_string());
            assert_eq!(devices.enrol(&one, NOW).await, Ok(Enrolled::Done));
        }
        let more = devices.enrol(&of(&alice(), "more"), NOW).await;
        assert_eq!(more, Ok(Enrolled::TooMany));
        let other = devices.enrol(&of(&bob(), "more"), NOW).await;
        assert_eq!(other, Ok(Enrolled::Done));
        let almost = NOW.plus(LASTS).shifted(-1);
        devices.used(&alice(), "3", almost).await.unwrap();
        let left = devices.of(&alice(), NOW.plus(LASTS)).await.unwrap();
        let left: Vec<_> = left.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(left, ["3"]);
    }
}
