//! Deciding, and what tokens prove. Pure: no clock, no I/O, no async.

pub mod ask;
mod conditions;
mod decide;
pub mod decision;
pub mod evidence;
pub mod facts;

pub use decide::decide;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod example;
