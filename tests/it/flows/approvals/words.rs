//! In which language whoever waits is told how it stands, and all others are told what became of a request.

use stepgate::model::approval::Answer;

use super::{FORM, LAST, MORE, twist};
use crate::flows::world::{Twist, World, heading};
use crate::keycloak::Page;

const LOCALES: &str = "login       = { params = { ui_locales = \"en\" } }\n";
const GERMAN: (&str, &str) = ("accept-language", "de-AT,de;q=0.9,en;q=0.8");

async fn speaking(locales: &str) -> World {
    let mut world = World::twisted(Twist {
        policy: &[(LAST, MORE), (LOCALES, locales)],
        ..twist()
    })
    .await;
    world.lands("/", "alice").await;
    world
}

impl World {
    async fn german(&mut self, path: &str) -> Page {
        let url = self.url(path).parse().unwrap();
        let get = reqwest::Method::GET;
        self.browser.navigate(get, url, &[GERMAN], None).await
    }
}

fn is_german(page: &Page, wanted: &str) {
    assert_eq!(heading(page), wanted, "{}", page.text());
    assert!(page.body.contains("<html lang=\"de\">"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_speaks_the_browsers_language() {
    let mut world = speaking("").await;
    let asked = world.pays("amount=42", None).await;
    assert_eq!(asked.body["title"], "Somebody has to agree to this first.");
    let id = asked.id();
    let path = format!("/.stepgate/approval/{id}");
    let page = world.german(&path).await;
    is_german(&page, "Wartet auf eine Zustimmung");
    assert!(page.body.contains("0 von 1"), "{}", page.text());
    assert!(page.body.contains("alle in admins"), "{}", page.text());
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "Waiting for somebody to agree");
    assert!(page.body.contains("0 of 1"), "{}", page.text());
    world.vote(&id, "carol", Answer::No).await;
    let page = world.german(&path).await;
    is_german(&page, "Es wurde nicht zugestimmt");
    assert!(page.body.contains("hat Nein gesagt."), "{}", page.text());

    // Asked for again too early.
    let url = world.url("/pay/7").parse().unwrap();
    let (post, body) = (reqwest::Method::POST, Some(b"amount=42".to_vec()));
    let headers = [FORM, GERMAN];
    let page = world.browser.navigate(post, url, &headers, body).await;
    is_german(&page, "Diese Anfrage wurde abgewiesen");
    assert!(page.body.contains("Jemand hat eben Nein dazu gesagt."));
    // All other pages as well.
    is_german(&world.german("/.stepgate/me").await, "Meine Sitzung");
    is_german(&world.german("/.stepgate/nothing").await, "Hier ist nichts");
    is_german(&world.german("/.stepgate/logout").await, "Abmelden?");
    let page = world.german("/a//b").await;
    is_german(&page, "Diese Anfrage wurde abgewiesen");
    assert!(page.body.contains("mehr als eine Weise lesen"));
    // What an app's answer depends on is told to nobody's cache but for ours.
    let answer = world
        .raw_with("GET /.stepgate/me", &["Accept: text/html"], "")
        .await;
    let vary = crate::harness::field(&answer, "vary");
    assert!(vary.contains("Accept-Language"), "{vary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_has_keycloak_in_one_language_has_ours_in_it_too() {
    let german = "login       = { params = { ui_locales = \"de\" } }\n";
    let mut world = speaking(german).await;
    is_german(&world.open("/.stepgate/me").await, "Meine Sitzung");
    // The edge's own refusals, too.
    let page = world.open("/a//b").await;
    is_german(&page, "Diese Anfrage wurde abgewiesen");

    let mut world = speaking(LOCALES).await;
    let page = world.german("/.stepgate/me").await;
    assert_eq!(heading(&page), "My session", "{}", page.text());
}
