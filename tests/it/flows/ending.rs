//! Signing out: by the user, by the provider, and what an earlier flow may still do afterwards.

use serde_json::{Value, json};

use super::world::{Twist, World, heading};
use crate::keycloak::Browser;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl World {
    /// As the provider does; the status.
    async fn post_logout_token(&self, token: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let port = self.origin.rsplit(':').next().unwrap();
        let answer = client
            .post(format!(
                "http://127.0.0.1:{port}/.stepgate/backchannel-logout"
            ))
            .form(&[("logout_token", token)])
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    }

    fn logout_claims(&self, over: &Value) -> Value {
        let now = self.clock.seconds();
        let mut claims = json!({
            "iss": self.realm.issuer, "aud": "stepgate", "iat": now, "exp": now + 120, "jti": "one",
            "typ": "Logout", "sub": "sub-alice", "events": { EVENT: {} },
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_asks_first_and_ends_the_session_on_every_origin() {
    let mut world = World::signed_in("alice", "/x/set-cookie").await;
    let other = format!("{}/x", world.other);
    let page = world.browser.open(&other).await;
    assert!(
        page.body.starts_with("app "),
        "by the provider's session: {}",
        page.text()
    );
    assert_eq!(world.fetch("GET", "/a").await.0, 200);
    assert_eq!(world.last_hit().header("cookie"), "JSESSIONID=the-apps-own");

    let asking = world.open("/.stepgate/logout").await;
    assert_eq!(heading(&asking), "Sign out?");
    assert_eq!(
        world.status("/").await,
        200,
        "a link of another site signs nobody out"
    );
    let page = world.browser.submit(&asking, &[]).await;
    assert_eq!(heading(&page), "You are signed out", "{}", page.text());
    assert_eq!(world.status("/").await, 401);
    assert_eq!(
        world.browser.fetch("GET", &other).await.status(),
        401,
        "one `sid`, both apps"
    );
    world.audited("logout", "user").await;
    // The provider says so too, of what has ended already: that is no second sign-out.
    world.logged("/.stepgate/backchannel-logout").await;
    let log = world.stepgate.log("audit.log");
    assert_eq!(log.matches("\"event\":\"logout\"").count(), 1, "{log}");
    // At the provider too, and the app's own cookie is gone.
    assert_eq!(world.lands("/", "alice").await, ["password"]);
    assert_eq!(world.last_hit().header("cookie"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_signs_nobody_out() {
    let world = World::signed_in("alice", "/").await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url: reqwest::Url = world.url("/.stepgate/logout").parse().unwrap();
    let port = url.port().unwrap();
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = client
            .post(format!("http://127.0.0.1:{port}/.stepgate/logout"))
            .header("host", format!("payroll.localhost:{port}"))
            .header("cookie", world.browser.cookies_for(&url))
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
    }
    assert_eq!(world.status("/").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_ends_sessions_at_once() {
    let world = World::signed_in("alice", "/mfa/x").await;
    world.realm.end_sessions_of("alice").await;
    assert_eq!(world.status("/").await, 401);
    world.audited("logout", "back-channel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_names_a_session_or_a_user() {
    let sid = |world: &World| {
        let log = world.stepgate.log("audit.log");
        let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        line["sid"].as_str().unwrap().to_owned()
    };
    // Two browsers of one user.
    let mut world = World::signed_in("alice", "/").await;
    world.audited("login", "").await;
    let first_sid = sid(&world);
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.lands("/", "alice").await;
    let by_sid = world.logout_claims(&json!({ "sid": first_sid, "jti": "by-sid" }));
    let token = world.realm.sign("logout+jwt", &by_sid).unwrap();
    assert_eq!(world.post_logout_token(&token).await, 200);
    assert_eq!(first.fetch("GET", &world.url("/")).await.status(), 401);
    assert_eq!(world.status("/").await, 200, "the other session goes on");

    let by_sub = world.logout_claims(&json!({ "jti": "by-sub" }));
    let token = world.realm.sign("logout+jwt", &by_sub).unwrap();
    assert_eq!(world.post_logout_token(&token).await, 200);
    assert_eq!(world.status("/").await, 401);

    // The same token again ends nothing that began after it.
    world.clock.advance(2);
    world.lands("/", "alice").await;
    assert_eq!(world.post_logout_token(&token).await, 200);
    assert_eq!(world.status("/").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_that_is_none_ends_nothing() {
    let world = World::signed_in("alice", "/").await;
    let rows = [
        (
            "logout+jwt",
            json!({ "iss": "http://127.0.0.1:1/realms/demo" }),
        ),
        ("logout+jwt", json!({ "aud": "another" })),
        ("logout+jwt", json!({ "aud": null })),
        ("logout+jwt", json!({ "events": null })),
        ("logout+jwt", json!({ "events": {} })),
        ("logout+jwt", json!({ "events": [EVENT] })),
        ("logout+jwt", json!({ "nonce": "x" })),
        ("logout+jwt", json!({ "sub": null })),
        ("logout+jwt", json!({ "jti": null })),
        ("logout+jwt", json!({ "iat": null })),
        ("logout+jwt", json!({ "exp": 1_700_000_000 })),
        ("JWT", json!({ "typ": "ID" })),
    ];
    for (kind, over) in rows {
        let token = world.realm.sign(kind, &world.logout_claims(&over)).unwrap();
        assert_eq!(world.post_logout_token(&token).await, 400, "{kind} {over}");
    }
    for token in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(world.post_logout_token(token).await, 400, "{token}");
    }
    assert_eq!(world.status("/").await, 200);
    world.audited("alarm", "logout-token-refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_from_before_the_sign_out_makes_no_session() {
    let mut world = World::signed_in("alice", "/").await;
    let page = world.open("/mfa/x").await;
    world.browser.stop_at = Some(world.url("/.stepgate/callback"));
    let back = world.go_on(page, "alice").await.page;
    world.browser.stop_at = None;
    world.realm.end_sessions_of("alice").await;
    let page = world.browser.open(back.url.as_str()).await;
    assert_ne!(page.status, 303);
    assert_eq!(world.levels().await, "", "{}", page.text());
    assert_eq!(world.hit_count(), 1, "the first page, and nothing since");
}

/// The session that is in use is not the one that goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_sessions_on_one_host_and_no_more() {
    let limit = [("[log]", "[limits]\nsessions_per_subject = 2\n[log]")];
    let mut world = World::twisted(Twist {
        config: &limit,
        ..Twist::default()
    })
    .await;
    let mut browsers = Vec::new();
    for _ in 0..2 {
        world.lands("/", "alice").await;
        browsers.push(std::mem::replace(&mut world.browser, Browser::new()));
        world.clock.advance(60);
    }
    // Of another user, and of another host.
    world.lands("/", "bob").await;
    let other = format!("{}/", world.other);
    let page = world.browser.open(&other).await;
    assert!(page.body.starts_with("app "), "{}", page.text());
    let bob = std::mem::replace(&mut world.browser, browsers.remove(0));
    assert_eq!(world.status("/").await, 200);
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.clock.advance(60);

    world.lands("/", "alice").await;
    assert_eq!(world.status("/").await, 200);
    world.audited("session-ended", "sessions-per-subject").await;
    for (browser, status) in [(first, 200), (browsers.remove(0), 401), (bob, 200)] {
        let browser = std::mem::replace(&mut world.browser, browser);
        assert_eq!(world.status("/").await, status);
        world.browser = browser;
    }
}
