//! stepgate as Keycloak's HTTP authentication channel (OpenID Connect CIBA): other clients of the realm ask Keycloak to have
//! a user confirm something, Keycloak hands it on to us, and the user decides in the approver app.
//!
//! A request goes `channel` (who hands it on, and for whom) → the store → the approver app (what its user sees and says) →
//! `deliver` (what Keycloak is told). What is unsure is not confirmed: Keycloak's own time runs out.

mod channel;
mod confirm;
mod deliver;
mod record;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Gate;
use super::ledger::{Filed, Ledger};
use crate::model::approval::{Answer, Person};
use crate::model::random::Random;
use crate::model::time::Timestamp;
use crate::seal::{session_key, token};
use crate::store::{ApprovalKey, ApprovalPut, Expect, Most, Owner, Unavailable, Version};
use crate::telemetry::metrics::SignInOutcome;
use crate::telemetry::{AuditEvent, AuditKind};
use record::{Asking, LATELY, TooMuch, allows};

pub(in crate::gate) use confirm::{NotAsked, PING, code_of};
pub(in crate::gate) use record::{NotTaken, Sent, SignIn, State};

/// Where Keycloak finds us, behind [`super::OWN_PREFIX`] of the approver app's host.
pub(in crate::gate) const HERE: &str = "ciba";

const PURPOSE: &str = "ciba";

/// No approval has such an id.
const ID_PREFIX: &str = "ciba-";

/// 128 bits.
const ID_BYTES: usize = 16;

/// How long it can be looked at when it is over.
const HISTORY: Duration = Duration::from_secs(60 * 60);

/// With the approvals; of one user far more than the limits let through.
const MOST: Most = Most {
    all: 10_000,
    share: 256,
};

/// Somebody else's change came between so often.
const TRIES: usize = 16;

/// Clients are the configuration's: there are not many.
type Windows = HashMap<String, VecDeque<Timestamp>>;

/// Over all configurations of the process. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct Shared(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// One request is taken in at a time, so that no two both are the last that is allowed.
    taking: tokio::sync::Mutex<()>,
    clients: Mutex<Windows>,
    confirmations: confirm::Confirmations,
    /// Ids of what is being sent to Keycloak by this process.
    sending: Mutex<HashSet<String>>,
}

/// Requests by CIBA, in the ledger.
#[derive(Debug)]
pub(in crate::gate) struct SignIns {
    ledger: Ledger,
    random: Arc<dyn Random>,
    shared: Shared,
}

/// What became of a request to ask somebody.
#[derive(Debug)]
enum Taken {
    Asked(Box<SignIn>),
    Refused(TooMuch),
    /// There are too many of all users.
    Full,
}

impl SignIns {
    /// In the store of `ledger`, for its users. `before`: what these take the place of.
    pub(in crate::gate) fn new(
        ledger: &Ledger,
        random: Arc<dyn Random>,
        before: Option<&Self>,
    ) -> Self {
        Self {
            ledger: ledger.beside(PURPOSE),
            random,
            shared: before.map_or_else(Shared::default, |before| before.shared.clone()),
        }
    }

    /// Whether the client has asked for less than it may of late; it then has asked once more.
    fn client_may(&self, client: &str, most: usize, now: Timestamp) -> bool {
        let mut clients = lock(&self.shared.0.clients);
        let window = clients.entry(client.to_owned()).or_default();
        window.retain(|at| now.since(*at) < LATELY);
        let may = window.len() < most;
        if may {
            window.push_back(now);
        }
        may
    }

    async fn ask(&self, asking: Asking, most: usize, now: Timestamp) -> Result<Taken, Unavailable> {
        let _one_at_a_time = self.shared.0.taking.lock().await;
        let known = self.of(&asking.person, now).await?;
        if let Err(too_much) = allows(&known, &asking.client, most, now) {
            return Ok(Taken::Refused(too_much));
        }
        let id = format!("{ID_PREFIX}{}", token(&*self.random, ID_BYTES));
        let sign_in = SignIn::new(id, asking, now);
        match self.put(&sign_in, Expect::Absent, now).await? {
            ApprovalPut::Done(_) => Ok(Taken::Asked(Box::new(sign_in))),
            ApprovalPut::Full | ApprovalPut::Crowded => Ok(Taken::Full),
            // A fresh id is nobody's, and stands beside others.
            ApprovalPut::Conflict | ApprovalPut::Beside(_) => Err(Unavailable),
        }
    }

