//! Sign-ins somewhere else that Keycloak asks about (CIBA), where a device has to sign the yes.

use super::*;

const REQUIRED: &str = r#"
[keycloak.ciba]
clients = { teller = "The teller's desk" }
level   = "mfa"
device  = "required"
"#;

impl House {
    /// Alice with a phone that she has just added.
    async fn with_ciba(ciba: &str) -> (Self, Key) {
        let (house, key) = (Self::with(ciba).await, Key::new());
        for (cookie, sid) in [(PHONE, "phone"), (DESK, "desk")] {
            house
                .has_session(cookie, "alice", ALICE, "key", Some(sid))
                .await;
        }
        assert_eq!(house.enrols(PHONE, &key).await.status, 303);
        (house, key)
    }

    /// The same, and it may decide by now.
    async fn ready() -> (Self, Key) {
        let (house, key) = Self::with_ciba(REQUIRED).await;
        house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
        (house, key)
    }

    async fn is_asked(&self, message: &str) -> ApprovalId {
        let alice = Person {
            iss: ISSUER.to_owned(),
            sub: "alice".to_owned(),
        };
        let asked = self.gate.is_asked(alice, message).await;
        ApprovalId(asked.unwrap().id)
    }

    async fn answers(&self, who: &str, id: &ApprovalId, form: &str) -> Page {
        let line = format!("POST {}", href(id));
        self.sends(who, &line, form, &[]).await
    }

    /// As the script does it.
    async fn signs_yes(&self, who: &str, id: &ApprovalId, key: &Key) -> String {
        let page = self.sees(who, &href(id)).await;
        let challenge = self.challenge(who, &id.0).await;
        signed(key, id, &binding(&page), "yes", &challenge)
    }

    /// How often it was decided on.
    fn decided(&self) -> usize {
        self.audit().matches("\"event\":\"ciba-decided\"").count()
    }
}

fn signed(key: &Key, id: &ApprovalId, binding: &str, answer: &str, challenge: &str) -> String {
    let lines = [
        "stepgate device v1: decide",
        HERE,
        &id.0,
        binding,
        answer,
        "",
        challenge,
    ];
    form(&[
        ("answer", "yes"),
        ("device", &key.id()),
        ("challenge", challenge),
        ("signature", &key.signs(&lines)),
    ])
}

#[tokio::test]
async fn a_yes_is_signed_by_a_device_and_a_no_by_nothing() {
    let (house, key) = House::ready().await;
    let id = house.is_asked("PAY-1").await;
    let page = house.sees(PHONE, &href(&id)).await;
    for text in ["id=\"sign\"", "data-ready", "/device.js", "PAY-1"] {
        assert!(page.has(text), "{text}: {}", page.body);
    }
    assert!(!page.has("name=\"answer\" value=\"yes\"></p>"));
    assert!(!page.has("<button class=\"button\" name=\"answer\""));
    let bare = house.answers(PHONE, &id, "answer=yes").await;
    assert_eq!(
        (bare.status, bare.reason),
        (403, Some("device-missing")),
        "{}",
        bare.body
    );
    assert!(bare.has("has to be signed by one of your devices") && bare.has("id=\"sign\""));
    assert_eq!(house.decided(), 0);
    let signed = house.signs_yes(PHONE, &id, &key).await;
    let said = house.answers(PHONE, &id, &signed).await;
    assert_eq!((said.status, said.reason), (303, Some("voted")));
    let audit = house.audit();
    let mut lines = audit.lines().filter(|line| line.contains("ciba-decided"));
    let line = lines.next().unwrap();
    assert!(
        line.contains(&key.id()) && line.contains("\"yes\""),
        "{line}"
    );
    let page = house.sees(PHONE, &href(&id)).await;
    assert!(
        !page.has("<form") && !page.has("/device.js"),
        "{}",
        page.body
    );
    let devices = house.sees(PHONE, "/devices").await;
    assert!(devices.has("decided last"), "{}", devices.body);
    // Any browser of hers says no, and that it was not her.
    for (answer, decided) in [("no", 2), ("report", 3)] {
        house.clock.0.fetch_add(1000, Ordering::SeqCst);
        let id = house.is_asked(answer).await;
        let page = house.sees(DESK, &href(&id)).await;
        assert!(page.has("value=\"no\"") && page.has("value=\"report\""));
        let said = house.answers(DESK, &id, &format!("answer={answer}")).await;
        assert_eq!(said.status, 303, "{answer}: {}", said.body);
        assert_eq!(house.decided(), decided);
    }
}

