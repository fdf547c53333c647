//! The access log and the audit log: JSON lines, written off the request's thread. The metrics.
//!
//! No cookie, token, code, state or query is a field of any of them, so none can slip in.

mod access;
mod audit;
mod chain;
mod lines;
pub mod metrics;
mod reloads;

pub use access::AccessLine;
pub use audit::{Audit, AuditEvent, AuditKind};
pub use chain::{Break, Broken, Head, NoHead, Verifier};
pub use lines::{Lines, LinesError};
pub use metrics::Metrics;
pub use reloads::{Outcome, ReloadStatus, Reloads};
