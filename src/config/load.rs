//! Finds and reads the files, and has them resolved.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::code::Code;
use super::document::{self, Node, Value};
use super::files::Files;
use super::problem::{Problem, Report, Severity};
use super::resolve;
use super::resolved::Config;
use crate::model::time::Timestamp;

/// What to do about secrets that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// An error: for what is to run.
    #[default]
    Required,
    /// A warning, and the secret is empty: for what only looks at the configuration.
    Optional,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `STEPGATE__…` override the file; secrets may name others.
    pub environment: Vec<(String, String)>,
    pub secrets: Secrets,
    /// By which certificates are valid; without it that is not looked at.
    pub now: Option<Timestamp>,
}

impl Options {
    /// With the process's environment. A name or value that is no UTF-8 is nobody's setting.
    pub fn from_environment(secrets: Secrets) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            environment: std::env::vars_os().filter_map(text).collect(),
            secrets,
            now: None,
        }
    }

    /// What has expired by then is an error.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self {
            now: Some(now),
            ..self
        }
    }
}

#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
}

/// Texts instead of files.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Name and text: the installation, then one for each app.
    pub sources: &'a [(&'a str, &'a str)],
    /// Reads the files that hold secrets.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// What a configuration refers to.
pub(super) struct Outside<'a> {
    /// The folder of the installation's file.
    pub(super) base: PathBuf,
    pub(super) environment: &'a [(String, String)],
    pub(super) read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The same for the certificates and keys of listeners, which are followed by whoever shows them.
    pub(super) read_certificate: &'a dyn Fn(&Path) -> io::Result<String>,
    pub(super) secrets: Secrets,
    pub(super) now: Option<Timestamp>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Outside<'_> {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Where the configuration is looked for, best first.
const PLACES: [&str; 2] = ["config/stepgate.toml", "/etc/stepgate/stepgate.toml"];

/// The first of the usual places where there is a file; the first of all when there is none, for the message.
pub fn default_path() -> PathBuf {
    let [first, _] = PLACES;
    let found = PLACES.iter().find(|path| Path::new(path).is_file());
    PathBuf::from(found.unwrap_or(&first))
}

/// All problems of all files; with an error among them there is no config, and the warnings are in the list too.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Vec<Problem>> {
    load_noting(path, options, &Files::default())
}

/// [`load`]; `files` then knows what was looked at, for whoever wants to see it change.
pub fn load_noting(path: &Path, options: &Options, files: &Files) -> Result<Loaded, Vec<Problem>> {
    let report = Report::default();
    let read = |path: &Path| files.read(path);
    let Some(text) = open(path, files, &report) else {
        return Err(report.into_problems());
    };
    let installation = installation(&tidy(path), &text, options, &report);
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut apps = Vec::new();
    for file in policy_files(installation.as_ref(), &base, files, &report) {
        if let Some(text) = open(&file, files, &report)
            && let Some(app) = document::parse(&tidy(&file), &text, &report)
        {
            apps.push((stem(&file), app));
        }
    }
    let outside = Outside {
        base,
        environment: &options.environment,
        read: &read,
        read_certificate: &|path| Files::default().read(path),
        secrets: options.secrets,
        now: options.now,
    };
    finish(installation.as_ref(), &apps, &outside, report)
}

/// [`load`] without files.
pub fn parse(input: &Input<'_>, options: &Options) -> Result<Loaded, Vec<Problem>> {
    let report = Report::default();
    let Some(((name, text), apps)) = input.sources.split_first() else {
        return Err(vec![Problem::nowhere(
            Code::Unreadable,
            "there is no configuration",
        )]);
    };
    let installation = installation(name, text, options, &report);
    let apps: Vec<_> = apps
        .iter()
        .filter_map(|(name, text)| {
            Some((stem(Path::new(name)), document::parse(name, text, &report)?))
        })
        .collect();
    let outside = Outside {
        base: Path::new(name).parent().unwrap_or(Path::new("")).to_owned(),
        environment: &options.environment,
        read: input.read,
        read_certificate: input.read,
        secrets: options.secrets,
        now: options.now,
    };
    finish(installation.as_ref(), &apps, &outside, report)
}

/// Without `a/..` and `./`, for people.
pub(super) fn tidy(path: &Path) -> String {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(tidy.components().next_back(), Some(Component::Normal(_))) =>
            {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy.display().to_string()
}

fn installation(name: &str, text: &str, options: &Options, report: &Report) -> Option<Node> {
    let mut root = document::parse(name, text, report)?;
    document::overlay(&mut root, &options.environment, report);
    Some(root)
}

fn finish(
    installation: Option<&Node>,
    apps: &[(String, Node)],
    outside: &Outside<'_>,
    report: Report,
) -> Result<Loaded, Vec<Problem>> {
    let config = installation
        .and_then(|installation| resolve::resolve(installation, apps, outside, &report));
    let problems = report.into_problems();
    let fine = problems
        .iter()
        .all(|problem| problem.severity == Severity::Warning);
    match config {
        Some(config) if fine => Ok(Loaded {
            config,
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

fn open(path: &Path, files: &Files, report: &Report) -> Option<String> {
    match files.read(path) {
        Ok(text) => Some(text),
        Err(error) => {
            report.push(Problem::nowhere(
                Code::Unreadable,
                format!("{} cannot be read: {error}", tidy(path)),
            ));
            None
        }
    }
}

/// `*.toml` but not `*.test.toml`, in order.
fn policy_files(
    installation: Option<&Node>,
    base: &Path,
    files: &Files,
    report: &Report,
) -> Vec<PathBuf> {
    let entry = installation.and_then(|root| root.entry("policies"));
    let folder = match entry.map(|entry| &entry.node.value) {
        Some(Value::Text(folder)) => base.join(folder),
        _ => base.join("policies"),
    };
    files.note_folder(&folder);
    let listed = std::fs::read_dir(&folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    let mut found = match listed {
        Ok(found) => found,
        Err(error) => {
            let message = format!("{} cannot be read: {error}", tidy(&folder));
            report.push(match entry {
                Some(entry) => Problem::error(Code::Unreadable, &entry.node.place, message),
                None => Problem::nowhere(Code::Unreadable, message),
            });
            return Vec::new();
        }
    };
    found.retain(|file| {
        let name = file.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| {
            name.ends_with(".toml") && !name.ends_with(".test.toml") && !name.starts_with('.')
        })
    });
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}
