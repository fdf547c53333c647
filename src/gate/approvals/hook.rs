//! `POST /.stepgate/approvals/webhook/NAME` on the approver app's host: a program that an approval names as an approver says
//! yes or no, by a message that it signed (Standard Webhooks) with a key of its own. It has one vote, like a person, and
//! never the requester's.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Changed, waiting};
use crate::config::{ChannelKind, SigningKey};
use crate::gate::{Gate, Incoming, Record, Reply, strangers};
use crate::model::approval::{Answer, Approval, ApprovalId, Person};
use crate::model::time::Timestamp;
use crate::notify::is_signed;
use crate::policy::approval::{Ballot, Refused};
use crate::store::{Mark, Unavailable};
use crate::telemetry::metrics::ChannelDecision;
use crate::telemetry::{AuditEvent, AuditKind};

/// Behind [`super::super::OWN_PREFIX`].
pub(in crate::gate) const HOOK: &str = "approvals/webhook/";

const POST: &[Method] = &[Method::POST];

/// As the specification has it, either way.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Of a message's id.
const LONGEST_ID: usize = 128;

/// Of a reason, in characters: as in the app.
const LONGEST_REASON: usize = 500;

/// Of what is to be an approval's id; no longer one is written down either.
const LONGEST_APPROVAL: usize = 64;

/// What whoever has no key can cause, or an old message alone.
const BY_ANYBODY: [&str; 3] = ["signature", "timestamp", "replayed"];

/// Of no provider: no person is mistaken for it.
const ISSUER: &str = "webhook";

/// What it says. Anything else in it is not what we know, and nothing is decided by what is half understood.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    approval: String,
    decision: Decision,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Approve,
    Deny,
    Report,
}

impl Said {
    fn read(body: &[u8]) -> Option<Self> {
        // A list would be read as a table, member by member.
        if !body.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let said: Self = serde_json::from_slice(body).ok()?;
        let reason = said.reason.as_deref().unwrap_or_default();
        let fits =
            said.approval.len() <= LONGEST_APPROVAL && reason.chars().count() <= LONGEST_REASON;
        fits.then_some(said)
    }
}

/// The three headers, each once.
#[derive(Clone, Copy, Debug)]
struct Signed<'h> {
    id: &'h str,
    timestamp: &'h str,
    signature: &'h str,
}

impl<'h> Signed<'h> {
    fn read(headers: &'h HeaderMap) -> Option<Self> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let first = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(first)
        };
        let id = one("webhook-id")?;
        let fine = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        Some(Self {
            id: fine.then_some(id)?,
            timestamp: one("webhook-timestamp")?,
            signature: one("webhook-signature")?,
        })
    }

    fn is_timely(&self, now: Timestamp) -> bool {
        let digits = self.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let at = self.timestamp.parse().ok().filter(|_| digits);
        at.map(Timestamp::from_unix)
            .is_some_and(|at| now.since(at).max(at.since(now)) <= TOLERANCE)
    }
}

