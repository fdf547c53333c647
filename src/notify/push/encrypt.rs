//! Message encryption (RFC 8291) in one record of `aes128gcm` (RFC 8188).

use p256::{PublicKey, SecretKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use super::Subscription;
use crate::model::random::Random;

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// Larger than anything that is sent, as in RFC 8291's own example.
const RECORD_SIZE: u32 = 4096;

/// Behind the last record's text (RFC 8188 section 2).
const LAST: u8 = 2;

/// A random number is no private key once in 2^32.
const TRIES: usize = 8;

/// `None`: it is longer than a record, or the subscription's key is none.
pub(super) fn encrypt(plaintext: &[u8], to: &Subscription, random: &dyn Random) -> Option<Vec<u8>> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    encrypt_with(plaintext, to, &fresh_secret(random)?, salt)
}

pub(super) fn fresh_secret(random: &dyn Random) -> Option<SecretKey> {
    (0..TRIES).find_map(|_| {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        SecretKey::from_slice(&bytes).ok()
    })
}

/// Neither `sender` nor `salt` may ever be used again.
pub(super) fn encrypt_with(
    plaintext: &[u8],
    to: &Subscription,
    sender: &SecretKey,
    salt: [u8; SALT_BYTES],
) -> Option<Vec<u8>> {
    let sender_public = sender.public_key().to_sec1_bytes();
    let mut text = plaintext.to_vec();
    text.push(LAST);
    let whole = text.len() + AES_128_GCM.tag_len();
    if u32::try_from(whole).ok()? > RECORD_SIZE {
        return None;
    }

    // RFC 8291 section 3.4.
    let receiver = PublicKey::from_sec1_bytes(to.key()).ok()?;
    let shared = sender.diffie_hellman(&receiver);
    let info: [&[u8]; 3] = [b"WebPush: info\0", to.key(), &sender_public];
    let mut secret = [0; 32];
    derive(to.auth(), shared.raw_secret_bytes(), &info, &mut secret)?;
    let mut key = [0; KEY_BYTES];
    let info: [&[u8]; 1] = [b"Content-Encoding: aes128gcm\0"];
    derive(&salt, &secret, &info, &mut key)?;
    let mut nonce = [0; NONCE_BYTES];
    let info: [&[u8]; 1] = [b"Content-Encoding: nonce\0"];
    derive(&salt, &secret, &info, &mut nonce)?;

    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut text)
        .ok()?;

    let mut message = salt.to_vec();
    message.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    message.push(u8::try_from(sender_public.len()).ok()?);
    message.extend_from_slice(&sender_public);
    message.append(&mut text);
    Some(message)
}

fn derive(salt: &[u8], secret: &[u8], info: &[&[u8]], to: &mut [u8]) -> Option<()> {
    let length = Length(to.len());
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(info, length)
        .and_then(|output| output.fill(to))
        .ok()
}

#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
