//! What becomes of an open request: it is decided on as if it came now, by the configuration of now.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{Closing, Course, Credential, Lack, Open, StreamKind};
use crate::gate::approvals::Asker;
use crate::gate::approvals::already::Already;
use crate::gate::challenge::Short;
use crate::gate::reply::Problem;
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::requirement::Requirement;
use crate::model::route::{Match, OnLapse};
use crate::model::time::Timestamp;
use crate::policy;
use crate::policy::decision::{Decision, Have, Need, Shortfall};
use crate::policy::facts::{Caller, Facts, Known};

/// How long what has to be found out anew may take before it counts as not allowed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at a token: nothing tells when its key is withdrawn.
const TOKEN_LOOK: Duration = Duration::from_secs(30);

/// Between two looks at a yes that holds for a while: it may be taken back, by another process as well.
const GRANT_LOOK: Duration = SECOND;

const SECOND: Duration = Duration::from_secs(1);

/// Never, for what has no end of its own.
const NEVER: Timestamp = Timestamp::from_unix(i64::MAX);

enum Outcome {
    /// Until then at least.
    Holds(Timestamp),
    /// The same, and it is looked at again before.
    HoldsSoFar {
        until: Timestamp,
        again: Timestamp,
    },
    Ends(Box<Closing>),
    Unknown,
}

/// Whoever it is allowed to, and until when there is such a caller at all.
struct Standing<'c> {
    caller: Known<Caller<'c>>,
    /// Of the same, for who may have a yes.
    asker: Option<Asker>,
    ends: Timestamp,
}

/// Under which route it falls now.
struct Here<'c> {
    site: Site<'c>,
    incoming: Incoming<'c>,
    found: Match<'c>,
}

impl Gate {
    /// Looks at those that are due. To be called a few times a second.
    pub async fn look_after_streams(self: &Arc<Self>) {
        let now = self.parts.clock.now();
        for open in self.parts.streams.take_due(now) {
            // Keycloak may take its time over a token, and nobody else waits for that.
            if matches!(open.credential, Credential::Bearer(_)) {
                // While it is looked at, only news have it looked at again.
                self.parts.streams.keep(&open, None);
                let gate = Arc::clone(self);
                tokio::spawn(async move { gate.look_at(&open, now).await });
            } else {
                self.look_at(&open, now).await;
            }
        }
    }

    async fn look_at(&self, open: &Open, now: Timestamp) {
        let streams = &self.parts.streams;
        match self.judge_stream(open, now).await {
            Outcome::Holds(until) => self.hold_on(open, until, until),
            Outcome::HoldsSoFar { until, again } => self.hold_on(open, until, again.min(until)),
            Outcome::Ends(closing) => {
                self.end_stream(open, *closing);
            }
            Outcome::Unknown => {
                let mut course = open.course();
                let since = *course.unknown.get_or_insert(now);
                let holds = course.until.is_some_and(|until| now < until);
                drop(course);
                if holds || now.since(since) < PATIENCE {
                    streams.keep(open, Some(now));
                    return;
                }
                let reply = self.try_again(open);
                self.end_stream(
                    open,
                    Closing {
                        lack: Lack::Answer,
                        reply,
                    },
                );
            }
        }
    }

    fn hold_on(&self, open: &Open, until: Timestamp, again: Timestamp) {
        let mut course = open.course();
        course.unknown = None;
        course.until = Some(until);
        drop(course);
        let due = (again < NEVER).then_some(again);
        self.parts.streams.keep(open, due);
    }

    fn end_stream(&self, open: &Open, closing: Closing) {
        self.parts.streams.forget(open);
        let before = std::mem::replace(&mut open.course().ended, true);
        if !before {
            open.hand.close(closing);
        }
    }

