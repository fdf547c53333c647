//! Asks one address whether it works: a request that has to be answered, or a connection that has to come about.

use std::time::Duration;

use http::{StatusCode, header};
use pingora::connectors::TransportConnector;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use crate::config::Health;
use crate::edge::failure;
use crate::gate::NoAnswer;

const USER_AGENT: &str = concat!("stepgate/", env!("CARGO_PKG_VERSION"), " (health check)");

/// What makes the connections. Each is used once: what is asked is whether a new one can be had.
pub(super) struct Prober {
    http: Connector,
    transport: TransportConnector,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").finish_non_exhaustive()
    }
}

impl Prober {
    pub(super) fn new() -> Self {
        Self {
            http: Connector::new(None),
            transport: TransportConnector::new(None),
        }
    }

    /// `host`: what is asked for where the check does not name one.
    pub(super) async fn ask(
        &self,
        peer: &HttpPeer,
        host: &str,
        health: &Health,
    ) -> Result<(), NoAnswer> {
        let Some(path) = &health.path else {
            return self.connect(peer, health.timeout).await;
        };
        let host = health.host.as_deref().unwrap_or(host);
        let asking = self.get(peer, host, path, health.timeout);
        let status = within(health.timeout, asking).await?;
        if status.is_success() || status.is_redirection() {
            Ok(())
        } else {
            Err(NoAnswer::Invalid)
        }
    }

    /// With TLS where the peer has it.
    pub(super) async fn connect(&self, peer: &HttpPeer, timeout: Duration) -> Result<(), NoAnswer> {
        within(timeout, self.transport.new_stream(peer)).await?;
        Ok(())
    }

    async fn get(
        &self,
        peer: &HttpPeer,
        host: &str,
        path: &str,
        timeout: Duration,
    ) -> Result<StatusCode> {
        let (mut session, _) = self.http.get_http_session(peer).await?;
        let mut request = RequestHeader::build(http::Method::GET, path.as_bytes(), Some(3))?;
        request.insert_header(header::HOST, host)?;
        request.insert_header(header::USER_AGENT, USER_AGENT)?;
        session.set_read_timeout(Some(timeout));
        session.set_write_timeout(Some(timeout));
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session
            .response_header()
            .map(|response| response.status)
            .ok_or_else(|| Error::new_up(pingora::ErrorType::InvalidHTTPHeader))?;
        // The rest of it is of no interest, and its connection ends here.
        session.shutdown().await;
        Ok(status)
    }
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T, NoAnswer> {
    match tokio::time::timeout(timeout, work).await {
        Ok(done) => done.map_err(|error| failure::no_answer(&error)),
        Err(_) => Err(NoAnswer::Timeout),
    }
}
