//! Who sends it (RFC 8292): a signed token for the push service, by the key that subscriptions were made for.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;
use url::Url;

use super::encrypt::fresh_secret;
use crate::config::{VapidKey, WebPush};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// A day at the most (RFC 8292 section 2); with room for a clock that is wrong.
const LASTS: i64 = 12 * 60 * 60;

/// In base64url, as the configuration reads it.
pub fn fresh_key(random: &dyn Random) -> Option<Secret> {
    let key = fresh_secret(random)?;
    Some(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(key.to_bytes())))
}

/// What a browser wants to know to make a subscription (`applicationServerKey`), in base64url.
pub fn public_key(key: &VapidKey) -> Option<String> {
    let key = SecretKey::from_slice(key.reveal()).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(key.public_key().to_sec1_bytes()))
}

/// The value of `Authorization`.
pub(super) fn authorization(push: &WebPush, endpoint: &Url, now: Timestamp) -> Option<String> {
    let expires = now.as_unix().saturating_add(LASTS);
    let audience = endpoint.origin().ascii_serialization();
    let token = token(&push.key, &audience, expires, &push.subject)?;
    Some(format!("vapid t={token}, k={}", public_key(&push.key)?))
}

pub(super) fn token(key: &VapidKey, audience: &str, expires: i64, subject: &str) -> Option<String> {
    let key = SigningKey::from_slice(key.reveal()).ok()?;
    let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({ "alg": "ES256", "typ": "JWT" }));
    let claims = encode(json!({ "aud": audience, "exp": expires, "sub": subject }));
    let signed = format!("{header}.{claims}");
    let signature: Signature = key.sign(signed.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes());
    Some(format!("{signed}.{signature}"))
}
