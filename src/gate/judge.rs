//! The one way of every request: own endpoint or route, session, decision.
//!
//! What few requests come to is boxed where it is awaited: a future has room for all that may happen in it and is moved
//! more than once, so that each request would otherwise carry the kilobytes of every flow there is.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::approvals::{self, Asker};
use super::bearer::Verified;
use super::challenge::Short;
use super::negotiate::kind_for;
use super::push::Push;
use super::sessions::Held;
use super::{Forward, Gate, Incoming, OWN_PREFIX, Record, Refusal, Reply, Site, Verdict};
use super::{cors, park};
use crate::model::approval::{Action, Approval, Holder};
use crate::model::requirement::Requirement;
use crate::model::route::Match;
use crate::model::time::Timestamp;
use crate::policy;
use crate::policy::approval::when::Spared;
use crate::policy::decision::{Decision, Shortfall};
use crate::policy::facts::{Caller, Facts, Grant, Known};

impl Gate {
    pub async fn judge(self: &Arc<Self>, incoming: &Incoming<'_>) -> Verdict {
        let Some(site) = self.site(incoming.place) else {
            let refusal = Refusal::UnknownHost;
            return Verdict::Reply(self.refuse(
                refusal,
                incoming.headers,
                None,
                None,
                incoming.request_id,
            ));
        };
        if let Some(name) = incoming.target.path().strip_prefix(OWN_PREFIX) {
            return Verdict::Reply(self.own(incoming, site, name).boxed().await);
        }
        if self.parts.config.is_approver(incoming.place) {
            if let Some(what) = Push::of(incoming.target.path()) {
                return Verdict::Reply(self.push(incoming, site, what).boxed().await);
            }
            return Verdict::Reply(self.approver(incoming, site).boxed().await);
        }
        let (method, target) = (incoming.method, incoming.target);
        let mut verdict = if let Some(id) = park::marked(method, target) {
            self.click(incoming, site, id).boxed().await
        } else if let Some(id) = approvals::marked(method, target) {
            self.send_approved(incoming, site, &id).boxed().await
        } else {
            self.judge_route(incoming, site, Way::default()).await
        };
        if let Verdict::Reply(reply) = &mut verdict {
            self.allow_origin(reply, incoming.place, incoming.headers);
        }
        verdict
    }

    pub(in crate::gate) async fn judge_route(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        way: Way<'_>,
    ) -> Verdict {
        let leads_back = way.leads_back;
        let now = self.parts.clock.now();
        if let Some(wanted) = cors::preflight(incoming, site.app) {
            return self.preflight(incoming, site, &wanted, now);
        }
        let found = site.app.table.find(incoming.method, incoming.target);
        // A public route needs no session, but for the app's own cookies.
        let is_public = found.demand.iter().all(|part| part.is_public());
        if !is_public
            && leads_back.is_none()
            && site.app.bearer.is_some()
            && let Some(verdict) = self
                .judge_bearer(incoming, site, &found, way, now)
                .boxed()
                .await
        {
            return verdict;
        }
        let caller = if is_public && site.app.app_cookies.is_empty() {
            Known::Absent
        } else {
            self.caller(incoming, site, now).await
        };
        let holder = match (&caller, way.claimed) {
            (Known::Found(held), Some(_)) => {
                Some(Holder::Session(held.live.session.lineage.clone()))
            }
            _ => None,
        };
        let facts = Facts {
            caller: facts_of(&caller),
            client: incoming.client,
            preflight: false,
            grant: granted(way.claimed, holder.as_ref()),
            spared: way.spared,
        };
        let mut decision = self.decide_on(&found.demand, &facts, now);
        let already = self.is_already(incoming, site, &found, &decision, &caller, way, now);
        let already = already.await;
        if let Some(already) = &already {
            decision = self.decide_on(&found.demand, &already.among(facts), now);
        }
        let mut record = Record {
            route: site
                .app
                .table
                .position(found.route)
                .map(|position| (incoming.place.app, position)),
            ..Record::of(decision.name())
        };
        let held = match caller {
            Known::Found(held) => {
                record.subject = Some(held.live.subject);
                record.credential = Some("cookie");
                Some(held)
            }
            Known::Absent | Known::Unavailable => None,
        };
        let short = |need, have, shortfall| Short {
            site,
            route: found.route,
            need,
            have,
            shortfall,
            held: held.as_ref(),
            now,
            leads_back,
            not_kept: None,
        };
        let decision = match decision {
            Decision::Allow(_) => decision,
            other if incoming.decision_only => {
                return Verdict::Reply(Reply::unheard(&other, record));
            }
            other => other,
        };
        let reply = match decision {
            Decision::Allow(permit) => {
                record.need = Some(permit.need());
                record.have = Some(permit.have());
                let key = held.as_ref().map(|held| held.key);
                return Verdict::Forward(Forward {
                    within: approvals::already::within(&permit, already, way.approval()),
                    permit,
                    place: incoming.place,
                    upstream: found.route.upstream,
                    session: held.map(|held| held.live),
                    bearer: None,
                    record,
                    sending: None,
                    redeeming: None,
                    is_redeemed: false,
                    is_noted: false,
                    key,
                });
            }
            Decision::Login(need) => {
                record.need = Some(need);
                let have = policy::decision::Have::NOTHING;
                return self
                    .fall_short(incoming, short(need, have, None), record)
                    .boxed()
                    .await;
            }
            Decision::StepUp(step_up) => {
                record.need = Some(step_up.need);
                record.have = Some(step_up.have);
                record.reason = Some(reason(step_up.shortfall));
                let short = short(step_up.need, step_up.have, Some(step_up.shortfall));
                return self.fall_short(incoming, short, record).boxed().await;
            }
            Decision::Deny(denial) => {
                record.need = Some(denial.need);
                record.have = Some(denial.have);
                record.reason = Some(denial.condition);
                self.forbidden(incoming, found.route, held.as_ref(), &denial, record)
            }
            Decision::Approve(approve) => {
                record.need = Some(approve.need);
                record.have = Some(approve.have);
                match held {
                    Some(held) => {
                        let asker = Asker::Session(held);
                        let want = self.want(incoming, site, &found, asker, approve, record);
                        return Box::pin(want).await;
                    }
                    // Nobody is asked for nobody.
                    None => {
                        let kind = kind_for(incoming.headers, found.route.challenge);
                        self.unavailable_to(kind, incoming, None, record, "undecided")
                    }
                }
            }
            Decision::Unavailable(need) => {
                record.need = Some(need);
                let kind = kind_for(incoming.headers, found.route.challenge);
                let retry = incoming.retry_href();
                self.unavailable_to(kind, incoming, retry, record, "store-unavailable")
            }
        };
        Verdict::Reply(reply)
    }

