//! What becomes of an open request: it is decided on as if it came now, by the configuration of now.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{Closing, Course, Credential, Lack, Open, StreamKind};
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

const SECOND: Duration = Duration::from_secs(1);

/// Never, for what has no end of its own.
const NEVER: Timestamp = Timestamp::from_unix(i64::MAX);

enum Outcome {
    /// Until then at least.
    Holds(Timestamp),
    Ends(Box<Closing>),
    Unknown,
}

/// Whoever it is allowed to, and until when there is such a caller at all.
struct Standing<'c> {
    caller: Known<Caller<'c>>,
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
            Outcome::Holds(until) => {
                let mut course = open.course();
                course.unknown = None;
                course.until = Some(until);
                drop(course);
                let due = (until < NEVER).then_some(until);
                streams.keep(open, due);
            }
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
                    ends: NEVER,
                };
                self.weigh(open, &here, &demand, &standing, now)
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
                    ends: verified.ends().min(now.plus(TOKEN_LOOK)),
                };
                self.weigh(open, &here, &demand, &standing, now)
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
                let mut course = open.course();
                // Unless it was moved meanwhile.
                if course.key == key {
                    course.key = Some(held.key);
                }
                drop(course);
                let live = &held.live;
                // Used until then at the most, if nobody uses it otherwise: an open request alone is no use.
                let idle = self.parts.config.sessions.idle;
                let standing = Standing {
                    caller: Known::Found(Caller {
                        evidence: &live.session.evidence,
                        identity: &live.session.identity,
                    }),
                    ends: live.expires.min(live.last_seen().plus(idle).plus(SECOND)),
                };
                self.weigh(open, here, demand, &standing, now)
            }
            Known::Absent => {
                let standing = Standing {
                    caller: Known::Absent,
                    ends: NEVER,
                };
                self.weigh(open, here, demand, &standing, now)
            }
            Known::Unavailable => Outcome::Unknown,
        }
    }

    /// The policy's word on it.
    fn weigh(
        &self,
        open: &Open,
        here: &Here<'_>,
        demand: &[&Requirement],
        standing: &Standing<'_>,
        now: Timestamp,
    ) -> Outcome {
        let route = here.found.route;
        match self.decide(demand, standing.caller, open.client, now) {
            Decision::Allow(_) => {
                let facts = Facts {
                    caller: standing.caller,
                    client: open.client,
                    preflight: false,
                    grant: Known::Absent,
                    spared: None,
                };
                let ladder = &self.parts.config.ladder;
                let holds = policy::holds_until(demand, &facts, ladder, now);
                let mut course = open.course();
                course.good = now;
                course.lapsed = None;
                Outcome::Holds(holds.unwrap_or(NEVER).min(standing.ends))
            }
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
            // A yes was for one request as it was then; nobody says yes to one that is open.
            Decision::Deny(_) | Decision::Approve(_) => {
                Outcome::Ends(Box::new(self.not_allowed(open)))
            }
            Decision::Unavailable(_) => Outcome::Unknown,
        }
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
            matches!(decision, Decision::Allow(_))
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
