//! The stages' patience on a stream in memory; the race through a whole proxy, over TLS.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use async_trait::async_trait;
use pingora::apps::ServerApp as _;
use pingora::http::ResponseHeader;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;

const RESPONSE: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(400);

fn tunnel() -> (TunnelSocket<DuplexStream>, DuplexStream, Arc<Progress>) {
    let (near, far) = tokio::io::duplex(1024);
    let progress = Arc::new(Progress::default());
    let socket = TunnelSocket {
        stream: near,
        wrote: false,
        progress: Arc::clone(&progress),
        timeouts: Timeouts {
            connect: RESPONSE,
            response: RESPONSE,
            idle: IDLE,
        },
        timer: None,
    };
    (socket, far, progress)
}

/// How long a read waits that nobody answers, after the upstream said that; `None`: longer than any limit.
async fn gives_up_after(said: StatusCode) -> Option<Duration> {
    let (mut socket, _far, progress) = tunnel();
    progress.note(said);
    let start = Instant::now();
    let mut byte = [0];
    let read = tokio::time::timeout(IDLE * 2, socket.read(&mut byte)).await;
    read.ok().map(|read| {
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        start.elapsed()
    })
}

#[tokio::test]
async fn each_stage_has_its_own_patience() {
    let waiting = gives_up_after(StatusCode::EARLY_HINTS).await.unwrap();
    assert!(waiting >= RESPONSE && waiting < IDLE, "{waiting:?}");
    let answered = gives_up_after(StatusCode::FORBIDDEN).await.unwrap();
    assert!(answered >= IDLE, "{answered:?}");
    assert_eq!(gives_up_after(StatusCode::SWITCHING_PROTOCOLS).await, None);
}

#[tokio::test]
async fn a_header_byte_by_byte_gets_no_more_time() {
    let (mut socket, mut far, _progress) = tunnel();
    let dripping = tokio::spawn(async move {
        while far.write_all(b"H").await.is_ok() {
            tokio::time::sleep(RESPONSE / 10).await;
        }
    });
    let mut byte = [0];
    let reading = async { while socket.read(&mut byte).await.is_ok() {} };
    tokio::time::timeout(RESPONSE * 50, reading).await.unwrap();
    drop(socket);
    dripping.await.unwrap();
}

/// The timer is set while the answer is awaited, and the tunnel opens before it rings.
#[tokio::test]
async fn a_tunnel_that_opens_while_being_read_stays() {
    let (mut socket, mut far, progress) = tunnel();
    let opening = tokio::spawn(async move {
        progress.note(StatusCode::SWITCHING_PROTOCOLS);
        tokio::time::sleep(RESPONSE * 3).await;
        far.write_all(b"x").await.unwrap();
        far
    });
    let mut byte = [0];
    // Polled once before the task above runs: this test has one thread.
    assert_eq!(socket.read(&mut byte).await.unwrap(), 1);
    opening.await.unwrap();
}

const CERTIFICATE: &[u8] = include_bytes!("localhost-for-tests-only.pem");
const KEY: &[u8] = include_bytes!("../../oidc/testing/rsa-for-tests-only.pem");

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";

/// Sends everything to one upstream over TLS, whose certificate is nobody's, and each request only when its answer is
/// there: what a fast upstream makes happen now and then.
struct Front {
    upstream: InetAddr,
    answers: Arc<Semaphore>,
}

#[async_trait]
impl ProxyHttp for Front {
    type CTX = Arc<Progress>;

    fn new_ctx(&self) -> Self::CTX {
        Arc::default()
    }

    async fn upstream_peer(
        &self,
        _: &mut Session,
        progress: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, true, "localhost".to_owned());
        peer.options.verify_cert = false;
        peer.options.custom_l4 = Some(Arc::new(TunnelConnector {
            address: self.upstream,
            progress: Arc::clone(progress),
            timeouts: Timeouts {
                connect: RESPONSE * 50,
                response: RESPONSE * 50,
                idle: RESPONSE * 50,
            },
        }));
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&pingora::protocols::Digest>,
        _: &mut Self::CTX,
    ) -> Result<()> {
        self.answers.acquire().await.unwrap().forget();
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        progress: &mut Self::CTX,
    ) -> Result<()> {
        progress.note(response.status);
        Ok(())
    }
}

/// Answers before it is asked, then sends back what comes.
fn tls_upstream(answers: Arc<Semaphore>) -> InetAddr {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
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
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || {
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut header = Vec::new();
                let mut bytes = [0; 5];
                tls.write_all(SWITCHING).unwrap();
                answers.add_permits(1);
                while !header.ends_with(b"\r\n\r\n") {
                    tls.read_exact(&mut bytes[..1]).unwrap();
                    header.push(bytes[0]);
                }
                while tls.read_exact(&mut bytes).is_ok() && tls.write_all(&bytes).is_ok() {}
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tunnel_over_tls_is_lost() {
    let _first = rustls::crypto::ring::default_provider().install_default();
    let answers = Arc::new(Semaphore::new(0));
    let front = Front {
        upstream: tls_upstream(Arc::clone(&answers)),
        answers,
    };
    let proxy = Arc::new(http_proxy(&Arc::new(ServerConf::default()), front));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (proxy, stopped) = (Arc::clone(&proxy), stopped.clone());
            tokio::spawn(async move {
                let stream = Box::new(Stream::from(stream));
                proxy.process_new(stream, &stopped).await;
            });
        }
    });
    let mut whole = 0;
    for _ in 0..50 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let asked =
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        client.write_all(asked).await.unwrap();
        let both_ways = async {
            let mut header = Vec::new();
            while !header.ends_with(b"\r\n\r\nhello") {
                header.push(client.read_u8().await?);
            }
            client.write_all(b"HELLO").await?;
            let mut echo = [0; 5];
            client.read_exact(&mut echo).await?;
            assert_eq!(&echo, b"HELLO");
            Ok::<_, io::Error>(())
        };
        let done = tokio::time::timeout(RESPONSE * 100, both_ways).await;
        whole += usize::from(done.unwrap().is_ok());
    }
    assert_eq!(whole, 50);
}
