//! What happened to whom: logins, step-ups, refusals, logouts, and alarms that an operator must see.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::chain::{self, Head};
use super::{Lines, LinesError, lines};
use crate::config::LogTarget;
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
    /// An operator, or a requester who may, said yes in everybody's place.
    ApprovalBreakGlass,
    /// By whoever asked.
    ApprovalCancelled,
    ApprovalReminded,
    /// A yes was used up; what it was for is sent, once.
    ApprovalConsumed,
    /// By what people said of it.
    ApprovalDecided,
    /// Undecided for so long that others may decide as well.
    ApprovalEscalated,
    /// Nobody decided in time, or what was agreed to was not used in time.
    ApprovalExpired,
    /// An operator took a yes back.
    ApprovalRevoked,
    /// One of the requests that a yes holds for, for a while, goes.
    ApprovalUsed,
    /// One person's answer.
    ApprovalVoted,
    /// Keycloak was told what its user said by CIBA, or could not be.
    CibaAnswered,
    /// Keycloak hands on what another client asks of a user.
    CibaAsked,
    /// Keycloak has a requester confirm what they ask for, and what came of it beside a vote.
    CibaConfirmation,
    /// What the user said to it; or there was no answer in time.
    CibaDecided,
    /// Nobody was asked.
    CibaRefused,
    /// By its owner: with it they may decide on what they ask for themselves.
    DeviceEnrolled,
    /// By its owner.
    DeviceRemoved,
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
    /// A webhook's word was not taken.
    WebhookRefused,
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
    /// The client of the realm that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azp: Option<&'a str>,
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
    /// What somebody's yes is asked for, in the words that people are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// Without its query; of a yes that holds for a while, the route's pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// SHA-256 of its body, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
    /// The id of an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<&'a str>,
    /// By which somebody decided: `app`, `operator`, `break-glass`, `webhook:NAME`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    /// The id of a device of the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// The reason that an operator or a requester gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<&'a str>,
    /// How many like it, which anybody can cause, were not written since the last one.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
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
            azp: None,
            have: None,
            need: None,
            request: None,
            client: None,
            operator: None,
            summary: None,
            method: None,
            path: None,
            body: None,
            approval: None,
            channel: None,
            device: None,
            words: None,
            left_out: 0,
        }
    }
}

/// The audit log: a chain ([`chain`]), which goes on over restarts where it is a file.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: Lines,
    head: Arc<Mutex<Head>>,
}

impl Audit {
    pub fn open(target: &LogTarget) -> Result<Self, LinesError> {
        let lines = Lines::open(target)?;
        let head = match target {
            LogTarget::File(path) => chain::end_of(path)?,
            LogTarget::Stdout | LogTarget::Off => Head::none(),
        };
        let head = Arc::new(Mutex::new(head));
        Ok(Self { lines, head })
    }

    /// A new chain.
    pub fn new(lines: Lines) -> Self {
        let head = Arc::new(Mutex::new(Head::none()));
        Self { lines, head }
    }

    /// As [`Lines::reopen`]; the new file goes on where the old one ends.
    pub fn reopen(&self) -> Result<(), LinesError> {
        self.lines.reopen()
    }

    /// An alarm is also a warning in the diagnostics log, where somebody may look sooner.
    pub fn record(&self, event: &AuditEvent<'_>, now: Timestamp) {
        if event.event == AuditKind::Alarm {
            tracing::warn!(reason = event.reason, origin = event.origin, "alarm");
        }
        if self.lines.is_off() {
            return;
        }
        // Until the line is on its way: they are written in the order of the chain.
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line {
            log: "audit",
            time: rfc3339(now),
            event,
            seq: head.number.saturating_add(1),
            prev: &head.hash,
        };
        let Some(line) = lines::json(&line) else {
            return;
        };
        *head = head.followed_by(&line);
        self.lines.send(line);
    }
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'static str,
    time: String,
    #[serde(flatten)]
    event: &'a AuditEvent<'a>,
    seq: u64,
    prev: &'a str,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix())
        .map_or_else(|_| at.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use std::fs;

    use super::*;
    use crate::telemetry::Verifier;

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
                r#"{"log":"audit","time":"1970-01-01T00:00:00Z","event":"step-up-failed","sub":"alice\n\"","seq":1,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#
            ]
        );
    }

    #[test]
    fn the_chain_goes_on_over_restarts_files_and_torn_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let target = LogTarget::File(path.clone());
        let write = |audit: &Audit, times: usize| {
            for _ in 0..times {
                audit.record(&AuditEvent::new(AuditKind::Login), Timestamp::from_unix(0));
            }
        };
        write(&Audit::open(&target).unwrap(), 3);
        // A crash in the middle of a line.
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"log\":\"audit\",\"eve");
        fs::write(&path, &text).unwrap();
        let audit = Audit::open(&target).unwrap();
        let other = audit.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| write(&audit, 50));
            scope.spawn(|| write(&other, 50));
        });
        drop((audit, other));
        let moved = folder.path().join("audit.log.1");
        let audit = Audit::open(&target).unwrap();
        fs::rename(&path, &moved).unwrap();
        audit.reopen().unwrap();
        write(&audit, 2);
        drop(audit);
        let mut verifier = Verifier::new(None);
        for path in [moved, path] {
            let text = fs::read(path).unwrap();
            assert_eq!(verifier.read(text.as_slice()).unwrap(), []);
        }
        assert_eq!((verifier.lines, verifier.unreadable), (105, 1));
        assert_eq!(verifier.head().number, 105);
    }
}
