//! How an approval changes: `pending → approved → consumed`, `pending → denied | expired | cancelled`,
//! `approved → expired | revoked`. A state that none of these leaves is final. A grant for a while is never consumed: it
//! covers requests until it ends.
//!
//! Each function takes what a store has and gives what it may be replaced by, in one compare-and-set; none changes
//! anything itself. Time passing is a change like the others: what is late is refused as expired, whether or not anybody
//! has written so.

pub mod hours;
pub mod summary;
pub mod when;
pub mod who;

use std::time::Duration;

use crate::model::approval::{
    Action, Answer, Approval, Awaited, Denied, Holder, Mode, Person, Status, Vote,
};
use crate::model::time::Timestamp;

/// Why something does not happen. Nothing is changed by it, but for a [`Refused::WrongNumber`], which is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is over")]
    Over,
    #[error("it has expired")]
    Expired,
    #[error("who asks does not decide")]
    Requester,
    #[error("who asks decides with a device of their own")]
    NoDevice,
    #[error("each person decides once")]
    Voted,
    #[error("it is confirmed by Keycloak, and nowhere else")]
    Elsewhere,
    #[error("a reason is needed")]
    NoReason,
    #[error("the number is needed")]
    NoNumber,
    #[error("the number is wrong")]
    WrongNumber,
    #[error("nobody has said yes to it yet")]
    Pending,
    #[error("it is for another request")]
    OtherAction,
    #[error("it is somebody else's")]
    OtherHolder,
}

/// What somebody says of an approval that is theirs to decide; whether it is, by group, level or list, is known before.
#[derive(Clone, Debug)]
pub struct Ballot<'b> {
    pub person: &'b Person,
    pub name: &'b str,
    pub answer: Answer,
    pub reason: Option<&'b str>,
    /// As it was picked or typed.
    pub number: Option<&'b str>,
    pub channel: &'b str,
    /// Of the requester: their own second device, whose key has signed this very answer.
    pub device: Option<&'b str>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub approval: Approval,
    /// Told to whoever asked for the change. A wrong number changes something, and is refused all the same.
    pub refused: Option<Refused>,
}

impl Change {
    fn done(approval: Approval) -> Self {
        Self {
            approval,
            refused: None,
        }
    }
}

/// How often a number may be wrong, over all who decide.
pub fn tries(mode: Mode) -> u32 {
    match mode {
        Mode::ApproveDeny => 0,
        Mode::NumberMatching => 1,
        Mode::NumberChallenge => 2,
    }
}

/// Whether it is one that only time has ended so far.
pub fn has_expired(approval: &Approval, now: Timestamp) -> bool {
    match approval.status {
        Status::Pending => now >= approval.expires,
        Status::Approved { redeem_until, .. } => now >= redeem_until,
        _ => false,
    }
}

/// The state as of `now`; what is kept is the same until somebody writes it.
pub fn standing(approval: &Approval, now: Timestamp) -> Status {
    if has_expired(approval, now) {
        return Status::Expired { at: now };
    }
    approval.status.clone()
}

pub fn vote(approval: &Approval, ballot: &Ballot<'_>, now: Timestamp) -> Result<Change, Refused> {
    if ballot.answer == Answer::Report && is_approved(approval, now).is_ok() {
        return Ok(taken_back(approval, ballot, now));
    }
    is_pending(approval, now)?;
    if approval.terms.ciba.is_some() && ballot.answer == Answer::Yes {
        return Err(Refused::Elsewhere);
    }
    if *ballot.person == approval.requester.person {
        match (approval.terms.by_self, ballot.answer) {
            // Who asks may say that it was somebody else; and where it is theirs, a no needs nothing more.
            (_, Answer::Report) | (true, Answer::No) => {}
            (true, Answer::Yes) if ballot.device.is_some() => {}
            (true, Answer::Yes) => return Err(Refused::NoDevice),
            (false, _) => return Err(Refused::Requester),
        }
    }
    if approval
        .votes
        .iter()
        .any(|vote| vote.person == *ballot.person)
    {
        return Err(Refused::Voted);
    }
    let reason = ballot.reason.map(str::trim).filter(|text| !text.is_empty());
    let mut next = approval.clone();
    if ballot.answer == Answer::Yes {
        if approval.terms.reason_required && reason.is_none() {
            return Err(Refused::NoReason);
        }
        if approval.terms.mode != Mode::ApproveDeny && ballot.number.is_none() {
            return Err(Refused::NoNumber);
        }
        if !knows_number(approval, ballot.number) {
            next.tries = approval.tries.saturating_sub(1);
            if next.tries == 0 {
                next.status = Status::Denied {
                    at: now,
                    why: Denied::Number,
                };
            }
            return Ok(Change {
                approval: next,
                refused: Some(Refused::WrongNumber),
            });
        }
    }
    next.votes.push(written(ballot, now));
    next.status = counted(&next, now);
    if next.status != Status::Pending {
        next.awaited = None;
    }
    Ok(Change::done(next))
}

