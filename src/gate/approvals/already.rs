//! What settles a request that needs a yes before anything of its body is read: it is not of those that need one, or a yes
//! that holds for a while covers it. Nobody is asked, and it streams as any other.

use http::header;

use super::{Asker, binding};
use crate::config::Grant as Grants;
use crate::gate::{Gate, Incoming, Site};
use crate::model::approval::{Action, Approval, Digest, Holder};
use crate::model::requirement::Requirement;
use crate::model::route::Match;
use crate::model::time::Timestamp;
use crate::policy::approval::summary::Asked;
use crate::policy::approval::when::{self, Spared};
use crate::policy::decision::{Approve, Permit};
use crate::policy::facts::{Facts, Grant, Known};
use crate::store::Unavailable;

#[derive(Debug)]
pub(in crate::gate) enum Already {
    Spared(Spared),
    Covered(Box<Covered>),
    /// Whether it is covered could not be found out.
    Unknown,
}

/// By a yes of before.
#[derive(Debug)]
pub(in crate::gate) struct Covered {
    approval: Approval,
    holder: Holder,
    action: Action,
}

impl Already {
    /// What the policy knew, and this.
    pub(in crate::gate) fn among<'f>(&'f self, facts: Facts<'f>) -> Facts<'f> {
        match self {
            Self::Spared(spared) => Facts {
                spared: Some(spared),
                ..facts
            },
            Self::Covered(covered) => Facts {
                grant: Known::Found(Grant {
                    approval: &covered.approval,
                    holder: &covered.holder,
                    action: &covered.action,
                }),
                ..facts
            },
            Self::Unknown => Facts {
                grant: Known::Unavailable,
                ..facts
            },
        }
    }

    fn approval(self) -> Option<Approval> {
        match self {
            Self::Covered(covered) => Some(covered.approval),
            Self::Spared(_) | Self::Unknown => None,
        }
    }
}

/// The approval that a permit is one of the requests of.
pub(in crate::gate) fn within(
    permit: &Permit,
    already: Option<Already>,
    claimed: Option<&Approval>,
) -> Option<Box<Approval>> {
    let id = permit.is_within()?;
    let known = already.and_then(Already::approval);
    let known = known.or_else(|| claimed.cloned());
    known.filter(|known| known.id == *id).map(Box::new)
}

impl Gate {
    /// `None`: somebody has to be asked, or to say that nobody can be.
    pub(in crate::gate) async fn already(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        found: &Match<'_>,
        asker: &Asker,
        approve: &Approve,
        now: Timestamp,
    ) -> Option<Already> {
        // Where nobody can be asked, nobody was; and what stays open outlives every yes.
        if site.app.forward_auth.is_some() || incoming.headers.contains_key(header::UPGRADE) {
            return None;
        }
        let rule = self.parts.config.approval(&approve.approval)?;
        let asking = site.app.table.asking(found, &rule.name);
        let asked = Asked {
            pattern: &asking.pattern,
            target: incoming.target,
            content_type: &[],
            content_encoding: &[],
            body: &[],
            requester: asker.identity(),
        };
        if let Some(when) = rule.when.as_ref().filter(|when| !when.reads_body()) {
            let (method, client) = (incoming.method, incoming.client);
            match when::spared(&rule.name, when, method, client, &asked, now) {
                Ok(Some(spared)) => return Some(Already::Spared(spared)),
                Ok(None) => {}
                // Told where it is asked for.
                Err(_) => return None,
            }
        }
        let Grants::Window { per } = &rule.grant else {
            return None;
        };
        let scope = binding::Scope {
            origin: &site.origin.text,
            route: &route_name(site, found),
            policy: self.policy_of(site, found, asker, rule)?,
            asking,
            per: per.as_deref(),
            method: incoming.method,
            headers: incoming.headers,
        };
        let action = binding::window(&scope, &asked).ok()?;
        let (person, holder) = (asker.person(), asker.holder());
        let covering = self
            .approvals
            .covering(&person, &rule.name, &holder, &action, now);
        match covering.await {
            Ok(Some(approval)) => Some(Already::Covered(Box::new(Covered {
                approval,
                holder,
                action,
            }))),
            Ok(None) => None,
            Err(Unavailable) => Some(Already::Unknown),
        }
    }

    /// Of everything by which a request is judged now.
    pub(super) fn policy_of(
        &self,
        site: Site<'_>,
        found: &Match<'_>,
        asker: &Asker,
        rule: &crate::config::ApprovalRule,
    ) -> Option<Digest> {
        let config = &self.parts.config;
        let required = match asker {
            Asker::Session(_) => None,
            Asker::Bearer(_) => site.app.bearer.as_ref(),
        };
        let required = required.and_then(|rules| rules.required.as_ref());
        let demand: Vec<&Requirement> = found.demand.iter().copied().chain(required).collect();
        let upstream = config.upstreams.get(found.route.upstream)?;
        Some(binding::policy(&config.ladder, &demand, rule, upstream))
    }
}

/// App and route, as approvals have them.
pub(super) fn route_name(site: Site<'_>, found: &Match<'_>) -> String {
    format!("{}/{}", site.app.name, found.route.id)
}
