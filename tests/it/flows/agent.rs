//! What a page needs to go on without reload: the scripts, the status that it asks for, the popup's way, and the tag
//! that is put into pages of the app.

use std::io::Write as _;

use serde_json::{Value, json};

use super::answers::json as body;
use super::world::{Twist, World};
use crate::harness::{field, status, upstream};

const PAGE: [&str; 3] = [
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Accept: text/html",
];

const OWN: &str = "require     = { level = \"password\" }";

/// With these keys of the policy.
async fn with(keys: &str) -> World {
    let policy = format!("{OWN}\n{keys}");
    World::twisted(Twist {
        policy: &[(OWN, &policy)],
        ..Twist::default()
    })
    .await
}

async fn asked(world: &World, query: &str) -> Value {
    let (_, told) = world
        .fetch("GET", &format!("/.stepgate/status{query}"))
        .await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_are_small_and_kept_as_long_as_they_are_good() {
    let world = World::new().await;
    for name in ["agent.js", "done.js", "waiting.js"] {
        let line = format!("GET /.stepgate/{name}");
        let answer = world.raw(&line, &[]).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(text.len() < 6 * 1024, "{name} has {} bytes", text.len());
        assert!(!text.is_empty() && !head.contains("et-Cookie"), "{answer}");
        assert_eq!(
            field(&answer, "content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(field(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(field(&answer, "cache-control"), "public, max-age=300");
        assert_eq!(field(&answer, "vary"), "", "it is the same for everybody");
        let tag = field(&answer, "etag");
        let version = tag.trim_matches('"');

        let head = world.raw(&format!("HEAD /.stepgate/{name}"), &[]).await;
        assert_eq!(field(&head, "content-length"), text.len().to_string());
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        for known in [
            tag.to_owned(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let again = world
                .raw(&line, &[&format!("If-None-Match: {known}")])
                .await;
            assert_eq!(status(&again), 304, "{known}: {again}");
            assert_eq!(
                (field(&again, "etag"), field(&again, "content-length")),
                (tag, "")
            );
        }
        let other = world.raw(&line, &["If-None-Match: \"x\""]).await;
        assert_eq!(status(&other), 200, "{other}");
        let named = world.raw(&format!("{line}?v={version}"), &[]).await;
        assert!(
            field(&named, "cache-control").ends_with("immutable"),
            "{named}"
        );
        let older = world.raw(&format!("{line}?v=0123456789abcdef"), &[]).await;
        assert_eq!(field(&older, "cache-control"), "public, max-age=300");
        let answer = world
            .raw(&format!("POST /.stepgate/{name}"), &["Content-Length: 0"])
            .await;
        assert_eq!(status(&answer), 405, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_what_the_request_itself_would_get() {
    let mut world = with("renew_before = \"2m\"").await;
    let paths = [
        "/x",
        "/mfa/x",
        "/fresh/x",
        "/key/x",
        "/admin/x",
        "/office/x",
        "/public/x",
    ];
    for round in 0..3 {
        match round {
            0 => {}
            1 => drop(world.lands("/", "alice").await),
            _ => drop(world.lands("/mfa/x", "alice").await),
        }
        for path in paths {
            for method in ["GET", "POST", "DELETE"] {
                let told = asked(&world, &format!("?for={method}%20{path}")).await;
                let (status, problem) = world.fetch(method, path).await;
                let expected = match (status, problem["code"].as_str()) {
                    (200, _) => "allow",
                    (401, Some("login")) => "login",
                    (401, Some("step-up")) => "step-up",
                    (403, Some("forbidden")) => "deny",
                    other => panic!("{other:?}"),
                };
                assert_eq!(told["decision"], expected, "{method} {path}: {told}");
                if status == 401 {
                    for name in ["need", "step_up", "popup"] {
                        assert_eq!(told[name], problem[name], "{method} {path}");
                    }
                }
            }
        }
    }
    let told = asked(&world, "?for=GET%20/.stepgate/me").await;
    assert_eq!(told["decision"], "own");
    for query in [
        "?for=",
        "?for=GET",
        "?for=get%20/x",
        "?for=GET%20x",
        "?for=GET%20/a//b",
        "?for=GET%20/a&for=GET%20/b",
    ] {
        let answer = world
            .raw(&format!("GET /.stepgate/status{query}"), &[])
            .await;
        assert_eq!(
            (status(&answer), &body(&answer)["code"]),
            (400, &json!("no-request")),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_long_it_holds() {
    let mut world = with("renew_before = \"2m\"").await;
    world.lands("/fresh/x", "alice").await;
    let ends = |told: &Value| {
        (
            told["left"].as_u64().unwrap(),
            told["ends"].as_str().unwrap().to_owned(),
        )
    };
    let of = |path: &'static str| format!("?for=GET%20{path}");
    // max_age, lasts, idle, each the one that comes first.
    let fresh = asked(&world, &of("/fresh/x")).await;
    assert_eq!(ends(&fresh), (60, "level".to_owned()), "{fresh}");
    assert_eq!(fresh["renew_before"], 120);
    assert_eq!(
        fresh["popup"],
        "/.stepgate/step-up?level=mfa&return=%2F.stepgate%2Fdone"
    );
    assert_eq!(
        ends(&asked(&world, &of("/mfa/x")).await),
        (1800, "level".to_owned())
    );
    assert_eq!(
        ends(&asked(&world, &of("/x")).await),
        (3600, "idle".to_owned())
    );
    assert_eq!(ends(&asked(&world, "").await), (3600, "idle".to_owned()));
    let public = asked(&world, &of("/public/x")).await;
    assert_eq!(
        (&public["decision"], &public["left"]),
        (&json!("allow"), &Value::Null)
    );
    // To the second, as the policy itself has it.
    world.clock.advance(60);
    assert_eq!(ends(&asked(&world, &of("/fresh/x")).await).0, 0);
    assert_eq!(world.status("/fresh/x").await, 200);
    world.clock.advance(1);
    assert_eq!(asked(&world, &of("/fresh/x")).await["decision"], "step-up");
    assert_eq!(world.status("/fresh/x").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_keeps_nobody_signed_in_but_renewing_does() {
    let world = World::signed_in("alice", "/").await;
    let signed_in = async |query: &str| asked(&world, query).await["signed_in"].as_bool().unwrap();
    for _ in 0..3 {
        world.clock.advance(1100);
        assert!(signed_in("?for=GET%20/x").await);
    }
    // 3300 seconds unused; the limit is 3600.
    assert!(signed_in("?for=GET%20/x&renew=1").await);
    world.clock.advance(3500);
    assert!(signed_in("").await);
    world.clock.advance(200);
    assert!(!signed_in("").await, "asked all the time, and unused");
    assert_eq!(world.status("/x").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_this_origin_may_ask() {
    let world = World::signed_in("alice", "/").await;
    let own = format!("Origin: {}", world.origin);
    for (header, expected) in [
        ("X-None: 1", 200),
        (own.as_str(), 200),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: same-site", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
    ] {
        let answer = world
            .raw("GET /.stepgate/status?for=GET%20/x", &[header])
            .await;
        assert_eq!(status(&answer), expected, "{header}: {answer}");
        assert_eq!(field(&answer, "cache-control"), "no-store");
        assert_eq!(field(&answer, "access-control-allow-origin"), "");
        assert_eq!(answer.contains("signed_in"), expected == 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_popup_confirms_and_ends_where_it_says_so() {
    let mut world = World::signed_in("alice", "/").await;
    let problem = world.raw("GET /mfa/x", &["Accept: application/json"]).await;
    let popup = body(&problem)["popup"].as_str().unwrap().to_owned();
    assert_eq!(
        field(&problem, "link"),
        format!("<{popup}>; rel=\"step-up\"; title*=UTF-8''One%2Dtime%20code")
    );
    let hits = world.hit_count();
    let walk = world.visit(&popup, "alice").await;
    assert_eq!(walk.page.url.as_str(), world.url("/.stepgate/done"));
    assert!(
        walk.page.body.contains("src=\"/.stepgate/done.js\""),
        "{}",
        walk.page.body
    );
    assert_eq!(
        world.hit_count(),
        hits,
        "a popup of ours asks the app for nothing"
    );
    assert_eq!(world.status("/mfa/x").await, 200);
    // Nobody signed in: the same way.
    let mut world = World::new().await;
    let (_, problem) = world.fetch("GET", "/x").await;
    let walk = world
        .visit(problem["popup"].as_str().unwrap(), "alice")
        .await;
    assert_eq!(walk.page.url.as_str(), world.url("/.stepgate/done"));
    assert_eq!(world.status("/x").await, 200);
}

/// An app that packs whatever it is asked for, and says what it was asked.
async fn packing_app() -> String {
    let (address, _) = upstream(|header, mut wire| async move {
        let path = header.split(' ').nth(1).unwrap().to_owned();
        let page = format!(
            "<!doctype html><html><head><title>{}</title></head><body>{}</body></html>",
            field(&header, "accept-encoding"),
            "text ".repeat(5000)
        );
        let (kind, packing) = match path.strip_prefix("/public/").unwrap() {
            "json" => ("application/json", ""),
            "none" => ("text/html", ""),
            packing => ("text/html; charset=utf-8", packing),
        };
        let body = match packing {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(page.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
                encoder.write_all(page.as_bytes()).unwrap();
                encoder.into_inner()
            }
            _ => page.into_bytes(),
        };
        let encoding = match packing {
            "" => String::new(),
            packing => format!("Content-Encoding: {packing}\r\n"),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{encoding}ETag: \"x\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.send(&head).await;
        if !header.starts_with("HEAD") {
            // In pieces that come one after the other.
            for piece in body.chunks(700) {
                tokio::io::AsyncWriteExt::write_all(&mut wire.0, piece).await.unwrap();
            }
        }
        Some(wire)
    })
    .await;
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_app_get_the_tag_and_nothing_else_does() {
    let app = packing_app().await;
    let policy = format!("{OWN}\ninject_agent = true");
    let world = World::twisted(Twist {
        policy: &[(OWN, &policy)],
        upstream: Some(&app),
        ..Twist::default()
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str, page: bool, method: reqwest::Method| {
        let mut request = client
            .request(
                method,
                world.url(path).replace("payroll.localhost", "127.0.0.1"),
            )
            .header("accept-encoding", "gzip, br")
            .header("host", world.origin.strip_prefix("http://").unwrap());
        for line in PAGE.iter().filter(|_| page) {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let headers = answer.headers().clone();
        (headers, answer.bytes().await.unwrap())
    };
    let body = "text ".repeat(5000);
    for path in ["/public/none", "/public/gzip", "/public/br"] {
        let (headers, bytes) = get(path, true, reqwest::Method::GET).await;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (start, rest) = text
            .split_once("<script src=\"/.stepgate/agent.js?v=")
            .unwrap();
        assert_eq!(start, "<!doctype html><html><head>");
        let (_, rest) = rest.split_once("\"></script>").unwrap();
        // The app was asked for it as it is.
        let expected = format!("<title>identity</title></head><body>{body}</body></html>");
        assert_eq!(rest, expected, "{path}");
        assert!(
            !headers.contains_key("content-encoding") && !headers.contains_key("content-length")
        );
        assert_eq!(headers["etag"], "W/\"x\"");

        let (headers, bytes) = get(path, true, reqwest::Method::HEAD).await;
        assert!(
            bytes.is_empty() && !headers.contains_key("content-length"),
            "{headers:?}"
        );
        assert_eq!(headers["etag"], "W/\"x\"");
    }
    // A script that asks for the same gets what the app sent, byte for byte; and so does what is no page.
    for (path, page) in [
        ("/public/gzip", false),
        ("/public/br", false),
        ("/public/none", false),
        ("/public/json", true),
    ] {
        let (headers, bytes) = get(path, page, reqwest::Method::GET).await;
        assert_eq!(headers["etag"], "\"x\"", "{path}");
        assert_eq!(headers["content-length"], bytes.len().to_string());
        let plain = match path {
            "/public/gzip" => {
                let mut decoder = flate2::write::GzDecoder::new(Vec::new());
                decoder.write_all(&bytes).unwrap();
                decoder.finish().unwrap()
            }
            "/public/br" => {
                let mut decoder = brotli::DecompressorWriter::new(Vec::new(), 4096);
                decoder.write_all(&bytes).unwrap();
                decoder.close().unwrap();
                decoder.get_ref().clone()
            }
            _ => bytes.to_vec(),
        };
        let text = String::from_utf8(plain).unwrap();
        let accepted = if page { "identity" } else { "gzip, br" };
        assert_eq!(
            text,
            format!(
                "<!doctype html><html><head><title>{accepted}</title></head><body>{body}</body></html>"
            ),
            "{path}"
        );
    }
}
