//! The listener: who may ask, health, and that nobody can make series.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{metric, read, world};
use crate::flows::{Twist, World};
use crate::harness::{eventually_async, nobody, status, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_to_its_address_and_its_names_and_to_no_page() {
    let world = World::twisted(Twist {
        config: &[(
            super::ADMIN.0,
            "policies = \"policies\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_hosts = [\"stepgate.internal\"]\nadmin_socket = \"off\"",
        )],
        ..Twist::default()
    })
    .await;
    let port = world.stepgate.admin.unwrap().port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("stepgate.internal".to_owned(), 200),
        (format!("evil.example:{port}"), 421),
        (format!("payroll.localhost:{port}"), 421),
        ("127.0.0.1".to_owned(), 421),
        (String::new(), 421),
    ] {
        for target in ["/healthz", "/readyz", "/metrics", "/nothing"] {
            let expected = if target == "/nothing" && expected == 200 {
                404
            } else {
                expected
            };
            assert_eq!(
                ask(port, "GET", target, &host, "").await,
                expected,
                "{host:?} {target}"
            );
        }
    }
    let host = format!("127.0.0.1:{port}");
    for origin in ["http://evil.example", "null", &format!("http://{host}")] {
        let origin = format!("Origin: {origin}\r\n");
        assert_eq!(
            ask(port, "GET", "/metrics", &host, &origin).await,
            403,
            "{origin}"
        );
    }
    // Two of them.
    assert_eq!(
        ask(port, "GET", "/healthz", &host, &format!("Host: {host}\r\n")).await,
        421
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(
            ask(port, method, "/readyz", &host, "").await,
            405,
            "{method}"
        );
    }
    // What changes something is not here.
    for (method, target) in [
        ("GET", "/sessions?subject=x"),
        ("POST", "/sessions/revoke?subject=x"),
        ("POST", "/reload"),
        ("POST", "/drain"),
    ] {
        assert_eq!(ask(port, method, target, &host, "").await, 404, "{target}");
    }
}

