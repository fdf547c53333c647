//! Path patterns: `/payments/{id}/report-*.pdf`, `/static/**`. They are matched against readings of a target, never
//! against raw text.

use std::fmt;

use crate::model::target::{Ambiguity, Relaxations, pattern_segment};

/// One segment of a path pattern. None matches an empty segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Literal(String),
    /// `{name}`: one whole segment.
    Param(String),
    /// `report-*.pdf`: the texts around the stars, each of which matches at least one character.
    Glob(Vec<String>),
}

/// `/payments/{id}/**`, parsed. Matches one trailing `/` whether it is written with one or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
    rest: bool,
    needs: Relaxations,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a path starts with `/`")]
    NoLeadingSlash,
    #[error("empty segment")]
    EmptySegment,
    #[error("`**` stands only at the end, as a segment of its own")]
    MisplacedRest,
    #[error(
        "`{{name}}` stands for a whole segment, and its name is made of letters, digits, `_` and `-`"
    )]
    BadParameter,
    #[error("the parameter `{0}` stands twice")]
    RepeatedParameter(String),
    #[error("no request has such a path: {0}")]
    Unreachable(Ambiguity),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let body = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash)?;
        let mut pattern = Self {
            text: text.to_owned(),
            segments: Vec::new(),
            rest: false,
            needs: Relaxations::NONE,
        };
        for segment in split(body) {
            if pattern.rest {
                return Err(PatternError::MisplacedRest);
            }
            match segment {
                "**" => pattern.rest = true,
                _ => pattern.push(segment)?,
            }
        }
        if pattern.rest && text.ends_with('/') {
            return Err(PatternError::MisplacedRest);
        }
        Ok(pattern)
    }

    /// `path`: a reading of a target.
    pub fn matches(&self, path: &str) -> bool {
        let Some(body) = path.strip_prefix('/') else {
            return false;
        };
        let mut given = split(body);
        for segment in &self.segments {
            if !given.next().is_some_and(|text| segment.matches(text)) {
                return false;
            }
        }
        self.rest || given.next().is_none()
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Ends with `**`: the rest, also nothing.
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// The names in braces, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The relaxations without which every request that it matches as it stands is refused.
    pub fn needs(&self) -> Relaxations {
        self.needs
    }

    /// `/**`
    pub fn everything() -> Self {
        Self {
            text: "/**".to_owned(),
            segments: Vec::new(),
            rest: true,
            needs: Relaxations::NONE,
        }
    }

    /// The same in ASCII lower case, for requests in lower case.
    #[must_use]
    pub(super) fn lowered(&self) -> Self {
        let mut lowered = self.clone();
        for segment in &mut lowered.segments {
            match segment {
                Segment::Literal(text) => text.make_ascii_lowercase(),
                Segment::Glob(pieces) => {
                    pieces
                        .iter_mut()
                        .for_each(|piece| piece.make_ascii_lowercase());
                }
                Segment::Param(_) => {}
            }
        }
        lowered
    }

    fn push(&mut self, text: &str) -> Result<(), PatternError> {
        let segment = if text.contains(['{', '}']) {
            let name = text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'))
                .filter(|name| is_name(name))
                .ok_or(PatternError::BadParameter)?;
            if self.parameters().any(|other| other == name) {
                return Err(PatternError::RepeatedParameter(name.to_owned()));
            }
            Segment::Param(name.to_owned())
        } else {
            let (mut pieces, needs) = pattern_segment(text).map_err(PatternError::Unreachable)?;
            self.needs = self.needs | needs;
            if text.is_empty() {
                return Err(PatternError::EmptySegment);
            }
            if text.contains("**") {
                return Err(PatternError::MisplacedRest);
            }
            match pieces.len() {
                1 => Segment::Literal(pieces.pop().unwrap_or_default()),
                _ => Segment::Glob(pieces),
            }
        };
        self.segments.push(segment);
        Ok(())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == text,
            Self::Param(_) => !text.is_empty(),
            Self::Glob(pieces) => glob_matches(pieces, text),
        }
    }

    /// Every segment that is not empty.
    pub(super) fn is_any(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Param(_) => true,
            Self::Glob(pieces) => pieces.iter().all(String::is_empty),
        }
    }
}

/// The segments of a path without its leading `/`; one trailing `/` does not count.
pub(super) fn split(body: &str) -> impl Iterator<Item = &str> + Clone {
    let body = (!body.is_empty()).then(|| body.strip_suffix('/').unwrap_or(body));
    body.into_iter().flat_map(|body| body.split('/'))
}

/// The first and the last piece hold the ends; each piece between is taken where it comes first, which leaves the most
/// room for those behind it.
fn glob_matches(pieces: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return false;
    };
    let Some(mut rest) = text
        .strip_prefix(first.as_str())
        .and_then(|text| text.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for piece in middle {
        let mut characters = rest.chars();
        if characters.next().is_none() {
            return false;
        }
        match characters.as_str().split_once(piece.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    !rest.is_empty()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
