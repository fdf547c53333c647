//! Callbacks that come late, twice, from another browser or for somebody else; many tabs; the session's id.

use super::asking::claims;
use super::world::{Twist, World, heading};
use crate::keycloak::Browser;
use serde_json::json;

impl World {
    /// Goes as far as the provider sends the browser back, and stops there: the callback's address.
    async fn until_callback(&mut self, path: &str, user: &str) -> String {
        let page = self.open(path).await;
        self.browser.stop_at = Some(self.url("/.stepgate/callback"));
        let back = self.go_on(page, user).await.page;
        self.browser.stop_at = None;
        assert!(
            back.url
                .as_str()
                .starts_with(&self.url("/.stepgate/callback")),
            "{}",
            back.text()
        );
        back.url.to_string()
    }

    fn cookie(&self) -> String {
        let url = self.url("/").parse().unwrap();
        let cookies = self.browser.cookies_for(&url);
        let session = cookies.split("; ").find(|pair| {
            let name = pair.split('=').next().unwrap();
            name.starts_with("__Host-stepgate") && !name.contains("flow")
        });
        session.unwrap_or_default().to_owned()
    }

    async fn status_with(&self, cookie: &str, path: &str) -> u16 {
        let mut other = Browser::new();
        let url = self.url(path);
        let set = format!("{cookie}; Path=/; Secure");
        other.keep(&url.parse().unwrap(), &set);
        other.fetch("GET", &url).await.status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_counts_once_and_leads_on_afterwards() {
    let mut world = World::new().await;
    let callback = world.until_callback("/x?y=1", "alice").await;
    let page = world.browser.open(&callback).await;
    world.is_app(&page, "/x?y=1");
    let cookie = world.cookie();
    let again = world.browser.open(&callback).await;
    assert_eq!(
        (again.status.as_u16(), heading(&again)),
        (200, "You are signed in")
    );
    assert_eq!(world.cookie(), cookie, "nothing has changed");
    assert_eq!(
        world.status("/").await,
        200,
        "and the provider did not end the session"
    );

    // Somebody who only has the address.
    let mut thief = Browser::new();
    let page = thief.open(&callback).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert!(page.link("/").is_some());
}

/// Tabs that Keycloak takes for one another come back as one, and the second is sent before the first has its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_beside_its_first_leads_to_the_page() {
    let mut world = World::new().await;
    let callback = world.until_callback("/x?y=1", "alice").await;
    let url = callback.parse().unwrap();
    let before = world.browser.cookies_for(&url);
    let page = world.browser.open(&callback).await;
    world.is_app(&page, "/x?y=1");
    let mut beside = Browser::new();
    for pair in before.split("; ") {
        beside.keep(&url, &format!("{pair}; Path=/; Secure"));
    }
    let answer = beside.fetch("GET", &callback).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], world.url("/x?y=1"));
}

