//! Fields of a query or of a form's body, where no two readers read two things.

use super::{Why, is_utf8, media_type};

pub(super) fn is_form(content_type: &[&[u8]]) -> bool {
    let Some(value) = media_type(content_type) else {
        return false;
    };
    let mut parts = value.split(';');
    parts.next().map(str::trim_end) == Some("application/x-www-form-urlencoded") && is_utf8(parts)
}

/// Whether an app may look for fields in the body: it may take a type that is told twice, or in another character set, for
/// a form, and parts of others as well.
pub(super) fn may_have_fields(content_type: &[&[u8]]) -> bool {
    content_type.iter().any(|value| {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        value.contains("x-www-form-urlencoded") || value.contains("multipart/")
    })
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
        } else if folded(&key) == folded(name) {
            return Err(Why::Repeated);
        }
    }
    decoded(found.ok_or(Why::Absent)?, true)
}

/// Whether anything there may be taken for it.
pub(super) fn has(pairs: &[u8], name: &str) -> bool {
    pairs.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        match decoded(halves(pair).0, true) {
            Ok(key) => folded(&key) == folded(name),
            // Whatever that is.
            Err(_) => true,
        }
    })
}

fn parts(pairs: &[u8]) -> impl Iterator<Item = &[u8]> {
    pairs
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
}

fn halves(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    (halves.next().unwrap_or_default(), halves.next())
}

/// The name in the eyes of an app that is not particular: PHP makes `_` of a dot or a space and a list of `x[]`, others
/// do not tell cases apart.
fn folded(name: &str) -> String {
    let end = name.find(['[', '\0']).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    let each = name.trim().chars().map(|character| match character {
        '.' | ' ' | '-' => '_',
        other => other,
    });
    each.collect::<String>().to_uppercase().to_lowercase()
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
