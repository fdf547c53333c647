//! The half-sent form: kept while its user signs in or steps up, sent on by one click, once, as it was.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::any;
use futures_util::future::join_all;
use stepgate::admin::Control as _;
use stepgate::gate::Whose;
use stepgate::telemetry::metrics::ParkedResult;
use tokio::net::TcpListener;

use super::world::{FORM, Twist, World, heading};
use crate::harness::{field, status, upstream};
use crate::keycloak::{Browser, Page, free_port};
use crate::upstreams::parts::nginx;

const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=x7");

/// With every byte that there is in the file.
fn multipart() -> Vec<u8> {
    let mut body = b"--x7\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n42\r\n--x7\r\n\
        Content-Disposition: form-data; name=\"scan\"; filename=\"a.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n"
        .to_vec();
    body.extend((0..=u8::MAX).cycle().take(10_000));
    body.extend(b"\r\n--x7--\r\n");
    body
}

impl World {
    /// A page of the app sends this; where that leads without an answer of a person's.
    async fn sends(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Page {
        let url = self.url(path).parse().unwrap();
        let method = method.parse().unwrap();
        let body = Some(body.to_vec());
        self.browser.navigate(method, url, headers, body).await
    }

    /// On the page that shows what was kept.
    async fn clicks(&mut self, page: &Page, wish: &str) -> Page {
        let action = page.action().unwrap_or_else(|| panic!("{}", page.text()));
        let body = format!("do={wish}").into_bytes();
        self.browser
            .navigate(reqwest::Method::POST, action, &[FORM], Some(body))
            .await
    }

    /// Sends a form that needs more, and answers what is asked for.
    async fn kept(&mut self, user: &str, path: &str, body: &[u8]) -> Page {
        let page = self.sends("POST", path, &[FORM], body).await;
        let page = self.go_on(page, user).await.page;
        shows_what_is_kept(&page);
        page
    }

    /// Without a browser to wait for.
    async fn clicks_by_hand(&self, page: &Page) -> String {
        let path = path_of(page.action().unwrap().as_str());
        let headers = [
            "Accept: text/html",
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 7",
            &format!("Origin: {}", self.origin),
        ];
        let line = format!("POST {path}");
        self.raw_with(&line, &headers, "do=send").await
    }

    fn parked(&self) -> u64 {
        self.stepgate.stock().requests
    }
}

fn shows_what_is_kept(page: &Page) {
    assert_eq!(heading(page), "Send it now?", "{}", page.text());
    assert_eq!(page.url.path(), "/.stepgate/resume", "{}", page.text());
}

fn is(page: &Page, status: u16, title: &str) {
    assert_eq!(
        (page.status.as_u16(), heading(page)),
        (status, title),
        "{}",
        page.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_arrives_as_it_was_and_once() {
    let mut world = World::signed_in("alice", "/").await;
    let gzip: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let multipart = multipart();
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r [u8]);
    let rows: [Row<'_>; 7] = [
        (
            "POST",
            "/mfa/form?x=%201&y",
            &[FORM],
            b"amount=4200&note=%C3%A9+%26",
        ),
        ("POST", "/mfa/upload", &[MULTIPART], &multipart),
        (
            "PUT",
            "/mfa/7",
            &[("content-type", "application/json"), ("if-match", "\"7\"")],
            b"{\"a\": [1, 2]}",
        ),
        (
            "PATCH",
            "/mfa/7",
            &[
                ("content-type", "text/plain; charset=latin1"),
                ("content-encoding", "gzip"),
            ],
            gzip,
        ),
        ("DELETE", "/mfa/7", &[], b""),
        ("POST", "/mfa/7/release", &[FORM], b""),
        ("POST", "/mfa/odd", &[("content-type", "")], b"\xff\x00"),
    ];
    for (method, path, headers, body) in rows {
        let mut sent = headers.to_vec();
        let referer = world.url("/the/form");
        sent.push(("referer", &referer));
        sent.push(("x-csrf-token", "from-the-page"));
        let hits = world.hit_count();
        let page = world.sends(method, path, &sent, body).await;
        let walk = world.go_on(page, "alice").await;
        assert_eq!(walk.typed, ["password", "code"], "{method} {path}");
        shows_what_is_kept(&walk.page);
        let escaped = path.split('?').next().unwrap().replace('/', "&#x2f;");
        let text = &walk.page.body;
        assert!(text.contains(method) && text.contains(&escaped), "{text}");
        assert_eq!(world.hit_count(), hits, "nothing is sent before the click");
        assert_eq!(world.parked(), 1);

        let answer = world.clicks(&walk.page, "send").await;
        assert_eq!(answer.body, format!("app {method} {path}"));
        assert_eq!(world.hit_count(), hits + 1);
        let hit = world.last_hit();
        assert_eq!((hit.method.as_str(), hit.target.as_str()), (method, path));
        assert_eq!(hit.body, body, "{method} {path}");
        assert_eq!(hit.header("content-length"), body.len().to_string());
        for (name, value) in &sent {
            assert_eq!(hit.header(name), *value, "{method} {path}");
        }
        assert_eq!(hit.header("origin"), world.origin);
        assert_eq!(hit.header("x-forwarded-user"), "sub-alice");
        assert_eq!(hit.header("x-level"), "mfa");
        assert_eq!(hit.header("cookie"), "");
        assert_eq!(hit.header("transfer-encoding"), "");
        assert_eq!(world.parked(), 0);

        // The button once more, and the answer's page loaded again.
        let again = world.clicks(&walk.page, "send").await;
        is(&again, 409, "This was sent already");
        assert_eq!(world.hit_count(), hits + 1);
        // By the address bar it is what is there.
        let there = world.open(&path_of(answer.url.as_str())).await;
        world.is_app(&there, path);
        assert_eq!(world.hit_count(), hits + 2);
        world.clock.advance(31 * 60);
    }
    world.audited("parked", "lapsed").await;
    world.audited("resumed", "").await;
}

fn path_of(url: &str) -> String {
    let url: reqwest::Url = url.parse().unwrap();
    url[url::Position::BeforePath..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clicks_send_it_once() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    let clicks = (0..64).map(|_| world.clicks_by_hand(&page));
    let mut answers: Vec<_> = join_all(clicks)
        .await
        .iter()
        .map(|answer| status(answer))
        .collect();
    answers.sort_unstable();
    assert_eq!(world.hit_count(), hits + 1);
    assert_eq!(answers[0], 200, "{answers:?}");
    // Those that looked between the taking and the mark are told that nothing is there.
    assert!(
        answers[1..]
            .iter()
            .all(|status| [409, 410].contains(status)),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_two_tabs_share_one_step_up() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let first = world.sends("POST", "/mfa/1", &[FORM], b"n=1").await;
    let chunked = [
        "Accept: text/html",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
        "Transfer-Encoding: chunked",
        &format!("Origin: {}", world.origin),
    ];
    let second = world
        .raw_with("POST /mfa/2", &chunked, "2\r\nn=\r\n1\r\n2\r\n0\r\n\r\n")
        .await;
    assert_eq!(status(&second), 202, "{second}");
    assert!(second.contains("What you sent is kept"), "{second}");
    let waits = field(&second, "refresh").strip_prefix("0; url=").unwrap();
    assert!(waits.starts_with("/.stepgate/resume?id="), "{second}");
    let page = world.open(waits).await;
    assert_eq!(
        heading(&page),
        "Confirm in your other tab",
        "{}",
        page.text()
    );
    let walk = world.go_on(first, "alice").await;
    shows_what_is_kept(&walk.page);
    let other = world.open(waits).await;
    shows_what_is_kept(&other);
    for (page, body) in [(walk.page, "n=1"), (other, "n=2")] {
        world.clicks(&page, "send").await;
        assert_eq!(world.last_hit().body, body);
        assert_eq!(world.last_hit().header("content-length"), "3");
    }
    assert_eq!(world.hit_count(), hits + 2);
    let counted = &world.stepgate.counted().parked_requests;
    let counted = |result| counted.get(result);
    assert_eq!(counted(ParkedResult::Kept), 2);
    assert_eq!(counted(ParkedResult::Sent), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_outlives_the_session_that_it_was_filled_in() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    // Over the idle limit of ours, and the provider's session is gone as well.
    world.clock.advance(2 * 3600);
    let page = world.sends("POST", "/form", &[FORM], b"note=long").await;
    let walk = world.go_on(page, "alice").await;
    shows_what_is_kept(&walk.page);
    let answer = world.clicks(&walk.page, "send").await;
    assert_eq!(answer.body, "app POST /form");
    assert_eq!(
        (world.hit_count(), &*world.last_hit().body),
        (hits + 1, &b"note=long"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_never_another_users() {
    // At the step-up.
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    world.realm.quirks().other_user = Some("carol".to_owned());
    let page = world.sends("POST", "/mfa/form", &[FORM], b"amount=1").await;
    assert_eq!(world.parked(), 1);
    let walk = world.go_on(page, "carol").await;
    world.realm.quirks().other_user = None;
    is(&walk.page, 200, "You are now carol");
    assert!(
        walk.page.body.contains("was dropped"),
        "{}",
        walk.page.text()
    );
    assert_eq!((world.hit_count(), world.parked()), (hits, 0));

    // At the next sign-in, after the session had lapsed.
    world.clock.advance(13 * 3600);
    world.browser.forget("127.0.0.1");
    let page = world.sends("POST", "/form", &[FORM], b"amount=1").await;
    assert_eq!(world.parked(), 1);
    let walk = world.go_on(page, "bob").await;
    is(&walk.page, 409, "This was not yours to send");
    assert_eq!((world.hit_count(), world.parked()), (hits, 0));
    let gone = world.open(&path_of(walk.page.url.as_str())).await;
    is(&gone, 410, "Nothing is kept here");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_never_another_browsers() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.lands("/mfa/x", "alice").await;
    let hits = hits + 1;
    let other = world.clicks(&page, "send").await;
    is(&other, 410, "Nothing is kept here");
    let seen = std::mem::take(&mut world.browser.seen);
    world.browser = first;
    world.browser.seen.extend(seen);
    // Nor another host's, where the same user is signed in.
    let other = world.other.clone();
    world.browser.open(&format!("{other}/")).await;
    let path = path_of(page.url.as_str());
    let there = world.browser.open(&format!("{other}{path}")).await;
    is(&there, 410, "Nothing is kept here");
    let hits = hits + 1;
    assert_eq!(world.hit_count(), hits);
    let answer = world.clicks(&page, "send").await;
    assert_eq!(answer.body, "app POST /mfa/form", "it was not lost by that");
    assert_eq!(world.hit_count(), hits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_for_nobody_or_from_another_site() {
    let mut world = World::new().await;
    let page = world.sends("POST", "/form", &[FORM], b"amount=1").await;
    is(&page, 401, "This was not sent yet");
    assert!(page.body.contains("nobody is signed in"), "{}", page.text());
    world.lands("/", "alice").await;
    let hits = world.hit_count();
    for origin in ["https://evil.example", "null", "http://other.localhost"] {
        let headers = [FORM, ("origin", origin)];
        let page = world
            .sends("POST", "/mfa/form", &headers, b"amount=1")
            .await;
        is(&page, 401, "This was not sent yet");
        assert!(page.body.contains("did not come from"), "{}", page.text());
    }
    // Without `Origin`, Fetch Metadata has the word.
    for (site, expected) in [
        ("cross-site", 401),
        ("same-site", 401),
        ("none", 401),
        ("same-origin", 202),
    ] {
        let headers = [
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 8",
            &format!("Sec-Fetch-Site: {site}"),
        ];
        let request = world.raw_with("POST /mfa/form", &headers, "amount=1").await;
        assert_eq!(status(&request), expected, "{site}: {request}");
    }
    assert_eq!((world.hit_count(), world.parked()), (hits, 1));
    // Strangers take no room, whatever they send or make up.
    let port = world.origin.rsplit(':').next().unwrap();
    let cookie = format!("Cookie: __Host-stepgate-{port}-browser=AAAA");
    let origin = format!("Origin: {}", world.origin);
    for _ in 0..40 {
        let headers = ["Accept: text/html", "Content-Length: 8", &cookie, &origin];
        let answer = world.raw_with("POST /mfa/form", &headers, "amount=1").await;
        assert_eq!(status(&answer), 401, "{answer}");
    }
    assert_eq!(world.parked(), 1);
    // Programs and scripts are told as before.
    let (status, problem) = world.fetch("POST", "/mfa/form").await;
    assert_eq!((status, problem["code"].as_str()), (401, Some("step-up")));
    assert_eq!(world.parked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_click_comes_from_our_own_page_alone() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    let action = page.action().unwrap();
    for origin in ["https://evil.example", "null"] {
        let headers = [FORM, ("origin", origin)];
        let body = Some(b"do=send".to_vec());
        let answer = world
            .browser
            .navigate(reqwest::Method::POST, action.clone(), &headers, body)
            .await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    // A script; a GET, as by a link; a body that says nothing, or too much.
    let answer = world
        .browser
        .send("POST", action.as_str(), &[FORM], "do=send".to_owned());
    assert_eq!(answer.await.status(), 403);
    let again = world.open(&path_of(action.as_str())).await;
    shows_what_is_kept(&again);
    let again = world.clicks(&page, "nothing").await;
    shows_what_is_kept(&again);
    let long = world.clicks(&page, &"x".repeat(2000)).await;
    assert_eq!(long.status, 413, "{}", long.text());
    assert_eq!((world.hit_count(), world.parked()), (hits, 1));
    let dropped = world.clicks(&page, "drop").await;
    assert_eq!(dropped.body, "app GET /");
    assert_eq!((world.hit_count(), world.parked()), (hits + 1, 0));
    let answer = world.clicks(&page, "send").await;
    is(&answer, 410, "Nothing is kept here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_it() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    // By the user, in another tab.
    let page = world.sends("POST", "/mfa/form", &[FORM], b"amount=1").await;
    assert_eq!(heading(&page), "Sign in", "{}", page.text());
    let asking = world.open("/.stepgate/logout").await;
    world.browser.submit(&asking, &[]).await;
    assert_eq!(world.parked(), 0);
    let walk = world.go_on(page, "alice").await;
    assert_ne!(heading(&walk.page), "Send it now?");
    world.clock.advance(2);

    // By the provider, when the form is there to be sent.
    world.lands("/", "alice").await;
    let page = world.kept("alice", "/fresh/form", b"amount=2").await;
    world.realm.end_sessions_of("alice").await;
    assert_eq!(world.parked(), 0);
    world.clock.advance(2);
    let walk = world.visit(&path_of(page.url.as_str()), "alice").await;
    is(&walk.page, 410, "Nothing is kept here");

    // Parked after a session had lapsed, signed in anew, and that session is ended.
    world.lands("/", "alice").await;
    world.clock.advance(2 * 3600);
    let page = world.sends("POST", "/form", &[FORM], b"amount=3").await;
    let walk = world.go_on(page, "alice").await;
    shows_what_is_kept(&walk.page);
    let asking = world.open("/.stepgate/logout").await;
    world.browser.submit(&asking, &[]).await;
    world.clock.advance(2);
    let again = world.visit(&path_of(walk.page.url.as_str()), "alice").await;
    is(&again.page, 410, "Nothing is kept here");
    assert_eq!(world.hit_count(), hits + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_it_with_the_session() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    assert_eq!(world.parked(), 1);
    let gate = world.stepgate.operations().gate();
    let whose = Whose::Subject("sub-alice".to_owned());
    // With the session's id of before the step-up, which lives for some seconds more.
    assert!(!gate.revoke(&whose, 0).await.unwrap().is_empty());
    assert_eq!(world.parked(), 0);
    world.clock.advance(2);
    let walk = world.visit(&path_of(page.url.as_str()), "alice").await;
    is(&walk.page, 410, "Nothing is kept here");
    assert_eq!(world.hit_count(), hits);
}

/// What nobody can open any more is not sent, and nobody is told that it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_by_a_key_that_is_gone_is_not_sent() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    std::fs::write(world.stepgate.path("other.key"), "k".repeat(40)).unwrap();
    world.stepgate.edit("stepgate.toml", |config| {
        format!("{config}\n[seal]\nkeys = [{{ file = \"other.key\" }}]\n")
    });
    world.restart().await;
    let answer = world.clicks(&page, "send").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(world.hit_count(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_lose_it() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world
        .sends("POST", "/mfa/upload", &[MULTIPART], &multipart())
        .await;
    world.restart().await;
    let walk = world.go_on(page, "alice").await;
    shows_what_is_kept(&walk.page);
    world.restart().await;
    let answer = world.clicks(&walk.page, "send").await;
    assert_eq!(answer.body, "app POST /mfa/upload");
    assert_eq!(world.hit_count(), hits + 1);
    assert_eq!(world.last_hit().body, multipart());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_decided_anew_when_it_is_sent() {
    let mut world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    // Read for too long, but not for so long that it is gone.
    world
        .stepgate
        .edit("stepgate.toml", |text| text.replace("\"30m\"", "\"5m\""));
    world.stepgate.reloader.reload().await;
    world.clock.advance(6 * 60);
    let page = world.clicks(&page, "send").await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed, ["password", "code"]);
    shows_what_is_kept(&walk.page);
    assert_eq!(world.hit_count(), hits);
    let answer = world.clicks(&walk.page, "send").await;
    assert_eq!(answer.body, "app POST /mfa/form");
    assert_eq!(world.hit_count(), hits + 1);

    // A factor helps nobody here.
    let page = world
        .sends("POST", "/admin/form", &[FORM], b"amount=1")
        .await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.page.status, 403, "{}", walk.page.text());
    assert_eq!(world.hit_count(), hits + 1);

    // Later than it is kept.
    let page = world.kept("alice", "/key/form", b"amount=1").await;
    world.clock.advance(11 * 60);
    let answer = world.clicks(&page, "send").await;
    is(&answer, 410, "Nothing is kept here");
    assert_eq!(world.hit_count(), hits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_kept_until_there_is_an_app_to_send_it_to() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let twist = Twist {
        upstream: Some(&url),
        ..Twist::default()
    };
    let mut world = World::twisted(twist).await;
    let walk = world.visit("/mfa/x", "alice").await;
    assert_eq!(walk.page.status, 502, "{}", walk.page.text());
    world.clock.advance(31 * 60);
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    let answer = world.clicks(&page, "send").await;
    assert!(
        [502, 503].contains(&answer.status.as_u16()),
        "{}",
        answer.text()
    );
    assert_eq!(heading(&answer), "It is still kept", "{}", answer.text());
    assert!(answer.link("/.stepgate/resume?id=").is_some());
    assert_eq!(world.parked(), 1);

    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let app = Router::new().fallback(any(|body: String| async move { format!("app got {body}") }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let answer = crate::harness::eventually_async("the app's answer", || async {
        let answer = world.clicks_by_hand(&page).await;
        (status(&answer) == 200).then_some(answer)
    })
    .await;
    assert!(answer.ends_with("app got amount=1"), "{answer}");
    assert_eq!(world.parked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_told_before_it_is_uploaded() {
    let world = World::signed_in("alice", "/").await;
    let hits = world.hit_count();
    let told = |answer: &str| {
        assert_eq!(status(answer), 401, "{answer}");
        assert!(answer.contains("larger than 64 KiB"), "{answer}");
        assert!(!answer.contains("HTTP/1.1 100"), "{answer}");
    };
    let origin = format!("Origin: {}", world.origin);
    let page = |length: &'static str| {
        let headers = [
            "Accept: text/html",
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Content-Type: application/octet-stream",
            origin.as_str(),
            length,
        ];
        headers.map(str::to_owned)
    };
    let with = |length, more: &[&str]| {
        let more = more.iter().map(ToString::to_string);
        page(length).into_iter().chain(more).collect::<Vec<_>>()
    };
    let ask = async |headers: Vec<String>, body: &str| {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        world.raw_with("POST /mfa/upload", &headers, body).await
    };
    let expecting = with("Content-Length: 65537", &["Expect: 100-continue"]);
    told(&ask(expecting, "").await);
    // Not told beforehand: no more than that is read. And what is sent whole, before anybody listens, is answered.
    let chunked = format!("10010\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10010));
    told(&ask(with("Transfer-Encoding: chunked", &[]), &chunked).await);
    let long = "x".repeat(5_000_000);
    told(&ask(with("Content-Length: 5000000", &[]), &long).await);
    assert_eq!((world.hit_count(), world.parked()), (hits, 0));
    // What fits is asked for, up to the last byte.
    let fits = with("Content-Length: 65536", &["Expect: 100-continue"]);
    let answer = ask(fits, &"x".repeat(65_536)).await;
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    assert!(answer.contains("HTTP/1.1 202"), "{answer}");
    assert_eq!((world.hit_count(), world.parked()), (hits, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_fills_a_part_of_the_room_and_no_more() {
    let twist = Twist {
        config: &[("[networks]", "[park]\nbudget = \"1MiB\"\n[networks]")],
        policy: &[(
            "path    = \"/mfa/**\"",
            "path    = \"/mfa/**\"\npark_bytes = \"128KiB\"",
        )],
        ..Twist::default()
    };
    let mut world = World::twisted(twist).await;
    world.lands("/", "alice").await;
    let form = vec![b'x'; 120 << 10];
    for _ in 0..2 {
        let page = world.sends("POST", "/mfa/form", &[FORM], &form).await;
        assert_ne!(heading(&page), "This was not sent yet", "{}", page.text());
    }
    let page = world.sends("POST", "/mfa/form", &[FORM], &form).await;
    is(&page, 401, "This was not sent yet");
    assert!(
        page.body.contains("too much is being kept"),
        "{}",
        page.text()
    );
    // Small ones: as many as a person has tabs.
    while world.parked() < 16 {
        let page = world.sends("POST", "/mfa/form", &[FORM], b"amount=1").await;
        assert_ne!(heading(&page), "This was not sent yet", "{}", page.text());
    }
    let page = world.sends("POST", "/mfa/form", &[FORM], b"amount=1").await;
    is(&page, 401, "This was not sent yet");
    // Others have their own part.
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.lands("/", "carol").await;
    let page = world.kept("carol", "/mfa/form", &form).await;
    let answer = world.clicks(&page, "send").await;
    assert_eq!(answer.body, "app POST /mfa/form");
    assert_eq!(world.parked(), 16);
    // A route may keep nothing at all.
    world
        .stepgate
        .edit("policies/payroll.toml", |text| text.replace("128KiB", "0B"));
    world.stepgate.reloader.reload().await;
    world.clock.advance(31 * 60);
    let page = world.sends("POST", "/mfa/form", &[FORM], b"").await;
    is(&page, 401, "This was not sent yet");
    let seen = first.seen;
    world.browser.seen.extend(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_to_an_app_that_speaks_http_2() {
    let seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
    let note = {
        let seen = Arc::clone(&seen);
        move |headers: HeaderMap, body: Bytes| async move {
            seen.lock().unwrap().push((headers, body));
            "app over HTTP/2"
        }
    };
    let app = crate::oracle::serve(Router::new().fallback(note)).await;
    let server = format!(
        "server {{ listen PORT0 http2; location / {{ proxy_pass http://{app}; proxy_set_header X-Spoken $server_protocol; }} }}"
    );
    let Some(nginx) = nginx("parked-h2", &server).await else {
        return;
    };
    let twist = Twist {
        config: &[("[upstreams.app]", "[upstreams.app]\nprotocol = \"h2c\"")],
        upstream: Some(&format!("http://{}", nginx.address(0))),
        ..Twist::default()
    };
    let mut world = World::twisted(twist).await;
    world.visit("/", "alice").await;
    for body in [multipart(), Vec::new()] {
        let page = world
            .sends("POST", "/mfa/upload", &[MULTIPART], &body)
            .await;
        let walk = world.go_on(page, "alice").await;
        shows_what_is_kept(&walk.page);
        let before = seen.lock().unwrap().len();
        let answer = world.clicks(&walk.page, "send").await;
        assert_eq!(answer.body, "app over HTTP/2", "{}", answer.text());
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), before + 1);
        let (headers, arrived) = seen.last().unwrap();
        assert_eq!(headers["x-spoken"], "HTTP/2.0");
        assert_eq!(headers["content-type"], MULTIPART.1);
        assert_eq!(*arrived, body);
        world.clock.advance(31 * 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_took_and_did_not_answer_is_not_sent_again() {
    // Answers a GET, and hangs up on what is posted, once it is there whole.
    let (app, seen) = upstream(|header, mut wire| async move {
        if header.starts_with("GET") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp")
                .await;
            return Some(wire);
        }
        wire.exactly("amount=1".len()).await;
        None
    })
    .await;
    let twist = Twist {
        upstream: Some(&format!("http://{app}")),
        ..Twist::default()
    };
    let mut world = World::twisted(twist).await;
    world.visit("/", "alice").await;
    let page = world.kept("alice", "/mfa/form", b"amount=1").await;
    let answer = world.clicks(&page, "send").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_ne!(heading(&answer), "It is still kept");
    let again = world.clicks(&page, "send").await;
    is(&again, 409, "This was sent already");
    let posts = |line: &&String| line.starts_with("POST /mfa/form HTTP/1.1");
    assert_eq!(seen.lock().unwrap().iter().filter(posts).count(), 1);
}
