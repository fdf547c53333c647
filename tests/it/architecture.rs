//! Holds the house to its floors: imports point down, Pingora stays at the top, every file says what it owns.

use std::fs;
use std::path::{Path, PathBuf};

/// Module, its floor, and the siblings of the same floor that it may use.
const FLOORS: &[(&str, u8, &[&str])] = &[
    ("model", 0, &[]),
    ("policy", 0, &["model"]),
    ("config", 1, &[]),
    ("notify", 2, &[]),
    ("oidc", 2, &[]),
    ("seal", 2, &[]),
    ("store", 2, &[]),
    ("telemetry", 2, &[]),
    ("gate", 3, &[]),
    ("edge", 4, &[]),
    ("admin", 4, &[]),
    ("server", 5, &[]),
    ("cli", 5, &["server"]),
    ("sandbox", 5, &[]),
];

/// Lines before `#[cfg(test)]`; beyond it a file is hardly about one thing.
const LONGEST: usize = 600;

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        let Some(&(_, floor, siblings)) = FLOORS.iter().find(|(name, ..)| *name == module) else {
            assert!(
                matches!(module.as_str(), "lib" | "main"),
                "`{}` has no floor: add its module to FLOORS",
                path.display()
            );
            continue;
        };
        for (number, line) in production(&text) {
            for used in crate_paths(line) {
                let Some(&(_, other, _)) = FLOORS.iter().find(|(name, ..)| *name == used) else {
                    continue;
                };
                if used != module && other >= floor && !siblings.contains(&used) {
                    wrong.push(format!(
                        "{}:{number}: `{module}` uses `{used}`",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that do not point down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_top_floors_name_pingora() {
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| {
            !matches!(module_of(path).as_str(), "edge" | "server")
                && production(text).any(|(_, line)| line.contains("pingora::"))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        wrong.is_empty(),
        "only edge and server may name Pingora: {wrong:?}"
    );
}

#[test]
fn the_pure_floor_has_no_io() {
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| matches!(module_of(path).as_str(), "model" | "policy"))
        .flat_map(|(path, text)| {
            production(&text)
                .filter(|(_, line)| {
                    [
                        "tokio",
                        "std::fs",
                        "std::net::Tcp",
                        "std::env",
                        "SystemTime",
                        "Instant",
                        "async fn",
                    ]
                    .iter()
                    .any(|word| line.contains(word))
                })
                .map(|(number, _)| format!("{}:{number}", path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "clock, I/O or async on the pure floor: {wrong:?}"
    );
}

#[test]
fn every_file_says_what_it_owns_and_is_about_one_thing() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with `//!`", path.display()));
        }
        let lines = production(&text).count();
        if lines > LONGEST {
            wrong.push(format!(
                "{} has {lines} lines before its tests",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs")
                && path.file_name().unwrap() != "tests.rs"
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(
        found.len() > 10,
        "the walk found too little to mean anything"
    );
    found
}

/// First component below `src`, without the extension.
fn module_of(path: &Path) -> String {
    let below = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines before the file's tests, numbered from 1, comments left out.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The modules that a line reaches by `crate::`, also inside `crate::{a, b}` of one line.
fn crate_paths(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group.split(',').map(|part| first_word(part.trim())));
        } else {
            found.push(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .next()
        .unwrap_or("")
}
