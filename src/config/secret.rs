//! Secrets stand in the configuration by reference only: a file, an environment variable, or a systemd credential.

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
    let found = if let Some(file) = file {
        from_file(&outside.base.join(file.text), outside)
    } else if let Some(env) = env {
        outside
            .variable(env.text)
            .map(str::to_owned)
            .ok_or_else(|| format!("the environment has no `{}`", env.text))
    } else if let Some(credential) = credential {
        match outside.variable(CREDENTIALS) {
            Some(folder) => from_file(&PathBuf::from(folder).join(credential.text), outside),
            None => Err(format!(
                "the environment has no `{CREDENTIALS}`, which systemd sets"
            )),
        }
    } else {
        return None;
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
            return (outside.secrets == Secrets::Optional).then(|| Secret::new(String::new()));
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
    Some(Secret::new(text))
}

fn from_file(path: &Path, outside: &Outside<'_>) -> Result<String, String> {
    (outside.read)(path).map_err(|error| format!("{}: {error}", super::load::tidy(path)))
}
