//! The other ways in which what opened a stream ends, or is not enough any more.

use serde_json::json;

use super::super::asking::claims;
use super::super::world::heading;
use super::site::Site;
use super::{LASTS, PATIENT, goes_on};
use crate::harness::eventually_async;

/// The access token's five minutes.
const TOKEN: i64 = 301;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_refresh_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let (mut open, _app) = site.websocket("/mfa/ws", false).await;
    site.world.realm.quirks().refuse_refresh = Some("invalid_grant".to_owned());
    site.world.clock.advance(TOKEN);
    assert_eq!(site.world.status("/mfa/ordinary").await, 401);
    assert_eq!(open.closed().await, "1008 session ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_refresh_takes_away_ends_what_it_opened() {
    let routes = "[[routes]]\nid = \"clerks\"\npath = \"/clerks/**\"\n\
        require = { level = \"mfa\", groups_any = [\"clerks\"] }\non_lapse = \"keep\"\n";
    let mut site = Site::signed_in(routes).await;
    let (mut clerk, _clerk_app) = site.websocket("/clerks/ws", false).await;
    let (mut events, _events_app) = site.events("/clerks/events", true).await;
    let (mut anybody, mut app) = site.websocket("/mfa/ws", false).await;
    site.world.realm.quirks().refreshed_claims = claims(&json!({ "groups": ["guests"] }));
    site.world.clock.advance(TOKEN);
    assert_eq!(site.world.status("/mfa/ordinary").await, 200);
    assert_eq!(clerk.closed().await, "1008 not allowed");
    assert_eq!(events.last_event().await, "forbidden");
    goes_on(&mut anybody, &mut app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_ends_what_the_first_has_open() {
    let mut site = Site::signed_in("").await;
    let (mut open, _app) = site.websocket("/mfa/ws", false).await;
    site.world.realm.quirks().other_user = Some("carol".to_owned());
    let step_up = "/.stepgate/step-up?level=mfa&return=%2Fordinary";
    let walk = site.world.visit(step_up, "carol").await;
    assert_eq!(
        heading(&walk.page),
        "You are now carol",
        "{}",
        walk.page.text()
    );
    assert_eq!(open.closed().await, "1008 session ended");
}

/// No use of it, and no end either, as long as somebody uses the session otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_session_hold_for_what_is_open() {
    let mut site = Site::signed_in("").await;
    let (mut open, mut app) = site.websocket("/ws", false).await;
    for _ in 0..3 {
        site.world.clock.advance(3000);
        assert_eq!(site.world.status("/ordinary").await, 200);
        goes_on(&mut open, &mut app).await;
    }
    site.world.clock.advance(3590);
    goes_on(&mut open, &mut app).await;
    site.world.clock.advance(11);
    assert_eq!(
        open.closed().await,
        "1008 session ended",
        "unused for an hour"
    );

    let mut site = Site::signed_in("").await;
    let (mut open, _app) = site.websocket("/ws", false).await;
    let mut left = 12 * 3600;
    while left > 3000 {
        site.world.clock.advance(3000);
        left -= 3000;
        assert_eq!(site.world.status("/ordinary").await, 200);
    }
    site.world.clock.advance(left);
    assert_eq!(
        open.closed().await,
        "1008 session ended",
        "twelve hours old"
    );
}

/// What the installation demands of every app is not for an app to be patient with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_knows_no_patience() {
    let floor =
        "[[floors]]\nid = \"kept\"\npath = \"/kept/under/**\"\nrequire = { level = \"mfa\" }";
    let mut site = Site::signed_in_under(PATIENT, floor).await;
    let (mut free, mut free_app) = site.websocket("/kept/ws", false).await;
    let (mut under, _under_app) = site.websocket("/kept/under/ws", false).await;
    site.world.clock.advance(LASTS + 1);
    assert_eq!(under.closed().await, "4401 step-up required");
    goes_on(&mut free, &mut free_app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_public_ends_where_somebody_is_needed_now() {
    let mut site = Site::signed_in("").await;
    let (mut open, _app) = site.events("/public/events", false).await;
    site.world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace("public = true", "require = { level = \"password\" }")
    });
    let reloaded = site.world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    assert_eq!(open.last_event().await, "login");
}

/// The app has gone from the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_served_no_more_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let (mut open, _app) = site.websocket("/mfa/ws", false).await;
    let policy = site.world.stepgate.path("policies/payroll.toml");
    std::fs::remove_file(policy).unwrap();
    let reloaded = site.world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    assert_eq!(open.closed().await, "1008 not allowed");
    eventually_async("the app's end", async || {
        (site.world.status("/ordinary").await == 421).then_some(())
    })
    .await;
}
