//! What the client asks directly: discovery, pushed requests (RFC 9126), and how it says who it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::realm::{LEVELS, Realm};

pub(in crate::sandbox) async fn discovery(State(realm): State<Arc<Realm>>) -> Json<Value> {
    let issuer = &realm.issuer;
    let protocol = format!("{issuer}/protocol/openid-connect");
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{protocol}/auth"),
        "token_endpoint": format!("{protocol}/token"),
        "jwks_uri": format!("{protocol}/certs"),
        "introspection_endpoint": format!("{protocol}/token/introspect"),
        "end_session_endpoint": format!("{protocol}/logout"),
        "pushed_authorization_request_endpoint": format!("{protocol}/ext/par/request"),
        "backchannel_authentication_endpoint": format!("{protocol}/ext/ciba/auth"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": LEVELS,
        "claims_parameter_supported": true,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "require_pushed_authorization_requests": false,
    });
    if realm.quirks().hide_push
        && let Some(document) = document.as_object_mut()
    {
        document.remove("pushed_authorization_request_endpoint");
    }
    Json(document)
}

pub(in crate::sandbox) async fn push(
    State(realm): State<Arc<Realm>>,
    headers: HeaderMap,
    Form(request): Form<BTreeMap<String, String>>,
) -> Response {
    if let Err(refused) = authenticate(&realm, &headers, &request) {
        return *refused;
    }
    if realm.quirks().refuse_push {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    }
    if request.contains_key("request_uri") {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let uri = format!("urn:ietf:params:oauth:request_uri:{}", realm.draw());
    realm.state().pushed.insert(uri.clone(), request);
    (
        StatusCode::CREATED,
        Json(json!({ "request_uri": uri, "expires_in": 60 })),
    )
        .into_response()
}

/// `client_secret_basic` or `private_key_jwt`; whatever else is refused.
pub(in crate::sandbox) fn authenticate(
    realm: &Realm,
    headers: &HeaderMap,
    form: &BTreeMap<String, String>,
) -> Result<(), Box<Response>> {
    let client = realm.client().clone();
    let known = match &client.jwk {
        Some(jwk) => form.get("client_assertion").is_some_and(|assertion| {
            let key = serde_json::from_value(jwk.clone())
                .ok()
                .and_then(|jwk| DecodingKey::from_jwk(&jwk).ok());
            key.is_some_and(|key| {
                asserts(
                    assertion,
                    &key,
                    &client.id,
                    &realm.issuer,
                    realm.now().as_unix(),
                )
            })
        }),
        None => {
            basic(headers).is_some_and(|(id, secret)| id == client.id && secret == client.secret)
        }
    };
    if known {
        Ok(())
    } else {
        let refused = error(StatusCode::UNAUTHORIZED, "unauthorized_client");
        Err(Box::new(refused))
    }
}

pub(in crate::sandbox) fn error(status: StatusCode, code: &str) -> Response {
    (
        status,
        Json(json!({ "error": code, "error_description": "the sandbox says so" })),
    )
        .into_response()
}

/// A single audience, the issuer, as Keycloak demands since 26.2.
fn asserts(assertion: &str, key: &DecodingKey, client: &str, issuer: &str, now: i64) -> bool {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let Ok(token) = jsonwebtoken::decode::<Value>(assertion, key, &validation) else {
        return false;
    };
    let claim = |name: &str| token.claims.get(name).cloned().unwrap_or_default();
    claim("iss") == client
        && claim("sub") == client
        && claim("aud") == issuer
        && claim("jti").is_string()
        && claim("exp").as_i64().is_some_and(|exp| exp > now)
}

/// RFC 6749 2.3.1: both halves are form-encoded.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |half: &str| {
        Some(
            form_urlencoded::parse(half.as_bytes())
                .next()?
                .0
                .into_owned(),
        )
    };
    Some((decoded(id)?, decoded(secret)?))
}
