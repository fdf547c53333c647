//! The questions, word for word, and what is not believed. Nobody but this file's own words stands between.

use serde_json::Value;

use crate::flows::{Twist, World};
use crate::harness::{bounded, field, status};

const TRUSTED: (&str, &str) = (
    "policies = \"policies\"",
    "policies = \"policies\"\ntrusted_proxies = [\"127.0.0.1/32\"]",
);

/// The apps behind a proxy of that kind; its port is nobody's here.
async fn behind(kind: &str, trusted: &str) -> World {
    let trusted = TRUSTED.1.replace("127.0.0.1/32", trusted);
    let forward_auth = format!("forward_auth = \"{kind}\"");
    World::twisted(Twist {
        config: &[(TRUSTED.0, &trusted)],
        policy: &[("app_cookies = [\"JSESSIONID\"]", &forward_auth)],
        ..Twist::default()
    })
    .await
}

/// Asked as Traefik does, with more lines.
fn forwarded(world: &World, method: &str, uri: &str, more: &str) -> String {
    let host = world.origin.strip_prefix("http://").unwrap();
    format!(
        "GET /.stepgate/verify HTTP/1.1\r\nHost: stepgate\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.7\r\n\
         X-Forwarded-Method: {method}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: {uri}\r\n\
         {more}\r\n"
    )
}

/// As nginx does.
fn original(path: &str, method: &str, url: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: stepgate\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.7\r\n\
         X-Original-Method: {method}\r\nX-Original-URL: {url}\r\n{more}\r\n"
    )
}

const PAGE: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

/// Status and code of the answer to a program; every answer says which request it was.
async fn told(world: &World, request: &str) -> (u16, String) {
    let answer = world.stepgate.ask(request).await;
    assert!(!field(&answer, "x-request-id").is_empty(), "{answer}");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    (status(&answer), code)
}

#[tokio::test]
async fn a_trusted_proxy_learns_what_stepgate_would_do() {
    let mut world = behind("traefik", "127.0.0.1/32").await;
    let public = world
        .stepgate
        .ask(&forwarded(&world, "GET", "/public/a?b=1", ""))
        .await;
    assert_eq!(status(&public), 200, "{public}");
    assert!(field(&public, "x-forwarded-user").is_empty(), "{public}");
    assert_eq!(
        told(&world, &forwarded(&world, "POST", "/public/a", ""))
            .await
            .0,
        401
    );

    // A browser is sent to sign in.
    let sent = world
        .stepgate
        .ask(&forwarded(&world, "GET", "/records/7?x=1", PAGE))
        .await;
    assert_eq!(status(&sent), 303, "{sent}");
    assert!(!field(&sent, "set-cookie").is_empty(), "{sent}");
    assert!(field(&sent, "location").contains("/realms/demo/"), "{sent}");

    // Signing in goes through stepgate's own endpoints on the app's host.
    let cookie = signed_in(&mut world).await;
    let cookies = format!("Cookie: theme=dark; {cookie}; lang=de\r\nX-Forwarded-User: mallory\r\n");
    let allowed = world
        .stepgate
        .ask(&forwarded(&world, "GET", "/records/9?x=1", &cookies))
        .await;
    assert_eq!(status(&allowed), 200, "{allowed}");
    assert_eq!(field(&allowed, "x-level"), "password");
    assert_eq!(field(&allowed, "x-forwarded-groups"), "clerks");
    assert_ne!(field(&allowed, "x-forwarded-user"), "mallory");
    // What goes on to the app has nothing of ours in it.
    assert_eq!(field(&allowed, "cookie"), "theme=dark; lang=de");

    let line = world.logged("/records/9").await;
    assert_eq!(line["decision"], "allow");
    assert_eq!(line["forward_auth"], "traefik");
    assert_eq!(
        (&line["method"], &line["client"]),
        (&Value::from("GET"), &Value::from("192.0.2.7"))
    );
    assert_eq!(line["id"], field(&allowed, "x-request-id"));

    // Everything that is said of the request counts: path, method, client.
    let ask = async |method: &str, uri: &str| {
        told(
            &world,
            &forwarded(&world, method, uri, &format!("Cookie: {cookie}\r\n")),
        )
        .await
    };
    assert_eq!(ask("GET", "/mfa/a").await, (401, "step-up".to_owned()));
    assert_eq!(ask("GET", "/MFA/a").await, (401, "step-up".to_owned()));
    assert_eq!(ask("GET", "/office/a").await.0, 200);
    assert_eq!(ask("GET", "/nowhere").await.0, 200);
    assert_eq!(ask("GET", "/admin/a").await, (403, "forbidden".to_owned()));
    assert_eq!(ask("TRACE", "/nowhere").await, (405, "method".to_owned()));
    // The question is about nothing: nothing went anywhere.
    assert_eq!(world.hit_count(), 0);
}

