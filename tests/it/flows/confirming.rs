//! Approvals that Keycloak has the requester confirm on a device (CIBA): what it is asked, every word it can have, and a
//! Keycloak that is not there. The word is never a level.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{Twist, World, heading};
use crate::harness::eventually_async;
use crate::keycloak::Page;

const NETWORKS: &str = "[networks]";
const LAST: &str = "require = { networks_any = [\"office\"] }\n";
const MORE: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "withdraw"
path     = "/withdraw/{id}"
methods  = ["POST"]
approval = "own-device"
[approvals.own-device]
summary   = "Withdraw {path.id}"
approvers = { ciba = "device" }
cooldown  = "0s"
"#;

async fn world(delivery: &str) -> World {
    world_with(
        delivery,
        "notices_per_route = 100\nnotices_per_requester = 100",
    )
    .await
}

async fn world_with(delivery: &str, quiet: &str) -> World {
    let config = format!(
        "[approvals]\n{quiet}\n[approver_app]\nurl = \"APPROVER\"\n[channels.device]\nkind = \"ciba\"\ndelivery = \"{delivery}\"\ndetail = true\n\
         params = {{ branch = \"north\" }}\n[networks]"
    );
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &config)],
        policy: &[(LAST, MORE)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    world
}

impl World {
    async fn withdraws(&mut self, id: &str) -> Page {
        let url = self.url(&format!("/withdraw/{id}")).parse().unwrap();
        let form = vec![("amount".to_owned(), "1".to_owned())];
        self.browser.post(url, form).await
    }

