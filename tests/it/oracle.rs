//! What reached the apps of these tests, held against the access log of the stepgate before them: for every request
//! there is a line of the same id that says `allow`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use serde_json::Value;
use stepgate::sandbox;
use tokio::net::TcpListener;

use crate::harness::BOUND;

/// Ids of requests, by the app that they reached.
static ARRIVED: Mutex<BTreeMap<SocketAddr, Vec<String>>> = Mutex::new(BTreeMap::new());

/// Where an app is going to be watched.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = begin(&listener);
    (listener, app)
}

/// What reached this port before is forgotten: it was another test's app, which nobody may have held against a log.
fn begin(listener: &TcpListener) -> SocketAddr {
    let app = listener.local_addr().unwrap();
    forget(&[app]);
    app
}

fn forget(apps: &[SocketAddr]) {
    let mut arrived = ARRIVED.lock().unwrap_or_else(PoisonError::into_inner);
    arrived.retain(|app, _| !apps.contains(app));
}

/// Called by an app for every request, as soon as it has the header.
pub(crate) fn note(app: SocketAddr, id: &str) {
    let mut arrived = ARRIVED.lock().unwrap_or_else(PoisonError::into_inner);
    arrived.entry(app).or_default().push(id.to_owned());
}

/// Serves an app that is watched.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let (listener, app) = listen().await;
    let watch = from_fn(move |request: Request, next: Next| {
        let id = request.headers().get("x-request-id");
        note(app, id.and_then(|id| id.to_str().ok()).unwrap_or_default());
        next.run(request)
    });
    tokio::spawn(async move { axum::serve(listener, router.layer(watch)).await.unwrap() });
    app
}

pub(crate) async fn sample_app() -> SocketAddr {
    serve(sandbox::sample_app()).await
}

/// Looks when it is dropped; a line is written when its request has ended, so it waits for those that are missing.
pub(crate) struct Oracle {
    pub(crate) apps: Vec<SocketAddr>,
    /// Access logs of everything that stands before these apps.
    pub(crate) logs: Vec<PathBuf>,
}

impl Oracle {
    fn unaccounted(&self) -> Vec<String> {
        let allowed: Vec<String> = self
            .logs
            .iter()
            .flat_map(|log| {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<Value> = text
                    .lines()
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .collect();
                lines
            })
            .filter(|line| line["log"] == "access" && line["decision"] == "allow")
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect();
        let arrived = ARRIVED.lock().unwrap_or_else(PoisonError::into_inner);
        self.apps
            .iter()
            .filter_map(|app| arrived.get(app))
            .flatten()
            .filter(|id| !allowed.contains(id))
            .cloned()
            .collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let start = Instant::now();
        loop {
            let unaccounted = self.unaccounted();
            if unaccounted.is_empty() {
                break;
            }
            assert!(
                start.elapsed() < BOUND,
                "reached the app, and no line of the access log allows it: {unaccounted:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        forget(&self.apps);
    }
}

#[test]
#[should_panic(expected = "no line of the access log allows it")]
fn a_request_that_no_line_allows_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let line = |id: &str, decision: &str| {
        format!("{{\"log\":\"access\",\"id\":\"{id}\",\"decision\":\"{decision}\"}}\n")
    };
    std::fs::write(&log, line("a", "allow") + &line("b", "deny")).unwrap();
    let app = SocketAddr::from(([127, 0, 0, 1], 1));
    note(app, "a");
    note(app, "b");
    let oracle = Oracle {
        apps: vec![app],
        logs: vec![log],
    };
    assert_eq!(oracle.unaccounted(), ["b"]);
    drop(oracle);
}

#[tokio::test]
async fn an_app_on_a_port_that_another_one_had_starts_with_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    note(app, "of the one before");
    let oracle = Oracle {
        apps: vec![begin(&listener)],
        logs: Vec::new(),
    };
    assert!(oracle.unaccounted().is_empty());
    note(app, "of this one");
    assert_eq!(oracle.unaccounted(), ["of this one"]);
    forget(&[app]);
}
