//! What gets into the key set, and what spoils it.

use serde_json::json;

use super::*;
use crate::oidc::testing::TestKey;

fn set(keys: &[Value]) -> Result<KeySet, OidcError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[test]
fn signing_keys_are_found_by_their_id() {
    let keys = set(&[TestKey::ec().jwk("a"), TestKey::rsa().jwk("b")]).unwrap();
    assert!(keys.find("a").unwrap().unwrap().fits(Algorithm::ES256));
    assert!(!keys.find("a").unwrap().unwrap().fits(Algorithm::RS256));
    assert!(keys.find("b").unwrap().unwrap().fits(Algorithm::RS256));
    assert!(keys.find("c").is_none());
}

#[test]
fn alg_narrows_what_the_kind_allows() {
    let rsa = TestKey::rsa().jwk("b");
    let keys = set(std::slice::from_ref(&rsa)).unwrap();
    assert!(!keys.find("b").unwrap().unwrap().fits(Algorithm::PS256));

    let mut open = rsa.clone();
    open.as_object_mut().unwrap().remove("alg");
    let keys = set(&[open]).unwrap();
    assert!(keys.find("b").unwrap().unwrap().fits(Algorithm::PS256));

    for alg in ["ES256", "HS256", "RSA-OAEP", "none"] {
        assert!(
            set(&[with(rsa.clone(), "alg", json!(alg))]).is_err(),
            "{alg}"
        );
    }
}

#[test]
fn what_may_not_sign_is_left_out() {
    let good = TestKey::ec().jwk("good");
    let rsa = TestKey::rsa().jwk("x");
    let ec = TestKey::ec().jwk("x");
    let weak = BASE64_URL_SAFE_NO_PAD.encode([0xc5; 128]);
    let padded = BASE64_URL_SAFE_NO_PAD.encode([&[0; 128][..], &[0xc5; 128]].concat());
    let huge = BASE64_URL_SAFE_NO_PAD.encode([0xc5; 1024]);
    let mut nameless = ec.clone();
    nameless.as_object_mut().unwrap().remove("kid");
    for odd in [
        with(rsa.clone(), "use", json!("enc")),
        with(rsa.clone(), "use", json!("tls")),
        with(rsa.clone(), "n", json!(weak)),
        with(rsa.clone(), "n", json!(padded)),
        with(rsa.clone(), "n", json!(huge)),
        with(rsa.clone(), "n", json!("!")),
        with(rsa, "kty", json!("oct")),
        with(ec.clone(), "crv", json!("secp256k1")),
        with(ec.clone(), "kid", json!(7)),
        with(ec, "kty", json!("PQ")),
        json!({ "kty": "oct", "kid": "x", "k": "c2VjcmV0" }),
        json!({ "kty": "oct", "kid": "x", "k": "c2VjcmV0", "alg": "HS256", "use": "sig" }),
        nameless,
        json!(null),
        json!("key"),
        json!({}),
    ] {
        let keys = set(&[odd.clone(), good.clone()]).unwrap();
        assert!(keys.find("x").is_none(), "{odd}");
        assert!(keys.find("good").is_some(), "{odd}");
    }
}

#[test]
fn two_keys_of_one_id_are_both_refused() {
    let [a, b, c] = [(); 3].map(|()| TestKey::ec().jwk("same"));
    let keys = set(&[a.clone(), b.clone(), TestKey::ec().jwk("other")]).unwrap();
    assert_eq!(
        keys.find("same").unwrap().unwrap_err(),
        TokenFlaw::AmbiguousKey
    );
    assert!(keys.find("other").unwrap().is_ok());
    let keys = set(&[a.clone(), b, c]).unwrap();
    assert!(keys.find("same").unwrap().is_err());
    // An encryption key beside it is no rival.
    let keys = set(&[a.clone(), with(a, "use", json!("enc"))]).unwrap();
    assert!(keys.find("same").unwrap().is_ok());
}

#[test]
fn a_set_of_nothing_is_garbage() {
    for body in [
        &b""[..],
        b"<html>",
        b"{}",
        b"[]",
        br#"{"keys":[]}"#,
        br#"{"keys":{}}"#,
    ] {
        assert!(matches!(
            KeySet::parse(body),
            Err(OidcError::Unavailable(_))
        ));
    }
    let many: Vec<_> = (0..=MOST_KEYS)
        .map(|n| with(TestKey::ec().jwk("x"), "kid", json!(n.to_string())))
        .collect();
    assert!(set(&many).is_err());
    assert!(set(&many[1..]).is_ok());
}
