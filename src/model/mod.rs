//! Pure types that every floor shares. No clock, no I/O, no async.

pub mod address;
pub mod approval;
pub mod braces;
pub mod claims;
pub mod client_certificate;
pub mod evidence;
pub mod flow;
pub mod level;
pub mod parked;
pub mod random;
pub mod requirement;
pub mod route;
pub mod session;
pub mod target;
pub mod time;

#[cfg(test)]
pub(crate) mod seeded;
