//! Clients that misuse HTTP/2: each is refused as RFC 9113 has it, and none can make anything grow.

use std::time::Duration;

use stepgate::telemetry::metrics::Limit;

use super::Secure;
use super::frames::*;
use crate::harness::{BOUND, upstream};
use crate::oracle::sample_app;

const PROTOCOL_ERROR: u32 = 0x1;
const FLOW_CONTROL_ERROR: u32 = 0x3;
const FRAME_SIZE_ERROR: u32 = 0x6;
const REFUSED_STREAM: u32 = 0x7;
const COMPRESSION_ERROR: u32 = 0x9;
const ENHANCE_YOUR_CALM: u32 = 0xb;

const SECOND: &str = "[limits]\nheader_time = \"1s\"\nbody_time = \"1s\"\n";

/// HPACK: an indexed `:status`.
fn status(frame: &Frame) -> Option<&'static str> {
    match frame.payload.first()? {
        0x88 => Some("200"),
        0x8c => Some("400"),
        _ => None,
    }
}

/// What every server has to refuse (RFC 9113 4 to 8, and what h2spec tries), and how.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_protocol_ends_the_connection() {
    let secure = Secure::start().await;
    let request = frame(HEADERS, WHOLE, 1, &get("/public/a"));
    let rows: &[(&str, Vec<u8>, &[u32])] = &[
        (
            "data of no stream",
            frame(DATA, 0, 0, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "data of an idle stream",
            frame(DATA, 0, 1, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "a header of no stream",
            frame(HEADERS, WHOLE, 0, &get("/")),
            &[PROTOCOL_ERROR],
        ),
        (
            "a stream that only a server begins",
            frame(HEADERS, WHOLE, 2, &get("/")),
            &[PROTOCOL_ERROR],
        ),
        (
            "a stream before one that was begun",
            [
                frame(HEADERS, WHOLE, 5, &get("/public/a")),
                frame(HEADERS, WHOLE, 3, &get("/")),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a push by a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a reset of an idle stream",
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a reset of the wrong size",
            frame(RST_STREAM, 0, 1, &[0, 0, 8]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "settings of a stream",
            frame(SETTINGS, 0, 1, &[]),
            &[PROTOCOL_ERROR],
        ),
        (
            "settings of the wrong size",
            frame(SETTINGS, 0, 0, &[0, 1, 0]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "an acknowledgement that says something",
            frame(SETTINGS, 1, 0, &[0, 1, 0, 0, 0, 0]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "a push that is neither on nor off",
            frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a window beyond all bounds",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "a window that does not grow",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "a ping of a stream",
            frame(PING, 0, 1, &[0; 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a ping of the wrong size",
            frame(PING, 0, 0, &[0; 6]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &get("/")),
            &[PROTOCOL_ERROR],
        ),
        (
            "something else between a header and its end",
            [
                frame(HEADERS, END_STREAM, 1, &get("/")),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a frame that is too large",
            frame(DATA, 0, 1, &vec![0; 16_385]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "a header that cannot be decoded",
            frame(HEADERS, WHOLE, 1, &[0xff; 12]),
            &[COMPRESSION_ERROR],
        ),
        (
            "a pseudo-field that is unknown",
            frame(
                HEADERS,
                WHOLE,
                1,
                &[get("/"), field(":unknown", "1")].concat(),
            ),
            &[COMPRESSION_ERROR],
        ),
        (
            "a name in upper case",
            frame(
                HEADERS,
                WHOLE,
                1,
                &[get("/"), field("X-Upper", "1")].concat(),
            ),
            &[COMPRESSION_ERROR],
        ),
        (
            "more padding than there is",
            frame(HEADERS, WHOLE | 0x8, 1, &[200, 0x82]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a priority of the wrong size",
            [request, frame(PRIORITY, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, reasons) in rows {
        let mut raw = Raw::open(&secure).await;
        raw.send(bytes).await;
        let said = raw.last_word().await;
        // The library is often less exact about the reason, which is allowed (RFC 9113 5.4), never about the end.
        let fine = said.is_some_and(|said| said == PROTOCOL_ERROR || reasons.contains(&said));
        if !fine {
            wrong.push(format!("{what}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One request is broken; the others of the connection are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_request_is_refused_alone() {
    let secure = Secure::start().await;
    let without = |name: &str| {
        let all = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "erp.example.com"),
            (":path", "/public/a"),
        ];
        let left = all.iter().filter(|(known, _)| *known != name);
        left.flat_map(|(name, value)| field(name, value))
            .collect::<Vec<_>>()
    };
    let with = |name: &str, value: &str| [get("/public/a"), field(name, value)].concat();
    let rows: &[(&str, Vec<u8>)] = &[
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no host", without(":authority")),
        ("a field of a connection", with("connection", "close")),
        ("chunks", with("transfer-encoding", "chunked")),
        ("te that is not trailers", with("te", "gzip")),
        ("a pseudo-field of an answer", with(":status", "200")),
        ("a pseudo-field twice", with(":path", "/other")),
        (
            "a pseudo-field after others",
            [field("a", "1"), get("/public/a")].concat(),
        ),
        ("another host", with("host", "www.apps.example.com")),
        ("a length that is none", with("content-length", "x")),
        (
            "two lengths",
            [with("content-length", "1"), field("content-length", "2")].concat(),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, header) in rows {
        let mut raw = Raw::open(&secure).await;
        raw.send(&frame(HEADERS, WHOLE, 1, header)).await;
        raw.send(&frame(HEADERS, WHOLE, 3, &get("/public/a"))).await;
        let (mut refused, mut answered) = (false, false);
        while let Some(frame) = raw.next().await {
            match (frame.kind, frame.stream) {
                (RST_STREAM, 1) => refused = true,
                (HEADERS, 1) => refused = status(&frame) == Some("400"),
                (HEADERS, 3) => answered = status(&frame) == Some("200"),
                (GOAWAY, _) => break,
                _ => {}
            }
            if refused && answered {
                break;
            }
        }
        if !refused || !answered {
            wrong.push(format!(
                "{what}: refused {refused}, the other answered {answered}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let lines = secure.stepgate.access(rows.len()).await;
    let passed = lines.iter().filter(|line| line["decision"] == "allow");
    assert_eq!(passed.count(), rows.len(), "{lines:#?}");
}

/// CVE-2023-44487: requests are taken back as soon as they are on their way. Those that come with it are never begun; those
/// that were are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_taken_back_again_and_again_end_the_connection() {
    let (app, seen) = upstream(|_, wire| async {
        tokio::time::sleep(BOUND * 2).await;
        Some(wire)
    })
    .await;
    let secure = Secure::before(app, super::NO_REALM, "", "");
    let mut at_once = Raw::open(&secure).await;
    for stream in (1..4000_u32).step_by(2) {
        let request = frame(HEADERS, WHOLE, stream, &get("/public/a"));
        at_once
            .send(&[request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())
            .await;
    }
    assert_eq!(at_once.last_word().await, Some(ENHANCE_YOUR_CALM));
    secure.until_refused(Limit::Resets, 1).await;

    let mut later = Raw::open(&secure).await;
    let mut stream = 1;
    let mut is_open = true;
    while is_open && stream < 4000 {
        let streams: Vec<u32> = (0..50).map(|number| stream + number * 2).collect();
        for stream in &streams {
            later
                .send(&frame(HEADERS, WHOLE, *stream, &get("/public/a")))
                .await;
        }
        later.send(&frame(PING, 0, 0, &[0; 8])).await;
        is_open = later.until(PING).await.is_some();
        for stream in &streams {
            later
                .send(&frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8]))
                .await;
        }
        stream += 100;
    }
    // The word was read with the last answer to a ping, if it was not the last thing of all.
    let said = later.last_word().await;
    assert!(
        said.is_none() || said == Some(ENHANCE_YOUR_CALM),
        "{said:?}"
    );
    assert!(stream < 1000, "{stream}");
    secure.until_refused(Limit::Resets, 2).await;
    let served = seen.lock().unwrap().len();
    assert!(served <= 500, "{served} requests reached the app");
}

/// CVE-2025-8671: the client has the server take the streams back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_we_are_made_to_take_back_end_the_connection() {
    let secure = Secure::start().await;
    let mut raw = Raw::open(&secure).await;
    for stream in (1..4000_u32).step_by(2) {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &get("/public/a")))
            .await;
        // A window that overflows is an error of its stream alone.
        raw.send(&frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]))
            .await;
    }
    assert_eq!(raw.last_word().await, Some(ENHANCE_YOUR_CALM));
    secure.until_refused(Limit::Resets, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_the_limit_are_taken_back() {
    let secure = Secure::with("", "[limits]\nh2_streams = 3\n").await;
    let mut raw = Raw::open(&secure).await;
    // None of them ends: their bodies are still to come.
    let requests: Vec<u8> = (0..5_u32)
        .flat_map(|number| frame(HEADERS, END_HEADERS, number * 2 + 1, &get("/public/a")))
        .collect();
    raw.send(&requests).await;
    for stream in [7, 9] {
        let refused = raw.until(RST_STREAM).await.unwrap();
        assert_eq!(
            (refused.stream, number(&refused.payload)),
            (stream, REFUSED_STREAM)
        );
    }
    secure.until_refused(Limit::StreamsPerConnection, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_does_not_end_ends_the_connection() {
    let secure = Secure::with("", SECOND).await;
    let mut raw = Raw::open(&secure).await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &get("/public/a")))
        .await;
    let (took, said) = timed(raw.last_word()).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    assert!(took >= Duration::from_millis(900), "{took:?}");
    secure.until_refused(Limit::HeaderTime, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_requests_is_ended_with_a_word() {
    let secure = Secure::with("", SECOND).await;
    let mut raw = Raw::open(&secure).await;
    let (took, said) = timed(raw.last_word()).await;
    assert_eq!(said, Some(0), "no error");
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert_eq!(secure.stepgate.refused(Limit::HeaderTime), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stands_still_is_given_up() {
    let secure = Secure::with("", SECOND).await;
    let mut raw = Raw::open(&secure).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &get("/public/a")))
        .await;
    raw.send(&frame(DATA, 0, 1, b"some")).await;
    let reset = raw.until(RST_STREAM).await.unwrap();
    assert_eq!(reset.stream, 1);
    secure.until_refused(Limit::BodyTime, 1).await;
    // The connection is as good as it was.
    raw.send(&frame(HEADERS, WHOLE, 3, &get("/public/a"))).await;
    let answer = raw.until(HEADERS).await.unwrap();
    assert_eq!((answer.stream, status(&answer)), (3, Some("200")));
}

/// CVE-2026-105297 and its kin: little is sent, and much comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_too_large_or_has_too_many_fields_is_431() {
    let secure = Secure::start().await;
    let ask = async |fields: Vec<u8>| {
        let mut raw = Raw::open(&secure).await;
        let block = [get("/public/a"), fields].concat();
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let stream_ends = if kind == HEADERS { END_STREAM } else { 0 };
            raw.send(&frame(kind, last | stream_ends, 1, piece)).await;
            kind = CONTINUATION;
        }
        match raw.next_of_stream(1).await {
            // A literal status, whose digits may be coded.
            Some(answer) => match status(&answer) {
                Some("200") => "served",
                _ => "431",
            },
            None => "ended",
        }
    };
    assert_eq!(ask(field("x-a", &"x".repeat(60_000))).await, "served");
    assert_eq!(ask(field("x-a", &"x".repeat(70_000))).await, "431");
    secure.until_refused(Limit::HeaderBytes, 1).await;
    assert_ne!(ask(field("x-a", &"x".repeat(400_000))).await, "served");
    // One field of a table, again and again: a byte each.
    let bomb = [vec![0x40, 1, b'a', 1, b'b'], vec![0xbe; 200]].concat();
    assert_eq!(ask(bomb).await, "431");
    secure.until_refused(Limit::HeaderCount, 1).await;
    let large = [
        vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e],
        vec![b'x'; 4000],
        vec![0xbe; 10_000],
    ]
    .concat();
    assert_ne!(ask(large).await, "served");
}

/// A body is counted as it comes, by either protocol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_refused_before_it_is_sent_or_when_it_is_too_large() {
    let secure = Secure::before(sample_app().await, super::NO_REALM, "", "");
    let ask = async |size: usize, more: &[&str]| {
        let file = secure.stepgate.folder().join("body");
        std::fs::write(&file, vec![b'x'; size]).unwrap();
        let body = format!("@{}", file.display());
        let mut all = vec!["-X", "GET", "--data-binary", &body];
        all.extend(more);
        all.push("https://erp.example.com/public/small/a");
        crate::harness::status(&secure.curl(&all).await)
    };
    for flag in ["--http1.1", "--http2"] {
        assert_eq!(ask(1024, &[flag]).await, 200, "{flag}");
        assert_eq!(ask(3 << 20, &[flag]).await, 413, "{flag}");
        assert_eq!(ask(1025, &[flag]).await, 413, "{flag}");
        assert_eq!(
            ask(3 << 20, &[flag, "-H", "Expect: 100-continue"]).await,
            413,
            "{flag}"
        );
    }
    assert_eq!(
        ask(70_000, &["--http1.1", "-H", "Transfer-Encoding: chunked"]).await,
        413
    );
    secure.until_refused(Limit::BodyBytes, 7).await;
}
