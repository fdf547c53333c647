//! The approver app: where people see what waits for their yes, and give it or not. It is a host of stepgate's own, with
//! sessions like any app's and no upstream: every answer is made here.
//!
//! A request goes [`Gate::approver`] → the policy, at the app's level → `lists` (inbox, history), `one` (a request, at its
//! own level), `vote` (what a form says; `proof`: that a device of one's own signed it), `devices` (those devices), or
//! `live` (the event stream). Nothing is decided by a GET, by a link, or by a form of another site.

mod assets;
mod devices;
mod lists;
mod live;
mod one;
mod pages;
mod proof;
mod sign_in;
mod vote;
mod words;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, header};
use tokio::sync::Semaphore;

use super::challenge::Short;
use super::ciba::is_sign_in;
use super::judge::{facts_of, reason};
use super::logout::is_same_origin;
use super::negotiate::{Kind, kind};
use super::pages::PagesError;
use super::sessions::{Held, display_name};
use super::words::Language;
use super::{Gate, Incoming, Record, Reply, Site};
use crate::config::Config;
use crate::model::approval::{Answer, Approval, ApprovalId, Denied, Person, Status};
use crate::model::evidence::Identity;
use crate::model::level::Rank;
use crate::model::requirement::{Conditions, Requirement};
use crate::model::time::Timestamp;
use crate::policy::approval::standing;
use crate::policy::decision::{Decision, Have};
use crate::policy::facts::Known;
use crate::store::Unavailable;
use pages::{Around, Live, Page, Pages};

const READ: &[Method] = &[Method::GET, Method::HEAD];
const READ_AND_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

const REQUESTS: &str = "/approvals/";

/// Longer than any that we make.
const LONGEST_ID: usize = 64;

/// What one configuration says of the app, and what its pages are made of.
#[derive(Debug)]
pub(in crate::gate) struct Desk {
    pages: Pages,
    /// Event streams that may wait at the same time.
    waiting: Semaphore,
}

impl Desk {
    pub(in crate::gate) fn new(config: &Config) -> Result<Self, PagesError> {
        let title = config.approver_app.as_ref().map(|app| app.title.as_str());
        Ok(Self {
            pages: Pages::new(title.unwrap_or_default())?,
            waiting: Semaphore::new(live::MOST),
        })
    }
}

/// What is asked for.
enum Wanted {
    Inbox,
    History,
    Events,
    Devices,
    NewDevice,
    /// What a device signs next, for that.
    Challenge(String),
    One(ApprovalId),
    Nothing,
}

impl Wanted {
    fn of(path: &str) -> Self {
        match path {
            "/" => Self::Inbox,
            "/history" => Self::History,
            "/events" => Self::Events,
            devices::DEVICES => Self::Devices,
            devices::NEW_DEVICE => Self::NewDevice,
            other => {
                let named = |prefix| other.strip_prefix(prefix).filter(|id| is_id(id));
                match (named(REQUESTS), named(devices::CHALLENGES)) {
                    (Some(id), _) => Self::One(ApprovalId(id.to_owned())),
                    (_, Some(of)) => Self::Challenge(of.to_owned()),
                    _ => Self::Nothing,
                }
            }
        }
    }
}

fn is_id(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fine)
}

pub(in crate::gate) fn href(id: &ApprovalId) -> String {
    format!("{REQUESTS}{}", id.0)
}

/// Somebody who is signed in as the app demands, and what they ask.
struct Visit<'v, 'r> {
    incoming: &'v Incoming<'r>,
    site: Site<'v>,
    held: &'v Held,
    demand: &'v [&'v Requirement],
    language: Language,
    record: Record,
    now: Timestamp,
}

impl Visit<'_, '_> {
    fn identity(&self) -> &Identity {
        &self.held.live.session.identity
    }

    fn person(&self) -> Person {
        let identity = self.identity();
        Person {
            iss: identity.iss.clone(),
            sub: identity.sub.clone(),
        }
    }

    /// What they are asked by it.
    fn asking<'a>(&self, approval: &'a Approval) -> Cow<'a, str> {
        self.language.asking(&approval.summary, &approval.terms)
    }

    fn is_post(&self) -> bool {
        *self.incoming.method == Method::POST
    }
}

