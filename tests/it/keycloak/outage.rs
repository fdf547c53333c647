//! Keycloak goes away, and comes back.

use super::browser::Browser;
use super::browser::Factor::{Code, Password};
use super::ends::ended;
use super::person::Person;
use super::server::Keycloak;
use super::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_on_while_keycloak_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let test = "sessions_live_on_while_keycloak_is_away";
    let Some(mut keycloak) = Keycloak::lasting(test, &folder).await else {
        return;
    };
    let mut world = World::new(&keycloak, "outage").await;
    world.refreshing().await;
    let mut alice = Person::alice();
    let walk = world.visit("/orders", &mut alice).await;
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());

    keycloak.stop();
    assert_eq!(world.open("/orders").await.status, 200);
    // Neither allowed nor signed out.
    let page = world.open("/mfa").await;
    assert_eq!(page.status, 503, "{}", page.text());
    let mut stranger = Browser::new();
    let page = stranger.open(&world.url("/orders")).await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert_eq!(world.open("/orders").await.status, 200);

    keycloak.start_again().await;
    assert_eq!(world.open("/orders").await.status, 200);
    let walk = world.visit("/mfa", &mut alice).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    let walk = stranger
        .walk(&world.url("/orders"), &mut Person::bob())
        .await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());

    // And back again with nothing but the realm: other keys, other users' ids, no sessions.
    keycloak.stop();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    keycloak.start_again().await;
    world.admin.import(&world.realm, &world.origin).await;
    ended(&world).await;
    let walk = world.visit("/orders", &mut Person::carol()).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
}
