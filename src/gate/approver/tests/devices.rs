//! One person with two browsers: what the second one's key is good for, and what nothing makes good.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom as Rng;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::*;
use crate::gate::devices::Device;
use crate::gate::sessions::Held;
use crate::seal::session_key;
use crate::store::Store as _;

mod enrolling;
mod sign_ins;

const ALICE: &[&str] = &["clerks"];

/// Alice's session in the browser of `cookie`.
const PHONE: &str = "alice phone";
const DESK: &str = "alice desk";

/// Longer than the app wants of a new device by itself.
const DAYS: i64 = 2 * 24 * 60 * 60;

/// What a browser does with its key.
struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &rng()).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &rng()).unwrap())
    }

    fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    fn id(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.public_key().as_ref()))
    }

    fn signs(&self, lines: &[&str]) -> String {
        let text = lines.join("\n");
        let signature = self.0.sign(&rng(), text.as_bytes()).unwrap();
        BASE64_URL_SAFE_NO_PAD.encode(signature)
    }
}

#[expect(clippy::disallowed_methods, reason = "the key of a browser")]
fn rng() -> Rng {
    Rng::new()
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Of a page's form, as the script reads it.
fn binding(page: &Page) -> String {
    let rest = page.body.split("data-binding=\"").nth(1);
    let rest = rest.unwrap_or_else(|| panic!("{}", page.body));
    rest.split('"').next().unwrap().to_owned()
}

impl House {
    /// Alice at her desk, where she asks, and with her phone; each signed in by itself, with the key for codes.
    async fn of_alice() -> Self {
        let house = Self::new().await;
        house
            .has_session(DESK, "alice", ALICE, "key", Some("desk"))
            .await;
        house
            .has_session(PHONE, "alice", ALICE, "key", Some("phone"))
            .await;
        house
    }

    async fn challenge(&self, who: &str, of: &str) -> String {
        let page = self.sees(who, &format!("/devices/challenges/{of}")).await;
        let told: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        told["challenge"].as_str().unwrap().to_owned()
    }

    /// What a flow brings back that was begun for it.
    async fn brought(&self, who: &str) -> String {
        let key = session_key(who);
        let live = self.store.get(&key, self.now()).await.unwrap().unwrap();
        let held = Held { key, live };
        self.gate
            .fresh_challenge(&held, HERE, proof::ENROL, self.now())
    }

    async fn enrols(&self, who: &str, key: &Key) -> Page {
        let challenge = self.brought(who).await;
        let lines = ["stepgate device v1: enrol", HERE, &key.id(), &challenge];
        let body = form(&[
            ("name", "My phone"),
            ("key", &key.public()),
            ("challenge", &challenge),
            ("signature", &key.signs(&lines)),
        ]);
        self.sends(who, "POST /devices/new", &body, &[]).await
    }

    /// A phone that may decide.
    async fn with_phone() -> (Self, Key) {
        let (house, key) = (Self::of_alice().await, Key::new());
        let said = house.enrols(PHONE, &key).await;
        assert_eq!((said.status, said.reason), (303, Some("device-enrolled")));
        house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
        (house, key)
    }

    /// As the script does it.
    async fn signs(&self, who: &str, approval: &Approval, key: &Key, number: &str) -> String {
        let page = self.sees(who, &href(&approval.id)).await;
        let challenge = self.challenge(who, &approval.id.0).await;
        let lines = [
            "stepgate device v1: decide",
            HERE,
            &approval.id.0,
            &binding(&page),
            "yes",
            number,
            &challenge,
        ];
        let mut fields = vec![("answer", "yes"), ("challenge", &challenge)];
        let (id, signature) = (key.id(), key.signs(&lines));
        fields.extend([("device", &*id), ("signature", &*signature)]);
        if !number.is_empty() {
            fields.push(("number", number));
        }
        form(&fields)
    }

    fn audit(&self) -> String {
        self.audit.lock().unwrap().join("\n")
    }
}

#[tokio::test]
async fn a_second_device_says_yes_and_a_script_is_not_enough() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    for (path, text) in [
        ("/", "Something of my own"),
        (&*href(&approval.id), "id=\"sign\""),
        (&*href(&approval.id), "data-ready"),
        ("/devices", "My phone"),
        ("/devices", "has not decided yet"),
    ] {
        let page = house.sees(PHONE, path).await;
        assert!(page.has(text), "{path} {text}: {}", page.body);
    }
    let bare = house.says(PHONE, &approval, "answer=yes").await;
    assert_eq!(
        (bare.status, bare.reason),
        (403, Some("device-missing")),
        "{}",
        bare.body
    );
    assert_eq!(house.status(&approval).await, "pending");
    let signed = house.signs(PHONE, &approval, &key, "").await;
    let said = house.says(PHONE, &approval, &signed).await;
    assert_eq!(said.status, 303, "{}", said.body);
    assert_eq!(house.status(&approval).await, "approved");
    let devices = house.sees(PHONE, "/devices").await;
    assert!(devices.has("decided last"), "{}", devices.body);
    let audit = house.audit();
    let id = key.id();
    for kind in ["device-enrolled", "approval-voted"] {
        let mut lines = audit.lines().filter(|line| line.contains(kind));
        assert!(lines.any(|line| line.contains(&id)), "{kind}: {audit}");
    }
    for kind in ["approval-voted", "approval-decided"] {
        let mut lines = audit.lines().filter(|line| line.contains(kind));
        let is_app = |line: &str| line.contains("\"channel\":\"app\"");
        assert!(lines.all(is_app), "{kind}: {audit}");
    }
}

