//! Each sort of client in its own words: gRPC, htmx, frames, scripts of other origins; and routes that say who asks.

use axum::http::HeaderMap;

use super::answers::json;
use super::world::{Twist, World};
use crate::harness::{field, status};

const GRPC: &str = "Content-Type: application/grpc";

const SCRIPT: [&str; 2] = ["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"];

const NEIGHBOUR: &str = "Origin: https://spa.example.com";

async fn with_neighbour() -> World {
    let cors = "require     = { level = \"password\" }\ncors = { origins = [\"https://spa.example.com\"] }";
    World::twisted(Twist {
        policy: &[("require     = { level = \"password\" }", cors)],
        ..Twist::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_hears_how_it_went_in_its_own_status() {
    let world = World::new().await;
    let mut told = Vec::new();
    for line in ["POST /x", "POST /mfa/x"] {
        let answer = world.raw(line, &[GRPC, "Content-Length: 0"]).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(field(&answer, "content-type"), "application/grpc");
        assert!(
            field(&answer, "www-authenticate").starts_with("Cookie "),
            "{answer}"
        );
        told.push((
            field(&answer, "grpc-status").to_owned(),
            field(&answer, "grpc-message").to_owned(),
        ));
    }
    let sign_in = ("16".to_owned(), "Sign in first.".to_owned());
    assert_eq!(told, [sign_in.clone(), sign_in]);

    let world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    for (line, expected) in [("POST /mfa/x", "16"), ("POST /office/x", "7")] {
        let answer = world
            .raw(
                line,
                &["Content-Type: application/grpc+proto", "Content-Length: 0"],
            )
            .await;
        assert_eq!(
            (status(&answer), field(&answer, "grpc-status")),
            (200, expected),
            "{line}: {answer}"
        );
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "a message behind the status: {answer}");
    }
    assert_eq!(world.hit_count(), hits);
    // What is enough goes to the app, and its answer is left alone.
    let answer = world.raw("POST /x", &[GRPC, "Content-Length: 0"]).await;
    assert_eq!((status(&answer), field(&answer, "grpc-status")), (200, ""));
    assert_eq!(world.hit_count(), hits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn htmx_is_sent_where_the_page_is_and_not_where_its_request_went() {
    let world = World::signed_in("alice", "/").await;
    let current = format!("HX-Current-URL: {}/orders?page=2#row", world.origin);
    let rows = [
        (current.as_str(), "%2Forders%3Fpage%3D2"),
        ("HX-Current-URL: https://elsewhere.example/x", "%2F"),
        ("HX-Current-URL: nonsense", "%2F"),
        ("X-None: 1", "%2F"),
    ];
    for (header, back) in rows {
        let answer = world
            .raw(
                "GET /mfa/fragment",
                &["HX-Request: true", header, SCRIPT[0], SCRIPT[1]],
            )
            .await;
        assert_eq!(status(&answer), 401, "{answer}");
        assert_eq!(
            field(&answer, "hx-redirect"),
            format!("/.stepgate/step-up?level=mfa&return={back}")
        );
        assert_eq!(json(&answer)["code"], "step-up", "{answer}");
        assert!(!answer.contains("-flow-"), "{answer}");
    }
    // No sign-in helps, so it is not sent to one.
    let answer = world.raw("GET /office/x", &["HX-Request: true"]).await;
    assert_eq!((status(&answer), field(&answer, "hx-redirect")), (403, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_leads_back_to_the_page_around_it() {
    let world = World::signed_in("alice", "/").await;
    let frame = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"];
    let around = format!("Referer: {}/board?tab=1", world.origin);
    for (referer, back) in [
        (around.as_str(), "%2Fboard%3Ftab%3D1"),
        ("Referer: https://elsewhere.example/", "%2F"),
    ] {
        let answer = world
            .raw("GET /mfa/frame", &[frame[0], frame[1], referer])
            .await;
        assert_eq!(status(&answer), 401, "{answer}");
        let link =
            format!("href=\"/.stepgate/step-up?level=mfa&amp;return={back}\" target=\"_top\"");
        assert!(answer.contains(&link), "{link}: {answer}");
        assert!(!field(&answer, "content-security-policy").contains("frame-ancestors"));
        assert!(!answer.contains("-flow-"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_say_who_asks() {
    let routes = "[[routes]]\nid = \"api\"\npath = \"/api/**\"\nchallenge = \"api\"\n\
                  [[routes]]\nid = \"old\"\npath = \"/old/**\"\nchallenge = \"redirect\"\n\
                  [[routes]]\nid     = \"public\"";
    let world = World::twisted(Twist {
        policy: &[("[[routes]]\nid     = \"public\"", routes)],
        ..Twist::default()
    })
    .await;
    let page = [
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
        "Accept: text/html",
    ];
    let rows: [(&str, &[&str], u16); 9] = [
        ("GET /api/x", &page, 401),
        (
            "POST /api/x",
            &["Accept: text/html", "Content-Length: 0"],
            401,
        ),
        ("GET /x", &page, 303),
        ("GET /old/x", &page, 303),
        ("GET /old/x", &["Accept: */*"], 303),
        ("GET /old/x", &[], 303),
        // Those say that they are none.
        ("GET /old/x", &SCRIPT, 401),
        ("GET /old/x", &["Accept: text/event-stream"], 401),
        ("GET /old/x", &["X-Requested-With: XMLHttpRequest"], 401),
    ];
    for (line, headers, expected) in rows {
        let answer = world.raw(line, headers).await;
        assert_eq!(status(&answer), expected, "{line} {headers:?}: {answer}");
        assert_eq!(
            answer.contains("-flow-"),
            expected == 303,
            "{line}: {answer}"
        );
        if line.contains("/api/") {
            assert_eq!(field(&answer, "content-type"), "application/problem+json");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_it_was_chosen_by_and_is_kept_by_nobody() {
    let world = World::signed_in("alice", "/").await;
    for line in [
        "GET /mfa/x",
        "GET /office/x",
        "GET /.stepgate/me",
        "GET /a//b",
    ] {
        for accept in ["Accept: text/html", "Accept: application/json"] {
            let answer = world.raw(line, &[accept]).await;
            assert_eq!(field(&answer, "cache-control"), "no-store", "{line}");
            for name in [
                "Accept",
                "Cookie",
                "HX-Request",
                "Origin",
                "Sec-Fetch-Mode",
                "Sec-Fetch-Dest",
            ] {
                let vary = field(&answer, "vary");
                assert!(
                    vary.split(", ").any(|varied| varied == name),
                    "{line}: {vary}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_may_read_what_is_asked_of_them() {
    let mut world = with_neighbour().await;
    world.lands("/", "alice").await;
    let readable = |answer: &str| {
        (
            field(answer, "access-control-allow-origin").to_owned(),
            field(answer, "access-control-allow-credentials").to_owned(),
        )
    };
    let yes = ("https://spa.example.com".to_owned(), "true".to_owned());
    let no = (String::new(), String::new());
    for (line, expected) in [("GET /mfa/x", 401), ("GET /office/x", 403)] {
        let answer = world.raw(line, &[NEIGHBOUR, SCRIPT[0]]).await;
        assert_eq!(
            (status(&answer), readable(&answer)),
            (expected, yes.clone()),
            "{line}: {answer}"
        );
        assert!(field(&answer, "access-control-expose-headers").contains("WWW-Authenticate"));
        for other in [
            "Origin: https://evil.example",
            "Origin: null",
            "Origin: https://spa.example.com.evil.example",
            "Origin: http://spa.example.com",
            "X-None: 1",
        ] {
            let answer = world.raw(line, &[other, SCRIPT[0]]).await;
            assert_eq!(readable(&answer), no, "{line} {other}: {answer}");
        }
        let twice = world
            .raw(line, &[NEIGHBOUR, "Origin: https://evil.example"])
            .await;
        assert_eq!(readable(&twice), no, "{twice}");
    }
    // The app says itself who may read what it answers.
    let answer = world.raw("GET /x", &[NEIGHBOUR, SCRIPT[0]]).await;
    assert_eq!(
        (status(&answer), readable(&answer)),
        (200, no.clone()),
        "{answer}"
    );
    // Our own pages are nobody else's to read.
    let answer = world
        .raw("GET /.stepgate/me", &[NEIGHBOUR, SCRIPT[0]])
        .await;
    assert_eq!((status(&answer), readable(&answer)), (200, no), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_passes_as_nobodys_request() {
    let world = with_neighbour().await;
    let wants = "Access-Control-Request-Method: DELETE";
    let answer = world.raw("OPTIONS /mfa/x?a=1", &[NEIGHBOUR, wants]).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let hit = world.last_hit();
    assert_eq!(hit.target, "/mfa/x?a=1");
    assert_eq!(hit.header("origin"), "https://spa.example.com");
    nothing_of_anybody(&hit.headers);
    let line = world.logged("/mfa/x").await;
    assert_eq!(
        (
            &line["decision"],
            &line["reason"],
            &line["route"],
            &line["need"]
        ),
        (
            &"allow".into(),
            &"preflight".into(),
            &"mfa".into(),
            &"anonymous".into()
        )
    );

    // The client's network is told of nobody as well: /office is for another one.
    let answer = world.raw("OPTIONS /office/x", &[NEIGHBOUR, wants]).await;
    assert_eq!(status(&answer), 403, "{answer}");
    // What is not exactly that is a request like any other.
    let hits = world.hit_count();
    let rows: [(&str, &[&str]); 10] = [
        ("OPTIONS /mfa/x", &[NEIGHBOUR]),
        ("OPTIONS /mfa/x", &[wants]),
        ("OPTIONS /mfa/x", &["Origin: https://evil.example", wants]),
        (
            "OPTIONS /mfa/x",
            &[NEIGHBOUR, "Origin: https://evil.example", wants],
        ),
        ("OPTIONS /mfa/x", &[NEIGHBOUR, wants, wants]),
        (
            "OPTIONS /mfa/x",
            &[NEIGHBOUR, "Access-Control-Request-Method: connect"],
        ),
        ("OPTIONS /mfa/x", &[NEIGHBOUR, wants, "Cookie: a=1"]),
        (
            "OPTIONS /mfa/x",
            &[NEIGHBOUR, wants, "Authorization: Basic YTpi"],
        ),
        ("OPTIONS /mfa/x", &[NEIGHBOUR, wants, "Content-Length: 1"]),
        ("GET /mfa/x", &[NEIGHBOUR, wants]),
    ];
    for (line, headers) in rows {
        let body = if headers.contains(&"Content-Length: 1") {
            "\r\n\r\nx"
        } else {
            ""
        };
        let last = format!("X-Last: 1{body}");
        let headers: Vec<_> = headers.iter().copied().chain([last.as_str()]).collect();
        let answer = world.raw(line, &headers).await;
        assert_eq!(status(&answer), 401, "{line} {headers:?}: {answer}");
    }
    assert_eq!(world.hit_count(), hits);
    // Where no `cors` is, none passes.
    let world = World::new().await;
    let answer = world.raw("OPTIONS /mfa/x", &[NEIGHBOUR, wants]).await;
    assert_eq!((status(&answer), world.hit_count()), (401, 0), "{answer}");
}

fn nothing_of_anybody(headers: &HeaderMap) {
    for name in [
        "cookie",
        "authorization",
        "x-forwarded-user",
        "x-forwarded-preferred-username",
        "x-level",
    ] {
        assert!(!headers.contains_key(name), "{name}: {headers:?}");
    }
}
