//! `stepgate-sandbox`: the demo's provider and sample app, and the code that an authenticator app would show.

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use stepgate::model::time::Clock as _;
use stepgate::sandbox::{Client, Realm, User, serve_app, serve_provider, totp};
use stepgate::seal::SystemRandom;
use stepgate::server::SystemClock;
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
enum Command {
    /// Serve the provider and the app, each on a port of localhost.
    All { provider: u16, app: u16 },
    /// Serve the provider only.
    Provider { port: u16 },
    /// Serve the app only.
    App { port: u16 },
    /// Print the one-time code of this moment.
    Code { secret: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::All { provider, app } => serve(provider, Some(app)).await,
        Command::Provider { port } => serve(port, None).await,
        Command::App { port } => serve_only_app(port).await,
        Command::Code { secret } => {
            let code = totp(secret.as_bytes(), SystemClock.now().as_unix());
            writeln!(stdout(), "{code}").map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("stepgate-sandbox: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_only_app(port: u16) -> Result<(), String> {
    let app = listen(port).await?;
    tokio::select! {
        ended = serve_app(app) => ended.map_err(|error| error.to_string()),
        _signal = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}"))
}

async fn serve(provider: u16, app: Option<u16>) -> Result<(), String> {
    // A second one would mean that somebody else installed it first, which is as good.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let user = |name: &str, groups: &[&str], has_otp| User {
        name: name.to_owned(),
        password: format!("{name}-password"),
        groups: groups.iter().map(ToString::to_string).collect(),
        has_otp,
    };
    let client = Client {
        id: "stepgate".to_owned(),
        secret: "demo-secret-not-for-production".to_owned(),
        jwk: None,
        redirects: [
            "http://payroll.localhost:8080/",
            "http://approve.localhost:8080/",
        ]
        .map(str::to_owned)
        .into(),
        backchannel: vec!["http://payroll.localhost:8080/.stepgate/backchannel-logout".to_owned()],
    };
    let realm = Realm::new(
        &format!("http://localhost:{provider}/realms/demo"),
        client,
        vec![
            user("alice", &["clerks"], true),
            user("bob", &["clerks"], false),
            user("carol", &["clerks", "admins"], true),
            user("dave", &["clerks", "leads"], true),
            user("erin", &["clerks", "leads"], true),
        ],
        Arc::new(SystemClock),
        Arc::new(SystemRandom::new()),
    )
    .ok_or("cannot make a signing key")?;
    let provider = listen(provider).await?;
    let app = match app {
        Some(port) => Some(listen(port).await?),
        None => None,
    };
    let app = async {
        match app {
            Some(app) => serve_app(app).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serve_provider(provider, realm) => ended.map_err(|error| error.to_string()),
        ended = app => ended.map_err(|error| error.to_string()),
        _signal = tokio::signal::ctrl_c() => Ok(()),
    }
}
