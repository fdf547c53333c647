//! A browser of the approver app, from its subscription to the push that it gets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use http::HeaderMap;

use super::*;
use crate::config::HostIndex;
use crate::gate::Verdict;
use crate::gate::testing::{Built, NOW, session};
use crate::model::evidence::Identity;
use crate::model::level::Rank;
use crate::model::target::{Relaxations, Target};
use crate::notify::testing::{Receiver, status};
use crate::policy::evidence::{Assumed, assumed};

const INSTALLATION: &str = r#"
version = 1
[keycloak]
issuer        = "http://127.0.0.1:1/realms/none"
client_id     = "stepgate"
client_secret = { file = "secret" }
[[levels]]
name  = "password"
base  = true
proof = { acr = "1" }
[upstreams.app]
url = "http://127.0.0.1:1"
[approver_app]
url = "http://approve.localhost"
"#;

const PUSH: &str = r#"
[channels.push]
kind          = "web-push"
vapid_key     = { file = "vapid" }
subject       = "mailto:admin@example.com"
services      = ["127.0.0.1"]
allow_private = true
"#;

const APP: &str =
    "url = \"http://app.localhost\"\nupstream = \"app\"\nrequire = { level = \"password\" }\n";

const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

/// Alice and bob are signed in to the approver app, by the cookies `alice` and `bob`.
struct World {
    gate: Arc<Gate>,
    place: HostIndex,
}

impl World {
    async fn new(channels: &str) -> Self {
        let installation = format!("{INSTALLATION}{channels}");
        let built = Built::of(&[("stepgate.toml", &installation), ("app.toml", APP)]);
        let config = built.gate.config();
        let place = config.place("approve.localhost").unwrap();
        for who in ["alice", "bob"] {
            let identity = Identity {
                iss: config.keycloak.issuer.clone(),
                sub: who.to_owned(),
                ..Identity::default()
            };
            let proven = Assumed::Proven(Duration::ZERO);
            let evidence = assumed(&config.ladder, Rank::LOWEST, proven, NOW);
            let session = session(who, "http://approve.localhost", identity, evidence);
            let hour = Duration::from_secs(3600);
            built.holds(who, session, hour).await;
        }
        Self {
            gate: built.gate,
            place,
        }
    }

    async fn asks(&self, who: &str, line: &str, origin: &str, body: &Value) -> (u16, Value) {
        let (method, path) = line.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let config = self.gate.config();
        let cookie = &config.apps[self.place.app].origins[0].cookie;
        let headers: HeaderMap = [
            (header::COOKIE, format!("{cookie}={who}")),
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::ORIGIN, origin.to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_str(&value).unwrap()))
        .collect();
        let target = Target::parse(path.as_bytes(), Relaxations::NONE).unwrap();
        let body = body.to_string();
        let incoming = Incoming {
            place: self.place,
            method: &method,
            target: &target,
            headers: &headers,
            client: "127.0.0.1".parse().unwrap(),
            certificate: None,
            request_id: "id",
            body: body.as_bytes(),
            decision_only: false,
        };
        let Verdict::Reply(reply) = self.gate.judge(&incoming).await else {
            panic!("{line} goes on to nobody");
        };
        let body = serde_json::from_slice(&reply.body).unwrap_or_default();
        (reply.status.as_u16(), body)
    }

    async fn posts(&self, who: &str, what: &str, body: &Value) -> (u16, Value) {
        let line = format!("POST /push/{what}");
        self.asks(who, &line, "http://approve.localhost", body)
            .await
    }
}

fn subscription(endpoint: &str) -> Value {
    json!({ "endpoint": endpoint, "expirationTime": null, "keys": { "p256dh": P256DH, "auth": AUTH } })
}

#[tokio::test]
async fn a_browser_is_subscribed_tried_and_let_go_by_its_user() {
    let world = World::new(PUSH).await;
    let service = Receiver::new(vec![status(201, "")]).await;
    let given = subscription(&service.url("/p/1"));
    let home = "http://approve.localhost";
    let (code, body) = world.asks("alice", "GET /push/key", home, &json!({})).await;
    assert_eq!(code, 200);
    assert_eq!(body["key"].as_str().unwrap().len(), 87);

    // Nobody is pushed to who has not subscribed.
    assert_eq!(world.posts("alice", "test", &given).await.0, 404);
    let done = world.posts("alice", "subscribe", &given).await;
    assert_eq!(done, (200, json!({ "subscribed": true })));
    assert_eq!(world.posts("bob", "test", &given).await.0, 404);
    assert_eq!(service.heard().len(), 0);
    let done = world.posts("alice", "test", &given).await;
    assert_eq!(done, (200, json!({ "sent": true })));
    assert_eq!(service.heard()[0].headers["topic"], "test");

    let done = world.posts("bob", "unsubscribe", &given).await;
    assert_eq!(done, (200, json!({ "was": false })));
    let done = world.posts("alice", "unsubscribe", &given).await;
    assert_eq!(done, (200, json!({ "was": true })));
    assert_eq!(world.posts("alice", "test", &given).await.0, 404);
}

#[tokio::test]
async fn only_a_page_of_the_app_with_somebody_signed_in_may() {
    let world = World::new(PUSH).await;
    let given = subscription("http://127.0.0.1:9/p");
    for what in ["subscribe", "unsubscribe", "test"] {
        let line = format!("POST /push/{what}");
        for origin in ["http://app.localhost", "null", "https://approve.localhost"] {
            let (code, body) = world.asks("alice", &line, origin, &given).await;
            assert_eq!(
                (code, &body["code"]),
                (403, &"cross-site".into()),
                "{origin}"
            );
        }
        let (code, body) = world.posts("mallory", what, &given).await;
        assert_eq!((code, &body["code"]), (401, &"login".into()));
        let line = format!("GET /push/{what}");
        let home = "http://approve.localhost";
        assert_eq!(world.asks("alice", &line, home, &given).await.0, 405);
    }
}

#[tokio::test]
async fn what_is_no_subscription_is_not_taken() {
    let world = World::new(PUSH).await;
    for endpoint in [
        "http://127.0.0.2/p",
        "http://localhost/p",
        "http://169.254.169.254/latest/meta-data/",
        "https://evil.example/?http://127.0.0.1/",
        "file:///etc/passwd",
    ] {
        let (code, body) = world
            .posts("alice", "subscribe", &subscription(endpoint))
            .await;
        assert_eq!(
            (code, &body["code"]),
            (400, &"push-subscription".into()),
            "{endpoint}"
        );
    }
    for body in [json!(null), json!([]), json!({ "endpoint": 7 })] {
        let (code, body) = world.posts("alice", "subscribe", &body).await;
        assert_eq!((code, &body["code"]), (400, &"push-form".into()));
    }
    let without = World::new("").await;
    let given = subscription("http://127.0.0.1:9/p");
    let (code, body) = without.posts("alice", "subscribe", &given).await;
    assert_eq!((code, &body["code"]), (404, &"no-web-push".into()));
}
