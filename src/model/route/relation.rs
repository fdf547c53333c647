//! How the paths of two patterns lie to each other, exactly, with a path as the witness of an overlap; and whether a
//! pattern is covered by several others together.

use std::collections::{HashMap, VecDeque};

use super::pattern::{Pattern, Segment};

/// A character that no pattern and no reading holds: it stands for whatever no pattern names.
const UNNAMED: char = '\u{1}';

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    /// The left one matches fewer paths.
    Subset,
    Superset,
    Disjoint,
    Overlap {
        /// A path that both match.
        witness: String,
    },
}

impl Pattern {
    /// `self` is the left one.
    pub fn relation(&self, other: &Self) -> Relation {
        match (self.is_within(other), other.is_within(self)) {
            (true, true) => Relation::Equal,
            (true, false) => Relation::Subset,
            (false, true) => Relation::Superset,
            (false, false) => match self.meet(other) {
                Some(witness) => Relation::Overlap { witness },
                None => Relation::Disjoint,
            },
        }
    }

    /// A path that both match.
    pub fn meet(&self, other: &Self) -> Option<String> {
        let (short, long) = if self.segments().len() <= other.segments().len() {
            (self, other)
        } else {
            (other, self)
        };
        if short.segments().len() < long.segments().len() && !short.has_rest() {
            return None;
        }
        let mut pairs = short.segments().iter().zip(long.segments());
        if pairs.any(|(one, other)| one.differs_from(other)) {
            return None;
        }
        let mut path = String::new();
        for (index, segment) in long.segments().iter().enumerate() {
            let text = match short.segments().get(index) {
                Some(other) => segment.meet(other)?,
                None => segment.example(),
            };
            path.push('/');
            path.push_str(&escaped(&text));
        }
        if path.is_empty() {
            path.push('/');
        }
        Some(path)
    }

    /// Whether every path that it matches is matched by one of `others`.
    pub fn is_covered_by(&self, others: &[&Self]) -> bool {
        // One path for all that differ only in what no pattern names: who matches it matches them all. As many further
        // segments as `**` can stand for before only another `**` can match them.
        let further = others
            .iter()
            .map(|other| other.segments().len() + 1)
            .max()
            .unwrap_or(0);
        let mut path: String = self.segments().iter().fold(String::new(), |path, segment| {
            path + "/" + &segment.unnamed()
        });
        for _ in 0..=(if self.has_rest() { further } else { 0 }) {
            let reading = if path.is_empty() { "/" } else { &path };
            if !others.iter().any(|other| other.matches(reading)) {
                return false;
            }
            path.push('/');
            path.push(UNNAMED);
        }
        true
    }

    /// Whether every path that it matches is matched by `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let mut segments = self.segments().iter();
        other
            .segments()
            .iter()
            .all(|wide| segments.next().is_some_and(|own| own.is_within(wide)))
            && (other.has_rest() || (segments.next().is_none() && !self.has_rest()))
    }
}

impl Segment {
    /// Exact: a pattern that matches what no pattern names in place of every star matches whatever stands there.
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, any) if any.is_any() => true,
            (Self::Literal(text), _) => other.matches(text),
            (Self::Glob(_), Self::Glob(_)) => other.matches(&self.unnamed()),
            _ => false,
        }
    }

    /// Two literals that are not the same: what most patterns are told apart by, without building a path first.
    fn differs_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one != other,
            _ => false,
        }
    }

    fn unnamed(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Param(_) => UNNAMED.to_string(),
            Self::Glob(pieces) => pieces.join(&UNNAMED.to_string()),
        }
    }

    fn example(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Param(_) => "x".to_owned(),
            Self::Glob(pieces) => pieces.join("x"),
        }
    }

    /// A text that both match.
    fn meet(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Literal(text), wide) | (wide, Self::Literal(text)) => {
                wide.matches(text).then(|| text.clone())
            }
            (Self::Param(_), segment) | (segment, Self::Param(_)) => Some(segment.example()),
            (Self::Glob(left), Self::Glob(right)) => meet(&steps(left), &steps(right)),
        }
    }
}

/// One step through a glob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Exactly(char),
    Any,
    /// Any, and again.
    Loop,
}

/// A star is one character, and then as many as you like.
fn steps(pieces: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            steps.extend([Step::Any, Step::Loop]);
        }
        steps.extend(piece.chars().map(Step::Exactly));
    }
    steps
}

/// The shortest text that both match: breadth first over the pairs of places in them.
fn meet(left: &[Step], right: &[Step]) -> Option<String> {
    let mut came_from = HashMap::new();
    let mut queue = VecDeque::from([(0, 0)]);
    came_from.insert((0, 0), None);
    while let Some(at) = queue.pop_front() {
        if at == (left.len(), right.len()) {
            return Some(spelled(&came_from, at));
        }
        for (next, character) in moves(left, right, at) {
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                Some((at, character))
            });
        }
    }
    None
}

type Place = (usize, usize);

fn moves(left: &[Step], right: &[Step], (l, r): Place) -> Vec<(Place, Option<char>)> {
    let (a, b) = (left.get(l).copied(), right.get(r).copied());
    let mut moves = Vec::new();
    if a == Some(Step::Loop) {
        moves.push(((l + 1, r), None));
    }
    if b == Some(Step::Loop) {
        moves.push(((l, r + 1), None));
    }
    if let (Some(a), Some(b)) = (a, b) {
        let character = match (a, b) {
            (Step::Exactly(a), Step::Exactly(b)) => (a == b).then_some(a),
            (Step::Exactly(one), _) | (_, Step::Exactly(one)) => Some(one),
            _ => Some('x'),
        };
        let next = (
            if a == Step::Loop { l } else { l + 1 },
            if b == Step::Loop { r } else { r + 1 },
        );
        if character.is_some() && next != (l, r) {
            moves.push((next, character));
        }
    }
    moves
}

fn spelled(came_from: &HashMap<Place, Option<(Place, Option<char>)>>, end: Place) -> String {
    let mut characters = Vec::new();
    let mut at = end;
    while let Some(Some((before, character))) = came_from.get(&at) {
        characters.extend(*character);
        at = *before;
    }
    characters.into_iter().rev().collect()
}

/// As one would send it.
fn escaped(text: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SET: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(text, SET).to_string()
}
