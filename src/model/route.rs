//! Which route a request falls under.

use http::Method;

use super::requirement::Requirement;
use super::target::Target;

/// Where something stands in the configuration, for `explain` and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user would type it.
    pub file: String,
    /// 1-based.
    pub line: usize,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    Literal(String),
    /// `{name}`: one whole, non-empty segment.
    Param(String),
    /// `report-*.pdf`: the texts between the stars (`*` never matches empty).
    Glob(Vec<String>),
}

/// `/payments/{id}/**`, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub text: String,
    pub segments: Vec<Segment>,
    /// `**` at the end: the rest, also nothing.
    pub rest: bool,
    /// The pattern itself ends with `/` (`/` alone included).
    pub trailing_slash: bool,
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
    pub source: Source,
}

#[derive(Clone, Debug)]
pub struct Floor {
    pub id: String,
    pub pattern: Option<Pattern>,
    pub methods: Option<Vec<Method>>,
    pub requirement: Requirement,
    pub source: Source,
}

/// The routes of one app with its catch-all (`/**`, id = the app's name), and the floors over its hosts.
/// `find` never fails: no request falls through.
#[derive(Debug)]
pub struct RouteTable {
    pub routes: Vec<Route>,
    pub floors: Vec<Floor>,
}

/// The winning route of the path as it is, and everything that must hold.
#[derive(Debug)]
pub struct Match<'t> {
    pub route: &'t Route,
    /// The winner's requirement first; then those of other readings, of unlisted methods' siblings, of floors.
    pub demand: Vec<&'t Requirement>,
    _target: std::marker::PhantomData<&'t (Method, Target)>,
}
