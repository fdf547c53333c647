//! Reads a table of the tree by key and type. What is absent or wrong is `None`, the wrong with a problem reported.

use std::collections::BTreeMap;
use std::time::Duration;

use super::code::Code;
use super::document::{Entry, Node, Value};
use super::keys::Keys;
use super::problem::{Place, Problem, Report, quoted};
use super::units;

#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'d> {
    node: &'d Node,
    report: &'d Report,
    keys: &'static Keys,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'d> {
    pub(super) text: &'d str,
    pub(super) place: &'d Place,
}

impl<'d> Fields<'d> {
    /// Reports every key that is not among `keys`.
    pub(super) fn open(node: &'d Node, keys: &'static Keys, report: &'d Report) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            return wrong_type(node, "a table", report);
        };
        for entry in entries {
            check_key(entry, keys, report);
        }
        Some(Self { node, report, keys })
    }

    pub(super) fn report(&self) -> &'d Report {
        self.report
    }

    pub(super) fn place(&self) -> &'d Place {
        &self.node.place
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.node.entry(key).is_some()
    }

    pub(super) fn node(&self, key: &str) -> Option<&'d Node> {
        debug_assert!(self.keys.known.contains(&key), "`{key}` is not declared");
        self.node.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn key_place(&self, key: &str) -> Option<&'d Place> {
        self.node.entry(key).map(|entry| &entry.place)
    }

    pub(super) fn required(&self, key: &str) -> Option<&'d Node> {
        let node = self.node(key);
        if node.is_none() {
            self.report.push(Problem::error(
                Code::MissingKey,
                self.place(),
                format!("`{key}` is missing{}", self.keys.within()),
            ));
        }
        node
    }

    pub(super) fn table(&self, key: &str, keys: &'static Keys) -> Option<Self> {
        Self::open(self.node(key)?, keys, self.report)
    }

    /// The members of a list of tables.
    pub(super) fn tables(&self, key: &str) -> &'d [Node] {
        self.node(key).map_or(&[], |node| list(node, self.report))
    }

    /// The entries of a table whose keys are names that the user gives.
    pub(super) fn named(&self, key: &str) -> &'d [Entry] {
        match self.node(key) {
            Some(node) => named(node, self.report),
            None => &[],
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<Text<'d>> {
        text(self.node(key)?, self.report)
    }

    pub(super) fn required_text(&self, key: &str) -> Option<Text<'d>> {
        text(self.required(key)?, self.report)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => wrong_type(node, "true or false", self.report),
        }
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        duration(self.node(key)?, self.report)
    }

    /// A duration that is not zero: what would otherwise never be there, or never wait.
    pub(super) fn span(&self, key: &str) -> Option<Duration> {
        let node = self.node(key)?;
        let duration = duration(node, self.report)?;
        if duration.is_zero() {
            self.report.push(Problem::error(
                Code::OutOfRange,
                &node.place,
                format!("`{key}` cannot be zero"),
            ));
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let given = self.text(key)?;
        let Some(bytes) = units::size(given.text) else {
            self.report.push(
                Problem::error(
                    Code::BadSize,
                    given.place,
                    format!("`{}` is not a size", given.text),
                )
                .help(units::SIZE_UNITS),
            );
            return None;
        };
        self.within(key, bytes, least, most, given.place)
    }

    pub(super) fn number(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let node = self.node(key)?;
        let Value::Integer(number) = node.value else {
            return wrong_type(node, "a number", self.report);
        };
        self.within(
            key,
            u64::try_from(number).unwrap_or(0),
            least,
            most,
            &node.place,
        )
    }

    /// One text, or a list of them.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<Text<'d>>> {
        texts(self.node(key)?, self.report)
    }

    /// One of `choices`.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        self.choice_but(key, choices, &[])
    }

    /// One of `choices`; those of `later` are known, and refused.
    pub(super) fn choice_but<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let given = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == given.text);
        if let Some((_, choice)) = found {
            return Some(*choice);
        }
        if later.contains(&given.text) {
            self.report.push(not_in_this_version(
                given.place,
                &format!("{key} = \"{}\"", given.text),
            ));
            return None;
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.report.push(
            Problem::error(
                Code::UnknownValue,
                given.place,
                format!("`{key}` cannot be `{}`", given.text),
            )
            .label(format!("expected {}", quoted(&names)))
            .did_you_mean(given.text, names.iter().copied()),
        );
        None
    }

    /// Names and texts that are sent as they are.
    pub(super) fn map(&self, key: &str) -> Option<BTreeMap<String, Text<'d>>> {
        let entries = self.named(key);
        self.node(key)?;
        Some(
            entries
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), text(&entry.node, self.report)?)))
                .collect(),
        )
    }

    fn within(&self, key: &str, given: u64, least: u64, most: u64, place: &Place) -> Option<u64> {
        if (least..=most).contains(&given) {
            return Some(given);
        }
        self.report.push(Problem::error(
            Code::OutOfRange,
            place,
            format!("`{key}` lies between {least} and {most}"),
        ));
        None
    }
}

