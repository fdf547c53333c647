//! One round trip to Keycloak, from redirect to callback: what the browser carries, sealed, in one cookie for each.

use serde::{Deserialize, Serialize};

use super::level::Fingerprint;
use super::session::{Lineage, Secret};
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Unguessable, and the `state` parameter: only the browser that holds the cookie can finish the flow.
    pub id: Secret,
    /// Of the session that asked; `None` for a login.
    pub lineage: Option<Lineage>,
    pub sub: Option<String>,
    pub sid: Option<String>,
    /// Path and query on this origin.
    pub return_to: String,
    /// Name and fingerprint of the level that was asked for.
    pub level: String,
    pub fingerprint: Fingerprint,
    pub pushed: bool,
    pub prompt_login: bool,
    pub always_asked: bool,
    pub kc_idp_hint: Option<String>,
    /// Our clock.
    pub started: Timestamp,
    pub nonce: Secret,
    /// PKCE (RFC 7636).
    pub verifier: Secret,
    /// 1 for the first try.
    pub round: u8,
    /// Keycloak was not available in the try before: it is asked again at once, but only once.
    pub retried: bool,
    /// The user asked to confirm the level, whatever the session has.
    pub confirm: bool,
}
