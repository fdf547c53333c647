//! Who sees what, and at which level; and from where nothing is decided.

use super::*;
use crate::gate::approvals::Changed;
use crate::model::approval::Vote;

#[tokio::test]
async fn whoever_asks_looks_on_and_can_say_that_it_was_somebody_else() {
    let house = House::new().await;
    let approval = house.asked("pick").await;
    let page = house.sees("alice", &href(&approval.id)).await;
    assert!(page.has("somebody else decides") && page.has("value=\"report\""));
    assert!(
        !page.has("value=\"yes\"") && !page.has("name=\"number\""),
        "{}",
        page.body
    );
    let form = format!("answer=yes&number={}", number(&approval));
    for form in [&*form, "answer=no"] {
        let said = house.says("alice", &approval, form).await;
        assert_eq!(said.status, 403, "{form}");
        assert_eq!(house.status(&approval).await, "pending");
    }
    assert_eq!(
        house.says("alice", &approval, "answer=report").await.status,
        303
    );
    assert_eq!(house.status(&approval).await, "reported");
}

#[tokio::test]
async fn what_is_not_theirs_is_not_there() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let known = house.sees("mallory", &href(&approval.id)).await;
    let unknown = house
        .sees("mallory", "/approvals/AAAAAAAAAAAAAAAAAAAAAA")
        .await;
    assert_eq!((known.status, &known.body), (404, &unknown.body));
    assert_eq!(known.reason, unknown.reason);
    for form in ["answer=yes", "answer=no", "answer=report"] {
        let said = house.says("mallory", &approval, form).await;
        assert_eq!((said.status, &said.body), (404, &known.body));
    }
    assert_eq!(house.status(&approval).await, "pending");
    assert!(!house.sees("mallory", "/").await.has("Something plain"));
    let stream = format!("/events?for={}", approval.id.0);
    assert_eq!(house.sees("mallory", &stream).await.status, 404);
}

/// Where no channel tells them, they hear of it all the same.
#[tokio::test]
async fn what_was_passed_in_their_place_stands_in_the_inbox_of_whoever_could_have_agreed() {
    let house = House::new().await;
    for (rule, summary, channel) in [
        ("plain", "Something plain", "break-glass"),
        ("strict", "Something secret", "operator"),
    ] {
        let approval = house.asked(rule).await;
        let vote = Vote {
            person: approval.requester.person.clone(),
            name: "alice".to_owned(),
            answer: Answer::Yes,
            reason: Some("it burns".to_owned()),
            channel: channel.to_owned(),
            at: house.now(),
        };
        let approvals = house.gate.approvals();
        let passed = approvals.overrule(&approval.id, &vote, house.now()).await;
        assert!(matches!(passed, Ok(Changed::Done(_))));
        for who in ["dave", "erin"] {
            let inbox = house.sees(who, "/").await;
            assert!(inbox.has("Passed without agreement"), "{}", inbox.body);
            assert!(inbox.has(&href(&approval.id)), "{}", inbox.body);
            // At its level alone.
            assert_eq!(inbox.has(summary), rule == "plain", "{}", inbox.body);
        }
        let inbox = house.sees("mallory", "/").await;
        assert!(!inbox.has("Passed without agreement"), "{}", inbox.body);
        // Agreed to in the ordinary way it is not.
        let other = house.asked("two").await;
        house.says("dave", &other, "answer=yes").await;
        let inbox = house.sees("erin", "/").await;
        assert_eq!(
            inbox.body.matches("/approvals/").count(),
            if rule == "plain" { 2 } else { 3 }
        );
        house.says("erin", &other, "answer=no").await;
    }
}

#[tokio::test]
async fn only_a_form_of_this_host_decides() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let line = format!("POST {}", href(&approval.id));
    for origin in [
        "http://app.localhost",
        "http://approve.localhost:8080",
        "https://approve.localhost",
        "null",
    ] {
        let said = house
            .sends("dave", &line, "answer=yes", &[("origin", origin)])
            .await;
        assert_eq!(
            (said.status, said.reason),
            (403, Some("cross-site")),
            "{origin}"
        );
    }
    for path in ["?answer=yes", "?answer=no", ""] {
        let page = house
            .sees("dave", &format!("{}{path}", href(&approval.id)))
            .await;
        assert_eq!(page.status, 200);
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        let line = format!("{method} {}", href(&approval.id));
        let said = house.sends("dave", &line, "answer=yes", &[]).await;
        assert_eq!(said.status, 405, "{method}");
    }
    for form in ["", "answer=yes&answer=no", "answer=maybe"] {
        assert_eq!(
            house.says("dave", &approval, form).await.status,
            400,
            "{form}"
        );
    }
    assert_eq!(house.status(&approval).await, "pending");
}

