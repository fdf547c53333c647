//! Of what people are told, by which channels, and where it leads.

use super::approvals::announce::{Audience, ChannelState};
use super::ciba::SignIn;
use super::words::Language;
use super::{Gate, approver};
use crate::model::approval::{Approval, Denied, Status};
use crate::model::evidence::Identity;
use crate::notify::{Detail, Event, Notice, Outcome};
use crate::policy::approval::who::Approvers;

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

    /// Whether there is a way by which people are told of it. What Keycloak asks the requester is nobody else's.
    pub(in crate::gate) fn tells_of(&self, approval: &Approval) -> bool {
        if approval.terms.ciba.is_some() {
            return false;
        }
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

    /// Those to whom it has gone on just now, and nobody else again where a channel tells people one by one. However much
    /// its requester asked for of late: they are others, and are told of it once.
    pub(in crate::gate) fn tell_second(&self, approval: &Approval) {
        let rule = self.parts.config.approval(&approval.name);
        let Some(second) = rule.and_then(|rule| rule.approvers.second.as_deref()) else {
            return;
        };
        let id = format!("{}-escalated", approval.id.0);
        let audience = only(approval, second);
        self.tell_those(approval, Event::Asked, id, audience, Bound::Once);
    }

    fn tell_people(&self, approval: &Approval, event: Event, id: String) -> bool {
        let Some(rule) = self.parts.config.approval(&approval.name) else {
            return false;
        };
        let those = (approval.clone(), rule.approvers.clone());
        let audience = Audience::Approvers(Box::new(those));
        let bound = match event {
            Event::Asked | Event::Reminded => Bound::Lately,
            _ => Bound::Once,
        };
        self.tell_those(approval, event, id, audience, bound)
    }

    /// Whether anybody is.
    fn tell_those(
        &self,
        approval: &Approval,
        event: Event,
        id: String,
        audience: Audience,
        bound: Bound,
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
        let is_quiet = bound == Bound::Lately
            && !people.is_empty()
            && !self.announcer.takes(approval, &people);
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

/// What keeps a notice from wearing people down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// How often they were told of late of what its requester asks for.
    Lately,
    /// There is no other one like it of this approval.
    Once,
}

/// The second ones, whoever else may decide by then.
fn only(approval: &Approval, second: &Approvers) -> Audience {
    let theirs = Approval {
        named: Vec::new(),
        ..approval.clone()
    };
    Audience::Approvers(Box::new((theirs, second.clone())))
}

fn notice_id(approval: &Approval, event: Event) -> String {
    format!("{}-{}", approval.id.0, event.word())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use super::*;
    use crate::policy::approval::who::may_decide;
    use crate::policy::example::{alice, given};

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn it_goes_on_to_the_second_ones_and_nobody_else() {
        let second = Approvers {
            groups_any: strings(&["board"]),
            people: strings(&["chair@example.com"]),
            ..Approvers::default()
        };
        let approval = Approval {
            named: strings(&["manager@example.com", "bob"]),
            escalated: Some(given().created),
            ..given()
        };
        let audience = only(&approval, &second);
        assert_eq!(audience.named(), ["chair@example.com"]);
        let Audience::Approvers(those) = audience else {
            panic!("they are approvers");
        };
        let is_told = |sub: &str, groups: &[&str]| {
            let who = Identity {
                sub: sub.to_owned(),
                groups: strings(groups),
                ..alice()
            };
            may_decide(&those.0, &those.1, &who)
        };
        assert!(is_told("carol", &["board"]));
        assert!(!is_told("bob", &["leads"]), "he was told at first");
        assert!(!is_told("alice", &["board"]), "nor whoever asks");
    }
}
