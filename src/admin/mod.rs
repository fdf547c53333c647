//! The operators' side: health, metrics, and operations over a unix socket. It never answers on a listener of the proxy.
//!
//! Over TCP only reads, for whoever asks by the right name; what changes something needs the socket, whose peer the kernel
//! names.

mod answers;
mod control;
mod drain;
mod listen;
mod readiness;
mod routes;

pub use answers::{
    Approvals, Drained, Ended, Listed, Overruled, Problem, Reloaded, SOCKET_HOST, WORDS,
};
pub use control::Control;
pub use drain::Drain;
pub use listen::{AdminError, AdminListeners};
pub use readiness::{Check, Readiness, State, rfc3339};
