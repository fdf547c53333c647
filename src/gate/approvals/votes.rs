//! What people say of a request, with what follows from it beside the vote: the audit log, and the end of what a session
//! has proven when somebody says that it was not its user.

use super::Changed;
use crate::gate::Gate;
use crate::model::approval::{Answer, Approval, ApprovalId, Denied, Holder, Status, Vote};
use crate::model::time::Timestamp;
use crate::policy::approval::{Ballot, Refused};
use crate::store::{Owner, Unavailable};
use crate::telemetry::metrics::ApprovalOutcome;
use crate::telemetry::{AuditEvent, AuditKind};

/// Why something ends with, or by, what somebody has reported.
const REPORTED: &str = "approval-reported";

impl Gate {
    /// Whether the voter may vote at all, by group, level or list, is known before.
    pub async fn vote_on(
        &self,
        id: &ApprovalId,
        ballot: &Ballot<'_>,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        let (changed, written) = self.approvals.cast(id, ballot, now).await?;
        match (&changed, &written) {
            (Changed::Done(approval), _) => {
                self.note_vote(approval, ballot, word_of(ballot.answer), now);
                self.tell_decided(approval);
                if ballot.answer == Answer::Report {
                    self.was_reported(approval, now).await;
                }
            }
            (Changed::Refused(Refused::WrongNumber), Some(approval)) => {
                self.parts.metrics.wrong_number(&approval.name);
                self.note_vote(approval, ballot, "wrong-number", now);
                self.tell_decided(approval);
            }
            (Changed::Refused(_) | Changed::Absent, _) => {}
        }
        Ok(changed)
    }

    /// Keycloak's word on an approval that is confirmed so.
    pub(in crate::gate) async fn confirmed_by(
        &self,
        id: &ApprovalId,
        channel: &str,
        word: &Vote,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        let changed = self.approvals.confirm(id, channel, word, now).await?;
        if let Changed::Done(approval) = &changed {
            let ballot = Ballot {
                person: &word.person,
                name: &word.name,
                answer: word.answer,
                reason: word.reason.as_deref(),
                number: None,
                channel: &word.channel,
                device: None,
            };
            self.note_vote(approval, &ballot, word_of(word.answer), now);
            self.tell_decided(approval);
        }
        Ok(changed)
    }

    fn note_vote(&self, approval: &Approval, ballot: &Ballot<'_>, answer: &str, now: Timestamp) {
        let event = AuditEvent {
            reason: Some(answer),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&ballot.person.sub),
            approval: Some(&approval.id.0),
            channel: Some(ballot.channel),
            device: ballot.device,
            ..AuditEvent::new(AuditKind::ApprovalVoted)
        };
        self.parts.audit.record(&event, now);
        if approval.status == Status::Pending {
            return;
        }
        self.count_outcome(approval, now);
        let (kind, reason) = match approval.status {
            // What was agreed to before is taken back.
            Status::Revoked { .. } => (AuditKind::ApprovalRevoked, REPORTED),
            _ => (
                AuditKind::ApprovalDecided,
                super::waiting::name(&approval.status),
            ),
        };
        let event = AuditEvent {
            reason: Some(reason),
            sub: Some(&approval.requester.person.sub),
            event: kind,
            ..event
        };
        self.parts.audit.record(&event, now);
    }

    /// What became of it, once nobody has a word on it any more.
    pub(super) fn count_outcome(&self, approval: &Approval, now: Timestamp) {
        let outcome = match approval.status {
            Status::Pending => return,
            Status::Approved { .. } => ApprovalOutcome::Approved,
            Status::Denied {
                why: Denied::Reported,
                ..
            }
            | Status::Revoked { reported: true, .. } => ApprovalOutcome::Reported,
            Status::Denied { .. } => ApprovalOutcome::Denied,
            Status::Expired { .. } => ApprovalOutcome::Expired,
            Status::Cancelled { .. } => ApprovalOutcome::Cancelled,
            Status::Revoked { .. } => ApprovalOutcome::Revoked,
            Status::Consumed { .. } => ApprovalOutcome::Consumed,
        };
        let metrics = &self.parts.metrics;
        metrics.approval(&approval.name, outcome);
        // What is taken back was decided on before.
        if matches!(
            approval.status,
            Status::Approved { .. } | Status::Denied { .. }
        ) {
            metrics.approval_took(&approval.name, now.since(approval.created));
        }
    }

    /// What else was asked for by whoever has the session or token: what waits is over, and no yes is used any more.
    async fn end_others(&self, reported: &Approval, now: Timestamp) {
        let requester = &reported.requester;
        let ended = async {
            let asked = self.approvals.asked_by(&requester.person, now).await?;
            let others = asked.iter().filter(|one| {
                one.requester.holder == requester.holder
                    && matches!(one.status, Status::Pending | Status::Approved { .. })
            });
            for other in others {
                let changed = self.approvals.fall_with_reported(&other.id, now).await?;
                let Changed::Done(over) = changed else {
                    continue;
                };
                self.count_outcome(&over, now);
                let kind = match over.status {
                    Status::Revoked { .. } => AuditKind::ApprovalRevoked,
                    _ => AuditKind::ApprovalDecided,
                };
                self.tell_decided(&over);
                let event = AuditEvent {
                    reason: Some(REPORTED),
                    origin: Some(&over.action.origin),
                    route: Some(&over.action.route),
                    sub: Some(&requester.person.sub),
                    approval: Some(&over.id.0),
                    ..AuditEvent::new(kind)
                };
                self.parts.audit.record(&event, now);
            }
            Ok::<_, Unavailable>(())
        };
        if ended.await.is_err() {
            tracing::error!("what else was asked for by a reported session could not be ended");
        }
    }

    /// Somebody else may have the session: what it has proven above the base level counts no more.
    async fn was_reported(&self, approval: &Approval, now: Timestamp) {
        let requester = &approval.requester;
        let event = AuditEvent {
            reason: Some(REPORTED),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&requester.person.sub),
            approval: Some(&approval.id.0),
            ..AuditEvent::new(AuditKind::Alarm)
        };
        self.parts.audit.record(&event, now);
        self.end_others(approval, now).await;
        // A token is Keycloak's to take back.
        let Holder::Session(lineage) = &requester.holder else {
            return;
        };
        let ladder = &self.parts.config.ladder;
        let is_base = |name: &str| ladder.by_name(name).is_some_and(|level| level.base);
        let client = &self.parts.config.keycloak.client_id;
        let owner = Owner::sub(&requester.person.iss, client, &requester.person.sub);
        let store = &self.parts.store;
        let ended = async {
            for key in store.by_index(&owner).await? {
                let live = store.get(&key, now).await?;
                if live.is_none_or(|live| live.session.lineage != *lineage) {
                    continue;
                }
                self.update(&key, |session| {
                    let levels = &mut session.evidence.levels;
                    levels.retain(|known| is_base(&known.level));
                })
                .await?;
            }
            Ok::<_, Unavailable>(())
        };
        if ended.await.is_err() {
            tracing::error!("what a reported session has proven could not be taken from it");
        }
    }
}

const fn word_of(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Report => "report",
    }
}