    async fn judge_stream(&self, open: &Open, now: Timestamp) -> Outcome {
        if open.course().ended {
            return Outcome::Holds(NEVER);
        }
        let headers = HeaderMap::new();
        let Some((place, site)) = self
            .parts
            .config
            .place(&open.authority)
            .and_then(|place| Some((place, self.site(place)?)))
        else {
            return Outcome::Ends(Box::new(self.not_allowed(open)));
        };
        let here = Here {
            site,
            incoming: Incoming {
                place,
                method: &open.method,
                target: &open.target,
                headers: &headers,
                client: open.client,
                certificate: None,
                request_id: &open.request_id,
                body: &[],
                decision_only: false,
            },
            found: site.app.table.find(&open.method, &open.target),
        };
        let demand: Vec<&Requirement> = here.found.demand.iter().copied().collect();
        match &open.credential {
            Credential::Nobody => {
                let standing = Standing {
                    caller: Known::Absent,
                    asker: None,
                    ends: NEVER,
                };
                self.weigh(open, &here, &demand, &standing, now).await
            }
            Credential::Cookie => self.by_cookie(open, &here, &demand, now).await,
            Credential::Bearer(token) => {
                let Some(rules) = &site.app.bearer else {
                    return Outcome::Ends(Box::new(self.no_token(open)));
                };
                let verified = self.token_now(&here.incoming, rules, token, now);
                let verified = match verified.await {
                    Known::Found(verified) => verified,
                    Known::Absent => return Outcome::Ends(Box::new(self.no_token(open))),
                    Known::Unavailable => return Outcome::Unknown,
                };
                let required = rules.required.iter();
                let demand: Vec<&Requirement> = demand.into_iter().chain(required).collect();
                let standing = Standing {
                    caller: Known::Found(verified.caller()),
                    asker: Some(Asker::Bearer(Arc::clone(&verified))),
                    ends: verified.ends().min(now.plus(TOKEN_LOOK)),
                };
                self.weigh(open, &here, &demand, &standing, now).await
            }
        }
    }

    async fn by_cookie(
        &self,
        open: &Open,
        here: &Here<'_>,
        demand: &[&Requirement],
        now: Timestamp,
    ) -> Outcome {
        let key = open.course().key;
        let known = match key {
            Some(key) => self.session_at(key, here.site.origin, now).await,
            None => Known::Absent,
        };
        match &known {
            Known::Found(held) => {
                {
                    let mut course = open.course();
                    // Unless it was moved meanwhile.
                    if course.key == key {
                        course.key = Some(held.key);
                    }
                }
                let live = &held.live;
                // Used until then at the most, if nobody uses it otherwise: an open request alone is no use.
                let idle = self.parts.config.sessions.idle;
                let standing = Standing {
                    caller: Known::Found(Caller {
                        evidence: &live.session.evidence,
                        identity: &live.session.identity,
                    }),
                    asker: Some(Asker::Session(held.clone())),
                    ends: live.expires.min(live.last_seen().plus(idle).plus(SECOND)),
                };
                self.weigh(open, here, demand, &standing, now).await
            }
            Known::Absent => {
                let standing = Standing {
                    caller: Known::Absent,
                    asker: None,
                    ends: NEVER,
                };
                self.weigh(open, here, demand, &standing, now).await
            }
            Known::Unavailable => Outcome::Unknown,
        }
    }

    /// The policy's word on it.
    async fn weigh(
        &self,
        open: &Open,
        here: &Here<'_>,
        demand: &[&Requirement],
        standing: &Standing<'_>,
        now: Timestamp,
    ) -> Outcome {
        let route = here.found.route;
        let mut facts = Facts {
            caller: standing.caller,
            client: open.client,
            preflight: false,
            grant: Known::Absent,
            spared: None,
        };
        let mut decision = self.decide_on(demand, &facts, now);
        let already = self
            .is_open_already(open, here, &decision, standing, now)
            .await;
        if let Some(already) = &already {
            facts = already.among(facts);
            decision = self.decide_on(demand, &facts, now);
        }
        let holds = match &decision {
            Decision::Allow(_) => true,
            Decision::Approve(approve) => open.is_settled(approve),
            _ => false,
        };
        if holds {
            let ladder = &self.parts.config.ladder;
            let until = policy::holds_until(demand, &facts, ladder, now);
            let until = until.unwrap_or(NEVER).min(standing.ends);
            let mut course = open.course();
            course.good = now;
            course.lapsed = None;
            return match already {
                Some(_) => Outcome::HoldsSoFar {
                    until,
                    again: now.plus(GRANT_LOOK),
                },
                None => Outcome::Holds(until),
            };
        }
        match decision {
            Decision::StepUp(step_up) => {
                if route.on_lapse != OnLapse::Close
                    && self.only_time_passed(open, here, demand, standing, now)
                {
                    let mut course = open.course();
                    let until = patient_until(route.on_lapse, &mut course, now);
                    if now < until {
                        return Outcome::Holds(until.min(standing.ends));
                    }
                }
                let short = Some((step_up.have, step_up.shortfall));
                Outcome::Ends(Box::new(self.lacking(open, here, step_up.need, short, now)))
            }
            Decision::Login(need) => {
                Outcome::Ends(Box::new(self.lacking(open, here, need, None, now)))
            }
            // Somebody's yes is needed by now, or holds no more. Nobody says yes to what is open.
            Decision::Allow(_) | Decision::Deny(_) | Decision::Approve(_) => {
                Outcome::Ends(Box::new(self.not_allowed(open)))
            }
            Decision::Unavailable(_) => Outcome::Unknown,
        }
    }

