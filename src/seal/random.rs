//! Session ids and other unguessable text, drawn from the operating system.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SecureRandom as _;

use crate::model::random::Random;
use crate::model::session::{Secret, SessionKey};

/// 256 bits: a session id is a bearer credential for hours.
const SESSION_ID_BYTES: usize = 32;

/// The operating system's source.
#[derive(Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws randomness"
    )]
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if self.0.fill(bytes).is_err() {
            // A guessable session id or verifier is worse than no proxy.
            tracing::error!("the operating system gives no randomness; stopping");
            std::process::abort();
        }
    }
}

/// The value of a session cookie.
pub fn session_id(random: &dyn Random) -> Secret {
    Secret::new(token(random, SESSION_ID_BYTES))
}

/// Where a session is kept: not under the id, so that a reader of the store cannot use what it finds.
pub fn session_key(id: &str) -> SessionKey {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(digest(&SHA256, id.as_bytes()).as_ref()) {
        *to = *from;
    }
    SessionKey(key)
}

/// `bytes` random bytes as base64url, for `state`, `nonce`, lineages and request ids.
pub fn token(random: &dyn Random, bytes: usize) -> String {
    let mut drawn = vec![0; bytes];
    random.fill(&mut drawn);
    BASE64_URL_SAFE_NO_PAD.encode(drawn)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_session_id_has_256_bits_and_does_not_repeat() {
        let random = SystemRandom::new();
        let ids: HashSet<_> = (0..1000)
            .map(|_| session_id(&random).reveal().to_owned())
            .collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| {
            id.len() == 43
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }));
    }

    #[test]
    fn the_key_is_the_sha256_of_the_id() {
        assert_eq!(
            session_key("abc").0[..4],
            [0xba, 0x78, 0x16, 0xbf] // FIPS 180-2, appendix B.1
        );
        assert_ne!(session_key("abc"), session_key("abd"));
    }
}
