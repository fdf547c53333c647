//! Requests that go by a device instead of a browser (OpenID Connect CIBA): what the client asks and polls for, and what an
//! authentication channel answers. What the user says is the test's to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::client::{authenticate, error};
use super::quirks::Quirks;
use super::realm::{ACCESS_TOKEN, Realm};
use super::tokens::sign;

type Parameters = BTreeMap<String, String>;

/// Everything of it.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Ciba {
    /// By `auth_req_id`, with what it asked.
    pub(in crate::sandbox) asked: Vec<(String, Parameters)>,
    pub(in crate::sandbox) polls: usize,
    /// What was told by the authentication channel: the token, and the body.
    pub(in crate::sandbox) told: Vec<(String, Value)>,
}

/// Seconds.
const LASTS: i64 = 120;

pub(in crate::sandbox) async fn ask(
    State(realm): State<Arc<Realm>>,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Response {
    if let Err(refused) = authenticate(&realm, &headers, &form) {
        return *refused;
    }
    let id = format!("auth-req-{}", realm.draw());
    realm.state().ciba.asked.push((id.clone(), form.clone()));
    if let Some(code) = &realm.quirks().refuse_ciba {
        return error(StatusCode::BAD_REQUEST, code);
    }
    let hint = form.get("login_hint").map_or("", String::as_str);
    if realm.user(hint).is_none() {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    }
    Json(json!({ "auth_req_id": id, "expires_in": LASTS, "interval": 1 })).into_response()
}

/// `grant_type=urn:openid:params:grant-type:ciba`
pub(in crate::sandbox) fn poll(realm: &Realm, form: &Parameters) -> Response {
    let id = form.get("auth_req_id").map_or("", String::as_str);
    let hint = {
        let mut state = realm.state();
        state.ciba.polls += 1;
        let asked = state.ciba.asked.iter().find(|(known, _)| known == id);
        asked.and_then(|(_, form)| form.get("login_hint").cloned())
    };
    let Some(user) = hint else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let word = realm.quirks().ciba_says.clone();
    if word != "approved" {
        return error(StatusCode::BAD_REQUEST, &word);
    }
    let now = realm.now().as_unix();
    let client = realm.client().id.clone();
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(realm.issuer)),
        ("sub", json!(format!("sub-{user}"))),
        ("aud", json!(client)),
        ("azp", json!(client)),
        ("typ", json!("ID")),
        ("sid", json!("of-the-device")),
        ("iat", json!(now)),
        ("exp", json!(now + ACCESS_TOKEN)),
        ("auth_time", json!(now)),
        ("acr", json!("pwd")),
        ("amr", json!([])),
    ] {
        claims.insert(name.to_owned(), value);
    }
    let mut access = claims.clone();
    access.insert("typ".to_owned(), json!("Bearer"));
    access.insert("aud".to_owned(), json!("account"));
    let over = realm.quirks().ciba_claims.clone();
    Quirks::lay(&over, &mut claims);
    if let Some(sub) = over.get("sub") {
        access.insert("sub".to_owned(), sub.clone());
    }
    let (Some(id), Some(access)) = (sign(realm, "JWT", claims), sign(realm, "JWT", access)) else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    Json(json!({
        "access_token": access, "token_type": "Bearer", "expires_in": ACCESS_TOKEN, "id_token": id,
        "refresh_token": "refresh-of-the-device", "scope": "openid",
    }))
    .into_response()
}

/// What the authentication channel was told by its user.
pub(in crate::sandbox) async fn callback(
    State(realm): State<Arc<Realm>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token else {
        return error(StatusCode::UNAUTHORIZED, "invalid_token");
    };
    realm.state().ciba.told.push((token.to_owned(), body));
    let mut quirks = realm.quirks();
    let status = quirks.ciba_callback.pop_front().unwrap_or(200);
    StatusCode::from_u16(status)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        .into_response()
}

impl Realm {
    /// What clients asked by CIBA, refused ones included.
    pub fn ciba_asked(&self) -> Vec<BTreeMap<String, String>> {
        let state = self.state();
        let asked = state.ciba.asked.iter();
        asked.map(|(_, form)| form.clone()).collect()
    }

    /// The id of the latest of them.
    pub fn ciba_request(&self) -> Option<String> {
        let state = self.state();
        state.ciba.asked.last().map(|(id, _)| id.clone())
    }

    pub fn ciba_polls(&self) -> usize {
        self.state().ciba.polls
    }

    /// What the authentication channel told: its token, and the body.
    pub fn ciba_told(&self) -> Vec<(String, Value)> {
        self.state().ciba.told.clone()
    }
}
