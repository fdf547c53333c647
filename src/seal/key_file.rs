//! Seal keys in files: made once, for their owner only, and never written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::sealer::fresh_key;
use crate::model::random::Random;
use crate::model::session::Secret;

const MODE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{0} is there already: a key is never written over, for it may be in use")]
    Exists(PathBuf),
    #[error(
        "others may read the seal key {0}: chmod 600 {0}, and put a new key before it if they may have"
    )]
    Exposed(PathBuf),
    #[error("the key {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Draws a key into a new file.
pub fn make_key_file(path: &Path, random: &dyn Random) -> Result<Secret, KeyFileError> {
    let key = fresh_key(random);
    write_new_file(path, &key)?;
    Ok(key)
}

/// Into a new file, which is there whole or not at all.
pub fn write_new_file(path: &Path, key: &Secret) -> Result<(), KeyFileError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&new)?;
        writeln!(file, "{}", key.reveal())?;
        file.sync_all()?;
        // Unlike a renaming, it does not replace what is there.
        fs::hard_link(&new, path)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    let written = write();
    drop(fs::remove_file(&new));
    written.map_err(failed)
}

/// `None`: there is none.
pub fn read_key_file(path: &Path) -> Result<Option<Secret>, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{MIN_KEY_BYTES, SystemRandom};

    #[test]
    fn a_key_is_made_for_its_owner_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        assert!(read_key_file(&path).unwrap().is_none());
        let random = SystemRandom::new();
        let made = make_key_file(&path, &random).unwrap();
        assert!(made.reveal().len() >= MIN_KEY_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = make_key_file(&path, &random);
        assert!(matches!(again, Err(KeyFileError::Exists(_))));
        assert_eq!(read_key_file(&path).unwrap(), Some(made));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        make_key_file(&path, &SystemRandom::new()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            read_key_file(&path),
            Err(KeyFileError::Exposed(_))
        ));
    }
}
