//! A request that needs somebody's yes: its body is read, what it would do is written down, and a yes is asked for or used.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};

use super::already::route_name;
use super::asker::Asker;
use super::binding;
use super::why::REASON;
use crate::config::{ApprovalRule, Grant};
use crate::gate::judge::{Claimed, Way};
use crate::gate::negotiate::{Kind, kind_for};
use crate::gate::pages::Page;
use crate::gate::park::{Intake, Sending, is_id};
use crate::gate::{Gate, Incoming, Record, Reply, Site, Verdict};
use crate::model::approval::{Action, ApprovalId, Holder};
use crate::model::parked::{ParkedBy, ParkedRequest, kept};
use crate::model::route::{Challenge, Match, Route};
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::approval::LONGEST;
use crate::policy::approval::when::{Spared, When};
use crate::policy::decision::Approve;
use crate::policy::facts::Known;
use crate::store::Unavailable;

/// By which a program's request refers to the approval that it has.
pub const APPROVAL: HeaderName = HeaderName::from_static("stepgate-approval");

/// Of a program's body, which Pingora sends on from a buffer of this size.
const PROGRAM: u64 = 64 << 10;

/// A request that needs a yes once its body is there.
#[derive(Debug)]
pub struct Wanting {
    pub intake: Intake,
    pub(super) asker: Asker,
    pub(super) approve: Approve,
    pub(super) record: Record,
    /// Why the requester needs it, where it is known by now.
    pub(super) reason: Option<String>,
    /// Under which id it is kept aside already.
    pub(super) aside: Option<String>,
}

/// By whom, and for what, a yes is used up.
#[derive(Clone, Debug)]
pub struct Redeeming {
    pub(super) holder: Holder,
    pub(super) action: Action,
}

/// What people are asked, and what their yes is bound to.
pub(super) struct Bound<'c> {
    pub(super) rule: &'c ApprovalRule,
    pub(super) action: Action,
    pub(super) summary: String,
}

impl Gate {
    /// Everything is there but a yes.
    pub(in crate::gate) async fn want(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        found: &Match<'_>,
        asker: Asker,
        approve: Approve,
        record: Record,
    ) -> Verdict {
        let challenge = found.route.challenge;
        if site.app.forward_auth.is_some() {
            let text = "Somebody has to agree to this, and behind another proxy nobody can be shown what it is.";
            let code = "approval-not-seen";
            let status = StatusCode::FORBIDDEN;
            return Verdict::Reply(self.say(incoming, challenge, status, code, text, record));
        }
        if incoming.headers.contains_key(header::UPGRADE) {
            let text = "Somebody has to agree to this, and nobody can agree to a connection that stays open.";
            let code = "approval-of-a-stream";
            let status = StatusCode::FORBIDDEN;
            return Verdict::Reply(self.say(incoming, challenge, status, code, text, record));
        }
        let position = site.app.table.position(found.route);
        let most = position.and_then(|position| site.app.park_bytes.get(position));
        let most = most.copied().unwrap_or_default();
        let rule = self.parts.config.approval(&approve.approval);
        let is_window = rule.is_some_and(|rule| rule.grant != Grant::Once);
        let waits_on_page = is_page(incoming, found.route) && asker.session().is_some();
        if is_window && !waits_on_page && !incoming.headers.contains_key(APPROVAL) {
            return self
                .want_at_once(incoming, site, found.route, &asker, &approve, record)
                .await;
        }
        let when = rule.and_then(|rule| rule.when.as_ref());
        let may_go_at_once = when.is_some_and(When::reads_body);
        let most = match is_page(incoming, found.route) && !may_go_at_once {
            true => most,
            false => most.min(PROGRAM),
        };
        Verdict::Approve(Box::new(Wanting {
            intake: self.intake(most),
            asker,
            approve,
            record,
            reason: None,
            aside: None,
        }))
    }