impl Gate {
    pub(in crate::gate) async fn webhook_says(&self, incoming: &Incoming<'_>, name: &str) -> Reply {
        let Some(keys) = self.keys_of(name) else {
            return self.unknown_endpoint(incoming);
        };
        if !POST.contains(incoming.method) {
            return self.wrong_method(POST, incoming);
        }
        let now = self.parts.clock.now();
        match self.webhook_vote(incoming, name, keys, now).await {
            Ok(Ok(status)) => Reply::json(
                StatusCode::OK,
                &json!({ "status": status }),
                Record::of("own"),
            )
            .reason("voted"),
            Ok(Err((status, code))) => refused(status, code),
            Err(Unavailable) => refused(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
        }
    }

    fn keys_of(&self, name: &str) -> Option<&[SigningKey]> {
        let mut channels = self.parts.config.channels.iter();
        let channel = channels.find(|channel| channel.name == name)?;
        match &channel.kind {
            ChannelKind::Webhook(webhook) if !webhook.decide_keys.is_empty() => {
                Some(&webhook.decide_keys)
            }
            _ => None,
        }
    }

    async fn webhook_vote(
        &self,
        incoming: &Incoming<'_>,
        name: &str,
        keys: &[SigningKey],
        now: Timestamp,
    ) -> Result<Result<&'static str, (StatusCode, &'static str)>, Unavailable> {
        let Some(signed) = Signed::read(incoming.headers) else {
            return Ok(Err((StatusCode::BAD_REQUEST, "webhook-headers")));
        };
        let Signed {
            id,
            timestamp,
            signature,
        } = signed;
        // Over the very bytes, and before any of them is read.
        if !is_signed(keys, id, timestamp, incoming.body, signature) {
            self.webhook_refused(incoming, name, "signature", None);
            return Ok(Err((StatusCode::UNAUTHORIZED, "webhook-signature")));
        }
        if !signed.is_timely(now) {
            self.webhook_refused(incoming, name, "timestamp", None);
            return Ok(Err((StatusCode::UNAUTHORIZED, "webhook-timestamp")));
        }
        let Some(said) = Said::read(incoming.body) else {
            self.webhook_refused(incoming, name, "body", None);
            return Ok(Err((StatusCode::BAD_REQUEST, "webhook-body")));
        };
        let asked = ApprovalId(said.approval.clone());
        let found = self.approvals.find(&asked, now).await?;
        let Some(found) = found.filter(|found| self.is_theirs(found, name)) else {
            self.webhook_refused(incoming, name, "no-such-approval", Some(&said.approval));
            return Ok(Err((StatusCode::NOT_FOUND, "no-such-approval")));
        };
        // For longer than its time would be taken. It is written before the vote is: of the two, the vote is what may get
        // lost, and is then no yes.
        let until = now.plus(TOLERANCE * 3);
        let mark = Mark::webhook(name, id);
        if !self.parts.store.once(&mark, until, now).await? {
            self.webhook_refused(incoming, name, "replayed", Some(&said.approval));
            return Ok(Err((StatusCode::CONFLICT, "webhook-replayed")));
        }
        let person = Person {
            iss: ISSUER.to_owned(),
            sub: name.to_owned(),
        };
        let channel = format!("webhook:{name}");
        let ballot = Ballot {
            person: &person,
            name: &channel,
            answer: match said.decision {
                Decision::Approve => Answer::Yes,
                Decision::Deny => Answer::No,
                Decision::Report => Answer::Report,
            },
            reason: said.reason.as_deref(),
            number: None,
            device: None,
            channel: &channel,
        };
        let (metrics, result) = (&self.parts.metrics, ChannelDecision::of(ballot.answer));
        Ok(match self.vote_on(&found.id, &ballot, now).await? {
            Changed::Done(approval) => {
                metrics.decided_by(name, result);
                Ok(waiting::name(&approval.status))
            }
            Changed::Refused(why) => {
                let code = why_not(why);
                self.webhook_refused(incoming, name, code, Some(&said.approval));
                Err((StatusCode::CONFLICT, code))
            }
            Changed::Absent => Err((StatusCode::NOT_FOUND, "no-such-approval")),
        })
    }

    /// By the policy of now.
    fn is_theirs(&self, approval: &Approval, name: &str) -> bool {
        let rule = self.parts.config.approval(&approval.name);
        rule.is_some_and(|rule| rule.approvers.webhook.as_deref() == Some(name))
    }

    fn webhook_refused(
        &self,
        incoming: &Incoming<'_>,
        name: &str,
        reason: &'static str,
        approval: Option<&str>,
    ) {
        let (metrics, now) = (&self.parts.metrics, self.parts.clock.now());
        metrics.decided_by(name, ChannelDecision::Refused);
        let (address, channel) = (incoming.client.to_string(), format!("webhook:{name}"));
        let event = AuditKind::WebhookRefused;
        let mut left_out = 0;
        if BY_ANYBODY.contains(&reason) {
            let refused = strangers::Refused {
                event,
                reason,
                channel: Some(channel.clone()),
            };
            match self.strangers.hear(&refused, incoming.client, now) {
                Some(others) => left_out = others,
                None => return,
            }
        }
        let event = AuditEvent {
            reason: Some(reason),
            request: Some(incoming.request_id),
            client: Some(&address),
            approval,
            channel: Some(&channel),
            left_out,
            ..AuditEvent::new(event)
        };
        self.parts.audit.record(&event, now);
    }
}

