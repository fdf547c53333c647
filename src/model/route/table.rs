//! The routes of one app and the floors over it; finds the winner for a method and a target, and all that must hold.

use std::ops::ControlFlow;

use http::Method;

use super::demand::Demand;
use super::pattern::Pattern;
use super::tree::Node;
use super::{Floor, Route, Source, is_read};
use crate::model::level::Rank;
use crate::model::requirement::{Conditions, Requirement};
use crate::model::target::Target;

/// `find` never fails: no request falls through.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    floors: Vec<Floor>,
    tree: Node,
    /// Patterns in lower case, where that makes a difference.
    lowered: Option<Node>,
    lowered_floors: Vec<Option<Pattern>>,
    /// Answers what no route has, with a requirement that nobody meets.
    nowhere: Route,
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
    /// The route does not have the method, but its path is narrower than that of the one that has.
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
        self.search(method, target, None)
    }

    /// The same search, taking notes.
    pub fn find_explained(&self, method: &Method, target: &Target) -> Explained<'_> {
        let mut notes = Notes::default();
        let found = self.search(method, target, Some(&mut notes));
        Explained {
            found,
            parts: notes.parts,
            losers: notes.losers,
        }
    }

    fn search<'t>(
        &'t self,
        method: &Method,
        target: &Target,
        notes: Option<&mut Notes<'t>>,
    ) -> Match<'t> {
        let mut search = Search {
            table: self,
            method,
            demand: Demand::default(),
            notes,
        };
        let mut winner = None;
        for reading in target.readings() {
            let found = search.look_up(&self.tree, reading.path);
            winner = winner.or(Some(found));
        }
        let route = winner.unwrap_or(&self.nowhere);
        if !route.exact_case {
            let tree = self.lowered.as_ref().unwrap_or(&self.tree);
            for reading in target.readings() {
                if self.lowered.is_some() || reading.lower != reading.path {
                    search.look_up(tree, reading.lower);
                }
            }
        }
        for (floor, lowered) in self.floors.iter().zip(&self.lowered_floors) {
            search.apply(floor, lowered.as_ref(), target, route.exact_case);
        }
        Match {
            route,
            demand: search.demand,
        }
    }
}

struct Search<'t, 's> {
    table: &'t RouteTable,
    method: &'s Method,
    demand: Demand<'t>,
    notes: Option<&'s mut Notes<'t>>,
}

#[derive(Default)]
struct Notes<'t> {
    parts: Vec<Part<'t>>,
    losers: Vec<Considered<'t>>,
}

impl<'t> Search<'t, '_> {
    /// Goes from the narrowest matching path outwards to the first that has the method. A method other than GET, HEAD
    /// and OPTIONS that a path does not list does what its other methods may do as well: all that is passed on the way
    /// must hold too, or PATCH would be a way around what POST demands. Public routes demand nothing of it.
    fn look_up(&mut self, tree: &Node, path: &str) -> &'t Route {
        let table = self.table;
        let passing = is_passing(self.method);
        let mut strictest: Option<&'t Route> = None;
        let mut winner = None;
        let _ = tree.walk(path, &mut |indices| {
            let here = || indices.iter().filter_map(|index| table.routes.get(*index));
            if winner.is_some() {
                here().for_each(|route| self.lose(route, path, Why::Wider));
                return ControlFlow::Continue(());
            }
            if let Some(first) = here().find(|route| route.lists(self.method)) {
                winner = Some(first);
                for route in here() {
                    if route.lists(self.method) {
                        self.demand(Origin::Route(route), path);
                    } else {
                        self.lose(route, path, self.why(route));
                    }
                }
            } else if passing {
                for route in here() {
                    if route.has(self.method) {
                        winner = winner.or(Some(route));
                        self.demand(Origin::Route(route), path);
                    } else {
                        self.lose(route, path, self.why(route));
                    }
                }
            } else {
                let narrowest = strictest.is_none();
                for route in here() {
                    if route.requirement.is_public() {
                        self.lose(route, path, self.why(route));
                        continue;
                    }
                    if narrowest {
                        strictest = strictest
                            .map(|known| stricter(known, route))
                            .or(Some(route));
                    }
                    if route.has(self.method) {
                        self.demand(Origin::Route(route), path);
                    } else {
                        self.demand(Origin::Unlisted(route), path);
                    }
                }
                if here().any(|route| route.has(self.method)) {
                    winner = strictest;
                }
            }
            match winner {
                Some(_) if self.notes.is_none() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        winner.unwrap_or_else(|| {
            self.demand(Origin::Route(&table.nowhere), path);
            &table.nowhere
        })
    }

    fn apply(
        &mut self,
        floor: &'t Floor,
        lowered: Option<&Pattern>,
        target: &Target,
        exact_case: bool,
    ) {
        if !floor.has(self.method) {
            return;
        }
        let reached = target.readings().find_map(|reading| {
            let Some(pattern) = &floor.pattern else {
                return Some(reading.path);
            };
            if pattern.matches(reading.path) {
                return Some(reading.path);
            }
            let lowered = lowered.filter(|_| !exact_case)?;
            lowered.matches(reading.lower).then_some(reading.lower)
        });
        if let Some(path) = reached {
            self.demand(Origin::Floor(floor), path);
        }
    }

    fn demand(&mut self, origin: Origin<'t>, reading: &str) {
        let requirement = match origin {
            Origin::Route(route) | Origin::Unlisted(route) => &route.requirement,
            Origin::Floor(floor) => &floor.requirement,
        };
        let before = self.demand.len();
        self.demand.push(requirement);
        if let Some(notes) = &mut self.notes
            && self.demand.len() > before
        {
            notes.parts.push(Part {
                requirement,
                origin,
                reading: reading.to_owned(),
            });
        }
    }

    fn lose(&mut self, route: &'t Route, reading: &str, why: Why) {
        if let Some(notes) = &mut self.notes
            && !notes
                .losers
                .iter()
                .any(|known| std::ptr::eq(known.route, route))
        {
            notes.losers.push(Considered {
                route,
                reading: reading.to_owned(),
                why,
            });
        }
    }

    fn why(&self, route: &Route) -> Why {
        if route.requirement.is_public() && !is_read(self.method) {
            Why::PublicReadsOnly
        } else if route.has(self.method) {
            Why::ListsNone
        } else {
            Why::Method
        }
    }
}

/// Methods that pass by a path that does not have them: they change nothing.
fn is_passing(method: &Method) -> bool {
    is_read(method) || *method == Method::OPTIONS
}

fn stricter<'t>(known: &'t Route, other: &'t Route) -> &'t Route {
    let strictness = |route: &Route| {
        (
            route.requirement.rank,
            std::cmp::Reverse(
                route
                    .requirement
                    .max_age
                    .unwrap_or(std::time::Duration::MAX),
            ),
        )
    };
    if strictness(other) > strictness(known) {
        other
    } else {
        known
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
        },
        upstream: usize::MAX,
        exact_case: false,
        source: Source {
            file: String::new(),
            line: 0,
        },
    }
}
