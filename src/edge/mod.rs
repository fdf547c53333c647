//! Pingora's phases: bytes in, a permit or a reply, bytes out. The only floor below `server` that names Pingora.

mod access;
mod admit;
mod around;
mod begin;
mod client;
mod client_certificate;
mod context;
mod cookies;
mod counts;
mod failure;
mod farewell;
mod forwarded;
mod frames;
mod guard;
mod h2;
mod identity;
mod inbound;
mod inject;
mod parking;
mod peers;
mod proxy;
mod reply;
mod reserved;
mod snapshot;
mod streaming;
mod tls;
mod tunnel;
mod upstream;
mod verify;

use std::sync::Arc;

use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;

pub(crate) use guard::{Connections, Guard};
pub(crate) use peers::{AddressState, Peers};
pub(crate) use proxy::Proxy;
pub(crate) use reserved::{NEVER_A_CLIENTS, NEVER_A_CLIENTS_FAMILIES};
pub(crate) use snapshot::{Current, Snapshot};
pub(crate) use tls::Tls;
pub use tls::TlsError;

/// Idle connections to upstreams that are kept; each listener's runtime shares them.
const POOL: usize = 1024;

/// Attempts to connect to an upstream, the first included: some of its addresses may be dead and not known to be.
const ATTEMPTS: usize = 4;

/// What serves the connections of a listener.
pub(crate) fn front(proxy: Proxy, current: Current) -> Guard<HttpProxy<Proxy>> {
    let pingora = ServerConf {
        max_retries: ATTEMPTS,
        upstream_keepalive_pool_size: POOL,
        ..ServerConf::default()
    };
    Guard::new(http_proxy(&Arc::new(pingora), proxy), current)
}
