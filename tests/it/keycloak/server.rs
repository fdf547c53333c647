//! One real Keycloak for the whole test process, from `scripts/keycloak`; each test has a realm of its own in it.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::admin::Admin;
use super::relay;

/// Two slow cores that compile at the same time need a while.
const START: Duration = Duration::from_secs(240);

pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/keycloak");

/// As users import it.
pub(crate) const REALM: &str = include_str!("../../../config/keycloak/realm.json");

/// Runs until it is dropped, or until this process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Keycloak {
    /// Without a slash at the end. Not by address: that is no relying party for security keys.
    pub(crate) url: String,
    ports: (u16, u16),
    import: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
}

/// The one of this process; `None`, and said so, where there can be none.
pub(crate) async fn keycloak(test: &str) -> Option<&'static Keycloak> {
    static SHARED: OnceCell<Option<Keycloak>> = OnceCell::const_new();
    let shared = SHARED
        .get_or_init(|| async {
            fetched().await.ok()?;
            let folder = Path::new(REALM_FOLDER).to_owned();
            // What other clients ask by CIBA goes to the stepgate of their realm.
            let channel = (CHANNEL.to_owned(), relay::start());
            Some(Keycloak::start(folder, vec![channel]).await)
        })
        .await
        .as_ref();
    if shared.is_none() {
        not_run(test, "there is no Keycloak here");
    }
    shared
}

const CHANNEL: &str =
    "KC_SPI_CIBA_AUTH_CHANNEL__CIBA_HTTP_AUTH_CHANNEL__HTTP_AUTHENTICATION_CHANNEL_URI";

const REALM_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/keycloak");

/// Why there is no Keycloak here.
async fn fetched() -> Result<(), String> {
    static FETCHED: OnceCell<Result<(), String>> = OnceCell::const_new();
    let fetch = || async {
        let run = || {
            Command::new(SCRIPT)
                .arg("fetch")
                .stdin(Stdio::null())
                .output()
        };
        let output = tokio::task::spawn_blocking(run)
            .await
            .unwrap()
            .map_err(|error| format!("{SCRIPT}: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    };
    let fetched = FETCHED.get_or_init(fetch).await.clone();
    if let Err(why) = &fetched {
        assert!(
            std::env::var_os("STEPGATE_REQUIRE_REAL").is_none_or(|value| value != "1"),
            "there is no Keycloak, and STEPGATE_REQUIRE_REAL=1: {why}"
        );
        eprintln!("{why}");
    }
    fetched
}

/// Never silently.
pub(crate) fn not_run(test: &str, why: &str) {
    let line = format!("NOT RUN: {test}: {why}\n");
    // Past the capturing of the test harness.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("STEPGATE_NOT_RUN") {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

impl Keycloak {
    /// One that may be stopped and started again, and remembers; for the test that does that.
    pub(crate) async fn lasting(test: &str, folder: &TempDir) -> Option<Self> {
        if fetched().await.is_err() {
            not_run(test, "there is no Keycloak here");
            return None;
        }
        let file = folder.path().join("keycloak");
        let url = format!(
            "jdbc:h2:file:{};NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE",
            file.display()
        );
        let environment = vec![("KC_DB_URL".to_owned(), url)];
        Some(Self::start(REALM_FOLDER.into(), environment).await)
    }

    async fn start(import: PathBuf, environment: Vec<(String, String)>) -> Self {
        crate::harness::install_crypto();
        let ports = (free_port(), free_port());
        let keycloak = Self {
            url: format!("http://localhost:{}", ports.0),
            ports,
            child: run(ports, &import, &environment),
            import,
            environment,
        };
        keycloak.ready().await;
        keycloak
    }

    /// Ends all at once.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = run(self.ports, &self.import, &self.environment);
        self.ready().await;
    }

    async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://localhost:{}/health/ready", self.ports.1);
        let start = Instant::now();
        loop {
            match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
            assert!(start.elapsed() < START, "Keycloak does not become ready");
        }
    }

    pub(crate) fn issuer(&self, realm: &str) -> String {
        format!("{}/realms/{realm}", self.url)
    }

    pub(crate) async fn admin(&self) -> Admin {
        Admin::log_in(&self.url).await
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(ports: (u16, u16), import: &Path, environment: &[(String, String)]) -> Child {
    // For a look at it after a test that failed.
    let lasts = environment.iter().any(|(name, _)| name == "KC_DB_URL");
    let name = match lasts {
        false => "keycloak.log",
        true => "keycloak-lasting.log",
    };
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let log = fs::File::create(log).unwrap();
    watched(SCRIPT)
        .args(["start", &ports.0.to_string(), &ports.1.to_string()])
        .arg(import)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A program that is killed, with all that it started, when this process ends or drops the child's `stdin`: `cat` ends
/// then, since nobody else holds the other end.
pub(crate) fn watched(program: &str) -> Command {
    const WATCHER: &str = r#""$0" "$@" </dev/null & cat; kill -KILL -- -$$"#;
    let mut command = Command::new("bash");
    command
        .args(["-c", WATCHER, program])
        .process_group(0)
        .stdin(Stdio::piped());
    command
}

pub(crate) fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}
