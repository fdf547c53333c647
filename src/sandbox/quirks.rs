//! How the provider can be told to misbehave.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

/// All off by default.
#[derive(Clone, Debug)]
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
    /// Answers every request by CIBA with this error code.
    pub refuse_ciba: Option<String>,
    /// What a poll for one is answered: `approved`, or an error code.
    pub ciba_says: String,
    /// Laid over the claims of ID tokens that come of it.
    pub ciba_claims: Map<String, Value>,
    /// What the next answers of an authentication channel are answered; then 200.
    pub ciba_callback: VecDeque<u16>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            outage: Outage::None,
            id_claims: Map::new(),
            refreshed_claims: Map::new(),
            refuse_refresh: None,
            authorization_error: None,
            authorization_error_once: None,
            refuse_push: false,
            hide_push: false,
            other_user: None,
            response_iss: None,
            skip_factors: false,
            opaque_token: None,
            refuse_ciba: None,
            ciba_says: "authorization_pending".to_owned(),
            ciba_claims: Map::new(),
            ciba_callback: VecDeque::new(),
        }
    }
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
