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
    /// The `client_id` by which it was made: with `identity.iss`, the provider whose word it is.
    pub client: String,
    pub identity: Identity,
    pub evidence: Evidence,
    pub tokens: Tokens,
    pub refresh: Refresh,
    /// The provider hint that the session came with; a step-up repeats it.
    pub kc_idp_hint: Option<String>,
    /// Our clock.
    pub created: Timestamp,
    /// Our clock, as of the last write; requests move the time beside the stored value, in coarse steps.
    pub last_seen: Timestamp,
    /// SHA-256 of `name=value` of the app's own session cookies set in this session; others are not forwarded.
    pub app_cookies: Vec<[u8; 32]>,
    /// The latest flows that ended in this session, oldest first: what ends a loop.
    pub finished: Vec<Finished>,
    /// The id was rotated: this entry serves requests that were under way, for a few seconds.
    pub successor: Option<Successor>,
}

/// How refreshing stands. Written before a token is sent, so that no other instance sends the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// Our clock: the last time that a refresh was started.
    pub tried: Option<Timestamp>,
    /// The token was sent and nothing is known of the outcome: with rotation, a second use ends the provider's session.
    pub maybe_used: bool,
    /// Our clock: since when refreshing fails without a refusal.
    pub failing_since: Option<Timestamp>,
}

/// A flow that ended for a route. Landing short on it again soon is a loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// App and route id.
    pub route: String,
    /// Our clock.
    pub at: Timestamp,
    /// The flow did not bring what the route demands.
    pub short: bool,
}

/// Where a session goes on after a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    pub key: SessionKey,
    /// The new id, sealed: a second flow that ends in the same moment hands out the same one, or the browser would keep
    /// whichever answer came last, and that may be the dying one.
    pub sealed_id: String,
}

impl Session {
    /// How many finished flows are remembered.
    const REMEMBERED: usize = 8;

    pub fn remember(&mut self, finished: Finished) {
        self.finished.retain(|known| known.route != finished.route);
        if self.finished.len() >= Self::REMEMBERED {
            self.finished.remove(0);
        }
        self.finished.push(finished);
    }
}
