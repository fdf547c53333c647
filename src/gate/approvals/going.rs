//! What was approved goes on from the page that waits for it: by a navigation to the address that the request itself was
//! for, marked by a last parameter of the query, as a form that was kept for a sign-in does by a click.
//!
//! A navigation by itself is a GET, whatever the request is: what is sent, and that it is sent, was somebody's yes, and the
//! address is of no use to anybody but the session that asked, once.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::asker::Asker;
use super::waiting::href;
use super::want::Redeeming;
use crate::gate::judge::{Claimed, Way};
use crate::gate::logout::is_same_origin;
use crate::gate::negotiate::{Kind, kind};
use crate::gate::pages::Page;
use crate::gate::park::{Sending, is_id};
use crate::gate::{Gate, Incoming, Record, Reply, Site, Verdict};
use crate::model::approval::{ApprovalId, Status};
use crate::model::target::Target;
use crate::policy::approval;
use crate::policy::decision::Approve;
use crate::policy::facts::Known;
use crate::store::Unavailable;

/// Underscores: no app's form has such a field.
const MARK: &str = "__stepgate_approved";

impl Gate {
    pub(in crate::gate) async fn send_approved(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        id: &str,
    ) -> Verdict {
        let now = self.parts.clock.now();
        let id = ApprovalId(id.to_owned());
        let here = href(&id);
        let own = || Record::of("own");
        let asker = match self.asker(incoming, site, now).await {
            Ok(Some(asker)) => asker,
            Ok(None) => return Verdict::Reply(self.unknown_endpoint(incoming)),
            Err(reply) => return Verdict::Reply(*reply),
        };
        let found = match self.approvals.find(&id, now).await {
            Ok(Some(found)) if asker.asked_for(&found) => found,
            Ok(_) => return Verdict::Reply(self.unknown_endpoint(incoming)),
            Err(Unavailable) => return Verdict::Reply(self.unknown_state(incoming)),
        };
        if let Status::Consumed { .. } = approval::standing(&found, now) {
            // The page that its answer is, loaded again.
            let to = match *incoming.method {
                Method::POST => here,
                _ => unmarked(incoming.target),
            };
            return Verdict::Reply(Reply::redirect(&site.url(&to), own()));
        }
        // What holds for a while is not consumed: the page that its answer is, loaded again.
        if found.terms.for_a_while && approval::standing(&found, now) == found.status {
            match self.kept_for(site, &id.0, now).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let to = match *incoming.method {
                        Method::POST => here,
                        _ => unmarked(incoming.target),
                    };
                    return Verdict::Reply(Reply::redirect(&site.url(&to), own()));
                }
                Err(Unavailable) => return Verdict::Reply(self.unknown_state(incoming)),
            }
        }
        // By hand from there, where the browser does not say which page leads here.
        if kind(incoming.headers) != Kind::Page
            || asker.session().is_none()
            || !is_same_origin(incoming.headers, &site.origin.text)
        {
            return Verdict::Reply(Reply::redirect(&site.url(&format!("{here}?stay=1")), own()));
        }
        if !matches!(approval::standing(&found, now), Status::Approved { .. }) {
            return Verdict::Reply(Reply::redirect(&site.url(&here), own()));
        }
        let (request, target) = match self.kept_for(site, &id.0, now).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Verdict::Reply(self.nothing_kept(incoming)),
            Err(Unavailable) => return Verdict::Reply(self.unknown_state(incoming)),
        };
        // Whatever comes without a body of its own.
        if incoming.body.is_empty() && !self.goes_alone(site, &request, &target) {
            return Verdict::Reply(Reply::redirect(&site.url(&format!("{here}?stay=1")), own()));
        }
        let there = Incoming {
            method: &request.method,
            target: &target,
            body: &[],
            ..*incoming
        };
        let rule = Approve {
            approval: found.name.clone(),
            need: crate::policy::decision::Need {
                rank: crate::model::level::Rank::ANONYMOUS,
                max_age: None,
            },
            have: crate::policy::decision::Have::NOTHING,
            refused: None,
        };
        // By the policy of now: where it is another one, this is another action.
        let action = match self.bind(site, &rule, &asker, &request, &target) {
            Ok(bound) => bound.action,
            Err(why) => {
                let route = site.app.table.find(&request.method, &target).route;
                return Verdict::Reply(self.unreadable(&there, route, &why, own()));
            }
        };
        let claimed = Claimed {
            approval: Known::Found(&found),
            action: &action,
        };
        let way = Way {
            leads_back: Some(&here),
            claimed: Some(claimed),
            ..Way::default()
        };
        let mut forward = match self.judge_route(&there, site, way).await {
            Verdict::Forward(forward)
                if forward.permit.uses().or(forward.permit.is_within()) == Some(&id) =>
            {
                forward
            }
            // It needs no yes any more.
            Verdict::Forward(_) | Verdict::Park(_) => {
                return Verdict::Reply(self.not_as_approved(incoming));
            }
            Verdict::Approve(_) => return Verdict::Reply(self.not_as_approved(incoming)),
            Verdict::Reply(reply) => return Verdict::Reply(reply),
        };
        let taken = match self.take_kept_for(site, &id.0, now).await {
            Ok(Some(taken)) => taken,
            // Another tab was faster.
            Ok(None) => return Verdict::Reply(Reply::redirect(&site.url(&here), own())),
            Err(Unavailable) => return Verdict::Reply(self.unknown_state(incoming)),
        };
        let (request, target) = taken;
        let mut in_hand = self.in_hand.nothing();
        // It was in the budget until now, so it may be beyond it for a moment.
        in_hand.grow(request.body.len() as u64, 0, u64::MAX);
        forward.redeeming = Some(Box::new(Redeeming {
            holder: Asker::holder(&asker),
            action,
        }));
        let key = super::ask::kept_key(&site.origin.text, &id.0);
        forward.sending = Some(Box::new(Sending {
            request,
            target,
            kept: Some((key, here)),
            _in_hand: in_hand,
        }));
        Verdict::Forward(forward)
    }

    /// The policy has changed since.
    fn not_as_approved(&self, incoming: &Incoming<'_>) -> Reply {
        let text = "What is required here has changed since somebody agreed to it. Nothing was sent; ask again.";
        let page = Page::Refused {
            status: 409,
            code: "approval-of-another-request",
            text,
            back: Some("/"),
        };
        let record = Record::of("own");
        self.page(StatusCode::CONFLICT, &page, incoming, record)
            .reason("approval-of-another-request")
    }

    pub(super) fn nothing_kept(&self, incoming: &Incoming<'_>) -> Reply {
        let page = Page::NothingKept {
            sent: false,
            lasts: self.parts.config.park.lasts,
            back: "/",
        };
        let record = Record::of("own");
        self.page(StatusCode::GONE, &page, incoming, record)
            .reason("not-parked")
    }
}

