//! An app that streams in every way, stepgate with TLS before it, and clients that stay.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::world::{Twist, World};
use crate::dpop::ProofKey;
use crate::harness::{Wire, bounded, status, upstream};
use crate::keycloak::free_port;
use crate::oracle;
use crate::tls::pki::Authority;

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

const GREETING: &[u8] = b"\x81\x02hi";

/// A message of three bytes.
pub(super) const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";

/// The app's side of what is open, in the order in which it was opened.
pub(super) struct Apps {
    pub(super) wires: UnboundedReceiver<Wire>,
    pub(super) calls: UnboundedReceiver<Call>,
}

/// The app's side of a call; without an answer where it was asked for silence.
pub(super) struct Call {
    pub(super) answer: Option<SendStream<Bytes>>,
    pub(super) request: RecvStream,
    _unanswered: Option<h2::server::SendResponse<Bytes>>,
}

pub(super) struct Site {
    pub(super) world: World,
    pub(super) apps: Apps,
    /// What clients send instead of a cookie.
    pub(super) token: Option<String>,
    /// That it is bound to (RFC 9449).
    key: Option<ProofKey>,
    roots: RootCertStore,
    pub(super) tls: SocketAddr,
    /// Of the certificate, and of its authority's (`ca.pem`).
    pub(super) folder: tempfile::TempDir,
}

/// What a client reads and writes.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<C: AsyncRead + AsyncWrite + Unpin + Send> Connection for C {}

/// A WebSocket, or an event stream over HTTP/1.
pub(super) struct Open(pub(super) Box<dyn Connection>);

/// An answer over HTTP/2.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    pub(super) body: RecvStream,
    pub(super) request: SendStream<Bytes>,
}

impl Site {
    /// `keys`: further ones of the policy itself.
    pub(super) async fn with_keys(keys: &str) -> Self {
        Self::with(keys, "", "").await
    }

