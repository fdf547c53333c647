//! How a device comes to somebody's own and goes, and who hears of it.

use serde_json::json;

use super::*;
use crate::notify::push::testing::{AUTH, UA_PUBLIC, opened};
use crate::notify::testing::{Receiver, status};

#[tokio::test]
async fn a_new_device_waits_and_the_others_hear_of_it() {
    let house = House::of_alice().await;
    let key = Key::new();
    assert_eq!(house.enrols(PHONE, &key).await.status, 303);
    for path in ["/", "/devices"] {
        let there = house.sees(DESK, path).await;
        assert!(there.has("A device was added to yours:"), "{}", there.body);
        assert!(!house.sees(PHONE, path).await.has("was added to yours"));
        assert!(!house.sees("dave", path).await.has("was added to yours"));
    }
    let day = 24 * 60 * 60;
    for (later, expected) in [(0, 403), (day - 1, 403), (day, 303)] {
        house.clock.0.store(later, Ordering::SeqCst);
        let approval = house.asked("own").await;
        let page = house.sees(PHONE, &href(&approval.id)).await;
        let is_ready = page.has("data-ready");
        assert_eq!(is_ready, expected == 303, "{later}");
        let signed = house.signs(PHONE, &approval, &key, "").await;
        let said = house.says(PHONE, &approval, &signed).await;
        assert_eq!(said.status, expected, "{later} {:?}", said.reason);
        if expected == 403 {
            assert_eq!(said.reason, Some("device-too-new"));
            house.says(PHONE, &approval, "answer=no").await;
        }
    }
}

#[tokio::test]
async fn a_device_that_is_removed_decides_on_nothing_more() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    let signed = house.signs(PHONE, &approval, &key, "").await;
    // Nobody else removes it, and from any sign-in of its owner's it is gone at once.
    let body = form(&[("do", "remove"), ("device", &key.id())]);
    house.sends("dave", "POST /devices", &body, &[]).await;
    assert!(house.sees(PHONE, "/devices").await.has("My phone"));
    let renamed = form(&[
        ("do", "rename"),
        ("device", &key.id()),
        ("name", "Old <phone>"),
    ]);
    house.sends(DESK, "POST /devices", &renamed, &[]).await;
    let page = house.sees(PHONE, "/devices").await;
    assert!(page.has("Old &lt;phone&gt;"), "{}", page.body);
    let said = house.sends(DESK, "POST /devices", &body, &[]).await;
    assert_eq!(said.status, 303);
    assert!(
        house
            .sees(PHONE, "/devices")
            .await
            .has("You have added none.")
    );
    let said = house.says(PHONE, &approval, &signed).await;
    assert_eq!(said.reason, Some("device-unknown"));
    assert_eq!(house.status(&approval).await, "pending");
    assert!(house.audit().contains("device-removed"));
    for path in ["/", "/devices"] {
        let there = house.sees(PHONE, path).await;
        assert!(there.has("devices was removed"), "{path}: {}", there.body);
        for who in [DESK, "dave"] {
            assert!(!house.sees(who, path).await.has("was removed"), "{who}");
        }
    }
    for origin in ["http://app.localhost", "null"] {
        let more = [("origin", origin)];
        let said = house.sends(PHONE, "POST /devices", &body, &more).await;
        assert_eq!(said.reason, Some("cross-site"));
    }
}

/// The highest level that any such approval needs, proven a moment ago; and with a key that is there.
#[tokio::test]
async fn a_device_is_enrolled_by_whoever_has_just_proven_who_they_are() {
    let house = House::of_alice().await;
    let key = Key::new();
    let app = house.gate.config().approver_app.as_ref().unwrap();
    let ladder = &house.gate.config().ladder;
    assert_eq!(ladder.name_of(app.device_level), "key");
    house
        .has_session("alice mfa 2", "alice", ALICE, "mfa", Some("mfa"))
        .await;
    let page = house.sees("alice mfa 2", "/devices/new").await;
    assert_eq!(page.status, 403);
    let way = "/.stepgate/step-up?level=key&amp;return=";
    assert!(page.has(way) && page.has("devices%2Fnew"), "{}", page.body);
    let said = house.enrols("alice mfa 2", &key).await;
    let step_up = Some("step-up");
    assert_eq!((said.status, said.reason), (403, step_up));
    let early = house.brought(PHONE).await;
    let page = format!("/devices/new?by={early}");
    for (later, status) in [(299, 200), (300, 403)] {
        house.clock.0.store(later, Ordering::SeqCst);
        assert_eq!(house.sees(PHONE, &page).await.status, status, "{later}");
    }
    house.clock.0.store(302, Ordering::SeqCst);
    assert_eq!(house.enrols(PHONE, &key).await.reason, step_up);
    house.clock.0.store(0, Ordering::SeqCst);
    // Nobody knows which sign-in it is.
    house.signs_in("alice", ALICE, "key").await;
    assert_eq!(house.enrols("alice key", &key).await.status, 403);
    assert!(
        house
            .sees(PHONE, "/devices")
            .await
            .has("You have added none.")
    );

    // Signed in a moment ago, and not for this.
    assert_eq!(house.sees(PHONE, "/devices/new").await.reason, step_up);
    let path = "/devices/challenges/enrol";
    assert_eq!(house.sees(PHONE, path).await.status, 404);
    let challenge = house.brought(PHONE).await;
    let page = format!("/devices/new?by={challenge}");
    let there = house.sees(PHONE, &page).await;
    assert!(
        there.status == 200 && there.has(&challenge),
        "{}",
        there.body
    );
    assert_eq!(house.sees(DESK, &page).await.reason, step_up);
    let lines = ["stepgate device v1: enrol", HERE, &key.id(), &challenge];
    let (public, right) = (key.public(), key.signs(&lines));
    let other = Key::new();
    let compressed = BASE64_URL_SAFE_NO_PAD.encode([2; 33]);
    let no_point = BASE64_URL_SAFE_NO_PAD.encode([4; 65]);
    for (name, key, signature) in [
        ("Phone", &other.public(), &right),
        ("Phone", &public, &other.signs(&lines)),
        ("Phone", &public, &String::new()),
        ("Phone", &compressed, &right),
        ("Phone", &no_point, &right),
        ("", &public, &right),
        ("a\nb", &public, &right),
    ] {
        let body = form(&[
            ("name", name),
            ("key", key),
            ("challenge", &challenge),
            ("signature", signature),
        ]);
        let said = house.sends(PHONE, "POST /devices/new", &body, &[]).await;
        assert_eq!(said.status, 400, "{name} {key}: {}", said.body);
    }
    let body = form(&[
        ("name", "Phone"),
        ("key", &public),
        ("challenge", &challenge),
        ("signature", &right),
    ]);
    let said = house.sends(DESK, "POST /devices/new", &body, &[]).await;
    assert_eq!(said.reason, step_up, "another session's challenge");
    let said = house.sends(PHONE, "POST /devices/new", &body, &[]).await;
    assert_eq!(said.status, 303, "{}", said.body);
    let said = house.sends(PHONE, "POST /devices/new", &body, &[]).await;
    assert_eq!(said.reason, step_up, "once more");
    assert_eq!(house.sees(PHONE, &page).await.reason, step_up);
    assert_eq!(house.enrols(PHONE, &key).await.status, 409, "once more");
}