/// The id in the mark of such a navigation.
pub(in crate::gate) fn marked(method: &Method, target: &Target) -> Option<String> {
    if !matches!(*method, Method::POST | Method::GET | Method::HEAD) {
        return None;
    }
    let last = target.query()?.rsplit('&').next()?;
    let id = last.strip_prefix(MARK)?.strip_prefix('=')?;
    (!id.is_empty() && is_id(id)).then(|| id.to_owned())
}

pub(super) fn marked_target(target: &str, id: &str) -> String {
    // Behind an upstream that takes two slashes, the link would lead to another host.
    let target = match target.starts_with("//") {
        true => "/",
        false => target,
    };
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{MARK}={id}")
}

fn unmarked(target: &Target) -> String {
    let text = target.path_and_query();
    let cut = text.rfind(MARK).unwrap_or(text.len());
    let text = text.get(..cut).unwrap_or_default();
    text.trim_end_matches(['?', '&']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::target::Relaxations;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for (target, expected) in [("/pay", "/pay"), ("/pay?x=1", "/pay?x=1"), ("//pay", "/")] {
            let marked_target = marked_target(target, "a-Z_9");
            let target = Target::parse(marked_target.as_bytes(), Relaxations::NONE).unwrap();
            for method in [Method::GET, Method::POST] {
                assert_eq!(marked(&method, &target).as_deref(), Some("a-Z_9"));
            }
            assert_eq!(marked(&Method::PUT, &target), None);
            assert_eq!(unmarked(&target), expected);
        }
        for other in [
            "/pay?__stepgate_approved=",
            "/pay?__stepgate_approved=a&x=1",
        ] {
            let target = Target::parse(other.as_bytes(), Relaxations::NONE).unwrap();
            assert_eq!(marked(&Method::GET, &target), None, "{other}");
        }
    }
}
