//! HTTP/2 by hand: frames that no library would send.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Secure;
use crate::harness::bounded;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let [_, a, b, c] = length.to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    [&[a, b, c, kind, flags, s, t, u, v], payload].concat()
}

/// A literal field without a place in any table (RFC 7541 6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = integer(text.len());
        bytes.extend(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

/// With a prefix of seven bits (RFC 7541 5.1).
fn integer(mut number: usize) -> Vec<u8> {
    if number < 127 {
        return vec![u8::try_from(number).unwrap()];
    }
    number -= 127;
    let mut bytes = vec![127];
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A GET of a path at the first app.
pub(super) fn get(path: &str) -> Vec<u8> {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "erp.example.com"),
        (":path", path),
    ];
    pseudo
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

pub(super) struct Raw(pub(super) TlsStream<TcpStream>);

impl Raw {
    /// With the preface and both settings through.
    pub(super) async fn open(secure: &Secure) -> Self {
        let stream = secure.connect("erp.example.com", &["h2"]).await.unwrap();
        let mut raw = Self(stream);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        let first = raw.next().await.unwrap();
        assert_eq!((first.kind, first.flags), (SETTINGS, 0));
        raw.send(&frame(SETTINGS, 1, 0, &[])).await;
        raw
    }

    /// That the other side is gone shows when something is read.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        if self.0.write_all(bytes).await.is_ok() {
            let _gone = self.0.flush().await;
        }
    }

    /// Nothing at the connection's end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        bounded(self.0.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        bounded(self.0.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([s, t, u, v]);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The first frame of that kind; nothing when the connection ends before.
    pub(super) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The first header of an answer, or its reset; nothing when the connection ends before.
    pub(super) async fn next_of_stream(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM) {
                return Some(frame);
            }
        }
    }

    /// The reason of the GOAWAY with which it ends.
    pub(super) async fn last_word(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                reason = Some(number(&frame.payload[4..8]));
            }
        }
        reason
    }
}

pub(super) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// How long it took, and what came of it.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let done = work.await;
    (start.elapsed(), done)
}