impl Gate {
    /// Every request to the approver app that is not for an endpoint of ours on every host.
    pub(in crate::gate) async fn approver(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        let path = incoming.target.path();
        if let Some(reply) = self.approver_asset(incoming, path) {
            return reply;
        }
        let wanted = Wanted::of(path);
        let allowed = match wanted {
            Wanted::One(_) | Wanted::Devices | Wanted::NewDevice => READ_AND_POST,
            _ => READ,
        };
        if !allowed.contains(incoming.method) {
            return self.wrong_method(allowed, incoming);
        }
        let language = self.language(incoming);
        let is_post = *incoming.method == Method::POST;
        if is_post && !is_same_origin(incoming.headers, &site.origin.text) {
            let page = Page::Message {
                title: "not_done",
                text: "refused_cross_site",
            };
            let record = Record::of("own");
            return self
                .approver_page(
                    StatusCode::FORBIDDEN,
                    &page,
                    incoming,
                    None,
                    language,
                    record,
                )
                .reason("cross-site");
        }
        let now = self.parts.clock.now();
        let caller = if is_post || kind(incoming.headers) == Kind::Page {
            self.caller(incoming, site, now).await
        } else {
            // A page that only waits keeps nobody signed in.
            self.known_session(incoming, site.origin, now).await
        };
        let found = site.app.table.find(incoming.method, incoming.target);
        let decision = self.decide(&found.demand, facts_of(&caller), incoming.client, now);
        let position = site.app.table.position(found.route);
        let mut record = Record {
            route: position.map(|position| (incoming.place.app, position)),
            ..Record::of(decision.name())
        };
        let held = match &caller {
            Known::Found(held) => {
                record.subject = Some(held.live.subject);
                record.credential = Some("cookie");
                Some(held)
            }
            Known::Absent | Known::Unavailable => None,
        };
        let (need, have, shortfall) = match (decision, held) {
            (Decision::Allow(permit), Some(held)) => {
                record.decision = "own";
                record.need = Some(permit.need());
                record.have = Some(permit.have());
                let visit = Visit {
                    incoming,
                    site,
                    held,
                    demand: &found.demand,
                    language,
                    record,
                    now,
                };
                return self.approver_visit(&visit, wanted).await;
            }
            (Decision::Login(need), _) => (need, Have::NOTHING, None),
            (Decision::StepUp(short), _) => {
                record.reason = Some(reason(short.shortfall));
                (short.need, short.have, Some(short.shortfall))
            }
            (Decision::Deny(denial), _) => {
                record.need = Some(denial.need);
                record.have = Some(denial.have);
                record.reason = Some(denial.condition);
                return self.forbidden(incoming, found.route, held, &denial, record);
            }
            // No floor brings an approval to where approvals are given.
            (Decision::Allow(_) | Decision::Approve(_) | Decision::Unavailable(_), _) => {
                return self.approver_unavailable(incoming, record);
            }
        };
        record.need = Some(need);
        record.have = Some(have);
        if is_post {
            // What was typed is gone, and is typed again by somebody who is known.
            return self.confirm_again(incoming, held, language, record);
        }
        let short = Short {
            site,
            route: found.route,
            need,
            have,
            shortfall,
            held,
            now,
            leads_back: None,
            not_kept: None,
        };
        self.challenge(incoming, short, record).await
    }

    async fn approver_visit(self: &Arc<Self>, visit: &Visit<'_, '_>, wanted: Wanted) -> Reply {
        let answer = match wanted {
            Wanted::Inbox => self.inbox(visit).await,
            Wanted::History => self.history(visit).await,
            Wanted::Events => self.events(visit).await,
            Wanted::Devices if visit.is_post() => self.devices_form(visit).await,
            Wanted::Devices => self.devices_page(visit, None).await,
            Wanted::NewDevice if visit.is_post() => self.enrol_form(visit).await,
            Wanted::NewDevice => self.new_device(visit).await,
            Wanted::Challenge(of) => Ok(self.challenge_for(visit, &of)),
            Wanted::One(id) if is_sign_in(&id.0) && visit.is_post() => {
                self.answer_sign_in(visit, &id).await
            }
            Wanted::One(id) if is_sign_in(&id.0) => self.show_sign_in(visit, &id).await,
            Wanted::One(id) if visit.is_post() => self.answer_form(visit, &id).await,
            Wanted::One(id) => self.show(visit, &id).await,
            Wanted::Nothing => Ok(self.nothing_here(visit)),
        };
        answer.unwrap_or_else(|Unavailable| {
            let record = Record {
                decision: "unavailable",
                ..visit.record.clone()
            };
            self.approver_unavailable(visit.incoming, record)
        })
    }