/// The status of an answer to bytes.
async fn ask(port: u16, method: &str, target: &str, host: &str, more: &str) -> u16 {
    let mut wire = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
    wire.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    wire.read_to_string(&mut answer).await.unwrap();
    status(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_own_listener_has_none_of_it() {
    let world = world().await;
    for path in ["/metrics", "/readyz", "/healthz", "/sessions"] {
        assert_eq!(
            world.status(path).await,
            401,
            "{path}: nobody is signed in, so it is the app's"
        );
    }
    assert_eq!(world.status("/.stepgate/metrics").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_is_down_since_when() {
    let mut world = world().await;
    eventually_async("everything is up", async || {
        let (code, text) = read(&world, "/readyz?verbose", &[]).await;
        (code == 200 && text.contains("[+] keycloak up\n") && text.contains("[+] store up\n"))
            .then_some(())
    })
    .await;
    assert_eq!(
        read(&world, "/readyz", &[]).await,
        (200, "ready\n".to_owned())
    );

    // Keycloak goes, and the first user who needs it finds out.
    world.provider_down().await;
    let down_at = world.clock.seconds();
    assert_eq!(world.open("/").await.status, 503);
    world.clock.advance(42);
    let (code, text) = read(&world, "/readyz?verbose", &[]).await;
    assert_eq!(
        code, 200,
        "who is signed in is served without Keycloak:\n{text}"
    );
    assert!(text.contains("[!] keycloak degraded since 20"), "{text}");
    assert!(text.contains("(42 s)"), "{text}");
    assert!(text.ends_with("ready\n"), "{text}");
    let (_, json) = read(&world, "/readyz?verbose", &[("accept", "application/json")]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let keycloak = checks
        .iter()
        .find(|check| check["name"] == "keycloak")
        .unwrap();
    assert_eq!(
        (&keycloak["state"], &keycloak["since"]),
        (&"degraded".into(), &down_at.into())
    );
    assert_eq!(json["ready"], true);
    assert_eq!(metric(&world, "stepgate_oidc_up").await, 0.0);

    // It comes back, and nobody has to ask for it.
    world.provider_up().await;
    eventually_async("keycloak is up again", async || {
        world.clock.advance(1);
        let (_, text) = read(&world, "/readyz?verbose", &[]).await;
        text.contains("[+] keycloak up\n").then_some(())
    })
    .await;
    assert_eq!(metric(&world, "stepgate_oidc_up").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_that_is_needed_turns_it_red() {
    let mut world = World::twisted(Twist {
        config: &[(
            super::ADMIN.0,
            "policies = \"policies\"\nadmin_listen = \"127.0.0.1:0\"\nready_needs_keycloak = true",
        )],
        provider_down: true,
        ..Twist::default()
    })
    .await;
    eventually_async("it has tried", async || {
        let (code, text) = read(&world, "/readyz?verbose", &[]).await;
        (code == 503 && text.contains("[-] keycloak down since")).then_some(())
    })
    .await;
    world.provider_up().await;
    eventually_async("it is ready", async || {
        world.clock.advance(1);
        (read(&world, "/readyz", &[]).await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_make_series() {
    let mut world = world().await;
    world.lands("/", "alice").await;
    let hostile = async |round: usize| {
        for number in 0..40 {
            let path = format!("/{round}/{number}/%F0%9F%92%A9/\"{{}}?x={number}");
            let host = format!("host-{round}-{number}.example");
            for request in [
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"),
                format!("GET {path} HTTP/1.1\r\nHost: payroll.localhost\r\n"),
                format!("BREW{number} / HTTP/1.1\r\nHost: {host}\r\n"),
                format!(
                    "GET /.stepgate/{round}-{number} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {number}\r\n"
                ),
            ] {
                world
                    .stepgate
                    .ask(&(request + "Connection: close\r\n\r\n"))
                    .await;
            }
            assert_ne!(world.status(&format!("/no/{round}/{number}")).await, 0);
        }
        let (_, text) = read(&world, "/metrics", &[]).await;
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let first = hostile(1).await;
    assert_eq!(hostile(2).await, first);
    assert_eq!(hostile(3).await, first);
    let (_, text) = read(&world, "/metrics", &[]).await;
    for word in ["example", "BREW1", "%F0", "/no/"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
}

/// One app's trouble is told, and takes nobody else's traffic away.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_told() {
    let (_bound, address) = nobody();
    let world = World::twisted(Twist {
        config: &[super::ADMIN],
        upstream: Some(&format!("http://{address}")),
        ..Twist::default()
    })
    .await;
    let up = format!("stepgate_upstream_up{{upstream=\"app\",address=\"{address}\"}}");
    assert_eq!(metric(&world, &up).await, 1.0, "nobody knows better yet");
    eventually_async("the address is left out", async || {
        assert_eq!(world.status("/public/").await, 502);
        (metric(&world, &up).await == 0.0).then_some(())
    })
    .await;
    let (code, text) = read(&world, "/readyz?verbose", &[]).await;
    assert_eq!(code, 200, "{text}");
    assert!(
        text.contains(&format!("[!] upstream app {address} degraded since 20")),
        "{text}"
    );
    let failures = "stepgate_upstream_failures_total{upstream=\"app\",reason=\"unreachable\"}";
    assert!(metric(&world, failures).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_are_counted_while_they_are_open() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .await;
        // Until the client ends it.
        wire.rest().await;
        None
    })
    .await;
    let world = World::twisted(Twist {
        config: &[super::ADMIN],
        upstream: Some(&format!("http://{app}")),
        ..Twist::default()
    })
    .await;
    let host = world.origin.strip_prefix("http://").unwrap();
    let mut tunnel = world.stepgate.wire().await;
    tunnel
        .send(&format!("GET /public/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
        .await;
    assert_eq!(status(&tunnel.header().await), 101);
    assert_eq!(
        metric(&world, "stepgate_streams_active{kind=\"websocket\"}").await,
        1.0
    );
    drop(tunnel);
    eventually_async("it is over", async || {
        (metric(&world, "stepgate_streams_active{kind=\"websocket\"}").await == 0.0).then_some(())
    })
    .await;
    let closed = "stepgate_streams_closed_total{kind=\"websocket\",reason=\"closed\"}";
    assert_eq!(metric(&world, closed).await, 1.0);
    assert_eq!(
        metric(&world, "stepgate_http_requests_in_flight").await,
        0.0
    );
}

/// A reload that is refused is told, and the configuration before serves on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_is_told_and_printed() {
    let world = world().await;
    world.stepgate.edit("stepgate.toml", |text| {
        text.replace("[keycloak]", "lisen = 1\n[keycloak]")
    });
    let typed = super::typed(
        &world,
        &[
            "reload",
            "--socket",
            &world.stepgate.path("admin.sock").display().to_string(),
        ],
    )
    .await;
    assert_eq!(typed.code, 1, "{}", typed.out);
    assert!(typed.out.contains("error[SG0003]"), "{}", typed.out);
    assert!(
        typed
            .out
            .ends_with("not reloaded: the configuration before is served on\n"),
        "{}",
        typed.out
    );
    let (code, text) = read(&world, "/readyz?verbose", &[]).await;
    assert_eq!(code, 200);
    assert!(
        text.contains("[!] configuration degraded since 20") && text.contains("SG0003"),
        "{text}"
    );
    assert_eq!(
        metric(&world, "stepgate_config_last_reload_successful").await,
        0.0
    );
    assert_eq!(
        metric(&world, "stepgate_config_reloads_total{result=\"failed\"}").await,
        1.0
    );

    world
        .stepgate
        .edit("stepgate.toml", |text| text.replace("lisen = 1\n", ""));
    let typed = super::typed(&world, &["reload"]).await;
    assert_eq!(
        (typed.code, typed.out.as_str()),
        (0, "reloaded\n"),
        "{}",
        typed.err
    );
    assert_eq!(
        metric(&world, "stepgate_config_last_reload_successful").await,
        1.0
    );
    assert_eq!(
        metric(&world, "stepgate_config_reloads_total{result=\"done\"}").await,
        1.0
    );
}
