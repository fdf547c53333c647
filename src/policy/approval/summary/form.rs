//! Fields of a query or of a form's body, where no two readers read two things.

use super::{Why, is_utf8, media_type};

pub(super) fn is_form(content_type: &[&[u8]]) -> bool {
    let Some(value) = media_type(content_type) else {
        return false;
    };
    let mut parts = value.split(';');
    parts.next().map(str::trim_end) == Some("application/x-www-form-urlencoded") && is_utf8(parts)
}

/// The one value of that name.
pub(super) fn field(pairs: &[u8], name: &str) -> Result<String, Why> {
    // To some `;` parts two fields, to some it does not.
    if pairs.contains(&b';') {
        return Err(Why::Malformed);
    }
    let mut found = None;
    for pair in parts(pairs) {
        let (key, value) = halves(pair);
        let key = decoded(key, true)?;
        if key == name && found.is_none() {
            found = Some(value.ok_or(Why::Absent)?);
        } else if may_be(&key, name) {
            return Err(Why::Repeated);
        }
    }
    decoded(found.ok_or(Why::Absent)?, true)
}

/// Whether anything there may be taken for it.
pub(super) fn has(pairs: &[u8], name: &str) -> bool {
    fields(pairs).any(|pair| {
        match decoded(halves(pair).0, true) {
            Ok(key) => may_be(&key, name),
            // Whatever that is.
            Err(_) => true,
        }
    })
}

/// What an app that takes most things for fields may take for that one, as it stands there.
pub(super) fn taken_for<'p>(pairs: &'p [u8], name: &str) -> impl Iterator<Item = &'p [u8]> {
    fields(pairs).filter(move |pair| {
        let mut read = form_urlencoded::parse(halves(pair).0);
        read.next().is_some_and(|(key, _)| may_be(&key, name))
    })
}

fn parts(pairs: &[u8]) -> impl Iterator<Item = &[u8]> {
    pairs
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
}

/// In the eyes of whoever parts them at `;` as well.
fn fields(pairs: &[u8]) -> impl Iterator<Item = &[u8]> {
    pairs.split(|byte| matches!(byte, b'&' | b';'))
}

fn halves(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    (halves.next().unwrap_or_default(), halves.next())
}

/// Whether an app that is not particular may take one name for the other.
pub(super) fn may_be(key: &str, name: &str) -> bool {
    let names = readings(name);
    readings(key).iter().any(|reading| names.contains(reading))
}

/// PHP (`php_register_variable_ex`) reads a name up to a NUL, without the blanks before it. What stands from a `[` on is an
/// index where a `]` follows, and else part of the name. Rack up to 2.2 reads what stands between the first brackets, and so
/// do those who want a list of `x[]`.
fn readings(name: &str) -> [String; 2] {
    let name = until(name, name.find('\0'));
    let index = name.split_once('[').filter(|(_, rest)| rest.contains(']'));
    let of_php = index.map_or(name, |(name, _)| name);
    let is_bracket = |character| matches!(character, '[' | ']');
    let of_rack = name.trim_start_matches(|one: char| is_bracket(one) || one.is_whitespace());
    let of_rack = until(of_rack, of_rack.find(is_bracket));
    [folded(of_php), folded(of_rack)]
}

fn until(text: &str, end: Option<usize>) -> &str {
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// PHP makes `_` of a point, a blank and an open bracket, CGI of `-`; others do not tell cases apart, or drop blanks at the
/// end, where those of PHP are `_`.
fn folded(name: &str) -> String {
    let each = name.trim().chars().map(|character| match character {
        '.' | ' ' | '-' | '[' => '_',
        other => other,
    });
    let name: String = each.collect();
    let name = name.trim_end_matches('_');
    name.to_uppercase().to_lowercase()
}

/// Escapes undone; one that is none is refused.
pub(super) fn decoded(text: &[u8], plus_is_space: bool) -> Result<String, Why> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || {
                    let digit = rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                    digit.and_then(|digit| u8::try_from(digit).ok())
                };
                let (high, low) = (digit(), digit());
                high.zip(low)
                    .map(|(high, low)| high << 4 | low)
                    .ok_or(Why::Malformed)?
            }
            b'+' if plus_is_space => b' ',
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Why::NotUtf8)
}
