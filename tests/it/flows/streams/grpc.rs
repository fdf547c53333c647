//! grpc-go's client in every kind of call that stays open, before gRPC's own interoperability server.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::LASTS;
use super::site::Site;
use crate::harness::bounded;
use crate::upstreams::grpc::{interop, server};

const KINDS: [&str; 3] = ["server", "client", "bidirectional"];

/// A call that is open.
struct Call {
    said: Lines<BufReader<ChildStdout>>,
    _client: Child,
}

impl Call {
    async fn open(site: &Site, client: &std::path::Path, kind: &str) -> Self {
        let url: reqwest::Url = site.world.url("/").parse().unwrap();
        let mut child = Command::new(client)
            .arg(kind)
            .arg(site.tls.to_string())
            .arg(format!("payroll.localhost:{}", url.port().unwrap()))
            .arg(site.folder.path().join("ca.pem"))
            .arg(site.world.browser.cookies_for(&url))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut call = Self {
            said,
            _client: child,
        };
        assert_eq!(call.hears().await, "open", "{kind}");
        call
    }

    async fn hears(&mut self) -> String {
        bounded(self.said.next_line())
            .await
            .unwrap()
            .unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_ends_with_its_status() {
    let Some(client) = interop("grpc-streams", "stay") else {
        return;
    };
    let part = server("grpc-streams", None).await.unwrap();
    let upstream = format!(
        "[upstreams.interop]\nurl = \"http://{}\"\nprotocol = \"h2c\"",
        part.address(0)
    );
    let route = "[[routes]]\nid = \"interop\"\npath = \"/grpc.testing.TestService/**\"\nupstream = \"interop\"\n\
                 require = { level = \"mfa\" }\n";
    let mut site = Site::signed_in_under(route, &upstream).await;
    let mut calls = Vec::new();
    for kind in KINDS {
        calls.push((kind, Call::open(&site, &client, kind).await));
    }
    site.world.clock.advance(LASTS + 1);
    for (kind, call) in &mut calls {
        let ended = "16 This needs a stronger or more recent sign-in.";
        assert_eq!(call.hears().await, ended, "{kind}");
    }

    site.world.lands("/mfa/ordinary", "alice").await;
    let mut calls = Vec::new();
    for kind in KINDS {
        calls.push((kind, Call::open(&site, &client, kind).await));
    }
    site.world.realm.end_sessions_of("alice").await;
    for (kind, call) in &mut calls {
        assert_eq!(call.hears().await, "16 Sign in first.", "{kind}");
    }
}