    /// Of what would need a yes.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of the one way of every request"
    )]
    async fn is_already(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        found: &Match<'_>,
        decision: &Decision,
        caller: &Known<Held>,
        way: Way<'_>,
        now: Timestamp,
    ) -> Option<approvals::already::Already> {
        let (Decision::Approve(approve), Known::Found(held)) = (decision, caller) else {
            return None;
        };
        if way.claimed.is_some() || way.spared.is_some() {
            return None;
        }
        let asker = Asker::Session(held.clone());
        // Seldom, and the way of every request stays short.
        Box::pin(self.already(incoming, site, found, &asker, approve, now)).await
    }

    /// Whoever the session's cookie stands for, with tokens that are still good as far as that can be had.
    pub(in crate::gate) async fn caller(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        now: Timestamp,
    ) -> Known<Held> {
        match self.session(incoming, site.origin, now).await {
            Known::Found(held) => self.refreshed(held, now).await,
            other => other,
        }
    }

    /// Without anybody's yes.
    pub(in crate::gate) fn decide(
        &self,
        demand: &[&Requirement],
        caller: Known<Caller<'_>>,
        client: IpAddr,
        now: Timestamp,
    ) -> Decision {
        let facts = Facts {
            caller,
            client,
            preflight: false,
            grant: Known::Absent,
            spared: None,
        };
        self.decide_on(demand, &facts, now)
    }

    /// Here alone the policy is asked.
    pub(in crate::gate) fn decide_on(
        &self,
        demand: &[&Requirement],
        facts: &Facts<'_>,
        now: Timestamp,
    ) -> Decision {
        policy::decide(demand, facts, &self.parts.config.ladder, now)
    }

    pub(in crate::gate) fn decide_preflight(
        &self,
        demand: &[&Requirement],
        client: IpAddr,
        now: Timestamp,
    ) -> Decision {
        let facts = Facts {
            caller: Known::Absent,
            client,
            preflight: true,
            grant: Known::Absent,
            spared: None,
        };
        self.decide_on(demand, &facts, now)
    }
}

/// What a request comes with beside itself.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gate) struct Way<'w> {
    /// To this path instead of to the request itself, for which there is a session or none, and no bearer.
    pub(in crate::gate) leads_back: Option<&'w str>,
    pub(in crate::gate) claimed: Option<Claimed<'w>>,
    /// It is not of those that need their approval.
    pub(in crate::gate) spared: Option<&'w Spared>,
    /// Its token was taken when its header came, and with it the proof, which is good once; the token itself is looked at
    /// again, for its body took a while.
    pub(in crate::gate) proven: Option<&'w Verified>,
}

impl<'w> Way<'w> {
    /// That it says it has.
    pub(in crate::gate) fn approval(&self) -> Option<&'w Approval> {
        match self.claimed?.approval {
            Known::Found(approval) => Some(approval),
            Known::Absent | Known::Unavailable => None,
        }
    }
}

/// A yes that it says it has.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Claimed<'w> {
    pub(in crate::gate) approval: Known<&'w Approval>,
    /// What it is, with its body.
    pub(in crate::gate) action: &'w Action,
}

/// For the policy. Whoever is nobody holds nothing.
pub(in crate::gate) fn granted<'g>(
    claimed: Option<Claimed<'g>>,
    holder: Option<&'g Holder>,
) -> Known<Grant<'g>> {
    let (Some(claimed), Some(holder)) = (claimed, holder) else {
        return Known::Absent;
    };
    match claimed.approval {
        Known::Found(approval) => Known::Found(Grant {
            approval,
            holder,
            action: claimed.action,
        }),
        Known::Absent => Known::Absent,
        Known::Unavailable => Known::Unavailable,
    }
}

pub(in crate::gate) fn facts_of(caller: &Known<Held>) -> Known<Caller<'_>> {
    match caller {
        Known::Found(held) => Known::Found(Caller {
            evidence: &held.live.session.evidence,
            identity: &held.live.session.identity,
        }),
        Known::Absent => Known::Absent,
        Known::Unavailable => Known::Unavailable,
    }
}

impl<'r> Incoming<'r> {
    /// Where to try again: nothing that could be a second order.
    pub(in crate::gate) fn retry_href(&self) -> Option<&'r str> {
        matches!(*self.method, http::Method::GET | http::Method::HEAD)
            .then(|| self.target.path_and_query())
    }
}

pub(in crate::gate) fn reason(shortfall: Shortfall) -> &'static str {
    match shortfall {
        Shortfall::AgeUnknown => "age-unknown",
        Shortfall::Lapsed => "lapsed",
        Shortfall::Missing => "missing",
        Shortfall::TooOld => "too-old",
    }
}
