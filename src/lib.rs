//! stepgate: a reverse proxy that enforces step-up authentication per route.
//!
//! # Floors
//!
//! Imports point down only; `tests/it/architecture.rs` holds the house to it.
//!
//! | floor | modules | what |
//! | --- | --- | --- |
//! | 5 | `cli`, `server` | start, listeners, stop; the only reader of the clock |
//! | 4 | `edge` | Pingora's phases; bytes in, bytes out |
//! | 4 | `admin` | health, metrics, and what operators do, on listeners of their own |
//! | 3 | `gate` | judge a request; login, step-up, callback, refresh, logout, pages; knows no Pingora |
//! | 2 | `oidc`, `seal`, `store`, `notify`, `telemetry` | adapters: Keycloak, randomness and sealing, sessions, messages to people, logs, metrics |
//! | 1 | `config` | text in; a resolved `Config`, or all problems, out |
//! | 0 | `model`, `policy` | pure: no clock, no I/O, no async |
//!
//! # Life of a request
//!
//! `edge::guard` (deadline, limits) → `edge::proxy` (Pingora's phases) → [`model::target`] (one canonical path) →
//! `gate::judge` (session, facts) → [`policy::decide`] → either a reply (`edge::reply`) or a
//! [`policy::decision::Permit`], without which no upstream is reached → `edge::peer`, `edge::headers` → `telemetry`.
//!
//! # Conventions
//!
//! Errors: one `thiserror` enum a module; `Display` is for the log, clients get a code and a request id.
//! Time: `now` is an argument; [`model::time::Clock`] where a call awaits. Randomness: `seal::random`.
//! Missing, malformed, unknown, unavailable: never allowed.

pub mod admin;
pub mod cli;
pub mod config;
pub mod edge;
pub mod gate;
pub mod model;
pub mod notify;
pub mod oidc;
pub mod policy;
#[cfg(feature = "demo")]
pub mod sandbox;
pub mod seal;
pub mod server;
pub mod store;
pub mod telemetry;
