//! A browser's subscription: where its push service is, and for whom to encrypt. It comes from a browser, so it may lead
//! anywhere: only the services of the configuration are taken.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::PublicKey;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::config::WebPush;

/// Of an endpoint; the longest in use are a quarter of it.
const LONGEST: usize = 2048;

const KEY_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    endpoint: Url,
    /// An uncompressed point of P-256.
    key: Vec<u8>,
    auth: Vec<u8>,
}

/// By its push service alone: whoever knows the rest can push there.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Subscription({}…)",
            self.endpoint.origin().ascii_serialization()
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error("its endpoint is not a URL that can be pushed to")]
    Endpoint,
    #[error("its push service is not among `services`")]
    Service,
    #[error("its keys are none")]
    Keys,
}

impl Subscription {
    /// As a browser's `PushSubscription` has them as JSON: `endpoint`, and `p256dh` and `auth` of `keys`.
    pub fn new(
        endpoint: &str,
        p256dh: &str,
        auth: &str,
        push: &WebPush,
    ) -> Result<Self, SubscriptionError> {
        // No other parser may read it in another way.
        let is_plain = endpoint
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if endpoint.len() > LONGEST || !is_plain {
            return Err(SubscriptionError::Endpoint);
        }
        let endpoint = Url::parse(endpoint).map_err(|_| SubscriptionError::Endpoint)?;
        let decoded = |text: &str, length: usize| {
            // Some browsers pad.
            let text = text.trim_end_matches('=');
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
            bytes
                .filter(|bytes| bytes.len() == length)
                .ok_or(SubscriptionError::Keys)
        };
        let key = decoded(p256dh, KEY_BYTES)?;
        let auth = decoded(auth, AUTH_BYTES)?;
        PublicKey::from_sec1_bytes(&key).map_err(|_| SubscriptionError::Keys)?;
        let subscription = Self {
            endpoint,
            key,
            auth,
        };
        if !subscription.is_allowed(push) {
            return Err(SubscriptionError::Service);
        }
        Ok(subscription)
    }

    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// By the whole host, as it is parsed and will be connected to; never by a part of the text.
    pub(super) fn is_allowed(&self, push: &WebPush) -> bool {
        let url = &self.endpoint;
        let is_bare =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let Some(host) = url.host_str() else {
            return false;
        };
        let is_listed = push
            .services
            .iter()
            .any(|service| match service.strip_prefix("*.") {
                Some(parent) => host
                    .strip_suffix(parent)
                    .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
                None => service == host,
            });
        // Where the installation's own services may be, they may have a port, and on loopback no certificate.
        let scheme = match url.scheme() {
            "https" => push.reach.allow_private || url.port().is_none(),
            "http" => push.reach.allow_private && is_loopback(url),
            _ => false,
        };
        is_bare && is_listed && scheme
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
