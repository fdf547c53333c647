//! Which answer to whom: navigations, scripts, frames, forms, prefetches, WebSockets; and what hostile clients send.

use serde_json::Value;

use super::world::World;
use crate::harness::{field, status};

impl World {
    /// A request by hand, with these header lines and the browser's cookies; header and body.
    pub(super) async fn raw(&self, request_line: &str, headers: &[&str]) -> String {
        self.raw_with(request_line, headers, "").await
    }

    pub(super) async fn raw_with(
        &self,
        request_line: &str,
        headers: &[&str],
        body: &str,
    ) -> String {
        let url: reqwest::Url = self.url("/").parse().unwrap();
        let host = self.origin.strip_prefix("http://").unwrap();
        let mut lines = vec![
            format!("{request_line} HTTP/1.1"),
            format!("Host: {host}"),
            "Connection: close".to_owned(),
        ];
        let cookies = self.browser.cookies_for(&url);
        if !cookies.is_empty() && !headers.iter().any(|line| line.starts_with("Cookie")) {
            lines.push(format!("Cookie: {cookies}"));
        }
        lines.extend(headers.iter().map(ToString::to_string));
        let header = lines.join("\r\n");
        self.stepgate.ask(&format!("{header}\r\n\r\n{body}")).await
    }
}