#[tokio::test]
async fn a_request_is_read_and_decided_at_its_own_level() {
    let house = House::new().await;
    let approval = house.asked("strict").await;
    let inbox = house.sees("dave", "/").await;
    assert!(
        inbox.has("Security key") && !inbox.has("Something secret"),
        "{}",
        inbox.body
    );
    let page = house.sees("dave", &href(&approval.id)).await;
    assert_eq!(page.status, 403);
    assert!(
        page.has("/.stepgate/step-up?level=key&amp;return="),
        "{}",
        page.body
    );
    assert!(!page.has("Something secret") && !page.has("alice"));
    let said = house.says("dave", &approval, "answer=yes&reason=x").await;
    assert_eq!(said.status, 401);
    assert_eq!(
        said.headers["refresh"],
        format!("0; url={}", href(&approval.id)).as_str()
    );
    assert_eq!(house.status(&approval).await, "pending");
    house.signs_in("dave", &["leads"], "key").await;
    let page = house.sees("dave key", &href(&approval.id)).await;
    assert!(
        page.has("Something secret") && page.has("required"),
        "{}",
        page.body
    );
    let said = house
        .says("dave key", &approval, "answer=yes&reason=+")
        .await;
    assert_eq!(said.status, 422);
    assert!(said.has("A reason is needed."));
    assert_eq!(
        house
            .says("dave key", &approval, "answer=yes&reason=I+asked+her")
            .await
            .status,
        303
    );
    let page = house.sees("dave key", &href(&approval.id)).await;
    assert!(page.has("I asked her"));
    // What was read with the key is not read without it.
    let history = house.sees("dave", "/history").await;
    assert!(history.has("Security key") && !history.has("Something secret"));
    assert!(
        house
            .sees("dave key", "/history")
            .await
            .has("Something secret")
    );
}

#[tokio::test]
async fn nobody_without_the_apps_level_gets_in() {
    let house = House::new().await;
    house.signs_in("dave", &["leads"], "password").await;
    let approval = house.asked("plain").await;
    let path = href(&approval.id);
    for who in ["", "dave password"] {
        for path in ["/", "/history", &path, "/events?for=inbox", "/nothing"] {
            let page = house.sees(who, path).await;
            // The provider of this test cannot be reached.
            assert_eq!(page.status, 503, "{who} {path}: {}", page.body);
            let program = [("accept", "application/json")];
            let page = house.sends(who, &format!("GET {path}"), "", &program).await;
            assert_eq!(page.status, 401, "{who} {path}");
            assert!(!page.has("Something plain"));
        }
        let said = house.says(who, &approval, "answer=yes").await;
        assert_eq!(said.status, 401, "{who}");
        assert_eq!(said.headers["refresh"], format!("0; url={path}").as_str());
    }
    assert_eq!(house.status(&approval).await, "pending");
}

/// [`House::sends`] panics at anything that is more than an answer.
#[tokio::test]
async fn nothing_on_that_host_ever_goes_on() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let one = href(&approval.id);
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND",
    ] {
        for path in [
            "/",
            &one,
            "/plain",
            "/static/x",
            "/events",
            "/approvals/",
            "/approvals/a/b",
            "/?stepgate=x",
            "/.well-known/x",
        ] {
            for who in ["", "dave", "mallory"] {
                for more in [
                    &[][..],
                    &[("upgrade", "websocket"), ("connection", "upgrade")],
                    &[("content-type", "application/grpc")],
                    &[("authorization", "Bearer x")],
                    &[("access-control-request-method", "POST")],
                ] {
                    if path == "/events" && method == "GET" {
                        continue;
                    }
                    house
                        .sends(who, &format!("{method} {path}"), "", more)
                        .await;
                }
            }
        }
    }
    assert_eq!(house.status(&approval).await, "pending");
}
