//! stepgate: a reverse proxy that enforces step-up authentication per route.

pub mod config;
pub mod model;
pub mod policy;
