//! The end: what is in flight is finished, whoever only listens is told to go, and it is over in time.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{
    BOUND, Stepgate, Wire, ask, bounded, eventually, eventually_async, field, status, upstream,
    written,
};
use crate::keycloak::free_port;
use crate::process::Process;

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

const UPGRADE: &str = "GET /public/ws HTTP/1.1\r\nHost: app.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// As RFC 6455 has it: 1001, going away.
const GOING_AWAY: &[u8] = b"\x88\x0c\x03\xe9going away";

/// A Close frame of a client, with the mask 0.
const CLIENT_CLOSES: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

/// The payload of a masked frame.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    let (mask, payload) = frame[2..].split_at(4);
    let mask = mask.iter().cycle();
    payload
        .iter()
        .zip(mask)
        .map(|(byte, mask)| byte ^ mask)
        .collect()
}

/// An app that greets, and then hands everything that it reads to the test.
async fn chatting(
    greeting: &'static [u8],
) -> (Stepgate, tokio::sync::mpsc::UnboundedReceiver<Wire>) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let (app, _) = upstream(move |_, mut wire| {
        let sender = sender.clone();
        async move {
            wire.send(SWITCHING).await;
            wire.0.write_all(greeting).await.unwrap();
            sender.send(wire).unwrap();
            None
        }
    })
    .await;
    (Stepgate::without_realm(app).await, receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_of_a_websocket_are_told_to_go_away() {
    let (stepgate, mut apps) = chatting(b"\x81\x02hi").await;
    let mut client = stepgate.wire().await;
    client.send(UPGRADE).await;
    assert_eq!(status(&client.header().await), 101);
    let mut app = bounded(apps.recv()).await.unwrap();
    assert_eq!(client.exactly(4).await, b"\x81\x02hi");
    client.0.write_all(b"\x81\x82\0\0\0\0yo").await.unwrap();
    assert_eq!(app.exactly(8).await, b"\x81\x82\0\0\0\0yo");

    let start = Instant::now();
    stepgate.stop();
    assert_eq!(client.exactly(GOING_AWAY.len()).await, GOING_AWAY);
    let told = app.exactly(18).await;
    assert_eq!(told[..2], [0x88, 0x80 | 12]);
    assert_eq!(unmasked(&told), GOING_AWAY[2..]);
    // What the app says to a client that has been told is not passed on.
    app.0
        .write_all(b"\x81\x04late\x88\x02\x03\xe9")
        .await
        .unwrap();
    client.0.write_all(CLIENT_CLOSES).await.unwrap();
    assert_eq!(client.rest().await, "");
    assert_eq!(app.rest().await, "", "one goodbye is enough");
    bounded(stepgate.serving).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "the grace is 15s"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_is_finished_before_the_goodbye() {
    let (stepgate, mut apps) = chatting(b"\x82\x06abc").await;
    let mut client = stepgate.wire().await;
    client.send(UPGRADE).await;
    assert_eq!(status(&client.header().await), 101);
    let mut app = bounded(apps.recv()).await.unwrap();
    assert_eq!(client.exactly(5).await, b"\x82\x06abc");
    client.0.write_all(b"\x82\x84\0\0\0\0wx").await.unwrap();
    assert_eq!(app.exactly(8).await, b"\x82\x84\0\0\0\0wx");

    stepgate.stop();
    let mut nothing = [0];
    let silence = Duration::from_millis(200);
    let early = tokio::time::timeout(silence, client.0.read(&mut nothing)).await;
    assert!(early.is_err(), "in the middle of a frame");
    app.0.write_all(b"def\x81\x04late").await.unwrap();
    client.0.write_all(b"yz\x81\x80\0\0\0\0").await.unwrap();
    assert_eq!(client.exactly(3).await, b"def");
    assert_eq!(client.exactly(GOING_AWAY.len()).await, GOING_AWAY);
    assert_eq!(app.exactly(2).await, b"yz");
    assert_eq!(unmasked(&app.exactly(18).await), GOING_AWAY[2..]);
    // Neither of them answers: it ends all the same.
    assert_eq!(client.rest().await, "");
    bounded(stepgate.serving).await.unwrap();
}

/// Behind TLS to the app nothing is different: what is said is said to the client's connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_opens_while_it_stops_is_told_at_once() {
    let (opening, opened) = tokio::sync::watch::channel(false);
    let (app, seen) = upstream(move |_, mut wire| {
        let mut opened = opened.clone();
        async move {
            opened.wait_for(|open| *open).await.unwrap();
            wire.send(SWITCHING).await;
            let _closed = wire.0.read_to_end(&mut Vec::new()).await;
            None
        }
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut client = stepgate.wire().await;
    client.send(UPGRADE).await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    stepgate.stop();
    opening.send(true).unwrap();
    assert_eq!(status(&client.header().await), 101);
    assert_eq!(client.exactly(GOING_AWAY.len()).await, GOING_AWAY);
    bounded(stepgate.serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_has_its_last_answer_is_told_so() {
    let (app, seen) = upstream(|_, mut wire| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut busy = stepgate.wire().await;
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    stepgate.stop();
    let answer = busy.rest().await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(field(&answer, "connection"), "close", "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}

async fn process(app: std::net::SocketAddr, grace: &str) -> Process {
    let port = free_port();
    let folder = written(port, app, "http://127.0.0.1:1/realms/none", grace, BOUND);
    Process::start(folder, port).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_and_a_stream_of_events_are_finished_and_a_websocket_is_told() {
    let (app, _) = upstream(|header, mut wire| async move {
        let pause = Duration::from_millis(50);
        if header.starts_with("GET /public/ws") {
            wire.send(SWITCHING).await;
            let _closed = wire.0.read_to_end(&mut Vec::new()).await;
            return None;
        }
        let events = header.starts_with("GET /public/events");
        wire.send(if events {
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"
        })
        .await;
        for _ in 0..20 {
            wire.send(if events { "a\r\ndata: 12\n\n\r\n" } else { "0123456789" }).await;
            tokio::time::sleep(pause).await;
        }
        if events {
            wire.send("0\r\n\r\n").await;
        }
        Some(wire)
    })
    .await;
    let mut process = process(app, "15s").await;
    let mut idle = process.wire().await;
    let mut download = process.get("/public/download").await;
    let mut events = process.get("/public/events").await;
    let mut socket = process.wire().await;
    socket.send(UPGRADE).await;
    assert_eq!(status(&download.header().await), 200);
    assert_eq!(status(&events.header().await), 200);
    assert_eq!(status(&socket.header().await), 101);
    // All are half way through.
    download.exactly(20).await;
    let begun = String::from_utf8(events.exactly(20).await).unwrap();
    process.signal("TERM");
    assert_eq!(socket.exactly(GOING_AWAY.len()).await, GOING_AWAY);
    assert_eq!(idle.rest().await, "");
    let (rest, more) = tokio::join!(download.rest(), events.rest());
    assert_eq!(rest.len(), 180, "{rest}");
    let all = begun + &more;
    assert_eq!(all.matches("data: 12").count(), 20, "{all}");
    assert!(more.ends_with("0\r\n\r\n"), "{more}");
    assert_eq!(process.ended().await, Some(0));
}

/// Whoever spreads requests over instances sends none here any more, while what is here is finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_ready_while_it_stops() {
    let (finish, finished) = tokio::sync::watch::channel(false);
    let (app, seen) = upstream(move |_, mut wire| {
        let mut finished = finished.clone();
        async move {
            finished.wait_for(|finished| *finished).await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                .await;
            Some(wire)
        }
    })
    .await;
    let (port, admin) = (free_port(), free_port());
    let folder = written(port, app, "http://127.0.0.1:1/realms/none", "15s", BOUND);
    let config = folder.path().join("stepgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        format!("admin_listen = \"127.0.0.1:{admin}\"\n{text}"),
    )
    .unwrap();
    let mut process = Process::start(folder, port).await;
    let mut busy = process.get("/public/").await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], admin));
    let asked = async |target: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        ask(address, &request).await
    };
    assert_eq!(status(&asked("/healthz").await), 200);
    process.signal("TERM");
    eventually_async("a red light", async || {
        let answer = asked("/readyz?verbose").await;
        (status(&answer) == 503 && answer.contains("drain")).then_some(())
    })
    .await;
    assert_eq!(status(&asked("/healthz").await), 200, "it lives");
    finish.send(true).unwrap();
    let answer = busy.rest().await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_it_twice_means_it() {
    let (app, seen) = upstream(|_, wire| async {
        tokio::time::sleep(BOUND * 2).await;
        Some(wire)
    })
    .await;
    let mut process = process(app, "10m").await;
    let _hangs = process.get("/public/hangs").await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    process.signal("TERM");
    eventually("the first to be heard", || {
        std::net::TcpStream::connect(process.address)
            .is_err()
            .then_some(())
    })
    .await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
}
