//! A realm of the test's own, a stepgate with the shipped ladder before a sample app, and people.

use serde_json::{Value, json};
use stepgate::config::{self, Config, Options, Secrets};
use tempfile::TempDir;

use super::admin::Admin;
use super::browser::{Browser, Page, Walk};
use super::person::Person;
use super::server::{Keycloak, free_port};
use crate::harness::{Stepgate, eventually_async};
use crate::oracle::sample_app;

const CONFIG: &str = include_str!("../../../config/stepgate.toml");

/// Between the password and the factor of `mfa`: the other way to ask Keycloak for a code.
const SCOPED: &str = r#"
[[levels]]
name  = "scoped"
proof = { claims = { auth-otp-form = true } }
ask   = { scope = ["auth-otp-form"], prompt = "login" }
"#;

const POLICY: &str = r#"
upstream = "payroll"
require  = { level = "password" }
identity = { preset = "oauth2-proxy", X-Level = "{level}" }
[[routes]]
id     = "public"
path   = "/public/**"
public = true
[[routes]]
id      = "fresh-password"
path    = "/fresh-password/**"
require = { level = "password", max_age = "3s" }
[[routes]]
id      = "scoped"
path    = "/scoped/**"
require = { level = "scoped" }
[[routes]]
id      = "mfa"
path    = "/mfa/**"
require = { level = "mfa" }
[[routes]]
id      = "fresh-mfa"
path    = "/fresh-mfa/**"
require = { level = "mfa", max_age = "1m" }
[[routes]]
id      = "very-fresh-mfa"
path    = "/very-fresh-mfa/**"
require = { level = "mfa", max_age = "5s" }
[[routes]]
id      = "key"
path    = "/key/**"
require = { level = "hardware-key" }
"#;

/// How this test's set-up differs from the shipped one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Twist<'a> {
    /// Each replaced in `config/stepgate.toml`; it has to be there.
    pub(crate) config: &'a [(&'a str, &'a str)],
    /// Added to the app's keys.
    pub(crate) app: &'a str,
}

pub(crate) struct World {
    pub(crate) issuer: String,
    pub(crate) admin: Admin,
    pub(crate) realm: String,
    /// `http://payroll.localhost:PORT`
    pub(crate) origin: String,
    pub(crate) stepgate: Stepgate,
    pub(crate) browser: Browser,
}

/// What `/.stepgate/me` tells of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: String,
    pub(crate) age: Option<u64>,
}

impl World {
    pub(crate) async fn new(keycloak: &Keycloak, name: &str) -> Self {
        Self::twisted(keycloak, name, Twist::default()).await
    }

    /// `name`: of the realm, the test's own.
    pub(crate) async fn twisted(keycloak: &Keycloak, name: &str, twist: Twist<'_>) -> Self {
        let upstream = format!("http://{}", sample_app().await);
        let issuer = keycloak.issuer(name);
        let admin = keycloak.admin().await;
        let (origin, stepgate) = loop {
            // The redirect URI has the port, so it must be known before anything starts.
            let port = free_port();
            let origin = format!("http://payroll.localhost:{port}");
            admin.import(name, &origin).await;
            match Stepgate::serve(written(port, &issuer, &upstream, twist)) {
                Ok(stepgate) => break (origin, stepgate),
                Err(_taken) => admin.delete(&format!("/{name}")).await,
            }
        };
        Self {
            issuer,
            admin,
            realm: name.to_owned(),
            origin,
            stepgate,
            browser: Browser::new(),
        }
    }

