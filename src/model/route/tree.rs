//! The patterns as a tree of segments. A walk passes the places that match a path, narrower ones before wider ones; it
//! allocates nothing, and what it costs does not depend on how many routes there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::ControlFlow;

use super::pattern::{Pattern, Segment, split};

/// Fixed keys: who fills the tables is the configuration.
type Literals = HashMap<Box<str>, Node, BuildHasherDefault<DefaultHasher>>;

/// Longest text first: of two globs, the one that matches a proper subset has more of it.
type GlobOrder = (Reverse<usize>, Segment);

#[derive(Debug, Default)]
pub(super) struct Node {
    literals: Literals,
    globs: BTreeMap<GlobOrder, Node>,
    any: Option<Box<Node>>,
    /// Routes whose pattern ends here, by their index.
    here: Vec<usize>,
    /// Routes whose pattern ends here with `**`.
    rest: Vec<usize>,
}

impl Node {
    pub(super) fn insert(&mut self, pattern: &Pattern, route: usize) {
        let mut node = self;
        for segment in pattern.segments() {
            node = node.child(segment);
        }
        if pattern.has_rest() {
            node.rest.push(route);
        } else {
            node.here.push(route);
        }
    }

    /// Calls `visit` with the routes of every matching path, narrower paths first, until it breaks.
    ///
    /// Of two patterns that match a path, the narrower one has, at the first segment where they differ, the narrower
    /// segment: that is the order in which the branches are taken.
    pub(super) fn walk<'t>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t [usize]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match path.strip_prefix('/') {
            Some(body) => self.descend(split(body), visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// The routes whose patterns can share a path with this one: none of those that do is missing.
    pub(super) fn near(&self, pattern: &Pattern) -> Vec<usize> {
        let mut found = Vec::new();
        self.gather(pattern.segments(), pattern.has_rest(), &mut found);
        found.sort_unstable();
        found
    }

    fn gather(&self, segments: &[Segment], rest: bool, found: &mut Vec<usize>) {
        found.extend(&self.rest);
        if segments.is_empty() {
            found.extend(&self.here);
        }
        match segments.split_first() {
            None if !rest => {}
            Some((Segment::Literal(text), further)) => {
                let globs = self
                    .globs
                    .iter()
                    .filter(|((_, glob), _)| glob.matches(text));
                let children = self.literals.get(text.as_str()).into_iter();
                for node in children
                    .chain(globs.map(|(_, node)| node))
                    .chain(self.any.as_deref())
                {
                    node.gather(further, rest, found);
                }
            }
            split => {
                let further = split.map_or(segments, |(_, further)| further);
                for node in self
                    .literals
                    .values()
                    .chain(self.globs.values())
                    .chain(self.any.as_deref())
                {
                    node.gather(further, rest, found);
                }
            }
        }
    }

    fn descend<'t, 'p>(
        &'t self,
        mut segments: impl Iterator<Item = &'p str> + Clone,
        visit: &mut impl FnMut(&'t [usize]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match segments.next() {
            None => offer(&self.here, visit)?,
            Some(segment) => {
                if let Some(node) = self.literals.get(segment) {
                    node.descend(segments.clone(), visit)?;
                }
                for ((_, glob), node) in &self.globs {
                    if glob.matches(segment) {
                        node.descend(segments.clone(), visit)?;
                    }
                }
                if let Some(node) = &self.any
                    && !segment.is_empty()
                {
                    node.descend(segments, visit)?;
                }
            }
        }
        offer(&self.rest, visit)
    }

    fn child(&mut self, segment: &Segment) -> &mut Self {
        match segment {
            _ if segment.is_any() => self.any.get_or_insert_default(),
            Segment::Literal(text) => self.literals.entry(text.as_str().into()).or_default(),
            glob => self
                .globs
                .entry((Reverse(length(glob)), glob.clone()))
                .or_default(),
        }
    }
}

fn offer<'t>(
    routes: &'t [usize],
    visit: &mut impl FnMut(&'t [usize]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if routes.is_empty() {
        return ControlFlow::Continue(());
    }
    visit(routes)
}

fn length(segment: &Segment) -> usize {
    match segment {
        Segment::Glob(pieces) => pieces.iter().map(String::len).sum(),
        Segment::Literal(_) | Segment::Param(_) => 0,
    }
}
