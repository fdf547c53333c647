//! From changed files to what is served: when they are read again, and what is said about it.
//!
//! The files are looked at every second by what the file system says of them, and read again when that changed. What is
//! read counts when a second reading, a quiet moment later, finds the same: an editor that saves in steps, several files
//! that are copied one after the other and links that are swapped are waited for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::instance::{Handle, StartError};
use crate::config::{self, Files, Loaded, Options, Problem, Severity, Stamp};
use crate::model::time::Clock;
use crate::telemetry::Reloads;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// How long files that have changed have to stay as they are.
const QUIET: Duration = Duration::from_secs(1);

/// The same where somebody asks: they know that they are done, as a rule.
const QUIET_WHEN_ASKED: Duration = Duration::from_millis(50);

/// Who asks is told so when the files still change after as many readings.
const READINGS: usize = 100;

/// Then somebody who asks gets a turn before the next ones.
const READINGS_AT_A_LOOK: usize = 3;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub options: Options,
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Reloaded {
    Applied {
        warnings: Vec<Problem>,
        /// Keys that were changed and hold as they were until a restart.
        needs_restart: Vec<&'static str>,
    },
    /// What was served before is served on.
    Refused(Refusal),
}

#[derive(Debug)]
pub enum Refusal {
    /// Errors, and warnings beside them.
    Problems(Vec<Problem>),
    /// It is right, but something that it names cannot be had.
    Start(StartError),
    /// They changed all the time.
    Restless,
}

#[derive(Debug)]
pub struct Reloader {
    source: Source,
    handle: Handle,
    clock: Arc<dyn Clock>,
    reloads: Arc<Reloads>,
    /// One attempt at a time.
    seen: Mutex<Seen>,
}

/// Of the last attempt, or the start.
#[derive(Debug)]
struct Seen {
    read: Files,
    /// Those that were read, and where that failed, those that were read before.
    watched: Files,
    /// Of the watched ones, when there was nothing new in them.
    stamp: Option<Stamp>,
}

#[derive(Debug)]
struct Reading {
    loaded: Result<Loaded, Vec<Problem>>,
    files: Files,
    stamp: Stamp,
}

impl Source {
    fn read(&self) -> Reading {
        let files = Files::default();
        let loaded = config::load_noting(&self.path, &self.options, &files);
        Reading {
            loaded,
            stamp: files.stamp(),
            files,
        }
    }
}

impl Reloaded {
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }

    /// In a few words; nothing where all is as the files say.
    pub fn summary(&self) -> Option<String> {
        match self {
            Self::Applied { needs_restart, .. } if needs_restart.is_empty() => None,
            Self::Applied { needs_restart, .. } => {
                Some(format!("waits for a restart: {}", needs_restart.join(", ")))
            }
            Self::Refused(refusal) => {
                let (errors, first) = refusal.summary();
                Some(match errors {
                    0 | 1 => format!("not reloaded: {first}"),
                    more => format!("not reloaded: {first} and {} more", more - 1),
                })
            }
        }
    }

    /// For whoever asked: every problem as a compiler would print it, and what became of it all.
    pub fn report(&self, styled: bool) -> String {
        let problems = |problems: &[Problem]| -> String {
            let rendered = problems
                .iter()
                .map(|problem| problem.render(styled) + "\n\n");
            rendered.collect()
        };
        match self {
            Self::Applied { warnings, .. } => {
                let waits = self
                    .summary()
                    .map_or_else(String::new, |waits| format!("; {waits}"));
                format!("{}reloaded{waits}\n", problems(warnings))
            }
            Self::Refused(refusal) => {
                let why = match refusal {
                    Refusal::Problems(found) => problems(found),
                    Refusal::Start(error) => format!("{error}\n"),
                    Refusal::Restless => "the files change all the time\n".to_owned(),
                };
                format!("{why}not reloaded: the configuration before is served on\n")
            }
        }
    }
}

impl Refusal {
    /// For the log, one for each problem.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Problems(problems) => problems
                .iter()
                .map(|problem| problem.render(false))
                .collect(),
            Self::Start(error) => vec![error.to_string()],
            Self::Restless => vec!["the configuration's files change all the time".to_owned()],
        }
    }

    /// How many errors, and what the first is.
    fn summary(&self) -> (usize, String) {
        match self {
            Self::Problems(problems) => {
                let is_error = |problem: &&Problem| problem.severity == Severity::Error;
                let mut errors = problems.iter().filter(is_error);
                let first = errors.next().map_or("", |problem| problem.code.as_str());
                (errors.count() + 1, first.to_owned())
            }
            Self::Start(error) => (1, error.to_string()),
            Self::Restless => (1, "the files change all the time".to_owned()),
        }
    }
}