#[tokio::test]
async fn with_a_number_it_is_signed_and_has_to_be_right() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own-pick").await;
    let right = number(&approval).to_owned();
    // Another one than was signed is not counted as a try.
    let signed = house
        .signs(PHONE, &approval, &key, &wrong(&approval))
        .await
        .replace(
            &format!("number={}", wrong(&approval)),
            &format!("number={right}"),
        );
    let said = house.says(PHONE, &approval, &signed).await;
    assert_eq!(said.reason, Some("device-signature"));
    let signed = house.signs(PHONE, &approval, &key, &right).await;
    assert_eq!(house.says(PHONE, &approval, &signed).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    let approval = house.asked("own-pick").await;
    let signed = house.signs(PHONE, &approval, &key, &wrong(&approval)).await;
    assert_eq!(house.says(PHONE, &approval, &signed).await.status, 422);
    assert_eq!(house.status(&approval).await, "number");
}

/// What is signed for one thing is good for nothing else, and once.
#[tokio::test]
async fn a_signature_is_for_one_request_one_session_and_one_time() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    let other = house.asked("either").await;
    house
        .has_session("alice tablet", "alice", ALICE, "key", Some("tablet"))
        .await;
    let signed = house.signs(PHONE, &approval, &key, "").await;
    let elsewhere = house.says("alice tablet", &approval, &signed).await;
    assert_eq!(elsewhere.reason, Some("device-challenge"));
    let for_other = house.says(PHONE, &other, &signed).await;
    assert_eq!(for_other.reason, Some("device-signature"));
    // By the challenge of another request.
    let challenge = house.challenge(PHONE, &other.id.0).await;
    let lines = [
        "stepgate device v1: decide",
        HERE,
        &approval.id.0,
        &binding(&house.sees(PHONE, &href(&approval.id)).await),
        "yes",
        "",
        &challenge,
    ];
    let body = form(&[
        ("answer", "yes"),
        ("device", &key.id()),
        ("challenge", &challenge),
        ("signature", &key.signs(&lines)),
    ]);
    let said = house.says(PHONE, &approval, &body).await;
    assert_eq!(said.reason, Some("device-challenge"));
    // Late.
    let late = house.signs(PHONE, &approval, &key, "").await;
    house.clock.0.fetch_add(300, Ordering::SeqCst);
    let said = house.says(PHONE, &approval, &late).await;
    assert_eq!(said.reason, Some("device-challenge"));
    assert_eq!(house.status(&approval).await, "pending");
    // Twice at once: one is taken; and what was taken is not taken for the next one.
    let signed = house.signs(PHONE, &approval, &key, "").await;
    let both = join_all([0, 1].map(|_| house.says(PHONE, &approval, &signed))).await;
    let taken = both.iter().filter(|said| said.status == 303).count();
    assert_eq!(taken, 1);
    assert_eq!(house.status(&approval).await, "approved");
    assert_eq!(house.status(&other).await, "pending");
}

