//! What is sent to Keycloak to obtain a level. What it does not own (`client_id`, `redirect_uri`, `state`, `nonce`,
//! PKCE) is added by who starts the flow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decision::Shortfall;
use super::evidence::Asked;
use crate::model::level::Level;

/// Parameters that belong to the protocol or to the level: none of `params` in config may name one.
pub const RESERVED: [&str; 22] = [
    "acr_values",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "id_token_hint",
    "kc_idp_hint",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub level: &'a Level,
    /// Why the level that the caller has is not enough; `None`: a login.
    pub shortfall: Option<Shortfall>,
    /// What the route demands.
    pub max_age: Option<Duration>,
    /// `prompt=login` whatever the level says: for a login that proved nothing, and for an `always_asked` level that
    /// was not asked.
    pub force_login: bool,
    /// The session's own on a step-up (a brokered user has no local password), the app's at a login.
    pub kc_idp_hint: Option<&'a str>,
    pub login_hint: Option<&'a str>,
    /// The app's; the level's own win.
    pub params: &'a BTreeMap<String, String>,
}

/// The parameters, and what of them evidence depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub params: Vec<(String, String)>,
    pub asked: Asked,
    pub prompt_login: bool,
    pub always_asked: bool,
    pub kc_idp_hint: Option<String>,
}

pub fn request(asking: &Asking<'_>) -> Request {
    let level = asking.level;
    let ask = &level.ask;
    let prompt_login = ask.prompt_login || asking.force_login || needs_forcing(asking);
    let mut params = vec![("scope".to_owned(), scope(&ask.scope))];
    let mut add = |name: &str, value: String| params.push((name.to_owned(), value));

    match &ask.acr_values {
        Some(acr) if ask.essential => add("claims", essential(acr)),
        Some(acr) => add("acr_values", acr.clone()),
        None => {}
    }
    if prompt_login {
        add("prompt", "login".to_owned());
    }
    // Keycloak compares it with `auth_time`, which is what proves the base level: it then asks only if it has to.
    let wanted = asking.max_age.filter(|_| level.base && !prompt_login);
    if let Some(max_age) = ask.max_age.into_iter().chain(wanted).min() {
        add("max_age", max_age.as_secs().to_string());
    }
    if let Some(hint) = asking.kc_idp_hint {
        add("kc_idp_hint", hint.to_owned());
    }
    if let Some(hint) = asking.login_hint {
        add("login_hint", hint.to_owned());
    }
    let mut extra = asking.params.clone();
    extra.extend(ask.params.clone());
    extra.retain(|name, _| !RESERVED.contains(&name.as_str()));
    params.extend(extra);

    Request {
        params,
        asked: Asked {
            level: level.name.clone(),
            fingerprint: level.fingerprint.clone(),
        },
        prompt_login,
        always_asked: ask.always_asked,
        kc_idp_hint: asking.kc_idp_hint.map(str::to_owned),
    }
}

/// Where an age is what is short, SSO would answer at once with the old one; and above the base level only a forced flow
/// proves one at all. A level that the realm asks every time needs no more.
fn needs_forcing(asking: &Asking<'_>) -> bool {
    let short_of_age = match asking.shortfall {
        Some(Shortfall::AgeUnknown | Shortfall::Lapsed | Shortfall::TooOld) => true,
        Some(Shortfall::Missing) | None => false,
    };
    let age_needs_proof = asking.max_age.is_some() && !asking.level.base;
    !asking.level.ask.always_asked && (short_of_age || age_needs_proof)
}

fn scope(further: &[String]) -> String {
    let mut scopes = vec!["openid"];
    for scope in further {
        if !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    scopes.join(" ")
}

/// OpenID Connect Core 1.0, section 5.5.1.1. Keycloak looks at `id_token` only.
fn essential(acr: &str) -> String {
    serde_json::json!({ "id_token": { "acr": { "essential": true, "values": [acr] } } }).to_string()
}

#[cfg(test)]
mod tests;
