//! One request: what is asked, by whom, how far it is, and what this person can say to it. It is judged at its own level
//! before anything of it is shown, and who has nothing to do with it learns nothing, not even that it is there.

use std::time::Duration;

use http::StatusCode;

use super::pages::{Form, Live, One, Own, OwnDevice, Page, VoteRow};
use super::proof::{self, Unproven};
use super::{Visit, answer_name, answer_of, href, live, state, time_left};
use crate::config::ApprovalRule;
use crate::gate::start::step_up_href;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Answer, Approval, ApprovalId, Status};
use crate::policy::approval::standing;
use crate::policy::approval::who::may_decide;
use crate::store::Unavailable;

/// How long back the requests of the same person are counted.
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of a reason, in characters.
pub(super) const REASON_MOST: usize = 500;

/// A request, and what it is to whoever looks at it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) approval: Approval,
    pub(super) may_decide: bool,
    pub(super) is_requester: bool,
}

/// How far somebody gets with a request.
#[derive(Debug)]
pub(super) enum Access<'c> {
    Seen(Box<Seen>),
    /// It is theirs to decide, at a level that is not there.
    Short(&'c ApprovalRule),
    Nothing,
}

impl Gate {
    pub(super) async fn access(
        &self,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Access<'_>, Unavailable> {
        let Some(approval) = self.approvals().find(id, visit.now).await? else {
            return Ok(Access::Nothing);
        };
        let (identity, person) = (visit.identity(), visit.person());
        // Of the policy of now: whoever it does not name any more decides on nothing.
        let rule = self.parts.config.approval(&approval.name);
        let may_decide = rule.is_some_and(|rule| may_decide(&approval, &rule.approvers, identity));
        let is_requester = approval.requester.person == person;
        if !(may_decide || is_requester || answer_of(&approval, &person).is_some()) {
            return Ok(Access::Nothing);
        }
        if let Some(rule) = rule.filter(|_| may_decide)
            && !self.has_level(visit, rule.level)
        {
            return Ok(Access::Short(rule));
        }
        Ok(Access::Seen(Box::new(Seen {
            approval,
            may_decide,
            is_requester,
        })))
    }

