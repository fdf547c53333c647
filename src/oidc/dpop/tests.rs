//! Proofs that prove something else.

use serde_json::json;

use super::*;
use crate::oidc::testing::{NOW, TestKey, unsigned};

const ORIGIN: &str = "https://erp.example.com";
const TOKEN: &str = "the.access.token";

struct Client {
    key: TestKey,
}

impl Client {
    fn thumbprint(&self) -> String {
        Key::embedded(&self.jwk()).unwrap().thumbprint
    }

    /// As RFC 9449 section 4.2 shows it: the public members only.
    fn jwk(&self) -> Value {
        let mut jwk = self.key.jwk("k");
        for name in ["kid", "use", "alg"] {
            jwk.as_object_mut().unwrap().remove(name);
        }
        jwk
    }

    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "jwk": self.jwk() })
    }

    fn claims() -> Value {
        let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, TOKEN.as_bytes()));
        json!({ "jti": "j-1", "htm": "POST", "htu": format!("{ORIGIN}/payments/7"), "iat": NOW, "ath": hash })
    }

    fn check(&self, header: Value, claims: &Value) -> Result<Proof, TokenFlaw> {
        self.check_raw(&self.key.sign(header, &claims.to_string()))
    }

    fn check_raw(&self, raw: &str) -> Result<Proof, TokenFlaw> {
        let proven = Proven {
            method: &Method::POST,
            origin: ORIGIN,
            path: "/payments/7",
            token: TOKEN,
            key: &self.thumbprint(),
            now: Timestamp::from_unix(NOW),
        };
        check_proof(raw, &proven, |path| {
            path.contains("%37").then(|| path.replace("%37", "7"))
        })
    }
}

fn with(mut value: Value, name: &str, to: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    if to.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), to);
    }
    value
}

#[test]
fn a_good_proof_is_told_apart_by_its_id() {
    for key in [TestKey::ec(), TestKey::ed(), TestKey::rsa()] {
        let client = Client { key };
        let proof = client.check(client.header(), &Client::claims());
        let good = Proof {
            id: "j-1".to_owned(),
            ends: Timestamp::from_unix(NOW + 60),
        };
        assert_eq!(proof, Ok(good));
    }
}

