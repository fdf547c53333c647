//! A work-around for a race in Pingora 0.9.1 (cloudflare/pingora#946): when the upstream answers an upgrade before the
//! end of the handshake's empty body was consumed, the tunnel is closed right after its 101.
//!
//! The stream to the upstream of an upgrade gives way once before the first read after a write, so that the queued end
//! of the body is always consumed first. To be removed with a Pingora that has the fix; a test holds the behaviour.

use std::io;
use std::net::SocketAddr as InetAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Connects tunnels. Pooled connections do not go through it: tunnels have a group of their own.
#[derive(Debug)]
pub(in crate::edge) struct TunnelConnector {
    pub(in crate::edge) address: InetAddr,
}

#[async_trait]
impl Connect for TunnelConnector {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let stream = TcpStream::connect(self.address)
            .await
            .or_err(ErrorType::ConnectError, "connecting a tunnel")
            .map_err(Error::into_up)?;
        // Frames are small and somebody waits for each.
        stream
            .set_nodelay(true)
            .or_err(ErrorType::SocketError, "setting TCP_NODELAY")?;
        Ok(VirtualSocketStream::new(Box::new(YieldingSocket {
            stream,
            wrote: false,
        }))
        .into())
    }
}

#[derive(Debug)]
struct YieldingSocket {
    stream: TcpStream,
    wrote: bool,
}

impl VirtualSocket for YieldingSocket {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for YieldingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for YieldingSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
