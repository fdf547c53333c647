//! The sample app as a single page: plain `fetch` and XMLHttpRequest, under a strict policy, and nothing of stepgate.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

/// No inline script or style, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/spa", get(page))
        .route("/static/spa.js", get(script))
        .route("/payroll/api/salaries", get(salaries))
        .route("/payroll/api/notes", post(notes))
        .route("/payroll/api/live", get(live))
}

async fn page() -> impl IntoResponse {
    (
        [(header::CONTENT_SECURITY_POLICY, POLICY)],
        Html(include_str!("spa.html")),
    )
}

async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("spa.js"),
    )
}

async fn salaries() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"Ada Lovelace":4200}"#,
    )
}

/// Greets, and then says again whatever it hears.
async fn live(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        let mut next = Some("Ada Lovelace is at her desk".into());
        while let Some(message) = next.take() {
            if socket.send(message).await.is_err() {
                return;
            }
            next = socket.recv().await.and_then(Result::ok);
        }
    })
}

/// Says what it got, byte for byte in number.
async fn notes(body: Bytes) -> String {
    format!("{} bytes\n{}", body.len(), String::from_utf8_lossy(&body))
}
