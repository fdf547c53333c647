//! Where lines go: a thread that writes them, memory for tests, or nowhere.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config::LogTarget;

/// Between two writes of lines that may be gathered. Whoever hands one over meanwhile wakes nobody and asks nothing of
/// the operating system.
const GATHER: Duration = Duration::from_millis(5);

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
        file: Option<Arc<LogFile>>,
        _flushes_on_drop: Arc<WorkerGuard>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file `{}`", path.display())]
pub struct LinesError {
    path: PathBuf,
    source: io::Error,
}

impl LinesError {
    pub(in crate::telemetry) fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { path, source }
    }
}

impl Lines {
    /// Each line is written as soon as its turn comes.
    pub fn open(target: &LogTarget) -> Result<Self, LinesError> {
        Self::opened(target, Duration::ZERO)
    }

    /// Lines that come close together are written together, a few milliseconds later: a process that is killed takes
    /// those with it.
    pub fn open_gathering(target: &LogTarget) -> Result<Self, LinesError> {
        Self::opened(target, GATHER)
    }

    fn opened(target: &LogTarget, pause: Duration) -> Result<Self, LinesError> {
        Ok(match target {
            LogTarget::Off => Self(Sink::Off),
            LogTarget::Stdout => Self::on_thread(io::stdout(), pause, None),
            LogTarget::File(path) => {
                let file = opened_whole(path).map_err(|source| LinesError::new(path, source))?;
                let file = Arc::new(LogFile {
                    file: Mutex::new(file),
                    path: path.clone(),
                });
                Self::on_thread(Shared(Arc::clone(&file)), pause, Some(file))
            }
        })
    }

    /// Goes on in a file that is new under the same path, when somebody has moved the old one away.
    pub fn reopen(&self) -> Result<(), LinesError> {
        let Sink::Thread {
            file: Some(file), ..
        } = &self.0
        else {
            return Ok(());
        };
        let new = opened(&file.path).map_err(|source| LinesError::new(&file.path, source))?;
        *file.lock() = new;
        Ok(())
    }

    /// Kept in memory, for tests to read.
    pub fn in_memory() -> (Self, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        (Self(Sink::Memory(Arc::clone(&lines))), lines)
    }

    pub fn is_off(&self) -> bool {
        matches!(self.0, Sink::Off)
    }

    pub(in crate::telemetry) fn write<T: Serialize>(&self, value: &T) {
        if self.is_off() {
            return;
        }
        if let Some(line) = json(value) {
            self.send(line);
        }
    }

    /// One line, without its line feed.
    pub(in crate::telemetry) fn send(&self, mut line: Vec<u8>) {
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

    fn on_thread(
        out: impl Write + Send + 'static,
        pause: Duration,
        file: Option<Arc<LogFile>>,
    ) -> Self {
        let out = Gathering {
            out: BufWriter::with_capacity(GATHERED, out),
            pause,
        };
        let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(out);
        Self(Sink::Thread {
            writer,
            file,
            _flushes_on_drop: Arc::new(guard),
        })
    }
}

/// Written at once; a longer line is written by itself.
const GATHERED: usize = 64 * 1024;

/// Buffers whole lines. Its thread flushes when no more of them wait, and rests before it looks again.
struct Gathering<W: Write> {
    out: BufWriter<W>,
    pause: Duration,
}

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.out.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        thread::sleep(self.pause);
        Ok(())
    }
}

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's end. Lines are handed over whole.
struct Shared(Arc<LogFile>);

impl Write for Shared {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

/// Every field is text or a number, so it cannot fail.
pub(in crate::telemetry) fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(512);
    serde_json::to_writer(&mut line, value).ok()?;
    Some(line)
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Where a crash came before the end of the last line, what is appended begins on one of its own.
fn opened_whole(path: &Path) -> io::Result<File> {
    let mut file = opened(path)?;
    if is_torn(path)? {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn is_torn(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use std::fs;

    use super::*;

    #[test]
    fn lines_that_are_gathered_are_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = Lines::open_gathering(&LogTarget::File(path.clone())).unwrap();
        // Beyond the buffer, and one that is longer than all of it.
        for number in 0..20_000 {
            lines.write(&number);
        }
        lines.write(&"x".repeat(GATHERED + 1));
        lines.write(&"last");
        drop(lines);
        let text = fs::read_to_string(path).unwrap();
        let mut written = text.lines();
        for number in 0..20_000 {
            assert_eq!(written.next(), Some(number.to_string().as_str()));
        }
        assert_eq!(written.next().unwrap().len(), GATHERED + 3);
        assert_eq!(written.collect::<Vec<_>>(), ["\"last\""]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lines = Lines::open(&LogTarget::File(path("log"))).unwrap();
        lines.write(&"one");
        // Its thread may not have come to it yet; the line is in one of the files, and whole.
        fs::rename(path("log"), path("log.1")).unwrap();
        lines.reopen().unwrap();
        lines.write(&"two");
        drop(lines);
        let old = fs::read_to_string(path("log.1")).unwrap();
        let new = fs::read_to_string(path("log")).unwrap();
        assert_eq!(old + &new, "\"one\"\n\"two\"\n");
        assert!(new.ends_with("\"two\"\n"));
    }
}