    /// By a program, for a while: what it sends now is not kept, and nothing of its body is part of what is asked for.
    async fn want_at_once(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        route: &Route,
        asker: &Asker,
        approve: &Approve,
        record: Record,
    ) -> Verdict {
        let now = self.parts.clock.now();
        let request = self.waiting_request(incoming, site, asker, Bytes::new(), now);
        let bound = match self.bind(site, approve, asker, &request, incoming.target) {
            Ok(bound) => bound,
            Err(why) => return Verdict::Reply(self.unreadable(incoming, route, &why, record)),
        };
        let wish = Wish {
            asker,
            bound,
            request,
            reason: None,
            aside: None,
            record,
        };
        Verdict::Reply(self.ask(incoming, site, wish, now).await)
    }

    fn waiting_request(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        body: Bytes,
        now: Timestamp,
    ) -> ParkedRequest {
        let mut headers = kept(incoming.headers);
        headers.remove(APPROVAL);
        headers.remove(REASON);
        ParkedRequest {
            method: incoming.method.clone(),
            target: incoming.target.path_and_query().to_owned(),
            headers,
            body,
            origin: site.origin.text.clone(),
            owner: self.owned_by(asker),
            at: now,
            // Until it is known when the approval ends.
            expires: now.plus(LONGEST),
        }
    }

    /// The body is there: a yes is asked for, or the one that the request says it has is used.
    pub async fn ask_or_use(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        wanting: Wanting,
    ) -> Verdict {
        let now = self.parts.clock.now();
        let Some(site) = self.site(incoming.place) else {
            let reply = self.unavailable(incoming, None, wanting.record, "no-such-host");
            return Verdict::Reply(reply);
        };
        let route = site.app.table.find(incoming.method, incoming.target).route;
        let Wanting {
            intake,
            asker,
            approve,
            record,
            reason,
            aside,
        } = wanting;
        let (body, in_hand) = intake.into_parts();
        let request = self.waiting_request(incoming, site, &asker, body, now);
        let spared = self.spared(incoming, site, &approve, &asker, &request, now);
        match spared {
            Ok(None) => {}
            Ok(Some(spared)) => {
                let way = Way {
                    spared: Some(&spared),
                    proven: asker.bearer(),
                    ..Way::default()
                };
                let mut verdict = self.judge_route(incoming, site, way).await;
                if let Verdict::Forward(forward) = &mut verdict {
                    // Its body was read, and is looked for here.
                    forward.sending = Some(Box::new(Sending {
                        request,
                        target: incoming.target.clone(),
                        kept: None,
                        _in_hand: in_hand,
                    }));
                }
                return verdict;
            }
            Err(why) => return Verdict::Reply(self.unreadable(incoming, route, &why, record)),
        }
        let bound = self.bind(site, &approve, &asker, &request, incoming.target);
        let bound = match bound {
            Ok(bound) => bound,
            Err(why) => return Verdict::Reply(self.unreadable(incoming, route, &why, record)),
        };
        let id = match reference(incoming) {
            Ok(None) => {
                let wish = Wish {
                    asker: &asker,
                    bound,
                    request,
                    reason,
                    aside,
                    record,
                };
                return Verdict::Reply(self.ask(incoming, site, wish, now).await);
            }
            Ok(Some(id)) => id,
            Err(()) => {
                let text = "The Stepgate-Approval field is not one approval's id.";
                let (code, status) = ("approval-reference", StatusCode::BAD_REQUEST);
                let reply = self.say(incoming, route.challenge, status, code, text, record);
                return Verdict::Reply(reply);
            }
        };
        let found = self.approvals.find(&id, now).await;
        // Whoever it is not for learns nothing of it.
        let found = found.map(|found| found.filter(|found| asker.asked_for(found)));
        let claimed = Claimed {
            approval: match &found {
                Ok(Some(found)) => Known::Found(found),
                Ok(None) => {
                    return Verdict::Reply(self.no_such(incoming, route, record));
                }
                Err(Unavailable) => Known::Unavailable,
            },
            action: &bound.action,
        };
        let way = Way {
            claimed: Some(claimed),
            proven: asker.bearer(),
            ..Way::default()
        };
        match self.judge_route(incoming, site, way).await {
            Verdict::Forward(mut forward) => {
                forward.redeeming = Some(Box::new(Redeeming {
                    holder: asker.holder(),
                    action: bound.action,
                }));
                forward.sending = Some(Box::new(Sending {
                    request,
                    target: incoming.target.clone(),
                    kept: None,
                    _in_hand: in_hand,
                }));
                Verdict::Forward(forward)
            }
            Verdict::Approve(wanting) => {
                let refused = wanting.approve.refused;
                let approval = found.ok().flatten();
                let record = wanting.record;
                Verdict::Reply(self.not_given(
                    incoming,
                    site,
                    route,
                    approval.as_ref(),
                    refused,
                    record,
                ))
            }
            // What is kept until its user is back would have to be asked for anew.
            Verdict::Park(_) => {
                let text = "This needs a stronger or more recent sign-in first.";
                let (code, status) = ("step-up", StatusCode::UNAUTHORIZED);
                let reply = self.say(incoming, Challenge::Api, status, code, text, record);
                Verdict::Reply(reply)
            }
            Verdict::Reply(reply) => Verdict::Reply(reply),
        }
    }

