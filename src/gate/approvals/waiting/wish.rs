//! What whoever waits wishes: that people are told once more, that it is over, or that something else is asked for instead.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::href;
use crate::gate::approvals::Asker;
use crate::gate::audit::Circumstances;
use crate::gate::logout::is_same_origin;
use crate::gate::pages::Page;
use crate::gate::park::is_id;
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::approval::{Approval, Status};
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::store::{Mark, Unavailable};
use crate::telemetry::AuditKind;

/// Before people are told once more.
pub(super) const REMIND_EVERY: Duration = Duration::from_secs(120);

/// A parameter of the page: whom a reminder has reached. Of no consequence, whoever made it up.
pub(super) const TOLD: &str = "told";
pub(super) const NOBODY: &str = "nobody";

impl Gate {
    /// A form of the waiting page.
    pub(super) async fn wish(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Reply {
        // In another session there is nothing to be seen of it, and nothing to be done but to end it.
        let is_here = asker.asked_for(approval);
        let here = match is_here {
            true => site.url(&href(&approval.id)),
            false => site.url("/"),
        };
        if asker.session().is_none() || !is_same_origin(incoming.headers, &site.origin.text) {
            return self.foreign(incoming);
        }
        let field = |wanted: &str| {
            let mut fields = form_urlencoded::parse(incoming.body);
            let found = fields.find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        let wish = field("do");
        match wish.as_deref() {
            Some("cancel") => match self
                .cancel_own(incoming, asker.identity(), approval, None, now)
                .await
            {
                Ok(()) => Reply::redirect(&here, Record::of("own")).reason("cancelled"),
                Err(Unavailable) => self.unknown_state(incoming),
            },
            Some("replace") => {
                let kept = field("kept").filter(|id| is_id(id)).unwrap_or_default();
                self.replace(incoming, site, asker, approval, &kept, now)
                    .await
            }
            _ if !is_here => self.unknown_endpoint(incoming),
            Some("remind") => match self.tell_once_more(incoming, asker, approval, now).await {
                Ok(true) => Reply::redirect(&here, Record::of("own")).reason("reminded"),
                Ok(false) => {
                    let here = format!("{here}?{TOLD}={NOBODY}");
                    Reply::redirect(&here, Record::of("own")).reason("not-reminded")
                }
                Err(Unavailable) => self.unknown_state(incoming),
            },
            Some("break-glass") => {
                let reason = field("reason").unwrap_or_default();
                self.break_glass(incoming, site, asker, approval, &reason, now)
                    .await
            }
            _ => Reply::redirect(&here, Record::of("own")),
        }
    }

    pub(super) async fn take_back(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Reply {
        let is_browser = ["origin", "sec-fetch-site"]
            .iter()
            .any(|name| incoming.headers.contains_key(*name));
        let is_ours = is_same_origin(incoming.headers, &site.origin.text);
        if asker.session().is_some() && is_browser && !is_ours {
            return self.foreign(incoming);
        }
        match self
            .cancel_own(incoming, asker.identity(), approval, None, now)
            .await
        {
            Ok(()) => Reply::new(StatusCode::NO_CONTENT, "", Record::of("own")).reason("cancelled"),
            Err(Unavailable) => self.unknown_state(incoming),
        }
    }

    pub(in crate::gate::approvals) fn foreign(&self, incoming: &Incoming<'_>) -> Reply {
        self.not_for_this(
            incoming,
            "cross-site",
            "Only a page of this host may do this.",
        )
    }

    /// To break the glass is for those whom the approval names.
    pub(in crate::gate::approvals) fn not_theirs(&self, incoming: &Incoming<'_>) -> Reply {
        let text = "You are none of those who may pass this without agreement.";
        self.not_for_this(incoming, "break-glass-not-yours", text)
    }

    fn not_for_this(
        &self,
        incoming: &Incoming<'_>,
        code: &'static str,
        text: &'static str,
    ) -> Reply {
        let page = Page::Refused {
            status: 403,
            code,
            text,
            back: Some("/"),
        };
        let (headers, record) = (incoming.headers, Record::of("own"));
        let status = StatusCode::FORBIDDEN;
        self.page_or_problem(headers, status, &page, code, text, incoming, record)
    }

    /// Whether anybody is told. Once in a while at most, over all that share the store, and within what people are told at all.
    async fn tell_once_more(
        &self,
        incoming: &Incoming<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let is_pending = approval::standing(approval, now) == Status::Pending;
        if !is_pending || !self.tells_of(approval) || now < approval.created.plus(REMIND_EVERY) {
            return Ok(false);
        }
        let mark = Mark::reminded(&approval.id.0);
        let until = now.plus(REMIND_EVERY);
        if !self.parts.store.once(&mark, until, now).await? || !self.tell_again(approval) {
            return Ok(false);
        }
        let circumstances = Circumstances {
            reason: Some(&approval.name),
            who: Some(asker.identity()),
            approval: Some(&approval.id.0),
            ..Default::default()
        };
        self.audit(AuditKind::ApprovalReminded, incoming, circumstances);
        Ok(true)
    }

    /// Cancels it, and asks for what was kept aside.
    async fn replace(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        kept: &str,
        now: Timestamp,
    ) -> Reply {
        let found = match self.kept_for(site, kept, now).await {
            Ok(found) => found,
            Err(Unavailable) => return self.unknown_state(incoming),
        };
        let lineage = asker.session().map(|held| &held.live.session.lineage);
        let found = found.filter(|(request, _)| request.owner.lineage.as_ref() == lineage);
        let Some((request, target)) = found else {
            return self.nothing_kept(incoming);
        };
        if self
            .cancel_own(incoming, asker.identity(), approval, None, now)
            .await
            .is_err()
        {
            return self.unknown_state(incoming);
        }
        self.ask_for_kept(incoming, site, request, &target, kept, None)
            .await
    }
}
