//! A provider that is down, slow, wrong, or says no.

use std::time::Duration;

use serde_json::json;
use stepgate::sandbox::Outage;

use super::world::{Twist, World, heading};

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_loses_nothing() {
    let mut world = World::signed_in("alice", "/").await;
    let page = world.open("/mfa/x").await;
    assert_eq!(heading(&page), "Sign in");
    let back = world
        .browser
        .submit(
            &page,
            &[("password", String::new()), ("cancel", "yes".to_owned())],
        )
        .await;
    assert_eq!(back.status, 403);
    assert_eq!(heading(&back), "The sign-in was cancelled");
    assert!(back.link("/mfa/x").is_some(), "a way to try again");
    assert_eq!(world.status("/").await, 200, "still signed in");
    world.audited("step-up-failed", "access_denied").await;
    // And it can be done after all.
    assert_eq!(world.lands("/mfa/x", "alice").await, ["password", "code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_provider_is_a_page_with_a_way_on() {
    for (error, status) in [
        ("server_error", 503),
        ("invalid_scope", 502),
        ("login_required", 502),
        ("<script>alert(1)</script>", 502),
    ] {
        let mut world = World::new().await;
        world.realm.quirks().authorization_error = Some(error.to_owned());
        let page = world.open("/deep?x=1").await;
        assert_eq!(page.status, status, "{error}: {}", page.text());
        assert!(
            page.link("/deep?x=1").is_some(),
            "{error}: a way to try again"
        );
        assert!(!page.body.contains("<script"), "somebody else's text");
        assert_eq!(world.asked(), 1, "{error}: not tried in circles");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn temporarily_unavailable_is_tried_once_more() {
    let mut world = World::new().await;
    world.realm.quirks().authorization_error_once = Some("temporarily_unavailable".to_owned());
    assert_eq!(world.lands("/x", "alice").await, ["password"]);
    assert_eq!(world.asked(), 2);

    let mut world = World::new().await;
    world.realm.quirks().authorization_error = Some("temporarily_unavailable".to_owned());
    let page = world.open("/x").await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert_eq!(world.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn down_at_the_start_and_there_later() {
    let mut world = World::twisted(Twist {
        provider_down: true,
        ..Twist::default()
    })
    .await;
    let page = world.open("/public/x").await;
    world.is_app(&page, "/public/x");
    let page = world.open("/x").await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.link("/x").is_some(), "a way to try again");
    // A program is told to sign in, which is what helps it as soon as that is possible.
    assert_eq!(world.status("/x").await, 401);
    let line = world.logged("/x").await;
    assert_ne!(line["decision"], "allow");

    world.provider_up().await;
    world.clock.advance(60);
    assert_eq!(
        world.lands("/x", "alice").await,
        ["password"],
        "no restart is needed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_an_outage() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    world.provider_down().await;
    assert_eq!(world.status("/").await, 200);
    assert_eq!(world.status("/mfa/x").await, 200);
    let page = world.open("/key/x").await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert_eq!(
        world.status("/").await,
        200,
        "unavailable is not signed out"
    );
    world.provider_up().await;
    world.clock.advance(60);
    assert_eq!(world.lands("/key/x", "alice").await, ["key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_broken_provider_says_nobody_is_let_in_by_it() {
    for outage in [
        Outage::Garbage,
        Outage::ServerError,
        // Longer than it is waited for.
        Outage::Slow(Duration::from_secs(4)),
    ] {
        // From the beginning, and when the user comes back with a code.
        let mut world = World::new().await;
        world.realm.quirks().outage = outage;
        let page = world.open("/x").await;
        assert!(page.status.is_server_error(), "{outage:?}: {}", page.text());
        assert_eq!(world.hit_count(), 0, "{outage:?}");

        let mut world = World::new().await;
        let sign_in = world.open("/x").await;
        world.browser.stop_at = Some(world.url("/.stepgate/callback"));
        let back = world.go_on(sign_in, "alice").await.page;
        world.browser.stop_at = None;
        world.realm.quirks().outage = outage;
        let page = world.browser.open(back.url.as_str()).await;
        assert!(page.status.is_server_error(), "{outage:?}: {}", page.text());
        assert_eq!(world.levels().await, "", "{outage:?}");
        assert_eq!(world.hit_count(), 0, "{outage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pushed_request_is_told_and_not_sent_in_the_open() {
    let mut world = World::new().await;
    world.realm.quirks().refuse_push = true;
    let page = world.open("/x").await;
    assert_eq!(page.status, 502, "{}", page.text());
    assert_eq!(world.asked(), 0, "not by the browser's address bar instead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_is_held_off_the_provider() {
    let mut world = World::twisted(Twist {
        config: &[("[networks]", "[limits]\nlogins_per_minute = 3\n[networks]")],
        ..Twist::default()
    })
    .await;
    let mut statuses = Vec::new();
    for index in 0..6 {
        // Each a browser of its own.
        world.browser.forget("payroll.localhost");
        statuses.push(world.open(&format!("/{index}")).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(world.asked(), 3);
    let answer = world.browser.fetch("GET", &world.url("/x")).await;
    assert_eq!(answer.status(), 401, "who starts nothing is not held off");
    world.clock.advance(20);
    world.browser.forget("payroll.localhost");
    assert_eq!(
        world.lands("/x", "alice").await,
        ["password"],
        "one a third of a minute"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_json_and_a_link_and_never_a_redirect() {
    let world = World::new().await;
    let (status, problem) = world.fetch("GET", "/mfa/x?secret=1").await;
    assert_eq!(status, 401);
    assert_eq!(problem["code"], "login");
    assert_eq!(problem["need"], json!({ "level": "mfa" }));
    let step_up = problem["step_up"].as_str().unwrap();
    assert!(
        step_up.starts_with(&world.url("/.stepgate/step-up?")),
        "{step_up}"
    );
    assert_eq!(world.asked(), 0);
}
