//! What holds between routes, floors and apps: nothing is ambiguous, nothing loosens silently, nothing is dead.

use super::Names;
use super::app::AppDraft;
use super::floors::FloorDraft;
use super::keycloak;
use super::require::looser_keys;
use super::routes::RouteDraft;
use crate::config::code::Code;
use crate::config::problem::{Place, Problem, Report, quoted};
use crate::config::resolved::Par;
use crate::model::requirement::Requirement;
use crate::model::route::{Neighbours, Pattern, Relation, Route};

/// What stepgate answers itself on every app's host.
const RESERVED: &str = "/.stepgate/**";

pub(super) fn check_hosts(apps: &[AppDraft], report: &Report) {
    let all: Vec<_> = apps.iter().flat_map(|app| &app.origins).collect();
    for (index, (origin, place)) in all.iter().enumerate() {
        let first = all
            .iter()
            .take(index)
            .find(|(other, _)| other.authority == origin.authority);
        if let Some((_, first)) = first {
            report.push(
                Problem::error(
                    Code::HostTwice,
                    place,
                    format!("the host `{}` stands twice", origin.authority),
                )
                .related(first, "first here")
                .help("one host is one app; what differs by path is routes"),
            );
        }
    }
}

pub(super) fn check_routes(app: &AppDraft, names: &Names, report: &Report) {
    let neighbours = Neighbours::new(app.routes.iter().map(|draft| &draft.route.pattern));
    for (index, draft) in app.routes.iter().enumerate() {
        if draft.is_default {
            continue;
        }
        check_reserved(draft, report);
        check_canonical(draft, names, report);
        let near: Vec<(usize, &RouteDraft)> = neighbours
            .of(&draft.route.pattern)
            .into_iter()
            .filter(|other| *other != index)
            .filter_map(|other| Some((other, app.routes.get(other)?)))
            .collect();
        for (place, other) in &near {
            if *place < index || other.is_default {
                check_overlap(draft, other, report);
            }
        }
        check_loosens(draft, near.iter().map(|(_, other)| *other), report);
        let others: Vec<&Route> = near.iter().map(|(_, other)| &other.route).collect();
        // A route whose methods are all wrong has been told so.
        let has_method = draft
            .route
            .methods
            .as_ref()
            .is_none_or(|all| all.iter().any(|method| draft.route.has(method)));
        if has_method && draft.route.is_shadowed_by(&others) {
            report.push(
                Problem::error(
                    Code::Shadowed,
                    &draft.place,
                    format!(
                        "no request falls under the route `{}`: narrower ones cover it wholly",
                        draft.route.id
                    ),
                )
                .help("take it out, or narrow the others"),
            );
        }
    }
}

/// Public means open; a floor over it would say otherwise for some requests.
pub(super) fn check_floors(app: &AppDraft, floors: &[FloorDraft], report: &Report) {
    let public = || {
        app.routes
            .iter()
            .filter(|draft| draft.route.requirement.is_public())
    };
    for floor in floors.iter().filter(|floor| floor.covers(app)) {
        for draft in public() {
            let meets = floor.floor.pattern.as_ref().is_none_or(|pattern| {
                pattern.meet(&draft.route.pattern).is_some()
                    || (!draft.route.exact_case
                        && meets_in_lower_case(pattern, &draft.route.pattern))
            });
            if meets && floor.floor.shares_method_with(&draft.route) {
                report.push(
                    Problem::error(
                        Code::PublicUnderFloor,
                        &draft.place,
                        format!(
                            "the public route `{}` lies under the floor `{}`",
                            draft.route.id, floor.floor.id
                        ),
                    )
                    .related(&floor.place, "this floor")
                    .help("narrow the floor by `path`, `methods` or `hosts`, or require something of the route"),
                );
            }
        }
    }
}

