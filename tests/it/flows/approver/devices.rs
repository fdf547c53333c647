//! One person with two browsers: one asks, and the other one's key says yes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

/// What a browser keeps to itself.
struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    #[expect(clippy::disallowed_methods, reason = "the key of a browser")]
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    fn id(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.pair.public_key().as_ref()))
    }

    fn signs(&self, lines: &[&str]) -> String {
        let text = lines.join("\n");
        let signature = self.pair.sign(&self.random, text.as_bytes()).unwrap();
        BASE64_URL_SAFE_NO_PAD.encode(signature)
    }
}

impl Lead {
    async fn challenge(&mut self, of: &str) -> String {
        let page = self.opens(&format!("/devices/challenges/{of}")).await;
        let told: Value = serde_json::from_str(&page.body).unwrap();
        told["challenge"].as_str().unwrap().to_owned()
    }

    /// By a flow of its own, whatever was proven before; what it brings.
    async fn brings(&mut self, world: &mut World, typed: &[&str]) -> Page {
        let page = self.opens("/devices/new").await;
        assert_eq!(page.status, 403, "{}", page.text());
        let way = page.link("/.stepgate/step-up").expect("a way to confirm");
        let before = replace(
            &mut world.browser,
            replace(&mut self.browser, Browser::new()),
        );
        let page = world.browser.open(&way).await;
        let walk = world.go_on(page, "alice").await;
        self.browser = replace(&mut world.browser, before);
        assert_eq!(walk.typed, typed);
        assert_eq!(heading(&walk.page), "Add this browser");
        walk.page
    }

    async fn enrols(&mut self, world: &mut World, key: &Key) -> Page {
        let page = self.brings(world, &["password", "code"]).await;
        self.signs_up(key, &challenge_of(&page)).await
    }

    async fn signs_up(&mut self, key: &Key, challenge: &str) -> Page {
        let lines = [
            "stepgate device v1: enrol",
            &self.origin,
            &key.id(),
            challenge,
        ];
        let form = [
            ("name", "Alice's phone"),
            ("key", &key.public()),
            ("challenge", challenge),
            ("signature", &key.signs(&lines)),
        ];
        self.says("/devices/new", &form).await
    }

    /// By the page, as its script does it.
    async fn agrees(&mut self, path: &str, key: &Key, number: &str) -> Page {
        let page = self.opens(path).await;
        let rest = page.body.split("data-binding=\"").nth(1);
        let binding = rest.and_then(|rest| rest.split('"').next()).unwrap_or("");
        let id = path.rsplit('/').next().unwrap();
        let challenge = self.challenge(id).await;
        let lines = [
            "stepgate device v1: decide",
            &self.origin,
            id,
            binding,
            "yes",
            number,
            &challenge,
        ];
        let form = [
            ("answer", "yes"),
            ("number", number),
            ("device", &key.id()),
            ("challenge", &challenge),
            ("signature", &key.signs(&lines)),
        ];
        self.says(path, &form).await
    }
}

