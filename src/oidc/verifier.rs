//! The one verifier of Keycloak's tokens: ID, access and logout tokens, none of which passes as another (RFC 8725 3.12).
//!
//! Time is passed in; every claim that is judged must be there and have the right type.

use std::str::FromStr as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use ring::digest;
use serde::Deserialize;
use serde_json::Value;

use super::error::{OidcError, Outage, TokenFlaw};
use super::keys::Key;
use crate::model::claims::Claims;
use crate::model::time::Timestamp;

/// How far the provider's clock may be from ours, either way, before nothing it says of time is believed.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// A token with hundreds of groups fits; what is longer is not decoded.
const TOKEN_LIMIT: usize = 128 * 1024;

/// OpenID Connect Back-Channel Logout 1.0 section 2.4.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[derive(Debug)]
pub(super) struct Verifier {
    issuer: String,
    client_id: String,
    algorithms: Vec<Algorithm>,
}

/// A token whose header is acceptable; its signature is not checked yet.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    pub(super) kid: String,
    algorithm: Algorithm,
    typ: Option<String>,
    message: &'t str,
    payload: &'t str,
    signature: &'t str,
}

/// Signed by the realm; what for is not checked yet.
#[derive(Debug)]
pub(super) struct Signed {
    algorithm: Algorithm,
    typ: Option<String>,
    pub(super) claims: Claims,
}

/// What an ID token must fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// The flow's; a refresh has none.
    pub(super) nonce: Option<&'a str>,
    /// For `at_hash`.
    pub(super) access_token: &'a str,
    /// Our clock when the token came.
    pub(super) now: Timestamp,
}

/// The end of a session at the provider: by `sid` that one, by `sub` alone all of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    pub sub: Option<String>,
    pub sid: Option<String>,
    pub jti: String,
    pub issued: Timestamp,
    pub expires: Timestamp,
}

impl Verifier {
    pub(super) fn new(
        issuer: &str,
        client_id: &str,
        algorithms: &[String],
    ) -> Result<Self, OidcError> {
        Ok(Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            algorithms: asymmetric(algorithms)?,
        })
    }

    pub(super) fn parse<'t>(&self, raw: &'t str) -> Result<Unverified<'t>, TokenFlaw> {
        Unverified::parse(raw, &self.algorithms, TOKEN_LIMIT)
    }

    /// OpenID Connect Core 1.0 section 3.1.3.7; with a nonce also 3.1.3.8.
    pub(super) fn id_token(
        &self,
        token: Signed,
        expected: Expected<'_>,
    ) -> Result<Claims, OidcError> {
        let claims = &token.claims;
        self.is_ours(claims)?;
        let header = matches!(token.media_type().as_deref(), None | Some("jwt"));
        if !header || !is_typed(claims, &["ID"]) || claims.0.contains_key("events") {
            return Err(TokenFlaw::Type.into());
        }
        self.is_for_us(claims)?;
        subject(claims)?;
        if let Some(nonce) = expected.nonce
            && claims.text("nonce") != Some(nonce)
        {
            return Err(TokenFlaw::Nonce.into());
        }
        if let Some(hash) = claims.0.get("at_hash")
            && hash.as_str() != half_hash(token.algorithm, expected.access_token).as_deref()
        {
            return Err(TokenFlaw::AccessTokenHash.into());
        }
        // The token was made while we waited for it: its `iat` is the provider's clock.
        let offset = instant(claims, "iat", TokenFlaw::IssuedAt)?
            .as_unix()
            .saturating_sub(expected.now.as_unix());
        if offset.unsigned_abs() > CLOCK_TOLERANCE.as_secs() {
            return Err(Outage::Clock(offset).into());
        }
        is_alive(claims, expected.now)?;
        Ok(token.claims)
    }

    /// The access token of the same answer as an ID token of `sub`: read for groups and roles only.
    pub(super) fn access_token(
        &self,
        token: Signed,
        sub: &str,
        now: Timestamp,
    ) -> Result<Claims, TokenFlaw> {
        let claims = &token.claims;
        self.is_ours(claims)?;
        let header = matches!(token.media_type().as_deref(), None | Some("jwt" | "at+jwt"));
        if !header || !is_typed(claims, &["Bearer", "DPoP"]) || claims.0.contains_key("events") {
            return Err(TokenFlaw::Type);
        }
        if subject(claims)? != sub {
            return Err(TokenFlaw::Subject);
        }
        is_alive(claims, now)?;
        Ok(token.claims)
    }

    /// OpenID Connect Back-Channel Logout 1.0 section 2.6; `exp` and `jti` are required, for Keycloak sends both.
    pub(super) fn logout_token(
        &self,
        token: &Signed,
        now: Timestamp,
    ) -> Result<LogoutToken, TokenFlaw> {
        let claims = &token.claims;
        self.is_ours(claims)?;
        let header = token.media_type();
        let named = match header.as_deref() {
            Some("logout+jwt") => true,
            None | Some("jwt") => claims.0.contains_key("typ"),
            Some(_) => false,
        };
        if !named || !is_typed(claims, &["Logout"]) {
            return Err(TokenFlaw::Type);
        }
        self.is_for_us(claims)?;
        let event = claims
            .0
            .get("events")
            .and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(TokenFlaw::Event);
        }
        if claims.0.contains_key("nonce") {
            return Err(TokenFlaw::Nonce);
        }
        let sub = optional_text(claims, "sub", TokenFlaw::Subject)?;
        let sid = optional_text(claims, "sid", TokenFlaw::Subject)?;
        if sub.is_none() && sid.is_none() {
            return Err(TokenFlaw::Subject);
        }
        let issued = instant(claims, "iat", TokenFlaw::IssuedAt)?;
        if issued > now.plus(CLOCK_TOLERANCE) {
            return Err(TokenFlaw::IssuedAt);
        }
        Ok(LogoutToken {
            sub,
            sid,
            jti: optional_text(claims, "jti", TokenFlaw::TokenId)?.ok_or(TokenFlaw::TokenId)?,
            issued,
            expires: is_alive(claims, now)?,
        })
    }

    pub(super) fn is_ours(&self, claims: &Claims) -> Result<(), TokenFlaw> {
        if claims.text("iss") == Some(&self.issuer) {
            Ok(())
        } else {
            Err(TokenFlaw::Issuer)
        }
    }

    /// Other audiences are trusted only when `azp` says that the token was made for us (Core 3.1.3.7, clauses 3 to 5).
    fn is_for_us(&self, claims: &Claims) -> Result<(), TokenFlaw> {
        let audiences = audiences(claims)?;
        if !audiences.contains(&self.client_id.as_str()) {
            return Err(TokenFlaw::Audience);
        }
        let others = audiences.iter().any(|audience| *audience != self.client_id);
        match claims.0.get("azp") {
            Some(party) if party.as_str() == Some(&self.client_id) => Ok(()),
            None if !others => Ok(()),
            _ => Err(TokenFlaw::AuthorizedParty),
        }
    }
}

