//! stepgate before the sandbox provider, which misbehaves where a real one cannot be made to.
//!
//! Whatever test runs: nothing reaches the upstream without a line in the access log that has the same request id and
//! says `allow`, and no log holds a cookie, a code, a state or a query ([`world::World`]'s end sees to it).

mod agent;
mod answers;
mod approvals;
mod approver;
mod asking;
mod bearer;
mod between;
mod broken;
mod ciba;
mod clients;
mod confirming;
mod ending;
mod landing;
mod parking;
mod presets;
mod refreshing;
mod streams;
mod tokens;
mod webhook;
mod world;

pub(crate) use world::{LAST, Twist, World, heading};