#[tokio::test]
async fn a_person_has_only_so_many_devices() {
    let house = House::of_alice().await;
    for _ in 0..crate::gate::devices::SHARE {
        assert_eq!(house.enrols(PHONE, &Key::new()).await.status, 303);
    }
    assert_eq!(house.enrols(PHONE, &Key::new()).await.status, 409);
    let page = house.sees(PHONE, "/devices").await;
    assert!(!page.has("href=\"/devices/new\""), "{}", page.body);
}

/// A page on which it could be decided with that device hears of it.
#[tokio::test]
async fn a_stream_tells_that_a_device_was_removed() {
    let (house, key) = House::with_phone().await;
    let approval = house.asked("own").await;
    let page = house.sees(PHONE, &href(&approval.id)).await;
    let seen = page.body.split("data-seen=\"").nth(1).unwrap();
    let seen = seen.split('"').next().unwrap();
    let path = format!("/events?for={}&seen={seen}", approval.id.0);
    let removes = async {
        tokio::task::yield_now().await;
        let body = form(&[("do", "remove"), ("device", &key.id())]);
        house.sends(DESK, "POST /devices", &body, &[]).await
    };
    let (told, removed) = tokio::join!(house.sees(PHONE, &path), removes);
    assert_eq!(removed.status, 303);
    assert!(told.has("event: state"), "{}", told.body);
    let after = house.sees(PHONE, &href(&approval.id)).await;
    assert!(!after.has("data-ready"), "{}", after.body);
}

/// What an older sign-in's browser is pushed, and where nobody has to look.
#[tokio::test]
async fn the_owners_browsers_are_told_of_what_is_added_and_removed() {
    let service = Receiver::new(vec![status(201, "")]).await;
    let house = House::with(PUSH).await;
    for (who, sid) in [(DESK, "desk"), (PHONE, "phone")] {
        house
            .has_session(who, "alice", ALICE, "key", Some(sid))
            .await;
    }
    let keys = json!({ "p256dh": UA_PUBLIC, "auth": AUTH });
    let given = json!({ "endpoint": service.url("/alice"), "keys": keys }).to_string();
    let is_json = [("content-type", "application/json")];
    let done = house.sends(DESK, "POST /push/subscribe", &given, &is_json);
    assert_eq!(done.await.status, 200);
    let given = given.replace("/alice", "/dave");
    let done = house.sends("dave", "POST /push/subscribe", &given, &is_json);
    assert_eq!(done.await.status, 200);

    let key = Key::new();
    assert_eq!(house.enrols(PHONE, &key).await.status, 303);
    let heard = service.hears(1).await;
    assert!(heard[0].line.starts_with("POST /alice "), "{heard:?}");
    let told: serde_json::Value = serde_json::from_slice(&opened(&heard[0].body)).unwrap();
    assert_eq!(told["event"], "added");
    let body = form(&[("do", "remove"), ("device", &key.id())]);
    let said = house.sends(PHONE, "POST /devices", &body, &[]).await;
    assert_eq!(said.status, 303);
    let heard = service.hears(2).await;
    assert!(heard[1].line.starts_with("POST /alice "), "{heard:?}");
    let told: serde_json::Value = serde_json::from_slice(&opened(&heard[1].body)).unwrap();
    assert_eq!(told["event"], "removed");
    // The one that was pushed to says so, too.
    let inbox = house.sees(DESK, "/").await;
    assert!(inbox.has("devices was removed"), "{}", inbox.body);
}
