//! Several addresses, of which some work: requests go where they are answered.

use std::fs;
use std::time::{Duration, Instant};

use super::parts::{nginx, nginx_on};
use super::{before, body, get};
use crate::harness::{Stepgate, eventually_async, field, status};

/// What is told when everything is down.
fn is_down(answer: &str) -> bool {
    let down = status(answer) == 503;
    if down {
        assert!(answer.contains("\"code\":\"upstream-down\""), "{answer}");
        assert!(answer.contains("\"upstream\":\"app\""), "{answer}");
        assert!(!field(answer, "retry-after").is_empty(), "{answer}");
        assert!(!field(answer, "x-request-id").is_empty(), "{answer}");
    }
    down
}

async fn bodies(stepgate: &Stepgate, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        let answer = stepgate.ask(&get("/public/")).await;
        assert_eq!(status(&answer), 200, "{answer}");
        all.push(body(&answer).to_owned());
    }
    all
}

fn server(port: usize, says: &str) -> String {
    format!(
        "server {{ listen PORT{port}; location /public/ {{ return 200 \"{says}\"; }}\n\
         location = /healthz {{ access_log FOLDER/checks; try_files /{says} =503; }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_costs_nobody_an_answer() {
    let (Some(mut one), Some(two)) = (
        nginx("health", &server(0, "one")).await,
        nginx("health", &server(0, "two")).await,
    ) else {
        return;
    };
    let stepgate = before(&format!(
        "urls = [\"http://{}\", \"http://{}\"]",
        one.address(0),
        two.address(0)
    ));
    let both = bodies(&stepgate, 4).await;
    assert_eq!(both, ["one", "two", "one", "two"]);

    one.stop();
    let left = bodies(&stepgate, 20).await;
    assert!(left.iter().all(|body| body == "two"), "{left:?}");

    // It is back, and found again by itself.
    let ports = one.ports.clone();
    let folder = std::mem::replace(&mut one.folder, tempfile::tempdir().unwrap());
    let _again = nginx_on("health", &server(0, "one"), folder, ports)
        .await
        .unwrap();
    eventually_async("the server that is back", async || {
        let both = bodies(&stepgate, 2).await;
        both.contains(&"one".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_stopped_the_answer_is_there_at_once_and_one_start_is_enough() {
    let Some(mut only) = nginx("health", &server(0, "only")).await else {
        return;
    };
    let stepgate = before(&format!("url = \"http://{}\"", only.address(0)));
    bodies(&stepgate, 2).await;
    only.stop();
    // The first ones find it out.
    eventually_async("a 503", async || {
        is_down(&stepgate.ask(&get("/public/")).await).then_some(())
    })
    .await;
    let start = Instant::now();
    assert!(is_down(&stepgate.ask(&get("/public/")).await));
    assert!(start.elapsed() < Duration::from_secs(1));
    let ports = only.ports.clone();
    let folder = std::mem::replace(&mut only.folder, tempfile::tempdir().unwrap());
    let _again = nginx_on("health", &server(0, "only"), folder, ports)
        .await
        .unwrap();
    eventually_async("the server that is back", async || {
        (status(&stepgate.ask(&get("/public/")).await) == 200).then_some(())
    })
    .await;
}

/// The servers take connections all the while: only their own word takes them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_take_a_server_out_and_bring_it_back() {
    let Some(part) = nginx("checks", &(server(0, "one") + &server(1, "two"))).await else {
        return;
    };
    let flag = |name: &str| part.folder.path().join("www").join(name);
    fs::write(flag("one"), "").unwrap();
    fs::write(flag("two"), "").unwrap();
    let stepgate = before(&format!(
        "urls = [\"http://{}\", \"http://{}\"]\n\
         health = {{ path = \"/healthz\", host = \"checks.internal\", interval = \"50ms\", timeout = \"1s\", unhealthy = 2 }}",
        part.address(0),
        part.address(1)
    ));
    bodies(&stepgate, 4).await;

    fs::remove_file(flag("one")).unwrap();
    eventually_async("one to be left out", async || {
        let all = bodies(&stepgate, 4).await;
        all.iter().all(|body| body == "two").then_some(())
    })
    .await;

    fs::remove_file(flag("two")).unwrap();
    eventually_async("a 503", async || {
        is_down(&stepgate.ask(&get("/public/")).await).then_some(())
    })
    .await;

    fs::write(flag("one"), "").unwrap();
    eventually_async("one to be back", async || {
        (status(&stepgate.ask(&get("/public/")).await) == 200).then_some(())
    })
    .await;
    assert_eq!(bodies(&stepgate, 3).await, ["one"; 3]);
    let checks = fs::read_to_string(part.folder.path().join("checks")).unwrap();
    assert!(checks.contains("stepgate/"), "{checks}");
}

/// Without a path: whether a connection comes about, over TLS where the URL has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_may_be_a_connection() {
    let Some(part) = nginx("plain check", &server(0, "one")).await else {
        return;
    };
    let address = part.address(0);
    let health = "health = { interval = \"50ms\", unhealthy = 1, healthy = 1 }";
    let plain = before(&format!("url = \"http://{address}\"\n{health}"));
    let mistaken = before(&format!("url = \"https://{address}\"\n{health}"));
    eventually_async("the one over TLS to be down", async || {
        is_down(&mistaken.ask(&get("/public/")).await).then_some(())
    })
    .await;
    assert_eq!(bodies(&plain, 2).await, ["one"; 2]);
}