    pub(in crate::gate) async fn find(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<SignIn>, Unavailable> {
        Ok(self.look(&key_of(id), now).await?.map(|(_, found)| found))
    }

    /// All of one user that are still to be looked at, the oldest first.
    pub(in crate::gate) async fn of(
        &self,
        person: &Person,
        now: Timestamp,
    ) -> Result<Vec<SignIn>, Unavailable> {
        let all: Vec<(_, SignIn)> = self.ledger.all(&self.owner(person), now).await?;
        let mut found: Vec<_> = all
            .into_iter()
            .map(|(_, one)| one)
            .filter(|one| one.person == *person)
            .collect();
        found.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        Ok(found)
    }

    /// `None`: there is no such one. What `change` refuses is not changed.
    async fn change<R>(
        &self,
        id: &str,
        now: Timestamp,
        change: impl Fn(&SignIn) -> Result<SignIn, R>,
    ) -> Result<Option<Result<SignIn, R>>, Unavailable> {
        let key = key_of(id);
        for _ in 0..TRIES {
            let Some((version, found)) = self.look(&key, now).await? else {
                return Ok(None);
            };
            let next = match change(&found) {
                Ok(next) => next,
                Err(refused) => return Ok(Some(Err(refused))),
            };
            match self.put(&next, Expect::Version(version), now).await? {
                ApprovalPut::Done(_) => return Ok(Some(Ok(next))),
                ApprovalPut::Conflict => {}
                _ => return Err(Unavailable),
            }
        }
        Err(Unavailable)
    }

    async fn put(
        &self,
        sign_in: &SignIn,
        expect: Expect,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let filed = Filed {
            alone: None,
            owners: vec![self.owner(&sign_in.person)],
            expires: sign_in.expires.plus(HISTORY),
        };
        let key = key_of(&sign_in.id);
        self.ledger
            .put(&key, sign_in, filed, expect, MOST, now)
            .await
    }

    async fn look(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, SignIn)>, Unavailable> {
        let found = self.ledger.look(key, now).await?;
        Ok(found.and_then(|(version, found)| Some((version, found?))))
    }

    fn owner(&self, person: &Person) -> Owner {
        Owner::sign_ins(&person.iss, self.ledger.client(), &person.sub)
    }
}

/// Whether it is the id of one.
pub(in crate::gate) fn is_sign_in(id: &str) -> bool {
    id.starts_with(ID_PREFIX)
}

impl Gate {
    /// Whose it is, at which level, and by which device of theirs, is known before. `None`: there is no such one.
    pub(in crate::gate) async fn answered_sign_in(
        self: &Arc<Self>,
        id: &str,
        answer: Answer,
        device: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Result<SignIn, NotTaken>>, Unavailable> {
        let changed = self
            .sign_ins
            .change(id, now, |one| one.answered(answer, now))
            .await?;
        if let Some(Ok(sign_in)) = &changed {
            let (reason, outcome) = outcome_of(answer);
            self.note_sign_in_by(AuditKind::CibaDecided, sign_in, reason, outcome, device);
            if answer == Answer::Report {
                let event = AuditEvent {
                    reason: Some("ciba-reported"),
                    sub: Some(&sign_in.person.sub),
                    azp: Some(&sign_in.client),
                    approval: Some(&sign_in.id),
                    ..AuditEvent::new(AuditKind::Alarm)
                };
                self.parts.audit.record(&event, now);
            }
            self.approvals.touched();
            self.send_answer(sign_in);
        }
        Ok(changed)
    }

    fn note_sign_in(
        &self,
        kind: AuditKind,
        sign_in: &SignIn,
        reason: &str,
        outcome: SignInOutcome,
    ) {
        self.note_sign_in_by(kind, sign_in, reason, outcome, None);
    }

    fn note_sign_in_by(
        &self,
        kind: AuditKind,
        sign_in: &SignIn,
        reason: &str,
        outcome: SignInOutcome,
        device: Option<&str>,
    ) {
        let event = AuditEvent {
            reason: Some(reason),
            sub: Some(&sign_in.person.sub),
            azp: Some(&sign_in.client),
            approval: Some(&sign_in.id),
            channel: matches!(
                outcome,
                SignInOutcome::Approved | SignInOutcome::Denied | SignInOutcome::Reported
            )
            .then_some("app"),
            device,
            ..AuditEvent::new(kind)
        };
        self.parts.audit.record(&event, self.parts.clock.now());
        self.parts.metrics.sign_in(&sign_in.client, outcome);
    }
}

const fn outcome_of(answer: Answer) -> (&'static str, SignInOutcome) {
    match answer {
        Answer::Yes => ("yes", SignInOutcome::Approved),
        Answer::No => ("no", SignInOutcome::Denied),
        Answer::Report => ("report", SignInOutcome::Reported),
    }
}

fn key_of(id: &str) -> ApprovalKey {
    ApprovalKey(session_key(&format!("ciba {id}")).0)
}

/// Every change is whole: there is no half-done state behind a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As Keycloak hands it on.
#[cfg(test)]
fn of_the_teller(person: Person, message: &str, now: Timestamp) -> Asking {
    Asking {
        person,
        client: "teller".to_owned(),
        client_name: "The teller's desk".to_owned(),
        message: Some(message.to_owned()),
        scope: vec!["openid".to_owned()],
        details: Vec::new(),
        token: crate::model::session::Secret::new("token"),
        expires: now.plus(Duration::from_secs(120)),
    }
}

#[cfg(test)]
impl SignIn {
    pub(in crate::gate) fn example() -> Self {
        let now = Timestamp::from_unix(0);
        let person = Person {
            iss: "issuer".to_owned(),
            sub: "alice".to_owned(),
        };
        Self::new(
            "ciba-1".to_owned(),
            of_the_teller(person, "PAY-1", now),
            now,
        )
    }
}

#[cfg(test)]
impl Gate {
    /// As if Keycloak had handed it on.
    pub(in crate::gate) async fn is_asked(&self, person: Person, message: &str) -> Option<SignIn> {
        let now = self.parts.clock.now();
        let asking = of_the_teller(person, message, now);
        match self.sign_ins.ask(asking, 10, now).await {
            Ok(Taken::Asked(sign_in)) => Some(*sign_in),
            _ => None,
        }
    }
}
