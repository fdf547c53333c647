//! A security key (Web Authentication Level 2): one credential, no attestation, and somebody who always touches it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use reqwest::Url;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

/// User present, user verified.
const PRESENT: u8 = 0x05;

/// A new credential follows.
const ATTESTED: u8 = 0x40;

const ID: [u8; 16] = *b"stepgate-testkey";

pub(crate) struct SecurityKey(EcdsaKeyPair);

impl std::fmt::Debug for SecurityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecurityKey")
    }
}

impl SecurityKey {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap())
    }

    /// The fields of Keycloak's registration form.
    pub(crate) fn register(&self, page: &Url, challenge: &str) -> Vec<(&'static str, String)> {
        let mut data = authenticator_data(page, PRESENT | ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(ID.len()).unwrap().to_be_bytes());
        data.extend(ID);
        data.extend(self.public_key());
        // CBOR (RFC 8949): {"fmt": "none", "attStmt": {}, "authData": data}
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        attestation.push(u8::try_from(data.len()).unwrap());
        attestation.extend(data);
        vec![
            (
                "clientDataJSON",
                client_data("webauthn.create", page, challenge),
            ),
            ("attestationObject", BASE64URL.encode(attestation)),
            ("publicKeyCredentialId", BASE64URL.encode(ID)),
            ("authenticatorLabel", "test key".to_owned()),
            ("transports", "usb".to_owned()),
        ]
    }

    /// The fields of Keycloak's authentication form.
    pub(crate) fn touch(&self, page: &Url, challenge: &str) -> Vec<(&'static str, String)> {
        let client = client_data("webauthn.get", page, challenge);
        let data = authenticator_data(page, PRESENT);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &BASE64URL.decode(&client).unwrap()).as_ref());
        let signature = self.0.sign(&SystemRandom::new(), &signed).unwrap();
        vec![
            ("clientDataJSON", client),
            ("authenticatorData", BASE64URL.encode(data)),
            ("signature", BASE64URL.encode(signature)),
            ("credentialId", BASE64URL.encode(ID)),
        ]
    }

    /// COSE (RFC 9053): {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    fn public_key(&self) -> Vec<u8> {
        // Uncompressed: 4, x, y.
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend(x);
        key.extend(b"\x22\x58\x20");
        key.extend(y);
        key
    }
}

/// The relying party is the page's host; the counter stays 0, as of keys that do not count.
fn authenticator_data(page: &Url, flags: u8) -> Vec<u8> {
    let host = page.host_str().unwrap();
    let mut data = digest(&SHA256, host.as_bytes()).as_ref().to_vec();
    data.push(flags);
    data.extend([0; 4]);
    data
}

fn client_data(kind: &str, page: &Url, challenge: &str) -> String {
    let origin = page.origin().ascii_serialization();
    let data = json!({
        "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false,
    });
    BASE64URL.encode(data.to_string())
}