    /// `policy`: further routes. `more`: tables of the installation.
    pub(super) async fn with(keys: &str, policy: &str, more: &str) -> Self {
        let (sender, wires) = unbounded_channel();
        let (app, _) = upstream(move |header, mut wire| {
            let sender = sender.clone();
            async move {
                if header.contains("/ordinary") || !(header.contains("/ws") || header.contains("/events")) {
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\napp ").await;
                    return Some(wire);
                }
                if header.contains("/ws") {
                    wire.send(SWITCHING).await;
                    wire.0.write_all(GREETING).await.unwrap();
                } else {
                    let encoding = match header.contains("/packed") {
                        true => "Content-Encoding: x-packed\r\n",
                        false => "",
                    };
                    wire.send(&format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n{encoding}\
                         Connection: close\r\n\r\ndata: hi\n\n"
                    ))
                    .await;
                }
                sender.send(wire).unwrap();
                None
            }
        })
        .await;
        let (grpc, calls) = grpc_app().await;
        let authority = Authority::new("Example Root");
        let folder = tempfile::tempdir().unwrap();
        authority
            .server(&["payroll.localhost"])
            .write(folder.path(), "payroll");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let tls_port = free_port();
        let top = format!(
            "listen_tls = [\"127.0.0.1:{tls_port}\"]\nplain = \"serve\"\npolicies = \"policies\"\n\
             [[certificates]]\ncert = \"{0}/payroll.pem\"\nkey = {{ file = \"{0}/payroll.key\" }}",
            folder.path().display()
        );
        let upstreams = format!(
            "[upstreams.grpc]\nurl = \"http://{grpc}\"\nprotocol = \"h2c\"\n{more}\n[upstreams.app]"
        );
        let routes = format!(
            "[[routes]]\nid = \"grpc\"\npath = \"/mfa/grpc/**\"\nupstream = \"grpc\"\nrequire = {{ level = \"mfa\" }}\n\
             {policy}\n[[routes]]\nid     = \"public\""
        );
        let world = World::twisted(Twist {
            config: &[
                ("policies = \"policies\"", &top),
                ("[upstreams.app]", &upstreams),
            ],
            policy: &[
                ("[[routes]]\nid     = \"public\"", &routes),
                ("identity    = {", &format!("{keys}\nidentity    = {{")),
            ],
            upstream: Some(&format!("http://{app}")),
            ..Twist::default()
        })
        .await;
        let tls = world.stepgate.tls.unwrap();
        Self {
            world,
            apps: Apps { wires, calls },
            token: None,
            key: None,
            roots: authority.roots(),
            tls,
            folder,
        }
    }

    pub(super) async fn signed_in(policy: &str) -> Self {
        Self::signed_in_under(policy, "").await
    }

    pub(super) async fn signed_in_under(policy: &str, more: &str) -> Self {
        let mut site = Self::with("", policy, more).await;
        site.world.lands("/mfa/ordinary", "alice").await;
        site
    }

    fn request(&self, target: &str, more: &str) -> String {
        let url: reqwest::Url = self.world.url("/").parse().unwrap();
        let asked = url.join(target).unwrap();
        let credentials = self.credentials("GET", &asked);
        let credentials = credentials.map(|(name, value)| format!("{name}: {value}\r\n"));
        format!(
            "GET {target} HTTP/1.1\r\nHost: payroll.localhost:{}\r\n{}{more}\r\n",
            url.port().unwrap(),
            credentials.collect::<String>(),
        )
    }

    pub(super) fn bind(&mut self, token: String, key: ProofKey) {
        self.token = Some(token);
        self.key = Some(key);
    }

    fn credentials(
        &self,
        method: &str,
        url: &reqwest::Url,
    ) -> impl Iterator<Item = (&'static str, String)> {
        let fields = match (&self.token, &self.key) {
            (Some(token), Some(key)) => {
                let now = self.world.clock.seconds();
                let claims = ProofKey::claims(method, url.as_str(), Some(token), now);
                vec![
                    ("authorization", format!("DPoP {token}")),
                    ("dpop", key.sign(&claims)),
                ]
            }
            (Some(token), None) => vec![("authorization", format!("Bearer {token}"))],
            (None, _) => vec![("cookie", self.world.browser.cookies_for(url))],
        };
        fields.into_iter()
    }

    pub(super) async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.tls).await.unwrap();
        let name = ServerName::try_from("payroll.localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        bounded(connecting).await.unwrap()
    }

    async fn stream(&self, secure: bool) -> Box<dyn Connection> {
        match secure {
            true => Box::new(self.connect(b"http/1.1").await),
            false => Box::new(self.world.stepgate.wire().await.0),
        }
    }

    /// A WebSocket that has greeted, and the app's side of it.
    pub(super) async fn websocket(&mut self, target: &str, secure: bool) -> (Open, Wire) {
        let mut open = Open(self.stream(secure).await);
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        open.say(self.request(target, upgrade).as_bytes()).await;
        let header = open.until(b"\r\n\r\n").await;
        assert_eq!(status(&header), 101, "{header}");
        assert_eq!(open.exactly(GREETING.len()).await, GREETING);
        (open, bounded(self.apps.wires.recv()).await.unwrap())
    }

    /// An event stream over HTTP/1 whose first event was read, and the app's side of it.
    pub(super) async fn events(&mut self, target: &str, secure: bool) -> (Open, Wire) {
        self.events_by(target, secure, "").await
    }

    /// `more`: fields of the request, each with its line's end.
    pub(super) async fn events_by(
        &mut self,
        target: &str,
        secure: bool,
        more: &str,
    ) -> (Open, Wire) {
        let mut open = Open(self.stream(secure).await);
        let accept = format!("Accept: text/event-stream\r\n{more}");
        open.say(self.request(target, &accept).as_bytes()).await;
        let header = open.until(b"\r\n\r\n").await;
        assert_eq!(status(&header), 200, "{header}");
        assert!(open.until(b"data: hi\n\n\r\n").await.contains("hi"));
        (open, bounded(self.apps.wires.recv()).await.unwrap())
    }

    /// Sends the header of a request over HTTP/2, and leaves it open where it has a content type.
    pub(super) async fn ask(
        &self,
        target: &str,
        kind: Option<&str>,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let (client, connection) = bounded(h2::client::handshake(self.connect(b"h2").await))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut client = bounded(client.ready()).await.unwrap();
        let url: reqwest::Url = self.world.url(target).parse().unwrap();
        let secure = url.as_str().replacen("http:", "https:", 1);
        let method = if kind.is_some() { "POST" } else { "GET" };
        let mut request = Request::builder().uri(secure).method(method);
        for (name, value) in self.credentials(method, &url) {
            request = request.header(name, value);
        }
        if let Some(kind) = kind {
            request = request
                .header("content-type", kind)
                .header("te", "trailers");
        } else {
            request = request.header("accept", "text/event-stream");
        }
        client
            .send_request(request.body(()).unwrap(), kind.is_none())
            .unwrap()
    }

    pub(super) async fn answer(&self, target: &str, kind: Option<&str>) -> Answer {
        let (answer, request) = self.ask(target, kind).await;
        let (head, body) = bounded(answer).await.unwrap().into_parts();
        Answer {
            head: Response::from_parts(head, ()),
            body,
            request,
        }
    }

    /// An event stream over HTTP/2, and the app's side of it.
    pub(super) async fn events_over_h2(&mut self, target: &str) -> (Answer, Wire) {
        let mut answer = self.answer(target, None).await;
        assert_eq!(answer.head.status(), 200);
        assert_eq!(answer.piece().await, b"data: hi\n\n");
        (answer, bounded(self.apps.wires.recv()).await.unwrap())
    }

    /// A call of gRPC that has a first message, and the app's side of it.
    pub(super) async fn call(&mut self, target: &str) -> (Answer, Call) {
        let mut answer = self.answer(target, Some("application/grpc")).await;
        assert_eq!(answer.head.status(), 200);
        assert_eq!(answer.piece().await, MESSAGE);
        (answer, bounded(self.apps.calls.recv()).await.unwrap())
    }
}

