//! The only way from the raw request target to a path: ambiguous input is refused.

/// Ambiguities that an upstream asks to accept (`accept = ["encoded-slash", …]`); none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relaxations(pub u16);

/// A canonical origin-form target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: Option<String>,
}
