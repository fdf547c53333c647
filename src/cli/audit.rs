//! `stepgate audit verify`: whether the audit log is the chain that was written.
//!
//! 0: it is. 1: it is not. 2: it cannot be read.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use super::{AuditVerify, FINDINGS, USAGE, loaded, say};
use crate::config::LogTarget;
use crate::telemetry::Verifier;

pub(super) fn verify(
    path: &Path,
    typed: AuditVerify,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let files = if typed.files.is_empty() {
        match configured(path, err) {
            Some(file) => vec![file],
            None => return USAGE,
        }
    } else {
        typed.files
    };
    let mut verifier = Verifier::new(typed.head);
    let mut broken = false;
    for path in &files {
        let breaks = File::open(path).and_then(|file| verifier.read(BufReader::new(file)));
        let breaks = match breaks {
            Ok(breaks) => breaks,
            Err(error) => {
                say(err, &format!("error: {}: {error}\n", path.display()));
                return USAGE;
            }
        };
        for found in breaks {
            broken = true;
            let line = format!("{}:{}: {}\n", path.display(), found.line, found.what);
            say(out, &line);
        }
    }
    if verifier.misses_noted() {
        broken = true;
        say(out, "the line of --head is not there as it was noted\n");
    }
    say(out, &summary(&verifier, broken));
    let is_empty = verifier.first.is_none();
    if broken || is_empty { FINDINGS } else { 0 }
}

fn configured(path: &Path, err: &mut dyn Write) -> Option<PathBuf> {
    match loaded(path, err)?.log.audit {
        LogTarget::File(file) => Some(file),
        LogTarget::Stdout | LogTarget::Off => {
            say(
                err,
                "error: the configuration's audit log is no file: name one\n",
            );
            None
        }
    }
}

fn summary(verifier: &Verifier, broken: bool) -> String {
    let mut text = String::new();
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            text += &format!("{count} {what}\n");
        }
    };
    note(verifier.unchained, "lines of an older version, in no chain");
    let unreadable = format!(
        "lines that are no JSON, the last at {}: torn by a crash, or not stepgate's",
        verifier.unreadable_at
    );
    note(verifier.unreadable, &unreadable);
    let Some(first) = verifier.first else {
        return text + "no line of a chain: there is nothing that could be verified\n";
    };
    if first > 1 {
        text +=
            &format!("begins with line {first} of its chain: the files before it are not here\n");
    }
    let head = verifier.head();
    let word = if broken { "broken" } else { "unbroken" };
    text + &format!("{} lines, {word}; head {head}\n", verifier.lines)
}