#[tokio::test]
async fn another_text_is_another_signature() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    let own = binding(&house.sees(PHONE, &href(&approval.id)).await);
    let (id, other) = (&*approval.id.0, Key::new());
    let lines = |challenge: &str| -> Vec<String> {
        let lines = [
            "stepgate device v1: decide",
            HERE,
            id,
            &own,
            "yes",
            "",
            challenge,
        ];
        lines.map(str::to_owned).to_vec()
    };
    for (at, changed) in [
        (0, "stepgate device v1: enrol"),
        (1, "http://app.localhost"),
        (2, "another"),
        (3, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        (4, "no"),
        (5, "42"),
    ] {
        let challenge = house.challenge(PHONE, id).await;
        let mut lines = lines(&challenge);
        lines[at] = changed.to_owned();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let body = form(&[
            ("answer", "yes"),
            ("device", &key.id()),
            ("challenge", &challenge),
            ("signature", &key.signs(&lines)),
        ]);
        let said = house.says(PHONE, &approval, &body).await;
        assert_eq!(said.reason, Some("device-signature"), "{changed}");
    }
    let challenge = house.challenge(PHONE, id).await;
    let right = lines(&challenge);
    let right: Vec<_> = right.iter().map(String::as_str).collect();
    for signature in [
        other.signs(&right),
        String::new(),
        "!".to_owned(),
        "A".repeat(86),
        key.signs(&right) + "AA",
        // As ASN.1 has it, and not as the Web Cryptography API does.
        BASE64_URL_SAFE_NO_PAD.encode([0x30, 0x06, 2, 1, 1, 2, 1, 1]),
    ] {
        let body = form(&[
            ("answer", "yes"),
            ("device", &key.id()),
            ("challenge", &challenge),
            ("signature", &signature),
        ]);
        let said = house.says(PHONE, &approval, &body).await;
        assert_eq!(said.reason, Some("device-signature"), "{signature}");
    }
    assert_eq!(house.status(&approval).await, "pending");
    assert!(!house.audit().contains("approval-voted"));
}

