//! Which HTTP/2 frames go by on a connection, read along. The library that speaks HTTP/2 keeps to itself how often a
//! client takes streams back, how long it takes over a header, and which streams are refused for being too many.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::around::passes_on;

/// RFC 9113 6.
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
const REFUSED_STREAM: u32 = 0x7;

/// Of a frame: length, kind, flags, stream.
const FRAME_HEADER: usize = 9;
/// RFC 9113 3.4.
const PREFACE: usize = 24;

/// Resets are counted by the minute.
const WINDOW: Duration = Duration::from_secs(60);

/// What was seen of one connection.
#[derive(Debug)]
pub(in crate::edge) struct Seen {
    opened: Instant,
    /// Milliseconds from `opened`, or [`NONE`]: since when a header block is on its way.
    header_since: AtomicU64,
    /// Of that header block, behind its first.
    pieces: AtomicU32,
    /// By the client, since `window`.
    resets: AtomicU32,
    window: AtomicU64,
    most_resets: u32,
    /// By us, for being too many.
    refused: AtomicU32,
    /// There were too many resets.
    over: Notify,
}

const NONE: u64 = u64::MAX;

impl Seen {
    pub(in crate::edge) fn new(most_resets: u32) -> Self {
        Self {
            opened: Instant::now(),
            header_since: AtomicU64::new(NONE),
            pieces: AtomicU32::new(0),
            resets: AtomicU32::new(0),
            window: AtomicU64::new(0),
            most_resets,
            refused: AtomicU32::new(0),
            over: Notify::new(),
        }
    }

    pub(in crate::edge) async fn too_many_resets(&self) {
        self.over.notified().await;
    }

    /// For how long a header block has been on its way.
    pub(in crate::edge) fn header_for(&self) -> Option<Duration> {
        let since = self.header_since.load(Ordering::Relaxed);
        (since != NONE).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// A header is on its way in more pieces than one that is any good has.
    pub(in crate::edge) fn is_in_pieces(&self) -> bool {
        self.header_for().is_some() && self.pieces.load(Ordering::Relaxed) > 1
    }

    /// How many more since the last call.
    pub(in crate::edge) fn take_refused(&self) -> u32 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    fn begin_header(&self) {
        if self.header_since.load(Ordering::Relaxed) == NONE {
            self.header_since.store(self.now(), Ordering::Relaxed);
            self.pieces.store(0, Ordering::Relaxed);
        }
    }

    fn header_goes_on(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    fn end_header(&self) {
        self.header_since.store(NONE, Ordering::Relaxed);
    }

    fn reset(&self) {
        let now = self.now();
        let window = Duration::from_millis(now.saturating_sub(self.window.load(Ordering::Relaxed)));
        if window >= WINDOW {
            self.window.store(now, Ordering::Relaxed);
            self.resets.store(0, Ordering::Relaxed);
        }
        if self.resets.fetch_add(1, Ordering::Relaxed) >= self.most_resets {
            self.over.notify_one();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(NONE - 1)
    }
}

/// Frames of one direction, however they are cut into pieces.
#[derive(Debug)]
struct Frames {
    /// Of the frame that is on its way: its header, and of a reset the reason as well.
    head: [u8; FRAME_HEADER + 4],
    have: usize,
    /// Bytes that are of no interest.
    skip: usize,
    /// What is said when `skip` is through.
    ends_header: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    HeaderBegins,
    HeaderGoesOn,
    HeaderEnds,
    Reset(u32),
}

impl Frames {
    fn new(skip: usize) -> Self {
        Self {
            head: [0; FRAME_HEADER + 4],
            have: 0,
            skip,
            ends_header: false,
        }
    }

    fn read(&mut self, mut bytes: &[u8], mut on: impl FnMut(Event)) {
        loop {
            if self.skip > 0 {
                let some = self.skip.min(bytes.len());
                self.skip -= some;
                bytes = bytes.get(some..).unwrap_or_default();
                if self.skip > 0 {
                    return;
                }
            }
            if std::mem::take(&mut self.ends_header) {
                on(Event::HeaderEnds);
            }
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *first;
            }
            self.have += 1;
            bytes = rest;
            self.look(&mut on);
        }
    }

    /// At what there is of the head.
    fn look(&mut self, on: &mut impl FnMut(Event)) {
        let [a, b, c, kind, flags, _, _, _, _, r @ ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let wanted = match kind {
            RST_STREAM if length == 4 => FRAME_HEADER + 4,
            _ => FRAME_HEADER,
        };
        if self.have == FRAME_HEADER && matches!(kind, HEADERS | CONTINUATION) {
            on(if kind == HEADERS {
                Event::HeaderBegins
            } else {
                Event::HeaderGoesOn
            });
            self.ends_header = flags & END_HEADERS != 0;
        }
        if self.have < FRAME_HEADER || self.have < wanted {
            return;
        }
        if wanted > FRAME_HEADER {
            on(Event::Reset(u32::from_be_bytes(r)));
        } else {
            self.skip = length;
        }
        self.have = 0;
    }
}

/// A connection whose frames are read along.
#[derive(Debug)]
pub(in crate::edge) struct ReadAlong {
    stream: Stream,
    from_client: Frames,
    to_client: Frames,
    seen: Arc<Seen>,
}

impl ReadAlong {
    pub(in crate::edge) fn new(stream: Stream, seen: Arc<Seen>) -> Self {
        Self {
            stream,
            from_client: Frames::new(PREFACE),
            to_client: Frames::new(0),
            seen,
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let seen = &self.seen;
        self.to_client.read(bytes, |event| {
            if event == Event::Reset(REFUSED_STREAM) {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

impl AsyncRead for ReadAlong {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let seen = &this.seen;
        let new = buf.filled().get(before..).unwrap_or_default();
        this.from_client.read(new, |event| match event {
            Event::HeaderBegins => seen.begin_header(),
            Event::HeaderGoesOn => seen.header_goes_on(),
            Event::HeaderEnds => seen.end_header(),
            Event::Reset(_) => seen.reset(),
        });
        read
    }
}

impl AsyncWrite for ReadAlong {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(length)) = written {
            self.wrote(buf.get(..length).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut length)) = written {
            for buf in bufs {
                let some = length.min(buf.len());
                self.wrote(buf.get(..some).unwrap_or_default());
                length -= some;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

passes_on!(ReadAlong);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or_default();
        let [_, a, b, c] = length.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let bytes = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(0x4, 0, &[]),
            frame(HEADERS, 0, b"one"),
            frame(CONTINUATION, END_HEADERS, b"two"),
            // What a payload says is no frame.
            frame(0x0, 0, &frame(RST_STREAM, 0, &[0, 0, 0, 8])),
            frame(HEADERS, END_HEADERS, b""),
            frame(RST_STREAM, 0, &[0, 0, 0, 8]),
            frame(RST_STREAM, 0, &[0, 0, 0, 7]),
        ]
        .concat();
        let expected = [
            Event::HeaderBegins,
            Event::HeaderGoesOn,
            Event::HeaderEnds,
            Event::HeaderBegins,
            Event::HeaderEnds,
            Event::Reset(8),
            Event::Reset(7),
        ];
        for size in 1..=bytes.len() {
            let mut frames = Frames::new(PREFACE);
            let mut events = Vec::new();
            for piece in bytes.chunks(size) {
                frames.read(piece, |event| events.push(event));
            }
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }
}
