//! What an upstream gets of a request, and what its client is told when the upstream fails.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{
    BOUND, Stepgate, TIMEOUT, Wire, bounded, field, nobody, realm, status, upstream,
};
use crate::oracle::{note, sample_app};

const UPGRADE: &str = "GET /public/ws HTTP/1.1\r\nHost: app.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// A text frame.
const FRAME: &[u8] = b"\x81\x05hello";

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_request_reaches_the_app_as_stepgate_tells_it() {
    let app = sample_app().await;
    let stepgate = Stepgate::without_realm(app).await;
    let answer = stepgate
        .ask(
            "GET http://app.localhost/public/a?secret=1 HTTP/1.1\r\nHost: app.localhost\r\nX-Forwarded-User: root\r\n\
             X_Level: mfa\r\nForwarded: for=9.9.9.9\r\nX-Request-Id: theirs\r\nCookie: a=1; __Host-stepgate=x\r\n\
             Cookie: b=2\r\nX-Ordinary: stays\r\nConnection: close, X-Hop\r\nX-Hop: goes\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    let id = field(&answer, "x-request-id");
    for line in [
        "GET /public/a?secret=1\n",
        "host: app.localhost\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: app.localhost\n",
        "cookie: a=1; b=2\n",
        "x-ordinary: stays\n",
        &format!("x-request-id: {id}\n"),
    ] {
        assert!(answer.contains(line), "{line:?} is missing:\n{answer}");
    }
    for part in [
        "root",
        "x_level",
        "x-level",
        "9.9.9.9",
        "theirs",
        "__Host-stepgate",
        "x-hop",
    ] {
        assert!(!answer.contains(part), "{part:?} arrived:\n{answer}");
    }
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["id"], id);
    assert_eq!(line["decision"], "allow");
    assert_eq!(line["route"], "public");
    assert_eq!(line["path"], "/public/a");
    assert_eq!(line["status"], 200);
    assert_eq!(line["upstream"], "app");
    assert!(
        line.get("error").is_none() && !line.to_string().contains("secret"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_is_told_to_the_app_and_to_nobody_else() {
    let (app, seen) = upstream(|_, mut wire| async {
        let body = wire.exactly(14).await;
        assert_eq!(body, b"4\r\nbody\r\n0\r\n\r\n"[..14]);
        let set = "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-stepgate=theirs\r\nSet-Cookie: =__Host-stepgate=theirs\r\n\
                   Set-Cookie: own=1\r\n\
                   Content-Length: 5\r\n\r\nhello";
        wire.send(set).await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::before(app, &realm().await, "15s").await;
    let session = stepgate.log_in("alice").await;
    // The trailer names another method, which the app must not hear of.
    let answer = stepgate
        .ask(&format!(
            "POST /orders HTTP/1.1\r\nHost: app.localhost\r\nCookie: {session}\r\nOrigin: http://app.localhost\r\n\
             X-Forwarded-User: root\r\nTransfer-Encoding: chunked\r\nTrailer: X-HTTP-Method-Override\r\n\
             Connection: close\r\n\r\n4\r\nbody\r\n0\r\nX-HTTP-Method-Override: DELETE\r\n\r\n"
        ))
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(
        answer.contains("set-cookie: own=1") || answer.contains("Set-Cookie: own=1"),
        "{answer}"
    );
    assert!(!answer.contains("theirs"), "{answer}");
    let seen = seen.lock().unwrap().join("\n");
    assert!(!field(&seen, "x-forwarded-user").is_empty(), "{seen}");
    assert_eq!(
        field(&seen, "x-forwarded-preferred-username"),
        "alice",
        "{seen}"
    );
    assert_eq!(field(&seen, "x-forwarded-groups"), "clerks", "{seen}");
    assert_eq!(field(&seen, "x-level"), "password", "{seen}");
    assert_eq!(field(&seen, "cookie"), "", "{seen}");
    assert!(
        !seen.contains("root") && !seen.to_lowercase().contains("override"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_not_there_is_a_502() {
    let (_bound, nobody) = nobody();
    let stepgate = Stepgate::without_realm(nobody).await;
    let answer = stepgate.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(!field(&answer, "content-length").is_empty(), "{answer}");
    assert!(!answer.contains("Pingora"), "{answer}");
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["decision"], "allow");
    assert_eq!(line["status"], 502);
    assert_eq!(line["error"], "upstream-unreachable");
}

/// Whatever the client calls its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_says_nothing_is_a_504_in_time() {
    let (app, _) = upstream(|_, wire| async {
        tokio::time::sleep(BOUND * 2).await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    for upgrade in [
        "",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: other\r\nConnection: Upgrade\r\n",
    ] {
        let start = Instant::now();
        let answer = stepgate
            .ask(&format!(
                "GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n{upgrade}\r\n"
            ))
            .await;
        assert_eq!(status(&answer), 504, "{upgrade:?}: {answer}");
        assert!(start.elapsed() >= TIMEOUT, "{upgrade:?}");
    }
    for line in stepgate.access(3).await {
        assert_eq!(line["error"], "upstream-timeout");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_ends_the_connection() {
    let (app, _) = upstream(|header, mut wire| async move {
        let start = if header.contains("/public/length") {
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
        } else {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"
        };
        wire.send(start).await;
        None
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    for target in ["/public/length", "/public/chunks"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
        let answer = stepgate.ask(&request).await;
        assert!(answer.contains("only this"), "{answer}");
        // No second header, and no end of the chunks: the client can tell.
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    }
    for line in stepgate.access(2).await {
        assert_eq!(line["error"], "upstream-closed", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interim_answer_is_not_the_last_word() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .await;
        None
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let answer = stepgate.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 103, "{answer}");
    let (_, last) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(status(last), 502, "{answer}");
}

/// The upstream answers the first request of a connection, takes another, and hangs up without an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_may_happen_twice_is_sent_twice() {
    let (app, seen) = upstream(|header, mut wire| async move {
        if header.contains("/first") {
            wire.send(HELLO).await;
            return Some(wire);
        }
        None
    })
    .await;
    let stepgate = Stepgate::before(app, &realm().await, "15s").await;
    let session = stepgate.log_in("alice").await;
    let send = |method: &'static str, target: &'static str| {
        let body = if method == "POST" {
            "Content-Length: 2\r\n\r\nhi"
        } else {
            "\r\n"
        };
        format!(
            "{method} {target} HTTP/1.1\r\nHost: app.localhost\r\nCookie: {session}\r\nOrigin: http://app.localhost\r\n\
             Connection: close\r\n{body}"
        )
    };
    let count = |part: &str| {
        seen.lock()
            .unwrap()
            .iter()
            .filter(|header| header.contains(part))
            .count()
    };
    for (method, times) in [("POST", 1), ("GET", 2)] {
        assert_eq!(status(&stepgate.ask(&send("GET", "/first")).await), 200);
        let answer = stepgate.ask(&send(method, "/second")).await;
        assert_eq!(status(&answer), 502, "{answer}");
        assert_eq!(count(&format!("{method} /second")), times, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_its_own_rules_is_refused() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.rest().await;
        None
    })
    .await;
    let stepgate = Stepgate::before(app, &realm().await, "15s").await;
    let session = stepgate.log_in("alice").await;
    let answer = stepgate
        .ask(&format!(
            "POST /orders HTTP/1.1\r\nHost: app.localhost\r\nCookie: {session}\r\nOrigin: http://app.localhost\r\n\
             Transfer-Encoding: chunked\r\n\r\nnot a chunk\r\n"
        ))
        .await;
    assert_eq!(status(&answer), 400, "{answer}");
    let lines = stepgate.access(3).await;
    assert_eq!(lines.last().unwrap()["error"], "framing", "{lines:#?}");
}

/// Opens that many, one after the other, and counts those through which frames go both ways.
async fn tunnels(stepgate: &Stepgate, count: usize) -> usize {
    let mut whole = 0;
    for _ in 0..count {
        let mut wire = stepgate.wire().await;
        wire.send(UPGRADE).await;
        let header = wire.header().await;
        assert_eq!(status(&header), 101, "{header}");
        let mut frame = vec![0; FRAME.len()];
        let first = bounded(wire.0.read_exact(&mut frame)).await.is_ok() && frame == FRAME;
        let sent = wire.0.write_all(b"\x81\x05HELLO").await.is_ok();
        let echoed =
            bounded(wire.0.read_exact(&mut frame)).await.is_ok() && frame.ends_with(b"HELLO");
        whole += usize::from(first && sent && echoed);
    }
    whole
}

/// The upstream's answer and its first frame are there before the request is: Pingora alone then closes about half of
/// the tunnels (its #946).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tunnel_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire(stream);
                let mut answer = SWITCHING.as_bytes().to_vec();
                answer.extend_from_slice(FRAME);
                wire.0.write_all(&answer).await.unwrap();
                note(app, field(&wire.header().await, "x-request-id"));
                let mut frame = vec![0; FRAME.len()];
                while wire.0.read_exact(&mut frame).await.is_ok() {
                    wire.0.write_all(&frame).await.unwrap();
                }
            });
        }
    });
    let stepgate = Stepgate::without_realm(app).await;
    assert_eq!(tunnels(&stepgate, 200).await, 200);
    let lines = stepgate.access(200).await;
    assert!(
        lines
            .iter()
            .all(|line| line["status"] == 101 && line["decision"] == "allow")
    );
}

/// An open one is no request: it outlives the times that a request has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_tunnel_stays_open() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send(SWITCHING).await;
        tokio::time::sleep(TIMEOUT * 2).await;
        wire.send("late").await;
        None
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let answer = stepgate.ask(UPGRADE).await;
    assert!(answer.ends_with("late"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send(HELLO).await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    for _ in 0..3 {
        let mut wire = stepgate.wire().await;
        wire.send(UPGRADE).await;
        let answer = wire.answer().await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
    }
}
