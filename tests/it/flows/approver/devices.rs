//! One person with two browsers: one asks, and the other one's key says yes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

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
        let told: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        told["challenge"].as_str().unwrap().to_owned()
    }

    async fn enrols(&mut self, key: &Key) -> Page {
        let challenge = self.challenge("enrol").await;
        let lines = [
            "stepgate device v1: enrol",
            &self.origin,
            &key.id(),
            &challenge,
        ];
        let form = [
            ("name", "Alice's phone"),
            ("key", &key.public()),
            ("challenge", &challenge),
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

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_and_agrees_by_a_second_device_and_it_goes_on_once() {
    let mut world = World::with_leads().await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    let devices = phone.enrols(&key).await;
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
    world.browser.seen.append(&mut phone.browser.seen);
}

/// Devices are where the sessions are: both stores, and a restart for the one that keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_outlives_a_restart_and_not_its_removal() {
    let mut world = World::with_leads().await;
    let mut phone = world.lead("alice").await;
    let key = Key::new();
    phone.enrols(&key).await;
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
