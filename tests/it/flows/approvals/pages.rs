//! Forms of a page that wait for a yes, and go on by themselves.

use serde_json::json;

use super::*;
use crate::upstreams::parts::nghttpd;

#[tokio::test(flavor = "multi_thread")]
async fn a_form_waits_on_a_page_and_goes_on_by_itself() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7?x=1", "amount=42&note=%C3%A9").await;
    let id = is_waiting(&page);
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    assert!(page.body.contains("anybody in admins"), "{}", page.text());
    assert_eq!(world.hit_count(), 1);
    // Sent twice, it is the same.
    let again = world.submits("/pay/7?x=1", "amount=42&note=%C3%A9").await;
    assert_eq!(is_waiting(&again), id);

    // Nobody else sees it, nor a script a page in its place.
    let first = std::mem::replace(&mut world.browser, Browser::new());
    let path = format!("/.stepgate/approval/{id}");
    assert_eq!(world.open(&path).await.status, 404);
    world.visit("/", "carol").await;
    assert_eq!(world.open(&path).await.status, 404);
    world.browser = first;

    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&path).await;
    assert_eq!(page.body, "app POST /pay/7?x=1", "{}", page.text());
    let hit = world.last_hit();
    assert_eq!(hit.body, "amount=42&note=%C3%A9");
    assert_eq!(
        (hit.method.as_str(), hit.target.as_str()),
        ("POST", "/pay/7?x=1")
    );
    assert_eq!(world.hit_count(), 3, "alice's page, carol's, and this");
    // Loaded again, it is the app's own page, and nothing is sent twice.
    let marked = page.url.to_string();
    let page = world.browser.open(&marked).await;
    assert_eq!(page.body, "app GET /pay/7?x=1", "{}", page.text());
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "It was sent", "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_sends_nothing_on() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let url = world.url(&format!("/pay/7?__stepgate_approved={id}"));
    let hits = world.hit_count();
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("sec-fetch-site", site)];
        let page = world
            .browser
            .navigate(reqwest::Method::GET, url.parse().unwrap(), &headers, None)
            .await;
        assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
        assert_eq!(world.hit_count(), hits, "{site}");
    }
    let page = world
        .open(&format!("/.stepgate/approval/{id}?stay=1"))
        .await;
    let page = world.presses(&page, "do=send").await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());

    // Nor does it ask, or cancel.
    let foreign = [FORM, ("origin", "https://evil.example")];
    let url = world.url("/pay/8").parse().unwrap();
    let body = Some(b"amount=1".to_vec());
    let page = world
        .browser
        .navigate(reqwest::Method::POST, url, &foreign, body)
        .await;
    assert_eq!(page.status, 403, "{}", page.text());
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    let url = page.url.clone();
    let body = Some(b"do=cancel".to_vec());
    world
        .browser
        .navigate(reqwest::Method::POST, url, &foreign, body)
        .await;
    assert_eq!(world.standing(&id).await, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_thing_is_asked_for_at_a_time() {
    let mut world = World::careful().await;
    let page = world.submits("/pay/7", "amount=42").await;
    let first = is_waiting(&page);
    let page = world.submits("/pay/8", "amount=43").await;
    assert_eq!(
        heading(&page),
        "Something else is waiting for a yes",
        "{}",
        page.text()
    );
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    let told = world.told("POST", "/pay/8", &[FORM], "amount=43").await;
    assert_eq!(
        (told.status, told.code()),
        (409, "another-approval-pending")
    );
    assert_eq!(told.id(), first);
    let kept = page.body.split("name=\"kept\" value=\"").nth(1).unwrap();
    let kept = kept.split('"').next().unwrap();
    let page = world
        .presses(&page, &format!("do=replace&kept={kept}"))
        .await;
    let second = is_waiting(&page);
    assert!(page.body.contains("Pay 8: 43"), "{}", page.text());
    assert_eq!(world.standing(&first).await, "cancelled");
    world.vote(&second, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{second}")).await;
    assert_eq!(page.body, "app POST /pay/8", "{}", page.text());

    let page = world.submits("/pay/9", "amount=1").await;
    let third = is_waiting(&page);
    let page = world.presses(&page, "do=cancel").await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());
    assert!(matches!(
        world.vote(&third, "carol", Answer::Yes).await,
        Changed::Refused(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_lapsed_meanwhile_is_asked_for_again_and_the_yes_stays() {
    let mut world = World::careful().await;
    world.lands("/mfa/1", "alice").await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let id = is_waiting(&page);
    let number = page.body.split("<p class=\"number\">").nth(1).unwrap();
    let number = number.split('<').next().unwrap().to_owned();
    assert_eq!(number.len(), 7);
    assert!(!page.url.as_str().contains(&number) && !heading(&page).contains(&number));
    let wrong = format!("{:07}", (number.parse::<u32>().unwrap() + 1) % 10_000_000);
    let refused = world
        .vote_with(&id, "carol", Answer::Yes, Some(&wrong))
        .await;
    assert!(matches!(refused, Changed::Refused(_)));
    let voted = world
        .vote_with(&id, "carol", Answer::Yes, Some(&number))
        .await;
    assert!(matches!(voted, Changed::Done(_)));

    world.clock.advance(180);
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed, ["password", "code"]);
    assert_eq!(
        walk.page.body,
        "app POST /transfer/7",
        "{}",
        walk.page.text()
    );
    assert_eq!(world.last_hit().body, "to=bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_needs_both_is_kept_over_both() {
    let mut world = World::careful().await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(heading(&walk.page), "Send it now?", "{}", walk.page.text());
    let page = world.presses(&walk.page, "do=send").await;
    let id = is_waiting(&page);
    let state = world.state(&id).await;
    let number = state.body["number"].as_str().unwrap();
    world
        .vote_with(&id, "carol", Answer::Yes, Some(number))
        .await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app POST /transfer/7", "{}", page.text());
    assert_eq!(world.last_hit().body, "to=bob");
    assert_eq!(world.hit_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_only_looked_at_may_need_a_yes_too() {
    let mut world = World::careful().await;
    let page = world.open("/export").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::No).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert!(
        page.body.contains("carol") && page.body.contains("because"),
        "{}",
        page.text()
    );
    world.clock.advance(60);
    let page = world.open("/export").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app GET /export", "{}", page.text());
}

/// A navigation by itself has no body, and over HTTP/2 Pingora would say so to the app before the other one comes.
#[tokio::test(flavor = "multi_thread")]
async fn over_h2_a_form_goes_on_by_a_click_and_whole() {
    let test = "over_h2_a_form_goes_on_by_a_click_and_whole";
    let Some(part) = nghttpd(test, &[], None).await else {
        return;
    };
    let url = format!("http://{}", part.address(0));
    let mut world = World::twisted(Twist {
        config: &[
            (NETWORKS, APPROVER_APP),
            ("[upstreams.app]\n", "[upstreams.app]\nprotocol = \"h2c\"\n"),
        ],
        upstream: Some(&url),
        ..twist()
    })
    .await;
    world.visit("/", "alice").await;
    let page = world.submits("/pay/7", "amount=42").await;
    let id = is_waiting(&page);
    world.vote(&id, "carol", Answer::Yes).await;
    let path = format!("/.stepgate/approval/{id}");
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
    // Nor by hand: what was agreed to has a body.
    let headers = [("sec-fetch-site", "same-origin")];
    let url = world.url(&format!("/pay/7?__stepgate_approved={id}"));
    let page = world
        .browser
        .navigate(reqwest::Method::GET, url.parse().unwrap(), &headers, None)
        .await;
    assert_eq!(heading(&page), "It was agreed to", "{}", page.text());
    let page = world.presses(&page, "do=send").await;
    assert_eq!(page.body, "amount=42", "{}", page.text());

    let id = world.agreed().await;
    let sent = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (sent.status, &sent.body),
        (200, &json!("amount=42")),
        "{sent:?}"
    );
}
