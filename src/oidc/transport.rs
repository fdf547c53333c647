//! HTTP to Keycloak: no redirects, no retries, no proxy from the environment; time and answer size are bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};

use super::error::{OidcError, Outage};
use super::watch::{Calls, Endpoint};

/// Of a token answer with two fat tokens; discovery is 10 KiB.
pub(super) const ANSWER_LIMIT: usize = 256 * 1024;

const POOL_IDLE: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    calls: Arc<Calls>,
}

impl Transport {
    /// Without `tls` the provider is on loopback, and a system without certificate authorities will do.
    pub(super) fn new(timeout: Duration, tls: bool, calls: Arc<Calls>) -> Result<Self, OidcError> {
        let mut http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            // A refresh token or code that was sent is not sent again.
            .retry(reqwest::retry::never())
            .no_proxy()
            // Shorter than the idle limit of proxies: a code sent into a closing connection is a lost login.
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(concat!("stepgate/", env!("CARGO_PKG_VERSION")));
        if !tls {
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|_| {
            OidcError::Misconfigured("this system has no certificate authorities to trust")
        })?;
        Ok(Self { http, calls })
    }

    pub(super) async fn get(
        &self,
        endpoint: Endpoint,
        url: &url::Url,
        limit: usize,
    ) -> Result<Vec<u8>, OidcError> {
        let request = Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| OidcError::Misconfigured("an endpoint that is no URI"))?;
        let response = self.call(endpoint, request, limit).await?;
        if response.status() != StatusCode::OK {
            return Err(Outage::Status(response.status().as_u16()).into());
        }
        Ok(response.into_body())
    }

    /// Any answer below 500; what is above, or 429, comes from something that did not get to the question.
    pub(super) async fn call(
        &self,
        endpoint: Endpoint,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Response<Vec<u8>>, Outage> {
        let started = Instant::now();
        let answer = self.answer(request, limit).await;
        self.calls.note(endpoint, &answer, started.elapsed());
        answer
    }

    async fn answer(
        &self,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Response<Vec<u8>>, Outage> {
        let request = request.try_into().map_err(|_| Outage::Unreachable)?;
        let mut answer = self.http.execute(request).await.map_err(|e| outage(&e))?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Outage::Status(status.as_u16()));
        }
        let headers = std::mem::take(answer.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| outage(&e))? {
            if body.len() + chunk.len() > limit {
                return Err(Outage::Garbage("too long"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn outage(error: &reqwest::Error) -> Outage {
    if error.is_connect() || error.is_builder() {
        Outage::Unreachable
    } else {
        Outage::NoAnswer
    }
}