    /// What was kept for a sign-in needs a yes as well. `key`: where it is kept.
    pub(in crate::gate) async fn ask_with_kept(
        self: &Arc<Self>,
        there: &Incoming<'_>,
        site: Site<'_>,
        wanting: Wanting,
        mut request: ParkedRequest,
        key: crate::store::ParkedKey,
    ) -> Reply {
        let now = self.parts.clock.now();
        let route = site.app.table.find(there.method, there.target).route;
        let Wanting {
            asker,
            approve,
            record,
            reason,
            aside,
            ..
        } = wanting;
        request.owner = self.owned_by(&asker);
        let bound = match self.bind(site, &approve, &asker, &request, there.target) {
            Ok(bound) => bound,
            Err(why) => return self.unreadable(there, route, &why, record),
        };
        let wish = Wish {
            asker: &asker,
            bound,
            request,
            reason,
            aside,
            record,
        };
        let reply = self.ask(there, site, wish, now).await;
        if reply.status.is_success() || reply.status.is_redirection() {
            // It waits in another place by now; where this one stays, its yes is asked for anew.
            let _gone = self.parts.store.unpark(&key, now).await;
        }
        reply
    }

    /// Whether the request is of those that need no yes.
    fn spared(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        approve: &Approve,
        asker: &Asker,
        request: &ParkedRequest,
        now: Timestamp,
    ) -> Result<Option<Spared>, Unbound> {
        let rule = self.parts.config.approval(&approve.approval);
        let rule = rule.ok_or(Unbound::NoRule)?;
        // What needs no body was told before it came.
        let Some(when) = rule.when.as_ref().filter(|when| when.reads_body()) else {
            return Ok(None);
        };
        let found = site.app.table.find(incoming.method, incoming.target);
        let reading = binding::Reading {
            request,
            target: incoming.target,
            pattern: &site.app.table.asking(&found, &rule.name).pattern,
            requester: asker.identity(),
            upstream: self.parts.config.upstreams.get(found.route.upstream),
        };
        let spared = binding::spared(&rule.name, when, incoming.client, &reading, now);
        spared.map_err(Unbound::Unreadable)
    }

