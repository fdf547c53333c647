//! How the provider can be told to misbehave.

use std::time::Duration;

use serde_json::{Map, Value};

/// All off by default.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    pub outage: Outage,
    /// Laid over the claims of every ID token; `null` removes one.
    pub id_claims: Map<String, Value>,
    /// Likewise for ID tokens that a refresh returns.
    pub refreshed_claims: Map<String, Value>,
    /// Answers every refresh with this error code (`invalid_grant` refuses it).
    pub refuse_refresh: Option<String>,
    /// Answers every authorization request with this error code instead of a page.
    pub authorization_error: Option<String>,
    /// The same, once.
    pub authorization_error_once: Option<String>,
    /// Answers every pushed request with 400.
    pub refuse_push: bool,
    /// Discovery does not offer PAR.
    pub hide_push: bool,
    /// Who logs in, whatever is typed.
    pub other_user: Option<String>,
    /// The `iss` of authorization responses.
    pub response_iss: Option<String>,
    /// Grants the level without asking for its factor.
    pub skip_factors: bool,
    /// What every opaque token that is asked about stands for; without it none is active.
    pub opaque_token: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    #[default]
    None,
    /// 200 and something that is no JSON.
    Garbage,
    ServerError,
    Slow(Duration),
}

impl Quirks {
    /// Lays `over` over `claims`.
    pub(in crate::sandbox) fn lay(over: &Map<String, Value>, claims: &mut Map<String, Value>) {
        for (name, value) in over {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
    }
}