    /// Of what needs a yes: by one that holds for a while, or because it is none of those that need it.
    async fn is_open_already(
        &self,
        open: &Open,
        here: &Here<'_>,
        decision: &Decision,
        standing: &Standing<'_>,
        now: Timestamp,
    ) -> Option<Already> {
        let (Decision::Approve(approve), Some(asker)) = (decision, &standing.asker) else {
            return None;
        };
        if open.is_settled(approve) || open.kind == StreamKind::WebSocket {
            return None;
        }
        let (incoming, site, found) = (&here.incoming, here.site, &here.found);
        self.already(incoming, site, found, asker, approve, now)
            .await
    }

    /// It was allowed once, and would have been then by what is demanded and known now. What comes on top of the route's
    /// own demand (a floor, a second reading) knows no patience.
    fn only_time_passed(
        &self,
        open: &Open,
        here: &Here<'_>,
        demand: &[&Requirement],
        standing: &Standing<'_>,
        now: Timestamp,
    ) -> bool {
        let good = open.course().good;
        let allows = |demand: &[&Requirement], at| {
            let decision = self.decide(demand, standing.caller, open.client, at);
            match decision {
                Decision::Allow(_) => true,
                Decision::Approve(approve) => open.is_settled(&approve),
                _ => false,
            }
        };
        let own = &here.found.route.requirement;
        let on_top: Vec<&Requirement> = demand
            .iter()
            .copied()
            .filter(|part| !std::ptr::eq(*part, own))
            .collect();
        allows(demand, good) && (on_top.is_empty() || allows(&on_top, now))
    }

    /// More is needed, or somebody at all.
    fn lacking(
        &self,
        open: &Open,
        here: &Here<'_>,
        need: Need,
        short: Option<(Have, Shortfall)>,
        now: Timestamp,
    ) -> Closing {
        let lack = match short {
            Some(_) => Lack::Level,
            None => Lack::Session,
        };
        let short = Short {
            site: here.site,
            route: here.found.route,
            need,
            have: short.map_or(Have::NOTHING, |(have, _)| have),
            shortfall: short.map(|(_, shortfall)| shortfall),
            held: None,
            now,
            leads_back: None,
            not_kept: None,
        };
        let reply = match self.parts.config.ladder.askable(need.rank) {
            Some(_) if open.kind == StreamKind::Grpc => short.as_grpc(record()),
            Some(level) => self.problem(&here.incoming, &short, level, record()),
            None => self.try_again(open),
        };
        Closing { lack, reply }
    }

    fn no_token(&self, open: &Open) -> Closing {
        let title = "The access token is not good any more.";
        Closing {
            lack: Lack::Session,
            reply: self.told(open, StatusCode::UNAUTHORIZED, "invalid-token", title),
        }
    }

    fn not_allowed(&self, open: &Open) -> Closing {
        let title = "You may not do this, however you sign in.";
        Closing {
            lack: Lack::Permission,
            reply: self.told(open, StatusCode::FORBIDDEN, "forbidden", title),
        }
    }

    fn try_again(&self, open: &Open) -> Reply {
        let title = "This cannot be decided now. Try again soon.";
        self.told(open, StatusCode::SERVICE_UNAVAILABLE, "unavailable", title)
    }

    fn told(&self, open: &Open, status: StatusCode, code: &str, title: &str) -> Reply {
        if open.kind == StreamKind::Grpc {
            return Reply::grpc(status, title, record());
        }
        let problem = Problem {
            status: status.as_u16(),
            title,
            code,
            request_id: &open.request_id,
            ..Problem::default()
        };
        Reply::json(status, &problem, record())
    }
}

fn record() -> Record {
    Record::of("allow")
}

fn patient_until(on_lapse: OnLapse, course: &mut Course, now: Timestamp) -> Timestamp {
    let since = *course.lapsed.get_or_insert(now);
    match on_lapse {
        OnLapse::Close => now,
        OnLapse::Grace(span) => since.plus(span),
        OnLapse::Keep => NEVER,
    }
}
