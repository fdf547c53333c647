//! Of what people are told, by which channels, and where it leads.

use super::Gate;
use super::approvals::announce::{Audience, ChannelState};
use crate::model::approval::{Approval, Denied, Status};
use crate::notify::{Detail, Event, Notice, Outcome};

impl Gate {
    /// Those who may decide on what was asked for just now. Nobody waits for it.
    pub(in crate::gate) fn tell_asked(&self, approval: &Approval) {
        self.tell_people(approval, Event::Asked);
    }

    /// What became of it, on the channels that are to say so; nothing while nothing has.
    pub(in crate::gate) fn tell_decided(&self, approval: &Approval) {
        let outcome = match approval.status {
            Status::Approved { .. } => Outcome::Approved,
            Status::Denied {
                why: Denied::Reported,
                ..
            } => Outcome::Reported,
            Status::Denied { .. } => Outcome::Denied,
            _ => return,
        };
        self.tell_people(approval, Event::Decided(outcome));
    }

    /// How the channels do, in the order of the configuration.
    pub fn channels(&self) -> Vec<ChannelState> {
        self.announcer.states()
    }

    fn tell_people(&self, approval: &Approval, event: Event) {
        let config = &self.parts.config;
        let Some(rule) = config.approval(&approval.name) else {
            return;
        };
        if rule.channels.is_empty() {
            return;
        }
        let app = config.approver_app.as_ref();
        let origin = app
            .and_then(|app| config.apps.get(app.app)?.origins.first())
            .map(|origin| origin.text.as_str());
        let Some(origin) = origin else {
            return;
        };
        if event == Event::Asked && !self.announcer.takes(approval, &rule.channels) {
            return;
        }
        let notice = Notice {
            id: format!("{}-{}", approval.id.0, event.word()),
            event,
            approval: approval.id.0.clone(),
            name: approval.name.clone(),
            link: format!("{origin}/approvals/{}", approval.id.0),
            at: self.parts.clock.now(),
            until: match event {
                Event::Decided(_) => self.parts.clock.now().plus(approval.terms.redeem_ttl),
                _ => approval.expires,
            },
            detail: Some(Detail::new(&approval.summary, &approval.requester.name)),
        };
        let audience = Audience {
            approval: approval.clone(),
            approvers: rule.approvers.clone(),
        };
        self.announcer.tell(&notice, &rule.channels, audience);
    }
}
