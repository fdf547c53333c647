//! Proofs of possession (RFC 9449 section 4.3): that who sends a token holds the key that it is bound to.

use http::Method;
use jsonwebtoken::Algorithm;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::error::TokenFlaw;
use super::keys::Key;
use super::verifier::{CLOCK_TOLERANCE, Unverified, decoded, instant};
use crate::model::claims::Claims;
use crate::model::time::Timestamp;

/// In bytes; a proof with a key of RSA 4096 is under 3 KiB.
const PROOF_LIMIT: usize = 8 << 10;

/// In bytes: what is remembered until the proof could not be used any more.
const ID_LIMIT: usize = 256;

/// Asymmetric ones, whatever the realm itself signs with: the client brings its own key.
const ALGORITHMS: [(Algorithm, &str); 9] = [
    (Algorithm::ES256, "ES256"),
    (Algorithm::ES384, "ES384"),
    (Algorithm::EdDSA, "EdDSA"),
    (Algorithm::PS256, "PS256"),
    (Algorithm::PS384, "PS384"),
    (Algorithm::PS512, "PS512"),
    (Algorithm::RS256, "RS256"),
    (Algorithm::RS384, "RS384"),
    (Algorithm::RS512, "RS512"),
];

/// What the proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    pub method: &'a Method,
    /// As the configuration has it: `Host` is the client's word.
    pub origin: &'a str,
    /// Canonical, as it is decided on and forwarded.
    pub path: &'a str,
    /// The token that comes with it.
    pub token: &'a str,
    /// Thumbprint of the key that the token is bound to.
    pub key: &'a str,
    /// Our clock.
    pub now: Timestamp,
}

/// A good proof, to be taken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub id: String,
    /// Our clock: refused for its age from then on.
    pub ends: Timestamp,
}

/// For the challenge: `ES256 ES384 …`
pub fn proof_algorithms() -> String {
    let names: Vec<_> = ALGORITHMS.iter().map(|(_, name)| *name).collect();
    names.join(" ")
}

/// `canonical` reads a path as one of this app's; nothing where it could be read in several ways. A nonce is not asked
/// for, so one that is there means nothing.
pub fn check_proof(
    raw: &str,
    proven: &Proven<'_>,
    canonical: impl Fn(&str) -> Option<String>,
) -> Result<Proof, TokenFlaw> {
    let claims = signed(raw, proven.key)?;
    if claims.text("htm") != Some(proven.method.as_str()) {
        return Err(TokenFlaw::HttpMethod);
    }
    let uri = claims.text("htu").and_then(|text| Url::parse(text).ok());
    if !uri.is_some_and(|uri| is_for(&uri, proven, canonical)) {
        return Err(TokenFlaw::HttpUri);
    }
    let issued = instant(&claims, "iat", TokenFlaw::IssuedAt)?;
    let (now, ends) = (proven.now, issued.plus(CLOCK_TOLERANCE));
    if issued > now.plus(CLOCK_TOLERANCE) || ends <= now {
        return Err(TokenFlaw::IssuedAt);
    }
    let id = claims
        .text("jti")
        .filter(|id| !id.is_empty() && id.len() <= ID_LIMIT)
        .ok_or(TokenFlaw::TokenId)?;
    let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, proven.token.as_bytes()));
    if claims.text("ath") != Some(&hash) {
        return Err(TokenFlaw::AccessTokenHash);
    }
    Ok(Proof {
        id: id.to_owned(),
        ends,
    })
}

/// By the key that it brings along, which is the one that the token is bound to.
fn signed(raw: &str, key: &str) -> Result<Claims, TokenFlaw> {
    #[derive(Deserialize)]
    struct Header {
        typ: Option<String>,
        jwk: Option<Value>,
    }
    let algorithms = ALGORITHMS.map(|(algorithm, _)| algorithm);
    let token = Unverified::parse_embedded(raw, &algorithms, PROOF_LIMIT)?;
    let header: Header = decoded(raw.split('.').next().unwrap_or_default())?;
    if !header
        .typ
        .is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt"))
    {
        return Err(TokenFlaw::Type);
    }
    let jwk = header.jwk.ok_or(TokenFlaw::ProofKey)?;
    let embedded = Key::embedded(&jwk).ok_or(TokenFlaw::ProofKey)?;
    if embedded.thumbprint != key {
        return Err(TokenFlaw::Confirmation);
    }
    Ok(token.verify(&embedded)?.claims)
}

/// Query and fragment are not part of it (RFC 9449 section 4.3, clause 9).
fn is_for(uri: &Url, proven: &Proven<'_>, canonical: impl Fn(&str) -> Option<String>) -> bool {
    uri.username().is_empty()
        && uri.password().is_none()
        && uri.origin().ascii_serialization() == proven.origin
        && (uri.path() == proven.path || canonical(uri.path()).as_deref() == Some(proven.path))
}

#[cfg(test)]
mod tests;
