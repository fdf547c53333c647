//! A whole stepgate in the test's own process, an upstream that does what a test says, and a client of plain bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use stepgate::admin::AdminListeners;
use stepgate::config::{self, Files, Options, Secrets};
use stepgate::model::time::Clock;
use stepgate::sandbox::{Client, Realm, User, serve_provider};
use stepgate::seal::SystemRandom;
use stepgate::server::{
    Handle, Instance, Listeners, Operations, Reloader, Source, StartError, SystemClock,
};
use stepgate::store::Stock;
use stepgate::telemetry::Metrics;
use stepgate::telemetry::metrics::{Format, Limit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::oracle::{self, Oracle};

/// Nothing here takes that long unless it hangs.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// Upstreams get this long for everything.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(800);

const SECRET: &str = "only-for-tests";

pub(crate) struct Stepgate {
    pub(crate) address: SocketAddr,
    /// Of the first listener with TLS, if there is one.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) reloader: Arc<Reloader>,
    /// The admin listener, where there is one.
    pub(crate) admin: Option<SocketAddr>,
    operating: JoinHandle<()>,
    handle: Handle,
    stop: watch::Sender<bool>,
    /// Before the folder, which has the log that it reads.
    _oracle: Oracle,
    folder: TempDir,
}

impl Stepgate {
    /// Before one upstream. `/public/**` is for everybody, everything else needs a login at the realm.
    pub(crate) async fn before(upstream: SocketAddr, issuer: &str, grace: &str) -> Self {
        Self::serve(written(0, upstream, issuer, grace, TIMEOUT)).expect("port 0 is always free")
    }

    /// By the folder's `stepgate.toml`, which logs to `access.log`; the error: a port that is taken.
    pub(crate) fn serve(folder: TempDir) -> Result<Self, StartError> {
        Self::serve_by(folder, Arc::new(SystemClock))
    }

    pub(crate) fn serve_by(folder: TempDir, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        install_crypto();
        let options = Options {
            environment: Vec::new(),
            secrets: Secrets::Required,
            now: None,
        };
        let source = Source {
            path: folder.path().join("stepgate.toml"),
            options,
        };
        let files = Files::default();
        let loaded = config::load_noting(&source.path, &source.options, &files);
        let config = Arc::new(match loaded {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{problems:#?}"),
        });
        let oracle = Oracle {
            apps: config
                .upstreams
                .iter()
                .flat_map(|upstream| &upstream.urls)
                .filter_map(|url| url.socket_addrs(|| None).ok())
                .flatten()
                .collect(),
            logs: vec![folder.path().join("access.log")],
        };
        let listeners = Listeners::bind(&config)?;
        let admin = AdminListeners::bind(&config)?;
        let address = listeners.addresses().next().unwrap();
        let tls = listeners.tls_addresses().next();
        let random = Arc::new(SystemRandom::new());
        let instance = Instance::new(config, Arc::clone(&clock), random).unwrap();
        let handle = instance.handle();
        let reloader = Arc::new(Reloader::new(source, files, instance.handle(), clock));
        let operations = Operations::new(instance.handle(), Arc::clone(&reloader));
        let address_for_operators = admin.addresses().next();
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            address,
            handle,
            reloader,
            tls,
            admin: address_for_operators,
            operating: tokio::spawn(admin.serve(Arc::new(operations))),
            serving: tokio::spawn(instance.serve(listeners, stopped)),
            stop,
            _oracle: oracle,
            folder,
        })
    }

    /// Writes a file of the configuration, by what it is now.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&str) -> String) {
        let path = self.folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, edit(&text)).unwrap();
    }

    /// With these keys of `[limits]`, and no realm.
    pub(crate) async fn limited(upstream: SocketAddr, limits: &str) -> Self {
        let folder = written(
            0,
            upstream,
            "http://127.0.0.1:1/realms/none",
            "15s",
            TIMEOUT,
        );
        let path = folder.path().join("stepgate.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let (head, tail) = config.split_once("[limits]\n").unwrap();
        std::fs::write(&path, format!("{head}[limits]\n{limits}\n{tail}")).unwrap();
        Self::serve(folder).expect("port 0 is always free")
    }

    /// Where no route is asked that needs the realm.
    pub(crate) async fn without_realm(upstream: SocketAddr) -> Self {
        Self::before(upstream, "http://127.0.0.1:1/realms/none", "15s").await
    }

    /// Ends it, and leaves its folder to another one.
    pub(crate) async fn ended(self) -> TempDir {
        self.stop();
        let Self {
            folder,
            serving,
            operating,
            ..
        } = self;
        let _ended = operating.await;
        serving.await.unwrap();
        folder
    }

    pub(crate) fn stop(&self) {
        self.stop.send(true).unwrap();
        self.operating.abort();
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a request and reads until the connection ends; the request says `Connection: close`.
    pub(crate) async fn ask(&self, request: &str) -> String {
        ask(self.address, request).await
    }

    pub(crate) fn counted(&self) -> &Metrics {
        self.handle.metrics()
    }

    /// What operators' commands come to.
    pub(crate) fn operations(&self) -> Operations {
        Operations::new(self.handle.clone(), Arc::clone(&self.reloader))
    }

    /// What is parked.
    pub(crate) fn stock(&self) -> Stock {
        self.handle.stock()
    }

    /// How many were refused by that limit.
    pub(crate) fn refused(&self, limit: Limit) -> u64 {
        self.handle.metrics().limit_refusals.get(limit)
    }

    /// As they are scraped.
    pub(crate) fn metrics(&self) -> String {
        self.handle.metrics().encode(Format::Prometheus).unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Of a file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in a log file now.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The access log once it has that many lines.
    pub(crate) async fn access(&self, lines: usize) -> Vec<Value> {
        let path: PathBuf = self.folder.path().join("access.log");
        eventually("the access log's lines", || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let read: Vec<Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            (read.len() >= lines).then_some(read)
        })
        .await
    }

    /// A user's session cookie, from a login at the realm.
    pub(crate) async fn log_in(&self, user: &str) -> String {
        log_in(self.address, user).await
    }
}

/// The same at any stepgate.
pub(crate) async fn log_in(address: SocketAddr, user: &str) -> String {
    let (start, flow) = start_login(address).await;
    let callback = sign_in(&start, user).await;
    session_of(&ask(address, &page(&callback, &flow)).await)
}

/// Where it leads, and the flow's cookie.
pub(crate) async fn start_login(address: SocketAddr) -> (String, String) {
    let start = ask(address, &page("/", "none=1")).await;
    (field(&start, "location").to_owned(), cookie(&start))
}

/// At the realm; gives the callback's path and query.
pub(crate) async fn sign_in(location: &str, user: &str) -> String {
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let page = browser.get(location).send().await.unwrap();
    let page = page.text().await.unwrap();
    let (_, action) = page.split_once("action=\"").unwrap();
    let (action, _) = action.split_once('"').unwrap();
    let password = format!("{user}-password");
    let answer = browser
        .post(action.replace("&amp;", "&"))
        .form(&[("username", user), ("password", &password)])
        .send()
        .await
        .unwrap();
    let back = answer.headers()["location"].to_str().unwrap();
    let (_, callback) = back.split_once("://app.localhost").unwrap();
    callback.to_owned()
}

/// As a browser's tab asks for it.
pub(crate) fn page(target: &str, cookie: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
         Cookie: {cookie}\r\nConnection: close\r\n\r\n"
    )
}

