//! Other settings of the client at Keycloak: keys instead of a secret, refresh tokens that are good once.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use futures_util::future::join_all;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::browser::Factor::{Code, Password};
use super::ends::refreshed;
use super::person::Person;
use super::server::keycloak;
use super::world::{Twist, World};

/// PKCS#8 in PEM, and the JWK Set for Keycloak.
fn key_pair() -> (String, String) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
    let text = BASE64_STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    // Uncompressed: 4, x, y.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let keys = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "of-the-test",
        "x": BASE64URL.encode(x), "y": BASE64URL.encode(y),
    }] });
    (pem, keys.to_string())
}

/// Pushing, the exchange of the code, and a refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_may_sign_instead_of_knowing_a_secret() {
    let Some(keycloak) = keycloak("the_client_may_sign_instead_of_knowing_a_secret").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.pem");
    let (pem, keys) = key_pair();
    std::fs::write(&file, pem).unwrap();
    let key = format!(
        "client_key = {{ file = \"{}\" }}\nclient_key_id = \"of-the-test\"",
        file.display()
    );
    let twist = Twist {
        config: &[("client_secret = { file = \"demo-client-secret\" }", &key)],
        app: "",
    };
    let mut world = World::twisted(keycloak, "signed", twist).await;
    let id = world.admin.client_id(&world.realm, "stepgate").await;
    let path = format!("/{}/clients/{id}", world.realm);
    let mut client = world.admin.get(&path).await;
    client["clientAuthenticatorType"] = json!("client-jwt");
    client["attributes"]["use.jwks.string"] = json!("true");
    client["attributes"]["jwks.string"] = json!(keys);
    client["attributes"]["token.endpoint.auth.signing.alg"] = json!("ES256");
    world.admin.put(&path, &client).await;
    world.refreshing().await;
    let mut alice = Person::alice();
    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    refreshed(&world).await;
}

/// Keycloak ends the session when a refresh token comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_use_a_refresh_token_once() {
    let Some(keycloak) = keycloak("many_requests_at_once_use_a_refresh_token_once").await else {
        return;
    };
    let mut world = World::new(keycloak, "rotation").await;
    world.refreshing().await;
    let once = json!({ "revokeRefreshToken": true, "refreshTokenMaxReuse": 0 });
    world.admin.put(&format!("/{}", world.realm), &once).await;
    world.visit("/orders", &mut Person::alice()).await;
    let url = world.url("/orders");
    for _ in 0..3 {
        let requests = (0..20).map(|_| world.browser.fetch("GET", &url));
        for answer in join_all(requests).await {
            assert_eq!(answer.status(), 200);
        }
        refreshed(&world).await;
    }
    assert_eq!(world.admin.sessions(&world.realm, "alice").await.len(), 1);
}
