//! The configuration changes while stepgate runs: the new one whole or the old one, and nobody notices but by its effect.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use stepgate::server::{Refusal, Reloaded};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{
    BOUND, Stepgate, Wire, eventually, eventually_async, field, log_in, page, realm, session_of,
    sign_in, start_login, status, upstream, written,
};
use crate::keycloak::free_port;
use crate::process::Process;

/// An app that tells what it was sent.
async fn telling() -> SocketAddr {
    let (app, _) = upstream(|header, mut wire| async move {
        let body = header.replace("\r\n", "\n");
        let length = body.len();
        wire.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        Some(wire)
    })
    .await;
    app
}

fn get(path: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_sees_the_new_configuration_and_lives_on() {
    let issuer = realm().await;
    let stepgate = Stepgate::before(telling().await, &issuer, "15s").await;
    let cookie = stepgate.log_in("alice").await;
    let before = stepgate.ask(&get("/x", &cookie)).await;
    assert!(before.contains("\nx-level: password\n"), "{before}");

    stepgate.edit("policies/app.toml", |text| {
        text.replace("{level}", "now {level}")
            + "[[routes]]\nid = \"more\"\npath = \"/more\"\npublic = true\n"
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    assert_eq!(reloaded.report(false), "reloaded\n");
    let after = stepgate.ask(&get("/x", &cookie)).await;
    assert_eq!(status(&after), 200, "{after}");
    assert!(after.contains("\nx-level: now password\n"), "{after}");
    let more = stepgate.ask(&get("/more", "none=1")).await;
    assert_eq!(status(&more), 200, "{more}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_to_the_configuration_that_it_began_with() {
    let (app, seen) = upstream(|_, mut wire| async {
        // The reload comes meanwhile.
        tokio::time::sleep(Duration::from_millis(700)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut busy = stepgate.wire().await;
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    stepgate.edit("policies/app.toml", |text| {
        text.replace("app.localhost", "other.localhost")
    });
    assert!(stepgate.reloader.reload().await.is_applied());
    assert_eq!(status(&busy.answer().await), 200);
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["host"], "app.localhost", "{line}");
    // The next one on the same connection.
    busy.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    assert_eq!(status(&busy.answer().await), 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_is_told() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    stepgate.edit("policies/app.toml", |text| {
        text.replace("/public/**", "/elsewhere/**") + "\nlevl = 1\n"
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(!reloaded.is_applied());
    let report = reloaded.report(false);
    assert!(
        report.contains("error[SG0003]") && report.contains("levl"),
        "{report}"
    );
    assert!(
        report.ends_with("not reloaded: the configuration before is served on\n"),
        "{report}"
    );
    assert_eq!(status(&stepgate.ask(&get("/public/", "")).await), 200);
    let state = stepgate.reloader.reloads().status();
    assert!(!state.is_current());
    assert_eq!((state.applied, state.refused), (0, 1));

    stepgate.edit("policies/app.toml", |text| text.replace("levl = 1", ""));
    assert!(stepgate.reloader.reload().await.is_applied());
    assert_eq!(status(&stepgate.ask(&get("/elsewhere/", "")).await), 200);
    let state = stepgate.reloader.reloads().status();
    assert!(state.is_current());
    assert_eq!((state.applied, state.refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named_and_the_rest_applies() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    let listen = |from: &str, to: &str| {
        stepgate.edit("stepgate.toml", |text| text.replace(from, to));
    };
    listen("127.0.0.1:0", "127.0.0.1:1");
    stepgate.edit("policies/app.toml", |text| {
        text.replace("/public/**", "/elsewhere/**")
    });
    let reloaded = stepgate.reloader.reload().await;
    assert_eq!(
        reloaded.report(false),
        "reloaded; waits for a restart: listen\n"
    );
    assert_eq!(status(&stepgate.ask(&get("/elsewhere/", "")).await), 200);
    assert_eq!(
        stepgate.reloader.reloads().status().needs_restart,
        ["listen"]
    );
    listen("127.0.0.1:1", "127.0.0.1:0");
    let reloaded = stepgate.reloader.reload().await;
    assert_eq!(reloaded.report(false), "reloaded\n");
    assert!(
        stepgate
            .reloader
            .reloads()
            .status()
            .needs_restart
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_right_configuration_names_must_be_there() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    stepgate.edit("stepgate.toml", |text| {
        text.replace("[log]", "[log]\naudit = { file = \"/nowhere/audit.log\" }")
            .replace("audit  = \"off\"", "")
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(
        matches!(reloaded, Reloaded::Refused(Refusal::Start(_))),
        "{}",
        reloaded.report(false)
    );
    assert!(reloaded.report(false).contains("/nowhere/audit.log"));
    assert_eq!(status(&stepgate.ask(&get("/public/", "")).await), 200);
}

/// Whoever is at Keycloak while the seal key is replaced comes back to a session all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_under_way_survives_another_seal_key() {
    let issuer = realm().await;
    let stepgate = Stepgate::before(telling().await, &issuer, "15s").await;
    let (location, flow) = start_login(stepgate.address).await;
    stepgate.edit("seal.key", |_| "k".repeat(32));
    stepgate.edit("stepgate.toml", |text| {
        format!("{text}\n[seal]\nkeys = [{{ file = \"seal.key\" }}]\n")
    });
    let reloaded = stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    let callback = sign_in(&location, "alice").await;
    let cookie = session_of(&stepgate.ask(&page(&callback, &flow)).await);
    let answer = stepgate.ask(&get("/x", &cookie)).await;
    assert_eq!(status(&answer), 200, "{answer}");
}

/// The session is there, its level is not: what proved it is not what proves it now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_means_something_else_is_absent() {
    let issuer = realm().await;
    let stepgate = Stepgate::before(telling().await, &issuer, "15s").await;
    let cookie = stepgate.log_in("alice").await;
    stepgate.edit("stepgate.toml", |text| {
        text.replace(r#"acr = ["1", "pwd"]"#, r#"acr = ["1", "pwd", "other"]"#)
    });
    assert!(stepgate.reloader.reload().await.is_applied());
    let answer = stepgate.ask(&get("/x", &cookie)).await;
    assert_eq!(status(&answer), 401, "{answer}");
    assert_eq!(stepgate.access(3).await[2]["decision"], "step-up");
}

/// For what takes no time where nobody else needs the processor.
const PATIENCE: Duration = Duration::from_secs(120);

/// The next one on a connection, with its body when it has one; nothing at the end of it.
async fn message(wire: &mut Wire, body: bool) -> Option<String> {
    let read = async {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(wire.0.read_u8().await.ok()?);
        }
        let mut message = String::from_utf8(read).unwrap();
        let length = field(&message, "content-length");
        if body && !length.is_empty() {
            let mut rest = vec![0; length.parse().unwrap()];
            wire.0.read_exact(&mut rest).await.ok()?;
            message += std::str::from_utf8(&rest).unwrap();
        }
        Some(message)
    };
    tokio::time::timeout(PATIENCE, read).await.ok()?
}

/// An app that names the generation and the request, and takes three seconds for `/x`: most of the clients wait for an
/// answer at any time.
async fn naming() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire(stream);
                while let Some(header) = message(&mut wire, false).await {
                    if header.starts_with("GET /x ") {
                        tokio::time::sleep(Duration::from_secs(3)).await;
                    }
                    let generation = field(&header, "x-generation");
                    let body = format!("{generation} {}", field(&header, "x-request-id"));
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                    if wire.0.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A client that asks again and again on one connection; what it was answered, or why not.
async fn asking(
    process: Arc<Process>,
    cookie: String,
    stop: Arc<AtomicBool>,
    in_flight: Arc<AtomicUsize>,
) -> Vec<(u16, String)> {
    let mut wire = process.wire().await;
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        in_flight.fetch_add(1, Ordering::Relaxed);
        wire.send(&format!(
            "GET /x HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\n\r\n"
        ))
        .await;
        let answer = message(&mut wire, true).await.unwrap_or_default();
        in_flight.fetch_sub(1, Ordering::Relaxed);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        // A connection that was closed without an answer has no status.
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        answers.push((status.unwrap_or(0), body.to_owned()));
        if status.is_none() {
            break;
        }
    }
    answers
}

/// Shows what the process said of itself when the test fails.
struct Shown(Arc<Process>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.said());
        }
    }
}

const RELOADS: usize = 100;

const CLIENTS: usize = 200;

/// The policy of one generation: its route's name and its header say which it is.
fn policy(generation: usize) -> String {
    format!(
        r#"
        url      = "http://app.localhost"
        upstream = "app"
        require  = {{ level = "password" }}
        identity = {{ X-Generation = "{generation}" }}
        [[routes]]
        id     = "g{generation}"
        path   = "/x"
        [[routes]]
        id     = "public"
        path   = "/public/**"
        public = true
        "#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_in_a_row_under_load_fail_no_request_and_lose_no_session() {
    let app = naming().await;
    let port = free_port();
    let folder = written(port, app, &realm().await, "15s", PATIENCE);
    let path = folder.path().join("policies/app.toml");
    std::fs::write(&path, policy(0)).unwrap();
    let process = Arc::new(Process::start(folder, port).await);
    let _shown = Shown(Arc::clone(&process));
    let cookie = log_in(process.address, "alice").await;

    let (stop, in_flight) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (process, cookie) = (Arc::clone(&process), cookie.clone());
            let (stop, in_flight) = (Arc::clone(&stop), Arc::clone(&in_flight));
            tokio::spawn(asking(process, cookie, stop, in_flight))
        })
        .collect();
    let mut busiest = 0;
    let start = Instant::now();
    let mut reloads = 0;
    for generation in 1..=RELOADS {
        if start.elapsed() > Duration::from_secs(90) {
            break;
        }
        std::fs::write(&path, policy(generation)).unwrap();
        process.signal("HUP");
        let applied = format!("{generation} ");
        let told = Instant::now();
        loop {
            let mut wire = process.wire().await;
            wire.send(&get("/now", &cookie)).await;
            let answer = message(&mut wire, true).await.unwrap();
            assert_eq!(status(&answer), 200, "{answer}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            if body.starts_with(&applied) {
                break;
            }
            assert!(told.elapsed() < PATIENCE, "waited in vain for {generation}");
        }
        busiest = busiest.max(in_flight.load(Ordering::Relaxed));
        reloads = generation;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(client.await.unwrap());
    }
    assert!(
        reloads >= 10,
        "only {reloads} reloads in {:?}",
        start.elapsed()
    );
    assert!(busiest > CLIENTS / 2, "{busiest} in flight");
    assert!(answers.len() >= CLIENTS * 2, "{} answers", answers.len());
    let failed: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status != 200)
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed.first()
    );

    // Header and route of each request are of one generation.
    let lines = eventually("the access log's lines", || {
        let log = std::fs::read_to_string(process.folder().join("access.log")).unwrap();
        let lines: HashMap<String, Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| (line["id"].as_str().unwrap().to_owned(), line))
            .collect();
        let is_there = |(_, body): &(u16, String)| {
            body.split_once(' ')
                .is_some_and(|(_, id)| lines.contains_key(id))
        };
        answers.iter().all(is_there).then_some(lines)
    })
    .await;
    for (_, body) in &answers {
        let (generation, id) = body.split_once(' ').unwrap();
        assert_eq!(
            lines[id]["route"],
            format!("g{generation}"),
            "{}",
            lines[id]
        );
    }
    eprintln!(
        "{reloads} reloads, {} answers, at most {busiest} in flight, {:?}",
        answers.len(),
        start.elapsed()
    );
}

/// Each step on the way is a configuration by itself; none of them is what was meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_in_steps_is_taken_when_it_is_whole() {
    let stepgate = Stepgate::without_realm(telling().await).await;
    let writing = async {
        // Once more where this machine was too slow for the steps to be steps.
        for attempt in 0..5 {
            let applied = stepgate.reloader.reloads().status().applied;
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            for step in 0..25 {
                stepgate.edit("policies/app.toml", |text| {
                    let (before, _) = text.split_once("[[routes]]").unwrap();
                    format!("{before}[[routes]]\nid = \"public\"\npath = \"/a{attempt}-{step}/**\"\npublic = true\n")
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            let whole = get(&format!("/a{attempt}-24/"), "");
            eventually_async("the whole", async || {
                (status(&stepgate.ask(&whole).await) == 200).then_some(())
            })
            .await;
            if longest < Duration::from_millis(800) {
                assert_eq!(stepgate.reloader.reloads().status().applied, applied + 1);
                return;
            }
        }
        panic!("this machine is too slow for this test");
    };
    tokio::select! {
        () = stepgate.reloader.watch(|reloaded| assert!(reloaded.is_applied())) => {}
        () = writing => {}
    }
}

/// Nobody tells it: it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_files_is_seen_and_a_bad_one_is_told() {
    let port = free_port();
    let folder = written(
        port,
        telling().await,
        "http://127.0.0.1:1/realms/none",
        "1s",
        BOUND,
    );
    let process = Process::start(folder, port).await;
    let path = process.folder().join("policies/app.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // As an editor saves: another file, renamed over the old one.
    let save = |text: String| {
        let new = process.folder().join("policies/.app.toml.swp");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    let answers = async |path: &str, expected: u16| {
        eventually_async(path, async || {
            let mut wire = process.wire().await;
            wire.send(&get(path, "")).await;
            (status(&wire.rest().await) == expected).then_some(())
        })
        .await;
    };
    answers("/public/", 200).await;
    save(text.replace("/public/**", "/open/**"));
    answers("/open/", 200).await;
    save(text.replace("public = true", "pubic = true"));
    eventually("the problem in the log", || {
        let said = process.said();
        (said.contains("did you mean `public`?") && said.contains("not reloaded")).then_some(())
    })
    .await;
    answers("/open/", 200).await;
    // A mounted volume: the whole folder is another one.
    let policies = process.folder().join("policies");
    std::fs::rename(&policies, process.folder().join("..first")).unwrap();
    let second = process.folder().join("..second");
    std::fs::create_dir(&second).unwrap();
    std::fs::write(
        second.join("app.toml"),
        text.replace("/public/**", "/new/**"),
    )
    .unwrap();
    std::os::unix::fs::symlink(&second, &policies).unwrap();
    answers("/new/", 200).await;
}