pub(super) fn duration(node: &Node, report: &Report) -> Option<Duration> {
    let given = text(node, report)?;
    let duration = units::duration(given.text);
    if duration.is_none() {
        report.push(
            Problem::error(
                Code::BadDuration,
                given.place,
                format!("`{}` is not a duration", given.text),
            )
            .help(units::DURATION_UNITS),
        );
    }
    duration
}

/// Not empty.
pub(super) fn text<'d>(node: &'d Node, report: &Report) -> Option<Text<'d>> {
    match &node.value {
        Value::Text(text) if text.is_empty() => {
            report.push(Problem::error(
                Code::EmptyValue,
                &node.place,
                "the text is empty",
            ));
            None
        }
        Value::Text(text) => Some(Text {
            text,
            place: &node.place,
        }),
        _ => wrong_type(node, "a text", report),
    }
}

/// One text, or a list of at least one, none twice.
pub(super) fn texts<'d>(node: &'d Node, report: &Report) -> Option<Vec<Text<'d>>> {
    let Value::List(members) = &node.value else {
        return match node.value {
            Value::Text(_) => Some(vec![text(node, report)?]),
            _ => wrong_type(node, "a list of texts", report),
        };
    };
    if members.is_empty() {
        report.push(Problem::error(
            Code::EmptyValue,
            &node.place,
            "the list is empty",
        ));
        return None;
    }
    let mut texts: Vec<Text<'d>> = Vec::new();
    for member in members {
        let Some(text) = text(member, report) else {
            continue;
        };
        match texts.iter().find(|known| known.text == text.text) {
            Some(first) => report.push(
                Problem::error(
                    Code::Duplicate,
                    text.place,
                    format!("`{}` stands twice", text.text),
                )
                .related(first.place, "first here"),
            ),
            None => texts.push(text),
        }
    }
    Some(texts)
}

pub(super) fn list<'d>(node: &'d Node, report: &Report) -> &'d [Node] {
    match &node.value {
        Value::List(members) => members,
        _ => {
            let _: Option<()> = wrong_type(node, "a list", report);
            &[]
        }
    }
}

pub(super) fn named<'d>(node: &'d Node, report: &Report) -> &'d [Entry] {
    match &node.value {
        Value::Table(entries) => entries,
        _ => {
            let _: Option<()> = wrong_type(node, "a table", report);
            &[]
        }
    }
}

pub(super) fn wrong_type<T>(node: &Node, wanted: &str, report: &Report) -> Option<T> {
    report.push(
        Problem::error(
            Code::WrongType,
            &node.place,
            format!("expected {wanted}, found {}", node.value.kind()),
        )
        .label(format!("expected {wanted}")),
    );
    None
}

pub(super) fn not_in_this_version(place: &Place, what: &str) -> Problem {
    Problem::error(
        Code::NotInThisVersion,
        place,
        format!("`{what}`: not in this version of stepgate"),
    )
    .help("a later version brings it; until then it has to go")
}

/// What a user names: levels, routes, floors, upstreams, networks. It shows in logs, headers and addresses.
pub(super) fn check_name(name: &str, place: &Place, reserved: &[&str], report: &Report) {
    let fine = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if name.is_empty() || !fine || name.len() > 64 {
        report.push(
            Problem::error(Code::BadName, place, format!("`{name}` is not a name"))
                .help("up to 64 letters, digits, `-`, `_` and `.`"),
        );
    } else if reserved.contains(&name) {
        report.push(
            Problem::error(
                Code::BadName,
                place,
                format!("`{name}` has a meaning of its own"),
            )
            .help("take another name"),
        );
    }
}

fn check_key(entry: &Entry, keys: &Keys, report: &Report) {
    let key = entry.key.as_str();
    if keys.known.contains(&key) {
        return;
    }
    if keys.later.contains(&key) {
        report.push(not_in_this_version(&entry.place, key));
        return;
    }
    report.push(
        Problem::error(
            Code::UnknownKey,
            &entry.place,
            format!("unknown key `{key}`{}", keys.within()),
        )
        .did_you_mean(key, keys.known.iter().copied()),
    );
}
