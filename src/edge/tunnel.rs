//! The stream to an upstream that is asked to upgrade: what it waits for, and how long.
//!
//! It works around a race in Pingora 0.9.1 (cloudflare/pingora#946): when the upstream answers an upgrade before the end
//! of the handshake's empty body was consumed, the tunnel is closed right after its 101. The stream gives way once before
//! the first read after a write, so that the queued end of the body is always consumed first. To be removed with a
//! Pingora that has the fix; tests hold the behaviour, over TLS too.
//!
//! Pingora has one read timeout for a connection's whole life, and an open tunnel may be quiet for long. The time until
//! it is open is therefore kept here.

use std::io;
use std::net::SocketAddr as InetAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::config::Timeouts;

const WAITING: u8 = 0;
const ANSWERED: u8 = 1;
const OPEN: u8 = 2;

/// How far the answer is. The phases read the answer, the stream keeps the time.
#[derive(Debug, Default)]
pub(in crate::edge) struct Progress(AtomicU8);

impl Progress {
    pub(in crate::edge) fn note(&self, status: StatusCode) {
        let stage = match status {
            StatusCode::SWITCHING_PROTOCOLS => OPEN,
            interim if interim.is_informational() => return,
            _ => ANSWERED,
        };
        self.0.store(stage, Ordering::Relaxed);
    }

    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WAITING
    }

    fn limit(&self, timeouts: &Timeouts) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            WAITING => Some(timeouts.response),
            ANSWERED => Some(timeouts.idle),
            _ => None,
        }
    }
}

/// Connects one tunnel. Pooled connections do not go through it: every tunnel has a group of its own.
#[derive(Debug)]
pub(in crate::edge) struct TunnelConnector {
    pub(in crate::edge) address: InetAddr,
    pub(in crate::edge) progress: Arc<Progress>,
    pub(in crate::edge) timeouts: Timeouts,
}

#[async_trait]
impl Connect for TunnelConnector {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        // Pingora's limit on connecting is around this.
        let stream = TcpStream::connect(self.address)
            .await
            .or_err(ErrorType::ConnectError, "connecting a tunnel")
            .map_err(Error::into_up)?;
        // Frames are small and somebody waits for each.
        stream
            .set_nodelay(true)
            .or_err(ErrorType::SocketError, "setting TCP_NODELAY")?;
        let socket = TunnelSocket {
            stream,
            wrote: false,
            progress: Arc::clone(&self.progress),
            timeouts: self.timeouts,
            timer: None,
        };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

#[derive(Debug)]
struct TunnelSocket<S> {
    stream: S,
    wrote: bool,
    progress: Arc<Progress>,
    timeouts: Timeouts,
    /// Since the last write while there is no answer; since the last byte after one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> TunnelSocket<S> {
    /// Nothing came. The stage may have changed since the timer was set, so it is looked at again when it rings.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(limit) = self.progress.limit(&self.timeouts) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> VirtualSocket
    for TunnelSocket<S>
{
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TunnelSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                // A header that comes byte by byte gets no more time for it.
                if !self.progress.is_waiting() {
                    self.timer = None;
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_late(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TunnelSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        self.timer = None;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
