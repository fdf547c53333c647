//! The beginning of an HTTP/1 request on its connection: a header that grows beyond its limit is answered before it is
//! all there. Pingora would hold a mebibyte of it. A target that Pingora would repair is known for what it was. And what
//! Pingora cannot read at all gets an answer of ours, and a line in the log, instead of its own.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::access;
use super::around::passes_on;
use super::guard::Connection;
use super::snapshot::Current;
use crate::telemetry::metrics::Limit;

const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\
                        Connection: close\r\n\r\n";

const UNREADABLE: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\
                            Connection: close\r\n\r\n";

/// To CONNECT (RFC 9110 9.3.6), which Pingora passes on to nobody.
const NOT_ALLOWED: &[u8] =
    b"HTTP/1.1 405 Method Not Allowed\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\
                             Connection: close\r\n\r\n";

/// Of what a client goes on to send: it reads the answer only when it is through.
const DISCARDED: usize = 1 << 20;

/// The lower bits count the spaces.
const SPACES: u8 = 0b11;
const BEGAN: u8 = 1 << 5;
const ENDED: u8 = 1 << 6;
const ILLEGAL: u8 = 1 << 7;

/// A request's first line while it comes: whether it holds what no target may (RFC 9112 3.2). Pingora would encode that,
/// and show a target that nobody sent.
#[derive(Debug, Default)]
pub(in crate::edge) struct RequestLine(AtomicU8);

impl RequestLine {
    pub(in crate::edge) fn begins(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(in crate::edge) fn is_illegal(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ILLEGAL != 0
    }

    pub(in crate::edge) fn grows(&self, bytes: &[u8]) {
        let mut line = self.0.load(Ordering::Relaxed);
        if line & ENDED != 0 {
            return;
        }
        for byte in bytes {
            match byte {
                // RFC 9112 2.2: empty lines before it do not count.
                b'\r' | b'\n' if line & BEGAN == 0 => continue,
                b'\n' => {
                    line |= ENDED;
                    break;
                }
                b'\r' => {}
                // One before the target, one behind it.
                b' ' if line & SPACES < 2 => line += 1,
                b' ' | b'<' | b'>' | b'"' | 0..=0x1f | 0x7f => line |= ILLEGAL,
                _ => {}
            }
            line |= BEGAN;
        }
        self.0.store(line, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(in crate::edge) struct Beginning {
    stream: Stream,
    connection: Arc<Connection>,
    most: usize,
    current: Current,
    peer: Option<IpAddr>,
    refused: Option<Refused>,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Writing(&'static [u8]),
    Ending,
    Discarding(usize),
}

impl Beginning {
    pub(in crate::edge) fn new(
        stream: Stream,
        connection: Arc<Connection>,
        most: usize,
        current: Current,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            stream,
            connection,
            most,
            current,
            peer,
            refused: None,
        }
    }

    /// As much as may come, at most.
    fn poll_header(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.most.saturating_sub(self.connection.header_read());
        if left == 0 {
            self.current
                .look(|snapshot| snapshot.metrics.limit_refusals.inc(Limit::HeaderBytes));
            self.connection.header_is_refused();
            self.refused = Some(Refused::Writing(TOO_LARGE));
            return self.poll_refused(cx);
        }
        let before = buf.filled().len();
        if left >= buf.remaining() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            let mut some = ReadBuf::new(buf.initialize_unfilled_to(left));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut some))?;
            let length = some.filled().len();
            buf.advance(length);
        }
        self.connection
            .header_grows(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }

    /// Whether what Pingora writes is for nobody. Before the proxy has seen a header it writes but that it is none, or
    /// that it is CONNECT's.
    fn refuses(&mut self, written: &[u8]) -> bool {
        if self.refused.is_none() && self.connection.waits() {
            self.connection.header_is_refused();
            let (answer, status, reason) = match written.get(..12) {
                Some(b"HTTP/1.1 405") => (NOT_ALLOWED, 405, "method-not-allowed"),
                _ => (UNREADABLE, 400, "not-http"),
            };
            self.current
                .look(|snapshot| access::unseen(snapshot, self.peer, status, reason));
            self.refused = Some(Refused::Writing(answer));
        }
        self.refused.is_some()
    }

    /// Ends as the connection's end does.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refused) = self.refused {
            let stream = Pin::new(&mut self.stream);
            self.refused = Some(match refused {
                Refused::Writing([]) => Refused::Ending,
                Refused::Writing(rest) => {
                    let length = ready!(stream.poll_write(cx, rest))?;
                    Refused::Writing(rest.get(length..).unwrap_or_default())
                }
                // Our half of it: the client need not wait for more.
                Refused::Ending => {
                    ready!(stream.poll_shutdown(cx))?;
                    Refused::Discarding(0)
                }
                Refused::Discarding(length) => {
                    let mut piece = [0; 4096];
                    let mut piece = ReadBuf::new(&mut piece);
                    ready!(stream.poll_read(cx, &mut piece))?;
                    let length = length + piece.filled().len();
                    if piece.filled().is_empty() || length > DISCARDED {
                        break;
                    }
                    Refused::Discarding(length)
                }
            });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Beginning {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.refused.is_some() {
            return self.poll_refused(cx);
        }
        if self.connection.waits() {
            return self.poll_header(cx, buf);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Beginning {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refuses(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.first().map(|buf| &**buf).unwrap_or_default();
        if self.refuses(first) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused.is_some() {
            return self.poll_refused(cx);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

passes_on!(Beginning);
