//! What operators do over the socket, as they type it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::Value;

use super::{metric, read, typed, world};
use crate::flows::World;
use crate::harness::eventually_async;
use crate::keycloak::not_run;

/// The user's `sub` and `sid`, as the app was told.
fn names(world: &World) -> (String, String) {
    let line = world.last_hit();
    (line.header("x-forwarded-user").to_owned(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_is_gone_with_the_next_request_on_every_origin() {
    let mut world = world().await;
    world.lands("/mfa/", "alice").await;
    let (subject, _) = names(&world);
    assert!(!subject.is_empty());
    let other = world.browser.open(&world.other).await;
    assert_eq!(other.status, 200, "{}", other.text());

    let listed = typed(
        &world,
        &[
            "sessions",
            "list",
            "--subject",
            &subject,
            "--format",
            "json",
        ],
    )
    .await;
    assert_eq!(listed.code, 0, "{}", listed.err);
    let sessions: Value = serde_json::from_str(&listed.out).unwrap();
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{}", listed.out);
    let sid = sessions[0]["sid"].as_str().unwrap();
    assert_eq!(sessions[1]["sid"], sid);
    assert!(sessions.iter().any(|session| session["level"] == "mfa"));
    let table = typed(&world, &["sessions", "list", "--sid", sid]).await;
    assert!(table.out.starts_with("KEY "), "{}", table.out);
    assert_eq!(table.out.lines().count(), 3, "{}", table.out);
    assert!(table.out.contains("alice"), "{}", table.out);
    let shown = typed(&world, &["sessions", "show", "--sid", sid]).await;
    assert!(
        shown.out.contains("mfa: proven, proven 20"),
        "{}",
        shown.out
    );
    // Nothing by which somebody could be: no cookie's value, no token.
    for text in [&listed.out, &table.out, &shown.out] {
        assert!(!text.contains("eyJ"), "{text}");
        for (url, cookie) in &world.browser.seen {
            // The provider's own.
            if url.host_str() == Some("127.0.0.1") {
                continue;
            }
            if let Some(value) = cookie {
                assert!(value.len() < 8 || !text.contains(value.as_str()), "{text}");
            }
        }
    }

    let by_name = typed(&world, &["sessions", "list", "--user", "alice"]).await;
    assert_eq!(by_name.out, table.out);
    assert_eq!(
        typed(&world, &["sessions", "list", "--user", "Alice"])
            .await
            .code,
        1
    );

    let hits = world.hit_count();
    let revoked = typed(&world, &["sessions", "revoke", "--sid", sid]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert!(
        revoked.out.ends_with("2 sessions ended\n"),
        "{}",
        revoked.out
    );
    assert_eq!(world.status("/mfa/").await, 401);
    assert_eq!(world.browser.fetch("GET", &world.other).await.status(), 401);
    assert_eq!(
        world.hit_count(),
        hits,
        "a request of a revoked session reached the app"
    );

    let event = world.audited("session-ended", "operator").await;
    let uid = procfs_uid();
    assert_eq!(
        (&event["operator"], &event["sid"]),
        (&uid.into(), &sid.into()),
        "{event}"
    );
    assert_eq!(event["sub"], subject.as_str());
    assert_eq!(
        metric(&world, "stepgate_sessions_ended_total{reason=\"operator\"}").await,
        2.0
    );

    // Nothing is left to show, and nothing to end is no error.
    assert_eq!(
        typed(&world, &["sessions", "list", "--sid", sid])
            .await
            .code,
        1
    );
    let again = typed(&world, &["sessions", "revoke", "--subject", &subject]).await;
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again.out.starts_with("no session was there"),
        "{}",
        again.out
    );
}

/// The others' go on.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_by_name_is_signed_out_by_it() {
    let mut world = world().await;
    world.lands("/", "alice").await;
    let alice = std::mem::replace(&mut world.browser, crate::keycloak::Browser::new());
    world.lands("/", "bob").await;
    let revoked = typed(&world, &["sessions", "revoke", "--user", "alice"]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert!(
        revoked.out.ends_with("1 session ended\n"),
        "{}",
        revoked.out
    );
    assert_eq!(world.status("/").await, 200);
    world.browser = alice;
    assert_eq!(world.status("/").await, 401);
}

/// Who was on the way in when the operator acted gets no session out of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_began_before_makes_no_session() {
    let mut world = world().await;
    world.lands("/", "alice").await;
    let (subject, _) = names(&world);
    let page = world.open("/fresh/").await;
    assert_eq!(
        typed(&world, &["sessions", "revoke", "--subject", &subject])
            .await
            .code,
        0
    );
    let walk = world.go_on(page, "alice").await;
    assert!(!walk.page.body.starts_with("app "), "{}", walk.page.text());
    assert_eq!(world.status("/").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_turns_readiness_red_and_serves_on() {
    let mut world = world().await;
    world.lands("/", "alice").await;
    let drained = typed(&world, &["drain"]).await;
    assert_eq!(drained.code, 0, "{}", drained.err);
    let (code, text) = read(&world, "/readyz?verbose", &[]).await;
    assert_eq!(code, 503);
    assert!(text.contains("[-] drain down since"), "{text}");
    assert_eq!(read(&world, "/healthz", &[]).await.0, 200, "it lives");
    assert_eq!(
        world.status("/").await,
        200,
        "a request that comes all the same is served"
    );
    assert_eq!(metric(&world, "stepgate_draining").await, 1.0);

    // A connection is kept open: the time is over.
    let held = world.stepgate.wire().await;
    let waited = typed(&world, &["drain", "--wait", "1s"]).await;
    assert_eq!(waited.code, 1, "{}", waited.out);
    assert!(waited.err.contains("not over yet"), "{}", waited.err);
    drop(held);
    world.browser = crate::keycloak::Browser::new();
    let waited = typed(&world, &["drain", "--wait", "20s"]).await;
    assert_eq!(waited.code, 0, "{}{}", waited.out, waited.err);

    assert_eq!(typed(&world, &["drain", "--off"]).await.code, 0);
    assert_eq!(read(&world, "/readyz", &[]).await.0, 200);
    assert_eq!(metric(&world, "stepgate_draining").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_is_refused() {
    if procfs_uid() != 0 {
        not_run("admin::another_user", "only root can become somebody else");
        return;
    }
    let world = world().await;
    let socket = world.stepgate.path("admin.sock");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    let by_nobody = async |method: &str, host: &str, more: &str| {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "curl",
                "-sS",
                "-X",
                method,
            ])
            .args([
                "-H",
                &format!("Host: {host}"),
                "-H",
                more,
                "-w",
                " %{http_code}",
                "--unix-socket",
            ])
            .arg(&socket)
            .arg("http://stepgate/sessions?subject=x");
        tokio::task::spawn_blocking(move || {
            let output = command.output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        })
        .await
        .unwrap()
    };
    // The folder and the mode keep others out.
    let folder = socket.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kept_out = by_nobody("GET", "stepgate", "X: 1").await;
    assert!(kept_out.contains("000"), "{kept_out}");
    // And where somebody has opened it, the kernel's word does.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = by_nobody("GET", "stepgate", "X: 1").await;
    assert!(
        refused.contains("\"operator\"") && refused.ends_with(" 403"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_not_for_pages_and_has_one_name() {
    let world = world().await;
    let socket = world.stepgate.path("admin.sock");
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .build()
        .unwrap();
    let ask = async |host: &str, origin: Option<&str>| {
        let mut request = client
            .get("http://stepgate/sessions?subject=x")
            .header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("stepgate", None).await, 200);
    assert_eq!(ask("localhost", None).await, 421);
    assert_eq!(ask("stepgate", Some("http://evil.example")).await, 403);
    for (method, target, expected) in [
        ("POST", "/sessions?subject=x", 405),
        ("GET", "/sessions/revoke?subject=x", 405),
        ("GET", "/sessions", 400),
        ("GET", "/sessions?subject=x&sid=y", 400),
        ("GET", "/sessions?subjct=x", 400),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
    ] {
        let request = client.request(method.parse().unwrap(), format!("http://stepgate{target}"));
        let status = request.send().await.unwrap().status();
        assert_eq!(status, expected, "{method} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_why_nobody_answers() {
    let world = world().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let missing = typed(&world, &["reload", "--socket", &at("none.sock")]).await;
    assert_eq!(missing.code, 2);
    assert!(
        missing.err.contains("is not there: is stepgate running"),
        "{}",
        missing.err
    );

    drop(UnixListener::bind(at("dead.sock")).unwrap());
    let dead = typed(&world, &["drain", "--socket", &at("dead.sock")]).await;
    assert_eq!(dead.code, 2);
    assert!(dead.err.contains("nobody listens at"), "{}", dead.err);

    // Somebody else's HTTP server.
    let listener = tokio::net::UnixListener::bind(at("other.sock")).unwrap();
    let other = tokio::spawn(async move {
        let app = axum::Router::new().fallback(async || "{\"sessions\": []}");
        axum::serve(listener, app).await.unwrap();
    });
    let foreign = typed(
        &world,
        &[
            "sessions",
            "list",
            "--sid",
            "x",
            "--socket",
            &at("other.sock"),
        ],
    )
    .await;
    other.abort();
    assert_eq!(foreign.code, 2);
    assert!(
        foreign.err.contains("is not stepgate's admin socket"),
        "{}",
        foreign.err
    );

    for arguments in [
        &["sessions", "list"][..],
        &["sessions", "revoke", "--sid", "a", "--subject", "b"],
        &["drain", "--wait", "5"],
        &["drain", "--wait", "5m", "--off"],
    ] {
        assert_eq!(typed(&world, arguments).await.code, 2, "{arguments:?}");
    }
}

/// When the process ends, its file goes; the next one's start needs nobody to clean up.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_goes_with_the_process() {
    let world = world().await;
    let socket = world.stepgate.path("admin.sock");
    assert!(socket.exists());
    world.stepgate.stop();
    eventually_async("the file is gone", async || {
        (!socket.exists()).then_some(())
    })
    .await;
}

/// Of this process.
fn procfs_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// What the log holds after a while and a restart is one chain; a change of it, or of its end, shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_a_chain_over_restarts() {
    let mut world = world().await;
    world.lands("/mfa/", "alice").await;
    world.restart().await;
    let asking = world.open("/.stepgate/logout").await;
    world.browser.submit(&asking, &[]).await;
    world.audited("logout", "user").await;
    let verify = async |more: &[&str]| {
        let typed_words = [&["audit", "verify"], more].concat();
        typed(&world, &typed_words).await
    };
    let good = verify(&[]).await;
    assert_eq!(good.code, 0, "{good:?}");
    let head = good.out.trim_end().rsplit(' ').next().unwrap().to_owned();
    let lines = world.stepgate.log("audit.log");
    assert!(lines.lines().count() >= 2, "{lines}");
    let count = format!("{} lines, unbroken; head", lines.lines().count());
    assert!(good.out.starts_with(&count), "{good:?}");
    assert_eq!(verify(&["--head", &head]).await.code, 0);

    let path = world.stepgate.path("changed.log");
    let changed = path.to_str().unwrap();
    std::fs::write(&path, lines.replacen("alice", "carol", 1)).unwrap();
    let bad = verify(&[changed]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(
        bad.out.contains("changed.log:2: does not follow"),
        "{bad:?}"
    );
    let (kept, _) = lines.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&path, kept).unwrap();
    assert_eq!(
        verify(&[changed]).await.code,
        0,
        "the chain itself cannot tell"
    );
    let bad = verify(&["--head", &head, changed]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert_eq!(verify(&["/nowhere"]).await.code, 2);
}