/// Something is wrong with what was agreed to and may still be used. Whoever said yes may find out later.
fn taken_back(approval: &Approval, ballot: &Ballot<'_>, now: Timestamp) -> Change {
    let mut change = changed(approval, revoked(true, now));
    change.approval.votes.push(written(ballot, now));
    change
}

fn written(ballot: &Ballot<'_>, now: Timestamp) -> Vote {
    let reason = ballot.reason.map(str::trim).filter(|text| !text.is_empty());
    Vote {
        person: ballot.person.clone(),
        name: ballot.name.to_owned(),
        answer: ballot.answer,
        reason: reason.map(str::to_owned),
        channel: ballot.channel.to_owned(),
        at: now,
    }
}

/// Somebody who may do so on this machine says yes or no in everybody's place; with a reason, always.
pub fn overrule(approval: &Approval, word: Vote, now: Timestamp) -> Result<Change, Refused> {
    is_pending(approval, now)?;
    if word
        .reason
        .as_deref()
        .is_none_or(|reason| reason.trim().is_empty())
    {
        return Err(Refused::NoReason);
    }
    Ok(settled(approval, word, now))
}

/// Keycloak was asked for its word.
pub fn awaits(approval: &Approval, awaited: Awaited, now: Timestamp) -> Result<Change, Refused> {
    is_pending(approval, now)?;
    if approval.terms.ciba.is_none() {
        return Err(Refused::Elsewhere);
    }
    Ok(Change::done(Approval {
        awaited: Some(awaited),
        ..approval.clone()
    }))
}

/// Keycloak's word, by the channel that is the approver: the requester confirmed it on a device, or did not.
pub fn confirm(
    approval: &Approval,
    channel: &str,
    word: Vote,
    now: Timestamp,
) -> Result<Change, Refused> {
    is_pending(approval, now)?;
    if approval.terms.ciba.as_deref() != Some(channel) {
        return Err(Refused::Elsewhere);
    }
    if word.person != approval.requester.person {
        return Err(Refused::OtherHolder);
    }
    Ok(settled(approval, word, now))
}

/// By one word alone, however many are needed.
fn settled(approval: &Approval, word: Vote, now: Timestamp) -> Change {
    let status = match word.answer {
        Answer::Yes => Status::Approved {
            at: now,
            redeem_until: now.plus(approval.terms.redeem_ttl),
        },
        Answer::No => denied(Denied::No, now),
        Answer::Report => denied(Denied::Reported, now),
    };
    let mut change = changed(approval, status);
    change.approval.votes.push(word);
    change
}

/// Before its time is over: whoever was to say something will not.
pub fn lapse(approval: &Approval, now: Timestamp) -> Result<Change, Refused> {
    is_pending(approval, now)?;
    Ok(changed(approval, Status::Expired { at: now }))
}

fn denied(why: Denied, now: Timestamp) -> Status {
    Status::Denied { at: now, why }
}

fn revoked(reported: bool, now: Timestamp) -> Status {
    Status::Revoked { at: now, reported }
}

/// By whoever asked, in whichever session: nobody else can, and nothing is allowed by it.
pub fn cancel(approval: &Approval, person: &Person, now: Timestamp) -> Result<Change, Refused> {
    if *person != approval.requester.person {
        return Err(Refused::OtherHolder);
    }
    is_pending(approval, now)?;
    Ok(changed(approval, Status::Cancelled { at: now }))
}

/// Takes a yes back that was not used yet.
pub fn revoke(approval: &Approval, now: Timestamp) -> Result<Change, Refused> {
    is_approved(approval, now)?;
    Ok(changed(approval, revoked(false, now)))
}

/// Something else that was asked for by whoever has that session or token was reported: nobody says yes to this any more,
/// and no yes to it is used.
pub fn fall_with_reported(approval: &Approval, now: Timestamp) -> Result<Change, Refused> {
    let status = match standing(approval, now) {
        Status::Pending => denied(Denied::Reported, now),
        Status::Approved { .. } => revoked(true, now),
        Status::Expired { .. } => return Err(Refused::Expired),
        _ => return Err(Refused::Over),
    };
    Ok(changed(approval, status))
}

