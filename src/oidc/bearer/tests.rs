//! Hostile access tokens, one clause each; no other kind of token passes as one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::model::seeded;
use crate::oidc::error::Outage;
use crate::oidc::provider::Provider;
use crate::oidc::testing::{
    CLIENT, HandClock, Idp, NOW, TestKey, access_claims, id_claims, logout_claims, unsigned,
};

struct Setting {
    idp: Idp,
    key: TestKey,
    clock: Arc<HandClock>,
    provider: Provider,
}

impl Setting {
    async fn new(key: TestKey) -> Self {
        let (idp, clock) = (Idp::start().await, HandClock::new());
        idp.keys(&[key.jwk("k1")]);
        let provider = idp.provider(&clock);
        Self {
            idp,
            key,
            clock,
            provider,
        }
    }

    fn claims(&self) -> Value {
        with(
            access_claims(&self.idp.issuer),
            "aud",
            json!(["account", "erp"]),
        )
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(json!({ "kid": "k1", "typ": "JWT" }), claims)
    }

    fn sign_with(&self, header: Value, claims: &Value) -> String {
        self.key.sign(header, &claims.to_string())
    }

    async fn taken(&self, raw: &str) -> Result<BearerToken, OidcError> {
        self.provider.bearer(raw, &rules()).await
    }

