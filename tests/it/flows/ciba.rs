//! What Keycloak hands on from other clients, with tokens that are not what they should be, with people who are asked too
//! much, and with a Keycloak that does not listen.

use serde_json::{Value, json};

use super::world::{Twist, World, heading};
use crate::harness::eventually;

const NETWORKS: &str = "[networks]";
const WITH_CIBA: &str = "[keycloak.ciba]\nclients = { teller = \"The teller's desk\" }\ndevice = \"none\"\n\
    [approver_app]\nurl = \"APPROVER\"\n[networks]";

impl World {
    async fn with_ciba() -> Self {
        Self::twisted(Twist {
            config: &[(NETWORKS, WITH_CIBA)],
            ..Twist::default()
        })
        .await
    }

    fn phone(&self, path: &str) -> String {
        format!("{}{path}", self.origin.replace("payroll.", "approve."))
    }

    /// Keycloak's token, with `over` laid over its claims; `null` removes one.
    fn channel_token(&self, over: &Value) -> String {
        let now = self.clock.seconds();
        let issuer = &self.realm.issuer;
        let mut claims = json!({
            "iss": issuer, "aud": issuer, "sub": "sub-alice", "azp": "teller", "typ": "Bearer",
            "jti": format!("j-{}-{}", now, self.browser.seen.len()), "iat": now, "exp": now + 120,
        });
        for (name, value) in over.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.realm.sign("JWT", &claims).unwrap()
    }

    async fn handed_on(&self, token: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        let headers: Vec<_> = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ]
        .iter()
        .chain(headers)
        .copied()
        .collect();
        let url = self.phone("/.stepgate/ciba");
        let body = body.to_owned();
        let answer = self.browser.send("POST", &url, &headers, body).await;
        answer.status().as_u16()
    }

    /// Under an id of its own each time.
    async fn teller_asks(&self, id: &str) -> u16 {
        let token = self.channel_token(&json!({ "jti": id }));
        let body =
            json!({ "login_hint": "mallory", "scope": "openid profile", "binding_message": id });
        self.handed_on(&token, &[], &body.to_string()).await
    }

    async fn at_the_phone(&mut self) -> String {
        let page = self.browser.open(&self.phone("/")).await;
        let walk = self.go_on(page, "alice").await;
        assert_eq!(
            heading(&walk.page),
            "Waiting for you",
            "{}",
            walk.page.text()
        );
        walk.page.body
    }

    async fn link(&mut self) -> String {
        let page = self.browser.open(&self.phone("/")).await;
        page.link("/approvals/")
            .unwrap_or_else(|| panic!("{}", page.text()))
    }

    async fn answers(&mut self, link: &str, word: &str) -> String {
        let form = vec![("answer".to_owned(), word.to_owned())];
        let page = self.browser.post(link.parse().unwrap(), form).await;
        heading(&page).to_owned()
    }

    async fn waits_for_heading(&mut self, link: &str, wanted: &str) {
        for _ in 0..200 {
            let page = self.browser.open(link).await;
            if heading(&page) == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{link} never says {wanted}");
    }
}

