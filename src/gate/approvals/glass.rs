//! Breaking the glass: somebody passes an approval in everybody's place, because it cannot wait. It takes the place of
//! people, never of a sign-in, and everybody hears of it.

use super::{Asker, Changed, why};
use crate::gate::audit::Circumstances;
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::approval::{Answer, Approval, Vote};
use crate::model::time::Timestamp;
use crate::policy::approval::who::is_named;
use crate::store::Unavailable;
use crate::telemetry::AuditKind;

/// As votes have it.
pub(super) const CHANNEL: &str = "break-glass";

impl Gate {
    /// Whether whoever asked may: a person, by the policy of now.
    pub(super) fn may_break_glass(&self, asker: &Asker, approval: &Approval) -> bool {
        let rule = self.parts.config.approval(&approval.name);
        let who = rule.and_then(|rule| rule.break_glass.as_ref());
        asker.session().is_some() && who.is_some_and(|who| is_named(who, asker.identity()))
    }

    /// By the form of the page where they wait. What is over stays as it is.
    pub(super) async fn break_glass(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        reason: &str,
        now: Timestamp,
    ) -> Reply {
        if !self.may_break_glass(asker, approval) {
            return self.not_theirs(incoming);
        }
        let here = site.url(&super::waiting::href(&approval.id));
        let back = || Reply::redirect(&here, Record::of("own"));
        let Ok(Some(reason)) = why::said(reason) else {
            return back().reason("reason-required");
        };
        let vote = Vote {
            person: asker.person(),
            name: asker.name().to_owned(),
            answer: Answer::Yes,
            reason: Some(reason),
            channel: CHANNEL.to_owned(),
            at: now,
        };
        let passed = match self.approvals.overrule(&approval.id, &vote, now).await {
            Ok(Changed::Done(passed)) => passed,
            Ok(Changed::Refused(_) | Changed::Absent) => return back(),
            Err(Unavailable) => return self.unknown_state(incoming),
        };
        let circumstances = Circumstances {
            reason: Some(&passed.name),
            route: Some(&passed.action.route),
            who: Some(asker.identity()),
            approval: Some(&passed.id.0),
            channel: Some(CHANNEL),
            words: vote.reason.as_deref(),
            ..Circumstances::default()
        };
        self.audit(AuditKind::ApprovalBreakGlass, incoming, circumstances);
        self.count_outcome(&passed, now);
        self.glass_is_broken(&passed);
        back().reason("break-glass")
    }

    /// By whomever.
    pub(super) fn glass_is_broken(&self, passed: &Approval) {
        tracing::warn!(
            approval = %passed.name,
            id = ?passed.id,
            "break-glass: an approval was passed in everybody's place"
        );
        self.parts.metrics.break_glass(&passed.name);
        self.tell_broken_glass(passed);
    }
}
