//! stepgate before a real Keycloak.
//!
//! Each test has a realm of its own: the shipped one, under another name and for another origin. Where there is no
//! Keycloak, tests say `NOT RUN` and leave a line in the file `$STEPGATE_NOT_RUN`; with `STEPGATE_REQUIRE_REAL=1` they
//! fail.

mod admin;
mod bearer;
mod broker;
mod browser;
mod ciba;
mod client;
mod desk;
mod ends;
mod key;
mod login;
mod outage;
mod person;
pub(crate) mod relay;
mod script;
mod seen;
mod server;
mod streams;
mod world;

pub(crate) use browser::{Browser, Page};
pub(crate) use server::{Keycloak, free_port, keycloak, not_run};