    /// Under the policy of now.
    pub(super) fn bind<'c>(
        &'c self,
        site: Site<'c>,
        approve: &Approve,
        asker: &Asker,
        request: &ParkedRequest,
        target: &Target,
    ) -> Result<Bound<'c>, Unbound> {
        let config = &self.parts.config;
        let rule = config.approval(&approve.approval);
        let rule = rule.ok_or(Unbound::NoRule)?;
        let found = site.app.table.find(&request.method, target);
        let policy = self.policy_of(site, &found, asker, rule);
        let policy = policy.ok_or(Unbound::NoRule)?;
        let route = route_name(site, &found);
        let asking = site.app.table.asking(&found, &rule.name);
        let reading = binding::Reading {
            request,
            target,
            pattern: &asking.pattern,
            requester: asker.identity(),
            upstream: config.upstreams.get(found.route.upstream),
        };
        let summary = binding::summary(&rule.summary, &reading).map_err(Unbound::Unreadable)?;
        let Grant::Window { per } = &rule.grant else {
            let action = binding::action(request, &route, policy, &rule.bind_headers);
            return Ok(Bound {
                rule,
                action: action.map_err(Unbound::Repeated)?,
                summary,
            });
        };
        let scope = binding::Scope {
            origin: &request.origin,
            route: &route,
            policy,
            asking,
            per: per.as_deref(),
            method: &request.method,
            headers: &request.headers,
        };
        let action = reading.read(|asked| binding::window(&scope, asked));
        Ok(Bound {
            rule,
            action: action.map_err(Unbound::Unreadable)?,
            summary,
        })
    }

    /// By its session alone: whoever has another one, of the same user even, sends nothing of it.
    fn owned_by(&self, asker: &Asker) -> ParkedBy {
        let keycloak = &self.parts.config.keycloak;
        let identity = asker.identity();
        ParkedBy {
            iss: identity.iss.clone(),
            client: keycloak.client_id.clone(),
            sub: identity.sub.clone(),
            sid: identity.sid.clone(),
            lineage: asker
                .session()
                .map(|held| held.live.session.lineage.clone()),
            browser: String::new(),
        }
    }

    pub(super) fn unreadable(
        &self,
        incoming: &Incoming<'_>,
        route: &Route,
        why: &Unbound,
        mut record: Record,
    ) -> Reply {
        if matches!(why, Unbound::NoRule) {
            return self.unavailable(incoming, None, record, "no-such-approval");
        }
        record.decision = "refuse";
        let text = format!("Nobody can be asked to agree to this: {why}.");
        let status = StatusCode::BAD_REQUEST;
        self.say(incoming, route.challenge, status, why.code(), &text, record)
    }

    /// A page or a problem.
    pub(super) fn say(
        &self,
        incoming: &Incoming<'_>,
        challenge: Challenge,
        status: StatusCode,
        code: &'static str,
        text: &str,
        record: Record,
    ) -> Reply {
        let page = Page::Refused {
            status: status.as_u16(),
            code,
            text,
            back: Some("/"),
        };
        let kind = kind_for(incoming.headers, challenge);
        self.page_or_problem(kind, status, &page, code, text, incoming, record)
            .reason(code)
    }

    /// No memory for another body.
    pub fn no_room(&self, incoming: &Incoming<'_>, wanting: Wanting) -> Reply {
        self.unavailable(incoming, None, wanting.record, "no-room-to-park")
    }
}

/// What is asked for, for whom.
pub(super) struct Wish<'w> {
    pub(super) asker: &'w Asker,
    pub(super) bound: Bound<'w>,
    pub(super) request: ParkedRequest,
    /// Said on a page; a program says it in a header.
    pub(super) reason: Option<String>,
    /// As in [`Wanting`].
    pub(super) aside: Option<String>,
    pub(super) record: Record,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbound {
    #[error("there is no such approval")]
    NoRule,
    #[error("{0}")]
    Repeated(binding::RepeatedField),
    #[error("{0}")]
    Unreadable(crate::policy::approval::summary::Unreadable),
}

impl Unbound {
    fn code(&self) -> &'static str {
        match self {
            Self::NoRule => "no-such-approval",
            Self::Repeated(_) => "repeated",
            Self::Unreadable(unreadable) => unreadable.why.code(),
        }
    }
}

/// Whether a person waits for it in a tab.
pub(super) fn is_page(incoming: &Incoming<'_>, route: &Route) -> bool {
    kind_for(incoming.headers, route.challenge) == Kind::Page
}

/// The approval that the request says it has.
fn reference(incoming: &Incoming<'_>) -> Result<Option<ApprovalId>, ()> {
    let mut fields = incoming.headers.get_all(APPROVAL).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(None),
        (Some(field), None) => match field.to_str() {
            Ok(id) if !id.is_empty() && id.len() <= 64 && is_id(id) => {
                Ok(Some(ApprovalId(id.to_owned())))
            }
            _ => Err(()),
        },
        (Some(_), Some(_)) => Err(()),
    }
}
