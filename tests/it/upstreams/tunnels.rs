//! WebSockets: none is lost, over TLS neither, and what one side says is what the other hears.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::before;
use super::parts::{Authority, Leaf, tomcat};
use crate::harness::{Stepgate, Wire, bounded, field, status};

const TUNNELS: usize = 2_000;
const AT_ONCE: usize = 8;

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: app.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Origin: http://app.localhost\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Answers an upgrade before it is asked, so that its answer always wins the race, and then sends back what comes.
pub(super) fn hasty(leaf: &Leaf) -> SocketAddr {
    use std::io::{Read as _, Write as _};
    let certificate = CertificateDer::from_pem_file(&leaf.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || {
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello";
                let mut header = Vec::new();
                let mut bytes = [0; 7];
                let mut open = tls.write_all(answer).is_ok();
                while open && !header.ends_with(b"\r\n\r\n") {
                    open = tls.read_exact(&mut bytes[..1]).is_ok();
                    header.push(bytes[0]);
                }
                while tls.read_exact(&mut bytes).is_ok() && tls.write_all(&bytes).is_ok() {}
            });
        }
    });
    address
}

async fn is_whole(stepgate: &Stepgate) -> bool {
    let mut wire = stepgate.wire().await;
    wire.send(&upgrade("/public/ws")).await;
    let header = wire.header().await;
    assert_eq!(status(&header), 101, "{header}");
    let mut frame = [0; 7];
    let first = bounded(wire.0.read_exact(&mut frame)).await.is_ok() && &frame == b"\x81\x05hello";
    let sent = wire.0.write_all(b"\x81\x05HELLO").await.is_ok();
    let echoed = bounded(wire.0.read_exact(&mut frame)).await.is_ok() && frame.ends_with(b"HELLO");
    first && sent && echoed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tunnel_over_tls_is_lost() {
    crate::harness::install_crypto();
    let ours = Authority::new("ours");
    let app = hasty(&ours.sign("app", "DNS:app.internal"));
    let stepgate = before(&format!(
        "url = \"https://{app}\"\nprotocol = \"auto\"\ntls = {{ ca = \"{}\", server_name = \"app.internal\" }}",
        ours.certificate.display()
    ));
    let rounds = (0..AT_ONCE).map(async |_| {
        let mut whole = 0;
        for _ in 0..TUNNELS / AT_ONCE {
            whole += usize::from(is_whole(&stepgate).await);
        }
        whole
    });
    let whole: usize = futures_util::future::join_all(rounds)
        .await
        .into_iter()
        .sum();
    assert_eq!(whole, TUNNELS);
}

/// Sends back what comes, and a close as it came; `bye` is answered by a close of its own.
const ECHO_JSP: &str = r#"<%@ page session="false" trimDirectiveWhitespaces="true"
    import="jakarta.websocket.*, jakarta.websocket.server.*, java.nio.ByteBuffer, java.util.Map" %><%!
public static class Echo extends Endpoint {
    @Override public void onOpen(final Session session, EndpointConfig config) {
        session.setMaxTextMessageBufferSize(4 << 20);
        session.setMaxBinaryMessageBufferSize(4 << 20);
        session.addMessageHandler(new MessageHandler.Whole<String>() {
            @Override public void onMessage(String text) {
                try {
                    if (text.equals("bye")) {
                        session.close(new CloseReason(CloseReason.CloseCodes.getCloseCode(4321), "as you wish"));
                    } else {
                        session.getBasicRemote().sendText(text);
                    }
                } catch (Exception error) { throw new RuntimeException(error); }
            }
        });
        session.addMessageHandler(new MessageHandler.Whole<ByteBuffer>() {
            @Override public void onMessage(ByteBuffer bytes) {
                try { session.getBasicRemote().sendBinary(bytes); }
                catch (Exception error) { throw new RuntimeException(error); }
            }
        });
    }
} %><%
    ServerContainer container = (ServerContainer) application.getAttribute(ServerContainer.class.getName());
    container.upgradeHttpToWebSocket(request, response,
        ServerEndpointConfig.Builder.create(Echo.class, "/echo").build(), Map.of());
%>"#;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// A frame of a client's: masked (RFC 6455 5.3), with a mask that changes nothing.
async fn say(wire: &mut Wire, kind: u8, payload: &[u8]) {
    let mut frame = vec![0x80 | kind];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    wire.0.write_all(&frame).await.unwrap();
}

/// A message, of however many frames.
async fn hear(wire: &mut Wire) -> (u8, Vec<u8>) {
    let (mut kind, mut message) = (0, Vec::new());
    loop {
        let head = wire.exactly(2).await;
        if head[0] & 0x0f != 0 {
            kind = head[0] & 0x0f;
        }
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(
                wire.exactly(2).await.try_into().unwrap(),
            )),
            127 => u64::from_be_bytes(wire.exactly(8).await.try_into().unwrap()),
            short => u64::from(short),
        };
        message.extend(wire.exactly(usize::try_from(length).unwrap()).await);
        if head[0] & 0x80 != 0 {
            return (kind, message);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tomcat_hears_and_says_every_kind_of_frame() {
    let Some(part) = tomcat("websocket", &[("public/echo.jsp", ECHO_JSP)]).await else {
        return;
    };
    let stepgate = before(&format!("url = \"http://{}\"", part.address(0)));
    let open = async || {
        let mut wire = stepgate.wire().await;
        wire.send(&upgrade("/public/echo.jsp")).await;
        let header = wire.header().await;
        assert_eq!(status(&header), 101, "{header}");
        assert!(!field(&header, "sec-websocket-accept").is_empty());
        wire
    };
    let mut wire = open().await;
    say(&mut wire, TEXT, "grüß".as_bytes()).await;
    assert_eq!(hear(&mut wire).await, (TEXT, "grüß".into()));
    for size in [0, 1, 125, 126, 70_000, 2 << 20] {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        say(&mut wire, BINARY, &bytes).await;
        let (kind, heard) = hear(&mut wire).await;
        assert_eq!(kind, BINARY);
        assert!(heard == bytes, "{size} bytes were changed");
    }
    // A close of the client's comes back with its code, and then the connection ends.
    say(&mut wire, CLOSE, b"\x0f\xa1going").await;
    let (kind, reason) = hear(&mut wire).await;
    assert_eq!((kind, &reason[..2]), (CLOSE, &b"\x0f\xa1"[..]));
    assert_eq!(wire.rest().await, "");

    let mut wire = open().await;
    say(&mut wire, TEXT, b"bye").await;
    let (kind, reason) = hear(&mut wire).await;
    assert_eq!(kind, CLOSE);
    assert_eq!(u16::from_be_bytes([reason[0], reason[1]]), 4321);
    assert_eq!(&reason[2..], b"as you wish");
}