fn challenge_of(page: &Page) -> String {
    let rest = page.body.split("name=\"challenge\" value=\"").nth(1);
    let rest = rest.unwrap_or_else(|| panic!("{}", page.text()));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_and_agrees_by_a_second_device_and_it_goes_on_once() {
    let mut world = World::with_leads().await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    let devices = phone.enrols(&mut world, &key).await;
    assert_eq!(heading(&devices), "My devices", "{}", devices.text());
    assert!(
        devices.body.contains("Alice&#x27;s phone"),
        "{}",
        devices.text()
    );

    let waiting = world.asks_for("/withdraw/7", "amount=42").await;
    assert!(
        waiting.body.contains("on another device of yours"),
        "{}",
        waiting.text()
    );
    let number = number(&waiting);
    let hits = world.hit_count();
    let path = phone.finds().await;
    // In the browser that asked, the approver app agrees to nothing, whatever is signed.
    let origin = world.approver();
    let url = format!("{origin}{path}");
    let page = world.browser.open(&url).await;
    let page = world.go_on(page, "alice").await.page;
    assert!(
        page.body.contains("in this very sign-in"),
        "{}",
        page.text()
    );
    let browser = replace(&mut world.browser, Browser::new());
    let mut desk = Lead { browser, origin };
    let said = desk.agrees(&path, &key, &number).await;
    assert_eq!(said.status, 403, "{}", said.text());
    // And a click alone is nothing on the phone.
    let form = [("answer", "yes"), ("number", &*number)];
    let said = phone.says(&path, &form).await;
    assert_eq!(said.status, 403, "{}", said.text());
    assert_eq!(world.hit_count(), hits);

    let said = phone.agrees(&path, &key, &number).await;
    assert_eq!(heading(&said), "Approved", "{}", said.text());
    world.browser = desk.browser;
    let page = world.looks_again(&waiting).await;
    assert_eq!(page.body, "app POST /withdraw/7", "{}", page.text());
    assert_eq!(world.last_hit().body, "amount=42");
    assert_eq!(world.hit_count(), hits + 1);
    let voted = world.audited("approval-voted", "yes").await;
    assert_eq!(voted["device"], key.id());
    assert_eq!(voted["channel"], "app");
    world.browser.seen.append(&mut phone.browser.seen);
}

/// Devices are where the sessions are: both stores, and a restart for the one that keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_outlives_a_restart_and_not_its_removal() {
    let mut world = World::with_leads().await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    phone.enrols(&mut world, &key).await;
    world.restart().await;
    let page = phone.opens("/devices").await;
    assert!(page.body.contains(&key.id()), "{}", page.text());
    let waiting = world.asks_for("/withdraw/7", "amount=42").await;
    let path = phone.finds().await;
    let id = key.id();
    let gone = phone
        .says("/devices", &[("do", "remove"), ("device", &id)])
        .await;
    assert!(!gone.body.contains(&id), "{}", gone.text());
    let said = phone.agrees(&path, &key, &number(&waiting)).await;
    assert_eq!(said.status, 403, "{}", said.text());
    let said = phone.says(&path, &[("answer", "no")]).await;
    assert_eq!(heading(&said), "Denied", "{}", said.text());
    let page = world.looks_again(&waiting).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    world.browser.seen.append(&mut phone.browser.seen);
}

/// However fresh a session is, and whatever else it was confirmed for: a device is added by what a flow brings that was
/// begun for it, in the session that began it, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_added_by_a_flow_of_its_own_alone() {
    let mut world = World::with_leads().await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    for path in ["/devices/new", "/devices/new?by=", "/devices/new?by=x"] {
        let page = phone.opens(path).await;
        assert_eq!(heading(&page), "Confirm that it is you", "{}", page.text());
    }
    // The same level, confirmed for another page.
    let way = "/.stepgate/step-up?level=mfa&return=%2Fdevices";
    let page = phone.opens(way).await;
    let before = replace(
        &mut world.browser,
        replace(&mut phone.browser, Browser::new()),
    );
    let walk = world.go_on(page, "alice").await;
    phone.browser = replace(&mut world.browser, before);
    assert_eq!(walk.page.url.query(), None, "{}", walk.page.url);
    let page = phone.opens("/devices/new").await;
    assert_eq!(heading(&page), "Confirm that it is you", "{}", page.text());
    // A lower one, confirmed for this page.
    let way = "/.stepgate/step-up?level=password&return=%2Fdevices%2Fnew";
    let page = phone.opens(way).await;
    let before = replace(
        &mut world.browser,
        replace(&mut phone.browser, Browser::new()),
    );
    let walk = world.go_on(page, "alice").await;
    phone.browser = replace(&mut world.browser, before);
    assert_eq!(
        heading(&walk.page),
        "Confirm that it is you",
        "{}",
        walk.page.text()
    );

    let page = phone.brings(&mut world, &["password", "code"]).await;
    let challenge = challenge_of(&page);
    // Another sign-in of the same person has nothing by it.
    let mut other = world.lead("alice").await;
    let said = other.signs_up(&key, &challenge).await;
    assert_eq!(heading(&said), "Confirm that it is you", "{}", said.text());
    let said = phone.signs_up(&key, &challenge).await;
    assert_eq!(heading(&said), "My devices", "{}", said.text());
    let said = phone.signs_up(&Key::new(), &challenge).await;
    assert_eq!(heading(&said), "Confirm that it is you", "{}", said.text());
    let page = other.opens("/devices").await;
    assert_eq!(
        page.body.matches("data-remove=").count(),
        1,
        "{}",
        page.text()
    );
    world.browser.seen.append(&mut phone.browser.seen);
    world.browser.seen.append(&mut other.browser.seen);
}

