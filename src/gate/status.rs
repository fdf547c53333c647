//! `/.stepgate/status?for=METHOD path`: whether a request would need something, by the deciding function itself; how long
//! that holds, and whether the page may offer to renew it. For scripts of this origin. Asking is no use of the session:
//! a page that only waits keeps nobody signed in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;

use super::endpoints::param;
use super::judge::{facts_of, reason};
use super::pages::Page;
use super::reply::Wanted;
use super::sessions::Held;
use super::start::{popup_href, step_up_href};
use super::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site};
use crate::model::requirement::Requirement;
use crate::model::route::is_served;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::decision::{Decision, Need};
use crate::policy::facts::Known;

/// Times in seconds.
#[derive(Debug, Default, Serialize)]
struct Status<'a> {
    signed_in: bool,
    /// Tells users apart without naming them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Of the request that is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    need: Option<Wanted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    have: Option<&'a str>,
    /// Where a browser gets it, or confirms it anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up: Option<String>,
    /// The same, ending in a page that tells the others and closes itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    popup: Option<String>,
    /// How long it stays so, if nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    /// What ends first: `level`, `idle`, `session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_before: Option<u64>,
}

/// What is asked about.
struct Asked {
    method: Method,
    target: Target,
}

impl Gate {
    pub(in crate::gate) async fn status(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        if !is_from_here(incoming.headers, site) {
            return self.no_status(
                incoming,
                StatusCode::FORBIDDEN,
                "cross-site",
                "Only pages of this origin may ask.",
            );
        }
        let Some(asked) = asked(incoming, site) else {
            return self.no_status(
                incoming,
                StatusCode::BAD_REQUEST,
                "no-request",
                "`for` is a method, a blank and a path of this origin, encoded: for=GET%20/orders%3Fpage=2",
            );
        };
        let now = self.parts.clock.now();
        let caller = self.known_session(incoming, site.origin, now).await;
        if let Known::Found(held) = &caller
            && param(incoming, "renew").is_some()
        {
            held.live.touch(now);
        }
        let mut status = Status {
            renew_before: site.app.renew_before.map(|span| span.as_secs()),
            ..Status::default()
        };
        let mut record = Record::of("own");
        if let Known::Found(held) = &caller {
            record.subject = Some(held.live.subject);
            status.signed_in = true;
            status.user = Some(held.live.subject.to_string());
        }
        match asked {
            Some(asked) => self.tell(&mut status, &asked, site, &caller, incoming.client, now),
            None => self.tell_end(&mut status, &caller, None, now),
        }
        Reply::json(StatusCode::OK, &status, record)
    }

    fn tell<'a>(
        &'a self,
        status: &mut Status<'a>,
        asked: &Asked,
        site: Site<'a>,
        caller: &Known<Held>,
        client: IpAddr,
        now: Timestamp,
    ) {
        if asked.target.path().starts_with(OWN_PREFIX) {
            status.decision = Some("own");
            return;
        }
        let demand = &site.app.table.find(&asked.method, &asked.target).demand;
        let decision = self.decide(demand, facts_of(caller), client, now);
        status.decision = Some(decision.name());
        let (need, have) = match &decision {
            Decision::Allow(permit) => (permit.need(), Some(permit.have())),
            Decision::Login(need) | Decision::Unavailable(need) => (*need, None),
            Decision::StepUp(step_up) => {
                status.reason = Some(reason(step_up.shortfall));
                (step_up.need, Some(step_up.have))
            }
            Decision::Approve(approve) => (approve.need, Some(approve.have)),
            Decision::Deny(denial) => {
                status.reason = Some(denial.condition);
                (denial.need, Some(denial.have))
            }
        };
        let ladder = &self.parts.config.ladder;
        status.have = have
            .filter(|_| status.signed_in)
            .map(|have| ladder.name_of(have.rank));
        if let Some(level) = ladder.askable(need.rank)
            && !matches!(decision, Decision::Deny(_))
            && ladder.level(need.rank).is_some()
        {
            status.need = Some(self.wanted(need));
            let step_up = step_up_href(&level.name, "/");
            status.step_up = Some(format!("{}{step_up}", site.origin.text));
            status.popup = Some(popup_href(&level.name));
        }
        if let (Decision::Allow(permit), Known::Found(held)) = (&decision, caller)
            && !permit.is_public()
        {
            let most = held.live.expires.since(now);
            let left = self.allowed_for(demand, caller, client, now, most);
            self.tell_end(status, caller, Some(left), now);
        }
    }

    fn wanted(&self, need: Need) -> Wanted<'_> {
        Wanted {
            level: self.parts.config.ladder.name_of(need.rank),
            max_age: need.max_age.map(|age| age.as_secs()),
        }
    }

    /// The policy is asked about later times: it is monotone, so that what it allows then, it allows until then.
    fn allowed_for(
        &self,
        demand: &[&Requirement],
        caller: &Known<Held>,
        client: IpAddr,
        now: Timestamp,
        most: Duration,
    ) -> Duration {
        let (mut allowed, mut over) = (0, most.as_secs().saturating_add(1));
        while over - allowed > 1 {
            let middle = allowed + (over - allowed) / 2;
            let then = now.plus(Duration::from_secs(middle));
            match self.decide(demand, facts_of(caller), client, then) {
                Decision::Allow(_) => allowed = middle,
                _ => over = middle,
            }
        }
        Duration::from_secs(allowed)
    }

    fn tell_end(
        &self,
        status: &mut Status<'_>,
        caller: &Known<Held>,
        level: Option<Duration>,
        now: Timestamp,
    ) {
        let Known::Found(held) = caller else {
            return;
        };
        let idle_ends = held.live.last_seen().plus(self.parts.config.sessions.idle);
        let ends = [
            level.map(|left| (left, "level")),
            Some((idle_ends.since(now), "idle")),
            Some((held.live.expires.since(now), "session")),
        ];
        // Of equals the last: no level is confirmed longer than its session lives.
        let first = ends
            .into_iter()
            .flatten()
            .rev()
            .min_by_key(|(left, _)| *left);
        if let Some((left, what)) = first {
            status.left = Some(left.as_secs());
            status.ends = Some(what);
        }
    }

    fn no_status(
        &self,
        incoming: &Incoming<'_>,
        status: StatusCode,
        code: &'static str,
        text: &'static str,
    ) -> Reply {
        let page = Page::Refused {
            status: status.as_u16(),
            code,
            text,
            back: Some("/"),
        };
        let record = Record {
            reason: Some(code),
            ..Record::of("own")
        };
        self.page_or_problem(
            incoming.headers,
            status,
            &page,
            code,
            text,
            incoming,
            record,
        )
    }
}

/// What nobody else's page sends; a person who opens the address is nobody else's page.
fn is_from_here(headers: &HeaderMap, site: Site<'_>) -> bool {
    match headers.get("sec-fetch-site") {
        Some(from) => from == "same-origin" || from == "none",
        None => headers
            .get(header::ORIGIN)
            .is_none_or(|origin| origin == site.origin.text.as_str()),
    }
}

/// `Some(None)`: about the session alone.
fn asked(incoming: &Incoming<'_>, site: Site<'_>) -> Option<Option<Asked>> {
    let query = incoming.target.query().unwrap_or_default();
    if !form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "for") {
        return Some(None);
    }
    let text = param(incoming, "for")?;
    let (method, path) = text.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes())
        .ok()
        .filter(is_served)?;
    let target = Target::parse(path.as_bytes(), site.app.accept).ok()?;
    Some(Some(Asked { method, target }))
}