/// Through the endpoints that another proxy passes on; gives the session's cookie.
async fn signed_in(world: &mut World) -> String {
    let walk = world
        .visit("/.stepgate/login?return=/records/7", "alice")
        .await;
    assert_eq!(walk.typed, ["password"], "{}", walk.page.text());
    // The app itself is not reached here.
    assert_eq!(walk.page.status, 421, "{}", walk.page.text());
    let url = world.url("/").parse().unwrap();
    let cookies = world.browser.cookies_for(&url);
    let session = cookies
        .split("; ")
        .find(|pair| pair.starts_with("__Host-stepgate-") && !pair.contains("flow"))
        .unwrap_or_else(|| panic!("no session among {cookies}"));
    session.to_owned()
}

/// nginx hears yes or no, and asks again for what to tell.
#[tokio::test]
async fn what_nginx_cannot_hear_it_asks_for() {
    let mut world = behind("nginx", "127.0.0.1/32").await;
    let url = |path: &str| world.url(path);
    let whether = |path: &str, more: &str| original("/.stepgate/verify", "GET", &url(path), more);
    let no = world.stepgate.ask(&whether("/records/7", PAGE)).await;
    assert_eq!(status(&no), 401, "{no}");
    // Nothing was begun.
    assert!(field(&no, "set-cookie").is_empty() && field(&no, "location").is_empty());
    let challenge = original("/.stepgate/challenge", "GET", &url("/records/7"), PAGE);
    let challenge = world.stepgate.ask(&challenge).await;
    assert_eq!(status(&challenge), 303, "{challenge}");
    assert!(!field(&challenge, "set-cookie").is_empty(), "{challenge}");

    // The same for what is no request that could be allowed.
    for refused in ["/a/../b", "/a%2fb", "/.stepgate/me"] {
        assert_eq!(
            told(&world, &whether(refused, "")).await.0,
            401,
            "{refused}"
        );
        let challenge = original("/.stepgate/challenge", "GET", &url(refused), "");
        let (status, code) = told(&world, &challenge).await;
        assert!(matches!(status, 400 | 403), "{refused}: {status} {code}");
    }

    // Allowed by now: it is asked anew, never passed on by the answer.
    let challenge = |method: &str| original("/.stepgate/challenge", method, &url("/public/a"), "");
    let again = world.stepgate.ask(&challenge("GET")).await;
    assert_eq!(status(&again), 303, "{again}");
    assert_eq!(field(&again, "location"), url("/public/a"));
    assert_eq!(status(&world.stepgate.ask(&challenge("HEAD")).await), 303);

    let cookie = format!("Cookie: {}\r\n", signed_in(&mut world).await);
    let url = |path: &str| world.url(path);
    let whether = |path: &str, more: &str| original("/.stepgate/verify", "GET", &url(path), more);
    assert_eq!(told(&world, &whether("/records/7", &cookie)).await.0, 200);
    assert_eq!(told(&world, &whether("/mfa/7", &cookie)).await.0, 401);
    assert_eq!(told(&world, &whether("/admin/7", &cookie)).await.0, 401);
    let sent = original("/.stepgate/challenge", "POST", &url("/records/7"), &cookie);
    assert_eq!(told(&world, &sent).await.0, 503);
}

#[tokio::test]
async fn forwarded_headers_from_anywhere_else_are_hostile() {
    let world = behind("traefik", "203.0.113.0/24").await;
    for request in [
        forwarded(&world, "GET", "/public/a", ""),
        original("/.stepgate/verify", "GET", &world.url("/public/a"), ""),
        original("/.stepgate/challenge", "GET", &world.url("/public/a"), ""),
    ] {
        let stranger = (403, "verify-stranger".to_owned());
        assert_eq!(told(&world, &request).await, stranger, "{request}");
    }
    assert_eq!(world.hit_count(), 0);
}

