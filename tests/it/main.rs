//! The one integration binary: each further one would link all of Pingora again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod admin;
mod architecture;
mod browser;
mod channels;
mod docs;
mod dpop;
mod flows;
mod forwarding;
mod fronts;
mod harness;
mod keycloak;
mod legacy;
mod limits;
mod oracle;
mod process;
mod reloading;
mod serving;
mod stopping;
mod store;
mod systemd;
mod tls;
mod upstreams;
