//! Whether this process should get traffic, and what is down since when.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Up,
    /// Part of the traffic suffers; to send it elsewhere would not help, or would hurt more.
    Degraded,
    /// Nothing that needs it can be answered here: the traffic belongs elsewhere.
    Down,
}

/// Something that requests need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `store`, `keycloak`, `upstream erp`, …
    pub name: String,
    pub state: State,
    /// Seconds since the epoch: since when it is not up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<i64>,
    /// What is known beside it, for people. Nothing secret.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// No check is down.
    pub ready: bool,
    pub checks: Vec<Check>,
}

impl Check {
    pub fn up(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Up,
            since: None,
            detail: String::new(),
        }
    }

    /// `state`: other than up.
    pub fn failing(
        name: impl Into<String>,
        state: State,
        since: Option<Timestamp>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            state,
            since: since.map(Timestamp::as_unix),
            detail: detail.into(),
        }
    }
}

impl Readiness {
    pub fn of(checks: Vec<Check>) -> Self {
        Self {
            ready: checks.iter().all(|check| check.state != State::Down),
            checks,
        }
    }

    pub fn word(&self) -> &'static str {
        if self.ready { "ready" } else { "not ready" }
    }

    /// A line a check, as Kubernetes' own components write it.
    pub fn to_text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let (sign, state) = match check.state {
                State::Up => ('+', "up"),
                State::Degraded => ('!', "degraded"),
                State::Down => ('-', "down"),
            };
            let since = check.since.map_or(String::new(), |since| {
                let since = Timestamp::from_unix(since);
                let span = now.since(since).as_secs();
                format!(" since {} ({span} s)", rfc3339(since))
            });
            let detail = match check.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            // Writing to a String does not fail.
            let _done = writeln!(text, "[{sign}] {} {state}{since}{detail}", check.name);
        }
        text + self.word() + "\n"
    }
}

pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix())
        .map_or_else(|_| at.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_degraded_is_told_and_does_not_turn_it_red() {
        let at = Timestamp::from_unix;
        let degraded = Check::failing("keycloak", State::Degraded, Some(at(60)), "unreachable");
        let readiness = Readiness::of(vec![Check::up("store"), degraded]);
        assert!(readiness.ready);
        assert_eq!(
            readiness.to_text(at(75)),
            "[+] store up\n[!] keycloak degraded since 1970-01-01T00:01:00Z (15 s): unreachable\nready\n"
        );
        let down = Check::failing("store", State::Down, None, "");
        let readiness = Readiness::of(vec![down, Check::up("keycloak")]);
        assert!(!readiness.ready);
        assert_eq!(
            readiness.to_text(at(75)),
            "[-] store down\n[+] keycloak up\nnot ready\n"
        );
    }
}
