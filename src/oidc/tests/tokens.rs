//! What the token endpoint is told, and what becomes of its answers.

use super::*;

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
