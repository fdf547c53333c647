//! Approvals in the store: asked for, decided on, and used up once. Each change is one compare-and-set of a sealed record;
//! what changes is [`crate::policy::approval`]'s matter.
//!
//! Whoever gets [`Unavailable`] does not know whether the change was made, and acts as if it was not: a yes of which it is
//! not known whether it was used up is not used.

pub(in crate::gate) mod already;
pub(in crate::gate) mod announce;
mod ask;
mod asker;
pub mod binding;
mod cancel;
mod glass;
mod going;
mod hook;
mod numbers;
mod operator;
mod redeem;
mod room;
mod sweep;
mod votes;
mod waiting;
mod want;
mod why;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::ledger::{Filed, Ledger};
use crate::model::approval::{
    Action, Approval, ApprovalId, Awaited, Holder, Mode, Person, Requester, Status, Terms, Vote,
};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::Timestamp;
use crate::policy::approval::{self, Ballot, Change, Refused, tries};
use crate::seal::{Sealer, session_key, token};
use crate::store::{ApprovalKey, ApprovalPut, Expect, Most, Owner, Store, Unavailable, Version};
use crate::telemetry::{Audit, Metrics};

pub use operator::{ApprovalView, VoteView, Which, Word};
pub use want::{APPROVAL, Redeeming, Wanting};
pub use why::REASON;

pub(in crate::gate) use asker::Asker;
pub(in crate::gate) use going::marked;
pub(in crate::gate) use hook::HOOK;
pub(in crate::gate) use waiting::{PREFIX, Patience, id_of};

const PURPOSE: &str = "approval";

/// 128 bits.
const ID_BYTES: usize = 16;

/// How long it can be looked at when it is over.
const HISTORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Those of one user count over all that are still to be looked at; with all of them, browsers and devices. What is over
/// makes room for what is new ([`room`]).
const MOST: Most = Most {
    all: 40_000,
    share: 256,
};

/// Somebody else's change came between so often: more people than decide on anything.
const TRIES: usize = 256;

/// By which a yes stands for that of whoever could have agreed.
const IN_EVERYBODYS_PLACE: [&str; 2] = [glass::CHANNEL, operator::CHANNEL];

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The approval's, as config spells it.
    pub name: String,
    pub requester: Requester,
    pub action: Action,
    pub summary: String,
    pub reason: Option<String>,
    pub terms: Terms,
    /// Whom a claim of the requester names as the ones who may decide.
    pub named: Vec<String>,
    /// Of the number, where it is typed.
    pub digits: u8,
    /// For so long it can be decided on.
    pub request_ttl: Duration,
    /// The longest of all: for so long no "no" to its requester makes room for it.
    pub cooldown: Duration,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    New(Approval),
    /// It was asked for already, by the same session.
    Same(Approval),
    /// Something else is, on this route and by this user: that has to end first.
    Other(Approval),
    /// There are too many of this user that cannot make room.
    Crowded,
    /// There are too many of everybody's.
    Full,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    Done(Box<Approval>),
    Refused(Refused),
    /// There is no such approval, or none any more.
    Absent,
}

#[derive(Debug)]
pub struct Approvals {
    ledger: Ledger,
    random: Arc<dyn Random>,
    audit: Audit,
    metrics: Arc<Metrics>,
    changes: watch::Sender<u64>,
    agenda: sweep::Agenda,
}

impl Approvals {
    /// `issuer` and `client`: whose users they are.
    pub fn new(
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
        random: Arc<dyn Random>,
        issuer: &str,
        client: &str,
        (audit, metrics): (Audit, Arc<Metrics>),
    ) -> Self {
        Self {
            ledger: Ledger::new(PURPOSE, store, sealer, issuer, client),
            random,
            audit,
            metrics,
            changes: watch::Sender::new(0),
            agenda: sweep::Agenda::default(),
        }
    }

