//! What is large or has no end goes through as it comes: nothing of it is kept, and nothing of it waits.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::parts::nginx;
use super::{NO_REALM, body, folder, get};
use crate::harness::{
    BOUND, Stepgate, Wire, bounded, eventually, eventually_async, field, log_in, realm, status,
    upstream,
};
use crate::keycloak::free_port;

const GIB: u64 = 1 << 30;
/// What a process may grow by while a body of [`GIB`] goes through: buffers of sockets and of HTTP/2's windows.
const GROWTH: u64 = 48 << 20;

/// The program itself, to see what it takes of memory.
struct Process {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Process {
    async fn start(lines: &str, issuer: &str) -> Self {
        let folder = folder(lines, issuer, BOUND);
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["serve", "--config", "stepgate.toml"])
            .env("STEPGATE__LISTEN", format!("[\"{address}\"]"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self {
            child,
            address,
            _folder: folder,
        };
        eventually_async("stepgate", async || TcpStream::connect(address).await.ok()).await;
        process
    }

    async fn wire(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    /// The most memory that it ever had, in bytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_not_held_in_memory() {
    let servers = "server { listen PORT0; location /public/ {} }\n\
                   server { listen PORT1 http2; location /public/ {} }";
    let Some(part) = nginx("download", servers).await else {
        return;
    };
    let www = part.folder.path().join("www/public");
    fs::create_dir_all(&www).unwrap();
    // Of holes: it takes no room on the disk.
    let file = fs::File::create(www.join("large")).unwrap();
    file.set_len(GIB).unwrap();
    fs::write(www.join("small"), "small").unwrap();
    for (index, protocol) in [(0, "http1"), (1, "h2c")] {
        let lines = format!(
            "url = \"http://{}\"\nprotocol = \"{protocol}\"",
            part.address(index)
        );
        let process = Process::start(&lines, NO_REALM).await;
        let mut wire = process.wire().await;
        wire.send(&get("/public/small")).await;
        assert_eq!(body(&wire.rest().await), "small");
        let before = process.peak();

        let mut wire = process.wire().await;
        wire.send(&get("/public/large")).await;
        let header = wire.header().await;
        assert_eq!(
            field(&header, "content-length"),
            GIB.to_string(),
            "{header}"
        );
        let (mut length, mut chunk) = (0, vec![0; 256 << 10]);
        loop {
            match bounded(wire.0.read(&mut chunk)).await.unwrap() {
                0 => break,
                read => length += read as u64,
            }
        }
        assert_eq!(length, GIB);
        let growth = process.peak() - before;
        assert!(growth < GROWTH, "{protocol}: grew by {growth} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_not_held_in_memory() {
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    let (app, _) = upstream(move |header, mut wire| {
        let counted = Arc::clone(&counted);
        async move {
            let length: u64 = field(&header, "content-length").parse().unwrap_or(0);
            let mut chunk = vec![0; 256 << 10];
            let mut left = length;
            while left > 0 {
                let read = bounded(wire.0.read(&mut chunk)).await.unwrap();
                assert!(read > 0, "the body ended early");
                assert!(chunk[..read].iter().all(|byte| *byte == b'x'));
                left -= read as u64;
                counted.fetch_add(read as u64, Ordering::Relaxed);
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread")
                .await;
            Some(wire)
        }
    })
    .await;
    let process = Process::start(&format!("url = \"http://{app}\""), &realm().await).await;
    let session = log_in(process.address, "alice").await;
    let before = process.peak();
    let mut wire = process.wire().await;
    wire.send(&format!(
        "POST /upload HTTP/1.1\r\nHost: app.localhost\r\nCookie: {session}\r\nOrigin: http://app.localhost\r\n\
         Content-Length: {GIB}\r\nConnection: close\r\n\r\n"
    ))
    .await;
    let chunk = vec![b'x'; 256 << 10];
    for _ in 0..GIB / chunk.len() as u64 {
        bounded(wire.0.write_all(&chunk)).await.unwrap();
    }
    let answer = wire.rest().await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(received.load(Ordering::Relaxed), GIB);
    let growth = process.peak() - before;
    assert!(growth < GROWTH, "grew by {growth} bytes");
}

/// The app sends as much as is taken, and the client takes nothing: the app has to wait, and stepgate keeps nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_makes_the_app_wait() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let (app, _) = upstream(move |header, mut wire| {
        let counted = Arc::clone(&counted);
        async move {
            if header.contains("/public/small") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
                return Some(wire);
            }
            wire.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"))
                .await;
            let chunk = vec![b'x'; 64 << 10];
            while wire.0.write_all(&chunk).await.is_ok() {
                counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            None
        }
    })
    .await;
    let process = Process::start(&format!("url = \"http://{app}\""), NO_REALM).await;
    let mut warm = process.wire().await;
    warm.send(&get("/public/small")).await;
    warm.rest().await;
    let before = process.peak();
    let mut wire = process.wire().await;
    wire.send(&get("/public/large")).await;
    assert_eq!(status(&wire.header().await), 200);
    // Until nothing moves any more.
    let last = AtomicU64::new(u64::MAX);
    eventually_async("the app to wait", async || {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let now = sent.load(Ordering::Relaxed);
        (now == last.swap(now, Ordering::Relaxed) && now > 0).then_some(())
    })
    .await;
    assert!(sent.load(Ordering::Relaxed) < GROWTH);
    assert!(process.peak() - before < GROWTH);
}

/// Each event is there before the next one is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_one_by_one_and_a_reader_who_leaves_ends_them() {
    let (make, made) = mpsc::channel::<&'static str>(1);
    let (gone, mut ended) = mpsc::channel::<()>(1);
    let made = Arc::new(tokio::sync::Mutex::new(made));
    let (app, _) = upstream(move |_, mut wire| {
        let (made, gone) = (Arc::clone(&made), gone.clone());
        async move {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            let mut made = made.lock().await;
            loop {
                let mut byte = [0];
                tokio::select! {
                    event = made.recv() => match event {
                        Some(event) => {
                            let text = format!("data: {event}\n\n");
                            wire.send(&format!("{:x}\r\n{text}\r\n", text.len())).await;
                        }
                        None => break,
                    },
                    // Nothing is sent to an app that answers, so this is the end of the connection.
                    read = wire.0.read(&mut byte) => {
                        assert!(matches!(read, Ok(0) | Err(_)));
                        break;
                    }
                }
            }
            gone.send(()).await.unwrap();
            None
        }
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut wire = stepgate.wire().await;
    wire.send(
        "GET /public/events HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/event-stream\r\n\r\n",
    )
    .await;
    let header = wire.header().await;
    assert_eq!(field(&header, "content-type"), "text/event-stream");
    assert_eq!(field(&header, "content-encoding"), "", "{header}");
    for event in ["one", "two", "three"] {
        make.send(event).await.unwrap();
        let text = format!("data: {event}\n\n");
        let chunk = format!("{:X}\r\n{text}\r\n", text.len());
        assert_eq!(wire.exactly(chunk.len()).await, chunk.as_bytes());
    }
    drop(wire);
    bounded(ended.recv()).await.unwrap();
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["error"], "client-gone", "{line}");
}

/// The same while it uploads: what is half a body does not look like a whole one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_breaks_off_at_the_app() {
    let (told, mut heard) = mpsc::channel::<String>(1);
    let (app, seen) = upstream(move |_, mut wire| {
        let told = told.clone();
        async move {
            let rest = wire.rest().await;
            told.send(rest).await.unwrap();
            None
        }
    })
    .await;
    let stepgate = Stepgate::before(app, &realm().await, "1s").await;
    let session = stepgate.log_in("alice").await;
    let mut wire = stepgate.wire().await;
    wire.send(&format!(
        "POST /upload HTTP/1.1\r\nHost: app.localhost\r\nCookie: {session}\r\nOrigin: http://app.localhost\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    ))
    .await;
    eventually("the upload at the app", || {
        seen.lock()
            .unwrap()
            .last()
            .filter(|header| header.contains("/upload"))
            .map(drop)
    })
    .await;
    drop(wire);
    let rest = bounded(heard.recv()).await.unwrap();
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
}
