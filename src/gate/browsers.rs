//! Browsers that are to be told by Web Push: each belongs to whoever was signed in when it was subscribed, and is told of
//! what that person may decide on. Sealed in the store, beside the approvals.
//!
//! What a person may is judged by what was known of them when they last had the app open; whoever may no more is told that
//! something waits, finds nothing, and is forgotten when they do not come back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::{Filed, Ledger};
use crate::model::approval::{Approval, Person};
use crate::model::evidence::Identity;
use crate::model::time::Timestamp;
use crate::notify::push::Subscription;
use crate::policy::approval::who::{Approvers, may_decide};
use crate::seal::session_key;
use crate::store::{ApprovalKey, ApprovalPut, Expect, Most, Owner, Unavailable};

const PURPOSE: &str = "push-subscription";

/// Of one person.
const SHARE: usize = 10;

/// With the approvals, which have room for twice as many.
const MOST: Most = Most {
    all: 25_000,
    share: SHARE,
};

/// From the last time that the app was open in it.
const LASTS: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Somebody else's change came between so often.
const TRIES: usize = 16;

#[derive(Clone, Debug)]
pub(in crate::gate) struct Browsers {
    ledger: Ledger,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Browser {
    whose: Identity,
    subscription: Subscription,
    at: Timestamp,
}

impl Browser {
    fn is_of(&self, whose: &Identity) -> bool {
        self.whose.iss == whose.iss && self.whose.sub == whose.sub
    }

    fn person(&self) -> Person {
        Person {
            iss: self.whose.iss.clone(),
            sub: self.whose.sub.clone(),
        }
    }
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Subscribed {
    Done,
    /// There are too many of everybody's.
    Full,
}

impl Browsers {
    /// In the store of `ledger`, for its users.
    pub(in crate::gate) fn new(ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.beside(PURPOSE),
        }
    }

    /// From now on it is theirs, whosever it was. The oldest one makes room.
    pub(in crate::gate) async fn subscribe(
        &self,
        whose: &Identity,
        subscription: Subscription,
        now: Timestamp,
    ) -> Result<Subscribed, Unavailable> {
        let key = key_of(&subscription);
        let browser = Browser {
            whose: whose.clone(),
            subscription,
            at: now,
        };
        let expires = now.plus(LASTS);
        for _ in 0..TRIES {
            let known = self.ledger.look::<Browser>(&key, now).await?;
            let is_theirs = known
                .as_ref()
                .and_then(|(_, known)| known.as_ref())
                .is_some_and(|known| known.is_of(whose));
            if !is_theirs {
                self.make_room(whose, now).await?;
            }
            let expect = known.map_or(Expect::Absent, |(version, _)| Expect::Version(version));
            match self.put(&key, &browser, expect, expires, now).await? {
                ApprovalPut::Done(_) => return Ok(Subscribed::Done),
                ApprovalPut::Full => return Ok(Subscribed::Full),
                ApprovalPut::Conflict | ApprovalPut::Crowded | ApprovalPut::Beside(_) => {}
            }
        }
        Err(Unavailable)
    }

    /// Whether it was theirs, and is no more.
    pub(in crate::gate) async fn unsubscribe(
        &self,
        whose: &Identity,
        endpoint: &str,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let key = key_of_endpoint(endpoint);
        self.remove(&key, now, |known| known.is_of(whose)).await
    }

    /// Its push service says that it is no more.
    pub(in crate::gate) async fn gone(
        &self,
        subscription: &Subscription,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let key = key_of(subscription);
        self.remove(&key, now, |known| known.subscription == *subscription)
            .await
    }

    pub(in crate::gate) async fn of(
        &self,
        whose: &Identity,
        now: Timestamp,
    ) -> Result<Vec<Subscription>, Unavailable> {
        let theirs: Vec<(_, Browser)> = self.ledger.all(&self.owner(whose), now).await?;
        Ok(theirs
            .into_iter()
            .map(|(_, one)| one.subscription)
            .collect())
    }

    /// Of everybody who may decide on it.
    pub(in crate::gate) async fn of_approvers(
        &self,
        approval: &Approval,
        approvers: &Approvers,
        now: Timestamp,
    ) -> Result<Vec<(Person, Subscription)>, Unavailable> {
        let all: Vec<(_, Browser)> = self.ledger.all(&self.everybody(), now).await?;
        Ok(all
            .into_iter()
            .filter(|(_, one)| may_decide(approval, approvers, &one.whose))
            .map(|(_, one)| (one.person(), one.subscription))
            .collect())
    }

