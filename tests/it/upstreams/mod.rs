//! stepgate before real servers: protocols, TLS, health, and what goes through without being changed.

mod failing;
pub(crate) mod grpc;
mod health;
pub(crate) mod parts;
mod passing;
mod streams;
mod tls;
mod tonic;
mod tunnels;

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{BOUND, Stepgate, written};

/// No route of these tests needs it, where nobody signs in.
const NO_REALM: &str = "http://127.0.0.1:1/realms/none";

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// The harness' files, with these lines as the upstream's table.
fn folder(lines: &str, issuer: &str, timeout: Duration) -> TempDir {
    let folder = written(0, NOWHERE, issuer, "1s", timeout);
    let path = folder.path().join("stepgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let url = format!("url      = \"http://{NOWHERE}\"");
    assert!(text.contains(&url), "{text}");
    std::fs::write(&path, text.replace(&url, lines)).unwrap();
    folder
}

fn before(lines: &str) -> Stepgate {
    Stepgate::serve(folder(lines, NO_REALM, BOUND)).unwrap()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
