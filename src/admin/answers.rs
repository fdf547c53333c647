//! What goes over the socket: written by the process, read by the commands.

use serde::{Deserialize, Serialize};

use crate::gate::{ApprovalView, SessionView};

/// The one `Host` that the socket answers to.
pub const SOCKET_HOST: &str = "stepgate";

/// A header of every answer, by which a command knows that it is stepgate that it talks to.
pub const WORDS: &str = "x-stepgate-admin";

#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    pub sessions: Vec<SessionView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    pub ended: Vec<SessionView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Approvals {
    pub approvals: Vec<ApprovalView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Overruled {
    pub approval: ApprovalView,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The new configuration serves; otherwise the one before still does.
    pub applied: bool,
    /// Every problem, and what became of it.
    pub report: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Drained {
    /// Seconds since the epoch; `None`: it takes traffic.
    pub since: Option<i64>,
    pub connections: i64,
    pub requests: i64,
}

/// Why an operation was not done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Stable.
    pub code: String,
    pub detail: String,
}
