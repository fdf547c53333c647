//! Bytes of a request target to canonical text, or the reason why there is none.

use super::{Ambiguity, Relaxations};

/// The canonical path and the relaxations that it needed.
pub(super) fn path(raw: &[u8], accept: Relaxations) -> Result<(String, Relaxations), Ambiguity> {
    let mut canonical = Canonical {
        text: String::with_capacity(raw.len()),
        accept,
        used: Relaxations::NONE,
        dotted: false,
    };
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
                return Err(Ambiguity::BadEscape);
            };
            canonical.escape(high << 4 | low)?;
        } else {
            canonical
                .byte(byte)
                .map_err(|ambiguity| not_utf8_first(raw, ambiguity))?;
        }
    }
    if canonical.dotted && has_dot_segment(&canonical.text) {
        return Err(Ambiguity::DotSegment);
    }
    Ok((canonical.text, canonical.used))
}

/// The query, untouched. Browsers send more in it than RFC 3986 allows (`[`, `]`, `|`, a bare `%`), and no route depends
/// on it: refused is only what a parser on the way may have cut, repaired or split on.
pub(super) fn query(raw: &[u8]) -> Result<&str, Ambiguity> {
    let text = std::str::from_utf8(raw).map_err(|_| Ambiguity::NotUtf8)?;
    for byte in text.bytes() {
        match byte {
            b'#' => return Err(Ambiguity::Fragment),
            b'"' | b'<' | b'>' | b' ' | 0x80.. => return Err(Ambiguity::Unencoded),
            0..=0x1f | 0x7f => return Err(Ambiguity::Control),
            _ => {}
        }
    }
    Ok(text)
}

/// A segment of a path pattern, split at its stars, as the first reading of a request has it; and the relaxations that
/// such a request needs. Patterns may be written with the characters themselves (`/Büro`) or escaped.
pub(in crate::model) fn pattern_segment(
    text: &str,
) -> Result<(Vec<String>, Relaxations), Ambiguity> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' | b'"' | b'<' | b'>' | 0x80.. => {
                escaped.extend_from_slice(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
            _ => escaped.push(byte),
        }
    }
    let (canonical, used) = path(&escaped, Relaxations::ALL)?;
    let pieces = canonical
        .split('*')
        .map(|piece| Ok(decoded(piece)?.unwrap_or_else(|| piece.to_owned())))
        .collect::<Result<_, _>>()?;
    Ok((pieces, used))
}

/// The path with its escapes decoded, but for `%2F` and `%25`, which would change how it splits or decodes further.
/// `None`: there is nothing to decode.
pub(super) fn decoded(path: &str) -> Result<Option<String>, Ambiguity> {
    if !path.contains('%') {
        return Ok(None);
    }
    decode(path, |value| value != b'/' && value != b'%').map(Some)
}

/// Decodes the escapes whose value is `wanted`; what is no escape stays. Text that is then not UTF-8, or holds control
/// characters, has no honest reading.
pub(super) fn decode(path: &str, wanted: impl Fn(u8) -> bool) -> Result<String, Ambiguity> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(Some(*high)), hex(Some(*low)))
            && wanted(high << 4 | low)
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| Ambiguity::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(Ambiguity::Control);
    }
    Ok(text)
}

pub(super) fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

struct Canonical {
    text: String,
    accept: Relaxations,
    used: Relaxations,
    /// A segment that starts with a dot was seen.
    dotted: bool,
}

impl Canonical {
    fn byte(&mut self, byte: u8) -> Result<(), Ambiguity> {
        match byte {
            b'/' if self.text.ends_with('/') => {
                self.relax(Relaxations::DOUBLE_SLASH, Ambiguity::DoubleSlash)?;
                self.push(byte);
            }
            b'.' => self.dot(),
            b';' => {
                self.relax(Relaxations::SEMICOLON, Ambiguity::Semicolon)?;
                self.push(byte);
            }
            b'\\' => {
                self.relax(Relaxations::BACKSLASH, Ambiguity::Backslash)?;
                self.push_escaped(byte);
            }
            b'[' | b']' | b'{' | b'}' | b'|' | b'^' | b'`' => {
                self.relax(Relaxations::UNESCAPED, Ambiguity::Unescaped)?;
                self.push_escaped(byte);
            }
            b'#' => return Err(Ambiguity::Fragment),
            0..=0x1f | 0x7f => return Err(Ambiguity::Control),
            // pchar and `/` of RFC 3986, section 3.3
            b'/' | b'!' | b'$' | b'&'..=b'-' | b'0'..=b':' | b'=' | b'@'..=b'Z' => self.push(byte),
            b'_' | b'a'..=b'z' | b'~' => self.push(byte),
            _ => return Err(Ambiguity::Unencoded),
        }
        Ok(())
    }

    fn escape(&mut self, value: u8) -> Result<(), Ambiguity> {
        match value {
            b'/' => self.relax(Relaxations::ENCODED_SLASH, Ambiguity::EncodedSlash)?,
            b'%' => self.relax(Relaxations::ENCODED_PERCENT, Ambiguity::EncodedPercent)?,
            b';' => self.relax(Relaxations::ENCODED_SEMICOLON, Ambiguity::EncodedSemicolon)?,
            b'\\' => self.relax(Relaxations::BACKSLASH, Ambiguity::Backslash)?,
            b'.' => {
                self.relax(Relaxations::ENCODED_DOT, Ambiguity::EncodedDot)?;
                self.dot();
                return Ok(());
            }
            0..=0x1f | 0x7f => return Err(Ambiguity::Control),
            // unreserved: RFC 3986, section 6.2.2.2
            b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.push(value);
                return Ok(());
            }
            _ => {}
        }
        self.push_escaped(value);
        Ok(())
    }

    fn relax(&mut self, relaxation: Relaxations, ambiguity: Ambiguity) -> Result<(), Ambiguity> {
        if !self.accept.contains(relaxation) {
            return Err(ambiguity);
        }
        self.used = self.used | relaxation;
        Ok(())
    }

    fn dot(&mut self) {
        self.dotted |= self.text.ends_with('/') || self.text.is_empty();
        self.push(b'.');
    }

    fn push(&mut self, byte: u8) {
        self.text.push(char::from(byte));
    }

    fn push_escaped(&mut self, byte: u8) {
        self.push(b'%');
        self.push(hex_digit(byte >> 4));
        self.push(hex_digit(byte & 15));
    }
}

/// A raw byte beyond ASCII is named for what it is: a character that lacks its escape, or no text at all.
fn not_utf8_first(raw: &[u8], ambiguity: Ambiguity) -> Ambiguity {
    match std::str::from_utf8(raw) {
        Ok(_) => ambiguity,
        Err(_) => Ambiguity::NotUtf8,
    }
}

fn hex(digit: Option<u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// `value` is below 16.
fn hex_digit(value: u8) -> u8 {
    match value {
        0..10 => b'0' + value,
        _ => b'A' + (value - 10),
    }
}