/// A floor that no request ever falls under protects nothing, and reads as if it did.
pub(super) fn check_floor_paths(floors: &[FloorDraft], names: &Names, report: &Report) {
    for floor in floors {
        let Some(pattern) = &floor.floor.pattern else {
            continue;
        };
        if is_reserved(pattern) {
            report.push(reserved(&floor.place));
        }
        let needs = pattern.needs();
        let accepted = names
            .upstreams
            .iter()
            .any(|upstream| upstream.accept.contains(needs));
        if !accepted {
            let missing: Vec<_> = needs.names().collect();
            report.push(
                Problem::error(
                    Code::RefusedPath,
                    &floor.place,
                    format!("no request for `{pattern}` gets through"),
                )
                .help(format!(
                    "`accept` of an upstream has to name {}",
                    quoted(&missing)
                )),
            );
        }
    }
}

/// A level that only some identity provider's word proves is out of reach in an app that sends nobody there.
pub(super) fn check_providers(
    app: &AppDraft,
    floors: &[FloorDraft],
    names: &Names,
    report: &Report,
) {
    let hint = app.kc_idp_hint();
    let routes = app
        .routes
        .iter()
        .map(|draft| (&draft.route.requirement, &draft.place));
    let floors = floors
        .iter()
        .filter(|floor| floor.covers(app))
        .map(|floor| (&floor.floor.requirement, &floor.place));
    for (requirement, place) in routes.chain(floors) {
        let proofs = || {
            names
                .ladder
                .iter()
                .filter(|level| level.rank >= requirement.rank)
                .flat_map(|level| &level.proofs)
        };
        let within_reach = |wanted: &Option<String>| wanted.is_none() || wanted.as_deref() == hint;
        if requirement.is_public()
            || proofs().next().is_none()
            || proofs().any(|proof| within_reach(&proof.kc_idp_hint))
        {
            continue;
        }
        let mut wanted: Vec<_> = proofs()
            .filter_map(|proof| proof.kc_idp_hint.as_deref())
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        report.push(
            Problem::error(
                Code::NeverMet,
                place,
                format!(
                    "nobody reaches the level `{}` in the app `{}`: only the identity provider {} proves it, and the app sends nobody there",
                    names.ladder.name_of(requirement.rank),
                    app.name,
                    quoted(&wanted)
                ),
            )
            .help("login = { kc_idp_hint = \"…\" } in the policy, or another proof of the level"),
        );
    }
}

/// Without pushed requests the user can edit what is asked for, and nothing above the base level is ever proven.
pub(super) fn check_par(
    keycloak: &keycloak::Resolved,
    apps: &[AppDraft],
    floors: &[FloorDraft],
    names: &Names,
    report: &Report,
) {
    let Some(place) = keycloak
        .par_place
        .as_ref()
        .filter(|_| keycloak.keycloak.par == Par::Off)
    else {
        return;
    };
    let never = needing_push(apps, floors, names);
    let never: Vec<&str> = never.iter().map(String::as_str).collect();
    let problem = Problem::error(
        Code::ParOff,
        place,
        "without pushed requests no level above the base is ever proven",
    )
    .warning();
    report.push(if never.is_empty() {
        problem.help("`par = \"auto\"`: Keycloak has had it since version 15")
    } else {
        problem.help(format!("so these can never be met: {}", quoted(&never)))
    });
}

/// Routes and floors that nobody meets without pushed requests: without them no level above the base is proven.
pub(super) fn needing_push(apps: &[AppDraft], floors: &[FloorDraft], names: &Names) -> Vec<String> {
    let unmeetable = |requirement: &Requirement| {
        names.ladder.level(requirement.rank).is_some_and(|level| {
            let held = level.proofs.iter().any(|proof| !proof.is_claims_only());
            !level.base && (requirement.max_age.is_some() || !held)
        })
    };
    let routes = apps.iter().flat_map(|app| {
        app.routes
            .iter()
            .filter(|draft| unmeetable(&draft.route.requirement))
            .map(|draft| format!("{}/{}", app.name, draft.route.id))
    });
    let floors = floors
        .iter()
        .filter(|draft| unmeetable(&draft.floor.requirement))
        .map(|draft| format!("floor {}", draft.floor.id));
    routes.chain(floors).collect()
}