/// A script of the app's cannot read them, another host cannot set them, another site's form does not carry them.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_for_this_host_and_not_for_scripts() {
    let mut world = World::new().await;
    let callback = world.until_callback("/x", "alice").await;
    let url = callback.parse().unwrap();
    let flow = world.browser.cookies_for(&url);
    let host = world.origin.strip_prefix("http://").unwrap();
    let target = callback.strip_prefix(&world.origin).unwrap();
    let answer = world
        .stepgate
        .ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nCookie: {flow}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let port = host.rsplit(':').next().unwrap();
    let name = format!("__Host-stepgate-{port}");
    let set: Vec<_> = answer
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(field, _)| field.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, cookie)| cookie)
        .collect();
    assert!(set.len() >= 2, "{answer}");
    for cookie in &set {
        if cookie.starts_with("JSESSIONID") {
            continue;
        }
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        let (known, value) = pair.split_once('=').unwrap();
        let lifetime = if known == name {
            // 256 bits; as long as the browser's session.
            assert_eq!(value.len(), 43, "{cookie}");
            ""
        } else if known == format!("{name}-browser") {
            // Says whose a form is, an hour longer than a session can last.
            "; Max-Age=46800"
        } else {
            assert!(known.starts_with(&format!("{name}-flow-")), "{cookie}");
            assert_eq!(value, "", "{cookie}");
            "; Max-Age=0"
        };
        assert_eq!(
            attributes,
            format!("Path=/; Secure; HttpOnly; SameSite=Lax{lifetime}")
        );
    }
    assert!(
        set.iter()
            .any(|cookie| cookie.starts_with(&format!("{name}=")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_comes_late_leads_on() {
    let mut world = World::new().await;
    let callback = world.until_callback("/x", "alice").await;
    world.clock.advance(601);
    let page = world.browser.open(&callback).await;
    assert_eq!(page.status, 400);
    assert_eq!(world.levels().await, "");
    assert_eq!(
        world.lands("/x", "alice").await,
        Vec::<&str>::new(),
        "by the provider's own session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_belongs_to_the_browser_that_asked() {
    // An attacker's code, in the victim's browser: the attacker's account must not become the victim's.
    let mut world = World::new().await;
    let attackers = world.until_callback("/x", "alice").await;
    let mut victim = Browser::new();
    std::mem::swap(&mut world.browser, &mut victim);
    let page = world.browser.open(&attackers).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(world.levels().await, "");

    // With a flow of the victim's own under way, and the attacker's code under its state.
    let own = world.until_callback("/x", "carol").await;
    let code = |url: &str| -> String {
        let url: reqwest::Url = url.parse().unwrap();
        let found = url.query_pairs().find(|(name, _)| name == "code");
        found.unwrap().1.into_owned()
    };
    let swapped = own.replace(&code(&own), &code(&attackers));
    let page = world.browser.open(&swapped).await;
    assert!(
        page.status.is_client_error() || page.status.is_server_error(),
        "{}",
        page.text()
    );
    assert_eq!(world.levels().await, "", "PKCE: the code was another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_callbacks_are_pages() {
    let mut world = World::signed_in("alice", "/").await;
    let cookie = world.cookie();
    for query in [
        "",
        "?state=x",
        "?state=&code=",
        "?state=%00&code=1",
        "?state=aaaaaaaaaaaaaaaaaaaaaaaa&code=1&error=access_denied",
        "?error=access_denied",
        "?state=a&state=b&code=1",
    ] {
        let page = world.open(&format!("/.stepgate/callback{query}")).await;
        assert_eq!(
            (page.status.as_u16(), heading(&page)),
            (200, "You are signed in"),
            "{query}"
        );
        assert_eq!(world.cookie(), cookie, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_changes_with_every_flow_and_the_old_one_fades_at_its_old_level() {
    let mut world = World::signed_in("alice", "/").await;
    let first = world.cookie();
    world.lands("/mfa/x", "alice").await;
    let second = world.cookie();
    assert_ne!(first, second);
    // Requests that were under way carry the old id.
    assert_eq!(world.status_with(&first, "/").await, 200);
    assert_eq!(
        world.status_with(&first, "/mfa/x").await,
        401,
        "at its old level"
    );
    world.clock.advance(5);
    assert_eq!(
        world.status_with(&first, "/").await,
        401,
        "not longer than five seconds"
    );
    assert_eq!(world.status_with(&second, "/mfa/x").await, 200);
    // Made up, cut, and doubled.
    for forged in [
        second.replace(|letter: char| letter.is_ascii_lowercase(), "x"),
        second
            .strip_suffix(char::is_alphanumeric)
            .unwrap_or("x")
            .to_owned(),
        format!("{second}A"),
        format!("{second}; {first}"),
        "__Host-stepgate=".to_owned(),
    ] {
        let status = world.status_with(&forged, "/mfa/x").await;
        assert!(
            status == 401 || forged.starts_with(&second),
            "{forged}: {status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_when_unused_and_when_old() {
    let mut world = World::signed_in("alice", "/").await;
    for _ in 0..3 {
        world.clock.advance(59 * 60);
        assert_eq!(world.status("/").await, 200, "in use");
    }
    world.clock.advance(61 * 60);
    assert_eq!(world.status("/").await, 401, "unused for an hour");

    world.lands("/", "alice").await;
    for _ in 0..12 {
        world.clock.advance(59 * 60);
        assert_eq!(world.status("/").await, 200);
    }
    world.clock.advance(13 * 60);
    assert_eq!(world.status("/").await, 401, "twelve hours old");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_step_up_ends_the_first_session() {
    let mut world = World::signed_in("alice", "/x/set-cookie").await;
    let first = world.cookie();
    world.realm.quirks().other_user = Some("carol".to_owned());
    let walk = world.visit("/mfa/x", "carol").await;
    world.realm.quirks().other_user = None;
    assert_eq!(
        heading(&walk.page),
        "You are now carol",
        "{}",
        walk.page.text()
    );
    assert_eq!(
        world.status_with(&first, "/").await,
        401,
        "the first session is over"
    );
    let (_, me) = world.fetch("GET", "/.stepgate/me").await;
    assert_eq!(me["user"], "carol");
    world.audited("user-switch", "").await;
    // A clean one: the app's own session of the first user is not handed on.
    world.lands("/y", "carol").await;
    assert_eq!(world.last_hit().header("cookie"), "");
    assert_eq!(world.last_hit().header("x-forwarded-user"), "sub-carol");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_of_an_earlier_user_changes_nothing() {
    let mut world = World::signed_in("alice", "/").await;
    let callback = world.until_callback("/mfa/x", "alice").await;
    // Meanwhile the browser is signed out and carol signs in.
    world.fetch("POST", "/.stepgate/logout").await;
    world.browser.forget("127.0.0.1");
    world.lands("/", "carol").await;
    let cookie = world.cookie();
    let page = world.browser.open(&callback).await;
    assert_ne!(page.status, 303);
    assert_eq!(world.cookie(), cookie);
    let (_, me) = world.fetch("GET", "/.stepgate/me").await;
    assert_eq!(me["user"], "carol");
    assert_eq!(
        world.status("/mfa/x").await,
        401,
        "and she has not alice's code"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_sign_in_at_once_share_a_session() {
    let mut world = World::new().await;
    let mut pages = Vec::new();
    for index in 0..5 {
        pages.push(world.open(&format!("/tab/{index}")).await);
    }
    let sixth = world.open("/tab/5").await;
    assert_eq!(
        (sixth.status.as_u16(), heading(&sixth)),
        (429, "Finish signing in in another tab")
    );
    for (index, page) in pages.into_iter().enumerate() {
        let path = format!("/tab/{index}");
        let mut page = world.go_on(page, "alice").await.page;
        if index > 0 {
            // The sandbox has a session for each tab: the browser keeps the first, and one click leads on.
            assert_eq!(heading(&page), "You are signed in");
            page = world.browser.open(&page.link(&path).unwrap()).await;
        }
        world.is_app(&page, &path);
    }
    let page = world.open("/tab/5").await;
    world.is_app(&page, "/tab/5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_waits_for_the_step_up_of_another() {
    let mut world = World::signed_in("alice", "/").await;
    let first = world.open("/mfa/1").await;
    let second = world.open("/mfa/2").await;
    assert_eq!(
        (second.status.as_u16(), heading(&second)),
        (401, "Confirm in your other tab")
    );
    assert_eq!(world.asked(), 2);
    let walk = world.go_on(first, "alice").await;
    world.is_app(&walk.page, "/mfa/1");
    let page = world.open("/mfa/2").await;
    world.is_app(&page, "/mfa/2");
    assert_eq!(world.asked(), 2);

    // Who wants it here gets it here.
    world.clock.advance(61);
    world.open("/fresh/1").await;
    let waiting = world.open("/fresh/2").await;
    let here = waiting.link("/.stepgate/step-up").unwrap();
    let page = world.browser.open(&here).await;
    let walk = world.go_on(page, "alice").await;
    world.is_app(&walk.page, "/fresh/2");

    // A tab that was closed does not keep the others waiting for ever.
    world.clock.advance(61);
    world.open("/fresh/3").await;
    world.clock.advance(120);
    assert_eq!(heading(&world.open("/fresh/4").await), "Sign in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_takes_over_what_the_other_tabs_proved() {
    let mut world = World::signed_in("alice", "/").await;
    // Two step-ups of one session, for different levels, finished in the other order.
    let mfa = world.until_callback("/mfa/x", "alice").await;
    world.browser.open(&mfa).await;
    let key = world.until_callback("/key/x", "alice").await;
    world.clock.advance(61);
    let fresh = world.until_callback("/fresh/x", "alice").await;
    let page = world.browser.open(&fresh).await;
    world.is_app(&page, "/fresh/x");
    let page = world.browser.open(&key).await;
    world.is_app(&page, "/key/x");
    assert_eq!(world.status("/fresh/x").await, 200, "the later proof stays");
    assert_eq!(
        world.levels().await,
        "password=proven mfa=proven hardware-key=proven"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sid_drops_the_evidence_of_the_old_one() {
    let mut world = World::signed_in("alice", "/mfa/x").await;
    // The provider's session ended behind our back, and the user signed in anew there.
    world.browser.forget("127.0.0.1");
    world.clock.advance(61);
    world.realm.quirks().id_claims = claims(&json!({ "acr": "pwd", "amr": ["pwd"] }));
    let walk = world.visit("/fresh-password/x", "alice").await;
    world.is_app(&walk.page, "/fresh-password/x");
    assert_eq!(
        world.levels().await,
        "password=proven mfa=missing hardware-key=missing"
    );
}

/// A path with two slashes at its start is another host to a browser.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_two_slashes_is_no_way_to_another_host() {
    let mut world = World::twisted(Twist {
        config: &[(
            "[upstreams.app]\n",
            "[upstreams.app]\naccept = [\"double-slash\", \"backslash\"]\n",
        )],
        ..Twist::default()
    })
    .await;
    let path = "//evil.example/x";
    assert_eq!(world.lands(path, "alice").await, ["password"]);
    assert_eq!(world.last_hit().target, path);
    for given in [path, "/\\evil.example/x"] {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("return", given)
            .finish();
        let page = world.open(&format!("/.stepgate/login?{query}")).await;
        assert!(
            page.url.as_str().starts_with(&world.url("/")),
            "{}",
            page.url
        );
        let page = world
            .open(&format!("/.stepgate/step-up?level=mfa&{query}"))
            .await;
        let walk = world.go_on(page, "alice").await;
        assert!(
            walk.page.url.as_str().starts_with(&world.url("/")),
            "{}",
            walk.page.url
        );
        assert!(walk.page.body.starts_with("app "), "{}", walk.page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn return_addresses_stay_on_this_origin() {
    let mut world = World::new().await;
    for (given, lands) in [
        ("/x?y=1", "/x?y=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/%2fevil", "/"),
        ("javascript:alert(1)", "/"),
        ("/.stepgate/logout", "/"),
        ("/.stepgate/callback?state=1", "/"),
        ("", "/"),
    ] {
        world.browser.forget("payroll.localhost");
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("return", given)
            .finish();
        let page = world.open(&format!("/.stepgate/login?{query}")).await;
        let walk = world.go_on(page, "alice").await;
        world.is_app(&walk.page, lands);
        // Signed in already: straight there.
        let page = world.open(&format!("/.stepgate/login?{query}")).await;
        world.is_app(&page, lands);
    }
}
