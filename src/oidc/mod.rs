//! Keycloak as an OpenID provider: discovery, pushed requests, code exchange, refresh, and the one verifier of its tokens.
//!
//! A token's claims leave this module only after every check. What they prove is `policy::evidence`'s to say.

mod authorization;
mod bearer;
mod channel;
mod ciba;
mod client_auth;
mod dpop;
mod error;
mod identity;
mod introspection;
mod kept;
mod keys;
mod metadata;
mod provider;
mod tokens;
mod transport;
mod verifier;
mod watch;

pub use authorization::{Authorization, Pkce, Started};
pub use bearer::{BEARER_LIMIT, BearerRules, BearerToken, Binding, Signer};
pub use channel::{ChannelAnswer, ChannelToken, Undelivered};
pub use ciba::{Confirmation, Confirming, Polled};
pub use dpop::{Proof, Proven, check_proof, proof_algorithms};
pub use error::{OidcError, Outage, RefreshError, TokenFlaw};
pub use identity::identity;
pub use provider::{Provider, Status};
pub use tokens::Exchange;
pub use verifier::{CLOCK_TOLERANCE, LogoutToken};
pub use watch::{Endpoint, Health, Watch};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
