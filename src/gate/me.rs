//! `/.stepgate/me`: who, which levels, proven when, what is left, confirm one now, sign out.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::negotiate::{Kind, kind};
use super::pages::{LevelRow, Page};
use super::sessions::{Held, display_name};
use super::start::{login_href, step_up_href};
use super::{Gate, Incoming, Record, Reply, Site};
use crate::model::time::Timestamp;
use crate::policy::evidence::{LevelStanding, Standing, standings};
use crate::policy::facts::Known;

pub(in crate::gate) const HERE: &str = "/.stepgate/me";

/// The same for programs.
#[derive(Debug, Serialize)]
struct Me<'a> {
    user: &'a str,
    groups: &'a [String],
    levels: Vec<State<'a>>,
    idle_left: u64,
    absolute_left: u64,
}

/// Times in seconds.
#[derive(Debug, Serialize)]
struct State<'a> {
    level: &'a str,
    label: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

impl Gate {
    pub(in crate::gate) async fn me(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        let now = self.parts.clock.now();
        match self.caller(incoming, site, now).await {
            Known::Found(held) => self.my_session(incoming, &held, now),
            Known::Absent if kind(incoming.headers) == Kind::Page => {
                Reply::redirect(&login_href(HERE), Record::of("own"))
            }
            Known::Absent => self.page_or_problem(
                incoming.headers,
                StatusCode::UNAUTHORIZED,
                &Page::SignedOut {
                    login: &login_href(HERE),
                    provider_too: true,
                },
                "login",
                "Nobody is signed in.",
                incoming,
                Record::of("own"),
            ),
            Known::Unavailable => {
                self.unavailable(incoming, Some(HERE), Record::of("own"), "store-unavailable")
            }
        }
    }

    fn my_session(&self, incoming: &Incoming<'_>, held: &Held, now: Timestamp) -> Reply {
        let config = &self.parts.config;
        let session = &held.live.session;
        let idle_ends = held.live.last_seen().plus(config.sessions.idle);
        let absolute_ends = session.created.plus(config.sessions.absolute);
        let standings: Vec<_> = standings(&config.ladder, &session.evidence, now).collect();
        let record = Record {
            subject: Some(held.live.subject),
            ..Record::of("own")
        };
        if !matches!(kind(incoming.headers), Kind::Page | Kind::Frame) {
            let me = Me {
                user: display_name(&session.identity),
                groups: &session.identity.groups,
                levels: standings.iter().map(|known| state_of(known, now)).collect(),
                idle_left: idle_ends.since(now).as_secs(),
                absolute_left: absolute_ends.since(now).as_secs(),
            };
            return Reply::json(StatusCode::OK, &me, record);
        }
        let hrefs: Vec<_> = standings
            .iter()
            .map(|known| {
                config
                    .ladder
                    .askable(known.level.rank)
                    .filter(|level| level.rank == known.level.rank)
                    .map(|level| step_up_href(&level.name, HERE))
            })
            .collect();
        let rows: Vec<_> = standings
            .iter()
            .zip(&hrefs)
            .map(|(known, href)| LevelRow {
                label: &known.level.label,
                state: state(known.standing),
                proven_ago: known
                    .proven_at
                    .filter(|_| matches!(known.standing, Standing::Proven { .. }))
                    .map(|at| now.since(at)),
                left: known.left,
                confirm: href.as_deref(),
            })
            .collect();
        let page = Page::Me {
            user: display_name(&session.identity),
            levels: &rows,
            idle_left: idle_ends.since(now),
            absolute_left: absolute_ends.since(now),
            groups: &session.identity.groups,
            logout: "/.stepgate/logout",
            back: "/",
        };
        self.page(StatusCode::OK, &page, incoming, record)
    }
}

fn state_of<'a>(known: &LevelStanding<'a>, now: Timestamp) -> State<'a> {
    State {
        level: &known.level.name,
        label: &known.level.label,
        state: state(known.standing),
        age: known
            .proven_at
            .filter(|_| matches!(known.standing, Standing::Proven { .. }))
            .map(|at| now.since(at).as_secs()),
        left: known.left.map(|left| left.as_secs()),
    }
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Proven { .. } => "proven",
        Standing::Held => "held",
        Standing::Lapsed => "lapsed",
        Standing::Missing => "missing",
    }
}
