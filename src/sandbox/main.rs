//! `stepgate-sandbox PROVIDER APP`: serves the demo's provider and sample app on two ports of localhost.

use std::process::ExitCode;
use std::sync::Arc;

use stepgate::sandbox::{Client, Realm, User, serve_app, serve_provider};
use stepgate::seal::SystemRandom;
use stepgate::server::SystemClock;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut ports = std::env::args().skip(1).map(|port| port.parse::<u16>());
    let (Some(Ok(provider)), Some(Ok(app)), None) = (ports.next(), ports.next(), ports.next())
    else {
        eprintln!("usage: stepgate-sandbox PROVIDER-PORT APP-PORT");
        return ExitCode::from(2);
    };
    match serve(provider, app).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("stepgate-sandbox: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(provider: u16, app: u16) -> Result<(), String> {
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
        redirects: vec!["http://payroll.localhost:8080/".to_owned()],
        backchannel: vec!["http://payroll.localhost:8080/.stepgate/backchannel-logout".to_owned()],
    };
    let realm = Realm::new(
        &format!("http://localhost:{provider}/realms/demo"),
        client,
        vec![
            user("alice", &["clerks"], true),
            user("bob", &["clerks"], false),
            user("carol", &["clerks", "admins"], true),
        ],
        Arc::new(SystemClock),
        Arc::new(SystemRandom::new()),
    )
    .ok_or("cannot make a signing key")?;
    let listen = |port: u16| async move {
        TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|error| format!("cannot listen on port {port}: {error}"))
    };
    let (provider, app) = (listen(provider).await?, listen(app).await?);
    tokio::select! {
        ended = serve_provider(provider, realm) => ended.map_err(|error| error.to_string()),
        ended = serve_app(app) => ended.map_err(|error| error.to_string()),
        _signal = tokio::signal::ctrl_c() => Ok(()),
    }
}
