//! The routes of one app and the floors over it; finds the winner for a method and a target, and all that must hold.

use http::Method;

use super::demand::Demand;
use super::pattern::Pattern;
use super::search::{Notes, search};
use super::tree::Node;
use super::{Challenge, Floor, OnLapse, Route, Source};
use crate::model::level::Rank;
use crate::model::requirement::{Conditions, Requirement};
use crate::model::target::Target;

/// `find` never fails: no request falls through.
#[derive(Debug)]
pub struct RouteTable {
    pub(super) routes: Vec<Route>,
    pub(super) floors: Vec<Floor>,
    pub(super) tree: Node,
    /// Patterns in lower case, where that makes a difference.
    pub(super) lowered: Option<Node>,
    pub(super) lowered_floors: Vec<Option<Pattern>>,
    /// Answers what no route has, with a requirement that nobody meets.
    pub(super) nowhere: Route,
}

/// The route that a request falls under, and everything that must hold for it.
#[derive(Debug)]
pub struct Match<'t> {
    /// Chosen by the path as it is.
    pub route: &'t Route,
    /// The route's requirement and those of other readings, of unlisted methods' siblings, of floors.
    pub demand: Demand<'t>,
}

/// A [`Match`], and how it came about.
#[derive(Debug)]
pub struct Explained<'t> {
    pub found: Match<'t>,
    /// Where each requirement of the demand comes from.
    pub parts: Vec<Part<'t>>,
    /// Routes whose path matches and that did not win, narrower ones first.
    pub losers: Vec<Considered<'t>>,
}

#[derive(Clone, Debug)]
pub struct Part<'t> {
    pub requirement: &'t Requirement,
    pub origin: Origin<'t>,
    /// The reading of the path by which it was found.
    pub reading: String,
}

#[derive(Clone, Copy, Debug)]
pub enum Origin<'t> {
    /// The route has the method.
    Route(&'t Route),
    /// The route does not have the method, but no wider path makes it harmless.
    Unlisted(&'t Route),
    Floor(&'t Floor),
}

#[derive(Clone, Debug)]
pub struct Considered<'t> {
    pub route: &'t Route,
    pub reading: String,
    pub why: Why,
}

/// Why a route whose path matches did not win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It does not have the method.
    Method,
    /// It is public, and so answers GET and HEAD only.
    PublicReadsOnly,
    /// A route with the same path lists the method, it lists none.
    ListsNone,
    /// A narrower path won.
    Wider,
}

impl RouteTable {
    /// `routes` with the catch-all (`/**`). They are taken as checked: of two that match a request, one is narrower.
    pub fn new(routes: Vec<Route>, floors: Vec<Floor>) -> Self {
        let mut tree = Node::default();
        let mut lowered = Node::default();
        let mut differs = false;
        for (index, route) in routes.iter().enumerate() {
            let pattern = route.pattern.lowered();
            differs |= pattern != route.pattern;
            tree.insert(&route.pattern, index);
            lowered.insert(&pattern, index);
        }
        Self {
            lowered_floors: floors
                .iter()
                .map(|floor| floor.pattern.as_ref().map(Pattern::lowered))
                .collect(),
            routes,
            floors,
            tree,
            lowered: differs.then_some(lowered),
            nowhere: nowhere(),
        }
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route whose approval of that name a match demands, which may be another than the one that the request falls
    /// under: found by another reading of the path, or by an unlisted method.
    pub fn asking<'t>(&'t self, found: &Match<'t>, approval: &str) -> &'t Route {
        let is_asking = |route: &&Route| {
            let requirement = &route.requirement;
            requirement.approval.as_deref() == Some(approval)
                && found
                    .demand
                    .iter()
                    .any(|part| std::ptr::eq(*part, requirement))
        };
        self.routes.iter().find(is_asking).unwrap_or(found.route)
    }

    /// Where a route of this table stands in [`Self::routes`]: a number that outlives the borrow, for logs.
    pub fn position(&self, route: &Route) -> Option<usize> {
        let distance = std::ptr::from_ref(route)
            .addr()
            .checked_sub(self.routes.as_ptr().addr())?;
        let position = distance / size_of::<Route>();
        let known = self.routes.get(position)?;
        std::ptr::eq(known, route).then_some(position)
    }

    pub fn floors(&self) -> &[Floor] {
        &self.floors
    }

    /// Each reading of the path is looked up as it is and, unless the route's upstream tells cases apart, in lower case.
    /// What holds for any of them holds.
    pub fn find(&self, method: &Method, target: &Target) -> Match<'_> {
        search(self, method, target, None)
    }

    /// The same search, taking notes.
    pub fn find_explained(&self, method: &Method, target: &Target) -> Explained<'_> {
        let mut notes = Notes::default();
        let found = search(self, method, target, Some(&mut notes));
        Explained {
            found,
            parts: notes.parts,
            losers: notes.losers,
        }
    }
}

fn nowhere() -> Route {
    Route {
        id: "none".to_owned(),
        pattern: Pattern::everything(),
        methods: None,
        requirement: Requirement {
            rank: Rank::UNREACHABLE,
            max_age: None,
            conditions: Conditions::NONE,
            approval: None,
        },
        upstream: usize::MAX,
        exact_case: false,
        challenge: Challenge::Auto,
        on_lapse: OnLapse::default(),
        source: Source {
            file: String::new(),
            line: 0,
        },
    }
}
