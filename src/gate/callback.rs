//! The way back: what Keycloak sends a browser with becomes a session, a page that says why not, or one more try.

use std::sync::Arc;

use http::StatusCode;

use super::audit::Circumstances;
use super::challenge::{self, route_name};
use super::destination::Destination;
use super::endpoints::param;
use super::land::{Back, Landed};
use super::pages::{self, Failure, Page};
use super::sessions::{Held, display_name};
use super::start::{Start, redirect_uri};
use super::{Gate, Incoming, Record, Reply, Site, cookies, flows};
use crate::model::flow::Flow;
use crate::model::level::{Level, Rank};
use crate::model::session::{Finished, Session};
use crate::model::time::Timestamp;
use crate::oidc::{self, Exchange, OidcError};
use crate::policy::decision::Shortfall;
use crate::policy::evidence::{Asked, Derived, FlowFacts, derive, have};
use crate::policy::facts::Known;
use crate::store::{Mark, Unavailable};
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::{CallbackResult, StepUpOutcome};

impl Gate {
    pub(in crate::gate) async fn callback(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        let now = self.parts.clock.now();
        let record = Record::of("own");
        let state = param(incoming, "state").unwrap_or_default();
        let Some(flow) = self.flow(incoming.headers, site.origin, &state, now) else {
            return self.late(incoming, site, None, now).await;
        };
        // Keycloak ends the user's session when a code is sent twice, so a repeated callback must be known for one.
        let mark = Mark::used_flow(&state);
        let reply = match self
            .parts
            .store
            .once(&mark, now.plus(2 * flows::LIFE), now)
            .await
        {
            Ok(true) => {
                let reply = self.came_back(incoming, site, &flow, now).await;
                if let Some(lineage) = &flow.lineage {
                    self.under_way.is_over(lineage, &flow.level);
                }
                reply
            }
            Ok(false) => self.late(incoming, site, Some(&flow), now).await,
            Err(Unavailable) => {
                let retry = Some(flow.return_to.as_str());
                self.unavailable(incoming, retry, record, "store-unavailable")
            }
        };
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            self.count(CallbackResult::Unavailable);
        }
        with_cookie(reply, flows::cleared(site.origin, &state))
    }

    /// Too late, a second time, or from a bookmark: never a dead end.
    async fn late(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        flow: Option<&Flow>,
        now: Timestamp,
    ) -> Reply {
        let record = Record {
            reason: Some("late-callback"),
            ..Record::of("own")
        };
        self.count(CallbackResult::Late);
        let href = flow.map_or("/", |flow| flow.return_to.as_str());
        match self.session(incoming, site.origin, now).await {
            Known::Found(held) => {
                let mut others = self.unfinished(incoming.headers, site.origin, now);
                others.retain(|other| other != href);
                return self.go_on(incoming, &held, href, &others, record);
            }
            Known::Unavailable => {
                return self.unavailable(incoming, Some(href), record, "store-unavailable");
            }
            Known::Absent => {}
        }
        // It came back before, and no session is at hand: the first of the two is still at it, or ended short. What was
        // wanted is judged anew.
        if let Some(flow) = flow {
            return Reply::redirect(&site.url(&flow.return_to), record);
        }
        let page = Page::LoginFailed {
            cause: Failure::Late,
            code: "late",
            retry: Some(href),
        };
        self.page(StatusCode::BAD_REQUEST, &page, incoming, record)
    }

    fn go_on(
        &self,
        incoming: &Incoming<'_>,
        held: &Held,
        href: &str,
        others: &[String],
        record: Record,
    ) -> Reply {
        let page = Page::Continue {
            user: display_name(&held.live.session.identity),
            href,
            others,
        };
        self.page(StatusCode::OK, &page, incoming, record)
    }

    async fn came_back(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        flow: &Flow,
        now: Timestamp,
    ) -> Reply {
        let record = Record::of("own");
        let iss = param(incoming, "iss");
        let checked = self.parts.provider.check_iss(iss.as_deref()).await;
        if let Err(error) = checked {
            return self.failed(incoming, flow, &error, record);
        }
        if let Some(error) = param(incoming, "error") {
            return self.refused(incoming, site, flow, &error, now).await;
        }
        let Some(code) = param(incoming, "code") else {
            let error = OidcError::Refused {
                code: "no_code".to_owned(),
            };
            return self.failed(incoming, flow, &error, record);
        };
        let exchange = self
            .parts
            .provider
            .exchange(
                &code,
                &flow.verifier,
                &redirect_uri(site),
                flow.nonce.reveal(),
            )
            .await;
        match exchange {
            Ok(exchange) => self.proven(incoming, site, flow, &exchange, now).await,
            Err(error) => self.failed(incoming, flow, &error, record),
        }
    }

    fn failed(
        &self,
        incoming: &Incoming<'_>,
        flow: &Flow,
        error: &OidcError,
        record: Record,
    ) -> Reply {
        self.count_failure(flow, error);
        self.provider_failed(incoming, error, Some(&flow.return_to), record)
    }

    /// An authorization error response (RFC 6749 section 4.1.2.1).
    async fn refused(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        flow: &Flow,
        error: &str,
        now: Timestamp,
    ) -> Reply {
        let record = Record::of("own");
        let level = self.parts.config.ladder.by_name(&flow.level);
        // Keycloak's tab had expired, and its SSO session lives: asked again, it answers at once.
        if let ("temporarily_unavailable", false, Some(level)) = (error, flow.retried, level) {
            let held = match self.session(incoming, site.origin, now).await {
                Known::Found(held) if Some(&held.live.session.lineage) == flow.lineage.as_ref() => {
                    Some(held)
                }
                Known::Found(_) | Known::Absent => None,
                Known::Unavailable => {
                    let retry = Some(flow.return_to.as_str());
                    return self.unavailable(incoming, retry, record, "store-unavailable");
                }
            };
            // What the tab went for, a sibling has brought meanwhile.
            if let Some(held) = &held
                && let Some(destination) = self.destination(incoming, site, flow, now).await
                && self.lack(&destination, &held.live.session).is_none()
            {
                return Reply::redirect(&site.url(&flow.return_to), record);
            }
            let start = Start {
                force_login: flow.prompt_login,
                held: held.as_ref(),
                retried: true,
                ..again(flow, level)
            };
            return self.start(incoming, site, start, record).await;
        }
        let code = stable(error);
        self.audit(
            match flow.lineage {
                Some(_) => AuditKind::StepUpFailed,
                None => AuditKind::LoginFailed,
            },
            incoming,
            Circumstances::because(code),
        );
        let (status, cause) = match code {
            "access_denied" => (StatusCode::FORBIDDEN, Failure::Cancelled),
            "temporarily_unavailable" | "server_error" => {
                (StatusCode::SERVICE_UNAVAILABLE, Failure::ProviderError)
            }
            _ => (StatusCode::BAD_GATEWAY, Failure::ProviderError),
        };
        if status != StatusCode::SERVICE_UNAVAILABLE {
            self.count(CallbackResult::Refused);
        }
        self.count_step_up(flow, StepUpOutcome::Failed);
        let page = Page::LoginFailed {
            cause,
            code,
            retry: Some(&flow.return_to),
        };
        self.page(status, &page, incoming, record)
            .reason("provider-error")
    }

    /// Tokens are there and verified.
    async fn proven(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        flow: &Flow,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Reply {
        let config = &self.parts.config;
        let record = Record::of("own");
        let retry = Some(flow.return_to.as_str());
        let facts = facts(flow, exchange);
        let derived = derive(&config.ladder, &facts, &exchange.id, None);
        if derived.offset_excessive {
            self.alarm(incoming, "clock");
            return self.unavailable(incoming, retry, record, "clock");
        }
        if let Some(level) = &derived.always_asked_broken
            && self.note_broken(level)
        {
            self.alarm(incoming, "always-asked-was-not-asked");
        }
        let current = match self.session(incoming, site.origin, now).await {
            Known::Found(held) => Some(held),
            Known::Absent => None,
            Known::Unavailable => {
                return self.unavailable(incoming, retry, record, "store-unavailable");
            }
        };
        let identity = oidc::identity(
            &exchange.id,
            exchange.access.as_ref(),
            &config.keycloak,
            &self.kept,
        );
        if derived.landed == Rank::ANONYMOUS && current.is_none() {
            return self.proves_nothing(incoming, site, flow, &identity).await;
        }
        let refused_levels = match self.refused_levels(&identity, &derived.enrolled, now).await {
            Ok(levels) => levels,
            Err(Unavailable) => {
                return self.unavailable(incoming, retry, record, "store-unavailable");
            }
        };
        let back = Back {
            site,
            flow,
            exchange,
            identity,
            facts,
            refused_levels,
        };
        let destination = self.destination(incoming, site, flow, now).await;
        let finish = |session: &Session| {
            let destination = destination.as_ref()?;
            Some(Finished {
                route: route_name(site, destination.found.route),
                at: now,
                short: self.lack(destination, session).is_some(),
            })
        };
        match self.land(&back, current, now, finish).await {
            Err(Unavailable) => self.unavailable(incoming, retry, record, "store-unavailable"),
            Ok(Landed::SignedOut) => {
                self.count(CallbackResult::LoggedOut);
                let page = Page::SignedOut {
                    login: &flow.return_to,
                    provider_too: true,
                };
                self.page(StatusCode::OK, &page, incoming, record)
                    .reason("logout-came-between")
            }
            Ok(Landed::Kept(held)) => {
                self.count(CallbackResult::Kept);
                self.go_on(incoming, &held, &flow.return_to, &[], record)
            }
            Ok(Landed::SomebodyElse(held)) => {
                self.count(CallbackResult::AnotherUser);
                self.audit(
                    AuditKind::LoginFailed,
                    incoming,
                    Circumstances {
                        who: Some(&back.identity),
                        ..Circumstances::because("somebody-else-is-signed-in")
                    },
                );
                let page = Page::SomebodyElse {
                    user: display_name(&held.live.session.identity),
                    href: "/",
                    dropped: self.drop_of_flow(site, &flow.return_to).await,
                };
                self.page(StatusCode::CONFLICT, &page, incoming, record)
            }
            Ok(Landed::In {
                id,
                held,
                is_new,
                switched,
            }) => {
                let reply = self
                    .landed_in(
                        incoming,
                        &back,
                        &derived,
                        &held,
                        switched,
                        destination.as_ref(),
                    )
                    .await;
                let mut reply = with_cookie(reply, cookies::session(site.origin, &id));
                // Without it, what is parked from here on is not known for this user's once the session has lapsed.
                if let Ok(browser) = self.browser_of(incoming, site.origin, &held, now).await {
                    reply.set_cookie(self.browser_cookie(site.origin, &browser));
                }
                if is_new {
                    self.parts.metrics.logins.inc();
                    self.end_surplus(incoming, &held, now).await;
                    for name in &site.app.app_cookies {
                        reply.set_cookie(cookies::app_cookie_cleared(name));
                    }
                }
                reply
            }
        }
    }

    /// The session is there; is it enough for where the user wanted to go?
    async fn landed_in(
        &self,
        incoming: &Incoming<'_>,
        back: &Back<'_>,
        derived: &Derived,
        held: &Held,
        switched: bool,
        destination: Option<&Destination<'_>>,
    ) -> Reply {
        let config = &self.parts.config;
        let flow = back.flow;
        let mut record = Record::of("own");
        record.subject = Some(held.live.subject);
        let session = &held.live.session;
        let lack = destination.and_then(|destination| self.lack(destination, session));
        let level = config.ladder.by_name(&flow.level);
        // A flow for less than is needed is not short: the next one asks for the rest.
        let lack = lack.filter(|lack| level.is_none_or(|level| level.rank >= lack.need.rank));
        self.count_landing(flow, switched, lack.is_some(), back.exchange.answered);
        self.audit(
            match (switched, &flow.lineage, &lack) {
                (true, ..) => AuditKind::UserSwitch,
                (_, Some(_), Some(_)) => AuditKind::StepUpFailed,
                (_, Some(_), None) => AuditKind::StepUp,
                (_, None, _) => AuditKind::Login,
            },
            incoming,
            Circumstances {
                reason: lack.map(|lack| super::judge::reason(lack.shortfall)),
                have: Some(have(
                    &config.ladder,
                    &session.evidence,
                    back.exchange.answered,
                )),
                need: lack.map(|lack| lack.need),
                ..Circumstances::of(held)
            },
        );
        if switched {
            let dropped = self.drop_of_flow(back.site, &flow.return_to).await;
            let page = Page::UserSwitched {
                user: display_name(&session.identity),
                href: if dropped { "/" } else { &flow.return_to },
                dropped,
            };
            return self.page(StatusCode::OK, &page, incoming, record);
        }
        let (Some(lack), Some(destination), Some(level)) = (lack, destination, level) else {
            let now = self.parts.clock.now();
            let brought = match config.is_approver(incoming.place) {
                true => self.brought(back.site.origin, flow, derived, held, now),
                false => None,
            };
            let to = brought.as_deref().unwrap_or(&flow.return_to);
            return Reply::redirect(&back.site.url(to), record);
        };
        if derived.always_asked_broken.is_some() && flow.round == 1 {
            let start = Start {
                held: Some(held),
                ..again(flow, level)
            };
            return self.start(incoming, back.site, start, record).await;
        }
        let short = challenge::Short {
            site: back.site,
            route: destination.found.route,
            need: lack.need,
            have: lack.have,
            shortfall: Some(lack.shortfall),
            held: Some(held),
            now: destination.now,
            leads_back: Some(&flow.return_to),
            not_kept: None,
        };
        let why = why(back, derived, level, lack.shortfall);
        self.not_enough(incoming, &short, level, why, &flow.return_to, record)
    }

    /// A login whose tokens meet no proof at all: once more with the base level and `prompt=login`, then the page.
    async fn proves_nothing(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        flow: &Flow,
        identity: &crate::model::evidence::Identity,
    ) -> Reply {
        let record = Record::of("own");
        let base = self.parts.config.ladder.level(Rank::LOWEST);
        if let (Some(base), 1) = (base, flow.round) {
            return self.start(incoming, site, again(flow, base), record).await;
        }
        self.count(CallbackResult::Short);
        self.audit(
            AuditKind::LoginFailed,
            incoming,
            Circumstances {
                who: Some(identity),
                ..Circumstances::because("no-level")
            },
        );
        let page = Page::NotEnough {
            user: display_name(identity),
            have: "",
            need: base.map_or("", |base| base.label.as_str()),
            max_age: None,
            why: pages::Short::NotGranted,
            retry: Some(&flow.return_to),
        };
        self.page(StatusCode::FORBIDDEN, &page, incoming, record)
            .reason("no-level")
    }

    fn alarm(&self, incoming: &Incoming<'_>, reason: &str) {
        self.audit(AuditKind::Alarm, incoming, Circumstances::because(reason));
    }
}

