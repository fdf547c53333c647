//! `/.stepgate/approval/ID`: where whoever asked for a yes waits for it. A page goes on from there by itself; a program
//! reads how it stands. Only the session, or the token's client, that asked sees anything.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::going::marked_target;
use super::{Asker, Changed, Wanting};
use crate::config::Protocol;
use crate::gate::endpoints::param;
use crate::gate::judge::Way;
use crate::gate::logout::is_same_origin;
use crate::gate::negotiate::{Kind, kind};
use crate::gate::pages::Page;
use crate::gate::park::is_id;
use crate::gate::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site, Verdict};
use crate::model::approval::{Answer, Approval, ApprovalId, Denied, Mode, Status};
use crate::model::parked::ParkedRequest;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::policy::facts::Known;
use crate::store::Unavailable;

/// Behind [`OWN_PREFIX`].
pub(in crate::gate) const PREFIX: &str = "approval/";

const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::DELETE];

/// A program waits no longer for news, whatever it would like.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Programs that wait at one time; others are told at once how it stands.
const WAITERS: usize = 256;

/// Between two looks: another instance may have changed it.
const LOOK: Duration = Duration::from_millis(500);

/// Who waits. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Patience(Arc<Semaphore>);

impl Default for Patience {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITERS)))
    }
}

/// What a program reads. Times by RFC 3339.
#[derive(Debug, Serialize)]
struct State<'a> {
    approval_id: &'a str,
    status: &'static str,
    summary: &'a str,
    /// For the person who waits, who tells it to whoever decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
    approvals: u32,
    needed: u32,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<&'static str>,
    /// What the app answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_status: Option<u16>,
}

impl Gate {
    pub(in crate::gate) async fn approval(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        id: &str,
    ) -> Reply {
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
            _ => self.state(incoming, &asker, approval).await,
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

    async fn waiting_page(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Reply {
        let standing = approval::standing(approval, now);
        let Ok(kept) = self.kept_for(site, &approval.id.0, now).await else {
            return self.unknown_state(incoming);
        };
        let is_approved = matches!(standing, Status::Approved { .. });
        let go = kept
            .as_ref()
            .filter(|_| is_approved)
            .map(|(request, _)| marked_target(&request.target, &approval.id.0));
        let here = href(&approval.id);
        let who = self.who(approval);
        let page = self.page_of(approval, &standing, &here, &who, go.as_deref(), now);
        let record = Record {
            subject: Some(asker.subject()),
            ..Record::of("own")
        };
        let mut reply = self
            .page(StatusCode::OK, &page, incoming.request_id, record)
            .reason(name(&standing));
        match &standing {
            Status::Pending => reply.ask_again(),
            // Once: whoever was led back here from there goes on by a click.
            Status::Approved { .. } if param(incoming, "stay").is_none() => {
                let goes_alone = kept
                    .as_ref()
                    .is_some_and(|(request, target)| self.goes_alone(site, request, target));
                if let Some(go) = go.filter(|_| goes_alone) {
                    reply.go_on_to(&go);
                }
            }
            _ => {}
        }
        reply
    }

    /// A navigation by itself is a GET without a body, and Pingora sends another one in its place over HTTP/1.1 alone: over
    /// HTTP/2 it has told the upstream that there is none.
    pub(super) fn goes_alone(
        &self,
        site: Site<'_>,
        request: &ParkedRequest,
        target: &Target,
    ) -> bool {
        let route = site.app.table.find(&request.method, target).route;
        let upstream = self.parts.config.upstreams.get(route.upstream);
        let speaks_http1 = upstream.is_some_and(|upstream| upstream.protocol == Protocol::Http1);
        request.body.is_empty() || speaks_http1
    }

    fn page_of<'p>(
        &self,
        approval: &'p Approval,
        standing: &Status,
        here: &'p str,
        who: &'p [String],
        go: Option<&'p str>,
        now: Timestamp,
    ) -> Page<'p> {
        let is_pending = *standing == Status::Pending;
        let until = match standing {
            Status::Approved { redeem_until, .. } => *redeem_until,
            _ => approval.expires,
        };
        let number = approval.number.as_ref().filter(|_| is_pending);
        let mut noes = approval.votes.iter();
        let noes = noes.find(|vote| vote.answer != Answer::Yes);
        Page::Waiting {
            state: name(standing),
            summary: &approval.summary,
            number: number.map(|number| number.reveal()),
            is_picked: approval.terms.mode == Mode::NumberMatching,
            who,
            given: yes(approval),
            need: approval.terms.need,
            left: until.since(now),
            why: denied(standing).unwrap_or_default(),
            by: noes.map(|vote| vote.name.as_str()),
            reason: noes.and_then(|vote| vote.reason.as_deref()),
            app_status: match standing {
                Status::Consumed { upstream, .. } => *upstream,
                _ => None,
            },
            here,
            go,
        }
    }

    /// Who can say yes, in words.
    fn who(&self, approval: &Approval) -> Vec<String> {
        let rule = self.parts.config.approval(&approval.name);
        let Some(approvers) = rule.map(|rule| &rule.approvers) else {
            return Vec::new();
        };
        let groups = approvers.groups_any.iter();
        let groups = groups.map(|group| format!("anybody in {group}"));
        let people = approval.named.iter().chain(&approvers.people).cloned();
        groups.chain(people).collect()
    }