    /// One user has one thing pending on one route, however many ask at once.
    pub async fn ask(&self, asking: Asking, now: Timestamp) -> Result<Asked, Unavailable> {
        let cooldown = asking.cooldown;
        let approval = self.made_of(asking, now);
        for _ in 0..TRIES {
            let put = self.put(&approval, Expect::Absent, now).await?;
            match put {
                ApprovalPut::Done(_) => return Ok(Asked::New(approval)),
                ApprovalPut::Beside(key) => {
                    if let Some(asked) = self.beside(&key, &approval, now).await? {
                        return Ok(asked);
                    }
                }
                ApprovalPut::Full | ApprovalPut::Crowded => {
                    let person = &approval.requester.person;
                    if !self.make_room(person, cooldown, now).await? {
                        return Ok(match put {
                            ApprovalPut::Full => Asked::Full,
                            _ => Asked::Crowded,
                        });
                    }
                }
                // A fresh id is nobody's.
                ApprovalPut::Conflict => return Err(Unavailable),
            }
        }
        Err(Unavailable)
    }

    /// What is there instead of `wanted`. `None`: it is over meanwhile.
    async fn beside(
        &self,
        key: &ApprovalKey,
        wanted: &Approval,
        now: Timestamp,
    ) -> Result<Option<Asked>, Unavailable> {
        let Some((version, there)) = self.ledger.look::<Approval>(key, now).await? else {
            return Ok(None);
        };
        // What cannot be read is in the way until its time is over. Of what is somebody else's nothing is told.
        let is_theirs = |one: &Approval| one.requester.person == wanted.requester.person;
        let there = there.filter(is_theirs).ok_or(Unavailable)?;
        if let Some(change) = approval::expire(&there, now) {
            let expect = Expect::Version(version);
            self.put_expired(&change.approval, expect, now).await?;
            return Ok(None);
        }
        if there.status != Status::Pending {
            return Ok(None);
        }
        let is_same = there.action == wanted.action
            && there.requester.holder == wanted.requester.holder
            && there.name == wanted.name;
        Ok(Some(match is_same {
            true => Asked::Same(there),
            false => Asked::Other(there),
        }))
    }

    fn made_of(&self, asking: Asking, now: Timestamp) -> Approval {
        let random = &*self.random;
        let (number, choices) = match asking.terms.mode {
            Mode::ApproveDeny => (None, Vec::new()),
            Mode::NumberChallenge => (Some(numbers::typed(random, asking.digits)), Vec::new()),
            Mode::NumberMatching => {
                let (number, choices) = numbers::picked(random);
                (Some(number), choices)
            }
        };
        Approval {
            id: ApprovalId(token(random, ID_BYTES)),
            name: asking.name,
            requester: asking.requester,
            action: asking.action,
            summary: asking.summary,
            reason: asking.reason,
            tries: tries(asking.terms.mode),
            terms: asking.terms,
            named: asking.named,
            number: number.map(Secret::new),
            choices,
            votes: Vec::new(),
            status: Status::Pending,
            created: now,
            expires: now.plus(asking.request_ttl.min(approval::LONGEST)),
            escalated: None,
            awaited: None,
        }
    }

    /// As it is kept: whether its time is over is told by [`approval::standing`].
    pub async fn find(
        &self,
        id: &ApprovalId,
        now: Timestamp,
    ) -> Result<Option<Approval>, Unavailable> {
        Ok(self.look(&key_of(id), now).await?.map(|(_, found)| found))
    }

    /// What waits for those who decide on approvals of that name, the oldest first.
    pub async fn pending(&self, name: &str, now: Timestamp) -> Result<Vec<Approval>, Unavailable> {
        let mut found = self.found_under(&Owner::waiting(name), now).await?;
        found.retain(|one| approval::standing(one, now) == Status::Pending && one.name == name);
        Ok(found)
    }

    /// What was passed in everybody's place by that name and is still to be looked at, the oldest first.
    pub async fn passed(&self, name: &str, now: Timestamp) -> Result<Vec<Approval>, Unavailable> {
        let mut found = self.found_under(&Owner::passed(name), now).await?;
        found.retain(|one| one.name == name);
        Ok(found)
    }

    /// What waits of what is found there: of a user, or of a session or an SSO session in which it was asked for.
    pub(super) async fn pending_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<Approval>, Unavailable> {
        let mut found = self.found_under(owner, now).await?;
        found.retain(|one| approval::standing(one, now) == Status::Pending);
        Ok(found)
    }

