//! Deciding, and what tokens prove. Pure: no clock, no I/O, no async.

pub mod approval;
pub mod ask;
mod conditions;
mod decide;
pub mod decision;
pub mod evidence;
pub mod facts;
mod holding;

pub use decide::decide;
pub use holding::holds_until;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod example;
