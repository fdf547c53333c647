//! Of what people are told, by which channels, and where it leads.

use super::approvals::announce::{Audience, ChannelState};
use super::ciba::SignIn;
use super::words::Language;
use super::{Gate, approver};
use crate::model::approval::{Approval, Denied, Status};
use crate::model::evidence::Identity;
use crate::notify::{Detail, Event, Notice, Outcome};

impl Gate {
    /// Those who may decide on what was asked for just now. Nobody waits for it.
    pub(in crate::gate) fn tell_asked(&self, approval: &Approval) {
        let id = notice_id(approval, Event::Asked);
        self.tell_people(approval, Event::Asked, id);
    }

    /// The same once more, by a notice of its own: what has its id twice counts as delivered twice. Whether anybody is told.
    pub(in crate::gate) fn tell_again(&self, approval: &Approval) -> bool {
        let now = self.parts.clock.now();
        let id = format!("{}-{now}", notice_id(approval, Event::Reminded));
        self.tell_people(approval, Event::Reminded, id)
    }

    /// Whether there is a way by which people are told of it.
    pub(in crate::gate) fn tells_of(&self, approval: &Approval) -> bool {
        let rule = self.parts.config.approval(&approval.name);
        rule.is_some_and(|rule| !rule.channels.is_empty()) && self.link_to(approval).is_some()
    }

    /// Where whoever may decide on it sees it.
    pub(in crate::gate) fn link_to(&self, approval: &Approval) -> Option<String> {
        let config = &self.parts.config;
        let app = config.approver_app.as_ref()?;
        let origin = config.apps.get(app.app)?.origins.first()?;
        Some(format!("{}{}", origin.text, approver::href(&approval.id)))
    }

    /// What became of it, on the channels that are to say so; nothing while nothing has.
    pub(in crate::gate) fn tell_decided(&self, approval: &Approval) {
        let outcome = match approval.status {
            Status::Approved { .. } => Outcome::Approved,
            Status::Denied {
                why: Denied::Reported,
                ..
            }
            | Status::Revoked { reported: true, .. } => Outcome::Reported,
            Status::Denied { .. } => Outcome::Denied,
            _ => return,
        };
        let event = Event::Decided(outcome);
        self.tell_people(approval, event, notice_id(approval, event));
    }

    /// Its user, in the browsers that they have subscribed, and nobody else.
    pub(in crate::gate) fn tell_sign_in(&self, sign_in: &SignIn) {
        let Some((at, _)) = self.web_push() else {
            return;
        };
        let notice = Notice {
            id: format!("{}-{}", sign_in.id, Event::Asked.word()),
            event: Event::Asked,
            approval: sign_in.id.clone(),
            name: sign_in.client.clone(),
            // The worker's to make.
            link: String::new(),
            at: self.parts.clock.now(),
            until: sign_in.expires,
            detail: None,
        };
        let whose = Identity {
            iss: sign_in.person.iss.clone(),
            sub: sign_in.person.sub.clone(),
            ..Identity::default()
        };
        let audience = Audience::One(Box::new(whose));
        self.announcer.tell(&notice, &[at], audience);
    }

    /// How the channels do, in the order of the configuration.
    pub fn channels(&self) -> Vec<ChannelState> {
        self.announcer.states()
    }

    /// Everybody who could have decided, on all channels: somebody did in their place.
    pub(in crate::gate) fn tell_broken_glass(&self, approval: &Approval) {
        let event = Event::Decided(Outcome::BrokenGlass);
        self.tell_people(approval, event, notice_id(approval, event));
    }

    /// Those to whom it has gone on just now, and nobody else again.
    pub(in crate::gate) fn tell_second(&self, approval: &Approval) {
        let rule = self.parts.config.approval(&approval.name);
        let Some(second) = rule.and_then(|rule| rule.approvers.second.as_deref()) else {
            return;
        };
        let approval_of_theirs = Approval {
            named: Vec::new(),
            ..approval.clone()
        };
        let audience = Audience::Approvers(Box::new((approval_of_theirs, second.clone())));
        let id = format!("{}-escalated", approval.id.0);
        self.tell_those(approval, Event::Asked, id, audience);
    }

    fn tell_people(&self, approval: &Approval, event: Event, id: String) -> bool {
        let Some(rule) = self.parts.config.approval(&approval.name) else {
            return false;
        };
        let those = (approval.clone(), rule.approvers.clone());
        let audience = Audience::Approvers(Box::new(those));
        self.tell_those(approval, event, id, audience)
    }

    /// Whether anybody is.
    fn tell_those(
        &self,
        approval: &Approval,
        event: Event,
        id: String,
        audience: Audience,
    ) -> bool {
        let config = &self.parts.config;
        let Some(rule) = config.approval(&approval.name) else {
            return false;
        };
        if rule.channels.is_empty() {
            return false;
        }
        let Some(link) = self.link_to(approval) else {
            return false;
        };
        // A program that is to decide is worn down by nothing, and has no inbox to look into.
        let is_program = |at: &usize| {
            let channel = config.channels.get(*at).map(|channel| &channel.name);
            channel.is_some() && channel == rule.approvers.webhook.as_ref()
        };
        let (programs, people): (Vec<usize>, Vec<usize>) =
            rule.channels.iter().copied().partition(is_program);
        let is_question = matches!(event, Event::Asked | Event::Reminded);
        let is_quiet =
            is_question && !people.is_empty() && !self.announcer.takes(approval, &people);
        if is_quiet && programs.is_empty() {
            return false;
        }
        let notice = Notice {
            id,
            event,
            approval: approval.id.0.clone(),
            name: approval.name.clone(),
            link,
            at: self.parts.clock.now(),
            until: match event {
                Event::Decided(_) => self.parts.clock.now().plus(approval.terms.redeem_ttl),
                _ => approval.expires,
            },
            detail: Some(Detail::new(
                &Language::En.asking(&approval.summary, &approval.terms),
                &approval.requester.name,
            )),
        };
        match is_quiet {
            true => self.announcer.tell(&notice, &programs, Audience::Program),
            false => self.announcer.tell(&notice, &rule.channels, audience),
        }
        true
    }
}

fn notice_id(approval: &Approval, event: Event) -> String {
    format!("{}-{}", approval.id.0, event.word())
}
