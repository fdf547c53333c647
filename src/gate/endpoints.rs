//! Our own endpoints, matched exactly on the canonical path and never forwarded.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::negotiate::{Kind, kind};
use super::pages::Page;
use super::sessions::Held;
use super::start::{DONE, Start, step_up_href};
use super::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site};
use super::{approvals, ciba, me, park, script};
use crate::model::level::{Level, Rank};
use crate::model::target::Target;
use crate::policy::decision::Shortfall;
use crate::policy::facts::Known;

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const READ_AND_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

impl Gate {
    /// `name`: the path behind [`OWN_PREFIX`].
    pub(in crate::gate) async fn own(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        name: &str,
    ) -> Reply {
        if let Some(id) = name.strip_prefix(approvals::PREFIX) {
            return self.wait_for_yes(incoming, site, id).await;
        }
        if let Some(hook) = name.strip_prefix(approvals::HOOK)
            && self.parts.config.is_approver(incoming.place)
        {
            return self.webhook_says(incoming, hook).await;
        }
        if name == ciba::PING && self.parts.config.is_approver(incoming.place) {
            return self.ciba_ping(incoming);
        }
        if name == ciba::HERE && self.parts.config.is_approver(incoming.place) {
            return self.ciba_channel(incoming).await;
        }
        let allowed = match name {
            "ping" | "login" | "step-up" | "callback" | "me" | "status" | "done" | "done.js"
            | "agent.js" | "waiting.js" | "resume" => READ,
            "logout" => READ_AND_POST,
            "backchannel-logout" => POST,
            _ => return self.unknown_endpoint(incoming),
        };
        if !allowed.contains(incoming.method) {
            return self.wrong_method(allowed, incoming);
        }
        match name {
            "ping" => Self::pong(),
            "login" => self.login(incoming, site).await,
            "step-up" => self.step_up(incoming, site).await,
            "callback" => self.callback(incoming, site).await,
            "me" => self.me(incoming, site).await,
            "status" => self.status(incoming, site).await,
            "resume" => self.resume(incoming, site).await,
            "done" => self.page(StatusCode::OK, &Page::Done {}, incoming, Record::of("own")),
            "done.js" => script::done(incoming),
            "agent.js" => script::agent(incoming),
            "waiting.js" => script::waiting(incoming),
            "logout" if *incoming.method == Method::POST => self.logout(incoming, site).await,
            "logout" => self.ask_logout(incoming, site).await,
            _ => self.backchannel_logout(incoming).await,
        }
    }

    pub(in crate::gate) fn unknown_endpoint(&self, incoming: &Incoming<'_>) -> Reply {
        let record = Record {
            reason: Some("no-such-endpoint"),
            ..Record::of("own")
        };
        let text = "There is no such page.";
        let page = Page::Refused {
            status: 404,
            code: "no-such-endpoint",
            text,
            back: Some("/"),
        };
        self.page_or_problem(
            incoming.headers,
            StatusCode::NOT_FOUND,
            &page,
            "no-such-endpoint",
            text,
            incoming,
            record,
        )
    }

    /// Who is signed in already is led on.
    async fn login(self: &Arc<Self>, incoming: &Incoming<'_>, site: Site<'_>) -> Reply {
        let return_to = return_param(incoming, site);
        let record = Record::of("own");
        let now = self.parts.clock.now();
        match self.caller(incoming, site, now).await {
            Known::Found(_) => Reply::redirect(&site.url(&return_to), record),
            Known::Unavailable => {
                self.unavailable(incoming, incoming.retry_href(), record, "store-unavailable")
            }
            Known::Absent => match self.parts.config.ladder.askable(Rank::LOWEST) {
                Some(level) => self.go(incoming, site, level, None, &return_to).await,
                None => self.unavailable(incoming, None, record, "level-cannot-be-asked"),
            },
        }
    }

    /// Asks for the level whatever the session has: who comes here wants to confirm it.
    async fn step_up(self: &Arc<Self>, incoming: &Incoming<'_>, site: Site<'_>) -> Reply {
        let record = Record::of("own");
        let return_to = return_param(incoming, site);
        let level = param(incoming, "level")
            .and_then(|name| self.parts.config.ladder.by_name(&name))
            .and_then(|level| self.parts.config.ladder.askable(level.rank));
        let Some(level) = level else {
            let text = "There is no such level.";
            let page = Page::Refused {
                status: 400,
                code: "no-such-level",
                text,
                back: Some("/"),
            };
            return self.page_or_problem(
                incoming.headers,
                StatusCode::BAD_REQUEST,
                &page,
                "no-such-level",
                text,
                incoming,
                record,
            );
        };
        let now = self.parts.clock.now();
        match self.caller(incoming, site, now).await {
            Known::Found(held) => {
                self.go(incoming, site, level, Some(&held), &return_to)
                    .await
            }
            Known::Absent => self.go(incoming, site, level, None, &return_to).await,
            Known::Unavailable => {
                self.unavailable(incoming, incoming.retry_href(), record, "store-unavailable")
            }
        }
    }

    async fn go(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        level: &Level,
        held: Option<&Held>,
        return_to: &str,
    ) -> Reply {
        let record = Record::of("own");
        match kind(incoming.headers) {
            Kind::Page => {}
            Kind::Frame => {
                let page = Page::InFrame {
                    need: &level.label,
                    href: &step_up_href(&level.name, return_to),
                };
                return self.page(StatusCode::FORBIDDEN, &page, incoming, record);
            }
            // No script and no prefetch starts a flow: a person has to see where it leads.
            Kind::Htmx | Kind::Grpc | Kind::Program => {
                let text = "Open this address in a browser's tab.";
                let page = Page::Refused {
                    status: 403,
                    code: "navigation-only",
                    text,
                    back: Some("/"),
                };
                return self.page_or_problem(
                    incoming.headers,
                    StatusCode::FORBIDDEN,
                    &page,
                    "navigation-only",
                    text,
                    incoming,
                    record,
                );
            }
        }
        let start = Start {
            level,
            // So that it is asked, and not answered from the SSO session.
            shortfall: held.map(|_| Shortfall::TooOld),
            max_age: None,
            force_login: false,
            held,
            return_to,
            round: 1,
            retried: false,
            confirm: held.is_some(),
        };
        self.start(incoming, site, start, record).await
    }
}

/// The one parameter of that name; with two of them nobody knows which is meant.
pub(in crate::gate) fn param(incoming: &Incoming<'_>, name: &str) -> Option<String> {
    let query = incoming.target.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value.into_owned()),
        _ => None,
    }
}

/// A canonical path on this origin that is not one of ours; everything else is the app's root.
pub(in crate::gate) fn return_param(incoming: &Incoming<'_>, site: Site<'_>) -> String {
    param(incoming, "return")
        .and_then(|text| Target::parse(text.as_bytes(), site.app.accept).ok())
        .filter(|target| {
            !target.path().starts_with(OWN_PREFIX)
                || matches!(target.path(), me::HERE | DONE | park::HERE)
                || approvals::id_of(target.path_and_query()).is_some()
        })
        .map_or_else(
            || "/".to_owned(),
            |target| target.path_and_query().to_owned(),
        )
}
