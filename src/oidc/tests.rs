//! The provider over sockets: what is sent, and what becomes of every kind of answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::testing::{
    CLIENT, HandClock, Idp, NONCE, NOW, RSA_PEM, TestKey, access_claims, id_claims, logout_claims,
    part, provider,
};
use super::*;
use crate::config::{ClientAuth, Par};
use crate::model::session::Secret;
use crate::model::time::Timestamp;

const REDIRECT: &str = "https://erp.example.com/.stepgate/callback";

struct Setting {
    idp: Idp,
    key: TestKey,
    clock: Arc<HandClock>,
    provider: Provider,
}

impl Setting {
    async fn new() -> Self {
        let (idp, key, clock) = (Idp::start().await, TestKey::ec(), HandClock::new());
        idp.keys(&[key.jwk("k1")]);
        idp.says(
            "par",
            201,
            &json!({ "request_uri": "urn:ietf:params:oauth:request_uri:x", "expires_in": 60 }),
        );
        let provider = idp.provider(&clock);
        let setting = Self {
            idp,
            key,
            clock,
            provider,
        };
        setting.tokens(|_| ());
        setting
    }

    fn sign(&self, claims: &Value) -> String {
        self.key
            .sign(json!({ "kid": "k1", "typ": "JWT" }), &claims.to_string())
    }

    /// A good token answer, changed.
    fn tokens(&self, change: impl FnOnce(&mut Value)) {
        let mut answer = json!({
            "token_type": "Bearer", "expires_in": 300, "refresh_token": "r-2", "scope": "openid",
            "id_token": self.sign(&id_claims(&self.idp.issuer)),
            "access_token": self.sign(&access_claims(&self.idp.issuer)),
        });
        change(&mut answer);
        self.idp.says("token", 200, &answer);
    }

    async fn start(&self, provider: &Provider) -> Result<Started, OidcError> {
        let ask = [("acr_values".to_owned(), "mfa".to_owned())];
        let request = Authorization {
            redirect_uri: REDIRECT,
            ask: &ask,
            state: "the-state",
            nonce: NONCE,
            challenge: "the-challenge",
        };
        provider.start(request).await
    }

    async fn exchange(&self) -> Result<Exchange, OidcError> {
        self.provider
            .exchange("the-code", &Secret::new("the-verifier"), REDIRECT, NONCE)
            .await
    }

    async fn refresh(&self) -> Result<Exchange, RefreshError> {
        self.provider.refresh(&Secret::new("r-1")).await
    }

    /// With the key `kid`, right or not.
    async fn logout(&self, kid: &str) -> Result<LogoutToken, OidcError> {
        let claims = logout_claims(&self.idp.issuer).to_string();
        let token = self
            .key
            .sign(json!({ "kid": kid, "typ": "logout+jwt" }), &claims);
        self.provider.logout_token(&token).await
    }

    fn fetches(&self) -> usize {
        self.idp.asked("certs").len()
    }
}