/// Whoever has the session that asked has nothing by it, whatever keys they have.
#[tokio::test]
async fn in_the_sign_in_that_asked_nothing_is_agreed_to() {
    let (house, key) = House::with_phone().await;
    let (at_desk, unknown) = (Key::new(), Key::new());
    house
        .has_session("alice desk again", "alice", ALICE, "key", Some("desk"))
        .await;
    let said = house.enrols("alice desk again", &at_desk).await;
    assert_eq!(said.status, 303);
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    let approval = house.asked("own").await;
    let page = house.sees(DESK, &href(&approval.id)).await;
    assert!(
        !page.has("id=\"sign\"") && page.has("in this very sign-in"),
        "{}",
        page.body
    );
    let there = binding(&house.sees(PHONE, &href(&approval.id)).await);
    for (who, key, reason) in [
        (DESK, &key, "device-of-the-same-sign-in"),
        (DESK, &at_desk, "device-of-the-same-sign-in"),
        (PHONE, &at_desk, "device-of-the-same-sign-in"),
        (PHONE, &unknown, "device-unknown"),
    ] {
        let challenge = house.challenge(who, &approval.id.0).await;
        let lines = [
            "stepgate device v1: decide",
            HERE,
            &approval.id.0,
            &there,
            "yes",
            "",
            &challenge,
        ];
        let body = form(&[
            ("answer", "yes"),
            ("device", &key.id()),
            ("challenge", &challenge),
            ("signature", &key.signs(&lines)),
        ]);
        let said = house.says(who, &approval, &body).await;
        assert_eq!((said.status, said.reason), (403, Some(reason)), "{who}");
    }
    // Nobody knows which sign-in it is.
    house.signs_in("alice", ALICE, "key").await;
    let said = house.says("alice key", &approval, "answer=yes").await;
    assert_eq!(said.reason, Some("device-of-the-same-sign-in"));
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_no_needs_no_device() {
    let house = House::of_alice().await;
    for (who, form, state) in [
        (PHONE, "answer=no", "denied"),
        (DESK, "answer=no", "denied"),
        (DESK, "answer=report", "reported"),
    ] {
        let approval = house.asked("own").await;
        let page = house.sees(who, &href(&approval.id)).await;
        assert!(page.has("value=\"no\"") && page.has("this was not me"));
        assert_eq!(house.says(who, &approval, form).await.status, 303);
        assert_eq!(house.status(&approval).await, state);
    }
}

#[tokio::test]
async fn nobody_else_has_a_say_unless_they_are_named_as_well() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    for who in ["dave", "mallory"] {
        assert_eq!(house.sees(who, &href(&approval.id)).await.status, 404);
        assert_eq!(house.says(who, &approval, "answer=yes").await.status, 404);
    }
    // Somebody else's key, in the requester's place.
    house
        .has_session("dave phone", "dave", &["leads"], "key", Some("dave"))
        .await;
    let daves = Key::new();
    assert_eq!(house.enrols("dave phone", &daves).await.status, 303);
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    let approval = house.asked("either").await;
    let signed = house.signs(PHONE, &approval, &daves, "").await;
    let said = house.says(PHONE, &approval, &signed).await;
    assert_eq!(said.reason, Some("device-unknown"));
    assert_eq!(
        house.says("dave", &approval, "answer=yes").await.status,
        303
    );
    assert_eq!(house.status(&approval).await, "approved");
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    let approval = house.asked("either").await;
    let signed = house.signs(PHONE, &approval, &key, "").await;
    assert_eq!(house.says(PHONE, &approval, &signed).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
}

#[tokio::test]
async fn what_was_enrolled_for_less_decides_on_less() {
    let house = House::of_alice().await;
    let key = Key::new();
    // As before the policy had a route that needs more.
    let device = Device {
        id: key.id(),
        iss: ISSUER.to_owned(),
        sub: "alice".to_owned(),
        name: "Phone".to_owned(),
        key: key.public(),
        level: "mfa".to_owned(),
        enrolled: NOW,
        sid: "earlier".to_owned(),
        used: None,
    };
    house.gate.devices.enrol(&device, NOW).await.unwrap();
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    for (rule, reason) in [
        ("hard", Some("device-of-a-lower-level")),
        ("own", Some("voted")),
    ] {
        let approval = house.asked(rule).await;
        let signed = house.signs(PHONE, &approval, &key, "").await;
        let said = house.says(PHONE, &approval, &signed).await;
        assert_eq!(said.reason, reason, "{rule}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_counts_no_device() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    let signed = house.signs(PHONE, &approval, &key, "").await;
    house.store.down.store(true, Ordering::SeqCst);
    for said in [
        house.says(PHONE, &approval, &signed).await,
        house.sees(PHONE, "/devices").await,
        house.sees(PHONE, "/devices/new").await,
        house.sends(PHONE, "POST /devices", "do=test", &[]).await,
    ] {
        assert_eq!(said.status, 503);
    }
    house.store.down.store(false, Ordering::SeqCst);
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_test_says_that_there_is_nobody_to_tell() {
    let house = House::of_alice().await;
    let page = house.sends(PHONE, "POST /devices", "do=test", &[]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.has("this installation has no Web Push"),
        "{}",
        page.body
    );
}
