//! Programs with access tokens: judged by them alone, told what they lack, and nothing else.

use serde_json::{Value, json};

use super::world::{Twist, World};
use crate::dpop::ProofKey;
use crate::harness::eventually_async;

const IDENTITY: &str = "identity    = {";
const BEARER: &str = "bearer = { audience = \"erp\" }\nidentity    = {";
const DATED: &str = "bearer = { audience = \"erp\" }\nbearer_age = \"auth_time\"\nidentity    = {";

/// An answer to a program.
#[derive(Debug)]
struct Answer {
    status: u16,
    challenges: Vec<String>,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl World {
    async fn taking(bearer: &str) -> Self {
        Self::twisted(Twist {
            policy: &[(IDENTITY, bearer)],
            ..Twist::default()
        })
        .await
    }

    /// Of alice, with `over` laid over the claims; `null` removes one.
    pub(super) fn claims(&self, over: &Value) -> Value {
        let now = self.clock.seconds();
        let mut claims = json!({
            "iss": self.realm.issuer, "sub": "sub-alice", "aud": ["account", "payroll"], "azp": "the-cli", "typ": "Bearer",
            "sid": "of-the-cli", "iat": now, "exp": now + 300, "auth_time": now - 60, "acr": "mfa", "amr": ["pwd", "otp"],
            "scope": "openid payments", "email": "alice@example.test", "groups": ["clerks"],
        });
        for (name, value) in over.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    pub(super) fn token(&self, over: &Value) -> String {
        self.realm.sign("JWT", &self.claims(over)).unwrap()
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_by("GET", path, headers).await
    }

    async fn ask_by(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = self.url(path);
        let answer = self
            .browser
            .send(method, &url, headers, String::new())
            .await;
        let challenges = answer.headers().get_all("www-authenticate").iter();
        let challenges = challenges.map(|value| value.to_str().unwrap().to_owned());
        let (status, challenges) = (answer.status().as_u16(), challenges.collect());
        let kind = answer.headers().get("content-type").cloned();
        let text = answer.text().await.unwrap();
        if status >= 400 {
            assert_eq!(kind.unwrap(), "application/problem+json", "{text}");
        }
        Answer {
            status,
            challenges,
            body: serde_json::from_str(&text).unwrap_or_default(),
        }
    }

    async fn bear(&self, path: &str, token: &str) -> Answer {
        let value = format!("Bearer {token}");
        self.ask(path, &[("authorization", &value)]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_judged_by_the_policy_as_everybody_is() {
    let pwd = json!({ "acr": "pwd", "amr": ["pwd"] });
    let old = json!({ "auth_time": 1_800_000_000 - 3600 });
    let none = json!({ "acr": null, "amr": null });
    let carol = json!({ "groups": ["admins"] });
    // path | token | status and code, without and with `bearer_age`
    let rows: [(&str, &Value, &str, &str); 14] = [
        ("/", &pwd, "200 ", "200 "),
        ("/fresh-password/1", &pwd, "200 ", "200 "),
        (
            "/fresh-password/1",
            &old,
            "401 insufficient_user_authentication",
            "401 insufficient_user_authentication",
        ),
        (
            "/",
            &none,
            "401 insufficient_user_authentication",
            "401 insufficient_user_authentication",
        ),
        ("/mfa/1", &json!({}), "200 ", "200 "),
        (
            "/mfa/1",
            &pwd,
            "401 insufficient_user_authentication",
            "401 insufficient_user_authentication",
        ),
        (
            "/mfa/1",
            &old,
            "401 insufficient_user_authentication",
            "401 insufficient_user_authentication",
        ),
        ("/fresh/1", &json!({}), "403 bearer_not_accepted", "200 "),
        (
            "/fresh/1",
            &json!({ "auth_time": 1_800_000_000 - 61 }),
            "403 bearer_not_accepted",
            "401 insufficient_user_authentication",
        ),
        (
            "/fresh/1",
            &json!({ "auth_time": null }),
            "403 bearer_not_accepted",
            "403 bearer_not_accepted",
        ),
        (
            "/fresh/1",
            &pwd,
            "403 bearer_not_accepted",
            "401 insufficient_user_authentication",
        ),
        ("/admin/1", &json!({}), "403 forbidden", "403 forbidden"),
        ("/admin/1", &carol, "200 ", "200 "),
        (
            "/key/1",
            &json!({ "acr": "phr", "amr": ["pwd", "hwk"] }),
            "200 ",
            "200 ",
        ),
    ];
    for (dated, bearer) in [(false, BEARER), (true, DATED)] {
        let world = World::taking(bearer).await;
        for (path, over, unknown, auth_time) in &rows {
            let answer = world.bear(path, &world.token(over)).await;
            let expected = if dated { auth_time } else { unknown };
            let told = format!("{} {}", answer.status, answer.code());
            assert_eq!(told, *expected, "{path} {over} {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_is_that_of_rfc_9470() {
    let world = World::taking(DATED).await;
    let pwd = world.token(&json!({ "acr": "pwd", "amr": ["pwd"] }));
    let answer = world.bear("/fresh/1", &pwd).await;
    assert_eq!(
        answer.challenges,
        [
            "Bearer realm=\"stepgate\", error=\"insufficient_user_authentication\", \
          error_description=\"This needs a stronger or more recent sign-in.\", acr_values=\"mfa\", max_age=\"60\""
        ]
    );
    let body = &answer.body;
    assert_eq!(
        body["type"],
        "https://www.rfc-editor.org/rfc/rfc9470#section-3"
    );
    assert_eq!(body["status"], 401);
    assert_eq!(body["need"], json!({ "level": "mfa", "max_age": 60 }));
    assert_eq!(body["have"], "password");
    assert_eq!(
        body["step_up"],
        format!("{}/.stepgate/step-up?level=mfa&return=%2F", world.origin)
    );
    for name in ["title", "detail", "request_id"] {
        assert!(
            body[name].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    // A page is not sent to Keycloak with a token in its hands.
    let value = format!("Bearer {pwd}");
    let page = [
        ("authorization", value.as_str()),
        ("accept", "text/html"),
        ("sec-fetch-dest", "document"),
    ];
    let answer = world.ask("/fresh/1", &page).await;
    assert_eq!(answer.code(), "insufficient_user_authentication");
    assert_eq!(world.asked(), 0);
    assert_eq!(world.hit_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_never_rescued_by_a_cookie() {
    let mut world = World::taking(BEARER).await;
    world.lands("/mfa/1", "alice").await;
    assert_eq!(world.status("/mfa/1").await, 200);
    let hits = world.hit_count();
    let expired = world.token(&json!({ "exp": world.clock.seconds() - 61 }));
    for token in ["x", "a.b.c", &expired] {
        for path in ["/", "/mfa/1", "/fresh/1"] {
            let answer = world.bear(path, token).await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "invalid_token"),
                "{path}"
            );
            let [challenge] = &answer.challenges[..] else {
                panic!("{answer:?}");
            };
            assert!(challenge.starts_with("Bearer realm=\"stepgate\", error=\"invalid_token\", "));
            // Who sends no good one learns nothing of levels.
            let text = format!("{challenge} {}", answer.body);
            for word in ["acr", "max_age", "mfa", "need", "step_up"] {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
    }
    // And a good one is not helped by the cookie's level.
    let pwd = world.token(&json!({ "acr": "pwd", "amr": ["pwd"] }));
    assert_eq!(world.bear("/mfa/1", &pwd).await.status, 401);
    assert_eq!(world.hit_count(), hits);
    // Public is public.
    assert_eq!(world.bear("/public/1", "x").await.status, 200);
    assert_eq!(world.last_hit().header("authorization"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_token_and_it_is_in_its_header() {
    let world = World::taking(BEARER).await;
    let token = world.token(&json!({}));
    let bearer = format!("Bearer {token}");
    let bearer = bearer.as_str();
    let twice = format!("{bearer}, {bearer}");
    for headers in [
        &[("authorization", bearer), ("authorization", bearer)][..],
        &[("authorization", "Basic eDp5"), ("authorization", bearer)],
        &[("authorization", bearer), ("authorization", "Basic eDp5")],
        &[("authorization", &twice)],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer  a b")],
    ] {
        let answer = world.ask("/", headers).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "invalid_request"),
            "{headers:?}"
        );
    }
    let query = format!("/?access_token={token}");
    assert_eq!(world.ask(&query, &[]).await.status, 401);
    let form = format!("access_token={token}");
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let answer = world
        .browser
        .send("POST", &world.url("/"), &kind, form)
        .await;
    assert_eq!(answer.status(), 401);
    let answer = world
        .ask("/", &[("x-access-token", &token), ("dpop", &token)])
        .await;
    assert_eq!(answer.status, 401);
    // Without a token: that one is taken, and nothing of what is demanded.
    assert_eq!(answer.code(), "login");
    let algs = "algs=\"ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512\"";
    assert_eq!(
        answer.challenges,
        [
            // For the agent in a page, which goes by the session's cookie.
            "Cookie realm=\"stepgate\"".to_owned(),
            "Bearer realm=\"stepgate\"".to_owned(),
            format!("DPoP realm=\"stepgate\", {algs}")
        ]
    );
    assert_eq!(world.hit_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_sees_of_it() {
    let basic = [("authorization", "Basic eDp5")];
    let world = World::taking(BEARER).await;
    let token = world.token(&json!({}));
    assert_eq!(world.bear("/mfa/1", &token).await.status, 200);
    let hit = world.last_hit();
    assert_eq!(hit.header("authorization"), "");
    assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
    assert_eq!(hit.header("x-forwarded-email"), "alice@example.test");
    assert_eq!(hit.header("x-forwarded-groups"), "clerks");
    assert_eq!(hit.header("x-level"), "mfa");
    let line = world.logged("/mfa/1").await;
    assert_eq!(line["credential"], "bearer");
    assert_eq!(line["azp"], "the-cli");
    assert_eq!(line["decision"], "allow");
    let signature = token.rsplit('.').next().unwrap();
    assert!(!world.stepgate.log("access.log").contains(signature));

    let mut world = World::taking(&format!("forward_token = true\n{BEARER}")).await;
    let token = world.token(&json!({}));
    world.bear("/mfa/1", &token).await;
    assert_eq!(
        world.last_hit().header("authorization"),
        format!("Bearer {token}")
    );
    world.bear("/public/1", &token).await;
    assert_eq!(world.last_hit().header("authorization"), "", "not judged");
    world.lands("/", "alice").await;
    assert_eq!(world.ask("/", &basic).await.status, 200);
    assert_eq!(world.last_hit().header("authorization"), "", "not judged");

    // Where no tokens are taken, they are the app's own business.
    let mut world = World::new().await;
    let value = format!("Bearer {}", world.token(&json!({})));
    assert_eq!(
        world.ask("/", &[("authorization", &value)]).await.status,
        401
    );
    assert_eq!(world.hit_count(), 0);
    world.lands("/", "alice").await;
    for (name, value) in [("authorization", value.as_str()), basic[0]] {
        assert_eq!(world.ask("/", &[(name, value)]).await.status, 200);
        assert_eq!(world.last_hit().header("authorization"), value);
        assert_eq!(world.logged("/").await["credential"], "cookie");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_demanded_of_everybody_and_some_of_bearers_only() {
    let bearer =
        "bearer = { audience = \"erp\", required_scopes = [\"payments\"] }\nidentity    = {";
    let mut world = World::twisted(Twist {
        policy: &[
            (IDENTITY, bearer),
            (
                "require = { level = \"mfa\" }",
                "require = { level = \"mfa\", scopes_any = [\"refunds\", \"orders\"] }",
            ),
        ],
        ..Twist::default()
    })
    .await;
    let scoped = |scope: &str| world.token(&json!({ "scope": scope }));
    for (path, scope, told) in [
        ("/", "openid payments", "200 "),
        ("/", "openid", "403 scope=\"payments\""),
        ("/", "Payments", "403 scope=\"payments\""),
        ("/", "payments2", "403 scope=\"payments\""),
        ("/", "", "403 scope=\"payments\""),
        ("/mfa/1", "payments orders", "200 "),
        ("/mfa/1", "payments", "403 scope=\"refunds orders\""),
        ("/mfa/1", "orders", "403 scope=\"payments\""),
    ] {
        let answer = world.bear(path, &scoped(scope)).await;
        let challenge = answer.challenges.first().map_or("", String::as_str);
        let asked = challenge.rsplit(", ").next().unwrap_or_default();
        assert_eq!(format!("{} {asked}", answer.status), told, "{path} {scope}");
        if answer.status == 403 {
            assert_eq!(answer.code(), "insufficient_scope");
            assert!(
                challenge.contains("error=\"insufficient_scope\""),
                "{challenge}"
            );
        }
    }
    for scope in [json!(["payments"]), json!(7), json!(null)] {
        let answer = world
            .bear("/", &world.token(&json!({ "scope": scope })))
            .await;
        assert_eq!(answer.code(), "insufficient_scope");
    }
    // A browser's session has those of its sign-in: none of the app's.
    world.lands("/", "alice").await;
    let walk = world.visit("/mfa/1", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert!(walk.page.text().contains("refunds"), "{}", walk.page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_a_key_needs_its_proof() {
    let world = World::taking(&format!("forward_token = true\n{BEARER}")).await;
    let (key, other) = (ProofKey::new(), ProofKey::new());
    let bound = world.token(&json!({ "cnf": { "jkt": key.thumbprint() } }));
    let plain = world.token(&json!({}));
    let url = world.url("/mfa/1");
    let claims = |token: &str| ProofKey::claims("GET", &url, Some(token), world.clock.seconds());
    let with = async |token: &str, proof: &str| {
        let value = format!("DPoP {token}");
        world
            .ask("/mfa/1?a=b", &[("authorization", &value), ("dpop", proof)])
            .await
    };
    let good = key.sign(&claims(&bound));
    let answer = with(&bound, &good).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let hit = world.last_hit();
    assert_eq!(hit.header("authorization"), format!("DPoP {bound}"));
    assert_eq!(hit.header("dpop"), good);
    let hits = world.hit_count();

    // Used before.
    let answer = with(&bound, &good).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_dpop_proof"));
    assert!(answer.challenges[0].starts_with("DPoP realm=\"stepgate\", algs=\"ES256 "));
    assert!(answer.challenges[0].contains(", error=\"invalid_dpop_proof\", "));
    // As if it were not bound, with and without a proof; and a token that is not, with one.
    let answer = world.bear("/mfa/1", &bound).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_token"));
    assert!(answer.challenges[0].starts_with("DPoP "), "{answer:?}");
    let value = format!("Bearer {bound}");
    let fresh = key.sign(&claims(&bound));
    let headers = [("authorization", value.as_str()), ("dpop", &fresh)];
    assert_eq!(world.ask("/mfa/1", &headers).await.code(), "invalid_token");
    let answer = with(&plain, &key.sign(&claims(&plain))).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_token"));
    // For something else.
    let now = world.clock.seconds();
    for (name, value) in [
        ("htm", json!("POST")),
        ("htu", json!(world.url("/mfa/2"))),
        ("htu", json!("http://evil.example/mfa/1")),
        ("iat", json!(now - 60)),
        ("iat", json!(now + 61)),
        ("ath", json!(null)),
        ("jti", json!(null)),
    ] {
        let mut claims = claims(&bound);
        claims[name] = value;
        let answer = with(&bound, &key.sign(&claims)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "invalid_dpop_proof"),
            "{claims}"
        );
    }
    let answer = with(&bound, &key.sign(&claims(&plain))).await;
    assert_eq!(answer.code(), "invalid_dpop_proof", "of another token");
    let answer = with(&bound, &other.sign(&claims(&bound))).await;
    assert_eq!(answer.code(), "invalid_dpop_proof", "by another key");
    // None, two, and something that is none.
    let value = format!("DPoP {bound}");
    let (one, two) = (key.sign(&claims(&bound)), key.sign(&claims(&bound)));
    for proofs in [&[][..], &[one.as_str(), two.as_str()], &["x"], &[""]] {
        let mut headers = vec![("authorization", value.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        let answer = world.ask("/mfa/1", &headers).await;
        assert_eq!(answer.code(), "invalid_dpop_proof", "{proofs:?}");
    }
    assert_eq!(world.hit_count(), hits);
    // The proof is not told of levels' ways either: a bad token is a bad token.
    let answer = with("a.b.c", &good).await;
    assert_eq!(answer.code(), "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_proofs_are_required_nothing_goes_without() {
    let bearer = "bearer = { audience = \"erp\", dpop = \"require\" }\nidentity    = {";
    let world = World::taking(bearer).await;
    let answer = world.bear("/", &world.token(&json!({}))).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_token"));
    assert!(answer.challenges[0].starts_with("DPoP "), "{answer:?}");
    let answer = world.ask("/", &[]).await;
    assert_eq!(answer.challenges.len(), 2);
    assert!(answer.challenges[0].starts_with("Cookie "), "{answer:?}");
    assert!(answer.challenges[1].starts_with("DPoP "), "{answer:?}");
    assert_eq!(world.hit_count(), 0);
}

/// No listener asks for a certificate, so nobody has one to show.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_is_bound_to_has_to_be_there() {
    let world = World::taking(BEARER).await;
    for cnf in [
        json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }),
        json!({ "kid": "x" }),
        json!({ "jwk": {} }),
        json!({}),
    ] {
        let answer = world.bear("/", &world.token(&json!({ "cnf": cnf }))).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "invalid_token"),
            "{cnf}"
        );
    }
    assert_eq!(world.hit_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tokens_of_the_realm_are_nothing() {
    let mut world = World::taking(BEARER).await;
    world.lands("/mfa/1", "alice").await;
    let hits = world.hit_count();
    let claims = |over: Value| world.claims(&over);
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    for (kind, claims) in [
        ("JWT", claims(json!({ "typ": "ID" }))),
        ("JWT", claims(json!({ "typ": "Refresh" }))),
        (
            "logout+jwt",
            claims(json!({ "typ": "Logout", "events": events })),
        ),
        ("dpop+jwt", claims(json!({}))),
        ("JWT", claims(json!({ "typ": null }))),
        ("JWT", claims(json!({ "aud": "crm" }))),
        (
            "JWT",
            claims(json!({ "iss": "http://evil.example/realms/demo" })),
        ),
        ("JWT", claims(json!({ "nbf": world.clock.seconds() + 61 }))),
        ("JWT", claims(json!({ "iat": world.clock.seconds() + 61 }))),
        ("JWT", claims(json!({ "pad": "x".repeat(17_000) }))),
    ] {
        let token = world.realm.sign(kind, &claims).unwrap();
        let answer = world.bear("/", &token).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "invalid_token"),
            "{kind} {claims}"
        );
    }
    let good = world.token(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let header = |text: &str| {
        use base64::Engine as _;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
    };
    let payload = message.split('.').nth(1).unwrap();
    for token in [
        format!("{}.{payload}.", header("{\"alg\":\"none\",\"kid\":\"k\"}")),
        format!(
            "{}.{payload}.{signature}",
            header("{\"alg\":\"HS256\",\"kid\":\"k\"}")
        ),
        format!("{message}."),
        message.to_owned(),
        good.split_at(good.len() - 3).0.to_owned(),
        format!("{good}.{good}"),
    ] {
        assert_eq!(
            world.bear("/", &token).await.code(),
            "invalid_token",
            "{token}"
        );
    }
    let value = format!("Bearer {good}");
    let url = format!("{}/", world.other);
    let headers = [("authorization", value.as_str())];
    let answer = world
        .browser
        .send("GET", &url, &headers, String::new())
        .await;
    assert_eq!(answer.status(), 401, "it is for another app");
    assert_eq!(world.hit_count(), hits);
    assert_eq!(world.bear("/", &good).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_time_its_session_and_its_key() {
    let mut world = World::taking(BEARER).await;
    let ends = async |world: &World, what: &str, token: &str| {
        eventually_async(what, async || {
            // Nobody waits for real seconds here.
            world.clock.advance(1);
            let answer = world.bear("/", token).await;
            (answer.code() == "invalid_token").then_some(())
        })
        .await;
    };
    let token = world.token(&json!({}));
    assert_eq!(world.bear("/", &token).await.status, 200);
    world.clock.advance(359);
    assert_eq!(world.bear("/", &token).await.status, 200);
    world.clock.advance(1);
    assert_eq!(world.bear("/", &token).await.code(), "invalid_token");

    // The session that the browser has as well ends, and with it what programs got in it.
    world.lands("/", "alice").await;
    let (_, me) = world.fetch("GET", "/.stepgate/me").await;
    assert!(me["levels"].is_array(), "{me}");
    let sid = world.realm.sids("alice").pop().expect("an SSO session");
    let same = world.token(&json!({ "sid": sid }));
    let other = world.token(&json!({ "sid": "another" }));
    for token in [&same, &other] {
        assert_eq!(world.bear("/", token).await.status, 200);
    }
    world.realm.end_sessions_of("alice").await;
    world.clock.advance(1);
    let answer = world.bear("/", &same).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_token"));
    assert_eq!(world.bear("/", &other).await.status, 200);

    // The key goes: noticed when the keys are read again, for whatever reason.
    let token = world.token(&json!({}));
    assert_eq!(world.bear("/", &token).await.status, 200);
    world.realm.rotate_keys(true).unwrap();
    world.clock.advance(10);
    let renewed = world.token(&json!({}));
    assert_eq!(world.bear("/", &renewed).await.status, 200);
    ends(&world, "the end of what the old key signed", &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_realm_is_away_nothing_is_invalid_and_nothing_new_is_believed() {
    let mut world = World::twisted(Twist {
        policy: &[(IDENTITY, BEARER)],
        provider_down: true,
        ..Twist::default()
    })
    .await;
    let token = world.token(&json!({}));
    let answer = world.bear("/", &token).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert_eq!(world.hit_count(), 0);
    world.provider_up().await;
    eventually_async("the keys", async || {
        world.clock.advance(1);
        let token = world.token(&json!({}));
        (world.bear("/", &token).await.status == 200).then_some(())
    })
    .await;
    let token = world.token(&json!({}));
    assert_eq!(world.bear("/", &token).await.status, 200);
    world.provider_down().await;
    // Known keys are good, and so is what they sign.
    assert_eq!(world.bear("/", &token).await.status, 200);
    assert_eq!(world.bear("/", &world.token(&json!({}))).await.status, 200);
    world.clock.advance(3601);
    let answer = world.bear("/", &world.token(&json!({}))).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
}
