//! TOML as a tree in which every value knows its place, with the environment's `STEPGATE__…` laid over it.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::code::Code;
use super::problem::{Place, Problem, Report, Source};

const PREFIX: &str = "STEPGATE__";

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Floats, dates, integers beyond 64 bits: nothing is of such a type.
    Other(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Value {
    /// With its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

impl Node {
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }
}

/// `None` with syntax errors: what could be read of the rest would give problems that are none.
pub(super) fn parse(name: &str, text: &str, report: &Report) -> Option<Node> {
    let source = Arc::new(Source {
        name: name.to_owned(),
        text: text.to_owned(),
    });
    let (table, errors) = DeTable::parse_recoverable(text);
    let broken = !errors.is_empty();
    // What follows the first is mostly its echo.
    if let Some(error) = errors.first() {
        let place = Place {
            source: Arc::clone(&source),
            span: error.span().unwrap_or(0..0),
        };
        report.push(Problem::error(Code::Syntax, &place, error.message()));
    }
    (!broken).then(|| Node {
        place: Place {
            source: Arc::clone(&source),
            span: 0..0,
        },
        value: Value::Table(entries(&source, table.get_ref())),
    })
}

/// `STEPGATE__KEYCLOAK__CLIENT_ID=x` is `client_id = "x"` in `[keycloak]`. A value is TOML if it can be, else text.
pub(super) fn overlay(root: &mut Node, environment: &[(String, String)], report: &Report) {
    let mut variables: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)))
        .collect();
    variables.sort();
    for (name, path, value) in variables {
        let node = variable(name, value);
        let keys: Vec<_> = path.split("__").map(str::to_ascii_lowercase).collect();
        let place = node.place.clone();
        if keys.iter().any(String::is_empty) || put(root, &keys, node).is_none() {
            report.push(
                Problem::error(
                    Code::BadVariable,
                    &place,
                    format!("`{name}` names no option"),
                )
                .help(
                    "the table and the key in upper case, two underscores before each: \
                       STEPGATE__KEYCLOAK__CLIENT_ID",
                ),
            );
        }
    }
}

/// The value stands for what is underlined when something is wrong with it.
fn variable(name: &str, value: &str) -> Node {
    let place = Place {
        source: Arc::new(Source {
            name: format!("environment {name}"),
            text: value.to_owned(),
        }),
        span: 0..value.len(),
    };
    let text = || Value::Text(value.to_owned());
    let parsed = match DeValue::parse(value) {
        Ok(parsed) => convert(&place.source, parsed.span(), parsed.get_ref()).value,
        Err(_) => text(),
    };
    Node {
        value: match parsed {
            Value::Other(_) => text(),
            parsed => parsed,
        },
        place,
    }
}

fn put(table: &mut Node, keys: &[String], node: Node) -> Option<()> {
    let (key, further) = keys.split_first()?;
    let Value::Table(entries) = &mut table.value else {
        return None;
    };
    let index = match entries.iter().position(|entry| entry.key == *key) {
        Some(index) => index,
        None => {
            entries.push(Entry {
                key: key.clone(),
                place: node.place.clone(),
                node: Node {
                    place: node.place.clone(),
                    value: Value::Table(Vec::new()),
                },
            });
            entries.len() - 1
        }
    };
    let entry = entries.get_mut(index)?;
    if further.is_empty() {
        entry.place = node.place.clone();
        entry.node = node;
        return Some(());
    }
    put(&mut entry.node, further, node)
}

fn entries(source: &Arc<Source>, table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place {
                source: Arc::clone(source),
                span: key.span(),
            },
            node: convert(source, value.span(), value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.place.span.start);
    entries
}

fn convert(source: &Arc<Source>, span: std::ops::Range<usize>, value: &DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            match i64::from_str_radix(&digits, number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("a number beyond 64 bits"),
            }
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(members) => Value::List(
            members
                .iter()
                .map(|member| convert(source, member.span(), member.get_ref()))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(source, table)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node {
        place: Place {
            source: Arc::clone(source),
            span,
        },
        value,
    }
}
