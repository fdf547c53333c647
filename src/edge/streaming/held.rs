//! The client's session while an answer streams: everything is passed on to Pingora's own one, but reading fails when the
//! stream is to end here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, Result};
use tokio::time::Instant;

use super::Leash;
use crate::edge::failure;

/// For what has begun to come to its end, and for a client to take it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

type Reader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

pub(super) struct HeldSession {
    session: ServerSession,
    leash: Arc<Leash>,
    end: End,
}

/// When it has to be over; known from the moment that it was told.
#[derive(Default)]
struct End(Option<Instant>);

impl HeldSession {
    pub(super) fn new(session: ServerSession, leash: Arc<Leash>) -> Self {
        Self {
            session,
            leash,
            end: End::default(),
        }
    }

    /// A write of which a part may have gone out already.
    fn tears(&self) -> Box<Error> {
        self.leash.is_torn.store(true, Ordering::Relaxed);
        failure::stream_ends()
    }
}

impl End {
    /// Told, and no time is left.
    async fn is_late(&mut self, leash: &Leash) {
        while leash.told.get().is_none() {
            leash.pulled.notified().await;
        }
        let end = *self.0.get_or_insert_with(|| Instant::now() + PATIENCE);
        tokio::time::sleep_until(end).await;
    }

    /// Told, and something of ours may be put here, or no time is left.
    async fn is_now(&mut self, leash: &Leash) {
        while leash.told.get().is_none() {
            leash.pulled.notified().await;
        }
        if !leash.is_between.load(Ordering::Relaxed) {
            self.is_late(leash).await;
        }
    }
}

impl Drop for HeldSession {
    fn drop(&mut self) {
        let session = std::mem::replace(&mut self.session, super::nothing());
        self.leash.own.put(session);
    }
}

#[async_trait]
impl CustomSession for HeldSession {
    fn req_header(&self) -> &RequestHeader {
        self.session.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.session.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.session.read_request_body().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.session.drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.session.write_response_header(resp).await?;
        if end {
            self.session.finish_body().await?;
        }
        Ok(())
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.session.write_response_header_ref(resp).await?;
        if end {
            self.session.finish_body().await?;
        }
        Ok(())
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        tokio::select! {
            biased;
            written = self.session.write_response_body(data, end) => return written,
            () = self.end.is_late(&self.leash) => {}
        }
        Err(self.tears())
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.session.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        tokio::select! {
            biased;
            written = self.session.response_duplex_vec(tasks) => return written,
            () = self.end.is_late(&self.leash) => {}
        }
        Err(self.tears())
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.session.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.session.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.session.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.session.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.session.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.session.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.session.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.session.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.session.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.session.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.session.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.session.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        tokio::select! {
            biased;
            () = self.end.is_now(&self.leash) => Err(failure::stream_ends()),
            read = self.session.read_body_or_idle(no_body_expected) => read,
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.session.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.session.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.session.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.session.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.session.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.session.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.session.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        self.session.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.session.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.session.get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Reader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Reader) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        self.session.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.session.was_upgraded()
    }
}