/// Sends a request and reads until the connection ends; the request says `Connection: close`.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> String {
    let mut wire = Wire(TcpStream::connect(address).await.unwrap());
    wire.send(request).await;
    wire.rest().await
}

/// The session's cookie, from the answer to a callback.
pub(crate) fn session_of(landed: &str) -> String {
    landed
        .lines()
        .filter_map(|line| line.strip_prefix("Set-Cookie: "))
        .find(|set| set.starts_with("__Host-stepgate="))
        .and_then(|set| set.split(';').next())
        .unwrap_or_else(|| panic!("no session after the login:\n{landed}"))
        .to_owned()
}

/// The files of [`Stepgate::before`]; `timeout`: the upstream's.
pub(crate) fn written(
    port: u16,
    upstream: SocketAddr,
    issuer: &str,
    grace: &str,
    timeout: Duration,
) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let milliseconds = timeout.as_millis();
    write("secret", SECRET);
    write(
        "stepgate.toml",
        &format!(
            r#"
            version  = 1
            listen   = ["127.0.0.1:{port}"]
            policies = "policies"
            [sessions]
            store    = "memory"
            [keycloak]
            issuer        = "{issuer}"
            client_id     = "stepgate"
            client_secret = {{ file = "secret" }}
            [[levels]]
            name  = "password"
            base  = true
            proof = {{ acr = ["1", "pwd"] }}
            [limits]
            grace = "{grace}"
            [log]
            access = {{ file = "{}" }}
            audit  = "off"
            [upstreams.app]
            url      = "http://{upstream}"
            timeouts = {{ connect = "{milliseconds}ms", response = "{milliseconds}ms", idle = "{milliseconds}ms" }}
            "#,
            folder.path().join("access.log").display()
        ),
    );
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    write(
        "policies/app.toml",
        r#"
        url      = "http://app.localhost"
        upstream = "app"
        require  = { level = "password" }
        identity = { preset = "oauth2-proxy", X-Level = "{level}" }
        [[routes]]
        id     = "public"
        path   = "/public/**"
        public = true
        "#,
    );
    folder
}

