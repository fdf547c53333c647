//! A browser session as the store keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Identity};
use super::time::Timestamp;

/// Text that never shows in `Debug`: tokens, session ids, secrets.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of the cookie's session id: the id itself is nowhere but in the browser.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionKey(pub [u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// The identity of a session over all rotations of its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(pub String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// The raw ID token, for `id_token_hint`.
    pub id: Secret,
    pub refresh: Option<Secret>,
    /// Our clock: when the access token lapses.
    pub access_expires: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub lineage: Lineage,
    /// The origin it belongs to (`https://erp.example.com`): a session of one host is nothing on another.
    pub origin: String,
    pub identity: Identity,
    pub evidence: Evidence,
    pub tokens: Tokens,
    /// The provider hint that the session came with; a step-up repeats it.
    pub kc_idp_hint: Option<String>,
    /// Our clock.
    pub created: Timestamp,
    /// Our clock; moved by requests, in coarse steps.
    pub last_seen: Timestamp,
    /// Our clock: since when refreshing fails without a refusal.
    pub refresh_failing_since: Option<Timestamp>,
    /// SHA-256 of `name=value` of the app's own session cookies set in this session; others are not forwarded.
    pub app_cookies: Vec<[u8; 32]>,
}