const BODY: &str = r#"{"login_hint":"alice","scope":"openid"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_keycloaks_word_ask_nobody() {
    let mut world = World::with_ciba().await;
    world.at_the_phone().await;
    let issuer = world.realm.issuer.clone();
    let now = world.clock.seconds();
    let rows = [
        (json!({ "iss": "https://evil.example" }), 401),
        (json!({ "aud": "stepgate" }), 401),
        (json!({ "aud": [issuer, "stepgate"] }), 401),
        (json!({ "azp": "stranger" }), 403),
        (json!({ "azp": null }), 401),
        (json!({ "sub": null }), 401),
        (json!({ "jti": null }), 401),
        (json!({ "typ": "ID" }), 401),
        (json!({ "sid": "a-session" }), 401),
        (json!({ "exp": now - 61 }), 401),
        // Not expired by the leeway between clocks, but of no use to anybody.
        (json!({ "exp": now - 1 }), 401),
        (json!({ "iat": now + 61 }), 401),
    ];
    for (over, expected) in rows {
        let token = world.channel_token(&over);
        let status = world.handed_on(&token, &[], BODY).await;
        assert_eq!(status, expected, "{over}");
    }
    let good = world.channel_token(&json!({ "jti": "bodies" }));
    for body in [
        "",
        "[]",
        "{",
        r#"{"scope":7}"#,
        r#"{"binding_message":["x"]}"#,
    ] {
        assert_eq!(world.handed_on(&good, &[], body).await, 400, "{body}");
    }
    let twice = [("authorization", "Bearer x")];
    assert_eq!(world.handed_on(&good, &twice, BODY).await, 401);
    // Another host of ours knows nothing of it.
    let url = world.url("/.stepgate/ciba");
    assert_eq!(world.browser.fetch("POST", &url).await.status(), 404);
    let url = world.phone("/.stepgate/ciba");
    assert_eq!(world.browser.fetch("GET", &url).await.status(), 405);
    assert!(!world.at_the_phone().await.contains("/approvals/"));

    assert_eq!(world.handed_on(&good, &[], BODY).await, 201);
    assert_eq!(world.handed_on(&good, &[], BODY).await, 401, "replayed");
    world.audited("ciba-refused", "replayed").await;
    let refused = world.audited("ciba-refused", "client").await;
    assert_eq!(
        (refused["azp"].as_str(), refused["sub"].as_str()),
        (Some("stranger"), Some("sub-alice"))
    );
    world.audited("alarm", "ciba-token-refused").await;
    // Who is asked is said by the token, whatever the body says; and its token is in no log.
    assert_eq!(world.teller_asks("PAY-1").await, 201);
    let asked = world.audited("ciba-asked", "asked").await;
    assert_eq!(asked["sub"], "sub-alice");
    let logs = world.stepgate.log("access.log") + &world.stepgate.log("audit.log");
    assert!(!logs.contains(good.rsplit('.').next().unwrap()));
}

