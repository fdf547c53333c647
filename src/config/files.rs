//! The files that a configuration was read from: what was in them, and whether they have changed since.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

/// Noted while a configuration is loaded: its own files, the folder of the policies, the files of secrets.
#[derive(Clone, Debug, Default)]
pub struct Files(RefCell<BTreeMap<PathBuf, Content>>);

/// SHA-256 of what was read; nothing of a folder, or of what could not be read.
type Content = Option<[u8; 32]>;

/// What the file system said of each file, links followed: another one says that there may be something new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<Looks>)>);

/// By device and inode a file is another one that was renamed over the old name, or that a link now leads to; by the
/// time of its change one that was written in place, even where its own time was set back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Looks {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads configuration"
    )]
    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        let text = std::fs::read_to_string(path);
        self.note(path, text.as_ref().ok().map(|text| digest(text)));
        text
    }

    /// To see whether they change.
    pub fn of<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        let files = Self::default();
        paths.for_each(|path| files.note(path, None));
        files
    }

    pub(super) fn note_folder(&self, path: &Path) {
        self.note(path, None);
    }

    /// Whether both found the same in the same files.
    pub fn agree(&self, other: &Self) -> bool {
        *self.0.borrow() == *other.0.borrow()
    }

    /// Those of `other` too: what a broken configuration does not name any more may be what mends it.
    pub fn watch_too(&self, other: &Self) {
        for path in other.0.borrow().keys() {
            self.0.borrow_mut().entry(path.clone()).or_default();
        }
    }

    pub fn stamp(&self) -> Stamp {
        let looks = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok();
            (path.clone(), metadata.as_ref().map(Looks::of))
        };
        Stamp(self.0.borrow().keys().map(looks).collect())
    }

    fn note(&self, path: &Path, content: Content) {
        self.0.borrow_mut().insert(path.to_owned(), content);
    }
}

impl Looks {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn digest(text: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;
    use crate::config::{Options, Secrets, load_noting};

    fn noted(folder: &Path) -> Files {
        let files = Files::default();
        let options = Options {
            environment: Vec::new(),
            secrets: Secrets::Required,
            now: None,
        };
        // What it finds wrong does not matter here.
        let _problems = load_noting(&folder.join("stepgate.toml"), &options, &files);
        files
    }

    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "stepgate.toml",
            "version = 1\n[keycloak]\nclient_secret = { file = \"secret\" }\n",
        );
        write("secret", "one");
        fs::create_dir(folder.path().join("policies")).unwrap();
        write("policies/app.toml", "");
        folder
    }

    #[test]
    fn all_that_is_read_is_watched() {
        let folder = written();
        let files = noted(folder.path());
        let known: Vec<_> = files.0.borrow().keys().cloned().collect();
        let known: Vec<_> = known
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            known,
            ["policies", "policies/app.toml", "secret", "stepgate.toml"]
        );
    }

    #[test]
    fn every_way_to_change_a_file_shows() {
        let folder = written();
        let path = |name: &str| folder.path().join(name);
        let changes: [(&str, &dyn Fn()); 5] = [
            ("written in place", &|| {
                fs::write(path("secret"), "longer").unwrap()
            }),
            ("another renamed over it", &|| {
                fs::write(path("new"), "three").unwrap();
                fs::rename(path("new"), path("secret")).unwrap();
            }),
            ("one more policy", &|| {
                fs::write(path("policies/more.toml"), "").unwrap();
            }),
            ("one policy less", &|| {
                fs::remove_file(path("policies/more.toml")).unwrap();
            }),
            ("a link that leads elsewhere", &|| {
                fs::rename(path("policies"), path("..old")).unwrap();
                fs::create_dir(path("..new")).unwrap();
                fs::write(path("..new/app.toml"), "").unwrap();
                std::os::unix::fs::symlink("..new", path("policies")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let files = noted(folder.path());
            let before = files.stamp();
            assert_eq!(files.stamp(), before);
            change();
            assert_ne!(files.stamp(), before, "{what}");
        }
    }

    #[test]
    fn a_touch_is_no_other_content() {
        let folder = written();
        let before = noted(folder.path());
        let stamp = before.stamp();
        fs::write(folder.path().join("secret"), "one").unwrap();
        fs::write(folder.path().join("policies/.app.toml.swp"), "").unwrap();
        let after = noted(folder.path());
        assert_ne!(before.stamp(), stamp);
        assert!(after.agree(&before));
        fs::write(folder.path().join("secret"), "two").unwrap();
        assert!(!noted(folder.path()).agree(&before));
    }
}
