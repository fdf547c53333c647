//! Asks for a yes, and tells whoever needs it: a page waits, a program gets an id to come back with.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::want::{APPROVAL, Wish, is_page};
use super::{Asked, Asking, waiting, why};
use crate::config::Reason;
use crate::gate::audit::Circumstances;
use crate::gate::ciba::NotAsked;
use crate::gate::logout::is_same_origin;
use crate::gate::negotiate::{Kind, kind_for};
use crate::gate::pages::Page;
use crate::gate::park::NotKept;
use crate::gate::words::Language;
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::approval::{Approval, Requester, Status};
use crate::model::parked::ParkedRequest;
use crate::model::route::Route;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::approval::who::named;
use crate::policy::approval::{self, Refused};
use crate::seal::{session_key, token};
use crate::store::{ParkedAs, ParkedKey, Unavailable};
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::ApprovalOutcome;

/// Seconds after which somebody with too many of them may try again.
const CROWDED: u64 = 60;

/// What a program is told (RFC 9457).
#[derive(Debug, Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Gate {
    pub(super) async fn ask(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        wish: Wish<'_>,
        now: Timestamp,
    ) -> Reply {
        let route = site.app.table.find(incoming.method, incoming.target).route;
        let waits_on_page = is_page(incoming, route) && wish.asker.session().is_some();
        if kind_for(incoming.headers, route.challenge) == Kind::Frame {
            let text = "Somebody has to agree to this. Open it in a tab of its own, where you can wait for it.";
            let (code, status) = ("approval-in-frame", StatusCode::FORBIDDEN);
            return self.say(incoming, route.challenge, status, code, text, wish.record);
        }
        // A page of another site asks nobody in the user's name.
        if wish.asker.session().is_some() && is_foreign(incoming, site, waits_on_page) {
            let text = "Only a page of this host may ask for somebody's yes.";
            let (code, status) = ("cross-site", StatusCode::FORBIDDEN);
            return self.say(incoming, route.challenge, status, code, text, wish.record);
        }
        let Wish {
            asker,
            bound,
            request,
            reason,
            aside,
            mut record,
        } = wish;
        let rule = bound.rule;
        let given = match reason {
            Some(reason) => Ok(Some(reason)),
            None => why::of(incoming.headers),
        };
        let Ok(reason) = given else {
            let text = format!(
                "The Stepgate-Reason field is not one line of UTF-8, percent-encoded, of at most {} characters.",
                why::LONGEST
            );
            let (code, status) = ("reason-unreadable", StatusCode::BAD_REQUEST);
            return self.say(incoming, route.challenge, status, code, &text, record);
        };
        if reason.is_none() && rule.requester_reason == Reason::Required {
            if waits_on_page {
                let language = self.language(incoming);
                let summary = language.asking(&bound.summary, &rule.terms);
                return self
                    .ask_why(incoming, &summary, request, aside, record)
                    .await;
            }
            let text = "Say why you need this: in the field Stepgate-Reason.";
            let (code, status) = ("reason-required", StatusCode::FORBIDDEN);
            return self.say(incoming, route.challenge, status, code, text, record);
        }
        let asking = Asking {
            name: rule.name.clone(),
            requester: Requester {
                person: asker.person(),
                holder: asker.holder(),
                name: asker.name().to_owned(),
                address: incoming.client.to_string(),
                sid: asker.identity().sid.clone(),
            },
            action: bound.action,
            summary: bound.summary,
            reason,
            terms: rule.terms.clone(),
            named: named(&rule.approvers, asker.identity()),
            digits: rule.digits,
            request_ttl: rule.request_ttl,
            cooldown: self.longest_cooldown(),
        };
        record.reason = Some("approval-asked");
        match self.cools_down(&asking, rule.cooldown, now).await {
            Ok(None) => {}
            Ok(Some(left)) => {
                let text =
                    "Somebody said no to this a moment ago. Talk to them before you ask again.";
                let (code, status) = ("approval-denied-lately", StatusCode::TOO_MANY_REQUESTS);
                let mut reply = self.say(incoming, route.challenge, status, code, text, record);
                reply.retry_after(left.as_secs().max(1));
                return reply;
            }
            Err(Unavailable) => {
                record.decision = "unavailable";
                return self.unavailable(incoming, None, record, "store-unavailable");
            }
        }
        let asked = match self.approvals.ask(asking, now).await {
            Ok(asked) => asked,
            Err(Unavailable) => {
                record.decision = "unavailable";
                return self.unavailable(incoming, None, record, "store-unavailable");
            }
        };
        match asked {
            Asked::New(approval) => {
                if waits_on_page && let Err(why) = self.keep_for(&approval, request).await {
                    return self
                        .not_kept_for(incoming, &approval, why, record, now)
                        .await;
                }
                let circumstances = Circumstances {
                    reason: Some(&approval.name),
                    route: Some(&approval.action.route),
                    who: Some(asker.identity()),
                    have: record.have,
                    need: record.need,
                    asked: Some(&approval),
                    words: approval.reason.as_deref(),
                    ..Circumstances::default()
                };
                self.audit(AuditKind::ApprovalAsked, incoming, circumstances);
                let begun = self.begin_confirmation(&approval, asker.identity());
                if let Err(why) = begun.await {
                    return self
                        .nobody_asked(incoming, route, &approval, why, record, now)
                        .await;
                }
                // Where Keycloak asks the requester, it is nobody else's.
                if approval.terms.ciba.is_none() {
                    self.tell_asked(&approval);
                }
                let outcome = ApprovalOutcome::Asked;
                self.parts.metrics.approval(&approval.name, outcome);
                self.told_to_wait(incoming, site, route, &approval, waits_on_page, record)
            }
            Asked::Same(approval) => {
                // A program may have asked for it before.
                if waits_on_page && let Err(why) = self.keep_for(&approval, request).await {
                    return self
                        .not_kept_for(incoming, &approval, why, record, now)
                        .await;
                }
                record.reason = Some("approval-pending");
                self.told_to_wait(incoming, site, route, &approval, waits_on_page, record)
            }
            Asked::Other(other) => {
                record.reason = Some("another-approval-pending");
                // In another session it is theirs as well, to be ended and nothing else.
                let is_here = asker.asked_for(&other);
                if waits_on_page {
                    let kept = self.keep_aside(request, aside, now).await;
                    return self.other_page(incoming, &other, is_here, kept.as_deref(), record);
                }
                let title = "Something else waits for approval already.";
                let detail = match is_here {
                    true => "One thing is asked for at a time: cancel that one, or wait for it.",
                    false => {
                        "One thing is asked for at a time, and that was in another session: cancel it by a DELETE of status_url, or wait until it is over."
                    }
                };
                let code = "another-approval-pending";
                let told = Told {
                    status: StatusCode::CONFLICT,
                    title,
                    detail,
                    code,
                };
                self.tell_program(incoming, site, route, Some(&other), &told, record)
            }
            Asked::Full => {
                record.decision = "unavailable";
                let text = "There is no room for another request for approval at the moment. Nobody was asked.";
                let (code, status) = ("approvals-full", StatusCode::SERVICE_UNAVAILABLE);
                let mut reply = self.say(incoming, route.challenge, status, code, text, record);
                reply.retry_after(CROWDED);
                reply
            }
            Asked::Crowded => {
                let text = "Too many of your requests wait, were agreed to and not used, or were denied a moment ago. Cancel or use one of them, or wait until one is over.";
                let (code, status) = ("too-many-approvals", StatusCode::TOO_MANY_REQUESTS);
                let mut reply = self.say(incoming, route.challenge, status, code, text, record);
                reply.retry_after(CROWDED);
                reply
            }
        }
    }

    fn longest_cooldown(&self) -> Duration {
        let rules = self.parts.config.apps.iter().flat_map(|app| &app.approvals);
        rules.map(|rule| rule.cooldown).max().unwrap_or_default()
    }

    /// How much longer nobody is asked, after a no to this requester on this route, or a report of what was agreed to.
    async fn cools_down(
        &self,
        asking: &Asking,
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<Option<Duration>, Unavailable> {
        if cooldown.is_zero() {
            return Ok(None);
        }
        let person = &asking.requester.person;
        let asked = self.approvals.asked_by(person, now).await?;
        let ends = asked
            .iter()
            .filter(|one| one.action.route == asking.action.route)
            .filter_map(|one| match one.status {
                Status::Denied { at, .. } | Status::Revoked { at, reported: true } => {
                    Some(at.plus(cooldown))
                }
                _ => None,
            })
            .max();
        Ok(ends.filter(|ends| *ends > now).map(|ends| ends.since(now)))
    }

    fn told_to_wait(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        route: &Route,
        approval: &Approval,
        waits_on_page: bool,
        record: Record,
    ) -> Reply {
        if !waits_on_page {
            let told = Told {
                status: StatusCode::FORBIDDEN,
                title: "Somebody has to agree to this first.",
                detail: "Wait at status_url, and send the same request again with the field Stepgate-Approval.",
                code: "approval-required",
            };
            return self.tell_program(incoming, site, route, Some(approval), &told, record);
        }
        // Not by a redirect, as for a form that is kept: the app's page may say where its forms lead (`form-action`, CSP 3),
        // and what comes after the yes is a navigation of its own.
        let href = waiting::href(&approval.id);
        let page = Page::AskedFor {
            summary: &self
                .language(incoming)
                .asking(&approval.summary, &approval.terms),
            href: &href,
        };
        let mut reply = self.page(StatusCode::ACCEPTED, &page, incoming, record);
        reply.go_on_to(&href);
        reply
    }

    fn tell_program(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        route: &Route,
        approval: Option<&Approval>,
        told: &Told<'_>,
        record: Record,
    ) -> Reply {
        let id = approval.map(|approval| approval.id.0.as_str());
        let mut reply = if kind_for(incoming.headers, route.challenge) == Kind::Grpc {
            let message = match id {
                Some(id) => format!("{} Stepgate-Approval: {id}", told.title),
                None => told.title.to_owned(),
            };
            Reply::grpc(told.status, &message, record)
        } else {
            let status_url = approval.map(|approval| site.url(&waiting::href(&approval.id)));
            let summary =
                approval.map(|approval| Language::En.asking(&approval.summary, &approval.terms));
            let problem = Problem {
                status: told.status.as_u16(),
                title: told.title,
                detail: told.detail,
                code: told.code,
                request_id: incoming.request_id,
                summary: summary.as_deref(),
                approval_id: id,
                status_url,
                expires_at: approval.map(|approval| waiting::rfc3339(approval.expires)),
            };
            Reply::json(told.status, &problem, record)
        };
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            reply.headers.insert(APPROVAL, id);
        }
        reply
    }

    /// The approval that a program came back with is none for this request, or none yet.
    pub(super) fn not_given(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        route: &Route,
        approval: Option<&Approval>,
        refused: Option<Refused>,
        mut record: Record,
    ) -> Reply {
        let now = self.parts.clock.now();
        let (status, code, title, detail) = match refused {
            Some(Refused::Pending) => (
                StatusCode::FORBIDDEN,
                "approval-pending",
                "Nobody has agreed to this yet.",
                "Wait at status_url, and send the same request again.",
            ),
            Some(Refused::Expired) => (
                StatusCode::FORBIDDEN,
                "approval-expired",
                "The approval has expired.",
                "Send the request without the field Stepgate-Approval to ask again.",
            ),
            Some(Refused::OtherAction) => (
                StatusCode::CONFLICT,
                "approval-of-another-request",
                "The approval is for another request, or for another policy than there is now.",
                "What was approved is what runs: send it byte for byte, or ask for this one.",
            ),
            _ => {
                let state = approval
                    .as_ref()
                    .map(|found| approval::standing(found, now));
                waiting::why_over(state.as_ref())
            }
        };
        record.reason = Some(code);
        let told = Told {
            status,
            title,
            detail,
            code,
        };
        self.tell_program(incoming, site, route, approval, &told, record)
    }

    /// Nothing is there under that id for whoever asks.
    pub(super) fn no_such(&self, incoming: &Incoming<'_>, route: &Route, record: Record) -> Reply {
        let text = "There is no such approval of yours.";
        let (code, status) = ("no-such-approval", StatusCode::FORBIDDEN);
        self.say(incoming, route.challenge, status, code, text, record)
    }

    fn other_page(
        &self,
        incoming: &Incoming<'_>,
        other: &Approval,
        is_here: bool,
        kept: Option<&str>,
        record: Record,
    ) -> Reply {
        let href = waiting::href(&other.id);
        let summary = self.language(incoming).asking(&other.summary, &other.terms);
        let page = Page::OtherPending {
            summary: &summary,
            href: &href,
            is_here,
            kept,
            left: other.expires.since(self.parts.clock.now()),
        };
        self.page(StatusCode::CONFLICT, &page, incoming, record)
    }

    /// It was asked for, and cannot wait: nobody shall say yes to it.
    async fn not_kept_for(
        &self,
        incoming: &Incoming<'_>,
        approval: &Approval,
        why: NotKept,
        record: Record,
        now: Timestamp,
    ) -> Reply {
        let person = &approval.requester.person;
        if self
            .approvals
            .cancel(&approval.id, person, now)
            .await
            .is_err()
        {
            tracing::warn!("an approval that is of no use could not be cancelled");
        }
        self.count_not_kept(why);
        self.unavailable(incoming, None, record, why.name())
    }

    /// Whoever was to confirm it was never asked: nobody shall wait for that.
    async fn nobody_asked(
        &self,
        incoming: &Incoming<'_>,
        route: &Route,
        approval: &Approval,
        not_asked: NotAsked,
        mut record: Record,
        now: Timestamp,
    ) -> Reply {
        let person = &approval.requester.person;
        let cancelled = self.approvals.cancel(&approval.id, person, now).await;
        if cancelled.is_err() {
            tracing::warn!("an approval that is of no use could not be cancelled");
        }
        let NotAsked { status, why } = not_asked;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            record.decision = "unavailable";
        }
        let mut reply = self.say(
            incoming,
            route.challenge,
            status,
            "nobody-asked",
            why,
            record,
        );
        reply.retry_after(CROWDED);
        reply
    }

    /// Until the approval is of no use any more.
    async fn keep_for(
        &self,
        approval: &Approval,
        mut request: ParkedRequest,
    ) -> Result<(), NotKept> {
        request.expires = approval.expires.plus(approval.terms.redeem_ttl);
        let key = kept_key(&request.origin, &approval.id.0);
        match self.put(&key, &request).await {
            // Whatever is there already is the same: the approval is bound to it.
            Ok(ParkedAs::Kept | ParkedAs::Taken) => Ok(()),
            Ok(ParkedAs::Full | ParkedAs::Crowded) => Err(NotKept::Full),
            Err(Unavailable) => Err(NotKept::Unavailable),
        }
    }

    /// While its user makes up their mind about what is pending instead. `aside`: where it is kept so already, which is where
    /// it stays.
    pub(super) async fn keep_aside(
        &self,
        mut request: ParkedRequest,
        aside: Option<String>,
        now: Timestamp,
    ) -> Option<String> {
        if aside.is_some() {
            return aside;
        }
        let id = token(&*self.parts.random, 16);
        request.expires = now.plus(self.parts.config.park.lasts);
        let key = kept_key(&request.origin, &id);
        let kept = self.put(&key, &request).await;
        matches!(kept, Ok(ParkedAs::Kept)).then_some(id)
    }

    /// What waits under that id.
    pub(in crate::gate) async fn kept_for(
        &self,
        site: Site<'_>,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<(ParkedRequest, Target)>, Unavailable> {
        let key = kept_key(&site.origin.text, id);
        match self.parts.store.parked(&key, now).await? {
            Some(sealed) => self.open_kept(site, &key, &sealed),
            None => Ok(None),
        }
    }

    /// From here on it is nobody's but whoever took it.
    pub(super) async fn take_kept_for(
        &self,
        site: Site<'_>,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<(ParkedRequest, Target)>, Unavailable> {
        let key = kept_key(&site.origin.text, id);
        match self.parts.store.unpark(&key, now).await? {
            Some(sealed) => self.open_kept(site, &key, &sealed),
            None => Ok(None),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Told<'t> {
    status: StatusCode,
    title: &'t str,
    detail: &'t str,
    code: &'static str,
}

/// Whether another site's page sends it. A navigation that changes something has to say where it comes from; programs that
/// are no browsers do not.
fn is_foreign(incoming: &Incoming<'_>, site: Site<'_>, is_page: bool) -> bool {
    if is_same_origin(incoming.headers, &site.origin.text) {
        return false;
    }
    if is_page {
        return !incoming.method.is_safe();
    }
    let headers = incoming.headers;
    match headers.get(header::ORIGIN) {
        Some(origin) => !site.app.cors_origins.iter().any(|known| origin == known),
        None => headers
            .get("sec-fetch-site")
            .is_some_and(|from| from != "none"),
    }
}

/// Beside what is kept for a sign-in, and never found as that.
pub(super) fn kept_key(origin: &str, id: &str) -> ParkedKey {
    ParkedKey(session_key(&format!("{origin} approval {id}")).0)
}
