//! The token endpoint and the keys it signs with.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::authorize::SCOPE;
use super::ciba;
use super::client::{authenticate, error};
use super::quirks::Quirks;
use super::realm::{ACCESS_TOKEN, Grant, Realm, Sso};

type Parameters = BTreeMap<String, String>;

/// With a key for encryption beside ours, as Keycloak has.
pub(in crate::sandbox) async fn certs(State(realm): State<Arc<Realm>>) -> Json<Value> {
    let mut keys: Vec<Value> = realm.keys().iter().map(|key| key.jwk.clone()).collect();
    if let Some(encryption) = keys.first().cloned() {
        let mut encryption = encryption;
        if let Some(key) = encryption.as_object_mut() {
            key.insert("use".to_owned(), json!("enc"));
            key.insert("alg".to_owned(), json!("ECDH-ES"));
            key.insert("kid".to_owned(), json!("encryption"));
        }
        keys.push(encryption);
    }
    Json(json!({ "keys": keys }))
}

pub(in crate::sandbox) async fn token(
    State(realm): State<Arc<Realm>>,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Response {
    if let Err(refused) = authenticate(&realm, &headers, &form) {
        return *refused;
    }
    match form.get("grant_type").map(String::as_str) {
        Some("authorization_code") => code(&realm, &form),
        Some("refresh_token") => refresh(&realm, &form),
        Some("urn:openid:params:grant-type:ciba") => ciba::poll(&realm, &form),
        _ => error(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    }
}

/// Of opaque tokens alone (RFC 7662).
pub(in crate::sandbox) async fn introspect(
    State(realm): State<Arc<Realm>>,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Response {
    if let Err(refused) = authenticate(&realm, &headers, &form) {
        return *refused;
    }
    let opaque = form
        .get("token")
        .is_some_and(|token| !token.is_empty() && !token.contains('.'));
    let known = realm.quirks().opaque_token.clone();
    let mut answer = known.filter(|_| opaque).unwrap_or_default();
    let active = !answer.is_empty();
    answer.insert("active".to_owned(), json!(active));
    Json(answer).into_response()
}

fn code(realm: &Realm, form: &Parameters) -> Response {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let Some(grant) = realm.state().codes.remove(field("code")) else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let proof = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
    if grant.redirect_uri != field("redirect_uri")
        || grant.challenge.as_deref() != Some(proof.as_str())
    {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let over = realm.quirks().id_claims.clone();
    answer(realm, &grant, &over)
}

fn refresh(realm: &Realm, form: &Parameters) -> Response {
    realm.state().refreshes += 1;
    if let Some(code) = realm.quirks().refuse_refresh.clone() {
        return error(StatusCode::BAD_REQUEST, &code);
    }
    let known = form
        .get("refresh_token")
        .and_then(|token| realm.state().refresh.get(token).cloned());
    let Some(mut grant) = known else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    // The acr of the client's last login in this session, another tab's too.
    if let Some(sso) = realm.state().sessions.get(&grant.sid) {
        grant.acr.clone_from(&sso.last_acr);
    }
    grant.nonce = None;
    let over = realm.quirks().refreshed_claims.clone();
    answer(realm, &grant, &over)
}

fn answer(realm: &Realm, grant: &Grant, over: &Map<String, Value>) -> Response {
    let Some(sso) = realm.state().sessions.get(&grant.sid).cloned() else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let (Some(id), Some(access)) = (
        sign(realm, "JWT", id_claims(realm, grant, &sso, over)),
        sign(realm, "JWT", access_claims(realm, grant, &sso, over)),
    ) else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let refresh = realm.draw();
    realm.state().refresh.insert(refresh.clone(), grant.clone());
    Json(json!({
        "access_token": access, "token_type": "Bearer", "expires_in": ACCESS_TOKEN,
        "refresh_token": refresh, "refresh_expires_in": 1800, "id_token": id,
        "session_state": grant.sid, "scope": grant.scope,
    }))
    .into_response()
}

/// As the quirks lay over them.
fn id_claims(
    realm: &Realm,
    grant: &Grant,
    sso: &Sso,
    over: &Map<String, Value>,
) -> Map<String, Value> {
    let mut claims = common(realm, grant, sso);
    claims.insert("typ".to_owned(), json!("ID"));
    claims.insert("aud".to_owned(), json!(realm.client().id));
    claims.insert("amr".to_owned(), json!(sso.amr));
    claims.insert("preferred_username".to_owned(), json!(sso.user));
    claims.insert(
        "email".to_owned(),
        json!(format!("{}@example.test", sso.user)),
    );
    claims.insert("email_verified".to_owned(), json!(true));
    claims.insert("name".to_owned(), json!(capitalised(&sso.user)));
    let groups = realm
        .user(&sso.user)
        .map(|user| user.groups.clone())
        .unwrap_or_default();
    claims.insert("groups".to_owned(), json!(groups));
    if let Some(nonce) = &grant.nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    Quirks::lay(over, &mut claims);
    claims
}

/// Roles are here only, as in a stock realm.
fn access_claims(
    realm: &Realm,
    grant: &Grant,
    sso: &Sso,
    over: &Map<String, Value>,
) -> Map<String, Value> {
    let mut claims = common(realm, grant, sso);
    claims.insert("typ".to_owned(), json!("Bearer"));
    claims.insert("aud".to_owned(), json!("account"));
    claims.insert(
        "realm_access".to_owned(),
        json!({ "roles": ["offline_access", "employee"] }),
    );
    claims.insert("scope".to_owned(), json!(grant.scope));
    if let Some(sub) = over.get("sub") {
        claims.insert("sub".to_owned(), sub.clone());
    }
    claims
}

fn common(realm: &Realm, grant: &Grant, sso: &Sso) -> Map<String, Value> {
    let now = realm.now().as_unix();
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(realm.issuer)),
        ("sub", json!(format!("sub-{}", sso.user))),
        ("azp", json!(realm.client().id)),
        ("iat", json!(now)),
        ("exp", json!(now + ACCESS_TOKEN)),
        ("jti", json!(realm.draw())),
        ("sid", json!(grant.sid)),
        ("acr", json!(grant.acr)),
        ("auth_time", json!(sso.auth_time.as_unix())),
    ] {
        claims.insert(name.to_owned(), value);
    }
    if grant.scope_claim {
        claims.insert(SCOPE.to_owned(), json!(true));
    }
    claims
}

pub(in crate::sandbox) fn sign(
    realm: &Realm,
    kind: &str,
    claims: Map<String, Value>,
) -> Option<String> {
    let keys = realm.keys();
    let key = keys.first()?;
    let header = Header {
        kid: Some(key.kid.clone()),
        typ: Some(kind.to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    jsonwebtoken::encode(&header, &Value::Object(claims), &key.signing).ok()
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
