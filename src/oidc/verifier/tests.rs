//! Hostile tokens, one clause each, and no kind of token passing as another.

use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::oidc::keys::KeySet;
use crate::oidc::testing::{
    CLIENT, NONCE, NOW, TestKey, access_claims, id_claims, logout_claims, unsigned,
};

const ISSUER: &str = "https://sso.example.com/realms/corp";
const ACCESS_TOKEN: &str = "the access token";

fn verifier() -> Verifier {
    Verifier::new(ISSUER, CLIENT, &["RS256", "ES256"].map(str::to_owned)).unwrap()
}

struct Realm {
    verifier: Verifier,
    key: TestKey,
    keys: KeySet,
}

impl Realm {
    fn new(key: TestKey) -> Self {
        let keys = json!({ "keys": [key.jwk("k1")] });
        Self {
            verifier: verifier(),
            keys: KeySet::parse(keys.to_string().as_bytes()).unwrap(),
            key,
        }
    }

    fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "kid": "k1" });
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        self.key.sign(header, &claims.to_string())
    }

    fn signed(&self, raw: &str) -> Result<Signed, TokenFlaw> {
        let token = self.verifier.parse(raw)?;
        let key = self.keys.find(&token.kid).ok_or(TokenFlaw::UnknownKey)??;
        token.verify(key)
    }

    fn id(&self, raw: &str) -> Result<Claims, OidcError> {
        self.verifier.id_token(self.signed(raw)?, expected())
    }

    fn access(&self, raw: &str) -> Result<Claims, TokenFlaw> {
        self.verifier.access_token(self.signed(raw)?, "u-1", now())
    }

    fn logout(&self, raw: &str) -> Result<LogoutToken, TokenFlaw> {
        self.verifier.logout_token(&self.signed(raw)?, now())
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(NOW)
}

fn expected() -> Expected<'static> {
    Expected {
        nonce: Some(NONCE),
        access_token: ACCESS_TOKEN,
        now: now(),
    }
}

/// `claims` with one of them set, or removed by `null`.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    let object = claims.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
    claims
}

#[test]
fn a_good_id_token_passes() {
    for key in [TestKey::ec(), TestKey::rsa()] {
        let realm = Realm::new(key);
        for typ in [None, Some("JWT"), Some("jwt"), Some("application/JWT")] {
            let claims = realm.id(&realm.sign(typ, &id_claims(ISSUER))).unwrap();
            assert_eq!(claims.acr(), Some("mfa"));
        }
    }
}

#[test]
fn every_default_algorithm_verifies() {
    let verifier = Verifier::new(
        ISSUER,
        CLIENT,
        &["RS256", "ES256", "PS256", "EdDSA"].map(str::to_owned),
    )
    .unwrap();
    for (key, alg) in [
        (TestKey::rsa(), "RS256"),
        (TestKey::ec(), "ES256"),
        (TestKey::rsa(), "PS256"),
        (TestKey::ed(), "EdDSA"),
    ] {
        let mut jwk = key.jwk("k1");
        jwk.as_object_mut().unwrap().remove("alg");
        let keys = json!({ "keys": [jwk] }).to_string();
        let keys = KeySet::parse(keys.as_bytes()).unwrap();
        let raw = key.sign(
            json!({ "kid": "k1", "alg": alg }),
            &id_claims(ISSUER).to_string(),
        );
        let token = verifier.parse(&raw).unwrap();
        let signed = token.verify(keys.find("k1").unwrap().unwrap()).unwrap();
        assert!(verifier.id_token(signed, expected()).is_ok(), "{alg}");
    }
}

