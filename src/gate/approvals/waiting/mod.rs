//! `/.stepgate/approval/ID`: where whoever asked for a yes waits for it. A page (`page`) goes on from there by itself and
//! takes what its reader wishes (`wish`); a program reads how it stands (`state`). Only the session, or the token's client,
//! that asked sees anything. The same person can cancel it from elsewhere: a no is always safe.

mod page;
mod state;
mod wish;

use std::sync::Arc;

use http::{Method, StatusCode};

use super::{Asker, why};
use crate::gate::negotiate::{Kind, kind};
use crate::gate::park::is_id;
use crate::gate::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site};
use crate::model::approval::{Answer, Approval, ApprovalId, Denied, Status};
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::policy::facts::Known;
use crate::store::Unavailable;

pub(in crate::gate) use state::Patience;

/// Behind [`OWN_PREFIX`].
pub(in crate::gate) const PREFIX: &str = "approval/";

const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::DELETE];

impl Gate {
    pub(in crate::gate) async fn wait_for_yes(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        id: &str,
    ) -> Reply {
        if id == why::WHY {
            return self.said_why(incoming, site).await;
        }
        if !METHODS.contains(incoming.method) {
            return self.wrong_method(METHODS, incoming);
        }
        let now = self.parts.clock.now();
        let asker = match self.asker(incoming, site, now).await {
            Ok(Some(asker)) => asker,
            Ok(None) => return self.unknown_endpoint(incoming),
            Err(reply) => return *reply,
        };
        let id = ApprovalId(id.to_owned());
        let approval = match self.approvals.find(&id, now).await {
            Ok(Some(found)) if asker.asked_for(&found) => found,
            Ok(Some(found)) if may_end(incoming, site, &asker, &found) => found,
            Ok(_) => return self.unknown_endpoint(incoming),
            Err(Unavailable) => return self.unknown_state(incoming),
        };
        match *incoming.method {
            Method::POST => self.wish(incoming, site, &asker, &approval, now).await,
            Method::DELETE => self.take_back(incoming, site, &asker, &approval, now).await,
            _ if kind(incoming.headers) == Kind::Page && asker.session().is_some() => {
                self.waiting_page(incoming, site, &asker, &approval, now)
                    .await
            }
            _ => self.state(incoming, site, asker, approval).await,
        }
    }

    /// Whose token or session it is; with a token, that alone counts.
    pub(super) async fn asker(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        now: Timestamp,
    ) -> Result<Option<Asker>, Box<Reply>> {
        if let Some(taken) = self.bearer(incoming, site, now).await {
            return taken
                .map(|verified| Some(Asker::Bearer(verified)))
                .map_err(Box::new);
        }
        match self.caller(incoming, site, now).await {
            Known::Found(held) => Ok(Some(Asker::Session(held))),
            Known::Absent => Ok(None),
            Known::Unavailable => Err(Box::new(self.unknown_state(incoming))),
        }
    }

    pub(super) fn unknown_state(&self, incoming: &Incoming<'_>) -> Reply {
        let record = Record::of("own");
        self.unavailable(incoming, incoming.retry_href(), record, "store-unavailable")
    }
}

/// In another session than the one that asked, and not by another app's page.
fn may_end(incoming: &Incoming<'_>, site: Site<'_>, asker: &Asker, approval: &Approval) -> bool {
    let mut origins = site.app.origins.iter();
    matches!(*incoming.method, Method::POST | Method::DELETE)
        && asker.is_requester_of(approval)
        && origins.any(|origin| origin.text == approval.action.origin)
}

pub(in crate::gate) fn href(id: &ApprovalId) -> String {
    format!("{OWN_PREFIX}{PREFIX}{}", id.0)
}

/// Of an address where somebody waits.
pub(in crate::gate) fn id_of(path_and_query: &str) -> Option<String> {
    let path = path_and_query.split('?').next()?;
    let id = path.strip_prefix(OWN_PREFIX)?.strip_prefix(PREFIX)?;
    (!id.is_empty() && is_id(id)).then(|| id.to_owned())
}

pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix())
        .map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Status, code, title, and what to do, of what cannot be used any more.
pub(super) fn why_over(
    state: Option<&Status>,
) -> (StatusCode, &'static str, &'static str, &'static str) {
    let again = "Send the request without the field Stepgate-Approval to ask again.";
    match state {
        Some(Status::Denied { .. }) => (
            StatusCode::FORBIDDEN,
            "approval-denied",
            "Somebody said no to this.",
            "Talk to them before you ask again.",
        ),
        Some(Status::Consumed { .. }) => (
            StatusCode::CONFLICT,
            "approval-used",
            "The approval was used already.",
            "It is good for one request. See at status_url what the app answered to that.",
        ),
        Some(Status::Cancelled { .. }) => (
            StatusCode::FORBIDDEN,
            "approval-cancelled",
            "The approval was cancelled.",
            again,
        ),
        Some(Status::Revoked { .. }) => (
            StatusCode::FORBIDDEN,
            "approval-revoked",
            "The approval was taken back.",
            again,
        ),
        Some(Status::Expired { .. }) => (
            StatusCode::FORBIDDEN,
            "approval-expired",
            "The approval has expired.",
            again,
        ),
        Some(Status::Pending | Status::Approved { .. }) | None => (
            StatusCode::FORBIDDEN,
            "no-such-approval",
            "There is no such approval of yours.",
            again,
        ),
    }
}

fn standing_name(approval: &Approval, now: Timestamp) -> &'static str {
    name(&approval::standing(approval, now))
}

/// Stable, for programs, logs and templates.
pub(super) const fn name(status: &Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Approved { .. } => "approved",
        Status::Denied { .. } => "denied",
        Status::Expired { .. } => "expired",
        Status::Cancelled { .. } => "cancelled",
        Status::Revoked { .. } => "revoked",
        Status::Consumed { .. } => "consumed",
    }
}

const fn denied(status: &Status) -> Option<&'static str> {
    match status {
        Status::Denied { why, .. } => Some(match why {
            Denied::No => "no",
            Denied::Reported => "reported",
            Denied::Number => "number",
        }),
        _ => None,
    }
}

fn yes(approval: &Approval) -> u32 {
    let votes = approval.votes.iter();
    let yes = votes.filter(|vote| vote.answer == Answer::Yes).count();
    u32::try_from(yes).unwrap_or(u32::MAX)
}
