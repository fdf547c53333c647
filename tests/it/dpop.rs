//! A client's key for proofs of possession (RFC 9449).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct ProofKey(EcdsaKeyPair);

impl ProofKey {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap())
    }

    fn coordinates(&self) -> (String, String) {
        // Uncompressed: 4, x, y.
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        (BASE64URL.encode(x), BASE64URL.encode(y))
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.coordinates();
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64URL.encode(digest(&SHA256, text.as_bytes()))
    }

    /// For a request; `token`: what goes with it.
    pub(crate) fn claims(method: &str, url: &str, token: Option<&str>, now: i64) -> Value {
        let mut id = [0; 16];
        ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut id).unwrap();
        let mut claims =
            json!({ "jti": BASE64URL.encode(id), "htm": method, "htu": url, "iat": now });
        if let Some(token) = token {
            claims["ath"] = json!(BASE64URL.encode(digest(&SHA256, token.as_bytes())));
        }
        claims
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let [header, claims] = [&header, claims].map(|part| BASE64URL.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let random = SystemRandom::new();
        let signature = self.0.sign(&random, message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64URL.encode(signature))
    }
}
