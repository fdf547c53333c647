//! `stepgate channels test` and `stepgate doctor channels`: by the configuration's files, beside whatever runs.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{FINDINGS, USAGE, say};
use crate::config::{self, Channel, ChannelKind, Config, Options, Problem, Secrets};
use crate::model::time::Clock as _;
use crate::notify::{Event, Notice, Patience, Sender};
use crate::seal::{SystemRandom, token};
use crate::server::SystemClock;

/// Of a notice's id: nobody else's test has it.
const ID_BYTES: usize = 9;

/// Whoever tries it sees that it failed, and tries again.
const ONCE: Patience = Patience {
    tries: 1,
    first: Duration::ZERO,
    longest: Duration::ZERO,
};

/// Tells people that this is a test.
pub(super) fn test(path: &Path, name: &str, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let Some(config) = configuration(path, err) else {
        return USAGE;
    };
    let Some(channel) = config.channels.iter().find(|known| known.name == name) else {
        say(err, &format!("error: there is no channel `{name}`\n"));
        return USAGE;
    };
    if let ChannelKind::WebPush(_) = channel.kind {
        let text = "error: browsers are known to the running stepgate alone: each tries it for itself, in the approver app\n";
        say(err, text);
        return USAGE;
    }
    if let ChannelKind::Ciba(_) = channel.kind {
        let text = "error: Keycloak has the requester confirm by it: nobody is told anything\n";
        say(err, text);
        return USAGE;
    }
    let Some(runtime) = runtime(err) else {
        return USAGE;
    };
    let notice = notice(&config);
    let sender = sender(channel);
    let mut to = sender.recipients(&[]);
    match runtime.block_on(sender.deliver(&notice, &mut to, &SystemClock)) {
        Ok(()) => {
            say(out, &format!("{name}: a test notice was sent\n"));
            0
        }
        Err(failure) => {
            say(out, &format!("{name}: not sent: {failure}\n"));
            FINDINGS
        }
    }
}

/// Looks whether there is somebody at the other end of each. Nobody is told anything.
pub(super) fn examine(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let Some(config) = configuration(path, err) else {
        return USAGE;
    };
    if config.channels.is_empty() {
        say(err, "error: there are no channels\n");
        return USAGE;
    }
    let Some(runtime) = runtime(err) else {
        return USAGE;
    };
    let mut code = 0;
    for channel in &config.channels {
        let about = format!("{} ({})", channel.name, channel.kind.name());
        match runtime.block_on(sender(channel).reach()) {
            Ok(()) => say(out, &format!("  ok     {about}\n")),
            Err(failure) => {
                say(out, &format!("  wrong  {about}: {failure}\n"));
                code = FINDINGS;
            }
        }
    }
    code
}

fn sender(channel: &Channel) -> Sender {
    Sender::new(channel, ONCE, Arc::new(SystemRandom::new()))
}

fn configuration(path: &Path, err: &mut dyn Write) -> Option<Config> {
    match config::load(path, &Options::from_environment(Secrets::Required)) {
        Ok(loaded) => Some(loaded.config),
        Err(problems) => {
            for problem in &problems {
                say(err, &(Problem::render(problem, false) + "\n\n"));
            }
            None
        }
    }
}

fn runtime(err: &mut dyn Write) -> Option<tokio::runtime::Runtime> {
    // Whoever is second changes nothing.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let made = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    made.map_err(|error| say(err, &format!("stepgate: no threads: {error}\n")))
        .ok()
}

fn notice(config: &Config) -> Notice {
    let now = SystemClock.now();
    // Where every notice leads.
    let app = config.approver_app.as_ref().map_or(0, |app| app.app);
    let origin = config.apps.get(app).and_then(|app| app.origins.first());
    Notice {
        id: format!("test-{}", token(&SystemRandom::new(), ID_BYTES)),
        event: Event::Test,
        approval: "test".to_owned(),
        name: "test".to_owned(),
        link: origin.map_or(String::new(), |origin| origin.text.clone()),
        at: now,
        until: now.plus(Duration::from_secs(600)),
        detail: None,
    }
}