    /// All that somebody asked for and that is still to be looked at, the oldest first.
    pub async fn asked_by(
        &self,
        person: &Person,
        now: Timestamp,
    ) -> Result<Vec<Approval>, Unavailable> {
        let mut found = self.found_under(&self.requester(person), now).await?;
        found.retain(|one| one.requester.person == *person);
        Ok(found)
    }

    /// What somebody has answered and that is still to be looked at, the oldest first.
    pub async fn decided_by(
        &self,
        person: &Person,
        now: Timestamp,
    ) -> Result<Vec<Approval>, Unavailable> {
        let mut found = self.found_under(&self.decided(person), now).await?;
        found.retain(|one| one.votes.iter().any(|vote| vote.person == *person));
        Ok(found)
    }

    /// The yes of that name that holds for a while, was given to that holder, and covers the action.
    pub async fn covering(
        &self,
        person: &Person,
        name: &str,
        holder: &Holder,
        action: &Action,
        now: Timestamp,
    ) -> Result<Option<Approval>, Unavailable> {
        let granted = self.found_under(&self.granted(person, name), now).await?;
        Ok(granted.into_iter().find(|found| {
            let is_theirs = found.requester.person == *person && found.name == name;
            is_theirs && approval::covers(found, holder, action, now).is_ok()
        }))
    }

    /// Moves with every change of any of them that is made here: for whoever waits, instead of asking all the time.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What else is shown with them has changed.
    pub(in crate::gate) fn touched(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether the voter may vote at all, by group, level or list, is known before.
    pub async fn vote(
        &self,
        id: &ApprovalId,
        ballot: &Ballot<'_>,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        Ok(self.cast(id, ballot, now).await?.0)
    }

    /// The same, with what was written: a wrong number is refused and changes something, and of several that come together
    /// each has changed something else.
    pub(super) async fn cast(
        &self,
        id: &ApprovalId,
        ballot: &Ballot<'_>,
        now: Timestamp,
    ) -> Result<(Changed, Option<Approval>), Unavailable> {
        self.made(id, now, |one| approval::vote(one, ballot, now))
            .await
    }

    pub async fn cancel(
        &self,
        id: &ApprovalId,
        person: &Person,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::cancel(one, person, now))
            .await
    }

