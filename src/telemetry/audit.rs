//! What happened to whom: logins, step-ups, refusals, logouts, and alarms that an operator must see.

use serde::Serialize;

use super::Lines;
use crate::model::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditKind {
    /// The realm, the clock or a seal is not what the configuration says.
    Alarm,
    /// What the app said to a request that went by a yes.
    ApprovalAnswered,
    /// Somebody's yes is asked for.
    ApprovalAsked,
    /// By whoever asked.
    ApprovalCancelled,
    /// A yes was used up; what it was for is sent, once.
    ApprovalConsumed,
    /// By what people said of it.
    ApprovalDecided,
    /// One person's answer.
    ApprovalVoted,
    Login,
    LoginFailed,
    Logout,
    /// A request is kept until its user is back.
    Parked,
    /// A request that the policy denied.
    Refusal,
    /// What was parked goes on to the app, by its user's word.
    Resumed,
    /// The provider refused a refresh, or a limit ended the session.
    SessionEnded,
    StepUp,
    StepUpFailed,
    UserSwitch,
}

/// Who is named by `sub`, as the provider does; never a token, code, state, cookie or query.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AuditEvent<'a> {
    pub event: AuditKind,
    /// Stable, for alerts: `another-user`, `enrolled-during-step-up`, `back-channel`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// Level names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub have: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    /// The user id of the operator who did it, on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<u32>,
    /// The id of an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<&'a str>,
}

impl AuditEvent<'_> {
    /// Nothing known but the kind; the rest by struct update.
    pub const fn new(event: AuditKind) -> Self {
        Self {
            event,
            reason: None,
            origin: None,
            route: None,
            sub: None,
            sid: None,
            have: None,
            need: None,
            request: None,
            client: None,
            operator: None,
            approval: None,
        }
    }
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: Lines,
}

impl Audit {
    pub fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// An alarm is also a warning in the diagnostics log, where somebody may look sooner.
    pub fn record(&self, event: &AuditEvent<'_>, now: Timestamp) {
        if event.event == AuditKind::Alarm {
            tracing::warn!(reason = event.reason, origin = event.origin, "alarm");
        }
        self.lines.write(&Line {
            log: "audit",
            time: rfc3339(now),
            event,
        });
    }
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'static str,
    time: String,
    #[serde(flatten)]
    event: &'a AuditEvent<'a>,
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix())
        .map_or_else(|_| at.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_event_is_one_json_line_without_empty_fields() {
        let (lines, written) = Lines::in_memory();
        let event = AuditEvent {
            sub: Some("alice\n\""),
            ..AuditEvent::new(AuditKind::StepUpFailed)
        };
        Audit::new(lines).record(&event, Timestamp::from_unix(0));
        assert_eq!(
            written.lock().unwrap().as_slice(),
            [
                r#"{"log":"audit","time":"1970-01-01T00:00:00Z","event":"step-up-failed","sub":"alice\n\""}"#
            ]
        );
    }
}
