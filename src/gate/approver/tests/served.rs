//! What is there for everybody, the languages of the pages, and what tells that something has changed.

use super::*;
use crate::model::session::Session;
use crate::seal::session_key;
use crate::store::Store as _;

#[tokio::test]
async fn a_stream_tells_that_something_has_changed() {
    let house = House::new().await;
    let approval = house.asked("two").await;
    let seen = |page: &Page| {
        let rest = page.body.split("data-seen=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    for (of, at) in [(live::INBOX, "/"), (&*approval.id.0, &*href(&approval.id))] {
        let known = seen(&house.sees("erin", at).await);
        let path = format!("/events?for={of}&seen={known}");
        let other = house
            .sees("erin", &format!("/events?for={of}&seen=other"))
            .await;
        assert_eq!(other.headers["content-type"], "text/event-stream");
        assert!(
            other.has("event: state") && other.has(&format!("id: {known}\n")),
            "{}",
            other.body
        );
        assert!(!other.has("two") && !other.has("alice"));
        let listens = house.sees("erin", &path);
        let acts = async {
            // It waits by now, or sees it at its first look.
            tokio::task::yield_now().await;
            let form = if of == live::INBOX {
                "answer=yes"
            } else {
                "answer=no"
            };
            let who = if of == live::INBOX { "dave" } else { "erin" };
            house.says(who, &approval, form).await
        };
        let (told, said) = tokio::join!(listens, acts);
        assert_eq!(said.status, 303);
        assert!(
            told.has("event: state") && !told.has(&known),
            "{}",
            told.body
        );
    }
}

/// Whoever waits is looked at again: without the group, or the session, there is nothing more to be told.
#[tokio::test]
async fn a_stream_ends_with_whom_it_was_for() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let key = |who: &str| session_key(&format!("{who} mfa"));
    for who in ["dave", "erin"] {
        let one = house.sees(who, &href(&approval.id)).await;
        let seen = one.body.split("data-seen=\"").nth(1).unwrap();
        let seen = seen.split('"').next().unwrap();
        let path = format!("/events?for={}&seen={seen}", approval.id.0);
        let ends = async {
            tokio::task::yield_now().await;
            if who == "erin" {
                return house.store.delete(&key(who)).await.map(|_| ());
            }
            let lost = |session: &mut Session| session.identity.groups.clear();
            house.gate.update(&key(who), lost).await.map(|_| ())
        };
        let (told, ended) = tokio::join!(house.sees(who, &path), ends);
        ended.unwrap();
        match who {
            "erin" => assert_eq!(told.status, 404),
            _ => assert!(told.has("event: state"), "{}", told.body),
        }
        let one = house.sees(who, &href(&approval.id)).await;
        assert!(!one.has("Something plain"), "{}", one.body);
        assert_ne!(one.status, 200, "{who}");
    }
}

/// Without a change it ends by itself, and says nothing.
#[tokio::test(start_paused = true)]
async fn a_stream_does_not_wait_for_ever() {
    let house = House::new().await;
    let inbox = house.sees("dave", "/").await;
    let known = inbox.body.split("data-seen=\"").nth(1).unwrap();
    let known = known.split('"').next().unwrap();
    let path = format!("/events?for=inbox&seen={known}");
    let told = house.sees("dave", &path).await;
    assert_eq!(told.status, 200);
    assert!(!told.has("event:") && told.has("retry:"), "{}", told.body);
    let last = [("last-event-id", known), ("accept", "text/event-stream")];
    let told = house
        .sends("dave", "GET /events?for=inbox&seen=x", "", &last)
        .await;
    assert!(!told.has("event:"), "{}", told.body);
}

#[tokio::test]
async fn pages_speak_german_and_say_so() {
    let house = House::new().await;
    house.asked("plain").await;
    let page = house
        .sends(
            "dave",
            "GET /",
            "",
            &[("accept-language", "de-CH,de;q=0.9")],
        )
        .await;
    assert!(
        page.has("Wartet auf Sie") && page.has("lang=\"de\""),
        "{}",
        page.body
    );
    let vary = page.headers["vary"].to_str().unwrap();
    assert!(vary.contains("Accept-Language"), "{vary}");
}

#[tokio::test]
async fn what_everybody_gets_needs_nobody() {
    let house = House::new().await;
    for (path, kind) in [
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/worker.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/manifest.webmanifest", "application/manifest+json"),
    ] {
        let page = house.sees("", path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], kind);
        assert_eq!(
            house
                .sends("", &format!("POST {path}"), "", &[])
                .await
                .status,
            405
        );
    }
    let manifest = house.sees("", "/manifest.webmanifest").await.body;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["display"], "standalone");
    assert_eq!(manifest["name"], "Approvals");
    let page = house.sees("dave", "/").await;
    let csp = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(csp.contains(part), "{csp}");
    }
    assert!(!csp.contains("unsafe"));
}
