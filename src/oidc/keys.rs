//! The realm's signing keys (RFC 7517), filtered: what may not verify a signature never gets in.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::error::{OidcError, TokenFlaw};
use super::transport::Transport;
use super::watch::Endpoint;

const SET_LIMIT: usize = 64 * 1024;
const MOST_KEYS: usize = 32;
/// Below 2048 bits RSA is broken (NIST SP 800-131A); above 4096 the verifier does not go.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// By `kid`. Two signing keys of one `kid` are both refused: which one was meant cannot be told.
#[derive(Debug)]
pub(super) struct KeySet(HashMap<String, Option<Key>>);

#[derive(Debug)]
pub(super) struct Key {
    pub(super) decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
    /// RFC 7638, by SHA-256.
    pub(super) thumbprint: String,
}

/// Members of a JWK that are nobody's business but the owner's (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl KeySet {
    pub(super) async fn fetch(transport: &Transport, url: &url::Url) -> Result<Self, OidcError> {
        Self::parse(&transport.get(Endpoint::Keys, url, SET_LIMIT).await?)
    }

    /// One odd key does not spoil the others; a set without any usable one is garbage.
    pub(super) fn parse(body: &[u8]) -> Result<Self, OidcError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(body).map_err(|_| OidcError::garbage("keys"))?;
        if set.keys.len() > MOST_KEYS {
            return Err(OidcError::garbage("too many keys"));
        }
        let mut keys = HashMap::new();
        for jwk in set.keys {
            let Some((id, key)) = Key::read(jwk) else {
                continue;
            };
            keys.entry(id)
                .and_modify(|twice| *twice = None)
                .or_insert(Some(key));
        }
        if keys.is_empty() {
            return Err(OidcError::garbage("no usable key"));
        }
        Ok(Self(keys))
    }

    /// `None` = not here: a newer set may have it.
    pub(super) fn find(&self, id: &str) -> Option<Result<&Key, TokenFlaw>> {
        self.0
            .get(id)
            .map(|key| key.as_ref().ok_or(TokenFlaw::AmbiguousKey))
    }
}

impl Key {
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    fn read(jwk: Value) -> Option<(String, Self)> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let signs = match (&jwk.common.public_key_use, &jwk.common.key_operations) {
            (Some(usage), _) => *usage == PublicKeyUse::Signature,
            (None, Some(operations)) => operations.contains(&KeyOperations::Verify),
            (None, None) => true,
        };
        if !signs {
            return None;
        }
        let key = Self::public(&jwk)?;
        Some((jwk.common.key_id?, key))
    }

    /// The key that a proof of possession brings along (RFC 9449 section 4.2): public, and of a kind that signs.
    pub(super) fn embedded(jwk: &Value) -> Option<Self> {
        let members = jwk.as_object()?;
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return None;
        }
        Self::public(&serde_json::from_value(jwk.clone()).ok()?)
    }

    fn public(jwk: &Jwk) -> Option<Self> {
        let mut algorithms = suitable(&jwk.algorithm)?;
        if let Some(named) = jwk.common.key_algorithm {
            let named = Algorithm::try_from(named).ok()?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            decoding: DecodingKey::from_jwk(jwk).ok()?,
            algorithms,
            thumbprint: jwk.thumbprint(ThumbprintHash::SHA256).ok()?,
        })
    }
}

/// What the key's kind allows, whatever its `alg` says.
fn suitable(parameters: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            RSA_BITS
                .contains(&bits(&modulus))
                .then(|| vec![RS256, RS384, RS512, PS256, PS384, PS512])
        }
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => Some(vec![ES256]),
            EllipticCurve::P384 => Some(vec![ES384]),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) => {
            (pair.curve == EllipticCurve::Ed25519).then(|| vec![EdDSA])
        }
        // A symmetric key in a public document is nobody's secret.
        _ => None,
    }
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let leading = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    (number.len() - zeros) * 8 - leading as usize
}

#[cfg(test)]
mod tests;
