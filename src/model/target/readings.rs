//! Every text that an upstream could make of a canonical path. Without relaxations there is one, with `%3F` and `%23` a
//! second one that ends there.

use super::Ambiguity;
use super::canonical::{decode, decoded, has_dot_segment};

/// A path with more readings than this is no honest one.
const MOST: usize = 16;

/// One text by which routes are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'t> {
    pub path: &'t str,
    /// `path` in ASCII lower case.
    pub lower: &'t str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readings {
    first: Text,
    others: Vec<Text>,
}

/// `None`: equal to what it is made from, so nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    path: Option<String>,
    lower: Option<String>,
}

impl Readings {
    pub(super) fn of(path: &str) -> Result<Self, Ambiguity> {
        let first = decoded(path)?;
        let others = others(first.as_deref().unwrap_or(path))?;
        Ok(Self {
            first: Text {
                lower: lower(first.as_deref().unwrap_or(path)),
                path: first,
            },
            others: others
                .into_iter()
                .map(|path| Text {
                    lower: lower(&path),
                    path: Some(path),
                })
                .collect(),
        })
    }

    pub(super) fn iter<'t>(&'t self, canonical: &'t str) -> impl Iterator<Item = Reading<'t>> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .map(move |text| {
                let path = text.path.as_deref().unwrap_or(canonical);
                Reading {
                    path,
                    lower: text.lower.as_deref().unwrap_or(path),
                }
            })
    }
}

fn lower(path: &str) -> Option<String> {
    path.bytes()
        .any(|byte| byte.is_ascii_uppercase())
        .then(|| path.to_ascii_lowercase())
}

/// What upstreams are known to do to a path, in any order and number: all texts that come of it, but for `first`.
fn others(first: &str) -> Result<Vec<String>, Ambiguity> {
    if !first.contains(['%', ';', '\\', '?', '#']) && !first.contains("//") {
        return Ok(Vec::new());
    }
    let mut known = vec![first.to_owned()];
    let mut next = 0;
    while let Some(path) = known.get(next) {
        next += 1;
        let made = [
            decode(path, |_| true)?,
            without_parameters(path),
            path.replace('\\', "/"),
            merged(path),
            cut(path),
        ];
        for reading in made {
            if known.contains(&reading) {
                continue;
            }
            if has_dot_segment(&reading) {
                return Err(Ambiguity::DotSegment);
            }
            known.push(reading);
        }
        if known.len() > MOST {
            return Err(Ambiguity::TooManyReadings);
        }
    }
    known.remove(0);
    Ok(known)
}

/// Tomcat and its kin drop `;name=value` from every segment.
fn without_parameters(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    for segment in path.split_inclusive('/') {
        match segment.split_once(';') {
            Some((before, _)) => {
                kept.push_str(before);
                if segment.ends_with('/') {
                    kept.push('/');
                }
            }
            None => kept.push_str(segment),
        }
    }
    kept
}

fn merged(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !kept.ends_with('/') {
            kept.push(character);
        }
    }
    kept
}

/// A path that was decoded before it was split from its query and fragment.
fn cut(path: &str) -> String {
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}
