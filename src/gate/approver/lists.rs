//! The inbox, oldest first, and what was.

use http::StatusCode;

use super::pages::{Live, Page, Row};
use super::{Visit, answer_of, href, live, sign_in, state, time_left};
use crate::config::ApprovalRule;
use crate::gate::ciba::SignIn;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Approval, Person, Status};
use crate::model::level::Rank;
use crate::policy::approval::standing;
use crate::policy::approval::who::may_decide;
use crate::store::Unavailable;

/// One of what concerns whoever may decide on it, and whether its own level is there to read it.
#[derive(Debug)]
pub(super) struct Concern<'c> {
    pub(super) approval: Approval,
    /// The level that is missing.
    missing: Option<&'c str>,
}

impl Concern<'_> {
    fn row<'a>(&'a self, person: &Person, visit: &Visit<'_, '_>) -> Row<'a> {
        Row {
            summary: self.missing.is_none().then(|| visit.asking(&self.approval)),
            level: self.missing.unwrap_or_default(),
            ..row(&self.approval, person, visit)
        }
    }
}

impl Gate {
    pub(super) async fn inbox(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let waiting = self.waiting_for(visit).await?;
        let asked = self.asked_by(visit).await?;
        let passed = self.passed_for(visit).await?;
        let sign_ins = self.sign_ins_of(visit).await?;
        let all = waiting.iter().chain(&passed).map(|one| &one.approval);
        let seen = live::digest_of(all.chain(&asked), visit.now);
        let seen = live::with(seen, &sign_ins, visit.now);
        let person = visit.person();
        // What is over in two minutes is first.
        let pending = sign_ins.iter().filter(|one| one.is_pending(visit.now));
        let pending = pending.map(|one| self.sign_in_row(visit, one));
        let rows: Vec<_> = pending
            .chain(waiting.iter().map(|one| one.row(&person, visit)))
            .collect();
        let passed: Vec<_> = passed.iter().map(|one| one.row(&person, visit)).collect();
        let asked: Vec<_> = asked
            .iter()
            // What is theirs to decide stands above.
            .filter(|one| !waiting.iter().any(|other| other.approval.id == one.id))
            .filter(|one| {
                matches!(
                    standing(one, visit.now),
                    Status::Pending | Status::Approved { .. }
                )
            })
            .map(|one| row(one, &person, visit))
            .collect();
        let devices = self.devices.of(visit.identity(), visit.now).await?;
        let page = Page::Inbox {
            waiting: &rows,
            passed: &passed,
            asked: &asked,
            fresh: &self.fresh(visit, &devices),
            removed: self.removed_elsewhere(visit).await?,
        };
        let live = Live {
            of: live::INBOX,
            seen: &seen,
        };
        Ok(self.visit_page(StatusCode::OK, &page, visit, Some(live)))
    }

    pub(super) async fn history(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let person = visit.person();
        let newest_first = |mut all: Vec<Approval>| {
            all.reverse();
            all
        };
        let decided = newest_first(self.approvals().decided_by(&person, visit.now).await?);
        let asked = newest_first(self.asked_by(visit).await?);
        // What was read at a level is not read again below it.
        let sign_ins = self.sign_ins_of(visit).await?;
        let over = sign_ins.iter().filter(|one| !one.is_pending(visit.now));
        let over = over.map(|one| self.sign_in_row(visit, one));
        let mut decided: Vec<_> = decided
            .iter()
            .map(|one| {
                let rule = self.parts.config.approval(&one.name);
                let missing = rule.and_then(|rule| self.missing(visit, rule.level));
                Row {
                    summary: missing.is_none().then(|| visit.asking(one)),
                    level: missing.unwrap_or_default(),
                    ..row(one, &person, visit)
                }
            })
            .chain(over)
            .collect();
        decided.sort_by_key(|row| row.ago);
        let asked: Vec<_> = asked.iter().map(|one| row(one, &person, visit)).collect();
        let page = Page::History {
            decided: &decided,
            asked: &asked,
        };
        Ok(self.visit_page(StatusCode::OK, &page, visit, None))
    }

