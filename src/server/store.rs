//! The session store that the configuration names, and the key of our own where it names none.

use std::path::PathBuf;
use std::sync::Arc;

use super::counting::{Counted, Watched};
use crate::config::{Config, SessionStore};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::seal::{
    KeyFileError, OpenError as SealError, Sealer, fresh_key, make_key_file, read_key_file,
    sealed_by,
};
use crate::store::{
    Capacity, FileStore, Folder, MemoryStore, OpenError, Sealing, Settings, Store, Unopened,
};

/// Of what is sealed in the file.
const PURPOSE: &str = "session";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(
        "there are sessions in {folder}, but neither `[seal]` nor {key} has the key that sealed them: bring it back, or remove {folder}/sessions.redb, and people sign in again"
    )]
    KeyGone { folder: PathBuf, key: PathBuf },
}

/// Where sessions will live: ours alone from now on.
#[derive(Debug)]
pub(in crate::server) enum Place {
    Memory,
    File { folder: Folder, cache: u64 },
}

/// The key that seals when the configuration names none.
#[derive(Debug)]
pub(in crate::server) enum OwnKey {
    /// Sessions live no longer than this process, so its flows need not either.
    Drawn(Secret),
    /// Beside the sessions, made when it is needed first.
    File {
        folder: PathBuf,
        path: PathBuf,
        /// When this process began.
        had_sessions: bool,
    },
}

impl Place {
    pub(in crate::server) fn take(config: &Config) -> Result<Self, StoreError> {
        Ok(match &config.sessions.store {
            SessionStore::Memory => Self::Memory,
            SessionStore::File { path, cache } => Self::File {
                folder: Folder::take(path)?,
                cache: *cache,
            },
        })
    }

    pub(in crate::server) fn own_key(&self, random: &dyn Random) -> OwnKey {
        match self {
            Self::Memory => OwnKey::Drawn(fresh_key(random)),
            Self::File { folder, .. } => OwnKey::File {
                folder: folder.path().to_owned(),
                path: folder.seal_key(),
                had_sessions: folder.has_sessions(),
            },
        }
    }

    pub(in crate::server) fn open(
        self,
        config: &Config,
        sealer: &Arc<Sealer>,
        watched: Watched,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let idle = config.sessions.idle;
        Ok(match self {
            Self::Memory => {
                let store = MemoryStore::new(Capacity::default(), idle);
                Arc::new(Counted::new(store, watched))
            }
            Self::File { folder, cache } => {
                let settings = Settings { idle, near: cache };
                let sealing = Arc::new(Sealed(Arc::clone(sealer)));
                let store = FileStore::open(folder, settings, sealing, Arc::clone(&watched.clock))?;
                Arc::new(Counted::new(store, watched))
            }
        })
    }
}

impl OwnKey {
    pub(in crate::server) fn get(&self, random: &dyn Random) -> Result<Secret, StoreError> {
        match self {
            Self::Drawn(key) => Ok(key.clone()),
            Self::File {
                folder,
                path,
                had_sessions,
            } => match read_key_file(path)? {
                Some(key) => Ok(key),
                None if *had_sessions => Err(StoreError::KeyGone {
                    folder: folder.clone(),
                    key: path.clone(),
                }),
                None => Ok(make_key_file(path, random)?),
            },
        }
    }
}

/// The store's port to `seal`.
#[derive(Debug)]
struct Sealed(Arc<Sealer>);

impl Sealing for Sealed {
    fn seal(&self, place: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        self.0.seal_bytes(PURPOSE, place, plaintext)
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let opened = self.0.open_bytes(PURPOSE, place, sealed);
        opened.map_err(|error| match error {
            SealError::UnknownKey => Unopened::UnknownKey,
            SealError::Tampered => Unopened::Tampered,
        })
    }

    fn key_id(&self) -> u64 {
        self.0.key_id()
    }

    fn sealed_by(&self, sealed: &[u8]) -> Option<u64> {
        sealed_by(sealed)
    }
}
