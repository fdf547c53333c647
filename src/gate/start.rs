//! The way out: from a level that is needed to a redirect to Keycloak, with the flow sealed in a cookie.

use http::StatusCode;

use super::audit::Circumstances;
use super::negotiate::{Kind, kind};
use super::pages::{Failure, Page};
use super::sessions::{Held, user_name};
use super::{Gate, Incoming, Record, Reply, Site, flows};
use crate::model::flow::Flow;
use crate::model::level::Level;
use crate::model::session::Secret;
use crate::oidc::{Authorization, OidcError, Outage, Pkce};
use crate::policy::ask::{self, Asking};
use crate::policy::decision::Shortfall;
use crate::seal::token;
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::{Limit, StepUpOutcome};

use std::sync::PoisonError;
use std::time::Duration;

/// 256 bits each: `state` and `nonce` are what ties an answer to this browser and this flow.
const STATE_BYTES: usize = 32;

/// Where a popup ends.
pub(in crate::gate) const DONE: &str = "/.stepgate/done";

/// Seconds between two looks of a tab that waits for its siblings.
const WAIT: u64 = 3;

#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Start<'a> {
    pub(in crate::gate) level: &'a Level,
    pub(in crate::gate) shortfall: Option<Shortfall>,
    pub(in crate::gate) max_age: Option<Duration>,
    /// Whatever the level's `ask` says: `prompt=login`.
    pub(in crate::gate) force_login: bool,
    pub(in crate::gate) held: Option<&'a Held>,
    /// Canonical path and query.
    pub(in crate::gate) return_to: &'a str,
    pub(in crate::gate) round: u8,
    pub(in crate::gate) retried: bool,
    pub(in crate::gate) confirm: bool,
}