/// Anybody may send what is no token, and an alarm wakes somebody.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_tokens_is_a_few_alarms_and_their_number() {
    let world = World::with_ciba().await;
    let token = world.channel_token(&json!({ "typ": "ID" }));
    for _ in 0..100 {
        assert_eq!(world.handed_on(&token, &[], BODY).await, 401);
    }
    let line = r#"stepgate_ciba_requests_total{client="other",outcome="refused"} 100"#;
    let metrics = world.stepgate.metrics();
    assert!(metrics.contains(line), "{metrics}");
    let lines = || world.lines_because("alarm", "ciba-token-refused");
    eventually("the first ones", || (lines().len() == 3).then_some(())).await;
    // Of a good one that comes again and again it is the same.
    let good = world.channel_token(&json!({ "jti": "good" }));
    assert_eq!(world.handed_on(&good, &[], BODY).await, 201);
    for _ in 0..100 {
        assert_eq!(world.handed_on(&good, &[], BODY).await, 401);
    }
    let again = || world.lines_because("ciba-refused", "replayed");
    eventually("the first ones", || (again().len() == 3).then_some(())).await;
    world.clock.advance(60);
    let last = eventually("how many were left out", || lines().get(3).cloned()).await;
    assert_eq!(last["left_out"], 97, "{last}");
    let last = eventually("how many were left out", || again().get(3).cloned()).await;
    assert_eq!(last["left_out"], 97, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_keycloak_once_with_its_token() {
    let mut world = World::with_ciba().await;
    world.at_the_phone().await;
    for (word, told, heading) in [
        ("yes", "SUCCEED", "Done"),
        ("no", "CANCELLED", "Denied"),
        ("report", "UNAUTHORIZED", "Reported as wrong"),
    ] {
        // Past what is held against whoever asks again.
        world.clock.advance(120);
        world.at_the_phone().await;
        assert_eq!(world.teller_asks(word).await, 201, "{word}");
        let link = world.link().await;
        let before = world.realm.ciba_told().len();
        world.answers(&link, word).await;
        world.waits_for_heading(&link, heading).await;
        // A no stands as soon as it is said.
        let all = eventually("keycloak is told", || {
            let all = world.realm.ciba_told();
            (all.len() > before).then_some(all)
        })
        .await;
        let (token, body) = all.last().unwrap();
        assert_eq!(body["status"], told);
        assert!(token.contains('.'));
        // Twice is too late.
        assert_eq!(world.answers(&link, "yes").await, heading);
        assert_eq!(world.realm.ciba_told().len(), all.len());
        world.audited("ciba-decided", word).await;
    }
    world.audited("alarm", "ciba-reported").await;
    // After a report nobody asks for a quarter of an hour.
    world.clock.advance(800);
    assert_eq!(world.teller_asks("again").await, 429);
    world.audited("ciba-refused", "reported-lately").await;
    world.clock.advance(200);
    assert_eq!(world.teller_asks("later").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_that_fails_for_a_moment_is_told_later_and_one_that_refuses_is_not_told_again() {
    let mut world = World::with_ciba().await;
    world.at_the_phone().await;
    world.realm.quirks().ciba_callback = [503, 500].into();
    assert_eq!(world.teller_asks("late").await, 201);
    let link = world.link().await;
    let heading = world.answers(&link, "yes").await;
    assert!(
        ["Approved", "Done"].contains(&heading.as_str()),
        "{heading}"
    );
    world.waits_for_heading(&link, "Done").await;
    assert_eq!(world.realm.ciba_told().len(), 3);

    world.realm.quirks().ciba_callback = [403].into();
    assert_eq!(world.teller_asks("unknown").await, 201);
    let link = world.link().await;
    world.answers(&link, "yes").await;
    world.waits_for_heading(&link, "Not passed on").await;
    assert_eq!(world.realm.ciba_told().len(), 4);
    let told = world.audited("ciba-answered", "not-told").await;
    assert_eq!(told["azp"], "teller");
    let metrics = world.stepgate.metrics();
    let line = r#"stepgate_ciba_requests_total{client="teller",outcome="undelivered"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_more_than_they_can_bear_and_nothing_waits_for_ever() {
    let mut world = World::with_ciba().await;
    world.at_the_phone().await;
    for id in ["a", "b", "c"] {
        assert_eq!(world.teller_asks(id).await, 201);
    }
    assert_eq!(world.teller_asks("d").await, 429);
    world.audited("ciba-refused", "too-many-pending").await;
    let link = world.link().await;
    world.clock.advance(120);
    let page = world.browser.open(&link).await;
    assert_eq!(heading(&page), "Expired", "{}", page.text());
    assert_eq!(world.answers(&link, "yes").await, "Expired");
    assert!(world.realm.ciba_told().is_empty());
    for round in 1..3 {
        for id in ["a", "b", "c"] {
            assert_eq!(world.teller_asks(&format!("{id}{round}")).await, 201);
        }
        world.clock.advance(120);
    }
    assert_eq!(world.teller_asks("the tenth").await, 201);
    assert_eq!(world.teller_asks("one more").await, 429);
    world.audited("ciba-refused", "too-many-lately").await;
    let logs = world.stepgate.log("audit.log");
    assert_eq!(logs.matches("\"event\":\"ciba-asked\"").count(), 10);
}

/// What a client has a user confirm can tell as much as the answer to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sign_in_says_is_read_at_the_level_at_which_it_is_answered() {
    let strict = WITH_CIBA
        .replace("\"none\"", "\"none\"\nlevel = \"mfa\"")
        .replace("\"APPROVER\"", "\"APPROVER\"\nlevel = \"password\"");
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &strict)],
        ..Twist::default()
    })
    .await;
    world.at_the_phone().await;
    assert_eq!(world.teller_asks("Move 900 to Panama").await, 201);
    let inbox = world.browser.open(&world.phone("/")).await;
    assert!(!inbox.body.contains("Panama"), "{}", inbox.text());
    assert!(inbox.body.contains("One-time code"), "{}", inbox.text());
    let link = world.link().await;
    let page = world.browser.open(&link).await;
    assert!(!page.body.contains("Panama"), "{}", page.text());
    let up = page.link("/.stepgate/step-up").unwrap();
    let page = world.browser.open(&up).await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed.last(), Some(&"code"));
    assert!(walk.page.body.contains("Panama"), "{}", walk.page.text());
    let inbox = world.browser.open(&world.phone("/")).await;
    assert!(inbox.body.contains("Panama"), "{}", inbox.text());
    assert_eq!(world.answers(&link, "no").await, "Denied");
    // Over, it is no less to be read.
    world.clock.advance(1860);
    let history = world.browser.open(&world.phone("/history")).await;
    assert!(!history.body.contains("Panama"), "{}", history.text());
}

/// What was answered when the process ended is told by the next one, as soon as its user looks.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_outlives_the_process() {
    let mut world = World::with_ciba().await;
    world.at_the_phone().await;
    assert_eq!(world.teller_asks("kept").await, 201);
    let link = world.link().await;
    world.provider_down().await;
    world.answers(&link, "yes").await;
    world.restart().await;
    world.provider_up().await;
    assert!(world.realm.ciba_told().is_empty());
    world.waits_for_heading(&link, "Done").await;
    assert_eq!(world.realm.ciba_told()[0].1["status"], "SUCCEED");
}
