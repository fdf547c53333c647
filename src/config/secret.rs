//! Secrets stand in the configuration by reference only: a file, an environment variable, or a systemd credential.

use std::io;
use std::path::{Path, PathBuf};

use super::code::Code;
use super::document::{Node, Value};
use super::fields::Fields;
use super::keys;
use super::load::{Outside, Secrets};
use super::problem::{Problem, Report};
use crate::model::session::Secret;

const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// One that cannot be read is empty where [`Secrets::Optional`] makes that a warning.
pub(super) fn read(node: &Node, outside: &Outside<'_>, report: &Report) -> Option<Secret> {
    read_by(outside.read, node, outside, report).map(|(secret, _)| secret)
}

/// The key of a certificate, with the file that it stands in, if it is one.
pub(super) fn read_key(
    node: &Node,
    outside: &Outside<'_>,
    report: &Report,
) -> Option<(Secret, Option<PathBuf>)> {
    read_by(outside.read_certificate, node, outside, report)
}

fn read_by(
    read: &dyn Fn(&Path) -> io::Result<String>,
    node: &Node,
    outside: &Outside<'_>,
    report: &Report,
) -> Option<(Secret, Option<PathBuf>)> {
    if matches!(node.value, Value::Text(_)) {
        report.push(
            Problem::error(
                Code::LiteralSecret,
                &node.place,
                "a secret does not stand in the configuration itself",
            )
            .help("put it into a file and write { file = \"…\" }, or { env = \"…\" }, or { credential = \"…\" }"),
        );
        return None;
    }
    let fields = Fields::open(node, &keys::SECRET, report)?;
    let places = [
        fields.text("file"),
        fields.text("env"),
        fields.text("credential"),
    ];
    let [file, env, credential] = &places;
    if places.iter().flatten().count() != 1 {
        report.push(Problem::error(
            Code::MissingKey,
            &node.place,
            "a secret is in one place: `file`, `env` or `credential`",
        ));
        return None;
    }
    let path = match (file, credential) {
        (Some(file), _) => Some(outside.base.join(file.text)),
        (None, Some(credential)) => outside
            .variable(CREDENTIALS)
            .map(|folder| PathBuf::from(folder).join(credential.text)),
        (None, None) => None,
    };
    let found = match (&path, env) {
        (Some(path), _) => from_file(path, read),
        (None, Some(env)) => outside
            .variable(env.text)
            .map(str::to_owned)
            .ok_or_else(|| format!("the environment has no `{}`", env.text)),
        (None, None) => Err(format!(
            "the environment has no `{CREDENTIALS}`, which systemd sets"
        )),
    };
    let text = match found {
        Ok(text) => text,
        Err(why) => {
            let problem = Problem::error(
                Code::UnreadableSecret,
                &node.place,
                format!("the secret cannot be read: {why}"),
            );
            report.push(match outside.secrets {
                Secrets::Required => problem,
                Secrets::Optional => problem.warning(),
            });
            return (outside.secrets == Secrets::Optional)
                .then(|| (Secret::new(String::new()), path));
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        report.push(Problem::error(
            Code::WeakSecret,
            &node.place,
            "the secret is empty",
        ));
        return None;
    }
    Some((Secret::new(text), path))
}

fn from_file(path: &Path, read: &dyn Fn(&Path) -> io::Result<String>) -> Result<String, String> {
    read(path).map_err(|error| format!("{}: {error}", super::load::tidy(path)))
}
