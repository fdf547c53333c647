//! Uses a yes up, before anything is sent: whatever fails afterwards is not sent a second time.

use futures_util::FutureExt as _;
use http::StatusCode;

use super::Changed;
use crate::gate::pages::Page;
use crate::gate::{Forward, Gate, Record, Reply};
use crate::model::time::Timestamp;
use crate::store::{ParkedAs, Unavailable};
use crate::telemetry::{AuditEvent, AuditKind};

impl Forward {
    /// Whether nothing has to be used up, or written down, any more before it goes.
    pub fn may_go(&self) -> bool {
        (self.permit.uses().is_none() || self.is_redeemed)
            && (self.permit.is_within().is_none() || self.is_noted)
    }
}

impl Gate {
    /// The last thing before an upstream is chosen, whichever way the request came. Without `Ok` nothing goes.
    pub async fn redeem(&self, forward: &mut Forward, request_id: &str) -> Result<(), Reply> {
        if forward.permit.is_within().is_none() && forward.permit.uses().is_none() {
            return Ok(());
        }
        // Few requests have one, so it is boxed: see `gate::judge`.
        self.redeem_one(forward, request_id).boxed().await
    }

    async fn redeem_one(&self, forward: &mut Forward, request_id: &str) -> Result<(), Reply> {
        let now = self.parts.clock.now();
        if forward.permit.is_within().is_some() {
            self.note_use(forward, request_id, now)
                .map_err(|reply| *reply)?;
            forward.is_noted = true;
            return Ok(());
        }
        let Some(id) = forward.permit.uses() else {
            return Ok(());
        };
        let changed = match &forward.redeeming {
            Some(redeeming) => {
                let (holder, action) = (&redeeming.holder, &redeeming.action);
                self.approvals.redeem(id, holder, action, now).await
            }
            // Nothing makes such a one.
            None => Err(Unavailable),
        };
        match changed {
            Ok(Changed::Done(approval)) => {
                let event = AuditEvent {
                    reason: Some(&approval.name),
                    origin: Some(&approval.action.origin),
                    route: Some(&approval.action.route),
                    sub: Some(&approval.requester.person.sub),
                    request: Some(request_id),
                    approval: Some(&approval.id.0),
                    ..AuditEvent::new(AuditKind::ApprovalConsumed)
                };
                self.parts.audit.record(&event, now);
                self.count_outcome(&approval, now);
                forward.is_redeemed = true;
                Ok(())
            }
            // Somebody else was faster, or it was taken back in between.
            Ok(Changed::Refused(_) | Changed::Absent) => {
                let text =
                    "The approval was used, taken back or has expired meanwhile. Nothing was sent.";
                let reply = self.not_redeemed(
                    forward,
                    StatusCode::CONFLICT,
                    "approval-over",
                    text,
                    request_id,
                );
                Err(reply)
            }
            Err(Unavailable) => {
                if let Some(sending) = &forward.sending
                    && let Some((key, _)) = &sending.kept
                    && !matches!(self.put(key, &sending.request).await, Ok(ParkedAs::Kept))
                {
                    tracing::warn!("what was about to be sent by an approval is lost with it");
                }
                let text =
                    "Whether the approval was used cannot be told at the moment. Nothing was sent.";
                let mut reply = self.not_redeemed(
                    forward,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store-unavailable",
                    text,
                    request_id,
                );
                reply.record.decision = "unavailable";
                reply.retry_after(5);
                Err(reply)
            }
        }
    }

    /// One of the requests that a yes holds for, for a while. It was looked for with this very request.
    fn note_use(
        &self,
        forward: &Forward,
        request_id: &str,
        now: Timestamp,
    ) -> Result<(), Box<Reply>> {
        let Some(approval) = &forward.within else {
            let text = "By which approval this goes cannot be told. Nothing was sent.";
            let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable");
            let reply = self.not_redeemed(forward, status, code, text, request_id);
            return Err(Box::new(reply));
        };
        let event = AuditEvent {
            reason: Some(&approval.name),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&approval.requester.person.sub),
            request: Some(request_id),
            approval: Some(&approval.id.0),
            ..AuditEvent::new(AuditKind::ApprovalUsed)
        };
        self.parts.audit.record(&event, now);
        Ok(())
    }

    fn not_redeemed(
        &self,
        forward: &Forward,
        status: StatusCode,
        code: &'static str,
        text: &str,
        request_id: &str,
    ) -> Reply {
        let record = Record {
            decision: "approve",
            reason: Some(code),
            ..forward.record.clone()
        };
        if let Some(sending) = &forward.sending
            && let Some((_, href)) = &sending.kept
        {
            let page = Page::Refused {
                status: status.as_u16(),
                code,
                text,
                back: Some(href),
            };
            let language = self.language_at(Some(forward.place), &sending.request.headers);
            return self.page_in(language, status, &page, request_id, record);
        }
        let problem = crate::gate::reply::Problem {
            status: status.as_u16(),
            title: text,
            code,
            request_id,
            ..Default::default()
        };
        Reply::json(status, &problem, record)
    }

    /// What the upstream said to what a yes was used for.
    pub async fn note_answer(&self, forward: &Forward, status: StatusCode) {
        let Some(id) = forward.permit.uses().filter(|_| forward.is_redeemed) else {
            return;
        };
        let now = self.parts.clock.now();
        let event = AuditEvent {
            reason: Some(status.as_str()),
            approval: Some(&id.0),
            ..AuditEvent::new(AuditKind::ApprovalAnswered)
        };
        self.parts.audit.record(&event, now);
        let noted = self.approvals.answered(id, status.as_u16(), now).await;
        if noted.is_err() {
            tracing::warn!("what an upstream said to an approved request could not be noted");
        }
    }
}