    /// Every request refreshes from now on, as a token that lives 20 s is always about to lapse.
    pub(crate) async fn refreshing(&self) {
        let change = json!({
            "accessTokenLifespan": 20,
            "eventsEnabled": true,
            "enabledEventTypes": ["REFRESH_TOKEN"],
        });
        self.admin.put(&format!("/{}", self.realm), &change).await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Opens a page of the app and does what Keycloak asks on the way.
    pub(crate) async fn visit(&mut self, path: &str, person: &mut Person) -> Walk {
        self.browser.walk(&self.url(path), person).await
    }

    pub(crate) async fn open(&mut self, path: &str) -> Page {
        self.browser.open(&self.url(path)).await
    }

    /// `path decision have need` of so many requests to the app.
    pub(crate) async fn decided(&self, requests: usize) -> Vec<String> {
        eventually_async("the requests in the access log", async || {
            let lines = self.stepgate.access(requests).await;
            let to_the_app = lines.iter().filter(|line| line["decision"] != "own");
            let decided: Vec<_> = to_the_app
                .map(|line| {
                    ["path", "decision", "have", "need"]
                        .map(|name| line[name].as_str().unwrap_or("-"))
                        .join(" ")
                })
                .collect();
            (decided.len() >= requests).then_some(decided)
        })
        .await
    }

    pub(crate) async fn me(&self) -> Value {
        let answer = self.browser.fetch("GET", &self.url("/.stepgate/me")).await;
        answer.json().await.unwrap()
    }

    pub(crate) async fn standing(&self, level: &str) -> Standing {
        let me = self.me().await;
        let levels = me["levels"].as_array();
        let found = levels
            .and_then(|levels| levels.iter().find(|known| known["level"] == level))
            .unwrap_or_else(|| panic!("no {level} in {me}"));
        Standing {
            state: found["state"].as_str().unwrap().to_owned(),
            age: found["age"].as_u64(),
        }
    }

    /// `password=proven scoped=missing …`
    pub(crate) async fn standings(&self) -> String {
        let me = self.me().await;
        let levels = me["levels"].as_array().unwrap_or_else(|| panic!("{me}"));
        let state = |level: &Value| {
            let text = |name: &str| level[name].as_str().unwrap().to_owned();
            format!("{}={}", text("level"), text("state"))
        };
        levels.iter().map(state).collect::<Vec<_>>().join(" ")
    }
}

/// The shipped configuration alone, for a realm and no app.
pub(crate) fn config(issuer: &str, twist: Twist<'_>) -> Config {
    let folder = written(1, issuer, "http://127.0.0.1:1", twist);
    let options = Options {
        environment: Vec::new(),
        secrets: Secrets::Required,
        now: None,
    };
    config::load(&folder.path().join("stepgate.toml"), &options)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
        .config
}

fn written(port: u16, issuer: &str, upstream: &str, twist: Twist<'_>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let replaced = |text: String, (from, to): (&str, &str)| {
        assert!(text.contains(from), "{from:?} is not in the shipped file");
        text.replacen(from, to, 1)
    };
    let listen = format!("127.0.0.1:{port}");
    let approver = format!("http://approve.localhost:{port}");
    let mfa = "[[levels]]\nname  = \"mfa\"";
    let scoped = format!("{SCOPED}\n{mfa}");
    let config = [
        ("127.0.0.1:8080", &*listen),
        ("http://approve.localhost:8080", &*approver),
        ("\"../policies\"", "\"policies\""),
        ("http://localhost:9080/realms/demo", issuer),
        ("http://127.0.0.1:9081", upstream),
        (mfa, &scoped),
    ]
    .into_iter()
    .chain(twist.config.iter().copied())
    .fold(CONFIG.to_owned(), replaced);
    let access = path("access.log").display().to_string();
    let log = format!("{config}\n[log]\naccess = {{ file = \"{access}\" }}\naudit = \"off\"\n");
    std::fs::write(path("stepgate.toml"), log).unwrap();
    let secret = include_str!("../../../config/demo-client-secret");
    std::fs::write(path("demo-client-secret"), secret).unwrap();
    std::fs::create_dir(path("policies")).unwrap();
    std::fs::create_dir(path("sessions")).unwrap();
    let url = format!("url = \"http://payroll.localhost:{port}\"\n");
    let policy = format!("{url}{}{POLICY}", twist.app);
    std::fs::write(path("policies/payroll.toml"), policy).unwrap();
    folder
}
