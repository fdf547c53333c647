//! The page that waits: what was asked, who can say yes, how much time is left and what then; and what became of it.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use super::wish::{NOBODY, REMIND_EVERY, TOLD};
use super::{denied, href, name, yes};
use crate::config::Protocol;
use crate::gate::approvals::Asker;
use crate::gate::approvals::going::marked_target;
use crate::gate::ciba::code_of;
use crate::gate::endpoints::param;
use crate::gate::pages::{Also, Glass, Page, Remind};
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::approval::{Answer, Approval, Mode, Status};
use crate::model::parked::ParkedRequest;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::policy::approval::who::Approvers;
use crate::store::{Mark, Unavailable};

/// A parameter of the page: it is to be passed in everybody's place.
const GLASS: &str = "glass";

impl Gate {
    pub(super) async fn waiting_page(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Reply {
        let standing = approval::standing(approval, now);
        let Ok(kept) = self.kept_for(site, &approval.id.0, now).await else {
            return self.unknown_state(incoming);
        };
        let is_approved = matches!(standing, Status::Approved { .. });
        let go = kept
            .as_ref()
            .filter(|_| is_approved)
            .map(|(request, _)| marked_target(&request.target, &approval.id.0));
        let Ok(remind) = self.remind(incoming, approval, now).await else {
            return self.unknown_state(incoming);
        };
        let second = self.second(approval);
        let language = self.language(incoming);
        let around = Around {
            summary: language.asking(&approval.summary, &approval.terms),
            here: href(&approval.id),
            // Where Keycloak asks, nobody decides by it.
            link: self
                .link_to(approval)
                .filter(|_| approval.terms.ciba.is_none()),
            by_self: self.by_self(approval),
            device: self.device(approval),
            groups: self.groups(approval),
            people: self.people(approval),
            second,
            remind,
            go,
        };
        let mut page = page_of(approval, &standing, &around, now);
        if let Page::Waiting { break_glass, .. } = &mut page
            && self.may_break_glass(asker, approval)
        {
            *break_glass = match param(incoming, GLASS) {
                Some(_) => Glass::Form,
                None => Glass::Link,
            };
        }
        // Where something is typed, nothing is loaded again.
        let looks_again = standing == Status::Pending
            && !matches!(
                page,
                Page::Waiting {
                    break_glass: Glass::Form,
                    ..
                }
            );
        let record = Record {
            subject: Some(asker.subject()),
            ..Record::of("own")
        };
        let mut reply = self
            .page(StatusCode::OK, &page, incoming, record)
            .reason(name(&standing));
        if looks_again {
            reply.ask_again();
        }
        // Once: whoever was led back here from there goes on by a click.
        if is_approved && param(incoming, "stay").is_none() {
            let goes_alone = kept
                .as_ref()
                .is_some_and(|(request, target)| self.goes_alone(site, request, target));
            if let Some(go) = around.go.filter(|_| goes_alone) {
                reply.go_on_to(&go);
            }
        }
        reply
    }

    /// A navigation by itself is a GET without a body, and Pingora sends another one in its place over HTTP/1.1 alone: over
    /// HTTP/2 it has told the upstream that there is none.
    pub(in crate::gate::approvals) fn goes_alone(
        &self,
        site: Site<'_>,
        request: &ParkedRequest,
        target: &Target,
    ) -> bool {
        let route = site.app.table.find(&request.method, target).route;
        let upstream = self.parts.config.upstreams.get(route.upstream);
        let speaks_http1 = upstream.is_some_and(|upstream| upstream.protocol == Protocol::Http1);
        request.body.is_empty() || speaks_http1
    }

    /// Whether people can be told once more; nothing where no channel tells anybody.
    async fn remind(
        &self,
        incoming: &Incoming<'_>,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<Option<Remind>, Unavailable> {
        if !self.tells_of(approval) {
            return Ok(None);
        }
        let last = Mark::reminded(&approval.id.0);
        let last = self.parts.store.marked(&last, now).await?;
        let next = last.unwrap_or(approval.created).plus(REMIND_EVERY);
        Ok(Some(Remind {
            ago: last.map(|at| now.since(at)),
            left: (next > now).then(|| next.since(now)),
            limited: last.is_some() && param(incoming, TOLD).as_deref() == Some(NOBODY),
        }))
    }

    /// Whether whoever asks can say yes.
    fn by_self(&self, approval: &Approval) -> bool {
        let rule = self.parts.config.approval(&approval.name);
        approval.terms.by_self && rule.is_some_and(|rule| rule.approvers.by_self)
    }

    /// What the device shows on which Keycloak has whoever asks confirm it.
    fn device(&self, approval: &Approval) -> Option<String> {
        let decides = approval.terms.ciba.is_some();
        decides.then(|| code_of(&approval.id))
    }

    /// Anybody in these can say yes.
    fn groups(&self, approval: &Approval) -> Vec<String> {
        let rule = self.parts.config.approval(&approval.name);
        rule.map_or_else(Vec::new, |rule| rule.approvers.groups_any.clone())
    }

    fn second(&self, approval: &Approval) -> Option<(Timestamp, Approvers)> {
        let rule = self.parts.config.approval(&approval.name);
        let second = rule?.approvers.second.as_deref()?;
        Some((approval.escalated?, second.clone()))
    }

    fn people(&self, approval: &Approval) -> Vec<String> {
        let rule = self.parts.config.approval(&approval.name);
        let listed = rule.into_iter().flat_map(|rule| {
            let approvers = &rule.approvers;
            approvers.people.iter().chain(&approvers.webhook)
        });
        approval.named.iter().chain(listed).cloned().collect()
    }
}

/// What the page says beside what is kept of the approval itself.
struct Around<'p> {
    summary: Cow<'p, str>,
    here: String,
    link: Option<String>,
    /// On another device of theirs.
    by_self: bool,
    device: Option<String>,
    groups: Vec<String>,
    people: Vec<String>,
    /// Who can say yes as well by now.
    second: Option<(Timestamp, Approvers)>,
    remind: Option<Remind>,
    go: Option<String>,
}