    /// By an operator, in everybody's place.
    pub async fn overrule(
        &self,
        id: &ApprovalId,
        word: &Vote,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::overrule(one, word.clone(), now))
            .await
    }

    /// Keycloak was asked, and its word is what is waited for.
    pub(in crate::gate) async fn awaits(
        &self,
        id: &ApprovalId,
        awaited: &Awaited,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::awaits(one, awaited.clone(), now))
            .await
    }

    /// Keycloak's word, by the channel of that name.
    pub(in crate::gate) async fn confirm(
        &self,
        id: &ApprovalId,
        channel: &str,
        word: &Vote,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| {
            approval::confirm(one, channel, word.clone(), now)
        })
        .await
    }

    /// Nobody will say anything to it any more.
    pub(in crate::gate) async fn lapse(
        &self,
        id: &ApprovalId,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let key = key_of(id);
        if let Some((version, found)) = self.look(&key, now).await?
            && let Ok(over) = approval::lapse(&found, now)
        {
            let expect = Expect::Version(version);
            self.put_expired(&over.approval, expect, now).await?;
        }
        Ok(())
    }

    pub async fn revoke(&self, id: &ApprovalId, now: Timestamp) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::revoke(one, now)).await
    }

    /// Something else of the same requester's was reported.
    pub(super) async fn fall_with_reported(
        &self,
        id: &ApprovalId,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::fall_with_reported(one, now))
            .await
    }

    /// For the one who is told [`Changed::Done`], and nobody else: the action may be sent, now and once.
    pub async fn redeem(
        &self,
        id: &ApprovalId,
        holder: &Holder,
        action: &Action,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| approval::redeem(one, holder, action, now))
            .await
    }

    /// What the upstream said, for whoever looks at it later.
    pub async fn answered(
        &self,
        id: &ApprovalId,
        status: u16,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        self.change(id, now, |one| {
            approval::answered(one, status).ok_or(Refused::Over)
        })
        .await
    }

    async fn change(
        &self,
        id: &ApprovalId,
        now: Timestamp,
        change: impl Fn(&Approval) -> Result<Change, Refused>,
    ) -> Result<Changed, Unavailable> {
        Ok(self.made(id, now, change).await?.0)
    }

    /// And what was written of a change that was refused.
    async fn made(
        &self,
        id: &ApprovalId,
        now: Timestamp,
        change: impl Fn(&Approval) -> Result<Change, Refused>,
    ) -> Result<(Changed, Option<Approval>), Unavailable> {
        let key = key_of(id);
        for _ in 0..TRIES {
            let Some((version, found)) = self.look(&key, now).await? else {
                return Ok((Changed::Absent, None));
            };
            let expect = Expect::Version(version);
            let change = match change(&found) {
                Ok(change) => change,
                Err(refused) => {
                    // Whoever comes by writes that its time is over, so that the next one can be asked for.
                    if let Some(over) = approval::expire(&found, now) {
                        self.put_expired(&over.approval, expect, now).await?;
                    }
                    return Ok((Changed::Refused(refused), None));
                }
            };
            match self.put(&change.approval, expect, now).await? {
                ApprovalPut::Done(_) => {
                    return Ok(match change.refused {
                        None => (Changed::Done(Box::new(change.approval)), None),
                        Some(refused) => (Changed::Refused(refused), Some(change.approval)),
                    });
                }
                ApprovalPut::Conflict => {}
                // No change makes it pending again, and what is there goes on however full it is.
                ApprovalPut::Beside(_) | ApprovalPut::Full | ApprovalPut::Crowded => {
                    return Err(Unavailable);
                }
            }
        }
        Err(Unavailable)
    }

    async fn put(
        &self,
        approval: &Approval,
        expect: Expect,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let key = key_of(&approval.id);
        let person = &approval.requester.person;
        let mut owners = vec![self.requester(person)];
        let voters = approval.votes.iter().map(|vote| &vote.person);
        owners.extend(voters.map(|voter| self.decided(voter)));
        let mut alone = None;
        if approval.status == Status::Pending {
            owners.push(Owner::waiting(&approval.name));
            let (sub, route) = (&person.sub, &approval.action.route);
            let client = self.ledger.client();
            // With these it ends.
            if let Holder::Session(lineage) = &approval.requester.holder {
                owners.push(Owner::lineage(lineage));
            }
            let sid = approval.requester.sid.as_deref();
            owners.extend(sid.map(|sid| Owner::sid(&person.iss, client, sid)));
            alone = Some(Owner::asking(&person.iss, client, sub, route));
        }
        let votes = approval.votes.iter();
        if votes
            .clone()
            .any(|vote| IN_EVERYBODYS_PLACE.contains(&vote.channel.as_str()))
        {
            owners.push(Owner::passed(&approval.name));
        }
        if let Status::Approved { .. } = approval.status {
            owners.push(Owner::agreed(&approval.name));
            if approval.terms.for_a_while {
                owners.push(self.granted(person, &approval.name));
            }
        }
        let over = approval.expires.plus(approval.terms.redeem_ttl);
        let filed = Filed {
            alone,
            owners,
            expires: over.plus(HISTORY),
        };
        let put = self.ledger.put(&key, approval, filed, expect, MOST, now);
        let put = put.await;
        if matches!(put, Ok(ApprovalPut::Done(_))) {
            // Whoever waits for it looks again; where nobody does, there is nobody to be told.
            self.touched();
        }
        put
    }

    async fn look(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Approval)>, Unavailable> {
        let found = self.ledger.look(key, now).await?;
        Ok(found.and_then(|(version, found)| Some((version, found?))))
    }

    async fn found_under(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<Approval>, Unavailable> {
        let found = self.ledger.all(owner, now).await?;
        let mut found: Vec<Approval> = found.into_iter().map(|(_, one)| one).collect();
        found.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        Ok(found)
    }

    fn requester(&self, person: &Person) -> Owner {
        Owner::sub(&person.iss, self.ledger.client(), &person.sub)
    }

    fn granted(&self, person: &Person, name: &str) -> Owner {
        Owner::granted(&person.iss, self.ledger.client(), &person.sub, name)
    }

    fn decided(&self, person: &Person) -> Owner {
        Owner::decided(&person.iss, self.ledger.client(), &person.sub)
    }
}

fn key_of(id: &ApprovalId) -> ApprovalKey {
    ApprovalKey(session_key(&id.0).0)
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
