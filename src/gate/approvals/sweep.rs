//! What time does to approvals, whether or not anybody comes by: what is over is written down as expired, and what nobody
//! has decided on goes on to those who may decide then as well. Each is done once over all processes, by whoever changes
//! the record.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::Approvals;
use crate::gate::Gate;
use crate::model::approval::Approval;
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::store::{ApprovalKey, ApprovalPut, Expect, Owner, Unavailable};
use crate::telemetry::metrics::ApprovalOutcome;
use crate::telemetry::{AuditEvent, AuditKind};

/// Those that are read in one round; the others have their turn in the next.
const MOST: usize = 512;

/// When there is something to do about each next, so that it is not read before. As of the index under which it was found:
/// a yes has an end of its own.
#[derive(Debug, Default)]
pub(super) struct Agenda(Mutex<HashMap<(Owner, ApprovalKey), Timestamp>>);

impl Agenda {
    fn is_due(&self, at: &(Owner, ApprovalKey), now: Timestamp) -> bool {
        self.with(|all| all.get(at).is_none_or(|due| *due <= now))
    }

    fn with<T>(&self, what: impl FnOnce(&mut HashMap<(Owner, ApprovalKey), Timestamp>) -> T) -> T {
        // Every change is whole: there is no half-done state behind a panic.
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What time has done to one.
#[derive(Debug)]
pub(super) struct Passed {
    /// It goes on to those who may decide now as well.
    escalated: Option<Approval>,
    /// Keycloak's word on it is waited for.
    awaiting: Option<Approval>,
    /// When there is something to do about it next.
    next: Option<Timestamp>,
}

impl Approvals {
    /// Writes it down, unless somebody else does.
    pub(super) async fn pass(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Passed, Unavailable> {
        let mut passed = Passed {
            escalated: None,
            awaiting: None,
            next: None,
        };
        let Some((version, found)) = self.look(key, now).await? else {
            return Ok(passed);
        };
        let expect = Expect::Version(version);
        if let Some(over) = approval::expire(&found, now) {
            self.put_expired(&over.approval, expect, now).await?;
            return Ok(passed);
        }
        let mut standing = found;
        if let Some(change) = approval::escalate(&standing, now) {
            let put = self.put(&change.approval, expect, now).await?;
            if !matches!(put, ApprovalPut::Done(_)) {
                passed.next = Some(now);
                return Ok(passed);
            }
            standing = change.approval;
            passed.escalated = Some(standing.clone());
        }
        passed.next = approval::next_change(&standing);
        passed.awaiting = Some(standing).filter(|one| one.awaited.is_some());
        Ok(passed)
    }

    /// Whoever writes it says so in the audit log, once.
    pub(super) async fn put_expired(
        &self,
        over: &Approval,
        expect: Expect,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let ApprovalPut::Done(_) = self.put(over, expect, now).await? else {
            return Ok(());
        };
        self.metrics.approval(&over.name, ApprovalOutcome::Expired);
        let event = AuditEvent {
            reason: Some(&over.name),
            origin: Some(&over.action.origin),
            route: Some(&over.action.route),
            sub: Some(&over.requester.person.sub),
            approval: Some(&over.id.0),
            ..AuditEvent::new(AuditKind::ApprovalExpired)
        };
        self.audit.record(&event, now);
        Ok(())
    }
}

impl Gate {
    /// To be called every few seconds.
    pub async fn look_after_approvals(self: &Arc<Self>) {
        let now = self.parts.clock.now();
        self.say_how_many_were_left_out(now);
        let agenda = &self.approvals.agenda;
        let (mut seen, mut left) = (HashSet::new(), MOST);
        for rule in self.parts.config.apps.iter().flat_map(|app| &app.approvals) {
            for owner in [Owner::waiting(&rule.name), Owner::agreed(&rule.name)] {
                // Tried again in the next round; whoever uses one looks at its time anyway.
                let Ok(keys) = self.parts.store.approvals_of(&owner, now).await else {
                    return;
                };
                for key in keys {
                    let at = (owner, key);
                    seen.insert(at);
                    if left == 0 || !agenda.is_due(&at, now) {
                        continue;
                    }
                    left -= 1;
                    let Ok(passed) = self.approvals.pass(&key, now).await else {
                        continue;
                    };
                    if let Some(escalated) = &passed.escalated {
                        self.note_escalated(escalated, now);
                    }
                    if let Some(awaiting) = &passed.awaiting {
                        self.wait_again(awaiting);
                    }
                    agenda.with(|all| match passed.next {
                        Some(next) => all.insert(at, next),
                        None => all.remove(&at),
                    });
                }
            }
        }
        agenda.with(|all| all.retain(|at, _| seen.contains(at)));
    }

    fn note_escalated(&self, approval: &Approval, now: Timestamp) {
        let event = AuditEvent {
            reason: Some(&approval.name),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&approval.requester.person.sub),
            approval: Some(&approval.id.0),
            ..AuditEvent::new(AuditKind::ApprovalEscalated)
        };
        self.parts.audit.record(&event, now);
        self.tell_second(approval);
    }
}
