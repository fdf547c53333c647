//! How a decision that is not `Allow` is told: a browser is sent on or gets a page, a program a problem and a link.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::audit::Circumstances;
use super::authenticate::RFC_9470;
use super::bearer::invite;
use super::me;
use super::negotiate::{Kind, kind_for};
use super::pages::{self, Page};
use super::park::NotKept;
use super::reply::{Problem, Wanted};
use super::sessions::{Held, display_name};
use super::start::{Start, popup_href, step_up_href};
use super::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site};
use crate::model::level::Level;
use crate::model::route::Route;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::decision::{Denial, Have, Need, Shortfall};
use crate::telemetry::AuditKind;

/// Landing short on a route again so soon after a flow for it ended short is a loop.
const LOOP: Duration = Duration::from_secs(60);

/// The same where the flow ended well: only an age of next to nothing can be short by then.
const AT_ONCE: Duration = Duration::from_secs(3);

const HX_CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// What a request falls short of.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Short<'a> {
    pub(in crate::gate) site: Site<'a>,
    pub(in crate::gate) route: &'a Route,
    pub(in crate::gate) need: Need,
    pub(in crate::gate) have: Have,
    /// `None`: nobody is signed in.
    pub(in crate::gate) shortfall: Option<Shortfall>,
    pub(in crate::gate) held: Option<&'a Held>,
    pub(in crate::gate) now: Timestamp,
    /// Where the browser comes back to, if not to the request itself.
    pub(in crate::gate) leads_back: Option<&'a str>,
    /// Of what a page sent.
    pub(in crate::gate) not_kept: Option<NotKept>,
}

impl Short<'_> {
    pub(in crate::gate) fn as_grpc(&self, record: Record) -> Reply {
        let (_, title) = told(self);
        Reply::grpc(StatusCode::UNAUTHORIZED, title, record)
    }
}

impl Gate {
    pub(in crate::gate) async fn challenge(
        &self,
        incoming: &Incoming<'_>,
        short: Short<'_>,
        record: Record,
    ) -> Reply {
        let Some(level) = self.parts.config.ladder.askable(short.need.rank) else {
            // A checked configuration demands no such level.
            return self.unavailable(incoming, None, record, "level-cannot-be-asked");
        };
        let path = short
            .leads_back
            .unwrap_or_else(|| incoming.target.path_and_query());
        let kind = kind_for(incoming.headers, short.route.challenge);
        self.parts.metrics.challenged(level, kind.into());
        match kind {
            Kind::Page
                if short.leads_back.is_none()
                    && !matches!(*incoming.method, Method::GET | Method::HEAD) =>
            {
                let why = short.not_kept.unwrap_or(NotKept::Off);
                self.count_not_kept(why);
                // What was asked for may be no page at all with GET; "my session" says that it was confirmed.
                let page = Page::NotSent {
                    method: incoming.method.as_str(),
                    need: &level.label,
                    confirm: &step_up_href(&level.name, me::HERE),
                    back: "/",
                    why: why.name(),
                    most: why.most(),
                };
                self.asking_page(&page, incoming, &short, level, record)
                    .reason(why.name())
            }
            Kind::Page if self.is_loop(&short) => {
                let reason = match short.shortfall {
                    Some(Shortfall::TooOld | Shortfall::Lapsed) => pages::Short::TooOld,
                    _ => pages::Short::NotGranted,
                };
                self.not_enough(incoming, &short, level, reason, path, record)
            }
            Kind::Page if self.is_being_confirmed(&short, level) => {
                let page = Page::BeingConfirmed {
                    need: &level.label,
                    confirm: &step_up_href(&level.name, path),
                };
                let mut reply = self.asking_page(&page, incoming, &short, level, record);
                reply.ask_again();
                reply.reason("being-confirmed")
            }
            Kind::Page => {
                let start = Start {
                    level,
                    shortfall: short.shortfall,
                    max_age: short.need.max_age,
                    force_login: false,
                    held: short.held,
                    return_to: path,
                    round: 1,
                    retried: false,
                    confirm: false,
                };
                let reply = self.start(incoming, short.site, start, record).await;
                if reply.status != StatusCode::SEE_OTHER
                    && let Some(held) = short.held
                {
                    self.under_way
                        .is_over(&held.live.session.lineage, &level.name);
                }
                reply
            }
            Kind::Frame => {
                // Where it leads back to is the page around the frame, which a frame itself is not.
                let around = page_around(incoming, short.site, &header::REFERER);
                let page = Page::InFrame {
                    need: &level.label,
                    href: &step_up_href(&level.name, around.as_deref().unwrap_or("/")),
                };
                self.asking_page(&page, incoming, &short, level, record)
            }
            Kind::Htmx => {
                let around = page_around(incoming, short.site, &HX_CURRENT_URL);
                let href = step_up_href(&level.name, around.as_deref().unwrap_or("/"));
                let mut reply = self.problem(incoming, &short, level, record);
                if let Ok(href) = HeaderValue::try_from(href) {
                    reply.headers.insert(HX_REDIRECT, href);
                }
                reply
            }
            Kind::Grpc => {
                let mut reply = short.as_grpc(record);
                ask(&mut reply, &short, level);
                reply
            }
            Kind::Program => self.problem(incoming, &short, level, record),
        }
    }

