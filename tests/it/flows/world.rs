//! Provider, app and stepgate on one clock that the test sets; one browser.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value};
use stepgate::model::time::{Clock, Timestamp};
use stepgate::sandbox::{Client, Realm, User, serve_provider};
use stepgate::seal::SystemRandom;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::{Stepgate, eventually, install_crypto};
use crate::keycloak::{Browser, Page, free_port};
use crate::oracle;

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Behind which a test's own part of the installation goes, and its own routes of the policy.
pub(crate) const NETWORKS: &str = "[networks]";
pub(crate) const LAST: &str = "require = { networks_any = [\"office\"] }\n";

const SECRET: &str = "only-for-tests";

const POLICY: &str = r#"
upstream    = "app"
require     = { level = "password" }
identity    = { preset = "oauth2-proxy", X-Level = "{level}" }
app_cookies = ["JSESSIONID"]
login       = { params = { ui_locales = "en" } }
[[routes]]
id     = "public"
path   = "/public/**"
public = true
[[routes]]
id      = "fresh-password"
path    = "/fresh-password/**"
require = { level = "password", max_age = "1m" }
[[routes]]
id      = "mfa"
path    = "/mfa/**"
require = { level = "mfa" }
[[routes]]
id      = "fresh"
path    = "/fresh/**"
require = { level = "mfa", max_age = "1m" }
[[routes]]
id      = "key"
path    = "/key/**"
require = { level = "hardware-key" }
[[routes]]
id      = "admin"
path    = "/admin/**"
require = { level = "mfa", groups_any = ["admins"] }
[[routes]]
id      = "office"
path    = "/office/**"
require = { networks_any = ["office"] }
"#;

/// Stands still until it is told otherwise.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.seconds())
    }
}

/// What the app understood of a request.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Hit {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

/// How a test's set-up differs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Twist<'a> {
    /// Each replaced in the installation; it has to be there.
    pub(crate) config: &'a [(&'a str, &'a str)],
    /// The same in the policy.
    pub(crate) policy: &'a [(&'a str, &'a str)],
    /// Instead of the app that tells what it saw.
    pub(crate) upstream: Option<&'a str>,
    /// The provider does not listen yet.
    pub(crate) provider_down: bool,
    /// Discovery does not offer pushed requests; it may be read as soon as stepgate starts.
    pub(crate) hide_push: bool,
    /// As a JWK, for `private_key_jwt`.
    pub(crate) jwk: Option<&'a Value>,
    pub(crate) key: Option<&'a str>,
    /// The port by which browsers reach the apps, where it is another proxy's.
    pub(crate) front: Option<u16>,
}

pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) realm: Arc<Realm>,
    /// `http://payroll.localhost:PORT`
    pub(crate) origin: String,
    /// Of a second app.
    pub(crate) other: String,
    pub(crate) stepgate: Stepgate,
    pub(crate) browser: Browser,
    pub(crate) hits: Arc<Mutex<Vec<Hit>>>,
    provider_port: u16,
    provider: Option<JoinHandle<()>>,
}

