//! Signing out: RP-initiated, and the logout tokens that go to the client (OpenID Connect Back-Channel Logout 1.0).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use url::Url;

use super::pages::message;
use super::realm::Realm;
use super::tokens::sign;

pub(in crate::sandbox) async fn logout(
    State(realm): State<Arc<Realm>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(sid) = query.get("id_token_hint").and_then(|token| sid_of(token)) else {
        return message(
            "Sign out",
            "Nobody was named. Close the browser to sign out.",
        );
    };
    end(&realm, &sid).await;
    let Some(target) = query.get("post_logout_redirect_uri") else {
        return message("Signed out", "You are signed out.");
    };
    let allowed = realm
        .client()
        .redirects
        .iter()
        .any(|prefix| target.starts_with(prefix));
    let Some(mut url) = Url::parse(target).ok().filter(|_| allowed) else {
        return (
            StatusCode::BAD_REQUEST,
            message("Sign out", "Invalid redirect URI."),
        )
            .into_response();
    };
    if let Some(state) = query.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response()
}

/// Ends the session and tells the client.
pub(in crate::sandbox) async fn end(realm: &Realm, sid: &str) {
    let Some(sso) = realm.state().sessions.remove(sid) else {
        return;
    };
    let now = realm.now().as_unix();
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(realm.issuer)),
        ("aud", json!(realm.client().id)),
        ("sub", json!(format!("sub-{}", sso.user))),
        ("sid", json!(sid)),
        ("iat", json!(now)),
        ("exp", json!(now + 120)),
        ("jti", json!(realm.draw())),
        ("typ", json!("Logout")),
        (
            "events",
            json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
        ),
    ] {
        claims.insert(name.to_owned(), value);
    }
    let Some(token) = sign(realm, "logout+jwt", claims) else {
        return;
    };
    let urls = realm.client().backchannel.clone();
    for url in urls {
        // As Keycloak: one try, and nobody waits for a client that is down.
        let _told = realm
            .http
            .post(url)
            .form(&[("logout_token", &token)])
            .send()
            .await;
    }
}

/// It is our own token; who may say so with it is of no concern to a sandbox.
fn sid_of(token: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?)
        .ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("sid")?.as_str()?.to_owned())
}