    /// Until the page says something else than that it waits.
    async fn outcome(&mut self, waiting: &Page) -> Page {
        let url = waiting.url.to_string();
        for _ in 0..400 {
            let page = self.browser.open(&url).await;
            if heading(&page) != "Waiting for somebody to agree" {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it waits for ever");
    }

    async fn polled(&self, times: usize) {
        eventually_async("polls", async || {
            (self.realm.ciba_polls() >= times).then_some(())
        })
        .await;
    }

    async fn pings(&self, token: &str, request: &str) -> u16 {
        let approver = self.origin.replace("payroll.", "approve.");
        let url = format!("{approver}/.stepgate/ciba/ping");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body = json!({ "auth_req_id": request }).to_string();
        let answer = self.browser.send("POST", &url, &headers, body).await;
        answer.status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloaks_word_is_the_yes_once() {
    let mut world = world("poll").await;
    let hits = world.hit_count();
    let waiting = world.withdraws("7").await;
    assert_eq!(
        heading(&waiting),
        "Waiting for somebody to agree",
        "{}",
        waiting.text()
    );
    let asked = world.realm.ciba_asked().pop().unwrap();
    for (name, value) in [
        ("login_hint", "alice"),
        ("scope", "openid"),
        ("summary", "Withdraw 7"),
        ("branch", "north"),
    ] {
        assert_eq!(asked[name], value);
    }
    // The page and the device show the same word, in letters that Keycloak takes.
    let code = &asked["binding_message"];
    assert!(waiting.body.contains(code.as_str()), "{}", waiting.text());
    assert!(code.len() == 9 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    assert!(!asked.contains_key("client_notification_token"));
    world.polled(2).await;
    assert_eq!(world.hit_count(), hits, "nothing is sent before");
    world.realm.quirks().ciba_says = "approved".to_owned();
    let page = world.outcome(&waiting).await;
    assert_eq!(page.body, "app POST /withdraw/7", "{}", page.text());
    assert_eq!(world.hit_count(), hits + 1);
    let voted = world.audited("approval-voted", "yes").await;
    assert_eq!(
        (voted["sub"].as_str(), voted["channel"].as_str()),
        (Some("sub-alice"), Some("ciba:device"))
    );
    // It says that they confirmed this, and nothing of how they signed in.
    assert_eq!(
        world.levels().await,
        "password=proven mfa=missing hardware-key=missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_keycloak_says_is_no_yes() {
    let mut world = world("poll").await;
    let hits = world.hit_count();
    let now = world.clock.seconds();
    let rows: [(&str, Value, &str); 7] = [
        ("access_denied", json!({}), "It was not agreed to"),
        ("expired_token", json!({}), "The time is over"),
        ("invalid_grant", json!({}), "It was not agreed to"),
        (
            "approved",
            json!({ "sub": "sub-bob" }),
            "It was not agreed to",
        ),
        (
            "approved",
            json!({ "aud": "teller" }),
            "It was not agreed to",
        ),
        (
            "approved",
            json!({ "azp": "teller" }),
            "It was not agreed to",
        ),
        (
            "approved",
            json!({ "auth_time": now - 61 }),
            "It was not agreed to",
        ),
    ];
    for (index, (says, claims, expected)) in rows.into_iter().enumerate() {
        world.realm.quirks().ciba_says = says.to_owned();
        world.realm.quirks().ciba_claims = claims.as_object().unwrap().clone();
        let waiting = world.withdraws(&index.to_string()).await;
        let page = world.outcome(&waiting).await;
        assert_eq!(heading(&page), expected, "{says} {claims}: {}", page.text());
    }
    assert_eq!(world.hit_count(), hits);
    world.audited("ciba-confirmation", "no-word").await;

    // Cancelled, and confirmed after that.
    world.realm.quirks().ciba_says = "authorization_pending".to_owned();
    world.realm.quirks().ciba_claims.clear();
    let waiting = world.withdraws("late").await;
    let form = vec![("do".to_owned(), "cancel".to_owned())];
    let page = world.browser.post(waiting.url.clone(), form).await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());
    world.realm.quirks().ciba_says = "approved".to_owned();
    // The next one is asked for by itself, and is all that goes on.
    let next = world.withdraws("next").await;
    let page = world.outcome(&next).await;
    assert_eq!(page.body, "app POST /withdraw/next", "{}", page.text());
    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());
    assert_eq!(world.hit_count(), hits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_that_is_not_there_is_said_at_once_or_waited_for() {
    let mut world = world("poll").await;
    let hits = world.hit_count();
    world.provider_down().await;
    let page = world.withdraws("7").await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(
        page.body.contains("Keycloak cannot be reached"),
        "{}",
        page.text()
    );
    world.audited("ciba-confirmation", "not-asked").await;
    world.provider_up().await;
    world.realm.quirks().refuse_ciba = Some("unauthorized_client".to_owned());
    let page = world.withdraws("7").await;
    assert!(
        page.body.contains("does not ask you on a device"),
        "{}",
        page.text()
    );
    world.realm.quirks().refuse_ciba = None;

    // Away for a moment, while it is waited for.
    let waiting = world.withdraws("7").await;
    world.polled(1).await;
    world.provider_down().await;
    world.realm.quirks().ciba_says = "approved".to_owned();
    world.provider_up().await;
    let page = world.outcome(&waiting).await;
    assert_eq!(page.body, "app POST /withdraw/7", "{}", page.text());

    // Silence is no yes.
    world.realm.quirks().ciba_says = "authorization_pending".to_owned();
    let waiting = world.withdraws("8").await;
    world.clock.advance(121);
    let page = world.outcome(&waiting).await;
    assert_eq!(heading(&page), "The time is over", "{}", page.text());
    assert_eq!(world.hit_count(), hits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_has_its_token_and_is_a_hint() {
    let mut world = world("ping").await;
    let waiting = world.withdraws("7").await;
    let asked = world.realm.ciba_asked().pop().unwrap();
    let token = asked["client_notification_token"].clone();
    let request = world.realm.ciba_request().unwrap();
    assert!(token.len() >= 43);
    for (token, request) in [
        ("a-guess", request.as_str()),
        (token.as_str(), "auth-req-of-another"),
        ("", request.as_str()),
    ] {
        let status = world.pings(token, request).await;
        assert!([400, 401].contains(&status), "{token} {request}: {status}");
    }
    assert_eq!(world.realm.ciba_polls(), 0);
    // Too early: the token endpoint knows better.
    assert_eq!(world.pings(&token, &request).await, 204);
    world.polled(1).await;
    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(
        heading(&page),
        "Waiting for somebody to agree",
        "{}",
        page.text()
    );
    world.realm.quirks().ciba_says = "approved".to_owned();
    assert_eq!(world.pings(&token, &request).await, 204);
    let page = world.outcome(&waiting).await;
    assert_eq!(page.body, "app POST /withdraw/7", "{}", page.text());
    // Over: nobody is known by it any more.
    eventually_async("the end of it", async || {
        (world.pings(&token, &request).await == 401).then_some(())
    })
    .await;
}

/// CIBA Core section 11: five seconds more, on top of the second that the provider said at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_that_is_asked_too_often_is_left_in_peace() {
    let mut world = world("poll").await;
    world.realm.quirks().ciba_says = "slow_down".to_owned();
    let waiting = world.withdraws("7").await;
    world.polled(1).await;
    let told = Instant::now();
    world.realm.quirks().ciba_says = "approved".to_owned();
    let page = world.outcome(&waiting).await;
    assert_eq!(page.body, "app POST /withdraw/7", "{}", page.text());
    assert!(told.elapsed() >= Duration::from_secs(5), "{told:?}");
    assert_eq!(world.realm.ciba_polls(), 2);
}

/// Whoever has somebody's session shall not ask on their device until they say yes to be left alone.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_worn_down_on_their_device() {
    let mut world = world_with("poll", "").await;
    world.realm.quirks().ciba_says = "access_denied".to_owned();
    for nth in 0..3 {
        let waiting = world.withdraws(&nth.to_string()).await;
        let page = world.outcome(&waiting).await;
        assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    }
    let page = world.withdraws("4").await;
    assert_eq!(page.status, 429, "{}", page.text());
    assert_eq!(world.realm.ciba_asked().len(), 3);
    world.audited("ciba-confirmation", "too-often").await;
    world.clock.advance(601);
    let page = world.withdraws("5").await;
    let title = "Waiting for somebody to agree";
    assert_eq!(heading(&page), title, "{}", page.text());
}