    /// How it stands, or when it changes if the program would rather wait (`Prefer: wait`, RFC 7240 section 4.3).
    async fn state(&self, incoming: &Incoming<'_>, asker: &Asker, approval: Approval) -> Reply {
        let mut approval = approval;
        let began = standing_name(&approval, self.parts.clock.now());
        let wait = wait(incoming.headers);
        if let Some(wait) = wait
            && let Ok(_place) = self.patience.0.try_acquire()
        {
            let looks = async {
                loop {
                    let now = self.parts.clock.now();
                    match self.approvals.find(&approval.id, now).await {
                        Ok(Some(found)) => approval = found,
                        // It is told as it was when it was last seen.
                        Ok(None) | Err(Unavailable) => return,
                    }
                    if standing_name(&approval, now) != began {
                        return;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            };
            let _in_time = tokio::time::timeout(wait, looks).await;
        }
        let now = self.parts.clock.now();
        let standing = approval::standing(&approval, now);
        let record = Record {
            subject: Some(asker.subject()),
            ..Record::of("own")
        };
        let state = State {
            approval_id: &approval.id.0,
            status: name(&standing),
            summary: &approval.summary,
            number: approval
                .number
                .as_ref()
                .filter(|_| standing == Status::Pending)
                .map(|number| number.reveal()),
            approvals: yes(&approval),
            needed: approval.terms.need,
            expires_at: rfc3339(approval.expires),
            use_until: match standing {
                Status::Approved { redeem_until, .. } => Some(rfc3339(redeem_until)),
                _ => None,
            },
            denied: denied(&standing),
            app_status: match standing {
                Status::Consumed { upstream, .. } => upstream,
                _ => None,
            },
        };
        let mut reply = Reply::json(StatusCode::OK, &state, record).reason(name(&standing));
        if wait.is_some() {
            let applied = http::HeaderValue::from_static("wait");
            let name = http::HeaderName::from_static("preference-applied");
            reply.headers.insert(name, applied);
        }
        reply
    }

    /// A form of the waiting page.
    async fn wish(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Reply {
        let here = site.url(&href(&approval.id));
        if asker.session().is_none() || !is_same_origin(incoming.headers, &site.origin.text) {
            return self.foreign(incoming);
        }
        let field = |wanted: &str| {
            let mut fields = form_urlencoded::parse(incoming.body);
            let found = fields.find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        match field("do").as_deref() {
            Some("cancel") => match self.cancel(incoming, site, asker, approval, now).await {
                Ok(()) => Reply::redirect(&here, Record::of("own")).reason("cancelled"),
                Err(Unavailable) => self.unknown_state(incoming),
            },
            Some("replace") => {
                let kept = field("kept").filter(|id| is_id(id)).unwrap_or_default();
                self.replace(incoming, site, asker, approval, &kept, now)
                    .await
            }
            _ => Reply::redirect(&here, Record::of("own")),
        }
    }

    async fn take_back(
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
        match self.cancel(incoming, site, asker, approval, now).await {
            Ok(()) => Reply::new(StatusCode::NO_CONTENT, "", Record::of("own")).reason("cancelled"),
            Err(Unavailable) => self.unknown_state(incoming),
        }
    }

    fn foreign(&self, incoming: &Incoming<'_>) -> Reply {
        let text = "Only a page of this host may do this.";
        let page = Page::Refused {
            status: 403,
            code: "cross-site",
            text,
            back: Some("/"),
        };
        self.page_or_problem(
            incoming.headers,
            StatusCode::FORBIDDEN,
            &page,
            "cross-site",
            text,
            incoming.request_id,
            Record::of("own"),
        )
    }

    /// What is over stays as it is.
    async fn cancel(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let changed = self
            .approvals
            .cancel(&approval.id, &asker.holder(), now)
            .await?;
        if let Changed::Done(cancelled) = &changed {
            self.count_outcome(cancelled, now);
            let circumstances = crate::gate::audit::Circumstances {
                reason: Some(&approval.name),
                who: Some(asker.identity()),
                approval: Some(&approval.id.0),
                ..Default::default()
            };
            let kind = crate::telemetry::AuditKind::ApprovalCancelled;
            self.audit(kind, incoming, circumstances);
            let _gone = self.take_kept_for(site, &approval.id.0, now).await?;
        }
        Ok(())
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
            let page = Page::NothingKept {
                sent: false,
                lasts: self.parts.config.park.lasts,
                back: "/",
            };
            let record = Record::of("own");
            return self
                .page(StatusCode::GONE, &page, incoming.request_id, record)
                .reason("not-parked");
        };
        if self
            .cancel(incoming, site, asker, approval, now)
            .await
            .is_err()
        {
            return self.unknown_state(incoming);
        }
        let there = Incoming {
            method: &request.method,
            target: &target,
            body: &[],
            ..*incoming
        };
        let back = request.target.clone();
        let way = Way {
            leads_back: Some(&back),
            ..Way::default()
        };
        match self.judge_route(&there, site, way).await {
            Verdict::Approve(wanting) => {
                let wanting: Wanting = *wanting;
                let key = super::ask::kept_key(&site.origin.text, kept);
                let again = request.clone();
                self.ask_with_kept(&there, site, wanting, again, key).await
            }
            Verdict::Reply(reply) => reply,
            // It needs no yes any more: sent by whoever sends it again.
            Verdict::Forward(_) | Verdict::Park(_) => {
                Reply::redirect(&site.url("/"), Record::of("own"))
            }
        }
    }
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

/// `Prefer: wait=30`, in seconds; not longer than it may be.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter();
    let seconds = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then_some(value)
        })
        .find_map(|value| value.parse::<u64>().ok())?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
