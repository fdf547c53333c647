//! Runs what the documents show: every marked file is written down, every `console` block is typed and compared.
//!
//! `<!-- file: config/stepgate.toml -->` before a fenced block makes it a file of that page's folder; after the last
//! one `stepgate check` must find nothing. A `console` block's `$ stepgate …` lines are run there; what the page shows
//! below must be what came out, where a line `…` stands for any number of lines.
//!
//! The tables of docs/configuration.md and docs/operations.md that are marked (`<!-- codes -->`) hold exactly what the code has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stepgate::config::{Code, KEYS, PRESETS};
use stepgate::gate::{NoAnswer, Refusal};
use stepgate::model::target::RELAXATIONS;
use stepgate::server::Ended;
use stepgate::telemetry::metrics::CATALOGUE;

#[test]
fn every_example_in_the_documents_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .collect();
    pages.push(root.join("README.md"));
    let (mut files, mut commands) = (0, 0);
    for page in pages {
        let folder = tempfile::tempdir().unwrap();
        let mut has_config = false;
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            if let Some(name) = &block.file {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &block.text).unwrap();
                has_config |= name == "config/stepgate.toml";
                files += 1;
            } else if block.language == "console" {
                commands += typed(&page, folder.path(), &block.text);
            }
        }
        if has_config {
            let (status, output) = stepgate(folder.path(), &["check"]);
            assert_eq!(
                status,
                Some(0),
                "`stepgate check` on the example of {}:\n{output}",
                page.display()
            );
        }
    }
    assert!(
        files >= 3 && commands >= 2,
        "found {files} files and {commands} commands: are the markers still read?"
    );
}

#[test]
fn the_problem_codes_are_all_there() {
    let known: Vec<_> = Code::ALL
        .iter()
        .map(|code| vec![code.as_str().to_owned(), code.about().to_owned()])
        .collect();
    assert_eq!(table("codes"), known);
}

#[test]
fn the_presets_are_what_is_sent() {
    let known: Vec<_> = PRESETS
        .iter()
        .flat_map(|(preset, rows)| {
            rows.iter()
                .map(move |(header, template)| [*preset, *header, *template])
        })
        .map(|row| row.map(|cell| format!("`{cell}`")).to_vec())
        .collect();
    assert_eq!(table("presets"), known);
}

#[test]
fn the_relaxations_are_all_there() {
    let known: Vec<_> = RELAXATIONS
        .iter()
        .map(|row| vec![format!("`{}`", row.name), row.about.to_owned()])
        .collect();
    assert_eq!(table("relaxations"), known);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let all = [
        Ended::Well,
        Ended::Config,
        Ended::Listen,
        Ended::Log,
        Ended::Keys,
        Ended::Store,
        Ended::System,
    ];
    for ended in all {
        // Whoever adds one adds it above as well.
        match ended {
            Ended::Well
            | Ended::Config
            | Ended::Listen
            | Ended::Log
            | Ended::Keys
            | Ended::Store
            | Ended::System => {}
        }
    }
    // `check` and `explain` have 1 and 2 of their own.
    let mut known: Vec<_> = all.iter().map(|ended| *ended as u8).chain([1, 2]).collect();
    known.sort_unstable();
    let shown: Vec<u8> = table("exit codes")
        .iter()
        .map(|row| row[0].parse().unwrap())
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn the_ways_of_an_upstream_not_to_answer_are_all_there() {
    let known: Vec<_> = NoAnswer::ALL
        .iter()
        .map(|why| {
            (
                format!("`{}`", why.code()),
                Refusal::Upstream(*why).status(),
            )
        })
        .map(|(code, status)| [code, status.as_u16().to_string()])
        .collect();
    let shown = table("no answer");
    let shown: Vec<_> = shown
        .iter()
        .map(|row| [row[0].clone(), row[1].clone()])
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn every_key_is_described_and_no_other() {
    for (name, keys) in KEYS {
        let mut shown: Vec<_> = table(&format!("keys: {name}"))
            .into_iter()
            .flat_map(|row| quoted(&row[0]))
            .collect();
        let mut known: Vec<_> = keys.known.iter().map(|key| (*key).to_owned()).collect();
        shown.sort();
        known.sort();
        assert_eq!(shown, known, "the keys of {name}");
    }
    let mut shown: Vec<_> = table("later keys")
        .into_iter()
        .map(|row| quoted(&row[1]))
        .collect();
    let mut known: Vec<Vec<_>> = KEYS
        .iter()
        .map(|(_, keys)| keys.later.iter().map(|key| (*key).to_owned()).collect())
        .filter(|later: &Vec<String>| !later.is_empty())
        .collect();
    shown.sort();
    known.sort();
    assert_eq!(shown, known, "the keys of later versions");
}

#[test]
fn every_metric_is_described_and_no_other() {
    let known: Vec<_> = CATALOGUE
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric
                .labels
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            vec![
                format!("`{}`", metric.name),
                metric.kind.name().to_owned(),
                labels.join(", "),
                metric.help.to_owned(),
            ]
        })
        .collect();
    assert_eq!(table_of("operations", "metrics"), known);
}

/// Of the configuration's reference.
fn table(mark: &str) -> Vec<Vec<String>> {
    table_of("configuration", mark)
}

/// The cells of the table behind `<!-- mark -->`, row by row, without its head.
fn table_of(page: &str, mark: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page)
        .with_extension("md");
    let page = fs::read_to_string(path).unwrap();
    let mark = format!("<!-- {mark} -->\n");
    let (_, behind) = page
        .split_once(&mark)
        .unwrap_or_else(|| panic!("no table is marked {mark}"));
    behind
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .collect()
}

/// `\|` is a bar that separates nothing.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\0");
    let inner = row.trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().replace('\0', "|"))
        .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

pub(crate) struct Block {
    pub(crate) file: Option<String>,
    language: String,
    pub(crate) text: String,
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut file = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line
            .strip_prefix("<!-- file: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        {
            file = Some(name.to_owned());
        } else if let Some(language) = line.strip_prefix("```") {
            let text: String = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            found.push(Block {
                file: file.take(),
                language: language.to_owned(),
                text,
            });
        }
    }
    found
}

/// Runs each `$ stepgate …` of the block and compares; the number run.
fn typed(page: &Path, folder: &Path, text: &str) -> usize {
    let mut count = 0;
    for part in text.split("$ stepgate ").skip(1) {
        let (command, shown) = part.split_once('\n').unwrap_or((part, ""));
        let arguments: Vec<_> = command
            .split_whitespace()
            .map(|word| word.trim_matches('\''))
            .collect();
        let (_, output) = stepgate(folder, &arguments);
        assert!(
            agrees(shown.trim_end(), output.trim_end()),
            "{}: `stepgate {command}` says\n{output}\nbut the page shows\n{shown}",
            page.display()
        );
        count += 1;
    }
    count
}

fn agrees(shown: &str, said: &str) -> bool {
    let mut rest = said;
    for (index, piece) in shown.split("…\n").enumerate() {
        let piece = piece.trim_end_matches('…');
        let Some((before, after)) = rest.split_once(piece) else {
            return false;
        };
        if index == 0 && !before.is_empty() {
            return false;
        }
        rest = after;
    }
    shown.ends_with('…') || rest.trim().is_empty()
}

fn stepgate(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}