/// With a stranger no HTTP/2 is spoken without TLS at all, and so no gRPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_answer_by_grpc() {
    for (trusted, is_answered) in [("127.0.0.1/32", true), ("203.0.113.0/24", false)] {
        let world = behind("envoy", trusted).await;
        let stream = tokio::net::TcpStream::connect(world.stepgate.address);
        let stream = bounded(stream).await.unwrap();
        let handshake = h2::client::handshake(stream);
        let (client, connection) = bounded(handshake).await.unwrap();
        tokio::spawn(connection);
        let mut client = bounded(client.ready()).await.unwrap();
        let check = "http://stepgate/envoy.service.auth.v3.Authorization/Check";
        let request = http::Request::post(check)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let (answer, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        // A message that says nothing.
        body.send_data(vec![0; 5].into(), true).unwrap();
        let answer = bounded(answer).await;
        assert_eq!(answer.is_ok(), is_answered, "{answer:?}");
        assert_eq!(world.hit_count(), 0);
    }
}

#[tokio::test]
async fn what_is_not_one_set_of_headers_is_not_believed() {
    let world = behind("traefik", "127.0.0.1/32").await;
    let host = world.origin.strip_prefix("http://").unwrap().to_owned();
    let other = world.other.strip_prefix("http://").unwrap().to_owned();
    let public = forwarded(&world, "GET", "/public/a", "");
    assert_eq!(told(&world, &public).await.0, 200);
    let with = |line: &str| forwarded(&world, "GET", "/public/a", &format!("{line}\r\n"));
    let rows: &[(String, u16, &str)] = &[
        // Twice, whichever stands first.
        (with("X-Forwarded-Uri: /public/b"), 403, "verify-repeated"),
        (
            with(&format!("X-Forwarded-Host: {other}")),
            403,
            "verify-repeated",
        ),
        (with("X-Forwarded-Method: GET"), 403, "verify-repeated"),
        (with("X-Forwarded-Proto: http"), 403, "verify-repeated"),
        (
            public.replace(
                "X-Forwarded-Uri: /public/a",
                "X-Forwarded-Uri: /public/a, /public/b",
            ),
            400,
            "unencoded",
        ),
        (
            public.replace(&host, &format!("{host}, {other}")),
            421,
            "unknown-host",
        ),
        // Of another set.
        (
            with(&format!("X-Original-URL: {}", world.url("/public/a"))),
            403,
            "verify-other-set",
        ),
        (with("X-Original-URI: /public/a"), 403, "verify-other-set"),
        (with("X-Rewrite-Url: /public/a"), 403, "verify-other-set"),
        (with("X-Original-Method: GET"), 403, "verify-other-set"),
        (
            original("/.stepgate/verify", "GET", &world.url("/public/a"), ""),
            403,
            "verify-not-configured",
        ),
        // Of none, or in part.
        (
            "GET /.stepgate/verify HTTP/1.1\r\nHost: stepgate\r\nConnection: close\r\n\r\n"
                .to_owned(),
            403,
            "verify-incomplete",
        ),
        (
            public.replace("X-Forwarded-Method: GET\r\n", ""),
            403,
            "verify-incomplete",
        ),
        (
            public.replace("X-Forwarded-Proto: http\r\n", ""),
            403,
            "verify-incomplete",
        ),
        (
            public.replace("X-Forwarded-Method: GET", "X-Forwarded-Method: G T"),
            403,
            "verify-unreadable",
        ),
        (
            public.replace("X-Forwarded-Proto: http", "X-Forwarded-Proto: https"),
            403,
            "verify-scheme",
        ),
        // In Envoy's way, of an app that is not behind it.
        (
            format!(
                "GET /.stepgate/verify/public/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ),
            403,
            "verify-not-configured",
        ),
        // Our own endpoints answer 200, which would be a yes.
        (
            public.replace("/public/a", "/.stepgate/ping"),
            403,
            "verify-own-path",
        ),
        (
            public.replace("/public/a", "/.stepgate/verify"),
            403,
            "verify-own-path",
        ),
        (
            public.replace("/public/a", "/.stepgate/agent.js"),
            403,
            "verify-own-path",
        ),
        // Targets with two readings, as of any other request.
        (
            public.replace("/public/a", "/public/../mfa/a"),
            400,
            "dot-segment",
        ),
        (
            public.replace("/public/a", "/public/%2e%2e/mfa/a"),
            400,
            "encoded-dot",
        ),
        (
            public.replace("/public/a", "/public%2fa"),
            400,
            "encoded-slash",
        ),
        (
            public.replace("/public/a", "//public/a"),
            400,
            "double-slash",
        ),
        (public.replace("/public/a", "/public\\a"), 400, "backslash"),
        (
            public.replace("/public/a", "/public/a#/mfa"),
            400,
            "fragment",
        ),
        (
            public.replace("/public/a", "/public/a;x=1"),
            400,
            "semicolon",
        ),
        (
            public.replace("/public/a", "public/a"),
            400,
            "not-origin-form",
        ),
        (
            public.replace("/public/a", &world.url("/public/a")),
            400,
            "not-origin-form",
        ),
        (public.replace("/public/a", "*"), 400, "not-origin-form"),
        (public.replace("/public/a", "/public/a b"), 400, "unencoded"),
        // What many servers read as something else.
        (with("X_Forwarded_User: alice"), 403, "verify-disguised"),
        (with("X.Level: mfa"), 403, "verify-disguised"),
        (
            with("X-HTTP-Method-Override: DELETE"),
            403,
            "verify-disguised",
        ),
        (
            with("Connection: X-Forwarded-User"),
            400,
            "connection-nomination",
        ),
        (with("X-Forwarded-For: nobody"), 400, "unreadable-chain"),
        (with("Forwarded: for=192.0.2.9"), 400, "unreadable-chain"),
    ];
    for (request, status, code) in rows {
        assert_eq!(
            told(&world, request).await,
            (*status, (*code).to_owned()),
            "{request}"
        );
    }
    // Within a line, not before its end: no request at all.
    let split = with("X-Forwarded-Uri: /public/b\rX-Forwarded-Uri: /public/c");
    assert_eq!(status(&world.stepgate.ask(&split).await), 400);
    let long = public.replace("/public/a", &format!("/public/{}", "a".repeat(9000)));
    assert_eq!(told(&world, &long).await.0, 414);
    assert_eq!(world.hit_count(), 0);
}

#[tokio::test]
async fn a_url_of_another_host_is_that_hosts() {
    let world = behind("nginx", "127.0.0.1/32").await;
    let ask = async |url: &str| {
        let request = original("/.stepgate/challenge", "GET", url, "");
        told(&world, &request).await
    };
    assert_eq!(ask(&world.url("/public/a")).await.0, 303);
    let other = |url: &str| (url.to_owned(), 421, "unknown-host");
    let unreadable = |url: String| (url, 403, "verify-unreadable");
    let host = world.origin.strip_prefix("http://").unwrap();
    for (url, status, code) in [
        other("http://evil.example/public/a"),
        other(&format!("http://evil.example/http://{host}/public/a")),
        other(&format!("http://{host}.evil.example/public/a")),
        unreadable(format!("http://{host}@evil.example/public/a")),
        unreadable(format!("http://evil.example\\@{host}/public/a")),
        unreadable(format!("//{host}/public/a")),
        unreadable(format!("http://{host}")),
        unreadable("/public/a".to_owned()),
    ] {
        assert_eq!(ask(&url).await, (status, code.to_owned()), "{url}");
    }
}

/// A gRPC answer has HTTP's 200 whatever it says, and a proxy that asks would take that for a yes.
#[tokio::test]
async fn no_answer_but_yes_is_a_yes() {
    let world = behind("traefik", "127.0.0.1/32").await;
    let grpc = "Content-Type: application/grpc\r\n";
    let ask = async |method: &str, uri: &str, more: &str| {
        world
            .stepgate
            .ask(&forwarded(&world, method, uri, more))
            .await
    };
    let answer = ask("POST", "/app.Service/Call", grpc).await;
    assert_eq!(status(&answer), 401, "{answer}");
    assert_eq!(field(&answer, "grpc-status"), "16");
    for (uri, more) in [
        ("/a/../b", grpc),
        ("/.stepgate/ping", grpc),
        ("/mfa/a", "HX-Request: true\r\n"),
        ("/mfa/a", "Upgrade: websocket\r\n"),
        ("/mfa/a", "Accept: text/event-stream\r\n"),
        (
            "/mfa/a",
            "Origin: http://elsewhere.example\r\nAccess-Control-Request-Method: GET\r\n",
        ),
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let answer = ask(method, uri, more).await;
            assert!(status(&answer) >= 300, "{method} {uri} {more}: {answer}");
        }
    }
}

/// As a proxy, nothing that is forwarded chooses anything, and an app behind another proxy is not served at all.
#[tokio::test]
async fn an_app_behind_another_proxy_is_not_served_beside_it() {
    let world = behind("nginx", "127.0.0.1/32").await;
    let host = world.origin.strip_prefix("http://").unwrap();
    for path in ["/public/a", "/", "/records/7"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Original-URL: {}\r\nX-Original-Method: GET\r\n\r\n",
            world.url("/public/a")
        );
        let expected = (421, "behind-another-proxy".to_owned());
        assert_eq!(told(&world, &request).await, expected);
    }
    let own = format!("GET /.stepgate/me HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(told(&world, &own).await.0, 401);
    assert_eq!(world.hit_count(), 0);
}
