//! What a client of HTTP/1 can make grow, and how it is refused; what of HTTP/2 is like it stands in `tls`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stepgate::telemetry::metrics::Limit;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{
    BOUND, Stepgate, TIMEOUT, Wire, eventually_async, field, realm, status, upstream, written,
};
use crate::keycloak::free_port;
use crate::oracle::sample_app;

const NO_REALM: &str = "http://127.0.0.1:1/realms/none";

const GET: &str = "GET /public/a HTTP/1.1\r\nHost: app.localhost\r\n";

/// With these keys in `[limits]`.
fn limited(folder: TempDir, limits: &str) -> TempDir {
    let path = folder.path().join("stepgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("[limits]", &format!("[limits]\n{limits}"));
    std::fs::write(path, text).unwrap();
    folder
}

async fn with(limits: &str) -> Stepgate {
    let folder = written(0, sample_app().await, NO_REALM, "15s", BOUND);
    Stepgate::serve(limited(folder, limits)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_431_as_soon_as_it_is_too_large() {
    let stepgate = with("header_bytes = \"8KiB\"").await;
    let fits = format!(
        "{GET}X-Long: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(8000)
    );
    assert_eq!(status(&stepgate.ask(&fits).await), 200);
    let whole = format!("{GET}X-Long: {}\r\n\r\n", "x".repeat(8200));
    let endless = format!("{GET}X-Long: {}", "x".repeat(100_000));
    for (count, request) in [whole, endless].iter().enumerate() {
        let answer = stepgate.ask(request).await;
        assert_eq!(status(&answer), 431, "{answer}");
        assert_eq!(field(&answer, "connection"), "close", "{answer}");
        let refused = stepgate.refused(Limit::HeaderBytes);
        assert_eq!(refused, count as u64 + 1);
    }
    // What a body is made of is none of it, however it comes.
    let body = "x".repeat(60_000);
    let together = format!("{GET}Content-Length: 60000\r\nConnection: close\r\n\r\n{body}");
    assert_eq!(status(&stepgate.ask(&together).await), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_400_and_has_a_line() {
    let stepgate = with("").await;
    let nothing = "\0\0\0\0\r\n\r\n".to_owned();
    let field_of_none = format!("{GET}no colon\r\n\r\n");
    let control = format!("{GET}X-A\u{1}: a\r\n\r\n");
    let connect = "CONNECT app.localhost:80 HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    let answer = stepgate.ask(connect).await;
    assert_eq!(status(&answer), 405, "{answer}");
    assert_eq!(field(&answer, "server"), "", "whose it is: {answer}");
    assert_eq!(stepgate.access(1).await[0]["reason"], "method-not-allowed");
    let rows = [nothing, field_of_none, control, "GET\r\n\r\n".to_owned()];
    for request in &rows {
        let answer = stepgate.ask(request).await;
        assert_eq!(status(&answer), 400, "{request:?}: {answer}");
        assert_eq!(field(&answer, "connection"), "close", "{answer}");
        assert_eq!(field(&answer, "server"), "", "whose it is: {answer}");
    }
    // The second one of a connection, too.
    let mut wire = stepgate.wire().await;
    wire.send(&format!("{GET}\r\n")).await;
    assert_eq!(status(&wire.answer().await), 200);
    wire.send(&rows[1]).await;
    assert_eq!(status(&wire.rest().await), 400);
    let lines = stepgate.access(rows.len() + 3).await;
    let unread = lines.iter().filter(|line| line["reason"] == "not-http");
    for line in unread.clone() {
        assert_eq!(line["decision"], "refuse", "{line}");
        assert_eq!(line["status"], 400, "{line}");
        assert_eq!(line["client"], "127.0.0.1", "{line}");
    }
    assert_eq!(unread.count(), rows.len() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_header_of_a_connection_has_the_same_room() {
    let stepgate = with("header_bytes = \"4KiB\"").await;
    let mut wire = stepgate.wire().await;
    for _ in 0..3 {
        wire.send(&format!("{GET}X-Long: {}\r\n\r\n", "x".repeat(3500)))
            .await;
        let answer = wire.answer().await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_has_so_many_fields() {
    let stepgate = with("header_count = 20").await;
    let ask = async |count: usize| {
        let fields = "X-A: 1\r\n".repeat(count);
        status(
            &stepgate
                .ask(&format!("{GET}{fields}Connection: close\r\n\r\n"))
                .await,
        )
    };
    assert_eq!(ask(18).await, 200);
    assert_eq!(ask(19).await, 431);
    // Pingora's own limit; a plain 400, which we never see.
    assert_eq!(ask(300).await, 400);
    assert_eq!(stepgate.refused(Limit::HeaderCount), 1);
}

/// A byte now and then keeps nothing open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_header_is_cut_off() {
    let stepgate = with("header_time = \"1s\"").await;
    let mut slow = stepgate.wire().await;
    let start = Instant::now();
    loop {
        if slow.0.write_all(b"G").await.is_err() {
            break;
        }
        let mut end = [0; 1];
        let read = tokio::time::timeout(
            Duration::from_millis(100),
            tokio::io::AsyncReadExt::read(&mut slow.0, &mut end),
        );
        if let Ok(read) = read.await {
            assert!(!matches!(read, Ok(1..)), "there was an answer");
            break;
        }
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(900) && took < BOUND,
        "{took:?}"
    );
    assert_eq!(stepgate.refused(Limit::HeaderTime), 1);
    // Nothing was begun here.
    assert_eq!(stepgate.wire().await.rest().await, "");
    assert_eq!(stepgate.refused(Limit::HeaderTime), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_is_408() {
    let stepgate = with("body_time = \"1s\"").await;
    let mut wire = stepgate.wire().await;
    wire.send(&format!("{GET}Content-Length: 10\r\n\r\nsome"))
        .await;
    let answer = wire.rest().await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert_eq!(stepgate.refused(Limit::BodyTime), 1);
}

/// A tunnel has no body: neither its size nor its pauses are limited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_is_no_body() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .await;
        let came = wire.exactly(5000).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        wire.send(&format!("{} came", came.len())).await;
        None
    })
    .await;
    let folder = written(0, app, NO_REALM, "15s", TIMEOUT);
    let limits = "body_time = \"1s\"\nbody_bytes = \"1KiB\"";
    let stepgate = Stepgate::serve(limited(folder, limits)).unwrap();
    let mut wire = stepgate.wire().await;
    wire.send(&format!(
        "{GET}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    ))
    .await;
    assert_eq!(status(&wire.header().await), 101);
    wire.send(&"x".repeat(5000)).await;
    assert_eq!(wire.rest().await, "5000 came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_too_many_are_turned_away() {
    // One that was answered is counted for sure, and stays open.
    let held = async |stepgate: &Stepgate| {
        let mut wire = stepgate.wire().await;
        wire.send(&format!("{GET}\r\n")).await;
        assert_eq!(status(&wire.answer().await), 200);
        wire
    };
    let closing = format!("{GET}Connection: close\r\n\r\n");
    let stepgate = with("connections_per_address = 3").await;
    let three = [
        held(&stepgate).await,
        held(&stepgate).await,
        held(&stepgate).await,
    ];
    let answer = stepgate.ask(&closing).await;
    assert_eq!(status(&answer), 429, "{answer}");
    assert_eq!(field(&answer, "retry-after"), "5", "{answer}");
    assert_eq!(stepgate.refused(Limit::ConnectionsPerAddress), 1);
    drop(three);
    eventually_async("their places", async || {
        (status(&stepgate.ask(&closing).await) == 200).then_some(())
    })
    .await;

    let full = with("connections = 1").await;
    let _one = held(&full).await;
    let answer = full.ask(&closing).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert_eq!(full.refused(Limit::Connections), 1);
}

/// A stepgate of its own, so that its memory can be told: strangers begin sign-ins from everywhere, none of which is ever
/// ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_does_not_fill_the_memory() {
    const MOST: usize = 64 << 20;
    let issuer = realm().await;
    let port = free_port();
    let folder = written(port, sample_app().await, &issuer, "1s", BOUND);
    let folder = limited(
        folder,
        "logins_per_minute = 5\nconnections_per_address = 1000",
    );
    let path = folder.path().join("stepgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let trusted = "version = 1\ntrusted_proxies = [\"127.0.0.1\"]\n";
    std::fs::write(&path, text.replace("version  = 1\n", trusted)).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(["serve", "--config", "stepgate.toml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let resident = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() << 10
    };
    let connect = async || TcpStream::connect(("127.0.0.1", port)).await.ok().map(Wire);
    // Sign-ins begin once the realm is known.
    eventually_async("a first sign-in", async || {
        let mut wire = connect().await?;
        wire.send(&begin(0)).await;
        (status(&wire.answer().await) == 303).then_some(())
    })
    .await;
    let before = resident();
    let (mut started, mut refused) = (0, 0);
    for round in 0..20_u32 {
        let mut wires = Vec::new();
        for _ in 0..8 {
            wires.push(connect().await.unwrap());
        }
        for number in 0..20_u32 {
            for (index, wire) in wires.iter_mut().enumerate() {
                // Each address a few times, and one of them all the time.
                let source = if number % 4 == 0 {
                    1
                } else {
                    2 + round * 1000 + u32::try_from(index).unwrap() * 10 + number / 10
                };
                wire.send(&begin(source)).await;
            }
            for wire in &mut wires {
                match status(&wire.answer().await) {
                    303 => started += 1,
                    429 => refused += 1,
                    other => panic!("{other}"),
                }
            }
        }
    }
    let grown = resident().saturating_sub(before);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(
        started > 500 && refused > 500,
        "{started} started, {refused} refused"
    );
    assert!(
        grown < MOST,
        "{grown} bytes more after {started} sign-ins that began"
    );
}

/// A page that needs a sign-in, asked for by a browser behind a proxy.
fn begin(source: u32) -> String {
    let [a, b, c, d] = source.to_be_bytes();
    format!(
        "GET /orders HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Dest: document\r\nX-Forwarded-For: {}.{b}.{c}.{d}\r\n\r\n",
        a + 20
    )
}
