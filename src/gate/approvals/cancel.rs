//! What is taken back before anybody has decided on it: by whoever asked for it, in whichever session they say so, and with
//! the session in which it was asked for, by which alone it could have been used.

use super::Changed;
use super::ask::kept_key;
use crate::gate::audit::Circumstances;
use crate::gate::{Gate, Incoming};
use crate::model::approval::{Approval, Person};
use crate::model::evidence::Identity;
use crate::model::time::Timestamp;
use crate::store::{Owner, Unavailable};
use crate::telemetry::{AuditEvent, AuditKind};

/// As the audit log says why nobody has cancelled it.
const SESSION_ENDED: &str = "session-ended";

impl Gate {
    /// By `who`, where they have asked for it. What is over stays as it is.
    pub(in crate::gate) async fn cancel_own(
        &self,
        incoming: &Incoming<'_>,
        who: &Identity,
        approval: &Approval,
        channel: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let person = Person {
            iss: who.iss.clone(),
            sub: who.sub.clone(),
        };
        let changed = self.approvals.cancel(&approval.id, &person, now).await?;
        if let Changed::Done(cancelled) = &changed {
            self.count_outcome(cancelled, now);
            let circumstances = Circumstances {
                reason: Some(&approval.name),
                who: Some(who),
                approval: Some(&approval.id.0),
                channel,
                ..Default::default()
            };
            self.audit(AuditKind::ApprovalCancelled, incoming, circumstances);
            // On the host where it was asked for, whichever this is.
            let kept = kept_key(&approval.action.origin, &approval.id.0);
            let _gone = self.parts.store.unpark(&kept, now).await?;
        }
        Ok(())
    }

    /// What waits of a user, or of a session or an SSO session. What was parked is dropped by whoever ends it. Without a
    /// store it waits on, of no use to anybody, and its user can cancel it from their next session.
    pub(in crate::gate) async fn cancel_with(&self, owner: &Owner, now: Timestamp) {
        let cancelled = async {
            for one in self.approvals.pending_of(owner, now).await? {
                let person = &one.requester.person;
                let changed = self.approvals.cancel(&one.id, person, now).await?;
                let Changed::Done(cancelled) = changed else {
                    continue;
                };
                self.count_outcome(&cancelled, now);
                let event = AuditEvent {
                    reason: Some(SESSION_ENDED),
                    origin: Some(&one.action.origin),
                    route: Some(&one.action.route),
                    sub: Some(&person.sub),
                    sid: one.requester.sid.as_deref(),
                    approval: Some(&one.id.0),
                    ..AuditEvent::new(AuditKind::ApprovalCancelled)
                };
                self.parts.audit.record(&event, now);
            }
            Ok::<_, Unavailable>(())
        };
        if cancelled.await.is_err() {
            tracing::warn!("what waits of a session that has ended could not be cancelled");
        }
    }
}
