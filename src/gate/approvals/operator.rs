//! What an operator may see of approvals, and decide in everybody's place. A number that people have to know is not shown:
//! it is the requester's alone.

use serde::{Deserialize, Serialize};

use super::{Changed, waiting};
use crate::gate::Gate;
use crate::gate::words::Language;
use crate::model::approval::{Answer, Approval, ApprovalId, Mode, Person, Vote};
use crate::model::time::Timestamp;
use crate::policy::approval::standing;
use crate::store::{Owner, Unavailable};
use crate::telemetry::{AuditEvent, AuditKind};

/// As votes have it: the unix socket.
pub(super) const CHANNEL: &str = "operator";

/// Which are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// What waits for anybody.
    Pending,
    /// All that somebody, by the realm's `sub`, asked for and that is still to be looked at.
    By(String),
}

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Break-glass.
    Approve,
    Deny,
    /// Takes a yes back that was not used yet.
    Revoke,
}

/// An approval as operators see it. Times are seconds since the epoch, in our clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub id: String,
    /// As config spells it, behind its app's name.
    pub name: String,
    /// `pending approved denied expired cancelled revoked consumed`
    pub status: String,
    pub summary: String,
    pub origin: String,
    pub route: String,
    pub method: String,
    pub requester: String,
    pub subject: String,
    pub address: String,
    /// `approve-deny number-matching number-challenge`
    pub mode: String,
    pub need: u32,
    pub votes: Vec<VoteView>,
    pub created: i64,
    pub expires: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteView {
    pub name: String,
    pub subject: String,
    /// `yes no report`
    pub answer: String,
    pub reason: Option<String>,
    pub channel: String,
    pub at: i64,
}

impl Gate {
    /// The oldest first.
    pub async fn approvals_of(&self, which: &Which) -> Result<Vec<ApprovalView>, Unavailable> {
        let now = self.parts.clock.now();
        let found = match which {
            Which::Pending => {
                let mut found = Vec::new();
                let rules = self.parts.config.apps.iter().flat_map(|app| &app.approvals);
                for rule in rules {
                    found.extend(self.approvals.pending(&rule.name, now).await?);
                }
                found.sort_by_key(|approval| approval.created);
                found
            }
            Which::By(sub) => {
                let person = Person {
                    iss: self.parts.config.keycloak.issuer.clone(),
                    sub: sub.clone(),
                };
                self.approvals.asked_by(&person, now).await?
            }
        };
        Ok(found.iter().map(|approval| view(approval, now)).collect())
    }

    /// For the gauge.
    pub async fn count_pending_approvals(&self) {
        let now = self.parts.clock.now();
        let mut counts = Vec::new();
        for rule in self.parts.config.apps.iter().flat_map(|app| &app.approvals) {
            let owner = Owner::waiting(&rule.name);
            if let Ok(waiting) = self.parts.store.approvals_of(&owner, now).await {
                counts.push((rule.name.as_str(), waiting.len()));
            }
        }
        self.parts.metrics.approvals_are(counts);
    }

    pub async fn approval_for_operator(
        &self,
        id: &str,
    ) -> Result<Option<ApprovalView>, Unavailable> {
        let now = self.parts.clock.now();
        let found = self.approvals.find(&ApprovalId(id.to_owned()), now).await?;
        Ok(found.map(|approval| view(&approval, now)))
    }

    /// `operator`: the user id of whoever asks for it. A yes or a no needs a reason.
    pub async fn overrule(
        &self,
        id: &str,
        word: Word,
        reason: &str,
        operator: u32,
    ) -> Result<Changed, Unavailable> {
        let now = self.parts.clock.now();
        let id = ApprovalId(id.to_owned());
        let answer = match word {
            Word::Approve => Answer::Yes,
            Word::Deny => Answer::No,
            Word::Revoke => {
                let changed = self.approvals.revoke(&id, now).await?;
                self.note_overruled(&changed, AuditKind::ApprovalRevoked, reason, operator, now);
                return Ok(changed);
            }
        };
        let vote = Vote {
            person: Person {
                iss: "operator".to_owned(),
                sub: operator.to_string(),
            },
            name: format!("operator {operator}"),
            answer,
            reason: Some(reason.trim().to_owned()),
            channel: CHANNEL.to_owned(),
            at: now,
        };
        let changed = self.approvals.overrule(&id, &vote, now).await?;
        let kind = match word {
            Word::Approve => AuditKind::ApprovalBreakGlass,
            Word::Deny | Word::Revoke => AuditKind::ApprovalDecided,
        };
        self.note_overruled(&changed, kind, reason, operator, now);
        Ok(changed)
    }

    fn note_overruled(
        &self,
        changed: &Changed,
        kind: AuditKind,
        reason: &str,
        operator: u32,
        now: Timestamp,
    ) {
        let Changed::Done(approval) = changed else {
            return;
        };
        self.count_outcome(approval, now);
        match kind {
            AuditKind::ApprovalBreakGlass => self.glass_is_broken(approval),
            // Nothing where a yes was taken back: no channel has a word for it.
            _ => self.tell_decided(approval),
        }
        let event = AuditEvent {
            reason: Some(waiting::name(&approval.status)),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&approval.requester.person.sub),
            operator: Some(operator),
            approval: Some(&approval.id.0),
            channel: Some(CHANNEL),
            words: Some(reason).filter(|words| !words.is_empty()),
            ..AuditEvent::new(kind)
        };
        self.parts.audit.record(&event, now);
    }
}

fn view(approval: &Approval, now: Timestamp) -> ApprovalView {
    let mode = match approval.terms.mode {
        Mode::ApproveDeny => "approve-deny",
        Mode::NumberMatching => "number-matching",
        Mode::NumberChallenge => "number-challenge",
    };
    let votes = approval.votes.iter().map(|vote| VoteView {
        name: vote.name.clone(),
        subject: vote.person.sub.clone(),
        answer: match vote.answer {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Report => "report",
        }
        .to_owned(),
        reason: vote.reason.clone(),
        channel: vote.channel.clone(),
        at: vote.at.as_unix(),
    });
    ApprovalView {
        id: approval.id.0.clone(),
        name: approval.name.clone(),
        status: waiting::name(&standing(approval, now)).to_owned(),
        summary: Language::En
            .asking(&approval.summary, &approval.terms)
            .into_owned(),
        origin: approval.action.origin.clone(),
        route: approval.action.route.clone(),
        method: approval.action.method.clone(),
        requester: approval.requester.name.clone(),
        subject: approval.requester.person.sub.clone(),
        address: approval.requester.address.clone(),
        mode: mode.to_owned(),
        need: approval.terms.need,
        votes: votes.collect(),
        created: approval.created.as_unix(),
        expires: approval.expires.as_unix(),
    }
}
