//! stepgate as the authentication channel of a real Keycloak: another client asks by CIBA, its user confirms in the approver
//! app, and the client gets its tokens; or not.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Browser, Page};
use super::person::Person;
use super::relay;
use super::server::keycloak;
use super::world::World;
use crate::harness::eventually_async;

/// As `config/keycloak/realm.json` has it.
const TELLER: (&str, &str) = ("teller", "teller-secret-not-for-production");

/// A client that has never heard of stepgate.
struct Teller {
    client: reqwest::Client,
    issuer: String,
    is: (&'static str, &'static str),
}

impl Teller {
    fn new(world: &World, is: (&'static str, &'static str)) -> Self {
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            issuer: world.issuer.clone(),
            is,
        }
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/protocol/openid-connect/{path}", self.issuer);
        let request = self.client.post(url).basic_auth(self.is.0, Some(self.is.1));
        let answer = request.form(form).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn asks(&self, who: &str, message: &str) -> (u16, Value) {
        let form = [
            ("scope", "openid profile"),
            ("login_hint", who),
            ("binding_message", message),
        ];
        self.post("ext/ciba/auth", &form).await
    }

    /// Until it is something else than `authorization_pending`.
    async fn gets(&self, asked: &Value) -> (u16, Value) {
        let form = [
            ("grant_type", "urn:openid:params:grant-type:ciba"),
            ("auth_req_id", asked["auth_req_id"].as_str().unwrap()),
        ];
        eventually_async("an answer to the teller", async || {
            let (status, answer) = self.post("token", &form).await;
            let waits = ["authorization_pending", "slow_down"].contains(&error(&answer));
            (!waits).then_some((status, answer))
        })
        .await
    }
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

fn approver(world: &World) -> String {
    world.origin.replace("payroll.", "approve.")
}

/// What is on top of the inbox; `None` where nothing is.
async fn finds(world: &World, browser: &mut Browser) -> Option<(String, Page)> {
    let inbox = browser.open(&format!("{}/", approver(world))).await;
    assert_eq!(inbox.status, 200, "{}", inbox.text());
    let link = inbox.link("/approvals/")?;
    let page = browser.open(&link).await;
    Some((link, page))
}

async fn until_it_has(browser: &mut Browser, link: &str, text: &str) -> Page {
    for _ in 0..400 {
        let page = browser.open(link).await;
        if page.body.contains(text) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{link} never has {text:?}");
}

async fn says(browser: &mut Browser, link: &str, word: &str) -> Page {
    let form = vec![("answer".to_owned(), word.to_owned())];
    browser.post(link.parse().unwrap(), form).await
}

/// Straight to stepgate, past Keycloak.
async fn hands_on(world: &World, token: &str) -> u16 {
    let url = format!("{}/.stepgate/ciba", approver(world));
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({ "login_hint": "alice", "scope": "openid" }).to_string();
    let answer = world.browser.send("POST", &url, &headers, body).await;
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_asks_and_the_user_confirms_in_the_approver_app() {
    let name = "another_client_asks_and_the_user_confirms_in_the_approver_app";
    let Some(keycloak) = keycloak(name).await else {
        return;
    };
    let world = World::new(keycloak, "ciba").await;
    relay::lead("ciba", &world.origin);
    let teller = Teller::new(&world, TELLER);
    let mut alice = Person::alice();
    let mut phone = Browser::new();
    let walk = phone
        .walk(&format!("{}/", approver(&world)), &mut alice)
        .await;
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());

    // She says yes, and the teller has tokens of hers.
    let (status, asked) = teller.asks("alice", "PAY-4821").await;
    assert_eq!(status, 200, "{asked}");
    let (link, page) = finds(&world, &mut phone).await.unwrap();
    for text in [
        "Is this you?",
        "PAY-4821",
        "The teller&#x27;s desk",
        "profile",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.text());
    }
    let page = says(&mut phone, &link, "yes").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (status, tokens) = teller.gets(&asked).await;
    assert_eq!(status, 200, "{tokens}");
    let id = world.admin.user_id(&world.realm, "alice").await;
    assert_eq!(sub(tokens["id_token"].as_str().unwrap()), id);
    let page = until_it_has(&mut phone, &link, "was told").await;
    assert!(!page.body.contains("<form"), "{}", page.text());
    let late = says(&mut phone, &link, "no").await;
    assert_eq!(late.status, 409, "{}", late.text());

    // She says no.
    let (status, asked) = teller.asks("alice", "PAY-4822").await;
    assert_eq!(status, 200, "{asked}");
    let (link, page) = finds(&world, &mut phone).await.unwrap();
    assert!(page.body.contains("PAY-4822"), "{}", page.text());
    says(&mut phone, &link, "no").await;
    let (status, refused) = teller.gets(&asked).await;
    assert_eq!((status, error(&refused)), (400, "access_denied"));
    // Once is enough for a while.
    let (status, refused) = teller.asks("alice", "PAY-4823").await;
    assert_eq!(status, 503, "{refused}");

    // What was used, what was changed, and what is of another kind asks nobody.
    let handed_on = relay::handed_on("ciba");
    assert!(handed_on[0].body.contains("PAY-4821"), "{handed_on:?}");
    let token = &handed_on[0].token;
    assert_eq!(hands_on(&world, token).await, 401);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut turned: Vec<char> = signature.chars().collect();
    turned.reverse();
    let forged = format!("{message}.{}", String::from_iter(turned));
    assert_eq!(hands_on(&world, &forged).await, 401);
    for kind in ["access_token", "id_token", "refresh_token"] {
        assert_eq!(hands_on(&world, tokens[kind].as_str().unwrap()).await, 401);
    }
    assert!(finds(&world, &mut phone).await.is_none());

    // A client that is not among those that may.
    let stranger = ("stranger", "stranger-secret");
    let client = json!({
        "clientId": stranger.0, "secret": stranger.1, "publicClient": false, "standardFlowEnabled": false,
        "attributes": { "oidc.ciba.grant.enabled": "true", "ciba.backchannel.token.delivery.mode": "poll" },
    });
    world.admin.post("/ciba/clients", &client).await;
    let (status, refused) = Teller::new(&world, stranger).asks("carol", "PAY-1").await;
    assert_eq!(status, 503, "{refused}");
    let count = relay::handed_on("ciba").len();
    assert_eq!(count, handed_on.len() + 1, "it was handed on, and refused");

    // Nobody but carol sees what carol is asked.
    let (status, asked) = teller.asks("carol", "PAY-2").await;
    assert_eq!(status, 200, "{asked}");
    assert!(finds(&world, &mut phone).await.is_none());
    let mut other = Browser::new();
    other
        .walk(&format!("{}/", approver(&world)), &mut Person::carol())
        .await;
    let (link, _) = finds(&world, &mut other).await.unwrap();
    assert_eq!(phone.open(&link).await.status, 404);
    assert_eq!(says(&mut phone, &link, "yes").await.status, 404);
    says(&mut other, &link, "yes").await;
    assert_eq!(teller.gets(&asked).await.0, 200);
}

const DEVICE: &str = "\n[channels.device]\nkind = \"ciba\"\ndetail = true\n";

const WITHDRAWAL: &str = r#"
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

async fn reload(world: &World) {
    let reloaded = world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
}

/// Both ways at once: stepgate asks Keycloak, and is the device on which Keycloak asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_ones_own_device_goes_through_keycloak_and_back() {
    let name = "what_needs_ones_own_device_goes_through_keycloak_and_back";
    let Some(keycloak) = keycloak(name).await else {
        return;
    };
    let mut world = World::new(keycloak, "loop").await;
    relay::lead("loop", &world.origin);
    world.stepgate.edit("stepgate.toml", |config| {
        let clients = "clients = { stepgate = \"The payroll app\", ";
        config.replace("clients = { ", clients) + DEVICE
    });
    world.stepgate.edit("policies/payroll.toml", |policy| {
        format!("{policy}{WITHDRAWAL}")
    });
    reload(&world).await;
    let mut alice = Person::alice();
    let walk = world.visit("/orders", &mut alice).await;
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    let before = world.standings().await;
    let mut phone = Browser::new();
    phone
        .walk(&format!("{}/", approver(&world)), &mut alice)
        .await;
    for (delivery, word, expected) in [
        ("poll", "yes", "POST /withdraw/"),
        ("ping", "yes", "POST /withdraw/"),
        ("ping", "no", "It was not agreed to"),
    ] {
        let admin = &world.admin;
        admin
            .may_ask_by_ciba(&world.realm, delivery, &approver(&world))
            .await;
        if word == "yes" && delivery == "ping" {
            world.stepgate.edit("stepgate.toml", |config| {
                config.replace("detail = true\n", "detail = true\ndelivery = \"ping\"\n")
            });
            reload(&world).await;
        }
        let url = world.url(&format!("/withdraw/{delivery}"));
        let form = vec![("amount".to_owned(), "1".to_owned())];
        let waiting = world.browser.post(url.parse().unwrap(), form).await;
        let title = "Waiting for somebody to agree";
        assert!(waiting.body.contains(title), "{}", waiting.text());
        let (link, page) = finds(&world, &mut phone).await.unwrap();
        let code = waiting.body.split("which shows ").nth(1).unwrap();
        let code = code.get(..9).unwrap();
        assert!(page.body.contains(code), "{code}: {}", page.text());
        says(&mut phone, &link, word).await;
        let url = waiting.url.to_string();
        let page = until_it_has(&mut world.browser, &url, expected).await;
        assert!(
            page.body.contains(expected),
            "{delivery} {word}: {}",
            page.text()
        );
        // What Keycloak gave for it is a word on this, and proves nothing else.
        assert_eq!(world.standings().await, before);
    }
}

fn sub(token: &str) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}
