//! Where a flow leads back to, and what a session falls short of there: asked of the policy before the browser is sent on.

use std::net::IpAddr;

use http::Method;

use super::{Gate, Incoming, Site};
use crate::model::flow::Flow;
use crate::model::level::Rank;
use crate::model::route::Match;
use crate::model::session::Session;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::decision::{Decision, Have, Need, Shortfall};
use crate::policy::evidence::have;
use crate::policy::facts::{Caller, Known};

/// What the place that a flow leads back to asks for, and of whom it falls short.
#[derive(Debug)]
pub(in crate::gate) struct Destination<'c> {
    pub(in crate::gate) found: Match<'c>,
    client: IpAddr,
    pub(in crate::gate) now: Timestamp,
    /// The level that the user asked to confirm, whatever the place needs.
    confirm: Option<Rank>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Lack {
    pub(in crate::gate) need: Need,
    pub(in crate::gate) have: Have,
    pub(in crate::gate) shortfall: Shortfall,
}

impl Gate {
    pub(in crate::gate) async fn destination<'c>(
        &'c self,
        incoming: &Incoming<'_>,
        site: Site<'c>,
        flow: &Flow,
        now: Timestamp,
    ) -> Option<Destination<'c>> {
        let (method, target) = match self.kept_at(site, &flow.return_to, now).await {
            Some(kept) => kept,
            None => {
                let target = Target::parse(flow.return_to.as_bytes(), site.app.accept).ok()?;
                (Method::GET, target)
            }
        };
        let ladder = &self.parts.config.ladder;
        let asked = ladder.by_name(&flow.level).map(|level| level.rank);
        Some(Destination {
            found: site.app.table.find(&method, &target),
            client: incoming.client,
            now,
            confirm: asked.filter(|_| flow.confirm),
        })
    }

    pub(in crate::gate) fn lack(
        &self,
        destination: &Destination<'_>,
        session: &Session,
    ) -> Option<Lack> {
        let config = &self.parts.config;
        let now = destination.now;
        let have = have(&config.ladder, &session.evidence, now);
        if let Some(rank) = destination.confirm
            && have.rank < rank
        {
            return Some(Lack {
                need: Need {
                    rank,
                    max_age: None,
                },
                have,
                shortfall: Shortfall::Missing,
            });
        }
        let caller = Known::Found(Caller {
            evidence: &session.evidence,
            identity: &session.identity,
        });
        match self.decide(&destination.found.demand, caller, destination.client, now) {
            Decision::StepUp(step_up) => Some(Lack {
                need: step_up.need,
                have: step_up.have,
                shortfall: step_up.shortfall,
            }),
            // What else is missing, a condition or an approval, is told where the request goes.
            Decision::Allow(_)
            | Decision::Approve(_)
            | Decision::Deny(_)
            | Decision::Login(_)
            | Decision::Unavailable(_) => None,
        }
    }
}
