//! What people are asked: a line of text with fields of the request in it, read as the app will read them.
//!
//! A field that two readers could read in two ways is refused before anybody is asked, for who says yes would say it to
//! another thing than the one that happens.

mod form;
mod json;
pub mod method;

use std::fmt;

use serde_json::Value;

use crate::model::braces;
use crate::model::evidence::Identity;
use crate::model::route::{Pattern, Segment};
use crate::model::target::Target;

/// Characters of one field that are shown.
const SHOWN: usize = 120;

/// `Release payment {path.id}: {form.amount} {form.currency}`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// A parameter of the route's path.
    Path(String),
    Query(String),
    /// Of an `application/x-www-form-urlencoded` body.
    Form(String),
    /// Keys from the outside in.
    Json(Vec<String>),
    /// Of the requester's token.
    Claim(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSummary {
    #[error("it is empty")]
    Empty,
    #[error("it holds a control character")]
    Control,
    #[error(transparent)]
    Brace(#[from] braces::Unmatched),
    #[error("a summary has no field `{0}`")]
    Field(String),
}

/// Why a field is not what the app would surely read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("is absent")]
    Absent,
    #[error("stands there more than once, or in two places that an app may take for one")]
    Repeated,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is in something that is not well-formed")]
    Malformed,
    #[error("is no text, number or truth value")]
    NotPlain,
    #[error("is in JSON that says the same key twice")]
    DuplicateKey,
    #[error("is in an encoded body")]
    Encoded,
    #[error("is in a body of another type")]
    ContentType,
    #[error("is in a path that can be read in more than one way")]
    Ambiguous,
    #[error("may tell the app of another method than the request has")]
    Method,
}

impl Why {
    /// Stable, for logs and problem bodies.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Repeated => "repeated",
            Self::NotUtf8 => "not-utf-8",
            Self::Malformed => "malformed",
            Self::NotPlain => "not-plain",
            Self::DuplicateKey => "duplicate-key",
            Self::Encoded => "encoded",
            Self::ContentType => "content-type",
            Self::Ambiguous => "ambiguous",
            // As the relaxation that lets it through.
            Self::Method => "method-override",
        }
    }
}

/// The client is answered 400, and nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct Unreadable {
    pub field: Field,
    pub why: Why,
}

/// The request, as it would be sent on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    pub pattern: &'r Pattern,
    pub target: &'r Target,
    /// Every value of the field of that name, in order.
    pub content_type: &'r [&'r [u8]],
    pub content_encoding: &'r [&'r [u8]],
    pub body: &'r [u8],
    pub requester: &'r Identity,
}

impl Summary {
    pub fn parse(text: &str) -> Result<Self, BadSummary> {
        if text.trim().is_empty() {
            return Err(BadSummary::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(BadSummary::Control);
        }
        let pieces = braces::pieces(text)?.into_iter().map(|piece| match piece {
            braces::Piece::Text(text) => Ok(Piece::Text(text)),
            braces::Piece::Field(name) => Ok(Piece::Field(Field::parse(name)?)),
        });
        Ok(Self {
            pieces: pieces.collect::<Result<_, BadSummary>>()?,
        })
    }

    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(field) => Some(field),
            Piece::Text(_) => None,
        })
    }

    /// The line that people see. It has no control characters, and none that turn the direction of text or are not seen;
    /// it is not escaped for any page.
    pub fn of(&self, asked: &Asked<'_>) -> Result<String, Unreadable> {
        let mut line = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field(field) => line.push_str(&shown(&field.value(asked)?)),
            }
        }
        Ok(line)
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, BadSummary> {
        let unknown = || BadSummary::Field(name.to_owned());
        let (kind, name) = name.split_once('.').ok_or_else(unknown)?;
        if name.is_empty() {
            return Err(unknown());
        }
        match kind {
            "path" => Ok(Self::Path(name.to_owned())),
            "query" => Ok(Self::Query(name.to_owned())),
            "form" => Ok(Self::Form(name.to_owned())),
            "claim" => Ok(Self::Claim(name.to_owned())),
            "json" if name.split('.').all(|key| !key.is_empty()) => {
                Ok(Self::Json(name.split('.').map(str::to_owned).collect()))
            }
            _ => Err(unknown()),
        }
    }

    /// As config spells it, without the braces.
    pub fn named(name: &str) -> Result<Self, BadSummary> {
        Self::parse(name)
    }

    /// What the app will surely read there.
    pub fn value(&self, asked: &Asked<'_>) -> Result<String, Unreadable> {
        self.read(asked).map_err(|why| Unreadable {
            field: self.clone(),
            why,
        })
    }

    /// Whether the body is read for it: such a field binds nothing to a path or a name alone.
    pub const fn is_of_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_))
    }

    fn read(&self, asked: &Asked<'_>) -> Result<String, Why> {
        match self {
            Self::Path(name) => in_path(asked, name),
            Self::Query(name) => {
                if !asked.body.is_empty() {
                    lacks(asked, name)?;
                }
                form::field(query(asked), name)
            }
            Self::Form(name) => {
                let body = form_of(asked)?;
                if form::has(query(asked), name) {
                    return Err(Why::Repeated);
                }
                form::field(body, name)
            }
            Self::Json(keys) => {
                is_plain(asked)?;
                if !json::is_json(asked.content_type) {
                    return Err(Why::ContentType);
                }
                // `a` is as much as `a[b]`, and some write `a.b`.
                let names = [keys.first().cloned().unwrap_or_default(), keys.join(".")];
                if names.iter().any(|name| form::has(query(asked), name)) {
                    return Err(Why::Repeated);
                }
                json::field(asked.body, keys)
            }
            Self::Claim(name) => {
                let value = asked.requester.claims.get(name).ok_or(Why::Absent)?;
                plain(value)
            }
        }
    }
}

