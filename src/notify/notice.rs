//! What is told, and to whom.

use lettre::Address;

use super::push::Subscription;

use crate::model::time::Timestamp;

/// Longer ones are cut: a phone shows less, and a mail is no place to read them.
const LONGEST: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The same at every try and on every channel, so that who is told twice can see it. Letters, digits, `-` and `_`.
    pub id: String,
    pub event: Event,
    /// By which the approver app knows it; nobody may do anything by it alone.
    pub approval: String,
    /// As the configuration spells it, with its app: `erp/four-eyes`.
    pub name: String,
    /// Into the approver app.
    pub link: String,
    pub at: Timestamp,
    /// From then on it is of no use to anybody.
    pub until: Timestamp,
    /// For channels that are to say it.
    pub detail: Option<Detail>,
}

/// Written by those who ask: nothing in it is to be believed, or to move a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    summary: String,
    requester: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Asked,
    Reminded,
    Decided(Outcome),
    /// A device can decide for whoever is told, from some time on.
    DeviceAdded,
    DeviceRemoved,
    /// Somebody tries the channel.
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Approved,
    Denied,
    /// "This wasn't me", or "this looks wrong".
    Reported,
    /// Somebody passed it in everybody's place.
    BrokenGlass,
}

/// Whom a notice still has to reach, where it is not the channel that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    pub mail: Vec<Address>,
    pub push: Vec<Subscription>,
    /// Subscriptions that are no more: their push service said so.
    pub gone: Vec<Subscription>,
}

impl Detail {
    pub fn new(summary: &str, requester: &str) -> Self {
        Self {
            summary: plain(summary),
            requester: plain(requester),
        }
    }

    pub fn summary(&self) -> &str {
        &self.summary
    }

    pub fn requester(&self) -> &str {
        &self.requester
    }
}

impl Event {
    /// For programs; stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "approval.asked",
            Self::Reminded => "approval.reminded",
            Self::Decided(Outcome::Approved) => "approval.approved",
            Self::Decided(Outcome::Denied) => "approval.denied",
            Self::Decided(Outcome::Reported) => "approval.reported",
            Self::Decided(Outcome::BrokenGlass) => "approval.break-glass",
            Self::DeviceAdded => "device.added",
            Self::DeviceRemoved => "device.removed",
            Self::Test => "test",
        }
    }

    /// A part of [`Notice::id`].
    pub fn word(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }
}

impl Notice {
    pub(super) fn title(&self) -> String {
        let name = &self.name;
        match self.event {
            Event::Asked => format!("Approval needed: {name}"),
            Event::Reminded => format!("Approval still needed: {name}"),
            Event::Decided(Outcome::Approved) => format!("Approved: {name}"),
            Event::Decided(Outcome::Denied) => format!("Denied: {name}"),
            Event::Decided(Outcome::Reported) => format!("Reported as wrong: {name}"),
            Event::Decided(Outcome::BrokenGlass) => format!("Passed without approval: {name}"),
            Event::DeviceAdded => "A new device".to_owned(),
            Event::DeviceRemoved => "A device was removed".to_owned(),
            Event::Test => "Test notice".to_owned(),
        }
    }

    /// A line, or two with details.
    pub(super) fn text(&self) -> String {
        let told = match self.event {
            Event::Asked | Event::Reminded => "Somebody waits for your decision.",
            Event::Decided(Outcome::BrokenGlass) => {
                "Somebody passed this in everybody's place. Look at who, and why."
            }
            Event::Decided(_) => "It was decided.",
            Event::DeviceAdded => "A new device of yours was added.",
            Event::DeviceRemoved => "A device of yours was removed.",
            Event::Test => "This is a test. Nobody waits for anything.",
        };
        match &self.detail {
            None => told.to_owned(),
            Some(detail) => format!("{told}\n{}: {}", detail.requester, detail.summary),
        }
    }

    /// As a channel without `detail` tells it.
    pub(super) fn bare(&self) -> Self {
        Self {
            detail: None,
            ..self.clone()
        }
    }
}

/// On one line, in the direction it is read in.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        plain.push('…');
    }
    plain
}

fn shown(c: char) -> char {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    if turns || c.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        let detail = Detail::new(
            "Release 7\r\nBcc: all@example.com\u{202e}\u{2028}\u{0}",
            &"m".repeat(400),
        );
        assert_eq!(
            detail.summary(),
            "Release 7\u{fffd}\u{fffd}Bcc: all@example.com\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(detail.requester(), "m".repeat(300) + "…");
    }
}
