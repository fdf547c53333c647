//! A browser that is to be told while no page of the approver app is open (`PushManager` of the Push API): its user
//! subscribes it, takes that back, or tries it. On the approver app's host, by its script alone: without one there is no
//! service worker either.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::browsers::Subscribed;
use super::judge::facts_of;
use super::logout::is_same_origin;
use super::sessions::Held;
use super::{Gate, Incoming, Record, Reply, Site};
use crate::config::{ChannelKind, WebPush};
use crate::model::time::Timestamp;
use crate::notify::push::{Subscription, public_key};
use crate::notify::{Event, Notice, Recipients};
use crate::policy::decision::Decision;
use crate::policy::facts::Known;
use crate::store::Unavailable;

const JSON: &str = "application/json";

/// Somebody waits for it on a page.
const TEST_LASTS: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Push {
    /// What a subscription is made with.
    Key,
    Subscribe,
    Unsubscribe,
    Test,
}

impl Push {
    /// `path`: on the approver app's host.
    pub(in crate::gate) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/push/key" => Self::Key,
            "/push/subscribe" => Self::Subscribe,
            "/push/unsubscribe" => Self::Unsubscribe,
            "/push/test" => Self::Test,
            _ => return None,
        })
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::Key => &[Method::GET, Method::HEAD],
            Self::Subscribe | Self::Unsubscribe | Self::Test => &[Method::POST],
        }
    }
}

/// As `PushSubscription.toJSON()` has it; what else it says is of no use here.
#[derive(Debug, Deserialize)]
struct Given {
    endpoint: String,
    #[serde(default)]
    keys: Keys,
}

#[derive(Debug, Default, Deserialize)]
struct Keys {
    #[serde(default)]
    p256dh: String,
    #[serde(default)]
    auth: String,
}

/// Somebody who is signed in as the app demands.
struct Visit<'v> {
    held: &'v Held,
    site: Site<'v>,
    record: Record,
    now: Timestamp,
}

impl Gate {
    pub(in crate::gate) async fn push(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        what: Push,
    ) -> Reply {
        if !what.methods().contains(incoming.method) {
            return self.wrong_method(what.methods(), incoming);
        }
        let is_post = *incoming.method == Method::POST;
        if is_post && !is_same_origin(incoming.headers, &site.origin.text) {
            return problem(StatusCode::FORBIDDEN, "cross-site", Record::of("own"));
        }
        let now = self.parts.clock.now();
        let caller = self.caller(incoming, site, now).await;
        let found = site.app.table.find(incoming.method, incoming.target);
        let decision = self.decide(&found.demand, facts_of(&caller), incoming.client, now);
        let mut record = Record::of(decision.name());
        match (decision, &caller) {
            (Decision::Allow(_), Known::Found(held)) => {
                record.decision = "own";
                record.subject = Some(held.live.subject);
                record.credential = Some("cookie");
                let visit = Visit {
                    held,
                    site,
                    record,
                    now,
                };
                let done = self.push_visit(incoming, &visit, what).await;
                done.unwrap_or_else(|Unavailable| {
                    let record = Record {
                        decision: "unavailable",
                        ..visit.record
                    };
                    self.unavailable(incoming, None, record, "store-unavailable")
                })
            }
            (Decision::Unavailable(_), _) | (_, Known::Unavailable) => {
                self.unavailable(incoming, None, record, "store-unavailable")
            }
            // The page that the script is of leads to a sign-in.
            (Decision::Login(_) | Decision::StepUp(_), _) => {
                problem(StatusCode::UNAUTHORIZED, "login", record)
            }
            (Decision::Allow(_) | Decision::Approve(_) | Decision::Deny(_), _) => {
                problem(StatusCode::FORBIDDEN, "forbidden", record)
            }
        }
    }

    async fn push_visit(
        &self,
        incoming: &Incoming<'_>,
        visit: &Visit<'_>,
        what: Push,
    ) -> Result<Reply, Unavailable> {
        let refused = |status, code| problem(status, code, visit.record.clone());
        let fine = |body: &Value| answer(StatusCode::OK, body, visit.record.clone());
        // A browser knows one key at a time: the first such channel's.
        let Some((at, rules)) = self.web_push() else {
            return Ok(refused(StatusCode::NOT_FOUND, "no-web-push"));
        };
        if what == Push::Key {
            return Ok(fine(&json!({ "key": public_key(&rules.key) })));
        }
        let kind = incoming.headers.get(header::CONTENT_TYPE);
        let is_json = kind.is_some_and(|kind| kind.as_bytes() == JSON.as_bytes());
        let given = serde_json::from_slice::<Given>(incoming.body).ok();
        let Some(given) = given.filter(|_| is_json) else {
            return Ok(refused(StatusCode::BAD_REQUEST, "push-form"));
        };
        let whose = &visit.held.live.session.identity;
        if what == Push::Unsubscribe {
            let was = self.browsers.unsubscribe(whose, &given.endpoint, visit.now);
            return Ok(fine(&json!({ "was": was.await? })));
        }
        let Keys { p256dh, auth } = &given.keys;
        let subscription = match Subscription::new(&given.endpoint, p256dh, auth, rules) {
            Ok(subscription) => subscription,
            Err(error) => {
                tracing::warn!(%error, "a browser's subscription is not taken");
                return Ok(refused(StatusCode::BAD_REQUEST, "push-subscription"));
            }
        };
        if what == Push::Test {
            return self.push_test(visit, at, subscription).await;
        }
        let done = self.browsers.subscribe(whose, subscription, visit.now);
        Ok(match done.await? {
            Subscribed::Done => fine(&json!({ "subscribed": true })),
            Subscribed::Full => refused(StatusCode::SERVICE_UNAVAILABLE, "push-full"),
        })
    }

    /// To that browser alone, and only if it is its user's.
    async fn push_test(
        &self,
        visit: &Visit<'_>,
        at: usize,
        subscription: Subscription,
    ) -> Result<Reply, Unavailable> {
        let whose = &visit.held.live.session.identity;
        let theirs = self.browsers.of(whose, visit.now).await?;
        let record = visit.record.clone();
        if !theirs.contains(&subscription) {
            return Ok(problem(StatusCode::NOT_FOUND, "push-subscription", record));
        }
        let notice = Notice {
            id: "test".to_owned(),
            event: Event::Test,
            approval: "test".to_owned(),
            name: "test".to_owned(),
            link: visit.site.url("/"),
            at: visit.now,
            until: visit.now.plus(TEST_LASTS),
            detail: None,
        };
        let to = Recipients {
            push: vec![subscription],
            ..Recipients::default()
        };
        Ok(match self.announcer.try_out(&notice, at, to).await {
            Ok(()) => answer(StatusCode::OK, &json!({ "sent": true }), record),
            Err(failure) => {
                tracing::warn!(error = %failure, "a test notice could not be pushed");
                problem(StatusCode::BAD_GATEWAY, "push-failed", record)
            }
        })
    }

    pub(in crate::gate) fn web_push(&self) -> Option<(usize, &WebPush)> {
        let mut channels = self.parts.config.channels.iter().enumerate();
        channels.find_map(|(at, channel)| match &channel.kind {
            ChannelKind::WebPush(push) => Some((at, push)),
            _ => None,
        })
    }
}

fn problem(status: StatusCode, code: &'static str, record: Record) -> Reply {
    answer(status, &json!({ "code": code }), record).reason(code)
}

fn answer(status: StatusCode, body: &Value, record: Record) -> Reply {
    let mut reply = Reply::new(status, body.to_string(), record);
    reply
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    reply
}

#[cfg(test)]
mod tests;
