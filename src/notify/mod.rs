//! Tells people that something waits for them, or what became of it, by the channels of the configuration.
//!
//! Nothing is answered here: what is sent leads to the approver app, where people sign in. Without a word of the
//! configuration (`detail`) it says no more than that. A channel that fails stops nothing but itself.

mod failure;
mod http;
mod notice;
mod ntfy;
pub mod push;
mod sender;
mod smtp;
mod webhook;

pub use failure::Failure;
pub use notice::{Detail, Event, Notice, Outcome, Recipients};
pub use sender::{Patience, Sender};
pub use webhook::is_signed;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