/// A way through the provider.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What was typed there.
    pub(crate) typed: Vec<&'static str>,
    pub(crate) page: Page,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::twisted(Twist::default()).await
    }

    pub(crate) async fn twisted(twist: Twist<'_>) -> Self {
        install_crypto();
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000)));
        let hits = Arc::new(Mutex::new(Vec::new()));
        let upstream = match twist.upstream {
            Some(url) => url.to_owned(),
            None => app(Arc::clone(&hits)).await,
        };
        let provider_port = free_port();
        let issuer = format!("http://127.0.0.1:{provider_port}/realms/demo");
        let realm = realm(&issuer, Arc::clone(&clock), twist.jwk);
        realm.quirks().hide_push = twist.hide_push;
        let mut provider = None;
        if !twist.provider_down {
            provider = Some(provide(provider_port, &realm).await);
        }
        let (port, stepgate) = loop {
            let port = free_port();
            let folder = written(port, &issuer, &upstream, twist);
            let clock = Arc::clone(&clock);
            if let Ok(stepgate) = Stepgate::serve_by(folder, clock) {
                break (port, stepgate);
            }
        };
        let front = twist.front.unwrap_or(port);
        let origin = format!("http://payroll.localhost:{front}");
        let other = format!("http://other.localhost:{front}");
        realm.client().redirects = vec![
            format!("{origin}/"),
            format!("{other}/"),
            format!("http://approve.localhost:{front}/"),
        ];
        realm.client().backchannel = vec![format!(
            "http://127.0.0.1:{port}/.stepgate/backchannel-logout"
        )];
        Self {
            clock,
            realm,
            origin,
            other,
            stepgate,
            browser: Browser::new(),
            hits,
            provider_port,
            provider,
        }
    }

    pub(crate) async fn provider_up(&mut self) {
        self.provider = Some(provide(self.provider_port, &self.realm).await);
    }

    pub(crate) async fn provider_down(&mut self) {
        if let Some(serving) = self.provider.take() {
            serving.abort();
            // Until the socket is closed.
            let _aborted = serving.await;
        }
    }

    /// The process ends and another one begins, with the same folder and on the same port.
    pub(crate) async fn restart(&mut self) {
        // In its place meanwhile.
        let other = Stepgate::without_realm(([127, 0, 0, 1], 1).into()).await;
        let before = std::mem::replace(&mut self.stepgate, other);
        let folder = before.ended().await;
        let clock = Arc::clone(&self.clock);
        self.stepgate = Stepgate::serve_by(folder, clock).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Opens a page of the app as a browser does, and answers what the provider asks on the way.
    pub(crate) async fn visit(&mut self, path: &str, user: &str) -> Walk {
        let page = self.open(path).await;
        self.go_on(page, user).await
    }

    pub(crate) async fn open(&mut self, path: &str) -> Page {
        let url = self.url(path);
        self.browser.open(&url).await
    }

    pub(crate) async fn go_on(&mut self, page: Page, user: &str) -> Walk {
        let mut page = page;
        let mut typed = Vec::new();
        for _ in 0..12 {
            let (factor, fields) = match heading(&page) {
                "Sign in" => (
                    "password",
                    vec![
                        ("username", user.to_owned()),
                        ("password", format!("{user}-password")),
                    ],
                ),
                "One-time code" => ("code", vec![("otp", code(&page))]),
                "Set up a one-time code" => ("enrolment", vec![("otp", code(&page))]),
                "Security key" => ("key", Vec::new()),
                _ => return Walk { typed, page },
            };
            typed.push(factor);
            page = self.browser.submit(&page, &fields).await;
        }
        panic!("no end after {typed:?}:\n{}", page.text());
    }

    /// Signed in at that level, at the app's page.
    pub(crate) async fn signed_in(user: &str, path: &str) -> Self {
        let mut world = Self::new().await;
        world.lands(path, user).await;
        world
    }

    /// Visits, and the app itself has answered in the end; what was typed.
    pub(crate) async fn lands(&mut self, path: &str, user: &str) -> Vec<&'static str> {
        let walk = self.visit(path, user).await;
        self.is_app(&walk.page, path);
        walk.typed
    }

    pub(crate) fn is_app(&self, page: &Page, path: &str) {
        assert_eq!(page.url.as_str(), self.url(path), "{}", page.text());
        assert!(page.body.starts_with("app "), "{}", page.text());
    }

    /// By a script of the page: the status, and the body where it is JSON.
    pub(crate) async fn fetch(&self, method: &str, path: &str) -> (u16, Value) {
        let answer = self.browser.fetch(method, &self.url(path)).await;
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    pub(crate) async fn status(&self, path: &str) -> u16 {
        self.fetch("GET", path).await.0
    }

    /// `password=proven mfa=held …`; empty when nobody is signed in.
    pub(crate) async fn levels(&self) -> String {
        let (_, me) = self.fetch("GET", "/.stepgate/me").await;
        let Some(levels) = me["levels"].as_array() else {
            return String::new();
        };
        let told: Vec<_> = levels
            .iter()
            .map(|level| {
                let text = |name: &str| level[name].as_str().unwrap();
                format!("{}={}", text("level"), text("state"))
            })
            .collect();
        told.join(" ")
    }

    /// What the provider was asked, of the latest request.
    pub(crate) fn last_asked(&self) -> Map<String, Value> {
        let asked = self.realm.asked();
        let last = asked.last().expect("the provider was asked");
        last.iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect()
    }

    pub(crate) fn asked(&self) -> usize {
        self.realm.asked().len()
    }

    pub(crate) fn last_hit(&self) -> Hit {
        self.hits.lock().unwrap().last().cloned().expect("a hit")
    }

    pub(crate) fn hit_count(&self) -> usize {
        self.hits.lock().unwrap().len()
    }

    /// Until the audit log has such an event.
    pub(crate) async fn audited(&self, event: &str, reason: &str) -> Value {
        eventually(&format!("{event} {reason} in the audit log"), || {
            let log = self.stepgate.log("audit.log");
            let mut lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| {
                line["event"] == event && line["reason"].as_str().unwrap_or_default() == reason
            })
        })
        .await
    }

    /// The access log's line of the latest request for that path.
    pub(crate) async fn logged(&self, path: &str) -> Value {
        eventually(&format!("{path} in the access log"), || {
            let lines = self.lines();
            lines.into_iter().rfind(|line| line["path"] == path)
        })
        .await
    }

    fn lines(&self) -> Vec<Value> {
        self.stepgate
            .log("access.log")
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn no_secret_is_logged(&self) {
        let logs = self.stepgate.log("access.log") + &self.stepgate.log("audit.log");
        for (url, cookie) in &self.browser.seen {
            if url.host_str() == Some("127.0.0.1") {
                // The provider's own.
                continue;
            }
            let secrets: Vec<_> = match cookie {
                Some(value) => vec![value.clone()],
                None => url
                    .query_pairs()
                    .filter(|(name, _)| {
                        // By an approval's id nobody may do anything, and operators look for it.
                        !matches!(
                            &**name,
                            "__stepgate_approved"
                                | "error"
                                | "iss"
                                | "level"
                                | "return"
                                | "session_state"
                        )
                    })
                    .map(|(_, value)| value.into_owned())
                    .collect(),
            };
            for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
                assert!(!logs.contains(secret.as_str()), "in a log: {secret}");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.no_secret_is_logged();
    }
}

pub(crate) fn heading(page: &Page) -> &str {
    let rest = page.body.split("<h1>").nth(1).unwrap_or_default();
    rest.split("</h1>").next().unwrap_or_default()
}

fn code(page: &Page) -> String {
    let rest = page.body.split("sandbox: ").nth(1).unwrap();
    rest.chars().take_while(char::is_ascii_digit).collect()
}

/// Tells what it saw, and sets its own session's cookie on request.
async fn app(hits: Arc<Mutex<Vec<Hit>>>) -> String {
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let hits = Arc::clone(&hits);
        async move {
            let text = format!("app {method} {uri}");
            let sets = uri.path().ends_with("/set-cookie");
            hits.lock().unwrap().push(Hit {
                method,
                target: uri.to_string(),
                headers,
                body,
            });
            let mut answer = HeaderMap::new();
            if sets {
                let cookie = "JSESSIONID=the-apps-own; Path=/; HttpOnly";
                answer.insert("set-cookie", cookie.parse().unwrap());
            }
            (answer, text)
        }
    };
    let router = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::disable());
    format!("http://{}", oracle::serve(router).await)
}

