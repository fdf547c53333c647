//! The commands: what is typed, which of them runs, and the exit code that says how it went.
//!
//! 0 fine, 1 findings, 2 not typed as it should be, or nobody to ask. `serve`: see [`crate::server::Ended`].

mod approvals;
mod audit;
mod channels;
mod check;
mod doctor;
mod explain;
mod keygen;
mod operate;
mod report;
mod snippets;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, ForwardAuth, Options, Secrets};
use crate::server;
use crate::telemetry::Head;

/// Typed wrongly, or with names that the configuration does not have.
const USAGE: u8 = 2;

const FINDINGS: u8 = 1;

#[derive(Debug, Parser)]
#[command(
    name = "stepgate",
    version,
    about = "Reverse proxy that enforces step-up authentication per route",
    after_help = "Exit codes: 0 fine, 1 findings, 2 usage; `serve`: 64 configuration, 65 listening, 66 log files, 67 keys, 68 session store, 70 system."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration; default config/stepgate.toml, then /etc/stepgate/stepgate.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM).
    Serve,
    /// Say everything that is wrong with the configuration, with file, line and what to do.
    Check(Check),
    /// Say what would happen to a request, and why. Nothing is sent anywhere.
    Explain(Box<Explain>),
    /// Look at what is running, from outside.
    Doctor {
        #[command(subcommand)]
        what: DoctorCommand,
    },
    /// Print what a proxy has to be told that stands before an app and asks stepgate (`forward_auth`).
    Snippets(Snippets),
    /// Read the audit log again.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Make a key.
    Keygen {
        #[command(subcommand)]
        kind: Keygen,
    },
    /// Try the ways by which people are told that something waits for them.
    Channels {
        #[command(subcommand)]
        what: ChannelsCommand,
    },
    /// Show or end sessions of the running process.
    Sessions(Sessions),
    /// Show what waits for somebody's word, or say it in everybody's place.
    Approvals(Approvals),
    /// Have the running process read its configuration again.
    Reload {
        /// Instead of the configuration's `admin_socket`.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
    /// Turn the running process's /readyz red, so that a balancer sends no more; what comes is served.
    Drain(Drain),
}

