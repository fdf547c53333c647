//! A small OpenID provider, shaped like Keycloak, and a sample legacy app: for the demo and the tests, never shipped.
//!
//! The provider keeps to what was seen of Keycloak 26.7.5: pushed requests, levels with a maximum age, `prompt=login`,
//! `amr` over the whole single sign-on session, a refreshed `acr` that belongs to the client's last login. Told to, it
//! misbehaves ([`Quirks`]).

mod app;
mod authorize;
mod ciba;
mod client;
mod logout;
mod pages;
mod quirks;
mod realm;
mod spa;
mod tokens;
mod totp;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

pub use app::sample_app;
pub use quirks::{Outage, Quirks};
pub use realm::{Client, Realm, User};
pub use totp::totp;

/// Serves the realm until the task is dropped.
pub async fn serve_provider(listener: TcpListener, realm: Arc<Realm>) -> std::io::Result<()> {
    axum::serve(listener, provider(realm)).await
}

/// Serves the sample app until the task is dropped.
pub async fn serve_app(listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, sample_app()).await
}

fn provider(realm: Arc<Realm>) -> Router {
    let base = format!("/realms/{}", realm.name);
    let protocol = format!("{base}/protocol/openid-connect");
    Router::new()
        .route(
            &format!("{base}/.well-known/openid-configuration"),
            get(client::discovery),
        )
        .route(&format!("{protocol}/certs"), get(tokens::certs))
        .route(&format!("{protocol}/ext/par/request"), post(client::push))
        .route(&format!("{protocol}/auth"), get(authorize::authorize))
        .route(
            &format!("{base}/login-actions/authenticate"),
            get(authorize::show).post(authorize::answer),
        )
        .route(&format!("{protocol}/token"), post(tokens::token))
        .route(
            &format!("{protocol}/token/introspect"),
            post(tokens::introspect),
        )
        .route(&format!("{protocol}/ext/ciba/auth"), post(ciba::ask))
        .route(
            &format!("{protocol}/ext/ciba/auth/callback"),
            post(ciba::callback),
        )
        .route(
            &format!("{protocol}/logout"),
            get(logout::logout).post(logout::logout),
        )
        .layer(middleware::from_fn_with_state(
            Arc::clone(&realm),
            misbehave,
        ))
        .with_state(realm)
}

/// What a broken provider does before it even reads the request.
async fn misbehave(
    axum::extract::State(realm): axum::extract::State<Arc<Realm>>,
    request: Request,
    next: Next,
) -> Response {
    let outage = realm.quirks().outage;
    match outage {
        Outage::None => next.run(request).await,
        Outage::Garbage => "<html>a proxy's maintenance page</html>".into_response(),
        Outage::ServerError => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Outage::Slow(delay) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
    }
}