#[test]
fn each_clause_of_an_id_token_is_held() {
    use TokenFlaw::{
        AccessTokenHash, Audience, AuthorizedParty, Expiry, IssuedAt, Issuer, Nonce, NotBefore,
        Subject, Type,
    };
    let realm = Realm::new(TestKey::ec());
    let rows: &[(&str, Value, TokenFlaw)] = &[
        ("iss", json!(null), Issuer),
        ("iss", json!("https://sso.example.com/realms/corp/"), Issuer),
        ("iss", json!("https://SSO.example.com/realms/corp"), Issuer),
        ("iss", json!([ISSUER]), Issuer),
        ("aud", json!(null), Audience),
        ("aud", json!("other"), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!(["other"]), Audience),
        ("aud", json!([CLIENT, 7]), Audience),
        ("aud", json!({ CLIENT: true }), Audience),
        ("azp", json!("other"), AuthorizedParty),
        ("azp", json!([CLIENT]), AuthorizedParty),
        ("sub", json!(null), Subject),
        ("sub", json!(""), Subject),
        ("sub", json!(7), Subject),
        ("nonce", json!(null), Nonce),
        ("nonce", json!("another"), Nonce),
        ("nonce", json!(""), Nonce),
        ("nonce", json!([NONCE]), Nonce),
        ("exp", json!(null), Expiry),
        ("exp", json!(NOW - 60), Expiry),
        ("exp", json!("1999999999"), Expiry),
        ("exp", json!(1_999_999_999.5), Expiry),
        ("exp", json!(-1), Expiry),
        ("exp", json!(u64::MAX), Expiry),
        ("exp", json!([NOW + 300]), Expiry),
        ("exp", json!(true), Expiry),
        ("iat", json!(null), IssuedAt),
        ("iat", json!("1790000000"), IssuedAt),
        ("iat", json!(-5), IssuedAt),
        ("nbf", json!(NOW + 61), NotBefore),
        ("nbf", json!("soon"), NotBefore),
        ("typ", json!("Bearer"), Type),
        ("typ", json!("Logout"), Type),
        ("typ", json!("Refresh"), Type),
        ("typ", json!(7), Type),
        ("events", json!({}), Type),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"), AccessTokenHash),
        ("at_hash", json!(7), AccessTokenHash),
    ];
    for (name, value, flaw) in rows {
        let token = realm.sign(None, &with(id_claims(ISSUER), name, value.clone()));
        assert_eq!(
            realm.id(&token),
            Err(OidcError::InvalidToken(*flaw)),
            "{name} = {value}"
        );
    }
}

#[test]
fn other_audiences_need_azp() {
    let realm = Realm::new(TestKey::ec());
    let several = with(id_claims(ISSUER), "aud", json!([CLIENT, "account"]));
    assert!(realm.id(&realm.sign(None, &several)).is_ok());
    assert_eq!(
        realm.id(&realm.sign(None, &with(several, "azp", json!(null)))),
        Err(TokenFlaw::AuthorizedParty.into())
    );
    let alone = with(id_claims(ISSUER), "azp", json!(null));
    assert!(realm.id(&realm.sign(None, &alone)).is_ok());
}

#[test]
fn a_clock_that_is_a_minute_off_is_an_outage_not_a_bad_token() {
    let realm = Realm::new(TestKey::ec());
    let issued = |offset: i64| {
        let claims = with(id_claims(ISSUER), "iat", json!(NOW + offset));
        let claims = with(claims, "exp", json!(NOW + offset + 60));
        let claims = with(claims, "nbf", json!(NOW + offset));
        realm.id(&realm.sign(None, &claims)).map(|_| ())
    };
    for good in [-60, -1, 0, 1, 60] {
        assert_eq!(issued(good), Ok(()), "{good}");
    }
    for bad in [-NOW, -86_400, -61, 61, 86_400, i64::MAX - NOW - 60] {
        assert_eq!(issued(bad), Err(Outage::Clock(bad).into()), "{bad}");
    }
}

#[test]
fn a_refresh_has_no_nonce_to_compare() {
    let realm = Realm::new(TestKey::ec());
    let token = realm.sign(None, &with(id_claims(ISSUER), "nonce", json!(null)));
    let expected = Expected {
        nonce: None,
        ..expected()
    };
    let signed = realm.signed(&token).unwrap();
    assert!(realm.verifier.id_token(signed, expected).is_ok());
}

#[test]
fn the_hash_is_that_of_the_access_token() {
    // Core appendix A.3 of the code-and-token example.
    assert_eq!(
        half_hash(
            Algorithm::RS256,
            "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
        )
        .as_deref(),
        Some("77QmUPtjPfzWtF2AnpK9RQ")
    );
    let realm = Realm::new(TestKey::ec());
    let hash = half_hash(Algorithm::ES256, ACCESS_TOKEN).unwrap();
    let claims = with(id_claims(ISSUER), "at_hash", json!(hash));
    assert!(realm.id(&realm.sign(None, &claims)).is_ok());
}

#[test]
fn what_a_level_is_read_from_may_be_anything() {
    let realm = Realm::new(TestKey::ec());
    for (name, value) in [
        ("acr", json!(2)),
        ("acr", json!(["mfa"])),
        ("amr", json!("otp")),
        ("auth_time", json!("yesterday")),
        ("auth_time", json!(-1)),
        ("auth_time", json!(u64::MAX)),
    ] {
        let claims = with(id_claims(ISSUER), name, value.clone());
        assert!(
            realm.id(&realm.sign(None, &claims)).is_ok(),
            "{name} = {value}"
        );
    }
}

#[test]
fn numbers_beyond_reading_are_refused() {
    let realm = Realm::new(TestKey::ec());
    let text = id_claims(ISSUER)
        .to_string()
        .replace(&(NOW + 300).to_string(), "1e309");
    let token = realm.key.sign(json!({ "kid": "k1" }), &text);
    assert_eq!(realm.id(&token), Err(TokenFlaw::Malformed.into()));
}

