//! Which route a request falls under: patterns, how they lie to each other, and the table that finds the winner.

mod demand;
mod pattern;
mod relation;
mod search;
mod table;
mod tree;

use std::time::Duration;

use http::Method;

use super::requirement::Requirement;

pub use demand::Demand;
pub use pattern::{Pattern, PatternError, Segment};
pub use relation::Relation;
pub use table::{Considered, Explained, Match, Origin, Part, RouteTable, Why};

/// Where something stands in the configuration, for `explain` and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user would type it.
    pub file: String,
    /// 1-based.
    pub line: usize,
}

/// How a request of a route is told that more is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// As its header shows who asks: a page is sent on, a program gets a problem.
    #[default]
    Auto,
    /// What does not say what it is counts as a page; what says that it is none is a program all the same.
    Redirect,
    /// Everybody is a program.
    Api,
}

/// What becomes of a route's open streams when a level or an age that it demands lapses. A session's end ends them anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLapse {
    #[default]
    Close,
    /// They end so much later, unless the level is there again by then.
    Grace(Duration),
    /// What was allowed once goes on.
    Keep,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub id: String,
    pub pattern: Pattern,
    /// Upper case; none listed = all; a public one has GET and HEAD at most.
    pub methods: Option<Vec<Method>>,
    pub requirement: Requirement,
    /// Index into `Config::upstreams`.
    pub upstream: usize,
    /// Its upstream tells upper from lower case (`path_match = "exact"`).
    pub exact_case: bool,
    pub challenge: Challenge,
    pub on_lapse: OnLapse,
    pub source: Source,
}

/// Comes on top of whatever route wins, and only tightens.
#[derive(Clone, Debug)]
pub struct Floor {
    pub id: String,
    /// `None`: every path.
    pub pattern: Option<Pattern>,
    pub methods: Option<Vec<Method>>,
    pub requirement: Requirement,
    pub source: Source,
}

/// Methods that are passed on at all. TRACE and CONNECT are not, and neither is a token with a lower-case letter, which
/// an app may fold to a method that no route was written for.
pub fn is_served(method: &Method) -> bool {
    !matches!(*method, Method::TRACE | Method::CONNECT)
        && !method
            .as_str()
            .bytes()
            .any(|byte| byte.is_ascii_lowercase())
}

impl Route {
    /// Whether it names the method; GET includes HEAD. A public route answers GET and HEAD whatever it lists.
    pub fn lists(&self, method: &Method) -> bool {
        self.methods
            .as_deref()
            .is_some_and(|listed| contains(listed, method))
            && (!self.requirement.is_public() || is_read(method))
    }

    /// Whether it answers the method: it lists it, or lists none.
    pub fn has(&self, method: &Method) -> bool {
        match self.methods {
            Some(_) => self.lists(method),
            None => !self.requirement.is_public() || is_read(method),
        }
    }

    /// A method that both have, for the request that shows an overlap.
    pub fn shared_method(&self, other: &Self) -> Option<Method> {
        probes([self.methods.as_deref(), other.methods.as_deref()])
            .into_iter()
            .find(|method| self.has(method) && other.has(method))
    }

    /// Whether no request can fall under it, because for each of its paths and methods one of `others` wins.
    pub fn is_shadowed_by(&self, others: &[&Self]) -> bool {
        let winners: Vec<_> = others
            .iter()
            .filter(|other| other.wins_over(self))
            .collect();
        let all = std::iter::once(self).chain(winners.iter().map(|route| **route));
        probes(all.map(|route| route.methods.as_deref()))
            .iter()
            .filter(|method| self.has(method))
            .all(|method| {
                let having = winners.iter().filter(|route| route.has(method));
                let patterns: Vec<_> = having.map(|route| &route.pattern).collect();
                self.pattern.is_covered_by(&patterns)
            })
    }

    fn wins_over(&self, other: &Self) -> bool {
        self.pattern.is_within(&other.pattern)
            && (!other.pattern.is_within(&self.pattern)
                || self.methods.is_some() && other.methods.is_none())
    }
}

/// Finds the patterns that may meet one without comparing it to all: checks of 10,000 routes take no time.
#[derive(Debug)]
pub struct Neighbours {
    tree: tree::Node,
}

impl Neighbours {
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        let mut tree = tree::Node::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            tree.insert(pattern, index);
        }
        Self { tree }
    }

    /// Indices in ascending order of the patterns that may share a path with this one, itself included if it is among
    /// them; none that does is missing.
    pub fn of(&self, pattern: &Pattern) -> Vec<usize> {
        self.tree.near(pattern)
    }
}

impl Floor {
    /// Whether it comes on top of the route for some method of it; their paths are not compared.
    pub fn shares_method_with(&self, route: &Route) -> bool {
        probes([self.methods.as_deref(), route.methods.as_deref()])
            .iter()
            .any(|method| self.has(method) && route.has(method))
    }

    pub(in crate::model::route) fn has(&self, method: &Method) -> bool {
        self.methods
            .as_deref()
            .is_none_or(|listed| contains(listed, method))
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn contains(listed: &[Method], method: &Method) -> bool {
    listed.contains(method) || (*method == Method::HEAD && listed.contains(&Method::GET))
}

/// Enough methods to tell any two lists apart: the usual ones, those listed, and one that nobody lists.
fn probes<'m>(lists: impl IntoIterator<Item = Option<&'m [Method]>>) -> Vec<Method> {
    let mut probes = vec![
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    for method in lists.into_iter().flatten().flatten() {
        if !probes.contains(method) {
            probes.push(method.clone());
        }
    }
    let unlisted = (0_u8..=u8::MAX)
        .filter_map(|number| Method::from_bytes(format!("X-{number}").as_bytes()).ok())
        .find(|method| !probes.contains(method));
    probes.extend(unlisted);
    probes
}

#[cfg(test)]
mod tests;
