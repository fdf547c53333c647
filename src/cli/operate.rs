//! The commands that talk to the running process over its socket.
//!
//! 0: done. 1: the process says no, or has findings. 2: it cannot be reached, or what was typed makes no sense to it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::{Drain, FINDINGS, Format, Sessions, SessionsCommand, USAGE, Whose, say};
use crate::admin::{Drained, Ended, Listed, Problem, Reloaded, SOCKET_HOST, WORDS};
use crate::config::{self, AdminSocket, DEFAULT_ADMIN_SOCKET, Options, Secrets};
use crate::gate::SessionView;

/// A reload waits for the names of new upstreams; nothing else takes long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks while a drain is waited for.
const LOOK: Duration = Duration::from_millis(250);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{} is not there: is stepgate running, with this `admin_socket`?", _0.display())]
    Missing(PathBuf),
    #[error("{} may be used by root and the user that stepgate runs as only", _0.display())]
    Denied(PathBuf),
    #[error("nobody listens at {}: stepgate is not running", _0.display())]
    Dead(PathBuf),
    #[error("{} is not stepgate's admin socket", _0.display())]
    Foreign(PathBuf),
    #[error("`admin_socket` is off in the configuration: say --socket PATH, or set it")]
    Off,
    #[error(
        "the configuration cannot be read; `stepgate check` says why, --socket PATH does without it"
    )]
    Config,
    #[error("{0}")]
    Refused(String),
    #[error("no threads: {0}")]
    System(std::io::Error),
}

impl CallError {
    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => FINDINGS,
            _ => USAGE,
        }
    }
}

pub(super) fn sessions(
    path: &Path,
    typed: &Sessions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let (whose, format) = match &typed.command {
        SessionsCommand::List(asked) | SessionsCommand::Show(asked) => (&asked.whose, asked.format),
        SessionsCommand::Revoke(asked) => (&asked.whose, asked.format),
    };
    let query = whose.query();
    let answer = socket(path, typed.socket.as_deref()).and_then(|socket| match &typed.command {
        SessionsCommand::List(_) | SessionsCommand::Show(_) => {
            let listed: Listed = socket.call(&Method::GET, &format!("/sessions?{query}"))?;
            Ok(listed.sessions)
        }
        SessionsCommand::Revoke(_) => {
            let ended: Ended = socket.call(&Method::POST, &format!("/sessions/revoke?{query}"))?;
            Ok(ended.ended)
        }
    });
    let sessions = match answer {
        Ok(sessions) => sessions,
        Err(error) => return failed(&error, err),
    };
    let text = match (format, &typed.command) {
        (Format::Json, _) => serde_json::to_string_pretty(&sessions).unwrap_or_default() + "\n",
        (Format::Text, SessionsCommand::Show(_)) => details(&sessions),
        (Format::Text, SessionsCommand::List(_)) => table(&sessions),
        (Format::Text, SessionsCommand::Revoke(_)) => match sessions.len() {
            0 => "no session was there; logins that are under way make none\n".to_owned(),
            1 => table(&sessions) + "1 session ended\n",
            count => table(&sessions) + &format!("{count} sessions ended\n"),
        },
    };
    say(out, &text);
    // Nothing to show for a name that is asked for is a finding; nothing left to end is what was wanted.
    match (&typed.command, sessions.is_empty()) {
        (SessionsCommand::List(_) | SessionsCommand::Show(_), true) => FINDINGS,
        _ => 0,
    }
}

pub(super) fn reload(
    path: &Path,
    at: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let answer =
        socket(path, at).and_then(|socket| socket.call::<Reloaded>(&Method::POST, "/reload"));
    match answer {
        Ok(reloaded) => {
            say(out, &reloaded.report);
            if reloaded.applied { 0 } else { FINDINGS }
        }
        Err(error) => failed(&error, err),
    }
}

pub(super) fn drain(path: &Path, typed: &Drain, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let method = if typed.off {
        Method::DELETE
    } else {
        Method::POST
    };
    let began = socket(path, typed.socket.as_deref()).and_then(|socket| {
        let state: Drained = socket.call(&method, "/drain")?;
        Ok((socket, state))
    });
    let (socket, mut state) = match began {
        Ok(began) => began,
        Err(error) => return failed(&error, err),
    };
    if typed.off {
        say(out, "taking traffic again\n");
        return 0;
    }
    say(out, &drained(&state));
    let Some(most) = typed.wait else {
        return 0;
    };
    let until = std::time::Instant::now() + most;
    while state.connections > 0 || state.requests > 0 {
        if std::time::Instant::now() >= until {
            say(err, &format!("stepgate: not over yet: {}", drained(&state)));
            return FINDINGS;
        }
        std::thread::sleep(LOOK);
        state = match socket.call(&Method::GET, "/drain") {
            Ok(state) => state,
            // Told to stop meanwhile, it has ended: nothing is left.
            Err(CallError::Missing(_) | CallError::Dead(_)) => break,
            Err(error) => return failed(&error, err),
        };
    }
    say(out, "nothing is under way any more\n");
    0
}