    /// What this person may decide on and has not answered.
    pub(super) async fn waiting_for(
        &self,
        visit: &Visit<'_, '_>,
    ) -> Result<Vec<Concern<'_>>, Unavailable> {
        let config = &self.parts.config;
        let mut waiting = Vec::new();
        for rule in config.apps.iter().flat_map(|app| &app.approvals) {
            let pending = self.approvals().pending(&rule.name, visit.now).await?;
            waiting.extend(self.concerns(visit, rule, pending));
        }
        Ok(in_order(waiting))
    }

    /// What they could have agreed to, and somebody passed in their place of late.
    pub(super) async fn passed_for(
        &self,
        visit: &Visit<'_, '_>,
    ) -> Result<Vec<Concern<'_>>, Unavailable> {
        let config = &self.parts.config;
        let mut passed = Vec::new();
        for rule in config.apps.iter().flat_map(|app| &app.approvals) {
            let found = self.approvals().passed(&rule.name, visit.now).await?;
            passed.extend(self.concerns(visit, rule, found));
        }
        Ok(in_order(passed))
    }

    /// Those of `all` that are theirs to decide, and that they have not answered.
    fn concerns<'c>(
        &'c self,
        visit: &Visit<'_, '_>,
        rule: &'c ApprovalRule,
        all: Vec<Approval>,
    ) -> Vec<Concern<'c>> {
        let (identity, person) = (visit.identity(), visit.person());
        let is_theirs = |one: &Approval| {
            may_decide(one, &rule.approvers, identity) && answer_of(one, &person).is_none()
        };
        let theirs = all.into_iter().filter(is_theirs).collect::<Vec<_>>();
        if theirs.is_empty() {
            return Vec::new();
        }
        let missing = self.missing(visit, rule.level);
        let concern = |approval| Concern { approval, missing };
        theirs.into_iter().map(concern).collect()
    }

    /// What it says is read at the level at which it is decided.
    fn sign_in_row<'a>(&'a self, visit: &Visit<'_, '_>, one: &'a SignIn) -> Row<'a> {
        let rules = self.parts.config.ciba.as_ref();
        let missing = rules.and_then(|rules| self.missing(visit, rules.level));
        let row = sign_in::row(one, visit.now);
        Row {
            summary: row.summary.filter(|_| missing.is_none()),
            level: missing.unwrap_or_default(),
            ..row
        }
    }

    /// The level, where whoever is here does not have it.
    fn missing(&self, visit: &Visit<'_, '_>, rank: Rank) -> Option<&str> {
        if self.has_level(visit, rank) {
            return None;
        }
        let level = self.parts.config.ladder.level(rank);
        Some(level.map_or("", |level| level.label.as_str()))
    }

    pub(super) async fn asked_by(
        &self,
        visit: &Visit<'_, '_>,
    ) -> Result<Vec<Approval>, Unavailable> {
        self.approvals().asked_by(&visit.person(), visit.now).await
    }
}

/// The oldest first.
fn in_order(mut all: Vec<Concern<'_>>) -> Vec<Concern<'_>> {
    all.sort_by(|one, other| {
        let key = |one: &Concern<'_>| (one.approval.created, one.approval.id.clone());
        key(one).cmp(&key(other))
    });
    all
}

fn row<'a>(approval: &'a Approval, person: &Person, visit: &Visit<'_, '_>) -> Row<'a> {
    Row {
        href: href(&approval.id),
        summary: Some(visit.asking(approval)),
        level: "",
        who: &approval.requester.name,
        ago: visit.now.since(approval.created).as_secs(),
        left: time_left(approval, visit.now),
        state: state(approval, visit.now),
        mine: answer_of(approval, person),
    }
}