fn page_of<'p>(
    approval: &'p Approval,
    standing: &Status,
    around: &'p Around<'_>,
    now: Timestamp,
) -> Page<'p> {
    let is_pending = *standing == Status::Pending;
    let until = match standing {
        Status::Approved { redeem_until, .. } => *redeem_until,
        _ => approval.expires,
    };
    let number = approval.number.as_ref().filter(|_| is_pending);
    let mut noes = approval.votes.iter();
    let noes = noes.find(|vote| vote.answer != Answer::Yes);
    let second = around.second.as_ref();
    Page::Waiting {
        state: name(standing),
        summary: &around.summary,
        number: number.map(|number| number.reveal()),
        is_picked: approval.terms.mode == Mode::NumberMatching,
        by_self: around.by_self,
        device: around.device.as_deref(),
        groups: &around.groups,
        people: &around.people,
        also: second.map(|(since, second)| {
            Box::new(Also {
                groups: &second.groups_any,
                people: &second.people,
                at: since.as_unix(),
                since: now.since(*since).as_secs(),
            })
        }),
        given: yes(approval),
        need: approval.terms.need,
        window: approval.terms.window().map(|window| window.as_secs()),
        left: until.since(now),
        why: denied(standing).unwrap_or_default(),
        by: noes.map(|vote| vote.name.as_str()),
        reason: noes.and_then(|vote| vote.reason.as_deref()),
        app_status: match standing {
            Status::Consumed { upstream, .. } => *upstream,
            _ => None,
        },
        here: &around.here,
        link: around.link.as_deref(),
        remind: around.remind,
        go: around.go.as_deref(),
        break_glass: Glass::No,
    }
}
