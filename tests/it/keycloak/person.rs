//! Somebody at a browser: what they know, and the device that shows their one-time codes (RFC 6238).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;

use super::key::SecurityKey;

/// Seconds.
const STEP: u64 = 30;

#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) device: Option<Device>,
    pub(crate) key: Option<SecurityKey>,
}

#[derive(Debug, Default)]
pub(crate) struct Device {
    secret: Vec<u8>,
    /// Keycloak takes a code once.
    used: BTreeSet<u64>,
}

impl Person {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: format!("{name}-password"),
            device: None,
            key: None,
        }
    }

    /// As `config/keycloak/realm.json` has her.
    pub(crate) fn alice() -> Self {
        Self::with_code("alice", "stepgate-demo-alice!")
    }

    pub(crate) fn carol() -> Self {
        Self::with_code("carol", "stepgate-demo-carol!")
    }

    /// Owns no second factor.
    pub(crate) fn bob() -> Self {
        Self::new("bob")
    }

    pub(crate) fn with_code(name: &str, secret: &str) -> Self {
        Self {
            device: Some(Device::new(secret)),
            ..Self::new(name)
        }
    }
}

impl Device {
    pub(crate) fn new(secret: &str) -> Self {
        Self {
            secret: secret.as_bytes().to_vec(),
            used: BTreeSet::new(),
        }
    }

    /// One that Keycloak has not seen yet: the next step's is good already, else the wait is for the step after.
    pub(crate) async fn code(&mut self) -> String {
        loop {
            let step = now().as_secs() / STEP;
            for step in [step, step + 1] {
                if self.used.insert(step) {
                    return code(&self.secret, step);
                }
            }
            let next = Duration::from_secs((step + 1) * STEP);
            tokio::time::sleep(next.saturating_sub(now())).await;
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// RFC 4226 section 5.3.
fn code(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let start = usize::from(tag[tag.len() - 1] & 0xf);
    let word = u32::from_be_bytes(tag[start..start + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// RFC 6238 appendix B, the last six digits.
#[test]
fn codes_are_those_of_the_standard() {
    let secret = b"12345678901234567890";
    assert_eq!(code(secret, 59 / STEP), "287082");
    assert_eq!(code(secret, 1_111_111_109 / STEP), "081804");
    assert_eq!(code(secret, 20_000_000_000 / STEP), "353130");
}
