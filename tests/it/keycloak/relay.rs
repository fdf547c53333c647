//! Keycloak has one authentication channel for all of its realms, from its start on; here each test has a realm and a
//! stepgate of its own. What Keycloak hands on is brought to the one whose realm it is of.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// What Keycloak handed on, as it came.
#[derive(Clone, Debug)]
pub(crate) struct HandedOn {
    pub(crate) token: String,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
struct Desk {
    /// By the realm: the port of its stepgate.
    ports: BTreeMap<String, u16>,
    handed_on: BTreeMap<String, Vec<HandedOn>>,
}

static DESK: LazyLock<Mutex<Desk>> = LazyLock::new(Mutex::default);

/// What Keycloak calls. On threads of its own: it outlives the test that started it.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || bring(connection));
        }
    });
    format!("http://{address}/handed-on")
}

/// From now on; `origin` is an app's of that stepgate.
pub(crate) fn lead(realm: &str, origin: &str) {
    let url: reqwest::Url = origin.parse().unwrap();
    let port = url.port().unwrap();
    DESK.lock().unwrap().ports.insert(realm.to_owned(), port);
}

pub(crate) fn handed_on(realm: &str) -> Vec<HandedOn> {
    let desk = DESK.lock().unwrap();
    desk.handed_on.get(realm).cloned().unwrap_or_default()
}

fn bring(mut from: TcpStream) {
    let (token, body) = read(&mut from);
    let realm = realm_of(&token);
    let port = {
        let mut desk = DESK.lock().unwrap();
        let (token, body) = (token.clone(), body.clone());
        let all = desk.handed_on.entry(realm.clone()).or_default();
        all.push(HandedOn { token, body });
        desk.ports.get(&realm).copied()
    };
    let Some(port) = port else {
        let _gone =
            from.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    let mut to = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "POST /.stepgate/ciba HTTP/1.1\r\nHost: approve.localhost:{port}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    to.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).unwrap();
    let _gone = from.write_all(&answer);
}

fn read(from: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = from.read(&mut chunk).unwrap();
        assert!(read > 0, "Keycloak hung up");
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let field = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case(wanted).then_some(value.trim())
            })
        };
        let length: usize = field("content-length").unwrap().parse().unwrap();
        if body.len() >= length {
            let token = field("authorization").unwrap();
            let token = token.strip_prefix("Bearer ").unwrap();
            return (token.to_owned(), body.to_owned());
        }
    }
}

fn realm_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let issuer = claims["iss"].as_str().unwrap();
    issuer.rsplit('/').next().unwrap().to_owned()
}
