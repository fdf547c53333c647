//! Entries of the audit log, with what every one of them has.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::sessions::Held;
use super::{Gate, Incoming};
use crate::model::approval::Approval;
use crate::model::evidence::Identity;
use crate::policy::decision::{Have, Need};
use crate::telemetry::{AuditEvent, AuditKind};

/// What is known beside the request.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gate) struct Circumstances<'a> {
    pub(in crate::gate) reason: Option<&'a str>,
    pub(in crate::gate) route: Option<&'a str>,
    pub(in crate::gate) who: Option<&'a Identity>,
    pub(in crate::gate) have: Option<Have>,
    pub(in crate::gate) need: Option<Need>,
    /// Its id.
    pub(in crate::gate) approval: Option<&'a str>,
    /// What is asked for.
    pub(in crate::gate) asked: Option<&'a Approval>,
    /// By which way somebody has decided.
    pub(in crate::gate) channel: Option<&'a str>,
    /// The id of one of the user's own.
    pub(in crate::gate) device: Option<&'a str>,
    /// What somebody said themselves.
    pub(in crate::gate) words: Option<&'a str>,
    /// How many like it were not written since the last one.
    pub(in crate::gate) left_out: u64,
}

impl<'a> Circumstances<'a> {
    pub(in crate::gate) fn because(reason: &'a str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }

    pub(in crate::gate) fn of(held: &'a Held) -> Self {
        Self {
            who: Some(&held.live.session.identity),
            ..Self::default()
        }
    }
}

impl Gate {
    pub(in crate::gate) fn audit(
        &self,
        kind: AuditKind,
        incoming: &Incoming<'_>,
        circumstances: Circumstances<'_>,
    ) {
        let ladder = &self.parts.config.ladder;
        let client = incoming.client.to_string();
        let asked = circumstances.asked;
        let action = asked.map(|asked| &asked.action);
        let body = action.map(|action| BASE64URL.encode(action.body));
        let event = AuditEvent {
            reason: circumstances.reason,
            origin: self
                .site(incoming.place)
                .map(|site| site.origin.text.as_str()),
            route: circumstances.route,
            sub: circumstances.who.map(|who| who.sub.as_str()),
            sid: circumstances.who.and_then(|who| who.sid.as_deref()),
            have: circumstances.have.map(|have| ladder.name_of(have.rank)),
            need: circumstances.need.map(|need| ladder.name_of(need.rank)),
            request: Some(incoming.request_id),
            client: Some(&client),
            summary: asked.map(|asked| asked.summary.as_str()),
            method: action.map(|action| action.method.as_str()),
            path: action.and_then(|action| action.target.split('?').next()),
            body: body.as_deref(),
            approval: circumstances
                .approval
                .or(asked.map(|asked| asked.id.0.as_str())),
            channel: circumstances.channel,
            device: circumstances.device,
            words: circumstances.words,
            left_out: circumstances.left_out,
            ..AuditEvent::new(kind)
        };
        self.parts.audit.record(&event, self.parts.clock.now());
    }
}