pub(super) fn json(answer: &str) -> Value {
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_navigation_of_a_page_starts_a_flow() {
    let page = [
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
        "Accept: text/html",
    ];
    let world = World::signed_in("alice", "/").await;
    let rows: [(&str, &[&str], u16); 15] = [
        ("GET /mfa/1", &page, 303),
        ("HEAD /key/1", &page, 303),
        // Nobody looks at it.
        (
            "GET /mfa/2",
            &[
                "Sec-Fetch-Mode: navigate",
                "Sec-Fetch-Dest: document",
                "Sec-Purpose: prefetch",
            ],
            401,
        ),
        (
            "GET /mfa/2",
            &[
                "Sec-Fetch-Mode: navigate",
                "Sec-Fetch-Dest: document",
                "Sec-Purpose: prefetch;prerender",
            ],
            401,
        ),
        (
            "GET /mfa/2",
            &[
                "Sec-Fetch-Mode: cors",
                "Sec-Fetch-Dest: empty",
                "Accept: text/html",
            ],
            401,
        ),
        (
            "GET /mfa/2",
            &["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
            401,
        ),
        (
            "GET /mfa/2",
            &[
                "Sec-Fetch-Mode: navigate",
                "Sec-Fetch-Dest: iframe",
                "Accept: text/html",
            ],
            401,
        ),
        ("GET /mfa/2", &["Accept: application/json"], 401),
        ("GET /mfa/2", &["Accept: */*"], 401),
        (
            "GET /mfa/2",
            &["X-Requested-With: XMLHttpRequest", "Accept: text/html"],
            401,
        ),
        (
            "GET /mfa/2",
            &["HX-Request: true", "Accept: text/html"],
            401,
        ),
        ("GET /mfa/2", &["Accept: text/event-stream"], 401),
        (
            "GET /mfa/2",
            &[
                "Upgrade: websocket",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version: 13",
            ],
            401,
        ),
        (
            "OPTIONS /mfa/2",
            &[
                "Origin: https://elsewhere.example",
                "Access-Control-Request-Method: POST",
            ],
            401,
        ),
        ("GET /mfa/2", &["User-Agent: kube-probe/1.30"], 401),
    ];
    for (line, headers, expected) in rows {
        let asked = world.asked();
        let answer = world.raw(line, headers).await;
        assert_eq!(status(&answer), expected, "{line} {headers:?}: {answer}");
        let flow = answer.contains("-flow-");
        assert_eq!(flow, expected == 303, "{line} {headers:?}: {answer}");
        assert_eq!(field(&answer, "cache-control"), "no-store", "{line}");
        assert_eq!(world.asked(), asked, "the browser goes there, not we");
    }
    assert_eq!(world.hit_count(), 1);
    // Browsers that do not say what they want it for.
    let world = World::new().await;
    let answer = world.raw("GET /x", &["Accept: text/html,*/*;q=0.8"]).await;
    assert_eq!(status(&answer), 303, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_needs_more_is_told_whatever_it_sends() {
    let world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (status, problem) = world.fetch(method, "/mfa/form").await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (401, Some("step-up")),
            "{method}"
        );
    }
    assert_eq!(world.hit_count(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_tell_programs_what_helps_and_no_more() {
    let world = World::signed_in("alice", "/").await;
    let answer = world
        .raw("GET /mfa/x?secret=1", &["Accept: application/json"])
        .await;
    assert_eq!(field(&answer, "content-type"), "application/problem+json");
    assert_eq!(
        field(&answer, "www-authenticate"),
        "Cookie realm=\"stepgate\", error=\"insufficient_user_authentication\", \
         error_description=\"This needs a stronger or more recent sign-in\", acr_values=\"mfa\""
    );
    let problem = json(&answer);
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["request_id"], field(&answer, "x-request-id"));
    assert!(!answer.contains("secret"), "{answer}");
    let line = world.logged("/mfa/x").await;
    assert_eq!(line["id"], problem["request_id"]);
    assert_eq!(
        (&line["decision"], &line["reason"]),
        (&"step-up".into(), &"missing".into())
    );
    assert_eq!(
        (&line["have"], &line["need"]),
        (&"password".into(), &"mfa".into())
    );

    let denied = world
        .raw("GET /office/x", &["Accept: application/json"])
        .await;
    assert_eq!(
        (status(&denied), json(&denied)["code"].as_str()),
        (403, Some("forbidden"))
    );
    assert_eq!(field(&denied, "www-authenticate"), "", "no sign-in helps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_is_answered_without_a_body() {
    let world = World::signed_in("alice", "/").await;
    for path in [
        "/mfa/x",
        "/office/x",
        "/.stepgate/me",
        "/.stepgate/nothing",
        "/a//b",
    ] {
        let answer = world
            .raw(&format!("HEAD {path}"), &["Accept: application/json"])
            .await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_endpoints_are_matched_exactly_and_never_forwarded() {
    let world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    for (line, expected) in [
        ("GET /.stepgate/ping", 200),
        ("GET /.stepgate/me", 200),
        ("GET /.stepgate/me/", 404),
        ("GET /.stepgate/", 404),
        ("GET /.stepgate/ME", 404),
        ("GET /.stepgate/nothing", 404),
        ("POST /.stepgate/me", 405),
        ("GET /.stepgate/backchannel-logout", 405),
        ("GET /.stepgate/me?x=1", 200),
        ("GET /.stepgate/step-up?level=none", 400),
        ("GET /%2estepgate/me", 400),
        ("GET /.stepgate%2fme", 400),
        ("GET /x/../.stepgate/me", 400),
    ] {
        let answer = world
            .raw(line, &["Accept: application/json", "Content-Length: 0"])
            .await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
    }
    // Another spelling is another path, and the app's.
    for line in ["GET /.Stepgate/me", "GET /.stepgatex/me"] {
        let answer = world.raw(line, &["Accept: application/json"]).await;
        assert!([200, 404].contains(&status(&answer)), "{line}: {answer}");
    }
    let reached: Vec<_> = world.hits.lock().unwrap()[hits..]
        .iter()
        .map(|hit| hit.target.clone())
        .collect();
    assert!(
        reached
            .iter()
            .all(|target| !target.starts_with("/.stepgate/")),
        "{reached:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_by_a_header() {
    let world = World::new().await;
    for header in [
        "X-Forwarded-User: admin",
        "X_Forwarded_User: admin",
        "X-Auth-Request-User: admin",
        "Remote-User: admin",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJhY3IiOiJtZmEifQ.",
        "Authorization: Basic YWRtaW46YWRtaW4=",
        "X-Original-URL: /public/x",
        "X-Rewrite-URL: /public/x",
        "X-HTTP-Method-Override: GET",
        "X-Forwarded-Prefix: /public",
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-Host: elsewhere.localhost",
    ] {
        let answer = world
            .raw("GET /mfa/x", &[header, "Accept: application/json"])
            .await;
        assert_eq!(status(&answer), 401, "{header}: {answer}");
    }
    assert_eq!(world.hit_count(), 0);

    // Signed in: they reach the app neither as they are nor in other spellings.
    let mut world = World::signed_in("alice", "/").await;
    let forged = [
        "X-Forwarded-User: admin",
        "x_forwarded_user: admin",
        "X-FORWARDED_USER: admin",
        "X.Forwarded.User: admin",
        "X-Forwarded-Groups: admins",
        "X-Forwarded-Email: admin@example.com",
        "X_Level: hardware-key",
        "X-Forwarded-For: 192.0.2.1",
        "X-HTTP-Method-Override: DELETE",
        "X-Forwarded-Proto: https",
    ];
    let answer = world.raw("GET /seen", &forged).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let hit = world.last_hit();
    let all = format!("{:?}", hit.headers);
    assert!(
        !all.contains("admin@example.com") && !all.contains("\"admin"),
        "{all}"
    );
    assert!(
        !all.contains("hardware-key") && !all.contains("192.0.2.1"),
        "{all}"
    );
    assert!(!all.contains("DELETE") && !all.contains("https"), "{all}");
    assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
    assert_eq!(
        world.open("/office/x").await.status,
        403,
        "nor does it move the client's address"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn our_cookies_do_not_reach_the_app_and_forged_ones_open_nothing() {
    let world = World::signed_in("alice", "/").await;
    let url: reqwest::Url = world.url("/").parse().unwrap();
    let all = world.browser.cookies_for(&url);
    // The session's own, and the browser's.
    let (own, browser) = all.split_once("; ").unwrap();
    assert!(browser.contains("-browser="), "{all}");
    let answer = world
        .raw(
            "GET /x",
            &[&format!(
                "Cookie: theme=dark; {all}; ={own}; ={browser}; lang=de"
            )],
        )
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.last_hit().header("cookie"), "theme=dark; lang=de");

    let (name, value) = own.split_once('=').unwrap();
    for forged in [
        format!("{name}=x"),
        format!("{name}="),
        format!("{name}={value}x"),
        format!("{name}=\"{value}\""),
        format!("{}={value}", name.to_lowercase()),
        format!("__Secure-{name}={value}"),
        // The browser's alone signs nobody in.
        browser.to_owned(),
        format!("{name}={}", browser.split_once('=').unwrap().1),
        // Two: which one counts is nobody's guess.
        format!("{name}=x; {own}"),
        format!("{own}; {name}=x"),
    ] {
        let line = format!("Cookie: {forged}");
        let answer = world
            .raw("GET /x", &[&line, "Accept: application/json"])
            .await;
        let expected = status(&answer);
        assert!([400, 401].contains(&expected), "{forged}: {answer}");
    }
}
