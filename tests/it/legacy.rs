//! A real legacy application behind stepgate: radicale as Debian ships it, a calendar server that takes its user from a
//! header, unchanged.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::flows::{Twist, World};
use crate::harness::{eventually_async, install_crypto};
use crate::keycloak::{free_port, not_run};

const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n\
                     DTSTART:20260101T000000Z\r\nSUMMARY:Pay day\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

struct Radicale {
    url: String,
    child: Child,
    _folder: TempDir,
}

impl Radicale {
    /// `None`, and said so, where it is not installed.
    async fn start(test: &str) -> Option<Self> {
        install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let started = Command::new("radicale")
            .args(["--config", "", "--server-hosts", &address])
            .args(["--auth-type", "http_x_remote_user"])
            .args(["--rights-type", "owner_only"])
            .arg("--storage-filesystem-folder")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            let required =
                std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
            assert!(
                !required,
                "radicale is missing, and STEPGATE_REQUIRE_REAL=1"
            );
            not_run(test, "there is no radicale here");
            return None;
        };
        let radicale = Self {
            url: format!("http://{address}"),
            child,
            _folder: folder,
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        eventually_async("radicale", async || {
            client
                .get(format!("{}/.web/", radicale.url))
                .send()
                .await
                .ok()
        })
        .await;
        Some(radicale)
    }
}

impl Drop for Radicale {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// What a calendar program gets.
async fn ask(world: &World, method: &str, path: &str, body: &str) -> (u16, String) {
    let headers = [("content-type", "text/calendar"), ("depth", "1")];
    let url = world.url(path);
    let answer = world
        .browser
        .send(method, &url, &headers, body.to_owned())
        .await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_see_their_own_calendars_and_deleting_needs_the_second_factor() {
    let Some(radicale) = Radicale::start("legacy").await else {
        return;
    };
    let twist = Twist {
        upstream: Some(&radicale.url),
        config: &[(
            "[networks]",
            "[[floors]]\nid = \"deletes\"\nmethods = [\"DELETE\"]\nrequire = { level = \"mfa\" }\n[networks]",
        )],
        policy: &[(
            "identity    = { preset = \"oauth2-proxy\", X-Level = \"{level}\" }",
            "identity    = { X-Remote-User = \"{claim.preferred_username}\" }",
        )],
        ..Twist::default()
    };
    let mut world = World::twisted(twist).await;

    // Nobody: radicale is not even asked.
    assert_eq!(ask(&world, "PROPFIND", "/alice/", "").await.0, 401);

    // By the browser, as its users do: the program's own page, after the password.
    let walk = world.visit("/.web/", "alice").await;
    assert_eq!(walk.typed, ["password"]);
    assert!(walk.page.body.contains("Radicale"), "{}", walk.page.text());

    // Writing works.
    assert_eq!(ask(&world, "MKCALENDAR", "/alice/pay/", "").await.0, 201);
    assert_eq!(ask(&world, "PUT", "/alice/pay/a.ics", EVENT).await.0, 201);
    let (status, event) = ask(&world, "GET", "/alice/pay/a.ics", "").await;
    assert_eq!(status, 200);
    assert!(event.contains("Pay day"), "{event}");
    let (status, list) = ask(&world, "PROPFIND", "/alice/pay/", "").await;
    assert_eq!(status, 207);
    assert!(list.contains("/alice/pay/a.ics"), "{list}");

    // Somebody else sees her own things, whatever her program claims to be.
    let alice = std::mem::replace(&mut world.browser, crate::keycloak::Browser::new());
    world.visit("/.web/", "carol").await;
    assert_eq!(ask(&world, "MKCALENDAR", "/carol/pay/", "").await.0, 201);
    assert_eq!(ask(&world, "GET", "/alice/pay/a.ics", "").await.0, 403);
    for name in ["x-remote-user", "X_Remote_User", "X-REMOTE_USER"] {
        let url = world.url("/alice/pay/a.ics");
        let answer = world
            .browser
            .send("GET", &url, &[(name, "alice")], String::new())
            .await;
        assert_eq!(answer.status(), 403, "{name}");
    }
    assert_eq!(ask(&world, "PROPFIND", "/carol/", "").await.0, 207);

    // Deleting is for the second factor.
    world.browser = alice;
    let (status, problem) = ask(&world, "DELETE", "/alice/pay/a.ics", "").await;
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!((status, &problem["code"]), (401, &"step-up".into()));
    assert_eq!(
        ask(&world, "GET", "/alice/pay/a.ics", "").await.0,
        200,
        "it is still there"
    );
    let page = world
        .open("/.stepgate/step-up?level=mfa&return=%2F.web%2F")
        .await;
    let walk = world.go_on(page, "alice").await;
    assert_eq!(walk.typed, ["password", "code"]);
    assert_eq!(ask(&world, "DELETE", "/alice/pay/a.ics", "").await.0, 200);
    assert_eq!(ask(&world, "GET", "/alice/pay/a.ics", "").await.0, 404);
}