/// As `run` does, once a process.
pub(crate) fn install_crypto() {
    let _first = rustls::crypto::ring::default_provider().install_default();
}

/// A realm with the user `alice`; gives its issuer.
pub(crate) async fn realm() -> String {
    serving_realm().await.issuer.clone()
}

/// The same, for a test that makes tokens of its own.
pub(crate) async fn serving_realm() -> Arc<Realm> {
    install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}/realms/demo", listener.local_addr().unwrap());
    let alice = User {
        name: "alice".to_owned(),
        password: "alice-password".to_owned(),
        groups: vec!["clerks".to_owned()],
        has_otp: false,
    };
    let client = Client {
        id: "stepgate".to_owned(),
        secret: SECRET.to_owned(),
        jwk: None,
        redirects: vec![
            "http://app.localhost/".to_owned(),
            "https://app.localhost/".to_owned(),
        ],
        backchannel: Vec::new(),
    };
    let random = Arc::new(SystemRandom::new());
    let realm = Realm::new(&issuer, client, vec![alice], Arc::new(SystemClock), random).unwrap();
    tokio::spawn(serve_provider(listener, Arc::clone(&realm)));
    realm
}

/// What reached an upstream: one header block for each request.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

/// Where nobody listens, and no other test's app will as long as the socket is there.
pub(crate) fn nobody() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An upstream that reads request headers and leaves the answer, and the rest, to `answer`; it gets the header block
/// and the connection, and says whether the connection is read from again.
pub(crate) async fn upstream<A, F>(answer: A) -> (SocketAddr, Seen)
where
    A: Fn(String, Wire) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Wire>> + Send,
{
    let (listener, address) = oracle::listen().await;
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, noted) = (answer.clone(), Arc::clone(&noted));
            tokio::spawn(async move {
                let mut wire = Some(Wire(stream));
                while let Some(mut open) = wire.take() {
                    let header = open.header().await;
                    if header.is_empty() {
                        break;
                    }
                    oracle::note(address, field(&header, "x-request-id"));
                    noted.lock().unwrap().push(header.clone());
                    wire = answer(header, open).await;
                }
            });
        }
    });
    (address, seen)
}

/// A connection, read and written as bytes.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Up to and with the empty line; what came before the connection's end otherwise.
    pub(crate) async fn header(&mut self) -> String {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            match bounded(self.0.read_u8()).await {
                Ok(byte) => read.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(read).unwrap()
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut read = vec![0; length];
        bounded(self.0.read_exact(&mut read)).await.unwrap();
        read
    }

    /// A header and the body that its `Content-Length` announces.
    pub(crate) async fn answer(&mut self) -> String {
        let header = self.header().await;
        let length = field(&header, "content-length").parse().unwrap();
        header + &String::from_utf8(self.exactly(length).await).unwrap()
    }

    /// Until the other side closes; that it resets counts as closing.
    pub(crate) async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        let _closed = bounded(self.0.read_to_end(&mut read)).await;
        String::from_utf8(read).unwrap()
    }
}

/// Of an answer or a request; empty where there is none.
pub(crate) fn field<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim())
}

pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1);
    code.and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Name and value of the first cookie that is set.
fn cookie(answer: &str) -> String {
    let set = field(answer, "set-cookie");
    assert!(!set.is_empty(), "no cookie is set:\n{answer}");
    set.split(';').next().unwrap().to_owned()
}

pub(crate) async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.expect("it hangs")
}

/// Looks until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < BOUND, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same where looking takes a request.
pub(crate) async fn eventually_async<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < BOUND, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
