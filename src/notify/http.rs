//! HTTP to where people are told: no redirects, no proxy from the environment, and no way to an address that is not of the
//! public internet unless the configuration says so. What is answered is its status.

use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::Failure;
use crate::config::{Reach, may_be_public};
use crate::model::address::is_public;
use crate::model::time::Timestamp;

/// Without it a connection would be made anew for each of several notices, and longer it is of no use.
const POOL_IDLE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Http {
    /// `None`: this system has no certificate authorities to trust.
    client: Option<reqwest::Client>,
    allow_private: bool,
}

/// A name leads to none but addresses that are not of the public internet.
#[derive(Debug, thiserror::Error)]
#[error("not on the public internet")]
struct NotPublic;

impl Http {
    /// Without `tls` a system without certificate authorities will do.
    pub(super) fn new(reach: &Reach, tls: bool, timeout: Duration) -> Self {
        let mut client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            // How often something is tried is for whoever sends it to say.
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(concat!("stepgate/", env!("CARGO_PKG_VERSION")));
        if let Some(authorities) = &reach.ca {
            // What cannot be read here was told by the configuration; then there is nobody to believe.
            let certificates = authorities
                .iter()
                .filter_map(|der| reqwest::Certificate::from_der(der).ok());
            client = client.tls_certs_only(certificates);
        } else if !tls {
            client = client.tls_certs_only([]);
        }
        if !reach.allow_private {
            client = client.dns_resolver(PublicOnly);
        }
        Self {
            client: client.build().ok(),
            allow_private: reach.allow_private,
        }
    }

    /// Fine when it is answered 2xx.
    pub(super) async fn send(
        &self,
        request: Request<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let answer = self.ask(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::Status {
            status: status.as_u16(),
            after: retry_after(answer.headers(), now),
        })
    }

    /// Any answer, without its body.
    pub(super) async fn ask(&self, request: Request<Vec<u8>>) -> Result<Response<()>, Failure> {
        const WITHOUT: Failure =
            Failure::Unusable("this system has no certificate authorities to trust");
        let client = self.client.as_ref().ok_or(WITHOUT)?;
        let request: reqwest::Request = request
            .try_into()
            .map_err(|_| Failure::Unusable("not a URL that can be asked"))?;
        // An address needs no resolver, and is not shown to it.
        if !self.allow_private && !may_be_public(request.url()) {
            return Err(Failure::Private);
        }
        let answer = client.execute(request).await.map_err(|e| failure(&e))?;
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }

    /// Whether somebody answers there, whatever it is.
    pub(super) async fn reach(&self, url: &Url) -> Result<(), Failure> {
        let request = Request::head(url.as_str())
            .body(Vec::new())
            .map_err(|_| Failure::Unusable("not a URL that can be asked"))?;
        self.ask(request).await.map(|_| ())
    }

    /// Whether it is answered 200.
    pub(super) async fn is_well(&self, url: &Url) -> Result<(), Failure> {
        let request = Request::get(url.as_str())
            .body(Vec::new())
            .map_err(|_| Failure::Unusable("not a URL that can be asked"))?;
        let answer = self.ask(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            status => Err(Failure::Status {
                status: status.as_u16(),
                after: None,
            }),
        }
    }
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let at = Timestamp::from_unix(date.timestamp().as_second());
    Some(at.since(now))
}

fn failure(error: &reqwest::Error) -> Failure {
    let mut innermost: &dyn std::error::Error = error;
    loop {
        if innermost.is::<NotPublic>() {
            return Failure::Private;
        }
        let Some(source) = innermost.source() else {
            break;
        };
        innermost = source;
    }
    if error.is_timeout() {
        return Failure::Late;
    }
    Failure::Unreachable(innermost.to_string())
}

/// Asked for every connection: what a name led to a moment ago says nothing of where it leads now.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "what is asked for here leads to nobody's upstream"
            )]
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn when_to_come_again_is_told_in_seconds_or_by_a_date() {
        let now = Timestamp::from_unix(784_111_777 - 60);
        let after = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            retry_after(&headers, now)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            after("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
