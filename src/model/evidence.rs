//! What is known of a caller: when each level was proven or since when it is held, and who it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::level::Fingerprint;
use super::time::Timestamp;

/// Kept by the level's name and fingerprint, never by rank: a reload that changes a level voids its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelEvidence {
    pub level: String,
    pub fingerprint: Fingerprint,
    /// Provider's clock. Only a forced flow (for the base level: any login) sets it.
    pub proven_at: Option<Timestamp>,
    /// Provider's clock: the first `auth_time` by which the level was seen in this `sid` without proof of when.
    pub held_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub levels: Vec<LevelEvidence>,
    /// Seconds that the provider's clock is ahead of ours (`iat` minus our clock at the exchange).
    pub offset: i64,
}

/// Who: the claims of the last tokens that the config names, ID token first, else the access token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub iss: String,
    pub sub: String,
    pub sid: Option<String>,
    pub groups: Vec<String>,
    pub roles: Vec<String>,
    /// The members of the access token's `scope` (RFC 6749 section 3.3).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// By the name under which the config asks for them (a dotted name stays one key here).
    pub claims: BTreeMap<String, Value>,
}