impl Gate {
    pub(in crate::gate) async fn start(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        start: Start<'_>,
        record: Record,
    ) -> Reply {
        let now = self.parts.clock.now();
        let first = start.round == 1 && !start.retried;
        let lineage = start.held.map(|held| &held.live.session.lineage);
        if first && !self.has_room_for_a_flow(incoming.headers, site.origin, lineage, now) {
            self.parts
                .metrics
                .limit_refusals
                .inc(Limit::FlowsPerBrowser);
            let page = Page::WaitForOthers {
                retry: start.return_to,
            };
            let mut reply = self.page(StatusCode::TOO_MANY_REQUESTS, &page, incoming, record);
            reply.retry_after(WAIT);
            reply.ask_again();
            return reply.reason("too-many-flows");
        }
        let _place = match self.limits.enter(incoming.client, now) {
            Ok(place) => place,
            Err(later) => {
                let page = Page::TooManyLogins {
                    seconds: later.0,
                    retry: start.return_to,
                };
                let mut reply = self.page(StatusCode::TOO_MANY_REQUESTS, &page, incoming, record);
                reply.retry_after(later.0);
                return reply.reason("too-many-logins");
            }
        };
        let session = start.held.map(|held| &held.live.session);
        let request = ask::request(&Asking {
            level: start.level,
            shortfall: start.shortfall,
            max_age: start.max_age,
            force_login: start.force_login || self.is_broken(start.level),
            kc_idp_hint: match session {
                Some(session) => session.kc_idp_hint.as_deref(),
                None => site.app.login.kc_idp_hint.as_deref(),
            },
            login_hint: session.and_then(|session| user_name(&session.identity)),
            params: &site.app.login.params,
        });
        let random = &*self.parts.random;
        let pkce = Pkce::draw(random);
        let mut flow = Flow {
            id: Secret::new(token(random, STATE_BYTES)),
            lineage: session.map(|session| session.lineage.clone()),
            sub: session.map(|session| session.identity.sub.clone()),
            sid: session.and_then(|session| session.identity.sid.clone()),
            return_to: flows::return_to(start.return_to).to_owned(),
            level: request.asked.level.clone(),
            fingerprint: request.asked.fingerprint.clone(),
            pushed: false,
            prompt_login: request.prompt_login,
            always_asked: request.always_asked,
            kc_idp_hint: request.kc_idp_hint.clone(),
            started: now,
            nonce: Secret::new(token(random, STATE_BYTES)),
            verifier: pkce.verifier,
            round: start.round,
            retried: start.retried,
            confirm: start.confirm,
        };
        let started = self
            .parts
            .provider
            .start(Authorization {
                redirect_uri: &redirect_uri(site),
                ask: &request.params,
                state: flow.id.reveal(),
                nonce: flow.nonce.reveal(),
                challenge: &pkce.challenge,
            })
            .await;
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                return self.provider_failed(incoming, &error, Some(start.return_to), record);
            }
        };
        flow.pushed = started.pushed;
        if start.held.is_some() {
            let metrics = &self.parts.metrics;
            metrics.step_up(start.level, StepUpOutcome::Started);
        }
        let mut reply = Reply::redirect(started.url.as_str(), record);
        reply.set_cookie(self.flow_cookie(site.origin, &flow));
        reply
    }

    /// Keycloak did not do what was asked of it: later, or only after a change of a configuration.
    pub(in crate::gate) fn provider_failed(
        &self,
        incoming: &Incoming<'_>,
        error: &OidcError,
        retry: Option<&str>,
        record: Record,
    ) -> Reply {
        tracing::warn!(%error, request = incoming.request_id, "keycloak did not answer as needed");
        let (code, cause) = match error {
            OidcError::Unavailable(Outage::Clock(_)) => {
                self.audit(AuditKind::Alarm, incoming, Circumstances::because("clock"));
                return self.unavailable(incoming, retry, record, "clock");
            }
            OidcError::Unavailable(_) => {
                return self.unavailable(incoming, retry, record, "provider-unavailable");
            }
            OidcError::Refused { code } => (code.as_str(), Failure::ProviderError),
            OidcError::Misconfigured(_) => ("misconfigured", Failure::ProviderError),
            OidcError::InvalidToken(flaw) => (flaw.code(), Failure::Invalid),
            OidcError::ForeignResponse => ("iss", Failure::Invalid),
        };
        self.audit(
            AuditKind::LoginFailed,
            incoming,
            Circumstances::because(code),
        );
        let page = Page::LoginFailed { cause, code, retry };
        let status = match cause {
            Failure::ProviderError => StatusCode::BAD_GATEWAY,
            _ => StatusCode::FORBIDDEN,
        };
        self.page(status, &page, incoming, record)
            .reason("provider-refused")
    }

    /// Neither allowed nor signed out: what had to be known could not be.
    pub(in crate::gate) fn unavailable(
        &self,
        incoming: &Incoming<'_>,
        retry: Option<&str>,
        record: Record,
        reason: &'static str,
    ) -> Reply {
        self.unavailable_to(kind(incoming.headers), incoming, retry, record, reason)
    }

    pub(in crate::gate) fn unavailable_to(
        &self,
        kind: Kind,
        incoming: &Incoming<'_>,
        retry: Option<&str>,
        record: Record,
        reason: &'static str,
    ) -> Reply {
        let page = Page::Unavailable { retry };
        let mut reply = self.page_or_problem(
            kind,
            StatusCode::SERVICE_UNAVAILABLE,
            &page,
            "unavailable",
            "Signing in is not possible at the moment.",
            incoming,
            record,
        );
        reply.retry_after(WAIT);
        reply.reason(reason)
    }

    fn is_broken(&self, level: &Level) -> bool {
        level.ask.always_asked
            && self
                .broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&level.name)
    }

    /// From now on it is asked with `prompt=login`. True: that is news.
    pub(in crate::gate) fn note_broken(&self, level: &str) -> bool {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(level.to_owned())
    }
}

pub(in crate::gate) fn redirect_uri(site: Site<'_>) -> String {
    format!("{}/.stepgate/callback", site.origin.text)
}

/// Where a browser obtains a level and comes back.
pub(in crate::gate) fn step_up_href(level: &str, return_to: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("level", level)
        .append_pair("return", flows::return_to(return_to))
        .finish();
    format!("/.stepgate/step-up?{query}")
}

/// The same in a window of its own, which tells the pages that wait and closes itself.
pub(in crate::gate) fn popup_href(level: &str) -> String {
    step_up_href(level, DONE)
}

pub(in crate::gate) fn login_href(return_to: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("return", flows::return_to(return_to))
        .finish();
    format!("/.stepgate/login?{query}")
}