fn check_reserved(draft: &RouteDraft, report: &Report) {
    if is_reserved(&draft.route.pattern) {
        report.push(reserved(&draft.place));
    }
}

fn is_reserved(pattern: &Pattern) -> bool {
    Pattern::parse(RESERVED).is_ok_and(|reserved| {
        matches!(
            pattern.relation(&reserved),
            Relation::Subset | Relation::Equal
        )
    })
}

fn reserved(place: &Place) -> Problem {
    Problem::error(
        Code::ReservedPath,
        place,
        "stepgate answers what lies under `/.stepgate/` itself",
    )
}

/// A pattern that only escaped or odd characters match wants its upstream to let them through.
fn check_canonical(draft: &RouteDraft, names: &Names, report: &Report) {
    let Some(upstream) = names.upstreams.get(draft.route.upstream) else {
        return;
    };
    let needs = draft.route.pattern.needs();
    if upstream.accept.contains(needs) {
        return;
    }
    let missing: Vec<_> = needs
        .names()
        .filter(|name| !upstream.accept.names().any(|known| known == *name))
        .collect();
    report.push(
        Problem::error(
            Code::RefusedPath,
            &draft.place,
            format!("no request for `{}` gets through", draft.route.pattern),
        )
        .help(format!(
            "`accept` of the upstream `{}` has to name {}",
            upstream.name,
            quoted(&missing)
        )),
    );
}

/// Of two that match one request, one has to be narrower; of equal paths, one has to list methods and the other not.
fn check_overlap(draft: &RouteDraft, other: &RouteDraft, report: &Report) {
    let (route, rival) = (&draft.route, &other.route);
    let path = match route.pattern.relation(&rival.pattern) {
        Relation::Overlap { witness } => witness,
        Relation::Equal if route.methods.is_some() == rival.methods.is_some() => route
            .pattern
            .meet(&rival.pattern)
            .unwrap_or_else(|| route.pattern.text().to_owned()),
        _ => return,
    };
    let Some(method) = route.shared_method(rival) else {
        return;
    };
    report.push(
        Problem::error(
            Code::Overlap,
            &draft.place,
            format!(
                "`{method} {path}` falls under both `{}` and `{}`, and neither is narrower",
                rival.id, route.id
            ),
        )
        .related(&other.place, format!("`{}`", rival.id))
        .help("narrow one of them, by its path or by its methods"),
    );
}

fn check_loosens<'d>(
    draft: &RouteDraft,
    routes: impl IntoIterator<Item = &'d RouteDraft>,
    report: &Report,
) {
    if draft.loosens {
        return;
    }
    let route = &draft.route;
    for other in routes {
        let wider = match route.pattern.relation(&other.route.pattern) {
            Relation::Subset => true,
            Relation::Equal => route.methods.is_some() && other.route.methods.is_none(),
            _ => false,
        };
        // `public = true` says loudly enough that it demands less than the app does.
        let said = route.requirement.is_public() && other.is_default;
        if !wider || said || route.shared_method(&other.route).is_none() {
            continue;
        }
        let keys = looser_keys(&route.requirement, &other.route.requirement);
        if !keys.is_empty() {
            report.push(
                Problem::error(
                    Code::Loosens,
                    &draft.place,
                    format!(
                        "the route `{}` demands less than `{}`, which is wider: {}",
                        route.id,
                        other.route.id,
                        quoted(&keys)
                    ),
                )
                .related(&other.place, format!("`{}`", other.route.id))
                .help("`loosens = true` if that is meant"),
            );
            return;
        }
    }
}

fn meets_in_lower_case(left: &Pattern, right: &Pattern) -> bool {
    let lowered = |pattern: &Pattern| Pattern::parse(&pattern.text().to_ascii_lowercase()).ok();
    match (lowered(left), lowered(right)) {
        (Some(left), Some(right)) => left.meet(&right).is_some(),
        // Lower-casing a pattern breaks none but by its parameters' names; then it is taken as met.
        _ => true,
    }
}
