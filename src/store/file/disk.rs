//! The database file: opened, and opened anew after a failure, which redb demands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, StorageError,
    TableHandle as _, WriteTransaction,
};

use super::approvals::APPROVALS;
use super::folder::{Folder, OpenError};
use super::parked::PARKED;
use super::tables::{Fault, META, SCHEMA, SCHEMA_KEY, Tables, fault};

/// For pages of the file; the sessions in use are at hand beside it.
const PAGES: usize = 64 << 20;

/// A file up to this size is read and checked wholly at the start: a second's work. What is larger is checked page by page
/// as it is read, by the seal of each session.
const CHECKED: u64 = 256 << 20;

#[derive(Debug)]
pub(super) struct Disk {
    folder: Folder,
    database: RwLock<Option<Database>>,
}

enum Schema {
    Empty,
    /// Without tables that came later: a file of an older version, which can still read it.
    Lacking,
    Known,
    Other(u64),
    NotOurs,
}

impl Disk {
    /// At the start. Makes the file when there is none.
    pub(super) fn open(folder: Folder) -> Result<Self, OpenError> {
        let database = open(&folder, true)?;
        let disk = Self {
            folder,
            database: RwLock::new(Some(database)),
        };
        let path = disk.folder.sessions();
        match disk.schema().map_err(|error| of_fault(&path, *error))? {
            Schema::Known => {}
            Schema::Empty | Schema::Lacking => disk
                .write(|tables| tables.set_meta(SCHEMA_KEY, SCHEMA))
                .map_err(|error| of_fault(&path, *error))?,
            Schema::Other(found) => {
                return Err(OpenError::Format {
                    path,
                    found: found.to_string(),
                    known: SCHEMA,
                });
            }
            Schema::NotOurs => return Err(OpenError::NotAStore(path)),
        }
        disk.folder.sync()?;
        Ok(disk)
    }

    fn schema(&self) -> Result<Schema, Fault> {
        self.read(|transaction| {
            let names = transaction.list_tables().map_err(fault)?;
            let names: Vec<_> = names.map(|table| table.name().to_owned()).collect();
            if names.is_empty() {
                return Ok(Schema::Empty);
            }
            if !names.iter().any(|name| name == META.name()) {
                return Ok(Schema::NotOurs);
            }
            let meta = transaction.open_table(META).map_err(fault)?;
            let found = meta.get(SCHEMA_KEY).map_err(fault)?.map(|row| row.value());
            Ok(match found {
                None => Schema::NotOurs,
                Some(SCHEMA)
                    if [PARKED.name(), APPROVALS.name()]
                        .iter()
                        .any(|later| !names.iter().any(|name| name == later)) =>
                {
                    Schema::Lacking
                }
                Some(SCHEMA) => Schema::Known,
                Some(other) => Schema::Other(other),
            })
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A look at what is committed. A panic on a damaged page is a failure like another.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.guarded(|database| {
            let transaction = database.begin_read().map_err(fault)?;
            look(&transaction)
        })
    }

    /// One transaction, on the disk when this returns, and none of it where it fails.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.guarded(|database| {
            let mut transaction = database.begin_write().map_err(fault)?;
            // A start after a kill -9 takes no longer than any other; a commit takes a millisecond more.
            transaction.set_quick_repair(true);
            let mut tables = Tables::open(&transaction)?;
            let outcome = change(&mut tables)?;
            let changed = tables.changed || tables.parked.changed || tables.approvals.changed;
            drop(tables);
            finish(transaction, changed)?;
            Ok(outcome)
        })
    }

    /// After a failure; whether it is open again.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // What is left in its memory is not to be trusted, nor is it to panic once more.
        let old = database.take();
        let _closed = catch_unwind(AssertUnwindSafe(|| drop(old)));
        *database = Some(open(&self.folder, false)?);
        Ok(())
    }

    pub(super) fn close(&self) {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = database.take();
        let _closed = catch_unwind(AssertUnwindSafe(|| drop(old)));
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    fn guarded<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let database = self.lock();
        let Some(database) = &*database else {
            return Err(Box::new(redb::Error::DatabaseClosed));
        };
        catch_unwind(AssertUnwindSafe(|| work(database)))
            .unwrap_or_else(|_| Err(corrupt("a page makes no sense")))
    }

    fn lock(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finish(transaction: WriteTransaction, changed: bool) -> Result<(), Fault> {
    if changed {
        transaction.commit().map_err(fault)
    } else {
        transaction.abort().map_err(fault)
    }
}

fn corrupt(why: &str) -> Fault {
    Box::new(redb::Error::Corrupted(why.to_owned()))
}

fn open(folder: &Folder, check: bool) -> Result<Database, OpenError> {
    let path = folder.sessions();
    let file = folder.open_sessions()?;
    let length = file
        .metadata()
        .map_err(|error| OpenError::io(&path, error))?
        .len();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let backend = FileBackend::new(file)?;
        redb::Builder::new()
            .set_cache_size(PAGES)
            .set_check_integrity_on_open(check && length <= CHECKED)
            .create_with_backend(backend)
    }));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(of_open(&path, error)),
        Err(_) => Err(OpenError::Corrupt {
            path,
            why: "its pages make no sense".to_owned(),
        }),
    }
}

fn of_open(path: &Path, error: DatabaseError) -> OpenError {
    let owned = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(owned)
        }
        DatabaseError::UpgradeRequired(found) => OpenError::Format {
            path: owned,
            found: format!("redb {found}"),
            known: SCHEMA,
        },
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            OpenError::NotAStore(owned)
        }
        other => of_fault(path, other.into()),
    }
}

pub(super) fn of_fault(path: &Path, error: redb::Error) -> OpenError {
    let owned = path.to_owned();
    match error {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            OpenError::Corrupt {
                path: owned,
                why: "it ends too soon".to_owned(),
            }
        }
        redb::Error::Io(error) => OpenError::io(path, error),
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            OpenError::NotAStore(owned)
        }
        other => OpenError::Corrupt {
            path: owned,
            why: other.to_string(),
        },
    }
}