    pub(super) async fn show(
        &self,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Reply, Unavailable> {
        match self.access(visit, id).await? {
            Access::Seen(seen) => self.one(visit, &seen, StatusCode::OK, None).await,
            Access::Short(rule) => Ok(self.confirm_level(visit, rule, id)),
            Access::Nothing => Ok(self.nothing_here(visit)),
        }
    }

    /// By a click, so that a realm that does not give the level makes no loop.
    fn confirm_level(&self, visit: &Visit<'_, '_>, rule: &ApprovalRule, id: &ApprovalId) -> Reply {
        let Some(level) = self.parts.config.ladder.askable(rule.level) else {
            // A checked configuration demands no such level.
            let record = visit.record.clone();
            return self.unavailable(visit.incoming, None, record, "level-cannot-be-asked");
        };
        let page = Page::Confirm {
            about: "confirm_level",
            level: Some(&level.label),
            go: &step_up_href(&level.name, &href(id)),
        };
        self.visit_page(StatusCode::FORBIDDEN, &page, visit, None)
            .reason("step-up")
    }

    pub(super) async fn one(
        &self,
        visit: &Visit<'_, '_>,
        seen: &Seen,
        status: StatusCode,
        notice: Option<String>,
    ) -> Result<Reply, Unavailable> {
        let (approval, now) = (&seen.approval, visit.now);
        let requester = &approval.requester;
        let all = self.approvals().asked_by(&requester.person, now).await?;
        let lately = || all.iter().filter(|one| now.since(one.created) <= LATELY);
        let denied = |one: &&Approval| matches!(one.status, Status::Denied { .. });
        let person = visit.person();
        let shown = One {
            summary: &visit.asking(approval),
            who: &requester.name,
            why: approval.reason.as_deref(),
            origin: &approval.action.origin,
            method: &approval.action.method,
            route: &approval.action.route,
            address: &requester.address,
            ago: now.since(approval.created).as_secs(),
            left: time_left(approval, now),
            redeem: match standing(approval, now) {
                Status::Approved { redeem_until, .. } => redeem_until.since(now).as_secs(),
                _ => 0,
            },
            state: state(approval, now),
            escalated: approval.escalated.map(|at| now.since(at).as_secs()),
            window: approval
                .terms
                .for_a_while
                .then_some(approval.terms.redeem_ttl.as_secs()),
            upstream: match approval.status {
                Status::Consumed { upstream, .. } => upstream,
                _ => None,
            },
            lately: lately().count(),
            lately_denied: lately().filter(denied).count(),
            yes: count_yes(approval),
            need: approval.terms.need.max(1),
            votes: approval
                .votes
                .iter()
                .map(|vote| VoteRow {
                    name: &vote.name,
                    answer: answer_name(vote.answer),
                    ago: now.since(vote.at).as_secs(),
                    reason: vote.reason.as_deref(),
                })
                .collect(),
            mine: answer_of(approval, &person),
        };
        let action = href(&approval.id);
        // In the sign-in that asked there is nothing to sign with.
        let signs = proof::is_another_sign_in(visit, approval);
        let devices = self.own_devices(visit, seen).await?;
        let stands = standing(approval, now);
        let is_open = stands == Status::Pending && shown.mine.is_none();
        let is_given = approval.terms.for_a_while && matches!(stands, Status::Approved { .. });
        let own = devices.as_ref().filter(|_| is_open).map(|devices| Own {
            approval: &approval.id.0,
            binding: proof::binding(approval),
            signs,
            devices,
        });
        let may_answer = (is_open || is_given) && (seen.may_decide || seen.is_requester);
        let form = may_answer.then(|| Form {
            action: &action,
            may_say_yes: is_open && seen.may_decide,
            is_requester: seen.is_requester,
            is_given,
            own,
            mode: approval.terms.mode.name(),
            choices: &approval.choices,
            digits: approval
                .number
                .as_ref()
                .map_or(0, |number| number.reveal().len()),
            tries: approval.tries,
            reason_required: approval.terms.reason_required,
            reason_most: REASON_MOST,
        });
        let page = Page::Request {
            one: &shown,
            form: form.as_ref(),
            notice,
        };
        let seen = live::digest_of([approval], now);
        let seen = live::with_devices(seen, devices.as_deref());
        let live = Live {
            of: &approval.id.0,
            seen: &seen,
        };
        Ok(self.visit_page(status, &page, visit, Some(live)))
    }
}

impl Gate {
    /// What the requester may say yes with; nothing where the yes is others' alone.
    pub(super) async fn own_devices(
        &self,
        visit: &Visit<'_, '_>,
        seen: &Seen,
    ) -> Result<Option<Vec<OwnDevice>>, Unavailable> {
        let rule = self.parts.config.approval(&seen.approval.name);
        let Some(rule) = rule.filter(|_| seen.may_decide && seen.is_requester) else {
            return Ok(None);
        };
        let cooldown = self.approver_app().map(|app| app.device_cooldown);
        let cooldown = cooldown.unwrap_or_default();
        let devices = self.devices.of(visit.identity(), visit.now).await?;
        let own = devices.into_iter().map(|device| {
            let standing = self.standing_of(visit, &seen.approval, rule, &device);
            OwnDevice {
                text: standing.err().map(Unproven::text),
                wait: device.ready(cooldown).since(visit.now).as_secs(),
                id: device.id,
            }
        });
        Ok(Some(own.collect()))
    }
}

fn count_yes(approval: &Approval) -> usize {
    let yes = approval.votes.iter();
    yes.filter(|vote| vote.answer == Answer::Yes).count()
}