/// Nothing when the runtime is about to end.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

impl Reloader {
    /// `files`: of the configuration that `handle` serves.
    pub fn new(source: Source, files: Files, handle: Handle, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            handle,
            reloads: Arc::new(Reloads::new(clock.now())),
            clock,
            // No stamp: a change between the start's reading and now shows at the first look.
            seen: Mutex::new(Seen {
                watched: files.clone(),
                read: files,
                stamp: None,
            }),
        }
    }

    pub fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// Because somebody asks: also when nothing has changed, for log files are opened anew.
    pub async fn reload(&self) -> Reloaded {
        let mut seen = self.seen.lock().await;
        let reading = self.settled(QUIET_WHEN_ASKED, READINGS).await;
        self.take(&mut seen, reading).await
    }

    /// Follows the files until it is dropped; `told` of every attempt.
    pub async fn watch(&self, told: impl Fn(&Reloaded)) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(reloaded) = self.look(QUIET).await {
                told(&reloaded);
            }
        }
    }

    /// What became of it when there was something new.
    async fn look(&self, quiet: Duration) -> Option<Reloaded> {
        let mut seen = self.seen.lock().await;
        let watched = seen.watched.clone();
        let stamp = blocking(move || watched.stamp()).await?;
        if seen.stamp.as_ref() == Some(&stamp) {
            return None;
        }
        let reading = self.settled(quiet, READINGS_AT_A_LOOK).await?;
        if reading.files.agree(&seen.read) {
            // Touched, or another file of the folder.
            seen.stamp = Some(stamp);
            return None;
        }
        tracing::info!("the configuration's files have changed");
        Some(self.take(&mut seen, Some(reading)).await)
    }

    /// Two readings one after the other that found the same; nothing when there are none after so many.
    async fn settled(&self, quiet: Duration, most: usize) -> Option<Reading> {
        let mut known = self.read().await?;
        for _ in 0..most {
            tokio::time::sleep(quiet).await;
            let again = self.read().await?;
            if again.files.agree(&known.files) && again.stamp == known.stamp {
                return Some(again);
            }
            known = again;
        }
        None
    }

    async fn read(&self) -> Option<Reading> {
        let source = self.source.clone();
        blocking(move || source.read()).await
    }

    async fn take(&self, seen: &mut Seen, reading: Option<Reading>) -> Reloaded {
        let reloaded = match reading {
            None => Reloaded::Refused(Refusal::Restless),
            Some(reading) => {
                let before = std::mem::replace(&mut seen.watched, reading.files.clone());
                seen.read = reading.files;
                match reading.loaded {
                    Ok(loaded) => {
                        seen.stamp = Some(reading.stamp);
                        self.change(loaded).await
                    }
                    Err(problems) => {
                        seen.watched.watch_too(&before);
                        seen.stamp = None;
                        Reloaded::Refused(Refusal::Problems(problems))
                    }
                }
            }
        };
        self.note(&reloaded);
        reloaded
    }

    async fn change(&self, loaded: Loaded) -> Reloaded {
        let Loaded { config, warnings } = loaded;
        match self.handle.change(Arc::new(config)).await {
            Ok(needs_restart) => Reloaded::Applied {
                warnings,
                needs_restart,
            },
            Err(error) => Reloaded::Refused(Refusal::Start(error)),
        }
    }

    fn note(&self, reloaded: &Reloaded) {
        let now = self.clock.now();
        match reloaded {
            Reloaded::Applied {
                warnings,
                needs_restart,
            } => {
                for warning in warnings {
                    tracing::warn!("{}", warning.render(false));
                }
                tracing::info!("the configuration was reloaded");
                if !needs_restart.is_empty() {
                    tracing::warn!(
                        keys = needs_restart.join(", "),
                        "changed, but only a restart will apply it"
                    );
                }
                self.handle.metrics().config_reloaded(now);
                self.reloads.applied(needs_restart.clone(), now);
            }
            Reloaded::Refused(refusal) => {
                for line in refusal.lines() {
                    tracing::error!("{line}");
                }
                let (errors, first) = refusal.summary();
                tracing::error!(
                    errors,
                    "the configuration was not reloaded: the one before is served on"
                );
                self.handle.metrics().config_refused();
                self.reloads.refused(errors, first, now);
            }
        }
    }
}
