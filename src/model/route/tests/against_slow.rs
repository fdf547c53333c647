//! Lookup against an implementation that is slow and obvious: it compares whole sets of paths.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::relations::{patterns, universe};
use super::*;
use crate::model::seeded;

/// All paths of the universe that the pattern matches: two patterns lie to each other as these do.
type Paths = BTreeSet<String>;

struct Slow {
    routes: Vec<(Route, Paths)>,
}

impl Slow {
    /// Leaves out what config refuses: two routes that share a method and overlap, or are equal in path and listing.
    fn new(routes: Vec<Route>) -> Self {
        let universe = universe();
        let mut kept: Vec<(Route, Paths)> = Vec::new();
        for route in routes {
            let paths: Paths = universe
                .iter()
                .filter(|path| route.pattern.matches(path))
                .cloned()
                .collect();
            let clashes = kept.iter().any(|(other, others)| {
                let equal = paths == *others;
                let nested = paths.is_subset(others) || others.is_subset(&paths);
                let meet = !paths.is_disjoint(others);
                route.shared_method(other).is_some()
                    && meet
                    && (!nested || (equal && route.methods.is_some() == other.methods.is_some()))
            });
            if !clashes {
                kept.push((route, paths));
            }
        }
        Self { routes: kept }
    }

    /// The ids of the routes of which all must hold.
    fn demand(&self, method: &Method, path: &str) -> BTreeSet<&str> {
        let matching: Vec<_> = self
            .routes
            .iter()
            .filter(|(route, _)| route.pattern.matches(path))
            .collect();
        let having: Vec<_> = matching
            .iter()
            .filter(|(route, _)| has(route, method))
            .collect();
        // The winner's path is that of the candidate within all others.
        let Some((_, winner)) = having
            .iter()
            .find(|(_, paths)| having.iter().all(|(_, others)| paths.is_subset(others)))
        else {
            return BTreeSet::new();
        };
        let listed: Vec<_> = having
            .iter()
            .filter(|(route, paths)| paths == winner && route.methods.is_some())
            .collect();
        let reads = ["GET", "HEAD", "OPTIONS"].contains(&method.as_str());
        matching
            .iter()
            .filter(|(route, paths)| {
                let public = route.requirement.is_public();
                if paths == winner {
                    match listed.is_empty() {
                        false => listed.iter().any(|(one, _)| one.id == route.id),
                        true if reads => has(route, method),
                        true => !public,
                    }
                } else {
                    !reads && !public && paths.is_subset(winner)
                }
            })
            .map(|(route, _)| route.id.as_str())
            .collect()
    }
}

fn has(route: &Route, method: &Method) -> bool {
    let name = method.as_str();
    let listed = match &route.methods {
        None => true,
        Some(methods) => methods
            .iter()
            .any(|one| one.as_str() == name || (one.as_str() == "GET" && name == "HEAD")),
    };
    listed && (!route.requirement.is_public() || ["GET", "HEAD"].contains(&name))
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let methods = proptest::sample::select(vec![
        "*", "*", "GET", "POST", "POST,PUT", "GET,POST", "DELETE",
    ]);
    let one = (methods, patterns(), 0..4_u8);
    proptest::collection::vec(one, 1..12).prop_map(|all| {
        let mut texts: Vec<_> = all
            .into_iter()
            .map(|(methods, path, rank)| match rank {
                0 => format!("GET {path} 0"),
                _ => format!("{methods} {path} {rank}"),
            })
            .collect();
        texts.insert(0, "* /** 1".to_owned());
        texts.dedup();
        texts.iter().map(|text| route(text)).collect()
    })
}

proptest! {
    #![proptest_config(seeded::cases(500))]

    #[test]
    fn lookup_agrees(
        routes in routes(),
        requests in proptest::collection::vec(
            (
                proptest::sample::select(vec![
                    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS",
                ]),
                "(/(a|b|ab|ba|aza|aab|zaz|z)){0,3}/?",
            ),
            20,
        ),
    ) {
        let slow = Slow::new(routes);
        let table = RouteTable::new(
            slow.routes.iter().map(|(route, _)| route.clone()).collect(),
            Vec::new(),
        );
        for (method, path) in requests {
            let method: Method = method.parse().unwrap();
            let path = if path.is_empty() { "/" } else { &path };
            let target = target(path);
            let explained = table.find_explained(&method, &target);
            let got: BTreeSet<_> = explained
                .parts
                .iter()
                .map(|part| match part.origin {
                    Origin::Route(route) | Origin::Unlisted(route) => route.id.as_str(),
                    Origin::Floor(floor) => floor.id.as_str(),
                })
                .collect();
            prop_assert_eq!(&got, &slow.demand(&method, path), "{} {}", method, path);

            let found = table.find(&method, &target);
            prop_assert_eq!(&found.route.id, &explained.found.route.id);
            prop_assert!(got.contains(found.route.id.as_str()));
            prop_assert_eq!(found.demand.len(), got.len());
        }
    }
}