fn drained(state: &Drained) -> String {
    format!(
        "draining: /readyz is red; {} connections, {} requests\n",
        state.connections, state.requests
    )
}

pub(super) fn failed(error: &CallError, err: &mut dyn Write) -> u8 {
    say(err, &format!("stepgate: {error}\n"));
    error.code()
}

/// Where the process listens, as the configuration says.
pub(super) fn socket(config: &Path, at: Option<&Path>) -> Result<Socket, CallError> {
    let path = match at {
        Some(path) => path.to_owned(),
        None => {
            let loaded = config::load(config, &Options::from_environment(Secrets::Optional));
            match loaded.map_err(|_| CallError::Config)?.config.admin.socket {
                AdminSocket::Off => return Err(CallError::Off),
                AdminSocket::At(path) => path,
                AdminSocket::WhereThereIsRoom => DEFAULT_ADMIN_SOCKET.into(),
            }
        }
    };
    Socket::open(path)
}

pub(super) struct Socket {
    path: PathBuf,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Socket {
    fn open(path: PathBuf) -> Result<Self, CallError> {
        // A second one would mean that somebody else installed it first, which is as good.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CallError::System)?;
        let client = reqwest::Client::builder()
            .unix_socket(path.as_path())
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_certs_only([])
            .build()
            .map_err(|error| CallError::Refused(error.to_string()))?;
        Ok(Self {
            path,
            client,
            runtime,
        })
    }

    pub(super) fn call<T: DeserializeOwned>(
        &self,
        method: &Method,
        target: &str,
    ) -> Result<T, CallError> {
        // The kernel says why more plainly than a failed request does.
        if let Err(error) = std::os::unix::net::UnixStream::connect(&self.path) {
            let path = self.path.clone();
            return Err(match error.kind() {
                std::io::ErrorKind::NotFound => CallError::Missing(path),
                std::io::ErrorKind::PermissionDenied => CallError::Denied(path),
                std::io::ErrorKind::ConnectionRefused => CallError::Dead(path),
                _ => CallError::Foreign(path),
            });
        }
        let foreign = || CallError::Foreign(self.path.clone());
        let url = format!("http://{SOCKET_HOST}{target}");
        let (status, body) = self.runtime.block_on(async {
            let request = self.client.request(method.clone(), url);
            let answer = request.send().await.map_err(|_| foreign())?;
            if !answer.headers().contains_key(WORDS) {
                return Err(foreign());
            }
            let status = answer.status();
            Ok((status, answer.bytes().await.map_err(|_| foreign())?))
        })?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| foreign());
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => CallError::Refused(problem.detail),
            Err(_) => CallError::Refused(format!("status {status}")),
        })
    }
}

impl Whose {
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("subject", &self.subject),
            ("sid", &self.sid),
            ("user", &self.user),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// A line a session.
fn table(sessions: &[SessionView]) -> String {
    let head = [
        "KEY",
        "LINEAGE",
        "ORIGIN",
        "USER",
        "SID",
        "LEVEL",
        "CREATED",
        "LAST SEEN",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head)
        .chain(sessions.iter().map(|session| {
            [
                session.key.clone(),
                session.lineage.clone(),
                session.origin.clone(),
                printable(session.user.as_deref().unwrap_or(&session.subject)),
                printable(session.sid.as_deref().unwrap_or("-")),
                session.level.clone(),
                time(session.created),
                time(session.last_seen),
            ]
        }))
        .collect();
    columns(&rows)
}

/// The first row is the head.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Everything of each.
fn details(sessions: &[SessionView]) -> String {
    let mut text = String::new();
    for session in sessions {
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<16} {value}\n"));
        line("key", &format!("{}…", session.key));
        line("lineage", &format!("{}…", session.lineage));
        line("origin", &session.origin);
        line("subject", &printable(&session.subject));
        line("user", &printable(session.user.as_deref().unwrap_or("-")));
        line("sid", &printable(session.sid.as_deref().unwrap_or("-")));
        for level in &session.levels {
            let proven = level
                .proven
                .map_or(String::new(), |at| format!(", proven {}", time(at)));
            line(
                "level",
                &format!("{}: {}{proven}", level.name, level.standing),
            );
        }
        line("created", &time(session.created));
        line("last seen", &time(session.last_seen));
        line("expires", &time(session.expires));
        if let Some(since) = session.refresh_failing_since {
            line("refresh fails", &format!("since {}", time(since)));
        }
        if session.replaced {
            line("replaced", "serves what is under way, for a few seconds");
        }
        text.push('\n');
    }
    text
}

/// Names come from the realm: nothing in them moves the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

pub(super) fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
