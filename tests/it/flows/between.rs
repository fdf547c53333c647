//! Between a proxy in front and an app behind: who is believed about the client, what only one upstream takes, and who
//! cannot be told to an app.

use serde_json::json;

use super::asking::claims;
use super::world::{Twist, World};
use crate::harness::{field, status};
use crate::oracle::sample_app;

const TRUSTED: &[(&str, &str)] = &[(
    "[sessions]",
    "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[sessions]",
)];

impl World {
    /// By alice's browser, with further header lines; header and body.
    async fn with(&self, request_line: &str, lines: &[&str]) -> String {
        let url: reqwest::Url = self.url("/").parse().unwrap();
        let host = self.origin.strip_prefix("http://").unwrap();
        let cookies = self.browser.cookies_for(&url);
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.stepgate
            .ask(&format!(
                "{request_line} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: close\r\n{lines}\r\n"
            ))
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_where_the_client_is() {
    let mut world = World::twisted(Twist {
        config: TRUSTED,
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    let office = ["X-Forwarded-For: 192.0.2.7"];
    for (lines, expected) in [
        (&office[..], 200),
        (&["Forwarded: for=192.0.2.7;proto=https"], 200),
        (&["X-Forwarded-For: 192.0.2.7, 10.1.1.1"], 200),
        (&["X-Forwarded-For: 203.0.113.5"], 403),
        // What the client itself put before what the proxy saw.
        (&["X-Forwarded-For: 192.0.2.7, 203.0.113.5"], 403),
        (
            &["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 203.0.113.5"],
            403,
        ),
        (&[], 403),
        (&["X-Forwarded-For: unknown"], 400),
        (&["X-Forwarded-For: 192.0.2.7,"], 400),
        (&["Forwarded: for=_hidden"], 400),
        (
            &["X-Forwarded-For: 192.0.2.7", "Forwarded: for=203.0.113.5"],
            400,
        ),
    ] {
        let answer = world.with("GET /office/x", lines).await;
        assert_eq!(status(&answer), expected, "{lines:?}: {answer}");
    }
    world.with("GET /office/x", &office).await;
    let hit = world.last_hit();
    assert_eq!(hit.header("x-forwarded-for"), "192.0.2.7, 127.0.0.1");
    assert_eq!(hit.header("x-real-ip"), "192.0.2.7");
    assert!(
        hit.header("forwarded")
            .starts_with("for=192.0.2.7, for=127.0.0.1;host="),
        "{}",
        hit.header("forwarded")
    );
    // Neither the host nor the scheme is theirs to choose.
    let forged = [
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Uri: /public/x",
        "X-Forwarded-Method: GET",
    ];
    world.with("POST /office/forged", &forged).await;
    let hit = world.last_hit();
    assert_eq!(hit.target, "/office/forged");
    assert_eq!(
        hit.header("x-forwarded-host"),
        world.origin.strip_prefix("http://").unwrap()
    );
    assert_eq!(hit.header("x-forwarded-proto"), "http");
    assert_eq!(hit.header("x-forwarded-uri"), "");
    assert_eq!(world.logged("/office/forged").await["client"], "192.0.2.7");
}

/// What one of an app's upstreams takes, another one still does not get; and every way of reading it is decided on.
#[tokio::test(flavor = "multi_thread")]
async fn a_relaxation_is_for_its_own_upstream() {
    let url = format!("http://{}", sample_app().await);
    let relaxed = format!(
        "[upstreams.relaxed]\nurl = \"{url}\"\naccept = [\"semicolon\", \"method-override\"]\n[upstreams.app]\n"
    );
    let mut world = World::twisted(Twist {
        upstream: Some(&url),
        config: &[("[upstreams.app]\n", &relaxed)],
        policy: &[(
            "[[routes]]\n",
            "[[routes]]\nid = \"relaxed\"\npath = \"/relaxed/**\"\nupstream = \"relaxed\"\n[[routes]]\n",
        )],
        ..Twist::default()
    })
    .await;
    world.visit("/x", "alice").await;
    let delete = ["X-HTTP-Method-Override: DELETE"];
    let answer = world.with("POST /relaxed/a;v=1", &delete).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains("POST /relaxed/a;v=1\n"), "{answer}");
    assert!(
        answer.contains("x-http-method-override: DELETE"),
        "{answer}"
    );
    let answer = world.with("POST /x;v=1", &delete).await;
    assert_eq!(status(&answer), 400, "{answer}");
    let answer = world.with("POST /x", &delete).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!answer.contains("method-override"), "{answer}");
    // Tomcat and its kin would serve this as /mfa/x.
    let answer = world.with("GET /mfa;v=1/x", &[]).await;
    assert_eq!(status(&answer), 401, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_would_read_as_two_is_not_told() {
    let mut world = World::new().await;
    world.realm.quirks().id_claims = claims(&json!({ "groups": ["clerks,admins"] }));
    let walk = world.visit("/x", "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert!(walk.page.body.contains("comma"), "{}", walk.page.text());
    assert_eq!(world.hit_count(), 0);
    let answer = world.with("GET /x", &["Accept: application/json"]).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(!field(&answer, "x-request-id").is_empty());
    assert!(answer.contains("ambiguous-identity"), "{answer}");
}