impl<'t> Unverified<'t> {
    /// Of at most `limit` bytes, signed by one of `algorithms`. `jku`, `jwk`, `x5u` and `x5c` are not looked at: a token
    /// does not choose who vouches for it (RFC 8725 3.10).
    pub(super) fn parse(
        raw: &'t str,
        algorithms: &[Algorithm],
        limit: usize,
    ) -> Result<Self, TokenFlaw> {
        let (kid, token) = Self::read(raw, algorithms, limit)?;
        Ok(Self {
            kid: kid.ok_or(TokenFlaw::KeyId)?,
            ..token
        })
    }

    /// One that brings its own key: what `kid` says, if anything, does not matter.
    pub(super) fn parse_embedded(
        raw: &'t str,
        algorithms: &[Algorithm],
        limit: usize,
    ) -> Result<Self, TokenFlaw> {
        Self::read(raw, algorithms, limit).map(|(_, token)| token)
    }

    fn read(
        raw: &'t str,
        algorithms: &[Algorithm],
        limit: usize,
    ) -> Result<(Option<String>, Self), TokenFlaw> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            typ: Option<String>,
            crit: Option<Value>,
        }
        if raw.len() > limit {
            return Err(TokenFlaw::TooLong);
        }
        let (message, signature) = raw.rsplit_once('.').ok_or(TokenFlaw::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenFlaw::Malformed)?;
        let header: Header = decoded(header)?;
        if header.crit.is_some() {
            return Err(TokenFlaw::CriticalHeader);
        }
        let algorithm = Algorithm::from_str(&header.alg)
            .ok()
            .filter(|algorithm| algorithms.contains(algorithm))
            .ok_or(TokenFlaw::Algorithm)?;
        let token = Self {
            kid: String::new(),
            algorithm,
            typ: header.typ,
            message,
            payload,
            signature,
        };
        Ok((header.kid, token))
    }

    pub(super) fn verify(self, key: &Key) -> Result<Signed, TokenFlaw> {
        if !key.fits(self.algorithm) {
            return Err(TokenFlaw::UnsuitableKey);
        }
        let good = jsonwebtoken::crypto::verify(
            self.signature,
            self.message.as_bytes(),
            &key.decoding,
            self.algorithm,
        );
        if good != Ok(true) {
            return Err(TokenFlaw::Signature);
        }
        Ok(Signed {
            algorithm: self.algorithm,
            typ: self.typ,
            claims: Claims(decoded(self.payload)?),
        })
    }
}

