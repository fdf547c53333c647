//! The folder that the store lives in: there is one process in it, and nobody else looks in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Ours alone.
const MODE: u32 = 0o600;
const LOCK: &str = "lock";
const SESSIONS: &str = "sessions.redb";
const SEAL_KEY: &str = "seal.key";

/// Why the store cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "there is no folder {0} for the sessions: make it (install -d -m 700 -o USER {0}), or set `path` or `store = \"memory\"` in [sessions]"
    )]
    NoFolder(PathBuf),
    #[error(
        "everybody may write to the folder {0} of the sessions: make it belong to stepgate alone (chmod 700 {0})"
    )]
    Exposed(PathBuf),
    #[error(
        "another process uses the sessions in {0}: does another stepgate run? Stop it, or give this one a `path` of its own"
    )]
    InUse(PathBuf),
    #[error("{0} cannot be written: the disk is full. Free some space; no session is lost")]
    Full(PathBuf),
    #[error("{0} cannot be written: the file system is read-only. Mount it for writing")]
    ReadOnly(PathBuf),
    #[error(
        "{0} cannot be opened for reading and writing: permission denied. It has to belong to the user that stepgate runs as"
    )]
    Denied(PathBuf),
    #[error("{path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{0} is no session store. Move it away if it is something else; stepgate makes a new one, and people sign in again"
    )]
    NotAStore(PathBuf),
    #[error(
        "{path} is damaged ({why}). Bring it back from a backup, or move it away: stepgate makes a new one, and people sign in again"
    )]
    Corrupt { path: PathBuf, why: String },
    #[error(
        "{path} was written by a stepgate with another format ({found}; this one has {known}). Use that version, or move the file away: people sign in again"
    )]
    Format {
        path: PathBuf,
        found: String,
        known: u64,
    },
    #[error("no thread for the session store: {0}")]
    Thread(io::Error),
}

/// Held as long as the store is used.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Closed by the system even after a kill -9, and with it the lock is gone.
    _lock: File,
}

impl Folder {
    /// Takes it for this process.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => OpenError::NoFolder(path.to_owned()),
            _ => OpenError::io(path, error),
        })?;
        if !metadata.is_dir() {
            return Err(OpenError::NoFolder(path.to_owned()));
        }
        // With the sticky bit others may make files, but not exchange ours.
        if metadata.mode() & 0o002 != 0 {
            return Err(OpenError::Exposed(path.to_owned()));
        }
        let place = path.join(LOCK);
        let lock = open(&place)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&place, error)),
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the key is that seals when the configuration names none.
    pub fn seal_key(&self) -> PathBuf {
        self.path.join(SEAL_KEY)
    }

    /// Whether there may be sessions, which only the key opens that sealed them.
    pub fn has_sessions(&self) -> bool {
        fs::metadata(self.sessions()).is_ok_and(|metadata| metadata.len() > 0)
    }

    pub(super) fn sessions(&self) -> PathBuf {
        self.path.join(SESSIONS)
    }

    pub(super) fn open_sessions(&self) -> Result<File, OpenError> {
        let path = self.sessions();
        let file = open(&path)?;
        let metadata = file
            .metadata()
            .map_err(|error| OpenError::io(&path, error))?;
        if metadata.mode() & 0o077 != 0 {
            tracing::warn!(
                file = %path.display(),
                mode = format!("{:o}", metadata.mode() & 0o7777),
                "other users may open the sessions' file: chmod 600"
            );
        }
        Ok(file)
    }

    /// A new file is one only when its name is on the disk, too.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| OpenError::io(&self.path, error))
    }
}

fn open(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)
        .map_err(|error| OpenError::io(path, error))
}

impl OpenError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(path),
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            ErrorKind::PermissionDenied => Self::Denied(path),
            _ => Self::Io {
                path,
                source: error,
            },
        }
    }
}
