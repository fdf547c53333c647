//! What was agreed to is what is sent, once, and nothing else.

use std::time::Duration;

use futures_util::future::join_all;

use stepgate::gate::Whose;

use super::*;
use crate::flows::answers::json as problem;
use crate::harness::{field, status, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_waits_and_comes_back_once() {
    let world = World::careful().await;
    let asked = world.pays("amount=42", None).await;
    assert_eq!(
        (asked.status, asked.code()),
        (403, "approval-required"),
        "{asked:?}"
    );
    assert_eq!(asked.body["summary"], "Pay 7: 42");
    let id = asked.id();
    let status_url = asked.body["status_url"].as_str().unwrap();
    assert_eq!(status_url, world.url(&format!("/.stepgate/approval/{id}")));
    // 2027-01-15T08:00:00Z, and ten minutes.
    assert_eq!(asked.body["expires_at"], "2027-01-15T08:10:00Z");

    // Asked again, it is the same one; used too early, it is none.
    assert_eq!(world.has_asked().await, id);
    let early = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (early.status, early.code()),
        (403, "approval-pending"),
        "{early:?}"
    );
    assert_eq!(world.standing(&id).await, "pending");
    assert_eq!(world.hit_count(), 1, "but for the first page");

    // Whoever waits is told as soon as it changes.
    let wait = async {
        let headers = [("prefer", "respond-async, wait=30")];
        told_to(&world.browser, "GET", status_url, &headers, "").await
    };
    let vote = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.vote(&id, "carol", Answer::Yes).await
    };
    let (waited, voted) = tokio::join!(wait, vote);
    assert!(matches!(voted, Changed::Done(_)), "{voted:?}");
    assert_eq!(waited.body["status"], "approved", "{waited:?}");
    assert_eq!(waited.body["use_until"], "2027-01-15T08:10:00Z");

    let sent = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (sent.status, sent.body.as_str()),
        (200, Some("app POST /pay/7"))
    );
    let hit = world.last_hit();
    assert_eq!(hit.body, "amount=42");
    assert_eq!(hit.header("stepgate-approval"), "");
    assert_eq!(hit.header("content-type"), FORM.1);
    assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
    let state = world.state(&id).await;
    assert_eq!(state.body["status"], "consumed");
    assert_eq!(state.body["app_status"], 200);

    let again = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    assert_eq!(world.hit_count(), 2);
    let line = world
        .audited("approval-consumed", "payroll/four-eyes")
        .await;
    assert_eq!(line["sub"], "sub-alice");
    world.audited("approval-asked", "payroll/four-eyes").await;
}

