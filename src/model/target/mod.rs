//! The only way from the raw request target to a path: what two parsers could read in two ways is refused.
//!
//! The canonical path is what is decided on, logged and forwarded: unreserved characters are never escaped, escapes are
//! in upper case, every other escape stays as it was sent. The query is carried untouched.
//! Routes are looked up by the path's readings: first the canonical path with its escapes decoded (`%2F` and `%25`
//! stay), then every other text that an upstream could make of it; the demands of all readings hold together.

mod canonical;
mod readings;
mod relaxation;

pub use relaxation::{METHOD_OVERRIDES, RELAXATIONS, Relaxation, Relaxations};

use readings::Readings;

pub(in crate::model) use canonical::pattern_segment;
pub use readings::Reading;

/// Path and query together, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// A canonical origin-form target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path, and query behind a `?`.
    text: String,
    path_length: usize,
    readings: Readings,
    used: Relaxations,
}

/// Why a target is refused. The client is answered 400 ([`Ambiguity::TooLong`]: 414).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    #[error("the target does not start with `/`")]
    NotOriginForm,
    #[error("the target is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the target is not UTF-8")]
    NotUtf8,
    #[error("the target holds a control character")]
    Control,
    #[error("the target holds a byte that has to be percent-encoded")]
    Unencoded,
    #[error("the target holds a fragment")]
    Fragment,
    #[error("`%` without two hexadecimal digits in the path")]
    BadEscape,
    #[error("dot segment in the path")]
    DotSegment,
    #[error("`%2F` in the path")]
    EncodedSlash,
    #[error("`%2E` in the path")]
    EncodedDot,
    #[error("`%25` in the path")]
    EncodedPercent,
    #[error("`%3B` in the path")]
    EncodedSemicolon,
    #[error("`;` in the path")]
    Semicolon,
    #[error("backslash in the path")]
    Backslash,
    #[error("`//` in the path")]
    DoubleSlash,
    #[error("one of `[ ] {{ }} | ^` or a backtick in the path")]
    Unescaped,
    #[error("the path can be read in too many ways")]
    TooManyReadings,
}

impl Target {
    /// `raw`: path and query as they stand in the request line.
    pub fn parse(raw: &[u8], accept: Relaxations) -> Result<Self, Ambiguity> {
        if raw.len() > LONGEST {
            return Err(Ambiguity::TooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(Ambiguity::NotOriginForm);
        }
        let mut parts = raw.splitn(2, |byte| *byte == b'?');
        let (mut text, used) = canonical::path(parts.next().unwrap_or_default(), accept)?;
        let readings = Readings::of(&text)?;
        let path_length = text.len();
        if let Some(query) = parts.next() {
            text.push('?');
            text.push_str(canonical::query(query)?);
        }
        Ok(Self {
            text,
            path_length,
            readings,
            used,
        })
    }

    /// Canonical.
    pub fn path(&self) -> &str {
        self.text.get(..self.path_length).unwrap_or_default()
    }

    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_length..)?.strip_prefix('?')
    }

    /// What is forwarded.
    pub fn path_and_query(&self) -> &str {
        &self.text
    }

    /// The relaxations without which it would have been refused.
    pub fn used(&self) -> Relaxations {
        self.used
    }

    /// The texts by which routes are looked up; the first is the path itself, its escapes decoded.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        self.readings.iter(self.path())
    }
}

impl Ambiguity {
    /// Stable, for logs and problem bodies.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotOriginForm => "not-origin-form",
            Self::TooLong => "too-long",
            Self::NotUtf8 => "not-utf-8",
            Self::Control => "control",
            Self::Unencoded => "unencoded",
            Self::Fragment => "fragment",
            Self::BadEscape => "bad-escape",
            Self::DotSegment => "dot-segment",
            Self::EncodedSlash => "encoded-slash",
            Self::EncodedDot => "encoded-dot",
            Self::EncodedPercent => "encoded-percent",
            Self::EncodedSemicolon => "encoded-semicolon",
            Self::Semicolon => "semicolon",
            Self::Backslash => "backslash",
            Self::DoubleSlash => "double-slash",
            Self::Unescaped => "unescaped",
            Self::TooManyReadings => "too-many-readings",
        }
    }

    /// What an upstream's `accept` would have to name, when there is such a relaxation: it is spelled like the code.
    pub fn relaxation(self) -> Option<Relaxations> {
        Relaxations::from_name(self.code())
    }
}

#[cfg(test)]
mod tests;