/// As config spells it.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                Piece::Field(field) => write!(f, "{{{field}}}")?,
            }
        }
        Ok(())
    }
}

/// As config spells it, without the braces.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(name) => write!(f, "path.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Form(name) => write!(f, "form.{name}"),
            Self::Json(keys) => write!(f, "json.{}", keys.join(".")),
            Self::Claim(name) => write!(f, "claim.{name}"),
        }
    }
}

fn query<'r>(asked: &Asked<'r>) -> &'r [u8] {
    asked.target.query().unwrap_or_default().as_bytes()
}

/// Whether the body surely has no such field. Many apps have one name space for it and the query, and read one in a body of
/// any type, or of none.
fn lacks(asked: &Asked<'_>, name: &str) -> Result<(), Why> {
    is_plain(asked)?;
    if json::is_json(asked.content_type) {
        return json::lacks(asked.body, name);
    }
    match form::has(form_of(asked)?, name) {
        true => Err(Why::Repeated),
        false => Ok(()),
    }
}

/// The body, where it is a form and nothing else.
fn form_of<'r>(asked: &Asked<'r>) -> Result<&'r [u8], Why> {
    is_plain(asked)?;
    if !form::is_form(asked.content_type) {
        return Err(Why::ContentType);
    }
    // Nobody's form begins so, and an app that does not look at the type may read JSON.
    match asked.body.trim_ascii_start().first() {
        Some(b'{') => Err(Why::Malformed),
        _ => Ok(asked.body),
    }
}

/// What is compressed here is read by the app as something else.
fn is_plain(asked: &Asked<'_>) -> Result<(), Why> {
    match asked.content_encoding {
        [] => Ok(()),
        _ => Err(Why::Encoded),
    }
}

/// The type and its parameters in lower case, where there is one type, told once.
fn media_type(content_type: &[&[u8]]) -> Option<String> {
    let [value] = content_type else { return None };
    let text = std::str::from_utf8(value).ok()?;
    // Two in one line.
    (!text.contains(',')).then(|| text.to_ascii_lowercase())
}

/// Whether it has no parameter, or says only that it is UTF-8.
fn is_utf8<'p>(mut parameters: impl Iterator<Item = &'p str>) -> bool {
    let is_charset = |text: &str| matches!(text, "charset=utf-8" | "charset=\"utf-8\"");
    parameters.next().is_none_or(|one| is_charset(one.trim())) && parameters.next().is_none()
}

fn in_path(asked: &Asked<'_>, name: &str) -> Result<String, Why> {
    let (pattern, target) = (asked.pattern, asked.target);
    if target.readings().count() != 1 || !target.readings().all(|one| pattern.matches(one.path)) {
        return Err(Why::Ambiguous);
    }
    let is_named = |segment: &Segment| matches!(segment, Segment::Param(other) if other == name);
    let place = pattern.segments().iter().position(is_named);
    let mut given = target.path().split('/').skip(1);
    let segment = place.and_then(|place| given.nth(place));
    form::decoded(segment.ok_or(Why::Absent)?.as_bytes(), false)
}

/// A text as it is; a number as it is, unless an app that counts in another way would read another one.
fn plain(value: &Value) -> Result<String, Why> {
    /// Beyond it not every whole number is one of 64-bit floating point.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) => match number.as_f64() {
            Some(size) if size.abs() < EXACT => Ok(number.to_string()),
            _ => Err(Why::NotPlain),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Why::NotPlain),
    }
}

/// On one line and as it stands there: what would not be seen, or would move what is, is shown as an escape.
fn shown(value: &str) -> String {
    let mut line = String::new();
    for character in value.chars().take(SHOWN) {
        if is_seen(character) {
            line.push(character);
        } else {
            line.extend(character.escape_unicode());
        }
    }
    let all = value.chars().count();
    if all > SHOWN {
        line.push_str(&format!("… ({all} characters)"));
    }
    line
}

/// The same of what somebody wrote, whole; what begins a line or a column elsewhere is a space.
pub fn plain_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if matches!(character, '\t' | '\n' | '\r') {
            line.push(' ');
        } else if is_seen(character) {
            line.push(character);
        } else {
            line.extend(character.escape_unicode());
        }
    }
    line
}

fn is_seen(character: char) -> bool {
    !character.is_control()
        && !matches!(u32::from(character),
            0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F
            | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0xE0000..=0xE0FFF)
        && (character == ' ' || !character.is_whitespace())
}

#[cfg(test)]
mod tests;