fn query(url: &url::Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn is_outage<T>(result: &Result<T, OidcError>) -> bool {
    matches!(result, Err(OidcError::Unavailable(_)))
}

#[tokio::test]
async fn a_pushed_request_leaves_nothing_to_edit() {
    let setting = Setting::new().await;
    let started = setting.start(&setting.provider).await.unwrap();
    assert!(started.pushed);
    assert!(started.url.as_str().starts_with(&setting.idp.issuer));
    assert_eq!(
        query(&started.url),
        HashMap::from([
            ("client_id".to_owned(), CLIENT.to_owned()),
            (
                "request_uri".to_owned(),
                "urn:ietf:params:oauth:request_uri:x".to_owned()
            ),
        ])
    );

    let pushed = setting.idp.asked("par").remove(0);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid"),
        ("state", "the-state"),
        ("nonce", NONCE),
        ("code_challenge", "the-challenge"),
        ("code_challenge_method", "S256"),
        ("acr_values", "mfa"),
    ] {
        assert_eq!(
            pushed.form.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(pushed.head.contains("authorization: Basic c3RlcGdhdGU6"));
    // Keycloak refuses calls whose `Origin` is not in the client's list.
    assert!(!pushed.head.contains("\r\norigin:"));
}

#[tokio::test]
async fn whether_to_push_is_the_configurations_to_say() {
    let setting = Setting::new().await;
    let by = |par: Par| {
        let keycloak = crate::config::Keycloak {
            par,
            ..setting.idp.keycloak()
        };
        provider(&keycloak, &setting.clock)
    };
    for (par, offered, expected) in [
        (Par::Auto, true, Some(true)),
        (Par::Auto, false, Some(false)),
        (Par::Require, true, Some(true)),
        (Par::Require, false, None),
        (Par::Off, true, Some(false)),
        (Par::Off, false, Some(false)),
    ] {
        setting.idp.discovery(|document| {
            if !offered {
                let document = document.as_object_mut().unwrap();
                document.remove("pushed_authorization_request_endpoint");
            }
        });
        let provider = by(par);
        assert_eq!(provider.status().pushes, None);
        let started = setting.start(&provider).await;
        match expected {
            None => assert!(matches!(started, Err(OidcError::Misconfigured(_)))),
            Some(pushed) => {
                let started = started.unwrap();
                assert_eq!(started.pushed, pushed, "{par:?} {offered}");
                assert_eq!(query(&started.url).contains_key("acr_values"), !pushed);
            }
        }
        assert_eq!(provider.status().pushes, Some(expected == Some(true)));
    }
}

#[tokio::test]
async fn a_push_that_fails_is_never_a_plain_request() {
    let setting = Setting::new().await;
    let refused = |code: &str| {
        Err(OidcError::Refused {
            code: code.to_owned(),
        })
    };
    let rows: &[(u16, &str, Result<(), OidcError>)] = &[
        (
            400,
            r#"{"error":"invalid_request"}"#,
            refused("invalid_request"),
        ),
        (
            401,
            r#"{"error":"unauthorized_client"}"#,
            refused("unauthorized_client"),
        ),
        (400, r#"{"error":"<b>x</b>"}"#, refused("unreadable_code")),
        (400, r#"{"error":""}"#, refused("unreadable_code")),
        (403, "<html>", Err(Outage::Status(403).into())),
        (404, "", Err(Outage::Status(404).into())),
        (429, "{}", Err(Outage::Status(429).into())),
        (500, "{}", Err(Outage::Status(500).into())),
        (
            503,
            r#"{"error":"invalid_request"}"#,
            Err(Outage::Status(503).into()),
        ),
        (302, "", Err(Outage::Status(302).into())),
        (204, "", Err(Outage::Status(204).into())),
        (201, "<html>", Err(OidcError::garbage("pushed request"))),
        (201, "{}", Err(OidcError::garbage("pushed request"))),
        (
            201,
            r#"{"request_uri":7}"#,
            Err(OidcError::garbage("pushed request")),
        ),
        (
            201,
            r#"{"request_uri":""}"#,
            Err(OidcError::garbage("request_uri")),
        ),
    ];
    for (status, body, expected) in rows {
        setting
            .idp
            .says_bytes("par", *status, body.as_bytes().to_vec(), Duration::ZERO);
        let started = setting.start(&setting.provider).await;
        assert_eq!(started.map(|_| ()), *expected, "{status} {body}");
    }
    setting
        .idp
        .says_bytes("par", 201, b"{}".to_vec(), Duration::from_secs(5));
    let started = setting.start(&setting.provider).await;
    assert_eq!(started, Err(Outage::NoAnswer.into()));
}

#[tokio::test]
async fn a_code_becomes_verified_claims() {
    let setting = Setting::new().await;
    let exchange = setting.exchange().await.unwrap();
    assert_eq!(exchange.id.acr(), Some("mfa"));
    assert_eq!(exchange.id.text("sid"), Some("s-1"));
    let access = exchange.access.unwrap();
    assert_eq!(access.lookup("realm_access.roles"), Some(&json!(["clerk"])));
    assert_eq!(exchange.refresh, Some(Secret::new("r-2")));
    assert_eq!(
        exchange.access_expires,
        Some(Timestamp::from_unix(NOW + 300))
    );
    assert_eq!(exchange.answered, Timestamp::from_unix(NOW));
    assert_eq!(part(exchange.id_token.reveal(), 1)["acr"], json!("mfa"));

    let asked = setting.idp.asked("token").remove(0);
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("code_verifier", "the-verifier"),
        ("redirect_uri", REDIRECT),
    ] {
        assert_eq!(
            asked.form.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(asked.head.contains("authorization: Basic c3RlcGdhdGU6"));
    assert!(!asked.form.contains_key("client_secret"));
}

#[tokio::test]
async fn a_private_key_proves_the_client_everywhere() {
    let setting = Setting::new().await;
    let keycloak = crate::config::Keycloak {
        client_auth: ClientAuth::PrivateKey {
            pem: Secret::new(RSA_PEM),
            kid: None,
        },
        ..setting.idp.keycloak()
    };
    let provider = provider(&keycloak, &setting.clock);
    setting.start(&provider).await.unwrap();
    let verifier = Secret::new("the-verifier");
    provider
        .exchange("the-code", &verifier, REDIRECT, NONCE)
        .await
        .unwrap();
    provider.refresh(&Secret::new("r-1")).await.unwrap();

    let asked = [setting.idp.asked("par"), setting.idp.asked("token")].concat();
    assert_eq!(asked.len(), 3);
    let mut ids = Vec::new();
    for call in asked {
        assert!(!call.head.contains("authorization:"));
        let claims = part(&call.form["client_assertion"], 1);
        assert_eq!(claims["aud"], json!(setting.idp.issuer));
        ids.push(claims["jti"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_login_needs_a_good_id_token() {
    let setting = Setting::new().await;
    let issuer = setting.idp.issuer.clone();
    let with = |name: &str, value: Value| {
        let mut claims = id_claims(&issuer);
        claims[name] = value;
        setting.sign(&claims)
    };
    for (token, expected) in [
        (with("nonce", json!("another")), TokenFlaw::Nonce.into()),
        (with("iss", json!("https://evil")), TokenFlaw::Issuer.into()),
        (with("iat", json!(NOW + 90)), Outage::Clock(90).into()),
        (with("iat", json!(NOW - 90)), Outage::Clock(-90).into()),
        ("opaque".to_owned(), TokenFlaw::Malformed.into()),
    ] {
        setting.tokens(|answer| answer["id_token"] = json!(token));
        let result: Result<(), OidcError> = setting.exchange().await.map(|_| ());
        assert_eq!(result, Err(expected));
    }
    setting.tokens(|answer| {
        answer.as_object_mut().unwrap().remove("id_token");
    });
    assert_eq!(
        setting.exchange().await.unwrap_err(),
        OidcError::garbage("no ID token")
    );
}

#[tokio::test]
async fn an_access_token_is_read_when_it_can_be_verified() {
    let setting = Setting::new().await;
    let issuer = setting.idp.issuer.clone();
    let mut lightweight = access_claims(&issuer);
    lightweight.as_object_mut().unwrap().remove("sub");
    let symmetric = setting.key.sign(
        json!({ "alg": "HS512", "kid": "hs" }),
        &access_claims(&issuer).to_string(),
    );
    for opaque in [
        "opaque".to_owned(),
        "a.b.c".to_owned(),
        symmetric,
        setting.sign(&lightweight),
    ] {
        setting.tokens(|answer| answer["access_token"] = json!(opaque));
        assert_eq!(setting.exchange().await.unwrap().access, None, "{opaque}");
    }

    let mut other = access_claims(&issuer);
    other["sub"] = json!("u-2");
    let stranger = TestKey::ec().sign(json!({ "kid": "k1" }), &access_claims(&issuer).to_string());
    for (token, flaw) in [
        (setting.sign(&other), TokenFlaw::Subject),
        (stranger, TokenFlaw::Signature),
        (setting.sign(&id_claims(&issuer)), TokenFlaw::Type),
    ] {
        setting.tokens(|answer| answer["access_token"] = json!(token));
        assert_eq!(setting.exchange().await.unwrap_err(), flaw.into());
    }
}

#[tokio::test]
async fn what_the_token_endpoint_may_say_instead() {
    let setting = Setting::new().await;
    setting.exchange().await.unwrap();
    let huge = format!("{{\"access_token\":\"{}\"}}", "x".repeat(300 * 1024));
    // Status, answer; what a login makes of it; whether a refresh token is gone (`None`: the session is over).
    let garbage = || OidcError::garbage("token answer");
    let refused = |code: &str| OidcError::Refused {
        code: code.to_owned(),
    };
    let rows: &[(u16, &str, OidcError, Option<bool>)] = &[
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Session not active"}"#,
            refused("invalid_grant"),
            None,
        ),
        (
            401,
            r#"{"error":"invalid_grant"}"#,
            refused("invalid_grant"),
            None,
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            refused("invalid_client"),
            Some(false),
        ),
        (
            401,
            r#"{"error":"unauthorized_client"}"#,
            refused("unauthorized_client"),
            Some(false),
        ),
        (
            400,
            r#"{"error":"Invalid Grant"}"#,
            refused("unreadable_code"),
            Some(true),
        ),
        (
            500,
            r#"{"error":"invalid_grant"}"#,
            Outage::Status(500).into(),
            Some(true),
        ),
        (502, "<html>", Outage::Status(502).into(), Some(true)),
        (503, "", Outage::Status(503).into(), Some(true)),
        (
            429,
            r#"{"error":"invalid_grant"}"#,
            Outage::Status(429).into(),
            Some(true),
        ),
        (200, r#"{"error":"invalid_grant"}"#, garbage(), Some(true)),
        (400, "invalid_grant", garbage(), Some(true)),
        (400, "", garbage(), Some(true)),
        (404, "<html>", garbage(), Some(true)),
        (302, "", garbage(), Some(true)),
        (200, "", garbage(), Some(true)),
        (200, "<html>", garbage(), Some(true)),
        (200, "{}", garbage(), Some(true)),
        (200, "[]", garbage(), Some(true)),
        (200, &huge, OidcError::garbage("too long"), Some(true)),
    ];
    for (status, body, cause, used) in rows {
        setting
            .idp
            .says_bytes("token", *status, body.as_bytes().to_vec(), Duration::ZERO);
        let shown = format!("{status} {}", body.get(..40).unwrap_or(body));
        assert_eq!(&setting.exchange().await.unwrap_err(), cause, "{shown}");
        let expected = match used {
            None => RefreshError::Refused,
            Some(maybe_used) => RefreshError::Unavailable {
                maybe_used: *maybe_used,
                cause: cause.clone(),
            },
        };
        assert_eq!(setting.refresh().await.unwrap_err(), expected, "{shown}");
    }
}

#[tokio::test]
async fn a_slow_or_missing_provider_says_nothing_of_the_user() {
    let setting = Setting::new().await;
    setting.refresh().await.unwrap();
    setting.idp.says_bytes(
        "token",
        400,
        br#"{"error":"invalid_grant"}"#.to_vec(),
        Duration::from_secs(5),
    );
    assert_eq!(
        setting.refresh().await.unwrap_err(),
        RefreshError::Unavailable {
            maybe_used: true,
            cause: Outage::NoAnswer.into()
        }
    );

    // Nothing listens there: nothing was sent.
    setting
        .idp
        .discovery(|document| document["token_endpoint"] = json!("http://127.0.0.1:1/token"));
    let elsewhere = setting.idp.provider(&setting.clock);
    assert_eq!(
        elsewhere.refresh(&Secret::new("r-1")).await.unwrap_err(),
        RefreshError::Unavailable {
            maybe_used: false,
            cause: Outage::Unreachable.into()
        }
    );
}

#[tokio::test]
async fn a_refresh_brings_new_tokens_without_a_nonce() {
    let setting = Setting::new().await;
    let mut claims = id_claims(&setting.idp.issuer);
    claims.as_object_mut().unwrap().remove("nonce");
    claims["acr"] = json!("pwd");
    let token = setting.sign(&claims);
    setting.tokens(|answer| {
        answer["id_token"] = json!(token);
        answer.as_object_mut().unwrap().remove("refresh_token");
    });
    let refreshed = setting.refresh().await.unwrap();
    assert_eq!(refreshed.id.acr(), Some("pwd"));
    assert_eq!(refreshed.refresh, None);
    let asked = setting.idp.asked("token").remove(0);
    assert_eq!(asked.form["grant_type"], "refresh_token");
    assert_eq!(asked.form["refresh_token"], "r-1");

    claims["iss"] = json!("https://evil");
    let token = setting.sign(&claims);
    setting.tokens(|answer| answer["id_token"] = json!(token));
    assert!(matches!(
        setting.refresh().await,
        Err(RefreshError::Unavailable {
            maybe_used: true,
            ..
        })
    ));
}

#[tokio::test]
async fn keycloak_may_be_down_at_the_start() {
    let setting = Setting::new().await;
    let discovery = ".well-known/openid-configuration";
    setting.idp.says(discovery, 503, &json!({}));
    assert!(!setting.provider.status().ready);
    assert!(is_outage(&setting.exchange().await));
    assert!(is_outage(&setting.start(&setting.provider).await));
    assert!(is_outage(&setting.provider.check_iss(None).await));
    assert_eq!(
        setting.idp.asked(discovery).len(),
        1,
        "asked once in the cool-down"
    );

    setting.idp.discovery(|_| ());
    assert!(is_outage(&setting.exchange().await), "still cooling down");
    setting.clock.forward(1);
    setting.exchange().await.unwrap();
    assert!(setting.provider.status().ready);
}

#[tokio::test]
async fn the_background_task_finds_keycloak_and_keeps_what_was_good() {
    let setting = Setting::new().await;
    let discovery = ".well-known/openid-configuration";
    setting.idp.says(discovery, 503, &json!({}));
    let provider = Arc::new(setting.idp.provider(&setting.clock));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move {
            let stopped = async {
                let _ = stopped.await;
            };
            provider.keep_fresh(stopped).await;
        }
    });
    while setting.idp.asked(discovery).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    setting.idp.discovery(|_| ());
    while !provider.status().ready {
        // Not once: the failure may be noted after it, and the pause begins then.
        setting.clock.forward(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    task.await.unwrap();

    setting.idp.says(discovery, 200, &json!({ "issuer": "x" }));
    setting.clock.forward(600);
    let before = setting.idp.asked(discovery).len();
    let asked_again = async {
        while setting.idp.asked(discovery).len() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Time to read the answer.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    provider.keep_fresh(asked_again).await;
    assert!(provider.status().ready);
    assert!(setting.start(&provider).await.unwrap().pushed);
}

#[tokio::test]
async fn discovery_of_another_issuer_is_not_believed() {
    let setting = Setting::new().await;
    setting
        .idp
        .discovery(|document| document["issuer"] = json!("https://evil.example"));
    assert!(matches!(
        setting.start(&setting.provider).await,
        Err(OidcError::Misconfigured(_))
    ));
}

#[tokio::test]
async fn a_crowd_asks_once() {
    let setting = Setting::new().await;
    setting.exchange().await.unwrap();
    assert_eq!(
        setting.idp.asked(".well-known/openid-configuration").len(),
        1
    );
    assert_eq!(setting.fetches(), 1);

    setting.clock.forward(10);
    setting.idp.keys(&[setting.key.jwk("k2")]);
    let results = join_all((0..20).map(|_| setting.logout("k2"))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(setting.fetches(), 2);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_seen() {
    let setting = Setting::new().await;
    setting.logout("k1").await.unwrap();
    setting.clock.forward(10);

    setting
        .idp
        .keys(&[setting.key.jwk("k1"), setting.key.jwk("k2")]);
    setting.logout("k2").await.unwrap();
    setting.logout("k1").await.unwrap();
    assert_eq!(setting.fetches(), 2);

    // A key that the provider deleted is deleted here with the next fetch.
    setting.clock.forward(10);
    setting.idp.keys(&[setting.key.jwk("k2")]);
    assert_eq!(
        setting.logout("k3").await,
        Err(TokenFlaw::UnknownKey.into())
    );
    setting.clock.forward(10);
    assert_eq!(
        setting.logout("k1").await,
        Err(TokenFlaw::UnknownKey.into())
    );
}

#[tokio::test]
async fn unknown_keys_cost_one_fetch_a_cool_down() {
    let setting = Setting::new().await;
    setting.logout("k1").await.unwrap();
    for n in 0..20 {
        let unknown = setting.logout(&format!("x{n}")).await;
        assert_eq!(unknown, Err(Outage::CoolingDown.into()));
    }
    assert_eq!(setting.fetches(), 1);

    setting.clock.forward(9);
    assert!(is_outage(&setting.logout("x").await));
    setting.clock.forward(1);
    assert_eq!(setting.logout("x").await, Err(TokenFlaw::UnknownKey.into()));
    assert_eq!(setting.fetches(), 2);

    // A clock that was set back does not stretch it.
    setting.clock.forward(-86_400);
    assert_eq!(setting.logout("x").await, Err(TokenFlaw::UnknownKey.into()));
    assert_eq!(setting.fetches(), 3);
}

#[tokio::test]
async fn strangers_cannot_make_an_answer_wait_for_its_key() {
    let setting = Setting::new().await;
    setting.logout("k1").await.unwrap();
    assert!(is_outage(&setting.logout("x").await), "cooling down");
    let stranger = TestKey::ec();
    let sign = |claims: &Value| stranger.sign(json!({ "kid": "k2" }), &claims.to_string());
    setting.tokens(|answer| {
        answer["id_token"] = json!(sign(&id_claims(&setting.idp.issuer)));
        answer["access_token"] = json!(sign(&access_claims(&setting.idp.issuer)));
    });
    setting
        .idp
        .keys(&[setting.key.jwk("k1"), stranger.jwk("k2")]);
    setting.refresh().await.unwrap();
    assert_eq!(setting.fetches(), 2);
}

#[tokio::test]
async fn the_last_good_keys_stay() {
    let setting = Setting::new().await;
    setting.logout("k1").await.unwrap();
    let huge = [b' '; 65 * 1024].to_vec();
    for (status, body) in [
        (500, b"{}".to_vec()),
        (200, b"<html>".to_vec()),
        (200, br#"{"keys":[]}"#.to_vec()),
        (301, Vec::new()),
        (200, huge),
    ] {
        setting.clock.forward(10);
        setting
            .idp
            .says_bytes("certs", status, body, Duration::ZERO);
        assert!(is_outage(&setting.logout("k2").await));
        setting.logout("k1").await.unwrap();
    }
    setting.clock.forward(10);
    setting.idp.keys(&[setting.key.jwk("k2")]);
    setting.logout("k2").await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_fetch() {
    let setting = Setting::new().await;
    setting.logout("k1").await.unwrap();
    setting.clock.forward(10);
    let keys = json!({ "keys": [setting.key.jwk("k2")] }).to_string();
    setting
        .idp
        .says_bytes("certs", 200, keys.into_bytes(), Duration::from_millis(100));
    let impatient = tokio::time::timeout(Duration::from_millis(20), setting.logout("k2")).await;
    assert!(impatient.is_err());
    setting.logout("k2").await.unwrap();
    assert_eq!(setting.fetches(), 2);
}

#[tokio::test]
async fn the_issuer_on_return_is_required_where_it_is_promised() {
    let setting = Setting::new().await;
    let issuer = setting.idp.issuer.clone();
    let provider = &setting.provider;
    assert_eq!(provider.check_iss(Some(&issuer)).await, Ok(()));
    for returned in [None, Some("https://evil.example")] {
        assert_eq!(
            provider.check_iss(returned).await,
            Err(OidcError::ForeignResponse)
        );
    }
    setting.idp.discovery(|document| {
        document["authorization_response_iss_parameter_supported"] = json!(false);
    });
    let lenient = setting.idp.provider(&setting.clock);
    assert_eq!(lenient.check_iss(None).await, Ok(()));
}

#[tokio::test]
async fn logout_leads_to_the_provider_and_back() {
    let setting = Setting::new().await;
    let hint = Secret::new("the-id-token");
    let url = |provider: &Provider| {
        provider.end_session_url(&hint, "https://erp.example.com/.stepgate/signed-out", "s t")
    };
    assert_eq!(url(&setting.provider), None, "nothing is known yet");
    setting.exchange().await.unwrap();
    let url = url(&setting.provider).unwrap();
    assert!(
        url.as_str()
            .starts_with(&format!("{}/logout?", setting.idp.issuer))
    );
    let query = query(&url);
    assert_eq!(query["id_token_hint"], "the-id-token");
    assert_eq!(query["client_id"], CLIENT);
    assert_eq!(query["state"], "s t");
    assert!(query["post_logout_redirect_uri"].ends_with("/signed-out"));
}

#[tokio::test]
async fn nothing_secret_shows() {
    let setting = Setting::new().await;
    let exchange = setting.exchange().await.unwrap();
    let started = setting.start(&setting.provider).await.unwrap();
    setting.idp.says(
        "token",
        200,
        &json!({ "access_token": "leak", "id_token": 7 }),
    );
    let error = setting.exchange().await.unwrap_err();
    let shown = format!(
        "{:?} {:?} {:?} {started:?} {error:?} {error}",
        setting.provider, exchange.id_token, exchange.refresh
    );
    for secret in [
        "r-2",
        "100%",
        "request_uri:x",
        "leak",
        "eyj",
        "c3rlcgdhdgu6",
    ] {
        assert!(!shown.to_lowercase().contains(secret), "{secret}: {shown}");
    }
}
