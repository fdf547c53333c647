//! Discovery and keys: fetched once, when they are needed, and the last good ones kept.

use super::*;

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
