//! What Pingora reads from and writes to instead of the client's connection itself.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frames::Frames;
use super::{Farewell, Reason};
use crate::edge::around::passes_on;

/// For both goodbyes.
const PATIENCE: Duration = Duration::from_secs(1);

pub(in crate::edge) struct ClientStream {
    stream: Stream,
    farewell: Farewell,
    tunnel: Option<Box<Tunnel>>,
}

/// Made when the first byte goes over an open one.
#[derive(Debug)]
struct Tunnel {
    from_client: Frames,
    to_client: Frames,
    leaving: Option<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    to_client: Goodbye,
    to_app: Goodbye,
    until: Pin<Box<Sleep>>,
}

/// A Close frame of ours, and how much of it is said.
#[derive(Debug)]
struct Goodbye {
    frame: Vec<u8>,
    said: usize,
}

impl Goodbye {
    const fn new(frame: Vec<u8>) -> Self {
        Self { frame, said: 0 }
    }

    fn rest(&self) -> &[u8] {
        self.frame.get(self.said..).unwrap_or_default()
    }

    const fn has_begun(&self) -> bool {
        self.said > 0
    }

    fn is_said(&self) -> bool {
        self.rest().is_empty()
    }
}

impl Leaving {
    fn new(reason: Reason) -> Self {
        Self {
            to_client: Goodbye::new(reason.to_client()),
            to_app: Goodbye::new(reason.to_app()),
            until: Box::pin(tokio::time::sleep(PATIENCE)),
        }
    }
}

impl ClientStream {
    pub(in crate::edge) fn new(stream: Stream, farewell: Farewell) -> Self {
        Self {
            stream,
            farewell,
            tunnel: None,
        }
    }

    /// Nothing while this is an ordinary connection.
    fn tunnel(&mut self, cx: &Context<'_>) -> Option<(&mut Tunnel, &mut Stream, &Farewell)> {
        if !self.farewell.has_tunnel() {
            return None;
        }
        self.farewell.listen(cx.waker());
        let tunnel = self.tunnel.get_or_insert_with(|| {
            Box::new(Tunnel {
                from_client: Frames::new(),
                to_client: Frames::after_answer(),
                leaving: None,
            })
        });
        if tunnel.leaving.is_none() {
            tunnel.leaving = self.farewell.reason().map(Leaving::new);
        }
        Some((tunnel, &mut self.stream, &self.farewell))
    }
}

impl Tunnel {
    /// Says to the client what is left to say, once it may be said; ready when there is nothing (more) to be said now.
    fn poll_tell_client(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(leaving) = &mut self.leaving else {
            return Poll::Ready(Ok(()));
        };
        let goodbye = &mut leaving.to_client;
        if goodbye.is_said() || !(goodbye.has_begun() || self.to_client.is_between()) {
            return Poll::Ready(Ok(()));
        }
        while !goodbye.is_said() {
            let said = ready!(Pin::new(&mut *stream).poll_write(cx, goodbye.rest()))?;
            if said == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            goodbye.said += said;
        }
        // What is not flushed now goes with the connection's end.
        let _flushed = Pin::new(stream).poll_flush(cx)?;
        Poll::Ready(Ok(()))
    }

    /// Both have heard, and have said goodbye themselves.
    fn is_over(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| {
            leaving.to_client.is_said()
                && leaving.to_app.is_said()
                && self.from_client.has_closed()
                && self.to_client.has_closed()
        })
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.leaving
            .as_mut()
            .is_some_and(|leaving| leaving.until.as_mut().poll(cx).is_ready())
    }

    /// What the app gets to read: the client's bytes, and at last our goodbye. No bytes are the end.
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.is_over() || self.is_late(cx) {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(Err(error)) = self.poll_tell_client(stream, cx) {
                return Poll::Ready(Err(error));
            }
            if let Some(leaving) = &mut self.leaving
                && !leaving.to_app.is_said()
                && (leaving.to_app.has_begun() || self.from_client.is_between())
            {
                let goodbye = &mut leaving.to_app;
                let rest = goodbye.rest();
                let now = rest.get(..rest.len().min(buf.remaining())).unwrap_or(rest);
                buf.put_slice(now);
                goodbye.said += now.len();
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = match &self.leaving {
                None => read.len(),
                Some(leaving) if leaving.to_app.has_begun() => 0,
                // The frame that was half way through; what comes behind it is too late.
                Some(_) => self.from_client.until_between(read),
            };
            self.from_client.pass(read);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        farewell: &Farewell,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.poll_tell_client(stream, cx))?;
        let bytes = match &self.leaving {
            None => bytes,
            Some(leaving) if leaving.to_client.is_said() => {
                // The app's own goodbye, or what it sent before it heard ours.
                self.to_client.pass(bytes);
                farewell.wake();
                return Poll::Ready(Ok(bytes.len()));
            }
            // Only the frame that is half way through; ours comes next.
            Some(_) => bytes
                .get(..self.to_client.until_between(bytes))
                .unwrap_or(bytes),
        };
        let written = ready!(Pin::new(stream).poll_write(cx, bytes))?;
        self.to_client
            .pass(bytes.get(..written).unwrap_or_default());
        if self.leaving.is_some() {
            farewell.wake();
        }
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((tunnel, stream, _)) = self.tunnel(cx) {
            return tunnel.poll_read(stream, cx, buf);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some((tunnel, stream, farewell)) = self.tunnel(cx) {
            return tunnel.poll_write(stream, farewell, cx, bytes);
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.farewell.has_tunnel() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| slice));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

passes_on!(ClientStream);

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
