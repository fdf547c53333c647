//! Envoy with `ext_authz`, over HTTP and over gRPC.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fronts::site::Site;
use crate::upstreams::parts::start;

/// As `scripts/envoy fetch` puts it there; else what is installed.
fn program() -> PathBuf {
    let cache = std::env::var_os("STEPGATE_CACHE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"),
        PathBuf::from,
    );
    let fetched = cache.join("envoy-1.40.0/envoy/_bin/envoy");
    if fetched.exists() {
        fetched
    } else {
        PathBuf::from("envoy")
    }
}

async fn asks(test: &str, protocol: &str) {
    let mut site = Site::before("envoy", &[]).await;
    let folder = site.folder();
    let file = folder.path().join("envoy.yaml");
    let text = site.snippet("envoy", &["--protocol", protocol]);
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program());
    command
        .args([
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "--log-level",
            "warning",
            "-c",
        ])
        .arg(&file);
    let started = start(test, command, folder, vec![site.port]).await;
    let Some(part) = started else { return };
    site.stands(part);
    site.holds().await;
}

#[tokio::test]
async fn envoy_asks_over_http_and_the_snippet_is_enough() {
    asks("Envoy before an app, over HTTP", "http").await;
}

#[tokio::test]
async fn envoy_asks_over_grpc_and_the_snippet_is_enough() {
    asks("Envoy before an app, over gRPC", "grpc").await;
}
