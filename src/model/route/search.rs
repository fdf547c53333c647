//! The search itself: which place of the tree wins for a method, and what else must hold. Notes are taken only for
//! `explain`; they change nothing.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::time::Duration;

use http::Method;

use super::demand::Demand;
use super::pattern::Pattern;
use super::table::{Considered, Match, Origin, Part, RouteTable, Why};
use super::tree::Node;
use super::{Floor, Route, is_read};
use crate::model::target::Target;

pub(super) fn search<'t>(
    table: &'t RouteTable,
    method: &Method,
    target: &Target,
    notes: Option<&mut Notes<'t>>,
) -> Match<'t> {
    let mut search = Search {
        table,
        method,
        demand: Demand::default(),
        notes,
    };
    let mut winner = None;
    for reading in target.readings() {
        let found = search.look_up(&table.tree, reading.path);
        winner = winner.or(Some(found));
    }
    let route = winner.unwrap_or(&table.nowhere);
    if !route.exact_case {
        let tree = table.lowered.as_ref().unwrap_or(&table.tree);
        for reading in target.readings() {
            if table.lowered.is_some() || reading.lower != reading.path {
                search.look_up(tree, reading.lower);
            }
        }
    }
    for (floor, lowered) in table.floors.iter().zip(&table.lowered_floors) {
        search.apply(floor, lowered.as_ref(), target, route.exact_case);
    }
    Match {
        route,
        demand: search.demand,
    }
}

struct Search<'t, 's> {
    table: &'t RouteTable,
    method: &'s Method,
    demand: Demand<'t>,
    notes: Option<&'s mut Notes<'t>>,
}

#[derive(Default)]
pub(super) struct Notes<'t> {
    pub(super) parts: Vec<Part<'t>>,
    pub(super) losers: Vec<Considered<'t>>,
}

impl<'t> Search<'t, '_> {
    /// The narrowest path that has the method wins. A method other than GET, HEAD and OPTIONS may do what the other
    /// methods of a path do (PATCH beside POST), so for it all routes of narrower paths, and those beside a winner that
    /// does not list it, must hold as well; public ones demand nothing of it.
    fn look_up(&mut self, tree: &'t Node, path: &str) -> &'t Route {
        let mut place: &'t [usize] = &[];
        let mut passed = false;
        let _ = tree.walk(path, &mut |here| {
            if self.routes(here).any(|route| route.has(self.method)) {
                place = here;
                return ControlFlow::Break(());
            }
            passed = true;
            ControlFlow::Continue(())
        });
        let winner = self.win(place, passed, tree, path);
        if self.notes.is_some() {
            self.note_losers(place, tree, path);
        }
        winner
    }

    fn win(&mut self, place: &'t [usize], passed: bool, tree: &'t Node, path: &str) -> &'t Route {
        let method = self.method;
        let passing = is_passing(method);
        let listed = self.routes(place).find(|route| route.lists(method));
        let mut strictest = None;
        for route in self.routes(place) {
            let counts = match listed {
                Some(_) => route.lists(method),
                None if passing => route.has(method),
                None => !route.requirement.is_public(),
            };
            if counts {
                self.demand(Origin::of(route, method), path);
                strictest = stricter(strictest, route);
            }
        }
        let Some(chosen) = listed.or(strictest) else {
            self.demand(Origin::Route(&self.table.nowhere), path);
            return &self.table.nowhere;
        };
        if passing || !passed {
            return chosen;
        }
        let mut narrowest = None;
        let widest = chosen.pattern.lowered();
        let _ = tree.walk(path, &mut |here| {
            if std::ptr::eq(here, place) {
                return ControlFlow::Break(());
            }
            let mut strictest = None;
            for route in self.routes(here) {
                if !route.requirement.is_public() && route.pattern.lowered().is_within(&widest) {
                    self.demand(Origin::Unlisted(route), path);
                    strictest = stricter(strictest, route);
                }
            }
            narrowest = narrowest.or(strictest);
            ControlFlow::Continue(())
        });
        listed.or(narrowest).unwrap_or(chosen)
    }

    fn routes(&self, place: &'t [usize]) -> impl Iterator<Item = &'t Route> + use<'t> {
        let routes = &self.table.routes;
        place.iter().filter_map(|index| routes.get(*index))
    }

    fn note_losers(&mut self, place: &'t [usize], tree: &'t Node, path: &str) {
        let mut won = false;
        let _ = tree.walk(path, &mut |here| {
            let wider = won;
            won |= std::ptr::eq(here, place);
            for route in self.routes(here) {
                let why = if wider {
                    Why::Wider
                } else if route.requirement.is_public() && !is_read(self.method) {
                    Why::PublicReadsOnly
                } else if route.has(self.method) {
                    Why::ListsNone
                } else {
                    Why::Method
                };
                self.lose(route, path, why);
            }
            ControlFlow::Continue(())
        });
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

    /// Unless it is among those that hold.
    fn lose(&mut self, route: &'t Route, reading: &str, why: Why) {
        let holds = self
            .demand
            .iter()
            .any(|demanded| std::ptr::eq(*demanded, &route.requirement));
        if let Some(notes) = &mut self.notes
            && !holds
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
}

impl<'t> Origin<'t> {
    fn of(route: &'t Route, method: &Method) -> Self {
        if route.has(method) {
            Self::Route(route)
        } else {
            Self::Unlisted(route)
        }
    }
}

/// Methods that pass by a path that does not have them: they change nothing.
fn is_passing(method: &Method) -> bool {
    is_read(method) || *method == Method::OPTIONS
}

fn stricter<'t>(known: Option<&'t Route>, other: &'t Route) -> Option<&'t Route> {
    let strictness = |route: &'t Route| {
        (
            // Somebody's yes is not got round by a method that nobody listed, whatever level another one needs.
            route.requirement.approval.is_some(),
            route.requirement.rank,
            Reverse(route.requirement.max_age.unwrap_or(Duration::MAX)),
            Reverse(route.id.as_str()),
        )
    };
    known
        .into_iter()
        .chain([other])
        .max_by_key(|route| strictness(route))
}