#[test]
fn the_algorithm_is_ours_to_choose() {
    let realm = Realm::new(TestKey::rsa());
    let claims = id_claims(ISSUER).to_string();
    let header = |alg: &str| json!({ "alg": alg, "kid": "k1" });

    for alg in [
        "none", "None", "", "HS256", "RS512", "PS256", "ES384", "XS256",
    ] {
        let token = realm.key.sign(header(alg), &claims);
        assert_eq!(realm.id(&token), Err(TokenFlaw::Algorithm.into()), "{alg}");
    }
    let bare = format!("{}.", unsigned(&header("none"), &claims));
    assert_eq!(realm.id(&bare), Err(TokenFlaw::Algorithm.into()));

    // The public key as the secret of an HMAC.
    let message = unsigned(&header("HS256"), &claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &realm.key.public());
    let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    assert_eq!(
        realm.id(&format!("{message}.{tag}")),
        Err(TokenFlaw::Algorithm.into())
    );

    // An algorithm that is listed, but not this key's.
    let token = realm.key.sign(header("ES256"), &claims);
    assert_eq!(realm.id(&token), Err(TokenFlaw::UnsuitableKey.into()));

    for names in [["HS256"], ["none"], ["RSA"]] {
        assert!(matches!(
            Verifier::new(ISSUER, CLIENT, &names.map(str::to_owned)),
            Err(OidcError::Misconfigured(_))
        ));
    }
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    let realm = Realm::new(TestKey::ec());
    let stranger = TestKey::ec();
    let claims = id_claims(ISSUER).to_string();
    let own = |kid: Value| {
        let header = json!({ "kid": kid, "jwk": stranger.jwk("k1"), "jku": "https://evil.example/",
            "x5u": "https://evil.example/", "x5c": ["AAAA"] });
        realm.id(&stranger.sign(header, &claims))
    };
    assert_eq!(own(json!("k1")), Err(TokenFlaw::Signature.into()));
    assert_eq!(own(json!("k2")), Err(TokenFlaw::UnknownKey.into()));
    assert_eq!(own(Value::Null), Err(TokenFlaw::KeyId.into()));
    assert_eq!(own(json!(1)), Err(TokenFlaw::Malformed.into()));
}

#[test]
fn a_critical_header_that_nobody_knows_is_refused() {
    let realm = Realm::new(TestKey::ec());
    let claims = id_claims(ISSUER).to_string();
    for crit in [json!(["b64"]), json!([]), json!("exp")] {
        let token = realm
            .key
            .sign(json!({ "kid": "k1", "crit": crit, "b64": false }), &claims);
        assert_eq!(realm.id(&token), Err(TokenFlaw::CriticalHeader.into()));
    }
}

#[test]
fn a_changed_token_is_no_token() {
    let realm = Realm::new(TestKey::ec());
    let token = realm.sign(None, &id_claims(ISSUER));
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(realm.id(&changed).is_err(), "byte {at}");
        assert!(realm.id(token.get(..at).unwrap()).is_err(), "cut at {at}");
    }
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        &format!("{token}.x"),
        &format!("{token}="),
    ] {
        assert!(realm.id(text).is_err(), "{text}");
    }
    let long = "A".repeat(TOKEN_LIMIT + 1);
    assert_eq!(realm.id(&long), Err(TokenFlaw::TooLong.into()));
}

#[test]
fn no_kind_of_token_passes_as_another() {
    let realm = Realm::new(TestKey::ec());
    // For us, in time, with the nonce: only its kind is wrong.
    let dress = |claims: Value| {
        let claims = with(claims, "aud", json!(CLIENT));
        with(claims, "nonce", json!(NONCE))
    };
    let id = realm.sign(Some("JWT"), &id_claims(ISSUER));
    let access = realm.sign(Some("JWT"), &dress(access_claims(ISSUER)));
    let at_jwt = realm.sign(Some("at+jwt"), &dress(access_claims(ISSUER)));
    let refresh = realm.sign(
        Some("JWT"),
        &dress(with(id_claims(ISSUER), "typ", json!("Refresh"))),
    );
    let logout = realm.sign(Some("logout+jwt"), &logout_claims(ISSUER));
    let dressed_logout = realm.sign(Some("logout+jwt"), &dress(logout_claims(ISSUER)));

    assert!(realm.id(&id).is_ok());
    assert_eq!(realm.access(&id), Err(TokenFlaw::Type));
    assert_eq!(realm.logout(&id), Err(TokenFlaw::Type));

    for access in [&access, &at_jwt] {
        assert!(realm.access(access).is_ok());
        assert_eq!(realm.id(access), Err(TokenFlaw::Type.into()));
        assert_eq!(realm.logout(access), Err(TokenFlaw::Type));
    }

    assert!(realm.logout(&logout).is_ok());
    for logout in [&logout, &dressed_logout] {
        assert_eq!(realm.id(logout), Err(TokenFlaw::Type.into()));
        assert_eq!(realm.access(logout), Err(TokenFlaw::Type));
    }

    assert_eq!(realm.id(&refresh), Err(TokenFlaw::Type.into()));
    assert_eq!(realm.access(&refresh), Err(TokenFlaw::Type));
    assert_eq!(realm.logout(&refresh), Err(TokenFlaw::Type));
}

