//! Authenticated encryption of what leaves the process: cookies and values in a store.
//!
//! A blob is `version (1) | key id (8) | salt (32) | ciphertext and tag`, in base64url. Each has a key of its own, derived
//! from the seal key, the purpose and the random salt, so that no nonce can ever repeat under one key.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// A shorter text cannot hold 256 bits.
pub const MIN_KEY_BYTES: usize = 32;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there is no seal key")]
    None,
    #[error("seal key {number} has {length} bytes; it needs {MIN_KEY_BYTES} or more")]
    TooShort { number: usize, length: usize },
    #[error("no key can be derived")]
    Derivation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed by a key that is not configured here: for a store that is an outage, not an absence.
    #[error("sealed by an unknown key")]
    UnknownKey,
    #[error("not sealed here, for this purpose and place")]
    Tampered,
}

/// The first key seals, all open. Its keys can be replaced while it is in use.
#[derive(Debug)]
pub struct Sealer {
    keys: ArcSwap<Keys>,
    random: Arc<dyn Random>,
}

#[derive(Debug)]
struct Keys {
    first: Arc<Key>,
    others: Vec<Arc<Key>>,
    /// Configured no longer. They open what was sealed before, until [`Sealer::forget`].
    retired: Vec<Retired>,
}

#[derive(Clone, Debug)]
struct Retired {
    key: Arc<Key>,
    at: Timestamp,
}

#[derive(Debug)]
struct Key {
    id: [u8; KEY_ID_BYTES],
    material: Secret,
}

impl Sealer {
    pub fn new(keys: &[Secret], random: Arc<dyn Random>) -> Result<Self, KeyError> {
        Ok(Self {
            keys: ArcSwap::from_pointee(Keys::new(keys, Vec::new())?),
            random,
        })
    }

    /// From now on `keys` seal and open. Those that are not among them any more still open, or whoever is half way
    /// through a login would have to begin again. An error changes nothing.
    pub fn replace(&self, keys: &[Secret], now: Timestamp) -> Result<(), KeyError> {
        let before = self.keys.load();
        let mut next = Keys::new(keys, before.retired.clone())?;
        let replaced = std::iter::once(&before.first).chain(&before.others);
        next.retired.extend(replaced.map(|key| Retired {
            key: Arc::clone(key),
            at: now,
        }));
        let in_use: Vec<_> = next.configured().map(|key| key.id).collect();
        next.retired
            .retain(|retired| !in_use.contains(&retired.key.id));
        self.keys.store(Arc::new(next));
        Ok(())
    }

    /// Keys that were replaced before `then` open nothing any more.
    pub fn forget(&self, then: Timestamp) {
        let before = self.keys.load();
        let mut retired = before.retired.clone();
        retired.retain(|retired| retired.at >= then);
        if retired.len() < before.retired.len() {
            self.keys.store(Arc::new(Keys {
                first: Arc::clone(&before.first),
                others: before.others.clone(),
                retired,
            }));
        }
    }

    /// `purpose` names what is sealed (`flow`, `session`), `aad` where it belongs (cookie name or store key, origin):
    /// [`Sealer::open`] wants the same again.
    pub fn seal(&self, purpose: &str, aad: &[&str], plaintext: &[u8]) -> String {
        let aad: Vec<_> = aad.iter().map(|part| part.as_bytes()).collect();
        BASE64_URL_SAFE_NO_PAD.encode(self.seal_bytes(purpose, &aad, plaintext))
    }

    /// [`Sealer::seal`] for what need not be text.
    pub fn seal_bytes(&self, purpose: &str, aad: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt);

        let mut sealed = plaintext.to_vec();
        let keys = self.keys.load();
        let tagged = keys.first.cipher(purpose, &salt).and_then(|cipher| {
            cipher.seal_in_place_append_tag(nonce(), associated(purpose, aad), &mut sealed)
        });
        if tagged.is_err() {
            // Only a plaintext of 64 GiB gets here. What is empty opens as `Tampered`: nothing leaks, nothing passes.
            return Vec::new();
        }