    fn approver_unavailable(&self, incoming: &Incoming<'_>, record: Record) -> Reply {
        self.unavailable(incoming, incoming.retry_href(), record, "store-unavailable")
    }

    /// What is not there, and what is not this person's, are the same.
    fn nothing_here(&self, visit: &Visit<'_, '_>) -> Reply {
        let page = Page::Message {
            title: "nothing_here",
            text: "nothing_here_about",
        };
        self.visit_page(StatusCode::NOT_FOUND, &page, visit, None)
            .reason("no-such-approval")
    }

    /// Leads on by a page and not by a redirect: what a form leads to is bound by the page's policy (`form-action`, CSP 3),
    /// and a realm may lead on to another.
    fn confirm_again(
        &self,
        incoming: &Incoming<'_>,
        held: Option<&Held>,
        language: Language,
        record: Record,
    ) -> Reply {
        let go = incoming.target.path();
        let page = Page::Confirm {
            about: "confirm_again",
            level: None,
            go,
        };
        let status = StatusCode::UNAUTHORIZED;
        let mut reply = self.approver_page(status, &page, incoming, held, language, record);
        reply.ask_for_a_cookie();
        reply.go_on_to(go);
        reply
    }

    /// Whether whoever is here has that level, too, by the deciding function itself.
    fn has_level(&self, visit: &Visit<'_, '_>, rank: Rank) -> bool {
        self.has_proven(visit, rank, None)
    }

    /// The same, and no longer ago than that.
    fn has_proven(&self, visit: &Visit<'_, '_>, rank: Rank, max_age: Option<Duration>) -> bool {
        let more = Requirement {
            rank,
            max_age,
            conditions: Conditions::NONE,
            approval: None,
        };
        let demand: Vec<&Requirement> = visit.demand.iter().copied().chain([&more]).collect();
        let caller = Known::Found(visit.held.clone());
        let decision = self.decide(&demand, facts_of(&caller), visit.incoming.client, visit.now);
        matches!(decision, Decision::Allow(_))
    }

    fn visit_page(
        &self,
        status: StatusCode,
        page: &Page<'_>,
        visit: &Visit<'_, '_>,
        live: Option<Live<'_>>,
    ) -> Reply {
        let around = Around {
            language: visit.language,
            user: Some(display_name(visit.identity())),
            request_id: visit.incoming.request_id,
            live,
        };
        self.rendered(status, page, around, visit.record.clone())
    }

    fn approver_page(
        &self,
        status: StatusCode,
        page: &Page<'_>,
        incoming: &Incoming<'_>,
        held: Option<&Held>,
        language: Language,
        record: Record,
    ) -> Reply {
        let around = Around {
            language,
            user: held.map(|held| display_name(&held.live.session.identity)),
            request_id: incoming.request_id,
            live: None,
        };
        self.rendered(status, page, around, record)
    }

    fn rendered(
        &self,
        status: StatusCode,
        page: &Page<'_>,
        around: Around<'_>,
        record: Record,
    ) -> Reply {
        let rendered = self.desk.pages.render(page, around);
        let mut reply = Reply::new(status, rendered.html, record);
        reply.headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/html; charset=utf-8"),
        );
        reply
            .headers
            .insert(header::CONTENT_SECURITY_POLICY, rendered.csp);
        reply
    }
}

/// As pages and stylesheet call it.
fn state(approval: &Approval, now: Timestamp) -> &'static str {
    match standing(approval, now) {
        Status::Pending => "pending",
        Status::Approved { .. } => "approved",
        Status::Denied { why, .. } => match why {
            Denied::No => "denied",
            Denied::Reported => "reported",
            Denied::Number => "number",
        },
        Status::Expired { .. } => "expired",
        Status::Cancelled { .. } => "cancelled",
        Status::Revoked { .. } => "revoked",
        Status::Consumed { .. } => "consumed",
    }
}

const fn answer_name(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Report => "report",
    }
}

fn answer_of(approval: &Approval, person: &Person) -> Option<&'static str> {
    let mut votes = approval.votes.iter();
    let own = votes.find(|vote| vote.person == *person)?;
    Some(answer_name(own.answer))
}

/// To decide on it.
fn time_left(approval: &Approval, now: Timestamp) -> Option<u64> {
    (standing(approval, now) == Status::Pending).then(|| approval.expires.since(now).as_secs())
}

#[cfg(test)]
mod tests;
