//! Where lines go: a thread that writes them, memory for tests, or nowhere.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config::LogTarget;

/// Cheap to clone; lines are whole and in order, and none is dropped: a writer that is stuck slows the proxy down
/// rather than lose what was decided.
#[derive(Clone)]
pub struct Lines(Sink);

#[derive(Clone)]
enum Sink {
    Off,
    Memory(Arc<Mutex<Vec<String>>>),
    Thread {
        writer: NonBlocking,
        _flushes_on_drop: Arc<WorkerGuard>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file `{}`", path.display())]
pub struct LinesError {
    path: PathBuf,
    source: io::Error,
}

impl Lines {
    pub fn open(target: &LogTarget) -> Result<Self, LinesError> {
        Ok(match target {
            LogTarget::Off => Self(Sink::Off),
            LogTarget::Stdout => Self::on_thread(io::stdout()),
            LogTarget::File(path) => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|source| LinesError {
                        path: path.clone(),
                        source,
                    })?;
                Self::on_thread(file)
            }
        })
    }

    /// Kept in memory, for tests to read.
    pub fn in_memory() -> (Self, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        (Self(Sink::Memory(Arc::clone(&lines))), lines)
    }

    pub fn is_off(&self) -> bool {
        matches!(self.0, Sink::Off)
    }

    /// One line. Every field is text or a number, so serialising cannot fail.
    pub(in crate::telemetry) fn write<T: Serialize>(&self, value: &T) {
        if self.is_off() {
            return;
        }
        let mut line = Vec::with_capacity(512);
        if serde_json::to_writer(&mut line, value).is_err() {
            return;
        }
        match &self.0 {
            Sink::Off => {}
            Sink::Memory(lines) => {
                let text = String::from_utf8_lossy(&line).into_owned();
                lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(text);
            }
            Sink::Thread { writer, .. } => {
                line.push(b'\n');
                // The other end lives as long as the guard beside the writer.
                let _sent = writer.clone().write_all(&line);
            }
        }
    }

    fn on_thread(out: impl Write + Send + 'static) -> Self {
        let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(out);
        Self(Sink::Thread {
            writer,
            _flushes_on_drop: Arc::new(guard),
        })
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Sink::Off => "Lines(off)",
            Sink::Memory(_) => "Lines(memory)",
            Sink::Thread { .. } => "Lines(thread)",
        })
    }
}
