//! A browser's side of Web Push, with the keys of RFC 8291's example (appendix A).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::SecretKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

pub(crate) const UA_PUBLIC: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const UA_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
pub(crate) const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

pub(super) fn bytes(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The receiver's side, from the RFCs' formulas alone: HKDF as two HMACs (RFC 5869 section 2).
pub(crate) fn opened(message: &[u8]) -> Vec<u8> {
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().to_vec()
    };
    let (salt, rest) = message.split_at(16);
    assert_eq!(rest[..5], [0, 0, 16, 0, 65]);
    let (sender, sealed) = rest[5..].split_at(65);
    let secret = SecretKey::from_slice(&bytes(UA_PRIVATE)).unwrap();
    let public = p256::PublicKey::from_sec1_bytes(sender).unwrap();
    let shared = secret.diffie_hellman(&public);
    let prk = hmac(&bytes(AUTH), &[shared.raw_secret_bytes()]);
    let ikm = hmac(&prk, &[b"WebPush: info\0", &bytes(UA_PUBLIC), sender, &[1]]);
    let prk = hmac(salt, &[&ikm]);
    let key = hmac(&prk, &[b"Content-Encoding: aes128gcm\0\x01"]);
    let nonce = hmac(&prk, &[b"Content-Encoding: nonce\0\x01"]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
    let mut text = sealed.to_vec();
    let text = key.open_in_place(nonce, Aad::empty(), &mut text).unwrap();
    let (last, text) = text.split_last().unwrap();
    assert_eq!(*last, 2);
    text.to_vec()
}
