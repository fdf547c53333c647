//! Access tokens of programs: what must hold of one before anything in it is believed (RFC 9068 section 4, RFC 8725).

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::error::{OidcError, TokenFlaw};
use super::verifier::{
    CLOCK_TOLERANCE, Signed, Unverified, Verifier, asymmetric, audiences, instant, is_alive,
    is_typed, optional_text, subject,
};
use crate::model::claims::Claims;
use crate::model::time::Timestamp;

/// In bytes; what is longer is not decoded. One that names hundreds of groups fits.
pub const BEARER_LIMIT: usize = 16 << 10;

/// How long keys are good for bearers when the provider is not there to say which it still signs with.
pub(super) const KEYS_GOOD_FOR: Duration = Duration::from_secs(3600);

/// What an app takes.
#[derive(Clone, Debug)]
pub struct BearerRules {
    audience: String,
    algorithms: Vec<Algorithm>,
}

/// A verified access token. Whether what it is bound to is there is the caller's to see to.
#[derive(Clone, Debug, PartialEq)]
pub struct BearerToken {
    pub claims: Claims,
    /// Provider's clock.
    pub issued: Timestamp,
    /// Our clock: not good from then on.
    pub ends: Timestamp,
    pub binding: Binding,
    /// The client that it was issued to.
    pub client: Option<String>,
    /// `None`: the provider vouched for it in another way.
    pub signer: Option<Signer>,
}

/// The key that signed a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub(super) kid: String,
    pub(super) thumbprint: String,
}

/// `cnf` (RFC 7800): all of it has to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// SHA-256 thumbprint of the key that DPoP proofs are signed with (RFC 9449 section 6.1).
    pub key: Option<String>,
    /// SHA-256 of the client's certificate (RFC 8705 section 3.1).
    pub certificate: Option<String>,
}

impl BearerRules {
    pub fn new(audience: &str, algorithms: &[String]) -> Result<Self, OidcError> {
        Ok(Self {
            audience: audience.to_owned(),
            algorithms: asymmetric(algorithms)?,
        })
    }

    pub(super) fn parse<'t>(&self, raw: &'t str) -> Result<Unverified<'t>, TokenFlaw> {
        Unverified::parse(raw, &self.algorithms, BEARER_LIMIT)
    }
}

impl Verifier {
    /// What holds of every access token of the realm, a lightweight one as well, that comes as a bearer.
    pub(super) fn access_for_bearer(
        &self,
        token: &Signed,
        now: Timestamp,
    ) -> Result<(), TokenFlaw> {
        let claims = &token.claims;
        self.is_ours(claims)?;
        // An ID, logout or refresh token is signed by the same realm, and must be nothing here (RFC 8725 3.11, 3.12).
        let typed = match token.media_type().as_deref() {
            Some("at+jwt") => true,
            None | Some("jwt") => claims.0.contains_key("typ"),
            Some(_) => false,
        };
        if !typed || !is_typed(claims, &["Bearer", "DPoP"]) || claims.0.contains_key("events") {
            return Err(TokenFlaw::Type);
        }
        is_alive(claims, now)?;
        Ok(())
    }

    /// The rest, of claims for which the provider vouches.
    pub(super) fn bearer(
        &self,
        claims: Claims,
        rules: &BearerRules,
        signer: Option<Signer>,
        now: Timestamp,
    ) -> Result<BearerToken, TokenFlaw> {
        self.is_ours(&claims)?;
        if !is_typed(&claims, &["Bearer", "DPoP"]) {
            return Err(TokenFlaw::Type);
        }
        if !audiences(&claims)?.contains(&rules.audience.as_str()) {
            return Err(TokenFlaw::Audience);
        }
        subject(&claims)?;
        let issued = instant(&claims, "iat", TokenFlaw::IssuedAt)?;
        if issued > now.plus(CLOCK_TOLERANCE) {
            return Err(TokenFlaw::IssuedAt);
        }
        let expires = is_alive(&claims, now)?;
        let azp = optional_text(&claims, "azp", TokenFlaw::AuthorizedParty)?;
        let client = optional_text(&claims, "client_id", TokenFlaw::AuthorizedParty)?;
        // It names a session by which it can be revoked, or none.
        optional_text(&claims, "sid", TokenFlaw::Subject)?;
        Ok(BearerToken {
            issued,
            ends: expires.plus(CLOCK_TOLERANCE),
            binding: Binding::of(&claims)?,
            client: azp.or(client),
            signer,
            claims,
        })
    }
}

impl Binding {
    pub fn is_none(&self) -> bool {
        self.key.is_none() && self.certificate.is_none()
    }

    /// A way to bind that is not known here is one that cannot be checked.
    fn of(claims: &Claims) -> Result<Self, TokenFlaw> {
        let mut binding = Self::default();
        let Some(confirmation) = claims.0.get("cnf") else {
            return Ok(binding);
        };
        let members = confirmation.as_object().ok_or(TokenFlaw::Confirmation)?;
        for (name, value) in members {
            // Keycloak's word beside `jkt` on what it is for (seen on 26.7.5).
            if name == "kc-jkt-type" && value == "DPoP" {
                continue;
            }
            let bound_to = match name.as_str() {
                "jkt" => &mut binding.key,
                "x5t#S256" => &mut binding.certificate,
                _ => return Err(TokenFlaw::Confirmation),
            };
            match value {
                Value::String(text) if !text.is_empty() => *bound_to = Some(text.clone()),
                _ => return Err(TokenFlaw::Confirmation),
            }
        }
        if binding.is_none() {
            return Err(TokenFlaw::Confirmation);
        }
        Ok(binding)
    }
}

#[cfg(test)]
mod tests;
