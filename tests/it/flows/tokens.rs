//! Tokens that are not what they should be: which evidence they leave, and that the others leave none.

use serde_json::{Value, json};

use super::asking::claims;
use super::world::{Twist, World};
use crate::harness::eventually;
use crate::keycloak::free_port;
use crate::process::Process;

const START: i64 = 1_800_000_000;

/// A sign-in for a page that needs `mfa`, with these claims in place of the provider's.
async fn signed_in_with(over: &Value) -> (World, u16, String) {
    let mut world = World::new().await;
    world.realm.quirks().id_claims = claims(over);
    let walk = world.visit("/mfa/x", "alice").await;
    let levels = world.levels().await;
    (world, walk.page.status.as_u16(), levels)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acr_counts_as_it_is_or_not_at_all() {
    let low = "password=proven mfa=missing hardware-key=missing";
    let rows = [
        (
            json!({ "acr": "mfa" }),
            200,
            "password=proven mfa=proven hardware-key=missing",
        ),
        (
            json!({ "acr": "2" }),
            200,
            "password=proven mfa=proven hardware-key=missing",
        ),
        (json!({ "acr": "pwd" }), 403, low),
        (json!({ "acr": "1" }), 403, low),
        // Not compared as numbers or text.
        (json!({ "acr": "10" }), 403, ""),
        (json!({ "acr": "MFA" }), 403, ""),
        (json!({ "acr": " mfa" }), 403, ""),
        (json!({ "acr": "mfa pwd" }), 403, ""),
        (json!({ "acr": 2 }), 403, ""),
        (json!({ "acr": ["mfa"] }), 403, ""),
        (json!({ "acr": { "value": "mfa" } }), 403, ""),
        (json!({ "acr": true }), 403, ""),
        (json!({ "acr": "" }), 403, ""),
        (json!({ "acr": null }), 403, ""),
        // The acr fits and amr does not: an enrolment, or a realm that is not what the configuration says.
        (json!({ "amr": ["pwd"] }), 403, low),
        (json!({ "amr": null }), 403, low),
        (json!({ "amr": "otp" }), 403, low),
        (json!({ "amr": [7, "OTP"] }), 403, low),
        (
            json!({ "amr": ["x", "hwk"] }),
            200,
            "password=proven mfa=proven hardware-key=missing",
        ),
    ];
    for (over, status, levels) in rows {
        let (_world, was, have) = signed_in_with(&over).await;
        assert_eq!((was, have.as_str()), (status, levels), "{over}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_counts_when_it_is_one_and_the_flow_forced_it() {
    let proven = "password=proven mfa=proven hardware-key=missing";
    let rows = [
        (json!({ "auth_time": START }), 200, proven),
        // One second of grain between two clocks.
        (json!({ "auth_time": START - 1 }), 200, proven),
        // Before the flow began: the session answered, and nobody was asked for a factor.
        (
            json!({ "auth_time": START - 2 }),
            200,
            "password=proven mfa=held hardware-key=missing",
        ),
        (json!({ "auth_time": START - 100_000 }), 403, ""),
        (json!({ "auth_time": START + 2 }), 200, proven),
        (json!({ "auth_time": START + 3 }), 403, ""),
        (json!({ "auth_time": i64::MAX }), 403, ""),
        (json!({ "auth_time": -5 }), 403, ""),
        (json!({ "auth_time": START.to_string() }), 403, ""),
        (json!({ "auth_time": 1.5 }), 403, ""),
        (json!({ "auth_time": null }), 403, ""),
    ];
    for (over, status, levels) in rows {
        let (_world, was, have) = signed_in_with(&over).await;
        if levels.is_empty() {
            assert_ne!(have, proven, "{over}");
        } else {
            assert_eq!((was, have.as_str()), (status, levels), "{over}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_fails_a_check_signs_nobody_in() {
    let rows = [
        json!({ "iss": "http://127.0.0.1:1/realms/demo" }),
        json!({ "iss": null }),
        json!({ "aud": "somebody-else" }),
        json!({ "aud": null }),
        json!({ "aud": ["stepgate", "another"], "azp": "another" }),
        json!({ "azp": "another" }),
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "exp": START - 600 }),
        json!({ "exp": null }),
        json!({ "iat": null }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "typ": "Logout" }),
    ];
    for over in rows {
        let (world, status, levels) = signed_in_with(&over).await;
        assert_eq!((status, levels.as_str()), (403, ""), "{over}");
        assert_eq!(world.hit_count(), 0, "{over}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_off_is_loud() {
    let (world, status, levels) =
        signed_in_with(&json!({ "iat": START + 61, "exp": START + 600 })).await;
    assert_eq!((status, levels.as_str()), (503, ""));
    world.audited("alarm", "clock").await;
    // Within the bound it is taken into account: the provider's clock is ahead, and so is its time.
    let ahead = json!({ "iat": START + 50, "exp": START + 600, "auth_time": START + 50 });
    let (world, status, _) = signed_in_with(&ahead).await;
    assert_eq!(status, 200);
    let (_, me) = world.fetch("GET", "/.stepgate/me").await;
    assert_eq!(me["levels"][1]["age"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_somewhere_else_is_refused() {
    let mut world = World::new().await;
    world.realm.quirks().response_iss = Some("http://127.0.0.1:1/realms/demo".to_owned());
    let walk = world.visit("/", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert_eq!(world.levels().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_rotate_at_any_time() {
    let mut world = World::signed_in("alice", "/").await;
    world.realm.rotate_keys(false).unwrap();
    assert_eq!(world.status("/").await, 200);
    // The keys are asked for again when a new one signs, once a cool-down.
    world.clock.advance(60);
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    world.clock.advance(61);
    world.realm.rotate_keys(true).unwrap();
    assert_eq!(world.lands("/fresh/x", "alice").await, ["password", "code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pushed_requests_nothing_above_the_base_level_is_proven() {
    let mut world = World::twisted(Twist {
        hide_push: true,
        ..Twist::default()
    })
    .await;
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    assert_eq!(
        world.levels().await,
        "password=proven mfa=held hardware-key=missing"
    );
    let walk = world.visit("/fresh/x", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());

    let mut strict = World::twisted(Twist {
        config: &[(
            "timeout       = \"2s\"",
            "timeout = \"2s\"\npar = \"require\"",
        )],
        hide_push: true,
        ..Twist::default()
    })
    .await;
    let walk = strict.visit("/", "alice").await;
    assert!(!walk.page.status.is_success(), "{}", walk.page.text());
    assert!(walk.typed.is_empty());
}

/// It would be a riddle why step-ups never count.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_pushed_requests_is_loud_at_the_start() {
    let world = World::twisted(Twist {
        hide_push: true,
        ..Twist::default()
    })
    .await;
    let (_, old) = world.origin.rsplit_once(':').unwrap();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "sessions"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in [
        "secret",
        "policies/payroll.toml",
        "policies/other.toml",
        "stepgate.toml",
    ] {
        let text = std::fs::read_to_string(world.stepgate.path(name)).unwrap();
        let text = text.replace(&format!(":{old}"), &format!(":{port}"));
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let process = Process::start(folder, port).await;
    eventually("a warning", || {
        let said = process.said();
        let line = said
            .lines()
            .find(|line| line.contains("offers no pushed requests"))?;
        assert!(line.contains("WARN"), "{line}");
        assert!(
            line.contains("fresh"),
            "the routes that nobody reaches: {line}"
        );
        Some(())
    })
    .await;
}

/// With a key pair of the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_may_sign_instead_of_knowing_a_secret() {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256",
        "x": BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": BASE64_URL_SAFE_NO_PAD.encode(&point[33..65]),
    });
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    let twist = |jwk| Twist {
        config: &[(
            "client_secret = { file = \"secret\" }",
            "client_key = { file = \"key.pem\" }",
        )],
        key: Some(&pem),
        jwk,
        ..Twist::default()
    };
    let mut world = World::twisted(twist(Some(&jwk))).await;
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    // The provider wants the secret, and gets a signature.
    let mut world = World::twisted(twist(None)).await;
    let page = world.open("/").await;
    assert_eq!(page.status, 502, "{}", page.text());
}
