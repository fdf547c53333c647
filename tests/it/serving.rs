//! Answers of stepgate's own, and how it starts and stops.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{
    BOUND, Stepgate, Wire, bounded, eventually, eventually_async, field, status, upstream, written,
};
use crate::keycloak::free_port;

const POST: &str = "POST /orders HTTP/1.1\r\nHost: app.localhost\r\n";

/// Nothing of these tests may get there.
async fn nobody() -> (Stepgate, crate::harness::Seen) {
    let (app, seen) = upstream(|_, _| async { None }).await;
    (Stepgate::without_realm(app).await, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_is_answered_on_any_host() {
    let (stepgate, seen) = nobody().await;
    let mut wire = stepgate.wire().await;
    wire.send("GET /.stepgate/ping HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(status(&answer), 200, "{answer}");
    wire.send("HEAD /.stepgate/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    let head = wire.rest().await;
    assert_eq!(status(&head), 200, "{head}");
    assert_eq!(
        field(&head, "content-length"),
        field(&answer, "content-length")
    );
    assert!(
        head.ends_with("\r\n\r\n"),
        "a body in answer to HEAD:\n{head}"
    );
    for line in stepgate.access(2).await {
        assert_eq!(line["decision"], "own");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_leaves_its_connection_usable() {
    let (stepgate, seen) = nobody().await;
    let mut wire = stepgate.wire().await;
    for _ in 0..2 {
        wire.send(&format!("{POST}Content-Length: 5\r\n\r\nhello"))
            .await;
        let answer = wire.answer().await;
        assert_eq!(status(&answer), 401, "{answer}");
        assert_eq!(field(&answer, "connection"), "keep-alive", "{answer}");
        assert!(!field(&answer, "x-request-id").is_empty(), "{answer}");
    }
    assert_eq!(stepgate.access(2).await[1]["decision"], "login");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_wants_is_not_read_for_long() {
    let (stepgate, _) = nobody().await;
    let mut wire = stepgate.wire().await;
    let size = 1 << 20;
    wire.send(&format!("{POST}Content-Length: {size}\r\n\r\n"))
        .await;
    // The answer comes in the middle of it.
    wire.0.write_all(&vec![b'x'; 100 << 10]).await.unwrap();
    let answer = wire.answer().await;
    assert_eq!(status(&answer), 401, "{answer}");
    assert_eq!(field(&answer, "connection"), "close", "{answer}");
}

/// Where a request ends is not clear, so nothing is read after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_end_is_the_end() {
    let (stepgate, seen) = nobody().await;
    let next = "GET /public/smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    for framing in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        for start in ["POST /orders", "GET /.stepgate/ping"] {
            let request =
                format!("{start} HTTP/1.1\r\nHost: app.localhost\r\n{framing}\r\n0\r\n\r\n{next}");
            let answer = stepgate.ask(&request).await;
            assert_eq!(status(&answer), 400, "{start} {framing}: {answer}");
            assert_eq!(field(&answer, "connection"), "close", "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        }
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_field_with_too_many_names_is_refused() {
    let (stepgate, seen) = nobody().await;
    let names = ["x-a"; 10].join(", ");
    let answer = stepgate
        .ask(&format!(
            "GET /public/ HTTP/1.1\r\nHost: app.localhost\r\nConnection: close, {names}\r\n\r\n"
        ))
        .await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert_eq!(
        stepgate.access(1).await[0]["reason"],
        "connection-nomination"
    );
    assert!(seen.lock().unwrap().is_empty());
}

/// Not for each byte: one that comes now and then would hold the connection for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_has_its_time_in_all() {
    let (app, seen) = upstream(|_, _| async { None }).await;
    let stepgate = Stepgate::limited(app, "header_time = \"1s\"").await;
    let request = b"GET /public/ HTTP/1.1\r\nHost: app.localhost\r\nX-Slow: ";
    let mut slow = stepgate.wire().await;
    let start = Instant::now();
    slow.0.write_all(request).await.unwrap();
    // Until it is closed from the other side; a write after that fails.
    while slow.0.write_all(b"x").await.is_ok() {
        assert!(start.elapsed() < BOUND, "it is open for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(1));

    // Neither does a connection on which nothing comes, nor one that had a request.
    let mut idle = stepgate.wire().await;
    let mut used = stepgate.wire().await;
    used.send("GET /.stepgate/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(status(&used.answer().await), 200);
    assert_eq!(idle.rest().await, "");
    assert_eq!(used.rest().await, "");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted() {
    for (limits, refused) in [
        ("connections = 3", 503),
        ("connections_per_address = 3", 429),
    ] {
        let (app, _) = upstream(|_, _| async { None }).await;
        let stepgate = Stepgate::limited(app, limits).await;
        let ping = "GET /.stepgate/ping HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut wire = stepgate.wire().await;
            wire.send(ping).await;
            assert_eq!(status(&wire.answer().await), 200, "{limits}");
            open.push(wire);
        }
        let turned_away = stepgate.wire().await.rest().await;
        assert_eq!(status(&turned_away), refused, "{limits}");
        // A place is given back when its connection ends.
        drop(open.pop());
        eventually_async("a place", async || {
            let mut wire = stepgate.wire().await;
            wire.0.write_all(ping.as_bytes()).await.ok()?;
            wire.header()
                .await
                .starts_with("HTTP/1.1 200")
                .then_some(())
        })
        .await;
        for wire in &mut open {
            wire.send(ping).await;
            assert_eq!(status(&wire.answer().await), 200, "{limits}");
        }
    }
}

/// What one reader takes for two things, or for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused_as_it_comes() {
    let (stepgate, seen) = nobody().await;
    let host = "Host: app.localhost\r\n";
    for (start, host, expected) in [
        ("GET /public/%2e%2e/x HTTP/1.1\r\n", host, 400),
        ("GET /public/../x HTTP/1.1\r\n", host, 400),
        ("GET /public/a%2fb HTTP/1.1\r\n", host, 400),
        ("GET /public/a%5cb HTTP/1.1\r\n", host, 400),
        ("GET /public/a\\b HTTP/1.1\r\n", host, 400),
        ("GET /public/a%00 HTTP/1.1\r\n", host, 400),
        ("GET /public/a;b HTTP/1.1\r\n", host, 400),
        ("GET //public/a HTTP/1.1\r\n", host, 400),
        ("GET /public/a#b HTTP/1.1\r\n", host, 400),
        ("GET /public/\u{e4} HTTP/1.1\r\n", host, 400),
        ("GET /public/a\tb HTTP/1.1\r\n", host, 400),
        ("GET /public/a\"b HTTP/1.1\r\n", host, 400),
        ("GET /public/a b HTTP/1.1\r\n", host, 400),
        ("GET /public/?a b HTTP/1.1\r\n", host, 400),
        ("GET  /public/ HTTP/1.1\r\n", host, 400),
        ("\r\nGET /public/<b> HTTP/1.1\r\n", host, 400),
        ("GET /public/a HTTP/1.1 x HTTP/1.1\r\n", host, 400),
        ("GET /public/ HTTP/1.1\n", host, 400),
        ("GET /public/ HTTP/1.1\r\nX-A: b\nX-B: c\r\n", host, 400),
        ("GET /public/ HTTP/1.1\r\nX-A: b\r\n c\r\n", host, 400),
        ("GET /public/ HTTP/1.1\r\nX-A : b\r\n", host, 400),
        ("GET ftp://app.localhost/public/ HTTP/1.1\r\n", host, 400),
        ("GET http://other.localhost/public/ HTTP/1.1\r\n", host, 400),
        ("GET /public/ HTTP/1.1\r\n", "", 400),
        ("GET /public/ HTTP/1.0\r\n", "", 400),
        (
            "GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n",
            host,
            400,
        ),
        ("GET /public/ HTTP/1.1\r\n", "Host: app.localhost.\r\n", 421),
        (
            "GET /public/ HTTP/1.1\r\n",
            "Host: app.localhost:81\r\n",
            421,
        ),
        (
            "GET /public/ HTTP/1.1\r\n",
            "Host: x@app.localhost\r\n",
            400,
        ),
        ("TRACE /public/ HTTP/1.1\r\n", host, 405),
        ("CONNECT app.localhost:80 HTTP/1.1\r\n", host, 405),
        ("get /public/ HTTP/1.1\r\n", host, 405),
        ("PRI * HTTP/2.0\r\n", host, 400),
        ("OPTIONS * HTTP/1.1\r\n", host, 400),
    ] {
        let request = format!("{start}{host}Connection: close\r\n\r\n");
        let answer = stepgate.ask(&request).await;
        assert_eq!(status(&answer), expected, "{request:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{request:?}: {answer}"
        );
    }
    assert!(seen.lock().unwrap().is_empty());
}

/// A person who follows a link with a slip in it is led back to the app, and whoever looks for it in the log finds its
/// host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_refuses_has_a_way_on() {
    let (stepgate, _) = nobody().await;
    let page = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    let answer = stepgate
        .ask(&format!(
            "GET /a//b HTTP/1.1\r\nHost: app.localhost\r\n{page}Connection: close\r\n\r\n"
        ))
        .await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(answer.contains("href=\"/\""), "{answer}");
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["host"], "app.localhost");
    assert_eq!(line["reason"], "double-slash");
    assert_eq!(line["path"], "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_finished_before_the_end() {
    let (app, seen) = upstream(|_, mut wire| async {
        // The stop comes meanwhile.
        tokio::time::sleep(Duration::from_millis(500)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut idle = stepgate.wire().await;
    let mut busy = stepgate.wire().await;
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    stepgate.stop();
    assert_eq!(
        idle.rest().await,
        "",
        "a connection without a request is just closed"
    );
    let answer = busy.answer().await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    let address = stepgate.address;
    let lines = stepgate.access(1).await;
    assert_eq!(lines[0]["status"], 200);
    bounded(stepgate.serving).await.unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "it still listens"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_longer_than_the_grace_is_cut_off() {
    // A stream of events has no end of its own.
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            .await;
        let start = Instant::now();
        while start.elapsed() < BOUND && wire.0.write_all(b"data: x\n\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    })
    .await;
    let stepgate = Stepgate::before(app, "http://127.0.0.1:1/realms/none", "1s").await;
    let mut events = stepgate.wire().await;
    events
        .send("GET /public/events HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    assert_eq!(status(&events.header().await), 200);
    let start = Instant::now();
    stepgate.stop();
    bounded(stepgate.serving).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

/// The process ends while a request is at the app: what reached it is in the log all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_end_of_the_process_cuts_off_has_its_line() {
    let (app, seen) = upstream(|_, wire| async {
        tokio::time::sleep(BOUND * 2).await;
        Some(wire)
    })
    .await;
    let port = free_port();
    let folder = written(port, app, "http://127.0.0.1:1/realms/none", "200ms", BOUND);
    let mut process = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(["serve", "--config", "stepgate.toml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut wire = eventually_async("stepgate", async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok().map(Wire)
    })
    .await;
    wire.send("GET /public/slow HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    let id = process.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(told.success());
    let ended = eventually("its end", || process.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    let line: Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!(line["id"], field(&seen.lock().unwrap()[0], "x-request-id"));
    for (name, value) in [
        ("decision", "allow"),
        ("error", "broken-off"),
        ("path", "/public/slow"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
}
