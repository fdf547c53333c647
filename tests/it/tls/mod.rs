//! Listeners with TLS, asked by real clients: curl, nghttp, openssl, and a client that does what none of them does.

mod approver;
mod clients;
mod example;
mod frames;
mod h2;
mod listening;
pub(crate) mod pki;
mod replacing;
mod stopping;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use stepgate::telemetry::metrics::Limit;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Stepgate, bounded, eventually, install_crypto};
use crate::keycloak::not_run;
use crate::oracle::sample_app;
use pki::{Authority, Issued};

/// Of the first certificate; the last one is an app on loopback, for which one can sign in by plain HTTP as well.
const HOSTS: &[&str] = &["erp.example.com", "app.localhost"];

/// Where nobody signs in.
const NO_REALM: &str = "http://127.0.0.1:1/realms/none";

/// Two apps with a certificate each, the second one's by a wildcard.
struct Secure {
    stepgate: Stepgate,
    tls: SocketAddr,
    authority: Authority,
    erp: Issued,
}

impl Secure {
    async fn start() -> Self {
        Self::with("", "").await
    }

    /// `top`: further keys of the installation; `more`: further tables.
    async fn with(top: &str, more: &str) -> Self {
        Self::before(sample_app().await, NO_REALM, top, more)
    }

    fn before(app: SocketAddr, issuer: &str, top: &str, more: &str) -> Self {
        let authority = Authority::new("Example Root");
        let folder = tempfile::tempdir().unwrap();
        let erp = authority.server(HOSTS);
        Self::serve(folder, authority, erp, app, issuer, top, more)
    }

    fn serve(
        folder: TempDir,
        authority: Authority,
        erp: Issued,
        app: SocketAddr,
        issuer: &str,
        top: &str,
        more: &str,
    ) -> Self {
        install_crypto();
        let path = folder.path();
        erp.write(path, "erp");
        authority
            .server(&["*.apps.example.com", "apps.example.com"])
            .write(path, "apps");
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        write("ca.pem", &authority.pem());
        write("secret", "only-for-tests");
        write(
            "stepgate.toml",
            &format!(
                r#"
                version    = 1
                listen     = ["127.0.0.1:0"]
                listen_tls = ["127.0.0.1:0"]
                policies   = "policies"
                {top}
                [sessions]
                store = "memory"
                [[certificates]]
                cert = "erp.pem"
                key  = {{ file = "erp.key" }}
                [[certificates]]
                cert = "apps.pem"
                key  = {{ file = "apps.key" }}
                [keycloak]
                issuer        = "{issuer}"
                client_id     = "stepgate"
                client_secret = {{ file = "secret" }}
                [[levels]]
                name  = "password"
                base  = true
                proof = {{ acr = ["1", "pwd"] }}
                [log]
                access = {{ file = "{}" }}
                audit  = "off"
                [upstreams.app]
                url = "http://{app}"
                {more}
                "#,
                path.join("access.log").display()
            ),
        );
        std::fs::create_dir(path.join("policies")).unwrap();
        for (name, url) in [
            ("erp", "https://erp.example.com"),
            ("www", "https://www.apps.example.com"),
            ("app", "http://app.localhost"),
        ] {
            write(
                &format!("policies/{name}.toml"),
                &format!(
                    r#"
                    url      = "{url}"
                    upstream = "app"
                    require  = {{ level = "password" }}
                    identity = {{ X-Client-Subject = "{{client_cert.subject}}", X-Client-Names = "{{client_cert.san}}", X-Client-Print = "{{client_cert.fingerprint}}", X-Client-Both = "{{sub}} {{client_cert.subject}}" }}
                    [[routes]]
                    id     = "public"
                    path   = "/public/**"
                    public = true
                    [[routes]]
                    id     = "small"
                    path   = "/public/small/**"
                    public = true
                    body_bytes = "1KiB"
                    "#
                ),
            );
        }
        let stepgate = Stepgate::serve(folder).unwrap();
        Self {
            tls: stepgate.tls.unwrap(),
            stepgate,
            authority,
            erp,
        }
    }

    /// curl, asking by the names that browsers use.
    async fn curl(&self, arguments: &[&str]) -> String {
        text(&self.curled(arguments).await)
    }

    async fn curled(&self, arguments: &[&str]) -> Output {
        let ca = self.stepgate.folder().join("ca.pem");
        let tls = format!("::127.0.0.1:{}", self.tls.port());
        let mut all: Vec<&OsStr> = ["-sS", "-i", "--max-time", "20", "--cacert"]
            .map(OsStr::new)
            .to_vec();
        all.push(ca.as_os_str());
        all.extend(["--connect-to", &tls].map(OsStr::new));
        all.extend(arguments.iter().map(OsStr::new));
        run("curl", all).await
    }

    /// A client hears of it a moment before it is counted.
    async fn until_refused(&self, limit: Limit, count: u64) {
        eventually("the count of refusals", || {
            (self.stepgate.refused(limit) == count).then_some(())
        })
        .await;
    }

    /// What a handshake for `name` shows and comes to.
    async fn connect(
        &self,
        name: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.tls, name, protocols, self.authority.roots()).await
    }
}

async fn connect(
    address: SocketAddr,
    name: &str,
    protocols: &[&str],
    roots: RootCertStore,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await?;
    bounded(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

pub(crate) async fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Output {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    bounded(ran)
        .await
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What it said, on both ways.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether the program is there; loud where it is not.
pub(crate) async fn has(test: &str, program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if found.is_ok() {
        return true;
    }
    let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(
        !required,
        "{program} is missing, and STEPGATE_REQUIRE_REAL=1"
    );
    not_run(test, &format!("there is no {program} here"));
    false
}
