//! What can go wrong with Keycloak. `Display` is codes only: no token, no code, no text of the provider's.

use std::fmt;

/// Five answers that a caller can act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Try again later; says nothing about the user.
    #[error("keycloak is unavailable: {0}")]
    Unavailable(Outage),
    /// The provider answered with an OAuth error code (RFC 6749 section 5.2).
    #[error("keycloak refused: {code}")]
    Refused { code: String },
    #[error("token refused: {0}")]
    InvalidToken(TokenFlaw),
    /// The response's `iss` is not the provider's, or is missing though it is promised (RFC 9207 section 2.4).
    #[error("the authorization response is not this provider's")]
    ForeignResponse,
    /// Only a change of the configuration, here or in the realm, helps.
    #[error("misconfigured: {0}")]
    Misconfigured(&'static str),
}

/// Why the provider, or what it says, cannot be had now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// No connection: nothing was sent.
    #[error("unreachable")]
    Unreachable,
    /// Sent, and no whole answer: the outcome is unknown.
    #[error("no answer")]
    NoAnswer,
    #[error("status {0}")]
    Status(u16),
    #[error("unreadable answer: {0}")]
    Garbage(&'static str),
    /// A key that may exist by now, but the keys were asked for a moment ago.
    #[error("keys were fetched a moment ago")]
    CoolingDown,
    #[error("its clock differs by {0} s")]
    Clock(i64),
}

/// The first clause that a token breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFlaw {
    AccessTokenHash,
    Algorithm,
    AmbiguousKey,
    Audience,
    AuthorizedParty,
    /// `cnf` is unknown, or what it binds the token to is not shown (RFC 7800).
    Confirmation,
    CriticalHeader,
    Event,
    Expiry,
    HttpMethod,
    HttpUri,
    /// The provider says so (RFC 7662 section 2.2).
    Inactive,
    IssuedAt,
    Issuer,
    KeyId,
    Malformed,
    Missing,
    Nonce,
    NotBefore,
    /// A key in a proof that is not a public one of a kind that signs.
    ProofKey,
    /// Used before.
    Replayed,
    /// The session that it belongs to has ended.
    Revoked,
    Signature,
    Subject,
    TokenId,
    TooLong,
    Type,
    UnknownKey,
    UnsuitableKey,
}

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// `invalid_grant`: the provider's session is over.
    #[error("refresh refused")]
    Refused,
    /// The session goes on. A token that may be used up must not be sent again.
    #[error("refresh failed (token may be used: {maybe_used}): {cause}")]
    Unavailable { maybe_used: bool, cause: OidcError },
}

impl OidcError {
    pub(super) const fn garbage(what: &'static str) -> Self {
        Self::Unavailable(Outage::Garbage(what))
    }

    /// `code` is the provider's text: kept only when it looks like an error code.
    pub(super) fn refused(code: &str) -> Self {
        let plausible = !code.is_empty()
            && code.len() <= 64
            && code
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let code = if plausible { code } else { "unreadable_code" };
        Self::Refused {
            code: code.to_owned(),
        }
    }
}

impl From<TokenFlaw> for OidcError {
    fn from(flaw: TokenFlaw) -> Self {
        Self::InvalidToken(flaw)
    }
}

impl From<Outage> for OidcError {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}

impl TokenFlaw {
    pub fn code(self) -> &'static str {
        match self {
            Self::AccessTokenHash => "at_hash",
            Self::Algorithm => "alg",
            Self::AmbiguousKey => "ambiguous_key",
            Self::Audience => "aud",
            Self::AuthorizedParty => "azp",
            Self::Confirmation => "cnf",
            Self::CriticalHeader => "crit",
            Self::Event => "events",
            Self::Expiry => "exp",
            Self::HttpMethod => "htm",
            Self::HttpUri => "htu",
            Self::Inactive => "inactive",
            Self::IssuedAt => "iat",
            Self::Issuer => "iss",
            Self::KeyId => "kid",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Nonce => "nonce",
            Self::NotBefore => "nbf",
            Self::ProofKey => "jwk",
            Self::Replayed => "replayed",
            Self::Revoked => "revoked",
            Self::Signature => "signature",
            Self::Subject => "sub",
            Self::TokenId => "jti",
            Self::TooLong => "too_long",
            Self::Type => "typ",
            Self::UnknownKey => "unknown_key",
            Self::UnsuitableKey => "unsuitable_key",
        }
    }
}

impl fmt::Display for TokenFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
