//! Where browsers are sent, pushed or not, and what they come back with.

use super::*;

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