    async fn flaw(&self, raw: &str) -> Option<TokenFlaw> {
        match self.taken(raw).await {
            Err(OidcError::InvalidToken(flaw)) => Some(flaw),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn fetches(&self) -> usize {
        self.idp.asked("certs").len()
    }
}

fn rules() -> BearerRules {
    BearerRules::new("erp", &["RS256", "ES256"].map(str::to_owned)).unwrap()
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

#[tokio::test]
async fn a_good_token_is_read() {
    for key in [TestKey::ec(), TestKey::rsa()] {
        let setting = Setting::new(key).await;
        for typ in [
            json!("JWT"),
            json!("jwt"),
            json!("at+jwt"),
            json!("application/at+jwt"),
            json!(null),
        ] {
            let header = json!({ "kid": "k1", "typ": typ });
            let token = setting
                .taken(&setting.sign_with(header, &setting.claims()))
                .await
                .unwrap();
            assert_eq!(token.claims.text("sub"), Some("u-1"));
            assert_eq!(token.client.as_deref(), Some(CLIENT));
            assert_eq!(token.ends, Timestamp::from_unix(NOW + 360));
            assert!(token.binding.is_none());
        }
        assert_eq!(setting.fetches(), 1);
    }
}

#[tokio::test]
async fn each_clause_is_held() {
    use TokenFlaw::{
        Audience, AuthorizedParty, Confirmation, Expiry, IssuedAt, Issuer, NotBefore, Subject, Type,
    };
    let setting = Setting::new(TestKey::ec()).await;
    let slash = format!("{}/", setting.idp.issuer);
    let rows = [
        ("iss", json!(null), Issuer),
        ("iss", json!(slash), Issuer),
        ("iss", json!([setting.idp.issuer]), Issuer),
        ("iss", json!("https://evil.example/realms/corp"), Issuer),
        ("aud", json!(null), Audience),
        ("aud", json!("account"), Audience),
        ("aud", json!("ERP"), Audience),
        ("aud", json!("erp "), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!(["erp", 7]), Audience),
        ("aud", json!({ "erp": true }), Audience),
        ("sub", json!(null), Subject),
        ("sub", json!(""), Subject),
        ("sub", json!(["u-1"]), Subject),
        ("sid", json!(7), Subject),
        ("exp", json!(null), Expiry),
        ("exp", json!(NOW - 60), Expiry),
        ("exp", json!("1999999999"), Expiry),
        ("exp", json!(1_999_999_999.5), Expiry),
        ("exp", json!(-1), Expiry),
        ("exp", json!(u64::MAX), Expiry),
        ("nbf", json!(NOW + 61), NotBefore),
        ("nbf", json!("soon"), NotBefore),
        ("nbf", json!(-1), NotBefore),
        ("iat", json!(null), IssuedAt),
        ("iat", json!(NOW + 61), IssuedAt),
        ("iat", json!("1790000000"), IssuedAt),
        ("azp", json!(7), AuthorizedParty),
        ("azp", json!([CLIENT]), AuthorizedParty),
        ("azp", json!(""), AuthorizedParty),
        ("typ", json!(null), Type),
        ("typ", json!("ID"), Type),
        ("typ", json!("Refresh"), Type),
        ("typ", json!("Offline"), Type),
        ("typ", json!("Logout"), Type),
        ("typ", json!("bearer"), Type),
        ("typ", json!(["Bearer"]), Type),
        ("events", json!({}), Type),
        ("cnf", json!("jkt"), Confirmation),
        ("cnf", json!({}), Confirmation),
        ("cnf", json!({ "jkt": 7 }), Confirmation),
        ("cnf", json!({ "jkt": "" }), Confirmation),
        ("cnf", json!({ "jwk": {} }), Confirmation),
        ("cnf", json!({ "jkt": "x", "kid": "y" }), Confirmation),
        ("cnf", json!({ "kc-jkt-type": "DPoP" }), Confirmation),
        (
            "cnf",
            json!({ "jkt": "x", "kc-jkt-type": "another" }),
            Confirmation,
        ),
    ];
    for (name, value, flaw) in rows {
        let token = setting.sign(&with(setting.claims(), name, value.clone()));
        assert_eq!(setting.flaw(&token).await, Some(flaw), "{name} = {value}");
    }
    // No number at all.
    let text = setting.claims().to_string();
    let endless = text.replace(&format!("\"exp\":{}", NOW + 300), "\"exp\":1e309");
    assert_ne!(text, endless);
    let token = setting
        .key
        .sign(json!({ "kid": "k1", "typ": "JWT" }), &endless);
    assert_eq!(setting.flaw(&token).await, Some(TokenFlaw::Malformed));
    for (name, value) in [
        ("aud", json!("erp")),
        ("azp", json!(null)),
        ("sid", json!(null)),
        ("nbf", json!(NOW + 60)),
        ("iat", json!(NOW + 60)),
        ("exp", json!(NOW - 59)),
        ("typ", json!("DPoP")),
        ("cnf", json!({ "jkt": "x", "kc-jkt-type": "DPoP" })),
    ] {
        let token = setting.sign(&with(setting.claims(), name, value.clone()));
        assert_eq!(setting.flaw(&token).await, None, "{name} = {value}");
    }
}

/// RFC 8725 3.11, 3.12: whatever else the realm signs is nothing here, under any header.
#[tokio::test]
async fn tokens_that_lie_about_their_type() {
    let setting = Setting::new(TestKey::ec()).await;
    let issuer = &setting.idp.issuer;
    let for_us = |claims: Value| with(claims, "aud", json!(["erp", CLIENT]));
    let refresh = with(for_us(access_claims(issuer)), "typ", json!("Refresh"));
    let untyped = with(for_us(id_claims(issuer)), "typ", json!(null));
    for claims in [
        for_us(id_claims(issuer)),
        for_us(logout_claims(issuer)),
        refresh,
    ] {
        for typ in [
            None,
            Some("JWT"),
            Some("at+jwt"),
            Some("logout+jwt"),
            Some("dpop+jwt"),
        ] {
            let header = json!({ "kid": "k1", "typ": typ });
            let token = setting.sign_with(header, &claims);
            assert_eq!(
                setting.flaw(&token).await,
                Some(TokenFlaw::Type),
                "{typ:?} {claims}"
            );
        }
    }
    // An access token of RFC 9068 needs no claim `typ`; anything else does.
    for typ in [
        None,
        Some("JWT"),
        Some("id+jwt"),
        Some("secevent+jwt"),
        Some("at+jwt "),
    ] {
        let header = json!({ "kid": "k1", "typ": typ });
        let token = setting.sign_with(header, &untyped);
        assert_eq!(setting.flaw(&token).await, Some(TokenFlaw::Type), "{typ:?}");
    }
}

#[tokio::test]
async fn only_the_realms_keys_by_configured_algorithms_sign() {
    use TokenFlaw::{Algorithm, CriticalHeader, KeyId, Malformed, Signature, UnknownKey};
    let setting = Setting::new(TestKey::rsa()).await;
    let claims = setting.claims();
    let header = |alg: &str| json!({ "alg": alg, "kid": "k1", "typ": "JWT" });
    // With what everybody knows as the secret: the public key, in every form.
    let jwk = setting.key.jwk("k1");
    let public = BASE64_URL_SAFE_NO_PAD
        .decode(jwk["n"].as_str().unwrap())
        .unwrap();
    for secret in [
        setting.key.public(),
        public,
        jwk.to_string().into_bytes(),
        b"a secret: 100%".to_vec(),
        Vec::new(),
    ] {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let message = unsigned(&header(alg), &claims.to_string());
            let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), message.as_bytes());
            let token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(setting.flaw(&token).await, Some(Algorithm), "{alg}");
        }
    }
    for alg in [
        "none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "PS256", "ES384", "RS1", "dir",
    ] {
        let message = unsigned(&header(alg), &claims.to_string());
        for signature in ["", "AA", "e30"] {
            let token = format!("{message}.{signature}");
            assert_eq!(setting.flaw(&token).await, Some(Algorithm), "{alg}");
        }
    }
    // Whatever a token says of where its key is, it is another's.
    let other = TestKey::rsa();
    let stranger = TestKey::ec();
    for (name, value) in [
        ("jwk", stranger.jwk("k1")),
        ("jku", json!("https://evil.example/certs")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut lying = json!({ "kid": "k1", "typ": "JWT" });
        lying[name] = value;
        let token = stranger.sign(lying.clone(), &claims.to_string());
        let flaw = setting.flaw(&token).await;
        assert!(
            matches!(flaw, Some(TokenFlaw::UnsuitableKey)),
            "{name}: {flaw:?}"
        );
        let good = other.sign(lying, &claims.to_string());
        // The same key by chance: the header changes nothing.
        assert_eq!(setting.flaw(&good).await, None, "{name}");
    }
    for kid in [
        "../../../dev/null",
        "/etc/passwd",
        "k1' OR '1'='1",
        "k1\u{0}",
        "K1",
        " k1",
        "https://evil.example/k1",
        "",
    ] {
        let token = setting.sign_with(json!({ "kid": kid, "typ": "JWT" }), &claims);
        assert_eq!(setting.flaw(&token).await, Some(UnknownKey), "{kid}");
    }
    assert_eq!(setting.fetches(), 1, "within one cool-down");
    let token = setting.sign_with(json!({ "typ": "JWT" }), &claims);
    assert_eq!(setting.flaw(&token).await, Some(KeyId));
    for kid in [json!(1), json!(["k1"]), json!({ "k1": 1 })] {
        let token = setting.sign_with(json!({ "kid": kid, "typ": "JWT" }), &claims);
        assert_eq!(setting.flaw(&token).await, Some(Malformed));
    }
    let token = setting.sign_with(json!({ "kid": "k1", "crit": ["exp"] }), &claims);
    assert_eq!(setting.flaw(&token).await, Some(CriticalHeader));

    let good = setting.sign(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    for broken in [
        format!("{message}."),
        format!("{message}.{}", signature.split_at(signature.len() - 4).0),
        format!("{message}.{signature}A"),
        format!("{message}.{signature}="),
        format!("{message}.{}", signature.replace(['a', 'b', 'c'], "d")),
    ] {
        assert_eq!(setting.flaw(&broken).await, Some(Signature), "{broken}");
    }
    for length in [0, 1, message.len() / 2, message.len()] {
        let flaw = setting.flaw(good.split_at(length).0).await;
        assert!(
            matches!(flaw, Some(Malformed | Signature)),
            "{length}: {flaw:?}"
        );
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let setting = Setting::new(TestKey::ec()).await;
    let padded = |length: usize| {
        let claims = with(setting.claims(), "pad", json!("x".repeat(length)));
        setting.sign(&claims)
    };
    assert_eq!(setting.flaw(&padded(8000)).await, None);
    assert_eq!(
        setting.flaw(&padded(BEARER_LIMIT)).await,
        Some(TokenFlaw::TooLong)
    );
    assert_eq!(
        setting.flaw(&"x".repeat(BEARER_LIMIT + 1)).await,
        Some(TokenFlaw::TooLong)
    );
}

#[tokio::test]
async fn a_rotation_is_noticed_and_strangers_cannot_ask_for_keys() {
    let setting = Setting::new(TestKey::ec()).await;
    let claims = setting.claims();
    let first = setting.taken(&setting.sign(&claims)).await.unwrap();
    assert!(setting.provider.still_has(first.signer.as_ref().unwrap()));
    setting.clock.forward(10);
    let next = TestKey::ec();
    setting.idp.keys(&[next.jwk("k2")]);
    let new = next.sign(json!({ "kid": "k2", "typ": "JWT" }), &claims.to_string());
    let second = setting.taken(&new).await.unwrap();
    assert_eq!(setting.fetches(), 2);
    // The old key is gone, and with it what it signed.
    assert!(!setting.provider.still_has(first.signer.as_ref().unwrap()));
    assert!(setting.provider.still_has(second.signer.as_ref().unwrap()));
    let floods = (0..200).map(|index| {
        let header = json!({ "kid": format!("x{index}"), "typ": "JWT" });
        setting.key.sign(header, &claims.to_string())
    });
    for token in floods {
        assert_eq!(setting.flaw(&token).await, Some(TokenFlaw::UnknownKey));
    }
    assert_eq!(setting.fetches(), 2);
    // Another key under the same name is another key.
    setting.clock.forward(10);
    setting.idp.keys(&[TestKey::ec().jwk("k2")]);
    let unknown = setting
        .key
        .sign(json!({ "kid": "x", "typ": "JWT" }), &claims.to_string());
    assert_eq!(setting.flaw(&unknown).await, Some(TokenFlaw::UnknownKey));
    assert!(!setting.provider.still_has(second.signer.as_ref().unwrap()));
}

#[tokio::test]
async fn without_the_provider_its_keys_are_good_for_an_hour() {
    let setting = Setting::new(TestKey::ec()).await;
    let fresh = |setting: &Setting| {
        let claims = with(setting.claims(), "exp", json!(NOW + 10_000));
        setting.sign(&claims)
    };
    let first = setting.taken(&fresh(&setting)).await.unwrap();
    setting.idp.says("certs", 503, &json!({}));
    setting.clock.forward(3600);
    assert!(setting.taken(&fresh(&setting)).await.is_ok());
    assert!(setting.provider.still_has(first.signer.as_ref().unwrap()));
    setting.clock.forward(1);
    assert_eq!(
        setting.taken(&fresh(&setting)).await,
        Err(Outage::Status(503).into())
    );
    assert!(!setting.provider.still_has(first.signer.as_ref().unwrap()));
    setting.clock.forward(10);
    setting.idp.keys(&[setting.key.jwk("k1")]);
    assert!(setting.taken(&fresh(&setting)).await.is_ok());
}

#[tokio::test]
async fn before_the_keys_are_known_nothing_is_invalid() {
    let setting = Setting::new(TestKey::ec()).await;
    let token = setting.sign(&setting.claims());
    setting.idp.says("certs", 500, &json!({}));
    for _ in 0..2 {
        assert_eq!(setting.taken(&token).await, Err(Outage::Status(500).into()));
    }
    setting.idp.keys(&[setting.key.jwk("k1")]);
    setting.clock.forward(10);
    assert!(setting.taken(&token).await.is_ok());
}

#[test]
fn a_token_that_was_touched_is_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let setting = runtime.block_on(Setting::new(TestKey::ec()));
    let good = setting.sign(&setting.claims());
    proptest!(seeded::cases(512), |(at in 0..good.len(), byte in "[A-Za-z0-9_.=-]", cut: bool)| {
        let mut touched = good.clone();
        if cut {
            touched.truncate(at);
        } else {
            touched.replace_range(at..=at, &byte);
        }
        prop_assume!(touched != good);
        prop_assert!(runtime.block_on(setting.flaw(&touched)).is_some(), "{}", touched);
    });
}

fn lightweight(setting: &Setting) -> Value {
    json!({ "iss": setting.idp.issuer, "typ": "Bearer", "azp": "cli", "sid": "s-1",
        "iat": NOW, "exp": NOW + 300, "scope": "openid" })
}

fn told(setting: &Setting) -> Value {
    let answer = with(setting.claims(), "active", json!(true));
    with(
        with(answer, "acr", json!("mfa")),
        "auth_time",
        json!(NOW - 5),
    )
}

#[tokio::test]
async fn a_lightweight_token_is_asked_about() {
    use TokenFlaw::{Audience, Confirmation, Inactive, Issuer, Subject, Type};
    let setting = Setting::new(TestKey::ec()).await;
    setting.idp.discovery(|document| {
        document["introspection_endpoint"] = json!(format!("{}/introspect", setting.idp.issuer));
    });
    let ask = async |raw: &str| setting.provider.introspect(raw, &rules()).await;
    let raw = setting.sign(&lightweight(&setting));
    assert_eq!(setting.flaw(&raw).await, Some(Audience));

    setting.idp.says("introspect", 200, &told(&setting));
    let token = ask(&raw).await.unwrap();
    assert_eq!(token.claims.acr(), Some("mfa"));
    let asked = setting.idp.asked("introspect").remove(0);
    assert_eq!(asked.form["token"], raw);
    assert_eq!(asked.form["token_type_hint"], "access_token");
    assert!(asked.head.to_lowercase().contains("authorization: basic "));

    // What the realm did not sign, or not for this, is not even asked about.
    let other = TestKey::ec();
    let refresh = with(lightweight(&setting), "typ", json!("Refresh"));
    let expired = with(lightweight(&setting), "exp", json!(NOW - 100));
    for raw in [
        other.sign(
            json!({ "kid": "k1", "typ": "JWT" }),
            &lightweight(&setting).to_string(),
        ),
        setting.sign(&refresh),
        setting.sign(&expired),
        setting.sign(&id_claims(&setting.idp.issuer)),
        "a.b.c".to_owned(),
        format!(
            "{}.",
            unsigned(&json!({ "alg": "none", "kid": "k1" }), "{}")
        ),
    ] {
        assert!(
            matches!(ask(&raw).await, Err(OidcError::InvalidToken(_))),
            "{raw}"
        );
    }
    assert_eq!(setting.idp.asked("introspect").len(), 1);

    // What is not one at all is opaque.
    assert!(ask("opaque").await.is_ok());
    for (name, value, flaw) in [
        ("active", json!(false), Inactive),
        ("aud", json!("crm"), Audience),
        ("aud", json!(null), Audience),
        ("iss", json!("https://evil.example"), Issuer),
        ("iss", json!(null), Issuer),
        ("sub", json!(null), Subject),
        ("typ", json!("Refresh"), Type),
        ("typ", json!(null), Type),
        ("cnf", json!({ "unknown": "x" }), Confirmation),
    ] {
        setting.idp.says(
            "introspect",
            200,
            &with(told(&setting), name, value.clone()),
        );
        assert_eq!(ask("opaque").await, Err(flaw.into()), "{name} = {value}");
    }
    for (status, body) in [
        (500, json!({})),
        (200, json!([])),
        (404, json!({})),
        (401, json!({})),
    ] {
        setting.idp.says("introspect", status, &body);
        let answer = ask("opaque").await;
        assert!(
            matches!(
                answer,
                Err(OidcError::Unavailable(_) | OidcError::Misconfigured(_))
            ),
            "{status}: {answer:?}"
        );
    }
    setting
        .idp
        .says_bytes("introspect", 200, Vec::new(), Duration::from_secs(5));
    assert_eq!(ask("opaque").await, Err(Outage::NoAnswer.into()));
}

/// A step-up of the session does not raise a token that was issued before it.
#[tokio::test]
async fn a_token_that_tells_its_level_is_not_raised() {
    let setting = Setting::new(TestKey::ec()).await;
    setting.idp.discovery(|document| {
        document["introspection_endpoint"] = json!(format!("{}/introspect", setting.idp.issuer));
    });
    setting.idp.says("introspect", 200, &told(&setting));
    let raw = setting.sign(&with(setting.claims(), "acr", json!("pwd")));
    let token = setting.provider.introspect(&raw, &rules()).await.unwrap();
    assert_eq!(token.claims.acr(), Some("pwd"));
    assert_eq!(token.claims.auth_time(), None);
}
