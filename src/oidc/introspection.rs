//! Asking Keycloak about a token (RFC 7662): for lightweight ones, which say next to nothing, and for opaque ones.

use http::{Request, StatusCode, header};
use url::Url;

use super::client_auth::Credentials;
use super::error::{OidcError, TokenFlaw};
use super::transport::{ANSWER_LIMIT, Transport};
use super::watch::Endpoint;
use crate::model::claims::Claims;

/// What a level is told by. In Keycloak's answer it is that of the session as it is now, not of the token: a step-up
/// would raise tokens that were issued before it, and `amr` is not there at all.
const OF_THE_SIGN_IN: [&str; 3] = ["acr", "amr", "auth_time"];

#[derive(Clone, Copy, Debug)]
pub(super) struct IntrospectionEndpoint<'a> {
    pub(super) transport: &'a Transport,
    pub(super) credentials: &'a Credentials,
    pub(super) client_id: &'a str,
    pub(super) url: &'a Url,
}

impl IntrospectionEndpoint<'_> {
    /// The claims of a token that is active.
    pub(super) async fn ask(&self, raw: &str) -> Result<Claims, OidcError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", raw)
            .append_pair("token_type_hint", "access_token")
            .append_pair("client_id", self.client_id)
            .finish();
        let mut request = Request::post(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(body.into_bytes())
            .map_err(|_| OidcError::Misconfigured("an endpoint that is no URI"))?;
        self.credentials.sign(&mut request)?;
        let answer = self
            .transport
            .call(Endpoint::Introspection, request, ANSWER_LIMIT)
            .await?;
        match answer.status() {
            StatusCode::OK => active(answer.body()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(OidcError::Misconfigured(
                "the client may not ask about tokens",
            )),
            _ => Err(OidcError::garbage("introspection")),
        }
    }
}

fn active(body: &[u8]) -> Result<Claims, OidcError> {
    let claims: Claims =
        serde_json::from_slice(body).map_err(|_| OidcError::garbage("introspection"))?;
    match claims.0.get("active").map(|active| active.as_bool()) {
        Some(Some(true)) => Ok(claims),
        Some(Some(false)) => Err(TokenFlaw::Inactive.into()),
        _ => Err(OidcError::garbage("introspection")),
    }
}

/// The provider's present word, and what the token itself says where that is silent. How the user signed in is what the
/// token says, if it says so at all; what it is bound to is never lost.
pub(super) fn merged(token: Option<Claims>, answer: Claims) -> Result<Claims, TokenFlaw> {
    let Some(token) = token else {
        return Ok(answer);
    };
    for name in ["sub", "cnf"] {
        if let (Some(one), Some(other)) = (token.0.get(name), answer.0.get(name))
            && one != other
        {
            return Err(TokenFlaw::Subject);
        }
    }
    let tells_of_the_sign_in = token.0.contains_key("acr");
    let mut merged = token;
    for (name, value) in answer.0 {
        if tells_of_the_sign_in && OF_THE_SIGN_IN.contains(&name.as_str()) {
            continue;
        }
        merged.0.insert(name, value);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    fn merge(token: Value, answer: Value) -> Result<Value, TokenFlaw> {
        merged(Some(claims(token)), claims(answer)).map(|merged| Value::Object(merged.0))
    }

    #[test]
    fn a_step_up_does_not_raise_tokens_that_are_older() {
        let merged = merge(
            json!({ "sub": "u", "acr": "pwd", "amr": ["pwd"], "auth_time": 1 }),
            json!({ "sub": "u", "acr": "mfa", "auth_time": 9, "roles": ["new"] }),
        );
        assert_eq!(
            merged,
            Ok(
                json!({ "sub": "u", "acr": "pwd", "amr": ["pwd"], "auth_time": 1, "roles": ["new"] })
            )
        );
    }

    #[test]
    fn what_a_lightweight_token_does_not_say_the_provider_does() {
        let merged = merge(
            json!({ "typ": "Bearer", "amr": ["pwd", "otp"], "cnf": { "jkt": "k" }, "scope": "a" }),
            json!({ "sub": "u", "acr": "mfa", "auth_time": 9, "scope": "b" }),
        );
        assert_eq!(
            merged,
            Ok(
                json!({ "typ": "Bearer", "amr": ["pwd", "otp"], "cnf": { "jkt": "k" }, "scope": "b",
                "sub": "u", "acr": "mfa", "auth_time": 9 })
            )
        );
    }

    #[test]
    fn who_and_what_it_is_bound_to_cannot_differ() {
        for (token, answer) in [
            (json!({ "sub": "u" }), json!({ "sub": "other" })),
            (
                json!({ "cnf": { "jkt": "k" } }),
                json!({ "cnf": { "jkt": "other" } }),
            ),
        ] {
            assert_eq!(merge(token, answer), Err(TokenFlaw::Subject));
        }
    }

    #[test]
    fn active_is_true_and_nothing_else() {
        assert!(active(br#"{"active":true,"sub":"u"}"#).is_ok());
        let inactive = Err(OidcError::InvalidToken(TokenFlaw::Inactive));
        assert_eq!(active(br#"{"active":false}"#), inactive);
        for body in [
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"sub":"u"}"#,
            "[]",
            "<html>",
            "",
        ] {
            assert_eq!(
                active(body.as_bytes()),
                Err(OidcError::garbage("introspection")),
                "{body}"
            );
        }
    }
}
