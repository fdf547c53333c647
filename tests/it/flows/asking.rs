//! What is asked of the provider, and where a person lands.

use serde_json::{Value, json};

use super::world::{World, heading};

#[tokio::test(flavor = "multi_thread")]
async fn the_address_survives_the_sign_in() {
    let mut world = World::new().await;
    let typed = world.lands("/deep/link?a=1&b=%20x", "alice").await;
    assert_eq!(typed, ["password"]);
    let hit = world.last_hit();
    assert_eq!(hit.target, "/deep/link?a=1&b=%20x");
    assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
    assert_eq!(hit.header("x-level"), "password");
    assert_eq!(hit.header("cookie"), "", "our own cookies stay here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_asks_nobody() {
    let mut world = World::new().await;
    let page = world.open("/public/a.css").await;
    world.is_app(&page, "/public/a.css");
    assert_eq!(world.asked(), 0);
    assert_eq!(world.last_hit().header("x-forwarded-user"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trip_where_the_first_page_needs_more() {
    let mut world = World::new().await;
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    assert_eq!(world.asked(), 1);
    let asked = world.last_asked();
    assert_eq!(asked["acr_values"], "mfa");
    assert_eq!(asked["prompt"], "login");
    assert_eq!(asked["scope"], "openid");
    assert_eq!(asked["ui_locales"], "en");
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked.contains_key("nonce") && asked.contains_key("state"));
    assert!(!asked.contains_key("login_hint"), "nobody is known yet");
    assert_eq!(
        world.levels().await,
        "password=proven mfa=proven hardware-key=missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_asks_for_its_level_of_the_known_user() {
    let mut world = World::signed_in("alice", "/").await;
    let (status, problem) = world.fetch("GET", "/mfa/x").await;
    assert_eq!((status, &problem["code"]), (401, &json!("step-up")));
    assert_eq!(problem["have"], "password");
    assert_eq!(problem["need"], json!({ "level": "mfa" }));

    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    let asked = world.last_asked();
    assert_eq!(asked["acr_values"], "mfa");
    assert_eq!(asked["login_hint"], "alice");
    assert_eq!(world.last_hit().header("x-level"), "mfa");
    assert_eq!(world.status("/mfa/y").await, 200);
    assert_eq!(world.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_always_asked_level_asks_only_for_what_is_missing() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    assert_eq!(world.lands("/key/x", "alice").await, ["key"]);
    let asked = world.last_asked();
    assert_eq!(asked["acr_values"], "phr");
    assert!(!asked.contains_key("prompt"));
    world.clock.advance(301);
    assert_eq!(
        world.levels().await,
        "password=proven mfa=proven hardware-key=lapsed"
    );
    assert_eq!(
        world.lands("/key/x", "alice").await,
        ["code", "key"],
        "the realm's level 2 has lapsed as well"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_decays_by_itself_and_the_session_lives_on() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    world.clock.advance(30 * 60);
    assert_eq!(world.status("/mfa/x").await, 200, "`lasts` is inclusive");
    world.clock.advance(1);
    let (status, problem) = world.fetch("GET", "/mfa/x").await;
    assert_eq!((status, &problem["have"]), (401, &json!("password")));
    assert_eq!(world.status("/").await, 200);
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_age_is_short() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    world.clock.advance(61);
    assert_eq!(world.status("/mfa/x").await, 200);
    let (status, problem) = world.fetch("GET", "/fresh/x").await;
    assert_eq!(status, 401);
    assert_eq!(problem["need"], json!({ "level": "mfa", "max_age": 60 }));
    assert_eq!(world.lands("/fresh/x", "alice").await, ["password", "code"]);
    assert_eq!(world.last_asked()["prompt"], "login");

    // The base level too: the single sign-on session would answer at once, with the old time.
    world.clock.advance(61);
    assert_eq!(
        world.lands("/fresh-password/x", "alice").await,
        ["password"]
    );
    assert_eq!(world.last_asked()["prompt"], "login");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_factor_meets_a_condition() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    let asked = world.asked();
    for (path, reason) in [("/admin/x", "admins"), ("/office/x", "office")] {
        let page = world.open(path).await;
        assert_eq!(page.status, 403, "{}", page.text());
        assert!(page.body.contains(reason), "{}", page.text());
        assert_eq!(world.fetch("GET", path).await.1["code"], "forbidden");
    }
    // A condition that is not met is told before a level that is not there.
    let mut low = World::signed_in("alice", "/").await;
    assert_eq!(low.open("/admin/x").await.status, 403);
    assert_eq!(world.asked(), asked);
    world.audited("refusal", "groups_any").await;
    assert_eq!(
        World::new().await.lands("/admin/x", "carol").await,
        ["password", "code"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_that_is_set_up_on_the_way_was_not_used() {
    let mut world = World::signed_in("bob", "/").await;
    let walk = world.visit("/mfa/x", "bob").await;
    assert_eq!(walk.typed, ["password", "enrolment"]);
    assert_eq!(walk.page.status, 403);
    assert!(
        heading(&walk.page).contains("now use it"),
        "{}",
        walk.page.text()
    );
    assert_eq!(world.status("/mfa/x").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_not_granted_ends_at_a_page_after_one_round() {
    let mut world = World::signed_in("alice", "/").await;
    world.realm.quirks().id_claims = claims(&json!({ "acr": "pwd", "amr": ["pwd"] }));
    let walk = world.visit("/mfa/x", "alice").await;
    assert_eq!(walk.page.status, 403);
    assert!(
        walk.page.body.contains("This needs"),
        "{}",
        walk.page.text()
    );
    let asked = world.asked();
    // The same address again at once: told, not sent round in circles.
    let again = world.open("/mfa/x").await;
    assert_eq!(again.status, 403, "{}", again.text());
    assert_eq!(world.asked(), asked);
    // A person may try again, by the page's link.
    let retry = walk.page.link("/.stepgate/step-up").expect("a way on");
    let page = world.browser.open(&retry).await;
    assert_eq!(heading(&page), "Sign in", "{}", page.text());
    // The realm grants it now.
    world.realm.quirks().id_claims = claims(&json!({}));
    let walk = world.go_on(page, "alice").await;
    world.is_app(&walk.page, "/mfa/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_proves_nothing_is_repeated_once() {
    let mut world = World::new().await;
    world.realm.quirks().id_claims = claims(&json!({ "acr": "0" }));
    let walk = world.visit("/", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert_eq!(
        world.asked(),
        2,
        "once more with prompt=login, then the page"
    );
    assert_eq!(world.last_asked()["prompt"], "login");
    assert_eq!(world.levels().await, "", "nobody is signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_always_asked_level_that_was_not_asked_is_forced_from_then_on() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    world.lands("/key/x", "alice").await;
    world.clock.advance(301);
    // The realm answers from its session, with the old time.
    world.realm.quirks().skip_factors = true;
    let old = world.clock.seconds() - 301;
    world.realm.quirks().id_claims =
        claims(&json!({ "acr": "phr", "amr": ["pwd", "otp", "hwk"], "auth_time": old }));
    let walk = world.visit("/key/x", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert_eq!(
        world.last_asked()["prompt"],
        "login",
        "the second round is forced"
    );
    world.audited("alarm", "always-asked-was-not-asked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_parameters_and_the_provider_hint_go_along() {
    let mut world = World::twisted(super::world::Twist {
        policy: &[(
            "login       = {",
            "login       = { kc_idp_hint = \"partner\",",
        )],
        ..Default::default()
    })
    .await;
    world.lands("/", "alice").await;
    assert_eq!(world.last_asked()["kc_idp_hint"], "partner");
    world.lands("/mfa/x", "alice").await;
    assert_eq!(
        world.last_asked()["kc_idp_hint"],
        "partner",
        "kept over a step-up"
    );
    assert_eq!(world.last_asked()["ui_locales"], "en");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_essential_level_is_an_option() {
    let mut world = World::twisted(super::world::Twist {
        config: &[(
            "acr_values = \"mfa\", prompt",
            "acr_values = \"mfa\", essential = true, prompt",
        )],
        ..Default::default()
    })
    .await;
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
    let asked = world.last_asked();
    let wanted: Value = serde_json::from_str(asked["claims"].as_str().unwrap()).unwrap();
    assert_eq!(
        wanted["id_token"]["acr"],
        json!({ "essential": true, "values": ["mfa"] })
    );
    assert!(!asked.contains_key("acr_values"));
}

pub(super) fn claims(claims: &Value) -> serde_json::Map<String, Value> {
    claims.as_object().unwrap().clone()
}
