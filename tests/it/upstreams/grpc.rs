//! gRPC's own interoperability client, through stepgate over HTTP/2 with TLS, to its own server and to tonic's: every kind
//! of call, and what trailers tell. And trailers as such, of nghttpd to nghttp.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::folder;
use super::parts::{Authority, Leaf, Part, nghttpd, program};
use super::tonic;
use crate::harness::{BOUND, Stepgate, bounded, realm};
use crate::keycloak::{free_port, not_run};

const VERSION: &str = "v1.85.0";

/// What each is about stands in gRPC's `doc/interop-test-descriptions.md`.
const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

pub(crate) fn interop(test: &str, name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let cache = std::env::var_os("STEPGATE_CACHE").map_or(root.join(".cache"), PathBuf::from);
    let path = cache.join(format!("grpc-interop-{VERSION}/{name}"));
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "scripts/grpc-interop fetch has not run");
    not_run(test, "scripts/grpc-interop fetch has not run");
    None
}

/// An app on a TLS listener, before these lines' upstream.
async fn secure(lines: &str, ours: &Authority) -> Stepgate {
    let files = folder(lines, &realm().await, BOUND);
    let leaf = ours.sign("front", "DNS:app.localhost");
    let edit = |name: &str, from: &str, to: &str| {
        let path = files.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    edit(
        "stepgate.toml",
        "version  = 1",
        "version  = 1\nlisten_tls = [\"127.0.0.1:0\"]\nplain = \"serve\"",
    );
    edit(
        "stepgate.toml",
        "[keycloak]",
        &format!(
            "[[certificates]]\ncert = \"{}\"\nkey = {{ file = \"{}\" }}\n[keycloak]",
            leaf.certificate.display(),
            leaf.key.display()
        ),
    );
    edit(
        "policies/app.toml",
        "http://app.localhost",
        "https://app.localhost",
    );
    Stepgate::serve(files).unwrap()
}

pub(crate) async fn server(test: &str, leaf: Option<&Leaf>) -> Option<Part> {
    let port = free_port();
    let mut arguments = vec![format!("--port={port}")];
    if let Some(leaf) = leaf {
        arguments.push("--use_tls".to_owned());
        arguments.push(format!("--tls_cert_file={}", leaf.certificate.display()));
        arguments.push(format!("--tls_key_file={}", leaf.key.display()));
    }
    program(test, &interop(test, "server")?, &arguments, port).await
}

/// The client, of which every case has to pass before this upstream.
async fn every_case_passes(client: &Path, lines: &str, ours: &Authority) {
    let stepgate = secure(lines, ours).await;
    let session = stepgate.log_in("alice").await;
    let ca = ours.certificate.display();
    let call = async |case: &str, metadata: &str| {
        let port = stepgate.tls.unwrap().port();
        let output = Command::new(client)
            .arg("--use_tls")
            .arg("--server_host=127.0.0.1")
            .arg(format!("--server_port={port}"))
            .arg("--server_host_override=app.localhost")
            .arg("--use_test_ca")
            .arg(format!("--ca_file={ca}"))
            .arg(format!("--test_case={case}"))
            .arg(format!("--additional_metadata={metadata}"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = bounded(output).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    for case in CASES {
        let (passed, said) = call(case, &format!("cookie:{session}")).await;
        assert!(passed, "{case}, {lines}: {said}");
    }
    // Without a session the app is not asked, and the client understands why.
    let (passed, said) = call("empty_unary", "x-nobody:1").await;
    assert!(!passed && said.contains("Unauthenticated"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_passes_over_h2_and_h2c() {
    let Some(client) = interop("grpc", "client") else {
        return;
    };
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "IP:127.0.0.1");
    for certificate in [None, Some(&leaf)] {
        let app = server("grpc", certificate).await.unwrap();
        let address = app.address(0);
        let lines = match certificate {
            None => format!("url = \"http://{address}\"\nprotocol = \"h2c\""),
            Some(_) => {
                let ca = ours.certificate.display();
                format!("url = \"https://{address}\"\nprotocol = \"h2\"\ntls = {{ ca = \"{ca}\" }}")
            }
        };
        every_case_passes(&client, &lines, &ours).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_passes_to_tonic() {
    let Some(client) = interop("grpc-tonic", "client") else {
        return;
    };
    let ours = Authority::new("ours");
    let address = tonic::serve().await;
    let lines = format!("url = \"http://{address}\"\nprotocol = \"h2c\"");
    every_case_passes(&client, &lines, &ours).await;
}

/// An answer whose trailers come after its body, to a client that shows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_arrive_where_both_sides_speak_http_2() {
    let ours = Authority::new("ours");
    let options = ["--trailer=checksum: abc", "--trailer=set-cookie: a=b"];
    let Some(app) = nghttpd("trailers", &options, None).await else {
        return;
    };
    let lines = format!("url = \"http://{}\"\nprotocol = \"h2c\"", app.address(0));
    let stepgate = secure(&lines, &ours).await;
    let port = stepgate.tls.unwrap().port();
    let output = Command::new("nghttp")
        .args(["-v", "--no-verify-peer", "-H", ":authority: app.localhost"])
        .arg(format!("https://127.0.0.1:{port}/public/file"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = bounded(output).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, after) = said.split_once("from nghttpd").expect(&said);
    assert!(after.contains("checksum: abc"), "{said}");
    // Announced it is; it does not come.
    assert!(!after.contains("set-cookie"), "{said}");
}