    pub(in crate::gate) fn problem(
        &self,
        incoming: &Incoming<'_>,
        short: &Short<'_>,
        level: &Level,
        record: Record,
    ) -> Reply {
        let ladder = &self.parts.config.ladder;
        let step_up = format!(
            "{}{}",
            short.site.origin.text,
            step_up_href(&level.name, "/")
        );
        let popup = popup_href(&level.name);
        let (code, title) = told(short);
        let problem = Problem {
            kind: short.shortfall.map(|_| RFC_9470),
            status: StatusCode::UNAUTHORIZED.as_u16(),
            title,
            code,
            request_id: incoming.request_id,
            need: Some(Wanted {
                level: ladder.name_of(short.need.rank),
                max_age: short.need.max_age.map(|age| age.as_secs()),
            }),
            have: short.shortfall.map(|_| ladder.name_of(short.have.rank)),
            step_up: Some(&step_up),
            popup: Some(&popup),
            ..Problem::default()
        };
        let mut reply = Reply::json(StatusCode::UNAUTHORIZED, &problem, record);
        // RFC 8288: what the agent goes by, which need not read the body.
        let label = utf8_percent_encode(&level.label, NON_ALPHANUMERIC);
        let link = format!("<{popup}>; rel=\"step-up\"; title*=UTF-8''{label}");
        if let Ok(link) = HeaderValue::try_from(link) {
            reply.headers.insert(header::LINK, link);
        }
        ask(&mut reply, short, level);
        reply
    }

    fn asking_page(
        &self,
        page: &Page<'_>,
        incoming: &Incoming<'_>,
        short: &Short<'_>,
        level: &Level,
        record: Record,
    ) -> Reply {
        let mut reply = self.page(StatusCode::UNAUTHORIZED, page, incoming, record);
        ask(&mut reply, short, level);
        reply
    }

    /// Another tab of the same session went to get the level.
    fn is_being_confirmed(&self, short: &Short<'_>, level: &Level) -> bool {
        short.held.is_some_and(|held| {
            let lineage = &held.live.session.lineage;
            self.under_way.is_taken(lineage, &level.name, short.now)
        })
    }

    /// A flow for this route ended a moment ago, and here it is short again.
    fn is_loop(&self, short: &Short<'_>) -> bool {
        let Some(held) = short.held else {
            return false;
        };
        let route = route_name(short.site, short.route);
        held.live
            .session
            .finished
            .iter()
            .filter(|finished| finished.route == route)
            .any(|finished| {
                let since = short.now.since(finished.at);
                since < if finished.short { LOOP } else { AT_ONCE }
            })
    }

    pub(in crate::gate) fn not_enough(
        &self,
        incoming: &Incoming<'_>,
        short: &Short<'_>,
        level: &Level,
        why: pages::Short,
        return_to: &str,
        record: Record,
    ) -> Reply {
        let ladder = &self.parts.config.ladder;
        let identity = short.held.map(|held| &held.live.session.identity);
        let retry = (why != pages::Short::EnrolHeld).then(|| step_up_href(&level.name, return_to));
        let page = Page::NotEnough {
            user: identity.map(display_name).unwrap_or_default(),
            have: ladder
                .level(short.have.rank)
                .map_or("", |have| have.label.as_str()),
            need: &level.label,
            max_age: short.need.max_age,
            why,
            retry: retry.as_deref(),
        };
        self.page(StatusCode::FORBIDDEN, &page, incoming, record)
            .reason("not-enough")
    }

    /// A condition that no factor meets.
    pub(in crate::gate) fn forbidden(
        &self,
        incoming: &Incoming<'_>,
        route: &Route,
        held: Option<&Held>,
        denial: &Denial,
        record: Record,
    ) -> Reply {
        let identity = held.map(|held| &held.live.session.identity);
        let circumstances = Circumstances {
            reason: Some(denial.condition),
            route: Some(&route.id),
            who: identity,
            have: Some(denial.have),
            need: Some(denial.need),
            ..Circumstances::default()
        };
        // Whoever asks for the decision alone asks again for what to tell.
        if !incoming.decision_only {
            self.audit(AuditKind::Refusal, incoming, circumstances);
        }
        let page = Page::Forbidden {
            user: identity.map(display_name).unwrap_or_default(),
            condition: denial.condition,
            wanted: &denial.wanted,
        };
        self.page_or_problem(
            kind_for(incoming.headers, route.challenge),
            StatusCode::FORBIDDEN,
            &page,
            "forbidden",
            "You may not do this, however you sign in.",
            incoming,
            record,
        )
    }
}

/// As a session remembers it.
pub(in crate::gate) fn route_name(site: Site<'_>, route: &Route) -> String {
    format!("{}/{}", site.app.name, route.id)
}

/// Code and title of the problem.
fn told(short: &Short<'_>) -> (&'static str, &'static str) {
    match short.shortfall {
        None => ("login", "Sign in first."),
        Some(_) => ("step-up", "This needs a stronger or more recent sign-in."),
    }
}

/// RFC 9110 15.5.2 wants a challenge beside every 401.
fn ask(reply: &mut Reply, short: &Short<'_>, level: &Level) {
    match short.shortfall {
        None => {
            reply.ask_for_a_cookie();
            // A program would sign in by a token, where the app takes them.
            if let Some(rules) = &short.site.app.bearer {
                invite(reply, rules);
            }
        }
        Some(_) => reply.ask_for_more(level, short.need),
    }
}

/// The page from which a script or a frame asks, when it is one of this origin.
fn page_around(incoming: &Incoming<'_>, site: Site<'_>, name: &HeaderName) -> Option<String> {
    let told = incoming.headers.get(name)?.to_str().ok()?;
    let path = told.strip_prefix(&site.origin.text)?;
    let path = path.split('#').next().unwrap_or_default();
    let target = Target::parse(path.as_bytes(), site.app.accept).ok()?;
    (!target.path().starts_with(OWN_PREFIX)).then(|| target.path_and_query().to_owned())
}