impl Open {
    pub(super) async fn say(&mut self, bytes: &[u8]) {
        bounded(self.0.write_all(bytes)).await.unwrap();
        bounded(self.0.flush()).await.unwrap();
    }

    pub(super) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut read = vec![0; length];
        bounded(self.0.read_exact(&mut read)).await.unwrap();
        read
    }

    pub(super) async fn until(&mut self, end: &[u8]) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end) {
            read.extend(self.exactly(1).await);
        }
        String::from_utf8(read).unwrap()
    }

    /// Until the other side closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let _cut = bounded(self.0.read_to_end(&mut read)).await;
        read
    }

    /// The code and the text of the Close frame that comes next; it is answered.
    pub(super) async fn closed(&mut self) -> String {
        let head = self.exactly(2).await;
        assert_eq!(head[0], 0x88, "a Close frame");
        let payload = self.exactly(usize::from(head[1])).await;
        self.say(b"\x88\x82\0\0\0\0\x03\xe8").await;
        let (code, text) = payload.split_at(2);
        let code = u16::from_be_bytes(code.try_into().unwrap());
        format!("{code} {}", String::from_utf8_lossy(text))
    }

    /// The code in the event that ends the stream, which has to end in good order.
    pub(super) async fn last_event(&mut self) -> String {
        let rest = String::from_utf8(self.rest().await).unwrap();
        let rest = rest
            .strip_suffix("0\r\n\r\n")
            .unwrap_or_else(|| panic!("cut off: {rest:?}"));
        let (_, chunk) = rest
            .split_once("\r\n")
            .unwrap_or_else(|| panic!("no chunk: {rest:?}"));
        event_code(chunk.trim_end_matches("\r\n"))
    }
}

/// Of the problem that it carries.
pub(super) fn event_code(event: &str) -> String {
    let data = event
        .strip_prefix("event: stepup-required\ndata: ")
        .unwrap_or_else(|| panic!("another event: {event:?}"));
    let problem: serde_json::Value = serde_json::from_str(data.trim_end()).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

impl Answer {
    pub(super) async fn piece(&mut self) -> Vec<u8> {
        let piece = bounded(self.body.data()).await.unwrap().unwrap();
        let _flow = self.body.flow_control().release_capacity(piece.len());
        piece.to_vec()
    }

    /// What comes until its end, and what that is: its trailers, or why it broke off.
    pub(super) async fn end(&mut self) -> (Vec<u8>, Result<HeaderMap, h2::Error>) {
        let mut read = Vec::new();
        while let Some(piece) = bounded(self.body.data()).await {
            match piece {
                Ok(piece) => {
                    let _flow = self.body.flow_control().release_capacity(piece.len());
                    read.extend_from_slice(&piece);
                }
                Err(error) => return (read, Err(error)),
            }
        }
        let trailers = bounded(self.body.trailers()).await;
        (read, trailers.map(Option::unwrap_or_default))
    }

    pub(super) async fn last_event(&mut self) -> String {
        let (rest, end) = self.end().await;
        end.expect("it ends in good order");
        event_code(&String::from_utf8(rest).unwrap())
    }

    /// Status and message of a call.
    pub(super) async fn grpc_status(&mut self) -> String {
        let (rest, trailers) = self.end().await;
        assert_eq!(rest, b"");
        told(&trailers.unwrap())
    }
}

pub(super) fn told(headers: &HeaderMap) -> String {
    let text = |name| {
        headers
            .get(name)
            .map_or("", |value: &http::HeaderValue| value.to_str().unwrap())
    };
    format!("{} {}", text("grpc-status"), text("grpc-message"))
}

async fn grpc_app() -> (SocketAddr, UnboundedReceiver<Call>) {
    let (listener, address) = oracle::listen().await;
    let (sender, calls) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let id = request.headers().get("x-request-id").unwrap();
                    oracle::note(address, id.to_str().unwrap());
                    let is_silent = request.uri().path().ends_with("/silent");
                    let (mut answer, mut unanswered) = (None, None);
                    if is_silent {
                        unanswered = Some(respond);
                    } else {
                        let kind = request.headers()["content-type"].clone();
                        let head = Response::builder().header("content-type", kind);
                        let mut stream = respond
                            .send_response(head.body(()).unwrap(), false)
                            .unwrap();
                        stream
                            .send_data(Bytes::from_static(MESSAGE), false)
                            .unwrap();
                        answer = Some(stream);
                    }
                    let call = Call {
                        answer,
                        request: request.into_body(),
                        _unanswered: unanswered,
                    };
                    sender.send(call).unwrap();
                }
            });
        }
    });
    (address, calls)
}