fn why_not(refused: Refused) -> &'static str {
    match refused {
        Refused::Over => "over",
        Refused::Expired => "expired",
        Refused::Voted => "voted",
        Refused::NoReason => "no-reason",
        // In no checked configuration is it asked of a program.
        Refused::NoNumber | Refused::WrongNumber => "number",
        Refused::Requester
        | Refused::NoDevice
        | Refused::Elsewhere
        | Refused::Pending
        | Refused::OtherAction
        | Refused::OtherHolder => "refused",
    }
}

fn refused(status: StatusCode, code: &'static str) -> Reply {
    Reply::json(status, &json!({ "code": code }), Record::of("own")).reason(code)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_message_has_one_id_and_one_time() {
        let headers = |rows: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            };
            let mut map = HeaderMap::new();
            for (name, value) in rows.iter().map(pair) {
                map.append(name, value);
            }
            map
        };
        const ID: (&str, &str) = ("webhook-id", "msg_1");
        const AT: (&str, &str) = ("webhook-timestamp", "1000");
        const BY: (&str, &str) = ("webhook-signature", "v1,x");
        assert!(Signed::read(&headers(&[ID, AT, BY])).is_some());
        for rows in [
            &[ID, AT][..],
            &[AT, BY],
            &[ID, BY],
            &[ID, ID, AT, BY],
            &[ID, AT, AT, BY],
            &[ID, AT, BY, BY],
            &[("webhook-id", ""), AT, BY],
            &[("webhook-id", "a b"), AT, BY],
        ] {
            assert!(Signed::read(&headers(rows)).is_none(), "{rows:?}");
        }
        let at = |timestamp: &'static str, now| {
            let signed = Signed {
                id: "",
                timestamp,
                signature: "",
            };
            signed.is_timely(Timestamp::from_unix(now))
        };
        assert!(at("1000", 1000) && at("1000", 1300) && at("1000", 700));
        assert!(!at("1000", 1301) && !at("1000", 699));
        for odd in ["", "+1000", "-1000", "1e3", "1000.0", " 1000"] {
            assert!(!at(odd, 1000), "{odd}");
        }
    }

    #[test]
    fn what_is_half_understood_decides_nothing() {
        let read = |text: &str| Said::read(text.as_bytes()).is_some();
        assert!(read(r#"{"approval":"a","decision":"approve"}"#));
        assert!(read(
            r#"{"approval":"a","decision":"deny","reason":"fraud"}"#
        ));
        for text in [
            r#"{"approval":"a","decision":"Approve"}"#,
            r#"{"approval":"a","decision":"yes"}"#,
            r#"{"approval":"a"}"#,
            r#"{"decision":"approve"}"#,
            r#"{"approval":"a","decision":"deny","decision":"approve"}"#,
            r#"{"approval":"a","decision":"approve","number":"42"}"#,
            r#"[{"approval":"a","decision":"approve"}]"#,
            r#"["a","approve"]"#,
            r#"["a","approve",null]"#,
            r#"{"approval":"a","decision":"approve"}{}"#,
            "",
        ] {
            assert!(!read(text), "{text}");
        }
        let of = |approval: usize, reason: usize| {
            let (approval, reason) = ("a".repeat(approval), "ü".repeat(reason));
            read(&json!({ "approval": approval, "decision": "deny", "reason": reason }).to_string())
        };
        assert!(of(LONGEST_APPROVAL, LONGEST_REASON));
        assert!(!of(LONGEST_APPROVAL + 1, 1) && !of(1, LONGEST_REASON + 1));
    }
}