#[test]
fn each_clause_of_an_access_token_is_held() {
    use TokenFlaw::{Expiry, Issuer, NotBefore, Subject, Type};
    let realm = Realm::new(TestKey::ec());
    for (name, value, flaw) in [
        ("iss", json!("https://evil.example"), Issuer),
        ("iss", json!(null), Issuer),
        ("exp", json!(null), Expiry),
        ("exp", json!(NOW - 60), Expiry),
        ("nbf", json!(NOW + 61), NotBefore),
        ("sub", json!("u-2"), Subject),
        ("sub", json!(null), Subject),
        ("typ", json!("ID"), Type),
        ("events", json!({}), Type),
    ] {
        let token = realm.sign(None, &with(access_claims(ISSUER), name, value.clone()));
        assert_eq!(realm.access(&token), Err(flaw), "{name} = {value}");
    }
}

#[test]
fn each_clause_of_a_logout_token_is_held() {
    use TokenFlaw::{Audience, Event, Expiry, IssuedAt, Issuer, Nonce, Subject, TokenId, Type};
    let realm = Realm::new(TestKey::ec());
    for (name, value, flaw) in [
        ("iss", json!("https://evil.example"), Issuer),
        ("aud", json!("other"), Audience),
        ("aud", json!(null), Audience),
        ("exp", json!(null), Expiry),
        ("exp", json!(NOW - 60), Expiry),
        ("iat", json!(null), IssuedAt),
        ("iat", json!(NOW + 61), IssuedAt),
        ("jti", json!(null), TokenId),
        ("jti", json!(""), TokenId),
        ("events", json!(null), Event),
        ("events", json!({}), Event),
        ("events", json!([LOGOUT_EVENT]), Event),
        ("events", json!({ LOGOUT_EVENT: true }), Event),
        ("nonce", json!("n"), Nonce),
        ("sub", json!(7), Subject),
        ("sid", json!(""), Subject),
        ("typ", json!("ID"), Type),
    ] {
        let token = realm.sign(
            Some("logout+jwt"),
            &with(logout_claims(ISSUER), name, value.clone()),
        );
        assert_eq!(realm.logout(&token), Err(flaw), "{name} = {value}");
    }
}

#[test]
fn a_logout_token_names_a_session_or_a_user() {
    let realm = Realm::new(TestKey::ec());
    let without = |names: &[&str]| {
        let claims = names.iter().fold(logout_claims(ISSUER), |claims, name| {
            with(claims, name, json!(null))
        });
        realm.logout(&realm.sign(Some("logout+jwt"), &claims))
    };
    assert_eq!(
        without(&[]).unwrap(),
        LogoutToken {
            sub: Some("u-1".to_owned()),
            sid: Some("s-1".to_owned()),
            jti: "j-1".to_owned(),
            issued: now(),
            expires: Timestamp::from_unix(NOW + 120),
        }
    );
    assert_eq!(without(&["sid"]).unwrap().sid, None);
    assert_eq!(without(&["sub"]).unwrap().sub, None);
    assert_eq!(without(&["sub", "sid"]), Err(TokenFlaw::Subject));
    // The header's type is enough, the claim's too, neither is not.
    assert!(without(&["typ"]).is_ok());
    let claims = logout_claims(ISSUER);
    assert!(realm.logout(&realm.sign(Some("JWT"), &claims)).is_ok());
    let claims = with(claims, "typ", json!(null));
    assert_eq!(
        realm.logout(&realm.sign(Some("JWT"), &claims)),
        Err(TokenFlaw::Type)
    );
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in "[A-Za-z0-9_.=-]{0,200}|\\PC*") {
        let realm = Realm::new(TestKey::ec());
        prop_assert!(realm.id(&text).is_err());
    }

    #[test]
    fn no_header_chooses_its_own_way(
        alg in "\\PC*|none|HS256|RS256|ES256",
        kid in "\\PC*|k1",
        typ in "\\PC*|JWT|logout[+]jwt",
    ) {
        let realm = Realm::new(TestKey::ec());
        let header = json!({ "alg": alg, "kid": kid, "typ": typ });
        let message = unsigned(&header, &id_claims(ISSUER).to_string());
        for signature in ["", "AA", &"A".repeat(86)] {
            let raw = format!("{message}.{signature}");
            prop_assert!(realm.id(&raw).is_err());
            prop_assert!(realm.logout(&raw).is_err());
        }
    }
}