#[tokio::test]
async fn a_signature_is_for_one_sign_in_one_session_and_one_time() {
    let (house, key) = House::ready().await;
    let (id, other) = (house.is_asked("PAY-1").await, house.is_asked("PAY-2").await);
    let own = binding(&house.sees(PHONE, &href(&id)).await);
    let others = binding(&house.sees(PHONE, &href(&other)).await);
    assert_ne!(own, others);
    for (binding, answer, of, who, reason) in [
        (&others, "yes", &id, PHONE, "device-signature"),
        (&own, "no", &id, PHONE, "device-signature"),
        // By the challenge of another one, or of another session.
        (&own, "yes", &other, PHONE, "device-challenge"),
        (&own, "yes", &id, DESK, "device-challenge"),
    ] {
        let challenge = house.challenge(who, &of.0).await;
        let form = signed(&key, &id, binding, answer, &challenge);
        let said = house.answers(PHONE, &id, &form).await;
        assert_eq!((said.status, said.reason), (403, Some(reason)));
    }
    let for_id = house.signs_yes(PHONE, &id, &key).await;
    let said = house.answers(PHONE, &other, &for_id).await;
    assert_eq!(said.reason, Some("device-signature"));
    for unknown in [Key::new(), Key::new()] {
        let form = house.signs_yes(PHONE, &id, &unknown).await;
        let said = house.answers(PHONE, &id, &form).await;
        assert_eq!(said.reason, Some("device-unknown"));
    }
    assert_eq!(house.decided(), 0);
    // Nobody else has a say, whatever they sign.
    house
        .has_session("dave phone", "dave", &["leads"], "key", Some("dave"))
        .await;
    assert_eq!(house.answers("dave phone", &id, &for_id).await.status, 404);
    // Twice at once: one is taken.
    let both = join_all([0, 1].map(|_| house.answers(PHONE, &id, &for_id))).await;
    let taken = both.iter().filter(|said| said.status == 303).count();
    assert_eq!((taken, house.decided()), (1, 1));
    // In time, and over by then.
    let late = house.signs_yes(PHONE, &other, &key).await;
    house.clock.0.fetch_add(120, Ordering::SeqCst);
    let said = house.answers(PHONE, &other, &late).await;
    assert_eq!((said.status, said.reason), (409, Some("vote-refused")));
    assert_eq!(house.decided(), 1);
}

#[tokio::test]
async fn a_device_that_is_new_or_was_added_for_less_does_not_count() {
    let (house, key) = House::with_ciba(REQUIRED).await;
    let id = house.is_asked("PAY-1").await;
    let page = house.sees(PHONE, &href(&id)).await;
    let says_so = page.has("This device is too new to decide.") && page.has("It can decide in");
    assert!(says_so && !page.has("data-ready"), "{}", page.body);
    let form = house.signs_yes(PHONE, &id, &key).await;
    let said = house.answers(PHONE, &id, &form).await;
    assert_eq!((said.status, said.reason), (403, Some("device-too-new")));

    let stricter = REQUIRED.replace("mfa", "key");
    let (house, _) = House::with_ciba(&stricter).await;
    let weak = Key::new();
    // As before that level was demanded.
    let device = Device {
        id: weak.id(),
        iss: ISSUER.to_owned(),
        sub: "alice".to_owned(),
        name: "Tablet".to_owned(),
        key: weak.public(),
        level: "mfa".to_owned(),
        enrolled: NOW,
        sid: "earlier".to_owned(),
        used: None,
    };
    house.gate.devices.enrol(&device, NOW).await.unwrap();
    house.clock.0.fetch_add(DAYS, Ordering::SeqCst);
    let id = house.is_asked("PAY-1").await;
    let form = house.signs_yes(PHONE, &id, &weak).await;
    let said = house.answers(PHONE, &id, &form).await;
    assert_eq!(said.reason, Some("device-of-a-lower-level"));
    house.store.down.store(true, Ordering::SeqCst);
    assert_eq!(house.answers(PHONE, &id, &form).await.status, 503);
    house.store.down.store(false, Ordering::SeqCst);
    assert_eq!(house.decided(), 0);
}

#[tokio::test]
async fn where_none_is_required_none_is_asked_for() {
    let (house, _) = House::with_ciba(&REQUIRED.replace("required", "none")).await;
    let id = house.is_asked("PAY-1").await;
    let page = house.sees(DESK, &href(&id)).await;
    assert!(!page.has("id=\"sign\"") && !page.has("/device.js"));
    assert!(page.has("name=\"answer\" value=\"yes\""), "{}", page.body);
    let said = house.answers(DESK, &id, "answer=yes").await;
    assert_eq!((said.status, house.decided()), (303, 1));
}