    async fn make_room(&self, whose: &Identity, now: Timestamp) -> Result<(), Unavailable> {
        let mut theirs: Vec<(_, Browser)> = self.ledger.all(&self.owner(whose), now).await?;
        theirs.sort_by_key(|(_, one)| one.at);
        let over = (theirs.len() + 1).saturating_sub(SHARE);
        for (key, _) in theirs.into_iter().take(over) {
            self.remove(&key, now, |_| true).await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
        is_it: impl Fn(&Browser) -> bool,
    ) -> Result<bool, Unavailable> {
        for _ in 0..TRIES {
            let Some((version, Some(known))) = self.ledger.look(key, now).await? else {
                return Ok(false);
            };
            if !is_it(&known) {
                return Ok(false);
            }
            // What is past its time is absent.
            let put = self.put(key, &known, Expect::Version(version), now, now);
            match put.await? {
                ApprovalPut::Done(_) => return Ok(true),
                _ => continue,
            }
        }
        Err(Unavailable)
    }

    async fn put(
        &self,
        key: &ApprovalKey,
        browser: &Browser,
        expect: Expect,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let filed = Filed {
            alone: None,
            owners: vec![self.owner(&browser.whose), self.everybody()],
            expires,
        };
        let put = self.ledger.put(key, browser, filed, expect, MOST, now);
        put.await
    }

    fn owner(&self, whose: &Identity) -> Owner {
        Owner::browsers(&whose.iss, self.ledger.client(), &whose.sub)
    }

    fn everybody(&self) -> Owner {
        Owner::all_browsers(self.ledger.issuer(), self.ledger.client())
    }
}

fn key_of(subscription: &Subscription) -> ApprovalKey {
    key_of_endpoint(subscription.endpoint().as_str())
}

fn key_of_endpoint(endpoint: &str) -> ApprovalKey {
    ApprovalKey(session_key(&format!("push {endpoint}")).0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::config::{Reach, VapidKey, WebPush};
    use crate::model::random::Random;
    use crate::policy::example::{alice, given};
    use crate::seal::{Sealer, SystemRandom, fresh_key};
    use crate::store::{Capacity, MemoryStore};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn browsers() -> Browsers {
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let sealer = Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap();
        let store = MemoryStore::new(Capacity::default(), Duration::from_secs(3600));
        let (store, sealer) = (Arc::new(store), Arc::new(sealer));
        Browsers::new(&Ledger::new("test", store, sealer, "issuer", "stepgate"))
    }

    fn somebody(sub: &str, groups: &[&str]) -> Identity {
        Identity {
            sub: sub.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            claims: [("preferred_username".to_owned(), json!(sub))].into(),
            ..alice()
        }
    }

    fn subscription(path: &str) -> Subscription {
        let push = WebPush {
            key: VapidKey::new(vec![1; 32]).unwrap(),
            subject: "mailto:admin@example.com".to_owned(),
            services: vec!["push.example.net".to_owned()],
            reach: Reach {
                allow_private: false,
                ca: None,
            },
        };
        Subscription::new(
            &format!("https://push.example.net/{path}"),
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
            &push,
        )
        .unwrap()
    }

    #[tokio::test]
    async fn those_are_told_who_may_decide_and_nobody_else() {
        let browsers = browsers();
        let people = [
            somebody("bob", &["leads"]),
            somebody("carol", &["clerks"]),
            // Who asks decides nothing.
            Identity {
                groups: vec!["leads".to_owned()],
                ..alice()
            },
        ];
        for (number, who) in people.iter().enumerate() {
            let one = subscription(&number.to_string());
            let done = browsers.subscribe(who, one, NOW).await;
            assert_eq!(done, Ok(Subscribed::Done));
        }
        let approvers = Approvers {
            groups_any: vec!["leads".to_owned()],
            ..Approvers::default()
        };
        let told = browsers.of_approvers(&given(), &approvers, NOW).await;
        let bob = Person {
            iss: people[0].iss.clone(),
            sub: people[0].sub.clone(),
        };
        assert_eq!(told, Ok(vec![(bob, subscription("0"))]));
        // Who is in the group no more, and opens the app, is told no more.
        let gone = somebody("bob", &[]);
        let done = browsers.subscribe(&gone, subscription("0"), NOW).await;
        assert_eq!(done, Ok(Subscribed::Done));
        let told = browsers.of_approvers(&given(), &approvers, NOW).await;
        assert_eq!(told, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_person_has_ten_and_the_oldest_makes_room() {
        let browsers = browsers();
        let bob = somebody("bob", &[]);
        for number in 0..12 {
            let at = NOW.shifted(number);
            let one = subscription(&number.to_string());
            let done = browsers.subscribe(&bob, one, at).await;
            assert_eq!(done, Ok(Subscribed::Done));
        }
        let mut theirs = browsers.of(&bob, NOW.shifted(12)).await.unwrap();
        assert_eq!(theirs.len(), 10);
        theirs.retain(|one| *one == subscription("0") || *one == subscription("1"));
        assert_eq!(theirs, []);
        // The same once more is no further one.
        let again = browsers.subscribe(&bob, subscription("11"), NOW.shifted(12));
        assert_eq!(again.await, Ok(Subscribed::Done));
        assert_eq!(browsers.of(&bob, NOW.shifted(12)).await.unwrap().len(), 10);
    }

    /// On a shared machine whoever was there last is told, and whoever was before is not.
    #[tokio::test]
    async fn a_browser_is_one_persons_and_only_they_take_it_back() {
        let browsers = browsers();
        let (bob, carol) = (somebody("bob", &[]), somebody("carol", &[]));
        let one = subscription("1");
        for who in [&bob, &carol] {
            let done = browsers.subscribe(who, one.clone(), NOW).await;
            assert_eq!(done, Ok(Subscribed::Done));
        }
        assert_eq!(browsers.of(&bob, NOW).await, Ok(Vec::new()));
        let endpoint = one.endpoint().as_str();
        assert_eq!(browsers.unsubscribe(&bob, endpoint, NOW).await, Ok(false));
        assert_eq!(browsers.of(&carol, NOW).await, Ok(vec![one.clone()]));
        assert_eq!(browsers.unsubscribe(&carol, endpoint, NOW).await, Ok(true));
        assert_eq!(browsers.of(&carol, NOW).await, Ok(Vec::new()));
        // Its push service may say so too, and whoever comes back later is somebody new.
        browsers.subscribe(&bob, one.clone(), NOW).await.unwrap();
        assert_eq!(browsers.gone(&one, NOW).await, Ok(true));
        assert_eq!(browsers.gone(&one, NOW).await, Ok(false));
        browsers.subscribe(&bob, one.clone(), NOW).await.unwrap();
        let later = NOW.plus(LASTS);
        assert_eq!(browsers.of(&bob, later).await, Ok(Vec::new()));
    }
}