#[derive(Debug, Subcommand)]
enum Keygen {
    /// For `[seal]`: what seals sessions and cookies.
    Seal {
        /// Into a new file that only its owner may read, instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// For channels of kind `web-push`: by which push services and browsers know this installation.
    Vapid {
        /// Into a new file that only its owner may read, instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Whether every line stands there as it was written, and none is gone.
    Verify(AuditVerify),
}

#[derive(Debug, Args)]
struct AuditVerify {
    /// The oldest first; by default the configuration's.
    files: Vec<PathBuf>,
    /// A line that has to be there, as an earlier run named the last one.
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<Head>,
}

#[derive(Debug, Subcommand)]
enum DoctorCommand {
    /// Ask the apps that stand behind another proxy by way of it, as a stranger would.
    ForwardAuth(DoctorForwardAuth),
    /// Look whether the channels' servers are there and take what they are shown. Nobody is told anything.
    Channels,
}

#[derive(Debug, Subcommand)]
enum ChannelsCommand {
    /// Send a test notice, once.
    Test {
        /// As in `[channels.NAME]`.
        name: String,
    },
}

#[derive(Debug, Args)]
struct DoctorForwardAuth {
    /// The app's, as in its `url`; by default every app's with `forward_auth`.
    host: Option<String>,
    /// Where the proxy is, instead of where the host's name leads.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
}

#[derive(Debug, Args)]
struct Snippets {
    #[arg(value_enum)]
    kind: ProxyKind,
    /// The app's, as in its `url`: erp.example.com, with the port if it has one.
    host: String,
    /// Where the proxy reaches stepgate; by default the first address of `listen`.
    #[arg(long, value_name = "HOST:PORT")]
    stepgate: Option<String>,
    /// What Envoy asks by.
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProxyKind {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
}

impl From<ProxyKind> for ForwardAuth {
    fn from(kind: ProxyKind) -> Self {
        match kind {
            ProxyKind::Nginx => Self::Nginx,
            ProxyKind::Traefik => Self::Traefik,
            ProxyKind::Caddy => Self::Caddy,
            ProxyKind::Envoy => Self::Envoy,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Protocol {
    #[default]
    Grpc,
    Http,
}

#[derive(Debug, Args)]
struct Sessions {
    #[command(subcommand)]
    command: SessionsCommand,
    /// Instead of the configuration's `admin_socket`.
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// One line a session.
    List(Asked),
    /// All that may be known of each.
    Show(Asked),
    /// End them at once, on all origins.
    Revoke(Asked),
}

#[derive(Debug, Args)]
struct Asked {
    #[command(flatten)]
    whose: Whose,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// All of a user, by the realm's `sub`.
    #[arg(long, value_name = "SUB", allow_hyphen_values = true)]
    subject: Option<String>,
    /// All of one SSO session, by the realm's `sid`.
    #[arg(long, value_name = "SID", allow_hyphen_values = true)]
    sid: Option<String>,
    /// All of whoever is called so: `preferred_username`, or `email` where there is none. Reads every session.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

#[derive(Debug, Args)]
struct Approvals {
    #[command(subcommand)]
    command: ApprovalsCommand,
    /// Instead of the configuration's `admin_socket`.
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// What waits, a line each, the oldest first.
    List {
        /// Instead: all that a user asked for, by the realm's `sub`, as long as it can be looked at.
        #[arg(long, value_name = "SUB", allow_hyphen_values = true)]
        subject: Option<String>,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// All that may be known of one. Its number is the requester's alone.
    Show {
        // One of 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Break-glass: a yes in everybody's place. It is in the audit log, with your user id.
    Approve(Overrule),
    /// A no in everybody's place.
    Deny(Overrule),
    /// Take a yes back that was not used yet.
    Revoke {
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

#[derive(Debug, Args)]
struct Overrule {
    #[arg(allow_hyphen_values = true)]
    id: String,
    /// For the audit log, and for whoever asked.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct Drain {
    /// Until nothing is under way any more, so long at the most, such as 5m.
    #[arg(long, value_name = "DURATION", value_parser = span, conflicts_with = "off")]
    wait: Option<std::time::Duration>,
    /// Take traffic again.
    #[arg(long)]
    off: bool,
    /// Instead of the configuration's `admin_socket`.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

fn span(text: &str) -> Result<std::time::Duration, String> {
    config::parse_duration(text)
        .ok_or_else(|| "a duration is written as in 90s, 5m or 1h".to_owned())
}

#[derive(Debug, Args)]
struct Check {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// A secret that cannot be read is an error, not a warning.
    #[arg(long)]
    secrets: bool,
    /// Warnings are findings too.
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Debug, Args)]
struct Explain {
    /// Such as GET; upper case.
    method: String,
    /// Such as https://erp.example.com/payments/7
    url: String,
    /// The level that the caller has, proven just now unless --age or --held say otherwise.
    #[arg(long, value_name = "NAME")]
    level: Option<String>,
    /// How long ago the level was proven, such as 3m.
    #[arg(long, value_name = "DURATION", conflicts_with = "held")]
    age: Option<String>,
    /// A token reports the level, and nothing proves when it was obtained.
    #[arg(long)]
    held: bool,
    /// The caller sends an access token that shows the level; --age is how long ago its `auth_time` is, and with --held it
    /// has none.
    #[arg(long)]
    bearer: bool,
    /// The scopes of the access token, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scopes: Vec<String>,
    /// The caller's groups, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    groups: Vec<String>,
    /// The caller's roles, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    roles: Vec<String>,
    /// A claim of the caller's, such as department=sales; the value may be JSON. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: std::net::IpAddr,
    /// Nobody is signed in. This is so as well when nothing is said of the caller.
    #[arg(long, conflicts_with_all = ["level", "age", "held", "bearer", "scopes", "groups", "roles", "claims"])]
    anonymous: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// Runs what was typed; the process's exit code. `out` gets answers, `err` what went wrong before there was one.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                say(err, &text);
            } else {
                say(out, &text);
            }
            return u8::try_from(error.exit_code()).unwrap_or(USAGE);
        }
    };
    let path = cli.config.unwrap_or_else(config::default_path);
    match cli.command {
        Command::Serve => server::run(&path, styled(std::io::stderr().is_terminal()), err) as u8,
        Command::Check(check) => {
            check::run(&path, &check, styled(std::io::stdout().is_terminal()), out)
        }
        Command::Explain(explain) => explain::run(&path, &explain, out, err),
        Command::Doctor {
            what: DoctorCommand::ForwardAuth(typed),
        } => doctor::forward_auth(&path, &typed, out, err),
        Command::Doctor {
            what: DoctorCommand::Channels,
        } => channels::examine(&path, out, err),
        Command::Channels {
            what: ChannelsCommand::Test { name },
        } => channels::test(&path, &name, out, err),
        Command::Snippets(snippets) => snippets::run(&path, &snippets, out, err),
        Command::Audit {
            command: AuditCommand::Verify(typed),
        } => audit::verify(&path, typed, out, err),
        Command::Keygen {
            kind: Keygen::Seal { out: file },
        } => keygen::seal(file.as_deref(), out, err),
        Command::Keygen {
            kind: Keygen::Vapid { out: file },
        } => keygen::vapid(file.as_deref(), out, err),
        Command::Sessions(sessions) => operate::sessions(&path, &sessions, out, err),
        Command::Approvals(approvals) => approvals::run(&path, &approvals, out, err),
        Command::Reload { socket } => operate::reload(&path, socket.as_deref(), out, err),
        Command::Drain(drain) => operate::drain(&path, &drain, out, err),
    }
}

/// The configuration of a command that does without its secrets; what is wrong with it goes to `err`.
fn loaded(path: &Path, err: &mut dyn Write) -> Option<Config> {
    match config::load(path, &Options::from_environment(Secrets::Optional)) {
        Ok(loaded) => Some(loaded.config),
        Err(problems) => {
            for problem in &problems {
                say(err, &(problem.render(false) + "\n\n"));
            }
            None
        }
    }
}

/// <https://no-color.org>
fn styled(terminal: bool) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks how to print, not what to do"
    )]
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !plain
}

/// There is nobody to tell when the reader is gone.
fn say(out: &mut dyn Write, text: &str) {
    drop(out.write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests;