        let mut blob = Vec::with_capacity(1 + KEY_ID_BYTES + SALT_BYTES + sealed.len());
        blob.push(VERSION);
        blob.extend_from_slice(&keys.first.id);
        blob.extend_from_slice(&salt);
        blob.append(&mut sealed);
        blob
    }

    pub fn open(&self, purpose: &str, aad: &[&str], sealed: &str) -> Result<Vec<u8>, OpenError> {
        let blob = BASE64_URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| OpenError::Tampered)?;
        let aad: Vec<_> = aad.iter().map(|part| part.as_bytes()).collect();
        self.open_bytes(purpose, &aad, &blob)
    }

    /// [`Sealer::open`] for what [`Sealer::seal_bytes`] sealed.
    pub fn open_bytes(
        &self,
        purpose: &str,
        aad: &[&[u8]],
        blob: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let (id, rest) = split(blob).ok_or(OpenError::Tampered)?;
        let (salt, ciphertext) = rest
            .split_first_chunk::<SALT_BYTES>()
            .ok_or(OpenError::Tampered)?;
        let keys = self.keys.load();
        let key = keys
            .all()
            .find(|key| key.id == *id)
            .ok_or(OpenError::UnknownKey)?;

        let mut buffer = ciphertext.to_vec();
        let length = key
            .cipher(purpose, salt)
            .and_then(|cipher| {
                cipher
                    .open_in_place(nonce(), associated(purpose, aad), &mut buffer)
                    .map(|plaintext| plaintext.len())
            })
            .map_err(|_| OpenError::Tampered)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Of the key that seals.
    pub fn key_id(&self) -> u64 {
        u64::from_be_bytes(self.keys.load().first.id)
    }
}

/// Of the key that sealed a blob.
pub fn sealed_by(blob: &[u8]) -> Option<u64> {
    split(blob).map(|(id, _)| u64::from_be_bytes(*id))
}

/// The key's id, and what is behind it.
fn split(blob: &[u8]) -> Option<(&[u8; KEY_ID_BYTES], &[u8])> {
    let (&[version], rest) = blob.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    rest.split_first_chunk()
}

/// The text of a seal key: for a process that keeps nothing beyond its life, or for a file.
pub fn fresh_key(random: &dyn Random) -> Secret {
    Secret::new(super::random::token(random, MIN_KEY_BYTES))
}

impl Keys {
    fn new(keys: &[Secret], retired: Vec<Retired>) -> Result<Self, KeyError> {
        let mut keys = keys
            .iter()
            .enumerate()
            .map(|(index, material)| Key::new(index + 1, material).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        Ok(Self {
            first: keys.next().ok_or(KeyError::None)?,
            others: keys.collect(),
            retired,
        })
    }

    fn configured(&self) -> impl Iterator<Item = &Arc<Key>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.configured()
            .chain(self.retired.iter().map(|retired| &retired.key))
    }
}

impl Key {
    fn new(number: usize, material: &Secret) -> Result<Self, KeyError> {
        let length = material.reveal().len();
        if length < MIN_KEY_BYTES {
            return Err(KeyError::TooShort { number, length });
        }
        let mut id = [0; KEY_ID_BYTES];
        Salt::new(HKDF_SHA256, b"stepgate seal v1")
            .extract(material.reveal().as_bytes())
            .expand(&[b"key id"], IdLength)
            .and_then(|okm| okm.fill(&mut id))
            .map_err(|_| KeyError::Derivation)?;
        Ok(Self {
            id,
            material: material.clone(),
        })
    }

    fn cipher(
        &self,
        purpose: &str,
        salt: &[u8; SALT_BYTES],
    ) -> Result<LessSafeKey, ring::error::Unspecified> {
        let key = Salt::new(HKDF_SHA256, salt)
            .extract(self.material.reveal().as_bytes())
            .expand(&[b"stepgate seal v1 ", purpose.as_bytes()], &AES_256_GCM)
            .map(UnboundKey::from)?;
        Ok(LessSafeKey::new(key))
    }
}

struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        KEY_ID_BYTES
    }
}

/// Constant, for the key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Every part with its length before it: `("a", "bc")` and `("ab", "c")` differ.
fn associated(purpose: &str, aad: &[&[u8]]) -> Aad<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in std::iter::once(&purpose.as_bytes()).chain(aad) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Aad::from(bytes)
}

#[cfg(test)]
mod tests;