impl Signed {
    /// Keycloak's lightweight access token names nobody.
    pub(super) fn is_lightweight(&self) -> bool {
        !self.claims.0.contains_key("sub")
    }

    /// The header's `typ` as RFC 7515 section 4.1.9 compares it: any case, `application/` left out.
    pub(super) fn media_type(&self) -> Option<String> {
        let typ = self.typ.as_ref()?.to_ascii_lowercase();
        Some(match typ.strip_prefix("application/") {
            Some(rest) => rest.to_owned(),
            None => typ,
        })
    }
}

/// As the configuration names them.
pub(super) fn asymmetric(names: &[String]) -> Result<Vec<Algorithm>, OidcError> {
    names
        .iter()
        .map(|name| Algorithm::from_str(name).ok().filter(is_asymmetric))
        .collect::<Option<_>>()
        .ok_or(OidcError::Misconfigured(
            "an algorithm that is unknown or symmetric",
        ))
}

/// One text, or a list of nothing else.
pub(super) fn audiences(claims: &Claims) -> Result<Vec<&str>, TokenFlaw> {
    let found = match claims.0.get("aud") {
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
        _ => None,
    };
    found.ok_or(TokenFlaw::Audience)
}

/// A symmetric key would be the client's secret: who knows it could make tokens (RFC 8725 section 2.1).
fn is_asymmetric(algorithm: &Algorithm) -> bool {
    hash_of(*algorithm).is_some()
}

/// `None` for what is not taken at all.
fn hash_of(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match algorithm {
        ES256 | RS256 | PS256 => Some(&digest::SHA256),
        ES384 | RS384 | PS384 => Some(&digest::SHA384),
        // Ed25519 hashes with SHA-512; the verifier knows no other curve.
        RS512 | PS512 | EdDSA => Some(&digest::SHA512),
        _ => None,
    }
}

pub(super) fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenFlaw> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFlaw::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFlaw::Malformed)
}

/// Keycloak's claim `typ`, where a token has it, is one of `names`.
pub(super) fn is_typed(claims: &Claims, names: &[&str]) -> bool {
    claims
        .0
        .get("typ")
        .is_none_or(|typ| typ.as_str().is_some_and(|typ| names.contains(&typ)))
}

pub(super) fn subject(claims: &Claims) -> Result<&str, TokenFlaw> {
    claims
        .text("sub")
        .filter(|sub| !sub.is_empty())
        .ok_or(TokenFlaw::Subject)
}

pub(super) fn optional_text(
    claims: &Claims,
    name: &str,
    flaw: TokenFlaw,
) -> Result<Option<String>, TokenFlaw> {
    match claims.0.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(flaw),
    }
}

/// A whole, non-negative number of seconds; a string or a fraction is no time here (CVE-2026-25537).
pub(super) fn instant(
    claims: &Claims,
    name: &str,
    flaw: TokenFlaw,
) -> Result<Timestamp, TokenFlaw> {
    claims
        .integer(name)
        .filter(|seconds| *seconds >= 0)
        .map(Timestamp::from_unix)
        .ok_or(flaw)
}

/// `exp`, and `nbf` when there.
pub(super) fn is_alive(claims: &Claims, now: Timestamp) -> Result<Timestamp, TokenFlaw> {
    let expires = instant(claims, "exp", TokenFlaw::Expiry)?;
    if expires.plus(CLOCK_TOLERANCE) <= now {
        return Err(TokenFlaw::Expiry);
    }
    if claims.0.contains_key("nbf")
        && instant(claims, "nbf", TokenFlaw::NotBefore)? > now.plus(CLOCK_TOLERANCE)
    {
        return Err(TokenFlaw::NotBefore);
    }
    Ok(expires)
}

/// The left half of the hash that belongs to the algorithm (Core 3.1.3.6).
fn half_hash(algorithm: Algorithm, text: &str) -> Option<String> {
    let digest = digest::digest(hash_of(algorithm)?, text.as_bytes());
    let half = digest.as_ref().get(..digest.as_ref().len() / 2)?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(half))
}

#[cfg(test)]
mod tests;