async fn provide(port: u16, realm: &Arc<Realm>) -> JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let serving = serve_provider(listener, Arc::clone(realm));
    tokio::spawn(async move { serving.await.unwrap() })
}

fn realm(issuer: &str, clock: Arc<TestClock>, jwk: Option<&Value>) -> Arc<Realm> {
    let user = |name: &str, groups: &[&str], has_otp| User {
        name: name.to_owned(),
        password: format!("{name}-password"),
        groups: groups.iter().map(ToString::to_string).collect(),
        has_otp,
    };
    let client = Client {
        id: "stepgate".to_owned(),
        secret: SECRET.to_owned(),
        jwk: jwk.cloned(),
        redirects: Vec::new(),
        backchannel: Vec::new(),
    };
    let users = vec![
        user("alice", &["clerks"], true),
        user("bob", &["clerks"], false),
        user("carol", &["clerks", "admins"], true),
        user("dave", &["clerks", "leads"], true),
        user("erin", &["clerks", "leads"], true),
    ];
    Realm::new(issuer, client, users, clock, Arc::new(SystemRandom::new())).unwrap()
}

fn written(port: u16, issuer: &str, upstream: &str, twist: Twist<'_>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let log = |name: &str| path(name).display().to_string();
    let config = format!(
        r#"
version  = 1
listen   = ["127.0.0.1:{port}"]
policies = "policies"
[sessions]
path     = "sessions"
idle     = "1h"
absolute = "12h"
[keycloak]
issuer        = "{issuer}"
client_id     = "stepgate"
client_secret = {{ file = "secret" }}
timeout       = "2s"
[[levels]]
name  = "password"
base  = true
proof = {{ acr = ["1", "pwd"] }}
ask   = {{ acr_values = "pwd" }}
[[levels]]
name  = "mfa"
label = "One-time code"
proof = {{ acr = ["2", "mfa"], amr_any = ["otp", "hwk"] }}
ask   = {{ acr_values = "mfa", prompt = "login" }}
lasts = "30m"
enrol = "page"
[[levels]]
name  = "hardware-key"
proof = {{ acr = ["3", "phr"], amr_any = ["hwk"] }}
ask   = {{ acr_values = "phr", always_asked = true }}
lasts = "5m"
[networks]
office = ["192.0.2.0/24"]
[log]
access = {{ file = "{}" }}
audit  = {{ file = "{}" }}
[upstreams.app]
url = "{upstream}"
"#,
        log("access.log"),
        log("audit.log")
    );
    let replaced = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "{from:?} is not there");
        text.replacen(from, to, 1)
    };
    let front = twist.front.unwrap_or(port);
    let approver = format!("http://approve.localhost:{front}");
    let config = twist.config.iter().fold(config, replaced);
    write("stepgate.toml", &config.replace("APPROVER", &approver));
    write("secret", SECRET);
    // Of webhooks, each of its own.
    for (name, letter) in [
        ("out.key", "A"),
        ("in.key", "B"),
        ("next.key", "C"),
        ("other.key", "D"),
    ] {
        write(name, &format!("whsec_{}", letter.repeat(32)));
    }
    write("key.pem", twist.key.unwrap_or_default());
    std::fs::create_dir(path("policies")).unwrap();
    std::fs::create_dir(path("sessions")).unwrap();
    let policy = twist.policy.iter().fold(POLICY.to_owned(), replaced);
    for host in ["payroll", "other"] {
        // The provider's calls come by address: its resolver does not know the names.
        let address = match host {
            "payroll" => format!(", \"http://127.0.0.1:{port}\""),
            _ => String::new(),
        };
        let url = format!("urls = [\"http://{host}.localhost:{front}\"{address}]\n");
        // No two apps take the same tokens.
        let policy = policy.replace("audience = \"erp\"", &format!("audience = \"{host}\""));
        write(&format!("policies/{host}.toml"), &(url + &policy));
    }
    folder
}
