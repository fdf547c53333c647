//! The configuration changes while stepgate runs: the new one whole or the old one, and nobody notices but by its effect.

use std::time::Duration;

use stepgate::server::{Refusal, Reloaded};

use crate::harness::{Stepgate, realm, status, upstream};

/// An app that tells what it was sent.
async fn telling() -> std::net::SocketAddr {
    let (app, _) = upstream(|header, mut wire| async move {
        let body = header.replace("\r\n", "\n");
        let length = body.len();
        wire.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        Some(wire)
    })
    .await;
    app
}

fn get(path: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_sees_the_new_configuration_and_lives_on() {
    let issuer = realm().await;
    let stepgate = Stepgate::before(telling().await, &issuer, "15s").await;
    let cookie = stepgate.log_in("alice").await;
    let before = stepgate.ask(&get("/x", &cookie)).await;
    assert!(before.contains("\nx-level: password\n"), "{before}");

    stepgate.edit("policies/app.toml", |text| {
        text.replace("{level}", "now {level}")
            + "[[routes]]\nid = \"more\"\npath = \"/more\"\npublic = true\n"
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    assert_eq!(reloaded.report(false), "reloaded\n");
    let after = stepgate.ask(&get("/x", &cookie)).await;
    assert_eq!(status(&after), 200, "{after}");
    assert!(after.contains("\nx-level: now password\n"), "{after}");
    let more = stepgate.ask(&get("/more", "none=1")).await;
    assert_eq!(status(&more), 200, "{more}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_to_the_configuration_that_it_began_with() {
    let (app, seen) = upstream(|_, mut wire| async {
        // The reload comes meanwhile.
        tokio::time::sleep(Duration::from_millis(700)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut busy = stepgate.wire().await;
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    crate::harness::eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    stepgate.edit("policies/app.toml", |text| {
        text.replace("app.localhost", "other.localhost")
    });
    assert!(stepgate.reloader.reload().await.is_applied());
    assert_eq!(status(&busy.answer().await), 200);
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["host"], "app.localhost", "{line}");
    // The next one on the same connection.
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    assert_eq!(status(&busy.answer().await), 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_is_told() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    stepgate.edit("policies/app.toml", |text| {
        text.replace("/public/**", "/elsewhere/**") + "\nlevl = 1\n"
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(!reloaded.is_applied());
    let report = reloaded.report(false);
    assert!(
        report.contains("error[SG0003]") && report.contains("levl"),
        "{report}"
    );
    assert!(
        report.ends_with("not reloaded: the configuration before is served on\n"),
        "{report}"
    );
    assert_eq!(status(&stepgate.ask(&get("/public/", "")).await), 200);
    let state = stepgate.reloader.reloads().status();
    assert!(!state.is_current());
    assert_eq!((state.applied, state.refused), (0, 1));

    stepgate.edit("policies/app.toml", |text| text.replace("levl = 1", ""));
    assert!(stepgate.reloader.reload().await.is_applied());
    assert_eq!(status(&stepgate.ask(&get("/elsewhere/", "")).await), 200);
    let state = stepgate.reloader.reloads().status();
    assert!(state.is_current());
    assert_eq!((state.applied, state.refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named_and_the_rest_applies() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    let listen = |from: &str, to: &str| {
        stepgate.edit("stepgate.toml", |text| text.replace(from, to));
    };
    listen("127.0.0.1:0", "127.0.0.1:1");
    stepgate.edit("policies/app.toml", |text| {
        text.replace("/public/**", "/elsewhere/**")
    });
    let reloaded = stepgate.reloader.reload().await;
    assert_eq!(
        reloaded.report(false),
        "reloaded; waits for a restart: listen\n"
    );
    assert_eq!(status(&stepgate.ask(&get("/elsewhere/", "")).await), 200);
    assert_eq!(
        stepgate.reloader.reloads().status().needs_restart,
        ["listen"]
    );
    listen("127.0.0.1:1", "127.0.0.1:0");
    let reloaded = stepgate.reloader.reload().await;
    assert_eq!(reloaded.report(false), "reloaded\n");
    assert!(
        stepgate
            .reloader
            .reloads()
            .status()
            .needs_restart
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_right_configuration_names_must_be_there() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    stepgate.edit("stepgate.toml", |text| {
        text.replace("[log]", "[log]\naudit = { file = \"/nowhere/audit.log\" }")
            .replace("audit  = \"off\"", "")
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(
        matches!(reloaded, Reloaded::Refused(Refusal::Start(_))),
        "{}",
        reloaded.report(false)
    );
    assert!(reloaded.report(false).contains("/nowhere/audit.log"));
    assert_eq!(status(&stepgate.ask(&get("/public/", "")).await), 200);
}
