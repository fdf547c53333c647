//! `stepgate serve`: from a file to a process that serves until it is told to stop.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::clock::SystemClock;
use super::instance::{Instance, Listeners, StartError};
use super::logs;
use super::operations::Operations;
use super::reload::{Reloaded, Reloader, Source};
use super::systemd;
use crate::admin::AdminListeners;
use crate::config::{self, Files, Options, Problem, Secrets};
use crate::model::time::Clock as _;
use crate::seal::SystemRandom;

/// How it ended. The numbers are the process's exit codes, from 64 up (as `sysexits.h` has them, roughly).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    /// Told to stop.
    Well = 0,
    /// The configuration has errors.
    Config = 64,
    /// An address cannot be listened on.
    Listen = 65,
    /// A log file cannot be opened.
    Log = 66,
    /// Keys or credentials cannot be used.
    Keys = 67,
    /// The session store, or the key beside it, cannot be used.
    Store = 68,
    /// The operating system gives no threads or signals.
    System = 70,
}

/// For what outlives the last request, a look-up of a name that nobody answers for one.
const END: Duration = Duration::from_secs(2);

/// `out` gets the problems of the configuration and why nothing started.
pub fn run(path: &Path, styled: bool, out: &mut dyn Write) -> Ended {
    // Nobody to tell when the terminal is gone.
    let mut say = |text: String| drop(out.write_all(text.as_bytes()));
    let print = |problems: &[Problem], say: &mut dyn FnMut(String)| {
        for problem in problems {
            say(problem.render(styled) + "\n");
        }
    };
    let source = Source {
        path: path.to_owned(),
        options: Options::from_environment(Secrets::Required),
    };
    let files = Files::default();
    // Later it is said of a certificate that it has expired; a start with it would be a mistake.
    let options = source.options.clone().at(SystemClock.now());
    let config = match config::load_noting(path, &options, &files) {
        Ok(loaded) => {
            print(&loaded.warnings, &mut say);
            Arc::new(loaded.config)
        }
        Err(problems) => {
            print(&problems, &mut say);
            return Ended::Config;
        }
    };
    logs::install(styled);
    // A second one would mean that somebody else installed it first, which is as good.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let listeners = match Listeners::bind(&config) {
        Ok(listeners) => listeners,
        Err(error) => {
            say(format!("stepgate: {error}\n"));
            return ended(&error);
        }
    };
    let admin = match AdminListeners::bind(&config) {
        Ok(admin) => admin,
        Err(error) => {
            say(format!("stepgate: {error}\n"));
            return Ended::Listen;
        }
    };
    let all = listeners.addresses().chain(listeners.tls_addresses());
    let all: Vec<_> = all.map(|address| address.to_string()).collect();
    let serving_on = format!("serving on {}", all.join(", "));
    for address in listeners.addresses() {
        tracing::info!(%address, "listening");
    }
    for address in listeners.tls_addresses() {
        tracing::info!(%address, "listening with TLS");
    }
    for address in admin.addresses() {
        tracing::info!(%address, "listening for operators");
    }
    if let Some(socket) = admin.socket() {
        tracing::info!(socket = %socket.display(), "listening for operators");
    }
    let clock = Arc::new(SystemClock);
    let instance = Instance::new(config, clock.clone(), Arc::new(SystemRandom::new()));
    let instance = match instance {
        Ok(instance) => instance,
        Err(error) => {
            say(format!("stepgate: {error}\n"));
            return ended(&error);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format!("stepgate: no threads: {error}\n"));
            return Ended::System;
        }
    };
    let how = runtime.block_on(async {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(hangup)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
        ) else {
            say("stepgate: signals cannot be listened to\n".to_owned());
            return Ended::System;
        };
        let (stop, stopped) = watch::channel(false);
        let reloader = Arc::new(Reloader::new(source, files, instance.handle(), clock));
        let operations = Operations::new(instance.handle(), Arc::clone(&reloader));
        let operations = Arc::new(operations);
        let _until_the_end = tokio::spawn(admin.serve(Arc::<Operations>::clone(&operations)));
        let mut serving = tokio::spawn(instance.serve(listeners, stopped));
        systemd::ready(&serving_on);
        // On this thread, which serves no requests: however many there are, a reload does not stand in line with them.
        let reloading = reload(reloader, hangup, serving_on);
        let alive = tokio::spawn(systemd::watchdog());
        tokio::select! {
            () = reloading => {}
            _ = &mut serving => return Ended::System,
            _ = interrupt.recv() => {
                tracing::info!("interrupted");
                return Ended::Well;
            }
            _ = terminate.recv() => tracing::info!("stopping; what is in flight is finished"),
        }
        operations.begin_to_drain();
        systemd::stopping("finishing what is in flight");
        let _heard = stop.send(true);
        tokio::select! {
            _ = &mut serving => {}
            _ = interrupt.recv() => tracing::info!("interrupted"),
            _ = terminate.recv() => tracing::info!("told to stop a second time"),
        }
        alive.abort();
        Ended::Well
    });
    runtime.shutdown_timeout(END);
    how
}

/// When told to, and when the files change.
async fn reload(reloader: Arc<Reloader>, mut hangup: Signal, serving: String) {
    let state = |reloaded: &Reloaded| match reloaded.summary() {
        Some(summary) => format!("{serving}; {summary}"),
        None => serving.clone(),
    };
    let told = async {
        while hangup.recv().await.is_some() {
            systemd::reloading();
            let reloaded = reloader.reload().await;
            systemd::ready(&state(&reloaded));
        }
    };
    let seen = reloader.watch(|reloaded| systemd::status(&state(reloaded)));
    tokio::join!(told, seen);
}

fn ended(error: &StartError) -> Ended {
    match error {
        StartError::Listen { .. } | StartError::Admin(_) => Ended::Listen,
        StartError::Log(_) => Ended::Log,
        StartError::Seal(_) | StartError::Provider(_) | StartError::Tls(_) => Ended::Keys,
        StartError::Store(_) => Ended::Store,
        StartError::Gate(_) => Ended::System,
    }
}
