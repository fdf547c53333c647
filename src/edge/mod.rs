//! Pingora's phases: bytes in, a permit or a reply, bytes out. The only floor below `server` that names Pingora.

mod client;
mod cookies;
mod forwarded;
mod guard;
mod identity;
mod inbound;
mod peer;
mod race;
mod reserved;
