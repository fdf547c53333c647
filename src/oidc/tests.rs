//! The provider over sockets: what is sent, and what becomes of every kind of answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::testing::{
    CLIENT, HandClock, Idp, NONCE, NOW, RSA_PEM, TestKey, access_claims, id_claims, logout_claims,
    part, provider,
};
use super::*;
use crate::config::{ClientAuth, Par};
use crate::model::session::Secret;
use crate::model::time::Timestamp;

mod fetching;
mod redirects;
mod tokens;

const REDIRECT: &str = "https://erp.example.com/.stepgate/callback";

struct Setting {
    idp: Idp,
    key: TestKey,
    clock: Arc<HandClock>,
    provider: Provider,
}

impl Setting {
    async fn new() -> Self {
        let (idp, key, clock) = (Idp::start().await, TestKey::ec(), HandClock::new());
        idp.keys(&[key.jwk("k1")]);
        idp.says(
            "par",
            201,
            &json!({ "request_uri": "urn:ietf:params:oauth:request_uri:x", "expires_in": 60 }),
        );
        let provider = idp.provider(&clock);
        let setting = Self {
            idp,
            key,
            clock,
            provider,
        };
        setting.tokens(|_| ());
        setting
    }

    fn sign(&self, claims: &Value) -> String {
        self.key
            .sign(json!({ "kid": "k1", "typ": "JWT" }), &claims.to_string())
    }

    /// A good token answer, changed.
    fn tokens(&self, change: impl FnOnce(&mut Value)) {
        let mut answer = json!({
            "token_type": "Bearer", "expires_in": 300, "refresh_token": "r-2", "scope": "openid",
            "id_token": self.sign(&id_claims(&self.idp.issuer)),
            "access_token": self.sign(&access_claims(&self.idp.issuer)),
        });
        change(&mut answer);
        self.idp.says("token", 200, &answer);
    }

    async fn start(&self, provider: &Provider) -> Result<Started, OidcError> {
        let ask = [("acr_values".to_owned(), "mfa".to_owned())];
        let request = Authorization {
            redirect_uri: REDIRECT,
            ask: &ask,
            state: "the-state",
            nonce: NONCE,
            challenge: "the-challenge",
        };
        provider.start(request).await
    }

    async fn exchange(&self) -> Result<Exchange, OidcError> {
        self.provider
            .exchange("the-code", &Secret::new("the-verifier"), REDIRECT, NONCE)
            .await
    }

    async fn refresh(&self) -> Result<Exchange, RefreshError> {
        self.provider.refresh(&Secret::new("r-1")).await
    }

    /// With the key `kid`, right or not.
    async fn logout(&self, kid: &str) -> Result<LogoutToken, OidcError> {
        let claims = logout_claims(&self.idp.issuer).to_string();
        let token = self
            .key
            .sign(json!({ "kid": kid, "typ": "logout+jwt" }), &claims);
        self.provider.logout_token(&token).await
    }

    fn fetches(&self) -> usize {
        self.idp.asked("certs").len()
    }
}

fn query(url: &url::Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn is_outage<T>(result: &Result<T, OidcError>) -> bool {
    matches!(result, Err(OidcError::Unavailable(_)))
}
