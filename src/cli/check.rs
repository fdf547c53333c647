//! `stepgate check`: all problems of all files, and what there is when there are none.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{Check, FINDINGS, Format, say};
use crate::config::{self, Config, Loaded, Options, Problem, Secrets, Severity};
use crate::model::time::Clock as _;
use crate::server::SystemClock;

pub(super) fn run(path: &Path, check: &Check, styled: bool, out: &mut dyn Write) -> u8 {
    let secrets = if check.secrets {
        Secrets::Required
    } else {
        Secrets::Optional
    };
    let options = Options::from_environment(secrets).at(SystemClock.now());
    let (config, problems) = match config::load(path, &options) {
        Ok(Loaded { config, warnings }) => (Some(config), warnings),
        Err(problems) => (None, problems),
    };
    let count = |severity| {
        problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match check.format {
        Format::Json => {
            let problems: Vec<_> = problems.iter().map(Problem::to_json).collect();
            let all = json!({ "errors": errors, "warnings": warnings, "problems": problems });
            say(out, &format!("{all:#}\n"));
        }
        Format::Text => {
            for problem in &problems {
                say(out, &(problem.render(styled) + "\n\n"));
            }
            say(out, &summary(path, config.as_ref(), errors, warnings));
        }
    }
    if errors > 0 || (check.deny_warnings && warnings > 0) {
        FINDINGS
    } else {
        0
    }
}

fn summary(path: &Path, config: Option<&Config>, errors: usize, warnings: usize) -> String {
    let found = match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, warnings) => number(warnings, "warning"),
        (errors, 0) => number(errors, "error"),
        (errors, warnings) => {
            format!(
                "{}, {}",
                number(errors, "error"),
                number(warnings, "warning")
            )
        }
    };
    let there_is = config.map_or(String::new(), |config| {
        let routes = config.policies().map(|app| app.table.routes().len()).sum();
        format!(
            " ({}, {}, {})",
            number(config.policies().count(), "app"),
            number(routes, "route"),
            number(config.ladder.iter().len(), "level"),
        )
    });
    format!("{}: {found}{there_is}\n", path.display())
}

fn number(count: usize, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}