/// A program with a token: it asks, its user's phone says yes, it comes back with the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_with_a_token_and_its_user_agrees_by_a_device() {
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, APPROVER_APP)],
        policy: &[
            (LAST, MORE),
            (
                "identity    = {",
                "bearer = { audience = \"erp\" }\nidentity    = {",
            ),
            (
                "require     = { level = \"password\" }",
                "require     = { level = \"password\" }\nbearer_age = \"auth_time\"",
            ),
        ],
        ..Twist::default()
    })
    .await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    phone.enrols(&mut world, &key).await;
    let send = async |method: &str, path: &str, over: Value, id: Option<&str>| {
        let token = format!("Bearer {}", world.token(&over));
        let mut headers = vec![FORM, ("authorization", token.as_str())];
        headers.extend(id.map(|id| ("stepgate-approval", id)));
        let body = if method == "POST" { "amount=42" } else { "" };
        let (sent, url) = (Browser::new(), world.url(path));
        let answer = sent.send(method, &url, &headers, body.to_owned()).await;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let body = serde_json::from_str(&text).unwrap_or(Value::from(text));
        (status, body)
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (status, told) = send("POST", "/withdraw/7", json!({}), None).await;
    assert_eq!((status, &told["code"]), (403, &"approval-required".into()));
    let id = text(&told["approval_id"]);
    let state = format!("/.stepgate/approval/{id}");
    assert_eq!(told["status_url"], world.url(&state));
    let (_, told) = send("GET", &state, json!({}), None).await;
    assert_eq!(told["status"], "pending", "{told}");
    let number = text(&told["number"]);
    let path = phone.finds().await;
    assert_eq!(path, format!("/approvals/{id}"));
    // Too early, and by a click alone.
    let (status, told) = send("POST", "/withdraw/7", json!({}), Some(&id)).await;
    assert_eq!((status, &told["code"]), (403, &"approval-pending".into()));
    let form = [("answer", "yes"), ("number", &*number)];
    assert_eq!(phone.says(&path, &form).await.status, 403);
    assert_eq!(world.hit_count(), 0);

    let said = phone.agrees(&path, &key, &number).await;
    assert_eq!(heading(&said), "Approved", "{}", said.text());
    let (_, told) = send("GET", &state, json!({}), None).await;
    assert_eq!(told["status"], "approved", "{told}");
    let (status, told) = send("POST", "/withdraw/7", json!({}), Some(&id)).await;
    assert_eq!((status, text(&told)), (200, "app POST /withdraw/7".into()));
    assert_eq!(world.last_hit().body, "amount=42");
    let (status, told) = send("POST", "/withdraw/7", json!({}), Some(&id)).await;
    assert_eq!((status, &told["code"]), (409, &"approval-used".into()));
    assert_eq!(world.hit_count(), 1);

    // Nobody knows in which sign-in a token without `sid` was made: no device is a second one to it.
    let unknown = json!({ "sid": null });
    let (status, told) = send("POST", "/withdraw/8", unknown, None).await;
    assert_eq!(status, 403, "{told}");
    let path = format!("/approvals/{}", text(&told["approval_id"]));
    let page = phone.opens(&path).await;
    assert!(!page.body.contains("data-binding"), "{}", page.text());
    let said = phone.agrees(&path, &key, "").await;
    assert_eq!(said.status, 403, "{}", said.text());
    world.browser.seen.append(&mut phone.browser.seen);
}