/// The second round of a flow, with every factor asked.
fn again<'a>(flow: &'a Flow, level: &'a Level) -> Start<'a> {
    Start {
        level,
        shortfall: None,
        max_age: None,
        force_login: true,
        held: None,
        return_to: &flow.return_to,
        round: flow.round.saturating_add(1),
        retried: flow.retried,
        confirm: flow.confirm,
    }
}

fn facts(flow: &Flow, exchange: &Exchange) -> FlowFacts {
    FlowFacts {
        pushed: flow.pushed,
        asked: Some(Asked {
            level: flow.level.clone(),
            fingerprint: flow.fingerprint.clone(),
        }),
        prompt_login: flow.prompt_login,
        always_asked: flow.always_asked,
        kc_idp_hint: flow.kc_idp_hint.clone(),
        started: flow.started,
        exchanged: exchange.answered,
    }
}

fn why(back: &Back<'_>, derived: &Derived, level: &Level, shortfall: Shortfall) -> pages::Short {
    let by_provider_only = level.proofs.iter().all(|proof| proof.kc_idp_hint.is_some());
    if back.refused_levels.contains(&level.name) {
        pages::Short::EnrolHeld
    } else if derived.enrolled.contains(&level.name) {
        pages::Short::Enrolled
    } else if derived.broker_stale {
        pages::Short::ProviderStale
    } else if by_provider_only && back.flow.kc_idp_hint.is_none() {
        pages::Short::WithoutProvider
    } else {
        match shortfall {
            Shortfall::TooOld | Shortfall::AgeUnknown | Shortfall::Lapsed => pages::Short::TooOld,
            Shortfall::Missing => pages::Short::NotGranted,
        }
    }
}

/// The codes that OAuth and OpenID Connect define; a text of somebody else's making goes nowhere.
fn stable(error: &str) -> &'static str {
    const KNOWN: &[&str] = &[
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_request_object",
        "invalid_request_uri",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unmet_authentication_requirements",
        "unsupported_response_type",
    ];
    KNOWN
        .iter()
        .find(|known| **known == error)
        .copied()
        .unwrap_or("other_error")
}

fn with_cookie(mut reply: Reply, cookie: Option<http::HeaderValue>) -> Reply {
    reply.set_cookie(cookie);
    reply
}
