//! The ends of a session that come from either side, and what refreshing does to it meanwhile.

use serde_json::json;

use super::browser::Browser;
use super::browser::Factor::{Code, Password};
use super::desk::Desk;
use super::person::Person;
use super::server::keycloak;
use super::world::{Twist, World};
use crate::harness::eventually_async;

/// At once and everywhere: Keycloak's SSO session is gone with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_here_is_signed_out_at_keycloak() {
    let Some(keycloak) = keycloak("who_signs_out_here_is_signed_out_at_keycloak").await else {
        return;
    };
    let mut world = World::new(keycloak, "logout").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    assert_eq!(world.admin.sessions(&world.realm, "alice").await.len(), 1);
    let logout: reqwest::Url = world.url("/.stepgate/logout").parse().unwrap();
    let page = world.browser.post(logout, Vec::new()).await;
    // There and back without a page of Keycloak's.
    assert_eq!(page.url.path(), "/.stepgate/logout", "{}", page.text());
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(world.admin.sessions(&world.realm, "alice").await.len(), 0);
    assert_eq!(signed_in(&world).await, 401);
    let walk = world.visit("/orders", &mut alice).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
}

async fn signed_in(world: &World) -> u16 {
    let answer = world.browser.fetch("GET", &world.url("/orders")).await;
    answer.status().as_u16()
}

pub(crate) async fn ended(world: &World) {
    eventually_async("the session's end", async || {
        (signed_in(world).await == 401).then_some(())
    })
    .await;
}

/// Back-channel logout: by the session, and by the user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_at_keycloak_ends_here_at_once() {
    let Some(keycloak) = keycloak("a_session_that_ends_at_keycloak_ends_here_at_once").await else {
        return;
    };
    let mut world = World::new(keycloak, "backchannel").await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let older = world.admin.sessions(&world.realm, "alice").await;
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.visit("/orders", &mut alice).await;
    let path = format!("/{}", world.realm);

    // The newer one's: the older one goes on.
    let sessions = world.admin.sessions(&world.realm, "alice").await;
    let newer = sessions.iter().find(|id| !older.contains(id)).unwrap();
    world
        .admin
        .delete(&format!("{path}/sessions/{newer}"))
        .await;
    ended(&world).await;
    world.browser = first;
    assert_eq!(signed_in(&world).await, 200);

    let user = world.admin.user_id(&world.realm, "alice").await;
    let logout = format!("{path}/users/{user}/logout");
    world.admin.post(&logout, &json!({})).await;
    ended(&world).await;
}

/// One more than there were.
pub(crate) async fn refreshed(world: &World) {
    let path = format!("/{}/events?type=REFRESH_TOKEN&max=1000", world.realm);
    let count = async || world.admin.get(&path).await.as_array().unwrap().len();
    let before = count().await;
    eventually_async("a refresh", async || {
        assert_eq!(signed_in(world).await, 200);
        (count().await > before).then_some(())
    })
    .await;
}

/// A refreshed token says what the last login of the client in the SSO session was, whoever made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_neither_raises_nor_lowers_a_level() {
    let Some(keycloak) = keycloak("a_refresh_neither_raises_nor_lowers_a_level").await else {
        return;
    };
    let mut world = World::new(keycloak, "refresh").await;
    world.refreshing().await;
    let mut alice = Person::alice();
    let mut desk = Desk::beside(&world, Twist::default());
    world.visit("/orders", &mut alice).await;
    refreshed(&world).await;
    let low = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, low);

    // Another login of this client in the SSO session has more …
    let told = desk
        .ask(&mut world.browser, &mut alice, "mfa", "acr_values=mfa")
        .await;
    assert_eq!((&*told.asked, &*told.token), ("code", "mfa [pwd otp] new"));
    let refresh = told.exchange.unwrap().refresh.unwrap();
    assert_eq!(desk.refreshed(&refresh).await, "mfa");
    refreshed(&world).await;
    assert_eq!(world.standings().await, low);

    // … and has less.
    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    let high = "password=proven scoped=proven mfa=proven hardware-key=missing";
    let told = desk
        .ask(&mut world.browser, &mut alice, "password", "acr_values=pwd")
        .await;
    assert_eq!((&*told.asked, &*told.token), ("-", "pwd [pwd otp] old"));
    let refresh = told.exchange.unwrap().refresh.unwrap();
    assert_eq!(desk.refreshed(&refresh).await, "pwd");
    refreshed(&world).await;
    assert_eq!(world.standings().await, high);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_disabled_is_signed_out_by_the_refresh() {
    let Some(keycloak) = keycloak("a_user_who_is_disabled_is_signed_out_by_the_refresh").await
    else {
        return;
    };
    let mut world = World::new(keycloak, "disabled").await;
    world.refreshing().await;
    world.visit("/orders", &mut Person::alice()).await;
    refreshed(&world).await;
    let user = world.admin.user_id(&world.realm, "alice").await;
    let path = format!("/{}/users/{user}", world.realm);
    world.admin.put(&path, &json!({ "enabled": false })).await;
    ended(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_and_nobody_notices() {
    let Some(keycloak) = keycloak("keys_are_changed_and_nobody_notices").await else {
        return;
    };
    let mut world = World::new(keycloak, "keys").await;
    world.refreshing().await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let before = world.admin.signing_keys(&world.realm).await;

    world
        .admin
        .add_signing_key(&world.realm, "newer", 200)
        .await;
    assert_eq!(signed_in(&world).await, 200);
    // By the new key: a refresh, a step-up, the login of somebody else.
    refreshed(&world).await;
    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    let alices = std::mem::replace(&mut world.browser, Browser::new());
    let walk = world.visit("/orders", &mut Person::bob()).await;
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());

    // And without the old ones.
    for id in &before {
        world
            .admin
            .delete(&format!("/{}/components/{id}", world.realm))
            .await;
    }
    assert_eq!(signed_in(&world).await, 200);
    world.browser = alices;
    assert_eq!(signed_in(&world).await, 200);
    // A logout token, too.
    let user = world.admin.user_id(&world.realm, "alice").await;
    let logout = format!("/{}/users/{user}/logout", world.realm);
    world.admin.post(&logout, &json!({})).await;
    ended(&world).await;
}
