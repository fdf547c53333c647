//! What an upstream may ask to have let through (`accept = ["encoded-slash", …]`), by name. One table for config, docs
//! and messages. What no app can need is not in it: NUL, control bytes, text that is not UTF-8, dot segments.

use std::fmt;
use std::ops::BitOr;

/// By which a framework may be told another method.
pub const METHOD_OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// A set of named relaxations; none by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Relaxations(u16);

/// One row of [`RELAXATIONS`].
#[derive(Clone, Copy, Debug)]
pub struct Relaxation {
    pub set: Relaxations,
    /// As config spells it.
    pub name: &'static str,
    /// What it lets through.
    pub about: &'static str,
}

impl Relaxations {
    pub const NONE: Self = Self(0);
    pub const ENCODED_SLASH: Self = Self(1);
    pub const ENCODED_DOT: Self = Self(1 << 1);
    pub const ENCODED_PERCENT: Self = Self(1 << 2);
    pub const ENCODED_SEMICOLON: Self = Self(1 << 3);
    pub const SEMICOLON: Self = Self(1 << 4);
    pub const BACKSLASH: Self = Self(1 << 5);
    pub const DOUBLE_SLASH: Self = Self(1 << 6);
    pub const UNESCAPED: Self = Self(1 << 7);
    pub const METHOD_OVERRIDE: Self = Self(1 << 8);
    pub(in crate::model) const ALL: Self = Self((1 << 9) - 1);

    pub fn from_name(name: &str) -> Option<Self> {
        RELAXATIONS
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.set)
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        RELAXATIONS
            .iter()
            .filter(move |row| self.contains(row.set))
            .map(|row| row.name)
    }
}

impl BitOr for Relaxations {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Relaxations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

const fn row(set: Relaxations, name: &'static str, about: &'static str) -> Relaxation {
    Relaxation { set, name, about }
}

pub const RELAXATIONS: [Relaxation; 9] = [
    row(
        Relaxations::ENCODED_SLASH,
        "encoded-slash",
        "`%2F` in the path; also looked up as `/`",
    ),
    row(
        Relaxations::ENCODED_DOT,
        "encoded-dot",
        "`%2E` in the path; forwarded as `.`, dot segments stay refused",
    ),
    row(
        Relaxations::ENCODED_PERCENT,
        "encoded-percent",
        "`%25` in the path; also looked up decoded again, until nothing is left to decode",
    ),
    row(
        Relaxations::ENCODED_SEMICOLON,
        "encoded-semicolon",
        "`%3B` in the path; also looked up without what follows it in its segment",
    ),
    row(
        Relaxations::SEMICOLON,
        "semicolon",
        "`;` in the path; also looked up without what follows it in its segment",
    ),
    row(
        Relaxations::BACKSLASH,
        "backslash",
        "`\\` and `%5C` in the path; forwarded as `%5C`, also looked up as `/`",
    ),
    row(
        Relaxations::DOUBLE_SLASH,
        "double-slash",
        "`//` in the path; also looked up as one `/`",
    ),
    row(
        Relaxations::UNESCAPED,
        "unescaped",
        "`[ ] { } | ^` and the backtick as they are in the path; forwarded percent-encoded",
    ),
    row(
        Relaxations::METHOD_OVERRIDE,
        "method-override",
        "`X-HTTP-Method-Override` and its kin reach the app; the route is still chosen by the real method",
    ),
];