/// RFC 7638 section 3.1, and the key of RFC 9449 section 4.1.
#[test]
fn thumbprints_are_those_of_the_specifications() {
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" });
    let ec = json!({ "kty": "EC", "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" });
    let thumbprint = |jwk: &Value| Key::embedded(jwk).unwrap().thumbprint;
    assert_eq!(
        thumbprint(&rsa),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(
        thumbprint(&ec),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

#[test]
fn each_clause_is_held() {
    use TokenFlaw::{AccessTokenHash, HttpMethod, HttpUri, IssuedAt, TokenId};
    let client = Client { key: TestKey::ec() };
    let rows = [
        ("htm", json!("GET"), HttpMethod),
        ("htm", json!("post"), HttpMethod),
        ("htm", json!(null), HttpMethod),
        ("htm", json!(["POST"]), HttpMethod),
        ("htu", json!(null), HttpUri),
        ("htu", json!("/payments/7"), HttpUri),
        ("htu", json!("http://erp.example.com/payments/7"), HttpUri),
        ("htu", json!("https://crm.example.com/payments/7"), HttpUri),
        (
            "htu",
            json!("https://erp.example.com:8443/payments/7"),
            HttpUri,
        ),
        (
            "htu",
            json!("https://erp.example.com.evil.example/payments/7"),
            HttpUri,
        ),
        (
            "htu",
            json!("https://u@erp.example.com/payments/7"),
            HttpUri,
        ),
        ("htu", json!("https://erp.example.com/payments/8"), HttpUri),
        ("htu", json!("https://erp.example.com/payments/7/"), HttpUri),
        ("htu", json!("https://erp.example.com/Payments/7"), HttpUri),
        ("htu", json!("https://erp.example.com"), HttpUri),
        (
            "htu",
            json!(["https://erp.example.com/payments/7"]),
            HttpUri,
        ),
        ("iat", json!(NOW - 60), IssuedAt),
        ("iat", json!(NOW + 61), IssuedAt),
        ("iat", json!(null), IssuedAt),
        ("iat", json!("1790000000"), IssuedAt),
        ("iat", json!(1_790_000_000.5), IssuedAt),
        ("iat", json!(i64::MAX), IssuedAt),
        ("jti", json!(null), TokenId),
        ("jti", json!(""), TokenId),
        ("jti", json!(7), TokenId),
        ("jti", json!("x".repeat(257)), TokenId),
        ("ath", json!(null), AccessTokenHash),
        ("ath", json!(""), AccessTokenHash),
        (
            "ath",
            json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"),
            AccessTokenHash,
        ),
    ];
    for (name, value, flaw) in rows {
        let claims = with(Client::claims(), name, value.clone());
        assert_eq!(
            client.check(client.header(), &claims),
            Err(flaw),
            "{name} = {value}"
        );
    }
    for (name, value) in [
        ("htu", json!("https://ERP.example.com:443/payments/7?a=b#c")),
        ("htu", json!("https://erp.example.com/payments/%37")),
        ("iat", json!(NOW - 59)),
        ("iat", json!(NOW + 60)),
        ("nonce", json!("of somebody else")),
        ("jti", json!("x".repeat(256))),
    ] {
        let claims = with(Client::claims(), name, value.clone());
        assert!(
            client.check(client.header(), &claims).is_ok(),
            "{name} = {value}"
        );
    }
}

#[test]
fn only_the_bound_key_proves_and_it_is_public_and_asymmetric() {
    use TokenFlaw::{
        Algorithm, Confirmation, CriticalHeader, ProofKey, Signature, Type, UnsuitableKey,
    };
    let client = Client { key: TestKey::ec() };
    let claims = Client::claims();
    let set = |name: &str, value: Value| with(client.header(), name, value);
    for typ in [
        json!(null),
        json!("JWT"),
        json!("at+jwt"),
        json!("dpop"),
        json!("application/dpop+jwt"),
    ] {
        assert_eq!(client.check(set("typ", typ), &claims), Err(Type));
    }
    assert_eq!(
        client.check(set("crit", json!(["b64"])), &claims),
        Err(CriticalHeader)
    );
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let jwk = with(client.jwk(), name, json!("AA"));
        assert_eq!(
            client.check(set("jwk", jwk), &claims),
            Err(ProofKey),
            "{name}"
        );
    }
    let rsa = TestKey::rsa().jwk("k");
    let modulus = rsa["n"].as_str().unwrap();
    for jwk in [
        json!(null),
        json!("x"),
        json!([]),
        json!({}),
        json!({ "kty": "oct", "k": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "RSA", "n": modulus.repeat(3), "e": "AQAB" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
    ] {
        assert_eq!(
            client.check(set("jwk", jwk.clone()), &claims),
            Err(ProofKey),
            "{jwk}"
        );
    }
    // Good proofs, of others' keys.
    let other = Client { key: TestKey::ec() };
    let raw = other.key.sign(other.header(), &claims.to_string());
    assert_eq!(client.check_raw(&raw), Err(Confirmation));
    // The right key shown, and another one that signed.
    let raw = other.key.sign(client.header(), &claims.to_string());
    assert_eq!(client.check_raw(&raw), Err(Signature));
    let raw = TestKey::rsa().sign(client.header(), &claims.to_string());
    assert_eq!(client.check_raw(&raw), Err(UnsuitableKey));
    for alg in ["none", "HS256", "", "ES256K", "ES512"] {
        let message = unsigned(&set("alg", json!(alg)), &claims.to_string());
        for signature in ["", "AAAA"] {
            let raw = format!("{message}.{signature}");
            assert_eq!(client.check_raw(&raw), Err(Algorithm), "{alg}");
        }
    }
}

/// Numbers that are no keys: refused, and nothing breaks.
#[test]
fn keys_of_nonsense_are_refused() {
    let b64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    for n in [[0xff; 256], [0x80; 256]] {
        for e in [&[1][..], &[2], &[0], &[0xff; 8], &[]] {
            let jwk = json!({ "kty": "RSA", "n": b64(&n), "e": b64(e) });
            nonsense("RS256", &jwk);
            nonsense("PS256", &jwk);
        }
    }
    for x in [[0; 32], [0xff; 32], [7; 32]] {
        nonsense(
            "ES256",
            &json!({ "kty": "EC", "crv": "P-256", "x": b64(&x), "y": b64(&x) }),
        );
        nonsense(
            "EdDSA",
            &json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&x) }),
        );
    }
    nonsense(
        "ES384",
        &json!({ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" }),
    );
}

/// Signed by nobody, with a token that is bound to that very key.
fn nonsense(alg: &str, jwk: &Value) {
    let Some(key) = Key::embedded(jwk) else {
        return;
    };
    let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk });
    let message = unsigned(&header, &Client::claims().to_string());
    for length in [0, 1, 64, 96, 256] {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(vec![1; length]);
        let proven = Proven {
            method: &Method::POST,
            origin: ORIGIN,
            path: "/payments/7",
            token: TOKEN,
            key: &key.thumbprint,
            now: Timestamp::from_unix(NOW),
        };
        let proof = check_proof(&format!("{message}.{signature}"), &proven, |_| None);
        assert!(proof.is_err(), "{alg} {jwk}");
    }
}

#[test]
fn what_is_too_long_or_broken_is_not_read() {
    let client = Client { key: TestKey::ec() };
    let claims = with(Client::claims(), "pad", json!("x".repeat(PROOF_LIMIT)));
    assert_eq!(
        client.check(client.header(), &claims),
        Err(TokenFlaw::TooLong)
    );
    let good = client
        .key
        .sign(client.header(), &Client::claims().to_string());
    for length in 0..good.len() {
        assert!(
            client.check_raw(good.split_at(length).0).is_err(),
            "{length}"
        );
    }
}