/// Nor is anybody who has its cookie; under a later id it is the same session.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_no_more_when_their_session_has_ended() {
    let mut world = World::careful().await;
    let id = world.has_asked().await;
    let waits = world.waits(&id, &world.cookie_line());
    world.is_waited_for().await;
    world.lands("/mfa/1", "alice").await;
    world.is_waited_for().await;
    assert!(!waits.is_finished());
    let gate = world.stepgate.operations().gate();
    let whose = Whose::Subject("sub-alice".to_owned());
    assert!(!gate.revoke(&whose, 0).await.unwrap().is_empty());
    let told = waits.await.unwrap();
    assert_eq!(status(&told), 401, "{told}");
    assert_eq!(problem(&told)["code"], "login", "{told}");
    assert!(field(&told, "www-authenticate").starts_with("Cookie"));
    assert!(!told.contains("Pay 7"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_come_back_with_one_yes_one_gets_through() {
    let world = World::careful().await;
    let id = world.agreed().await;
    let all = join_all((0..64).map(|_| world.pays("amount=42", Some(&id)))).await;
    let sent = all.iter().filter(|told| told.status == 200).count();
    assert_eq!(sent, 1);
    assert!(
        all.iter().all(|told| matches!(told.status, 200 | 409)),
        "{all:?}"
    );
    assert_eq!(world.hit_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_is_what_is_sent_and_nothing_else() {
    let mut world = World::careful().await;
    let id = world.agreed().await;
    let approval = ("stepgate-approval", id.as_str());
    let plain = (
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    let key = ("idempotency-key", "k");
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r str);
    let rows: [Row<'_>; 8] = [
        ("POST", "/pay/7", &[FORM], "amount=43"),
        ("POST", "/pay/7", &[FORM], "amount=42&x"),
        ("POST", "/pay/7?a=1", &[FORM], "amount=42"),
        ("POST", "/pay/7/", &[FORM], "amount=42"),
        ("POST", "/pay/8", &[FORM], "amount=42"),
        ("PUT", "/pay/7", &[FORM], "amount=42"),
        ("POST", "/pay/7", &[plain], "amount=42"),
        ("POST", "/pay/7", &[FORM, key], "amount=42"),
    ];
    for (method, path, headers, body) in rows {
        let headers = [headers, &[approval]].concat();
        let told = world.told(method, path, &headers, body).await;
        let expected = (409, "approval-of-another-request");
        assert_eq!(
            (told.status, told.code()),
            expected,
            "{method} {path} {headers:?} {body}"
        );
    }
    // Another route that needs another approval.
    let headers = [JSON, approval];
    let other = world
        .told("POST", "/order", &headers, r#"{"what":"a"}"#)
        .await;
    assert_eq!(
        (other.status, other.code()),
        (409, "approval-of-another-request")
    );
    // Two ids, and none at all.
    for wrong in [vec![approval, approval], vec![("stepgate-approval", "a b")]] {
        let headers = [vec![FORM], wrong].concat();
        let told = world.told("POST", "/pay/7", &headers, "amount=42").await;
        assert_eq!(
            (told.status, told.code()),
            (400, "approval-reference"),
            "{told:?}"
        );
    }
    let unknown = [FORM, ("stepgate-approval", "AAAAAAAAAAAAAAAAAAAAAA")];
    let told = world.told("POST", "/pay/7", &unknown, "amount=42").await;
    assert_eq!((told.status, told.code()), (403, "no-such-approval"));

    // Another session of the same user, and another user.
    for user in ["alice", "bob"] {
        let first = std::mem::replace(&mut world.browser, Browser::new());
        world.visit("/", user).await;
        let told = world.pays("amount=42", Some(&id)).await;
        assert_eq!(
            (told.status, told.code()),
            (403, "no-such-approval"),
            "{user}"
        );
        assert_eq!(world.state(&id).await.status, 404, "{user}");
        world.browser = first;
    }

    // Under another policy.
    let hits = world.hit_count();
    world.stepgate.edit("policies/payroll.toml", |text| {
        text.replace(
            "path     = \"/pay/{id}\"",
            "path     = \"/pay/{id}\"\nrequire  = { level = \"password\", max_age = \"10h\" }",
        )
    });
    let reloaded = world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    let told = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (409, "approval-of-another-request"),
        "{told:?}"
    );
    assert_eq!(world.hit_count(), hits, "nothing was sent");
    assert_eq!(world.standing(&id).await, "approved", "and nothing used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_and_the_end_of_its_time_are_final() {
    let world = World::careful().await;
    let denied = world.has_asked().await;
    assert!(matches!(
        world.vote(&denied, "carol", Answer::No).await,
        Changed::Done(_)
    ));
    assert!(matches!(
        world.vote(&denied, "dave", Answer::Yes).await,
        Changed::Refused(_)
    ));
    let told = world.pays("amount=42", Some(&denied)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-denied"),
        "{told:?}"
    );

    // Nobody is asked again at once.
    let told = world.pays("amount=42", None).await;
    assert_eq!(
        (told.status, told.code()),
        (429, "approval-denied-lately"),
        "{told:?}"
    );
    world.clock.advance(60);

    let late = world.has_asked().await;
    assert_ne!(late, denied);
    world.clock.advance(600);
    assert!(matches!(
        world.vote(&late, "carol", Answer::Yes).await,
        Changed::Refused(_)
    ));
    let told = world.pays("amount=42", Some(&late)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-expired"),
        "{told:?}"
    );

    let unused = world.agreed().await;
    world.clock.advance(600);
    let told = world.pays("amount=42", Some(&unused)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "approval-expired"),
        "{told:?}"
    );

    let cancelled = world.has_asked().await;
    let path = format!("/.stepgate/approval/{cancelled}");
    assert_eq!(world.told("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(world.standing(&cancelled).await, "cancelled");
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_of_what_could_be_read_otherwise() {
    let world = World::careful().await;
    let large = format!("amount=42&x={}", "x".repeat(64 << 10));
    type Row<'r> = (&'r str, (&'r str, &'r str), &'r str, u16, &'r str);
    let other_method = "method-override";
    let rows: [Row<'_>; 16] = [
        ("/pay/7", FORM, "amount=42&amount=43", 400, "repeated"),
        ("/pay/7", FORM, "amount=42&amount[=43", 400, "repeated"),
        ("/pay/7?amount=1", FORM, "amount=42", 400, "repeated"),
        ("/order?what=b", JSON, r#"{"what":"a"}"#, 400, "repeated"),
        ("/draw?sum=1", JSON, r#"{"sum":2}"#, 400, "repeated"),
        ("/draw?sum=1", PLAIN, "sum=2", 400, "content-type"),
        ("/pay/7", FORM, "amount=4&_method=PUT", 400, other_method),
        ("/pay/7?_method=PUT", FORM, "amount=4", 400, other_method),
        ("/call", FORM, "_method=PUT", 400, other_method),
        ("/call", JSON, r#"{"_method":"PUT"}"#, 400, other_method),
        ("/pay/7", FORM, "sum=42", 400, "absent"),
        ("/pay/7", FORM, "amount=%ff", 400, "not-utf-8"),
        ("/pay/7", JSON, "amount=42", 400, "content-type"),
        (
            "/order",
            JSON,
            r#"{"what":"a","what":"b"}"#,
            400,
            "duplicate-key",
        ),
        ("/PAY/7", FORM, "amount=42", 400, "ambiguous"),
        ("/pay/7", FORM, &large, 413, "body-too-large"),
    ];
    for (path, kind, body, status, code) in rows {
        let told = world.told("POST", path, &[kind], body).await;
        assert_eq!(
            (told.status, told.code()),
            (status, code),
            "{path} {body:.40}"
        );
    }
    // Two approvals are never both given.
    let told = world
        .told(
            "POST",
            "/pay/7",
            &[FORM, ("content-encoding", "gzip")],
            "amount=42",
        )
        .await;
    assert_eq!((told.status, told.code()), (400, "encoded"));
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Accept: application/json",
    ];
    let answer = world.raw_with("GET /export", &upgrade, "").await;
    assert!(answer.contains("approval-of-a-stream"), "{answer}");
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_takes_what_the_session_has_proven() {
    let mut world = World::careful().await;
    world.lands("/mfa/1", "alice").await;
    assert_eq!(world.status("/mfa/1").await, 200);
    let id = world.has_asked().await;
    let other = world
        .told("POST", "/order", &[JSON], r#"{"what":"a"}"#)
        .await
        .id();
    world.vote(&id, "carol", Answer::Report).await;
    assert_eq!(world.standing(&id).await, "denied");
    // What else the session has asked for is not agreed to by somebody who knows nothing of it.
    assert_eq!(world.standing(&other).await, "denied");
    let late = world.vote(&other, "dave", Answer::Yes).await;
    assert!(matches!(late, Changed::Refused(_)), "{late:?}");
    assert_eq!(world.status("/mfa/1").await, 401);
    assert_eq!(world.status("/").await, 200, "signed in all the same");
    world.audited("approval-voted", "report").await;
    world.audited("approval-decided", "denied").await;
    world.audited("alarm", "approval-reported").await;
}

/// What is sent has used its yes up, whether or not it arrives; what surely does not, has not.
#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_not_sent_again() {
    let closing = |_, _| async { None };
    let (app, seen) = upstream(closing).await;
    let url = format!("http://{app}");
    let mut world = World::twisted(Twist {
        upstream: Some(&url),
        ..twist()
    })
    .await;
    world.visit("/", "alice").await;
    let id = world.agreed().await;
    assert_eq!(world.pays("amount=42", Some(&id)).await.status, 502);
    let again = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    let arrived = seen.lock().unwrap().clone();
    let arrived = arrived.iter().filter(|header| header.contains("/pay/7"));
    assert_eq!(arrived.count(), 1);
    let state = world.state(&id).await;
    assert_eq!(state.body["status"], "consumed");
    assert_eq!(state.body["app_status"], Value::Null);
    world
        .audited("approval-consumed", "payroll/four-eyes")
        .await;

    let mut world = World::twisted(Twist {
        upstream: Some("http://127.0.0.1:1"),
        ..twist()
    })
    .await;
    let page = world.visit("/", "alice").await.page;
    assert!(page.status.is_server_error(), "{}", page.text());
    let id = world.agreed().await;
    // That nothing listens there was seen just now.
    assert!(world.status("/").await >= 500);
    let told = world.pays("amount=42", Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (503, "upstream-down"),
        "{told:?}"
    );
    assert_eq!(world.standing(&id).await, "approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_risky_needs_a_yes() {
    let mut world = World::careful().await;
    let refund =
        async |method: &str, body: &str| world.told(method, "/refund", &[FORM], body).await;
    let small = refund("POST", "amount=100&note=x").await;
    assert_eq!(
        (small.status, small.body.as_str()),
        (200, Some("app POST /refund"))
    );
    assert_eq!(world.last_hit().body, "amount=100&note=x");
    assert_eq!(refund("PUT", "amount=5000").await.status, 200);
    assert_eq!(world.last_hit().body, "amount=5000");
    let hits = world.hit_count();
    for (body, status, code) in [
        ("amount=101", 403, "approval-required"),
        ("amount=101&x", 409, "another-approval-pending"),
        ("amount=1,00", 409, "another-approval-pending"),
        ("amount=1&amount=5000", 400, "repeated"),
        ("sum=1", 400, "absent"),
        ("amount=1&_method=PUT", 400, "method-override"),
    ] {
        let told = refund("POST", body).await;
        assert_eq!((told.status, told.code()), (status, code), "{body}");
    }
    assert_eq!(world.hit_count(), hits);
    // A page's form, too.
    let page = world.submits("/refund", "amount=7").await;
    assert_eq!(page.body, "app POST /refund", "{}", page.text());
    assert_eq!(world.last_hit().body, "amount=7");
}
