//! Signing in and stepping up.

use super::browser::Factor::{Code, Enrolment, Key, KeyEnrolment, Password};
use super::browser::{Browser, Page};
use super::desk::Desk;
use super::person::Person;
use super::server::keycloak;
use super::world::{Twist, World};
use crate::harness::eventually_async;

/// A header as the app got it; empty where it got none.
fn header<'p>(page: &'p Page, name: &str) -> &'p str {
    let start = format!("{name}: ");
    let mut lines = page.body.lines();
    lines
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_then_a_step_up() {
    let Some(keycloak) = keycloak("a_password_then_a_step_up").await else {
        return;
    };
    let mut world = World::new(keycloak, "step-up").await;
    let mut carol = Person::carol();
    let page = world.open("/public/").await;
    assert_eq!(page.status, 200);
    assert_eq!(header(&page, "x-level"), "");

    let walk = world.visit("/orders?a=1", &mut carol).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    assert_eq!(walk.page.url.as_str(), world.url("/orders?a=1"));
    assert_eq!(header(&walk.page, "x-level"), "password");
    assert_eq!(
        header(&walk.page, "x-forwarded-preferred-username"),
        "carol"
    );
    assert_eq!(
        header(&walk.page, "x-forwarded-email"),
        "carol@example.test"
    );
    let groups = header(&walk.page, "x-forwarded-groups");
    assert!(
        ["clerks,admins", "admins,clerks"].contains(&groups),
        "{groups}"
    );
    let user = world.admin.user_id(&world.realm, "carol").await;
    assert_eq!(header(&walk.page, "x-forwarded-user"), user);
    assert_eq!(
        world.standings().await,
        "password=proven scoped=missing mfa=missing hardware-key=missing"
    );

    let walk = world.visit("/mfa/7", &mut carol).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.url.as_str(), world.url("/mfa/7"));
    assert_eq!(header(&walk.page, "x-level"), "mfa");
    let proven = "password=proven scoped=proven mfa=proven hardware-key=missing";
    assert_eq!(world.standings().await, proven);
    // Enough for these, and nothing is asked.
    for path in ["/orders", "/mfa", "/fresh-mfa", "/scoped"] {
        let page = world.open(path).await;
        assert_eq!(
            (page.status.as_u16(), header(&page, "x-level")),
            (200, "mfa"),
            "{path}"
        );
    }
    let answer = world.browser.fetch("DELETE", &world.url("/orders/1")).await;
    assert_eq!(answer.status(), 200);

    assert_eq!(
        world.decided(10).await,
        [
            "/public/ allow anonymous anonymous",
            "/orders login - password",
            "/orders allow password password",
            "/mfa/7 step-up password mfa",
            "/mfa/7 allow mfa mfa",
            "/orders allow mfa password",
            "/mfa allow mfa mfa",
            "/fresh-mfa allow mfa mfa",
            "/scoped allow mfa scoped",
            "/orders/1 allow mfa mfa",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_and_nothing_passes() {
    let Some(keycloak) = keycloak("a_program_is_told_and_nothing_passes").await else {
        return;
    };
    let mut world = World::new(keycloak, "programs").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    for (method, path) in [("GET", "/mfa"), ("DELETE", "/orders/1")] {
        let answer = world.browser.fetch(method, &world.url(path)).await;
        assert_eq!(answer.status(), 401, "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "step-up", "{problem}");
        assert_eq!(problem["have"], "password", "{problem}");
        assert_eq!(problem["need"]["level"], "mfa", "{problem}");
        // The way to it, for a person at this browser.
        let way = problem["step_up"].as_str().unwrap();
        let walk = world.browser.walk(way, &mut alice).await;
        assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
        world.browser.forget("payroll.localhost");
        let walk = world.visit("/orders", &mut alice).await;
        assert_eq!(walk.asked, [], "{}", walk.page.text());
    }
}

/// One trip for a route that needs more than a login gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_login_asks_for_what_the_route_needs() {
    let Some(keycloak) = keycloak("the_first_login_asks_for_what_the_route_needs").await else {
        return;
    };
    let mut world = World::new(keycloak, "one-trip").await;
    let walk = world.visit("/fresh-mfa", &mut Person::alice()).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_is_too_old_is_asked_again() {
    let Some(keycloak) = keycloak("a_level_that_is_too_old_is_asked_again").await else {
        return;
    };
    let mut world = World::new(keycloak, "max-age").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    older(&world, "password", 3).await;
    let walk = world.visit("/fresh-password", &mut alice).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());

    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    older(&world, "mfa", 5).await;
    assert_eq!(world.open("/mfa").await.status, 200);
    let walk = world.visit("/very-fresh-mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

/// Until the level was proven more than that many seconds ago.
async fn older(world: &World, level: &str, seconds: u64) {
    eventually_async("the level's age", async || {
        let age = world.standing(level).await.age.expect("it was proven");
        (age > seconds).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sets_a_device_up_during_the_step_up_is_then_asked_for_it() {
    let Some(keycloak) = keycloak("who_sets_a_device_up_is_then_asked_for_it").await else {
        return;
    };
    let mut world = World::new(keycloak, "enrolment").await;
    let mut bob = Person::bob();
    world.visit("/orders", &mut bob).await;
    let walk = world.visit("/mfa", &mut bob).await;
    assert_eq!(walk.asked, [Password, Enrolment], "{}", walk.page.text());
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    let missing = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, missing);
    let again = walk.page.link("/.stepgate/step-up").expect("a way on");
    let walk = world.browser.walk(&again, &mut bob).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.url.as_str(), world.url("/mfa"));
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_may_count_or_be_held_against_the_user() {
    let Some(keycloak) = keycloak("an_enrolment_may_count_or_be_held_against_the_user").await
    else {
        return;
    };
    let allow = Twist {
        config: &[("enrol = \"page\"", "enrol = \"allow\"")],
        app: "",
    };
    let mut world = World::twisted(keycloak, "enrol-allow", allow).await;
    let walk = world.visit("/mfa", &mut Person::bob()).await;
    assert_eq!(walk.asked, [Password, Enrolment], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa", "{}", walk.page.text());

    let hold = Twist {
        config: &[("enrol = \"page\"", "enrol = \"hold\"\nenrol_hold = \"1h\"")],
        app: "",
    };
    let mut world = World::twisted(keycloak, "enrol-hold", hold).await;
    let mut bob = Person::bob();
    world.visit("/mfa", &mut bob).await;
    // In a browser of his own, with the device, and still not.
    world.browser = Browser::new();
    let walk = world.visit("/mfa", &mut bob).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    let missing = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, missing);
}

/// An essential claim is met by the same factors; with it Keycloak would never answer with less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_essential_acr_is_met() {
    let Some(keycloak) = keycloak("an_essential_acr_is_met").await else {
        return;
    };
    let essential = Twist {
        config: &[(
            "{ acr_values = \"mfa\", prompt = \"login\" }",
            "{ acr_values = \"mfa\", prompt = \"login\", essential = true }",
        )],
        app: "",
    };
    let mut world = World::twisted(keycloak, "essential", essential).await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let walk = world.visit("/fresh-mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_on_return_gets_a_session_of_their_own() {
    let Some(keycloak) = keycloak("another_user_on_return_gets_a_session_of_their_own").await
    else {
        return;
    };
    let mut world = World::new(keycloak, "switch").await;
    world.visit("/orders", &mut Person::alice()).await;
    // Keycloak knows alice no more, stepgate does.
    world.browser.forget("localhost");
    let walk = world.visit("/mfa", &mut Person::carol()).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200);
    assert!(
        walk.page.url.path().starts_with("/.stepgate/"),
        "{}",
        walk.page.text()
    );
    assert!(walk.page.body.contains("carol"), "{}", walk.page.text());
    let page = world.open("/mfa").await;
    assert_eq!(
        header(&page, "x-forwarded-preferred-username"),
        "carol",
        "{}",
        page.text()
    );
    assert_eq!(header(&page, "x-level"), "mfa");
}

/// The level that a scope switches on, beside the levels by `acr` in one browser flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_may_be_the_step_up() {
    let Some(keycloak) = keycloak("a_scope_may_be_the_step_up").await else {
        return;
    };
    let mut world = World::new(keycloak, "scope").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let walk = world.visit("/scoped", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(
        header(&walk.page, "x-level"),
        "scoped",
        "{}",
        walk.page.text()
    );
    let scoped = "password=proven scoped=proven mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, scoped);
    // Another browser session of stepgate's in the same SSO session has only what it asked for.
    world.browser.forget("payroll.localhost");
    let walk = world.visit("/orders", &mut alice).await;
    assert_eq!(walk.asked, [], "{}", walk.page.text());
    assert_eq!(
        header(&walk.page, "x-level"),
        "password",
        "{}",
        walk.page.text()
    );
}

/// What the user may write into the URL does not matter: everything was pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_was_edited_asks_for_the_same() {
    let Some(keycloak) = keycloak("a_url_that_was_edited_asks_for_the_same").await else {
        return;
    };
    let mut world = World::new(keycloak, "edited").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    world.browser.stop_at = Some(world.issuer.clone());
    let page = world.open("/mfa").await;
    world.browser.stop_at = None;
    let mut url = page.url;
    assert!(url.query().unwrap().contains("request_uri="), "{url}");
    url.query_pairs_mut()
        .append_pair("acr_values", "pwd")
        .append_pair("prompt", "none")
        .append_pair("max_age", "3600")
        .append_pair("scope", "openid");
    let walk = world.browser.walk(url.as_str(), &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

/// A login of the same browser that is finished in between, by less, does not finish the step-up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_is_not_finished_by_another_flow() {
    let Some(keycloak) = keycloak("a_step_up_is_not_finished_by_another_flow").await else {
        return;
    };
    let mut world = World::new(keycloak, "between").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let mut desk = Desk::beside(&world, Twist::default());
    // Up to the form for the code …
    let page = world.open("/mfa").await;
    let waiting = world.browser.answer(&page, Password, &mut alice).await;
    assert_eq!(waiting.asks_for(), Some(Code), "{}", waiting.text());
    // … then another tab signs in with the password alone, and the first one is reloaded.
    let told = desk
        .ask(&mut world.browser, &mut alice, "password", "prompt=login")
        .await;
    assert_eq!(told.asked, "password");
    let reloaded = world.browser.open(waiting.url.as_str()).await;
    let on = reloaded.link("/login-actions/authenticate");
    let on = on.unwrap_or_else(|| panic!("{}", reloaded.text()));
    let again = world.browser.open(&on).await;
    assert_eq!(again.asks_for(), Some(Code), "{}", again.text());
    let low = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, low);
    let walk = world.browser.go_on(again, &mut alice).await;
    assert_eq!(walk.asked, [Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa", "{}", walk.page.text());
}

/// Without `prompt=login` in its ask, a level that SSO answers is held, and good only where no age is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sso_answers_proves_no_age() {
    let Some(keycloak) = keycloak("what_sso_answers_proves_no_age").await else {
        return;
    };
    let by_sso = Twist {
        config: &[(
            "{ acr_values = \"mfa\", prompt = \"login\" }",
            "{ acr_values = \"mfa\" }",
        )],
        app: "",
    };
    let mut world = World::twisted(keycloak, "held", by_sso).await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Code], "{}", walk.page.text());
    let held = "password=proven scoped=missing mfa=held hardware-key=missing";
    assert_eq!(world.standings().await, held);
    // The password moves the time of the token; nobody takes that for the code's.
    older(&world, "password", 3).await;
    let walk = world.visit("/fresh-password", &mut alice).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    world.browser.forget("payroll.localhost");
    let page = world.open("/mfa").await;
    assert_eq!(page.status, 403, "{}", page.text());
    let missing = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, missing);
    let walk = world.visit("/fresh-mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(header(&walk.page, "x-level"), "mfa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_key_is_the_only_factor_asked() {
    let Some(keycloak) = keycloak("a_security_key_is_the_only_factor_asked").await else {
        return;
    };
    let mut world = World::new(keycloak, "key").await;
    let mut alice = Person::alice();
    let walk = world.visit("/key", &mut alice).await;
    assert_eq!(
        walk.asked,
        [Password, Code, KeyEnrolment],
        "{}",
        walk.page.text()
    );
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    let again = walk.page.link("/.stepgate/step-up").expect("a way on");
    let walk = world.browser.walk(&again, &mut alice).await;
    assert_eq!(walk.asked, [Key], "{}", walk.page.text());
    assert_eq!(
        header(&walk.page, "x-level"),
        "hardware-key",
        "{}",
        walk.page.text()
    );
    let all = "password=proven scoped=proven mfa=proven hardware-key=proven";
    assert_eq!(world.standings().await, all);
    // In a new session of stepgate's on the same SSO session it is asked again.
    world.browser.forget("payroll.localhost");
    let walk = world.visit("/key", &mut alice).await;
    assert_eq!(walk.asked, [Key], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
}