/// Written by whoever comes by; what is not late is left alone.
pub fn expire(approval: &Approval, now: Timestamp) -> Option<Change> {
    has_expired(approval, now).then(|| changed(approval, Status::Expired { at: now }))
}

/// Written once: from then on others may decide as well.
pub fn escalate(approval: &Approval, now: Timestamp) -> Option<Change> {
    let due = approval.created.plus(approval.terms.escalate_after?);
    if approval.escalated.is_some() || now < due || is_pending(approval, now).is_err() {
        return None;
    }
    Some(Change::done(Approval {
        escalated: Some(now),
        ..approval.clone()
    }))
}

/// When time alone changes it next.
pub fn next_change(approval: &Approval) -> Option<Timestamp> {
    match approval.status {
        Status::Pending => {
            let after = approval.terms.escalate_after;
            let after = after.filter(|_| approval.escalated.is_none());
            let escalates = after.map(|after| approval.created.plus(after));
            escalates.into_iter().chain([approval.expires]).min()
        }
        Status::Approved { redeem_until, .. } => Some(redeem_until),
        _ => None,
    }
}

/// Whether there is a yes to it. `action`: of the request that is about to go.
pub fn covers(
    approval: &Approval,
    holder: &Holder,
    action: &Action,
    now: Timestamp,
) -> Result<(), Refused> {
    if *holder != approval.requester.holder {
        return Err(Refused::OtherHolder);
    }
    is_approved(approval, now)?;
    if *action != approval.action {
        return Err(Refused::OtherAction);
    }
    Ok(())
}

/// Uses it up, before anything is sent: after a crash in between nothing is sent twice. A grant for a while is no such
/// yes.
pub fn redeem(
    approval: &Approval,
    holder: &Holder,
    action: &Action,
    now: Timestamp,
) -> Result<Change, Refused> {
    covers(approval, holder, action, now)?;
    if approval.terms.for_a_while {
        return Err(Refused::OtherAction);
    }
    Ok(changed(
        approval,
        Status::Consumed {
            at: now,
            upstream: None,
        },
    ))
}

/// What the upstream said to it. Told once.
pub fn answered(approval: &Approval, status: u16) -> Option<Change> {
    let Status::Consumed { at, upstream: None } = approval.status else {
        return None;
    };
    let upstream = Some(status);
    Some(changed(approval, Status::Consumed { at, upstream }))
}

fn changed(approval: &Approval, status: Status) -> Change {
    Change::done(Approval {
        status,
        awaited: None,
        ..approval.clone()
    })
}

fn counted(approval: &Approval, now: Timestamp) -> Status {
    let count = |answer| {
        let votes = approval.votes.iter().filter(|vote| vote.answer == answer);
        u32::try_from(votes.count()).unwrap_or(u32::MAX)
    };
    if count(Answer::Report) > 0 {
        return denied(Denied::Reported, now);
    }
    if count(Answer::No) >= approval.terms.deny.max(1) {
        return denied(Denied::No, now);
    }
    if count(Answer::Yes) >= approval.terms.need.max(1) {
        return Status::Approved {
            at: now,
            redeem_until: now.plus(approval.terms.redeem_ttl),
        };
    }
    Status::Pending
}

/// In a mode without a number whatever is given is ignored.
fn knows_number(approval: &Approval, given: Option<&str>) -> bool {
    match (approval.terms.mode, &approval.number, given) {
        (Mode::ApproveDeny, _, _) => true,
        (_, Some(number), Some(given)) => is_same(number.reveal(), given.trim()),
        (_, None, _) | (_, _, None) => false,
    }
}

/// Takes as long whichever digit differs.
fn is_same(number: &str, given: &str) -> bool {
    number.len() == given.len()
        && number
            .bytes()
            .zip(given.bytes())
            .fold(0, |differs, (one, other)| differs | (one ^ other))
            == 0
}

fn is_pending(approval: &Approval, now: Timestamp) -> Result<(), Refused> {
    match standing(approval, now) {
        Status::Pending => Ok(()),
        Status::Expired { .. } => Err(Refused::Expired),
        _ => Err(Refused::Over),
    }
}

fn is_approved(approval: &Approval, now: Timestamp) -> Result<(), Refused> {
    match standing(approval, now) {
        Status::Approved { .. } => Ok(()),
        Status::Pending => Err(Refused::Pending),
        Status::Expired { .. } => Err(Refused::Expired),
        _ => Err(Refused::Over),
    }
}

/// The longest that a request may wait for its yes, and a yes for its use.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
