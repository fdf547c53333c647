//! The routes of an app, and the one for every path that no route names.

use std::time::Duration;

use http::Method;

use super::app::upstream;
use super::installation::body_bytes;
use super::require::{self, Partial};
use super::{Names, approvals, park};
use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::{Fields, Text, check_name};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::model::requirement::Requirement;
use crate::model::route::{Challenge, OnLapse, Pattern, PatternError, Route, is_served};

/// The id of what an app's own `require` makes.
const DEFAULT: &str = "default";

/// For whoever is asked to step up while something streams.
const GRACE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct RouteDraft {
    pub(super) route: Route,
    /// Of its path; of `require` for the app's own.
    pub(super) place: Place,
    pub(super) loosens: bool,
    /// None: the app's.
    pub(super) body_bytes: Option<u64>,
    pub(super) park_bytes: Option<u64>,
    /// Where it is named, whether or not there is such an approval.
    pub(super) approval: Option<Place>,
    /// The app's own, for every path.
    pub(super) is_default: bool,
}

impl RouteDraft {
    /// Of an app that has no upstream: whatever would be sent there has no index to be sent to.
    pub(super) fn of_our_own(id: &str, place: Place, requirement: Requirement) -> Self {
        Self::for_every_path(id, place, requirement, usize::MAX)
    }

    fn for_every_path(id: &str, place: Place, requirement: Requirement, upstream: usize) -> Self {
        Self {
            route: Route {
                id: id.to_owned(),
                pattern: Pattern::everything(),
                methods: None,
                requirement,
                upstream,
                exact_case: false,
                challenge: Challenge::default(),
                on_lapse: OnLapse::default(),
                source: place.as_route_source(),
            },
            place,
            loosens: false,
            body_bytes: None,
            park_bytes: None,
            approval: None,
            is_default: true,
        }
    }
}

/// What is broken is left out, with its problem reported.
pub(super) fn resolve(app_name: &str, app: Fields<'_>, names: &Names) -> Vec<RouteDraft> {
    let report = app.report();
    let default_upstream = app
        .required_text("upstream")
        .and_then(|given| upstream(given, names, report));
    let own = app_requirement(app, names);
    let challenge = challenge(app).unwrap_or_default();
    let on_lapse = on_lapse(app).unwrap_or_default();
    let mut routes: Vec<RouteDraft> = Vec::new();
    let mut ids: Vec<Text<'_>> = Vec::new();
    for node in app.tables("routes") {
        let Some(fields) = Fields::open(node, &keys::ROUTE, report) else {
            continue;
        };
        if let Some(id) = fields.required_text("id") {
            check_name(id.text, id.place, &[DEFAULT, "none"], report);
            match ids.iter().find(|known| known.text == id.text) {
                Some(first) => report.push(
                    Problem::error(
                        Code::Duplicate,
                        id.place,
                        format!("the route `{}` stands twice", id.text),
                    )
                    .related(first.place, "first here"),
                ),
                None => ids.push(id),
            }
        }
        let approval = approvals::named(app_name, app, fields);
        let drafted = route(fields, own.as_ref(), default_upstream, names);
        routes.extend(drafted.map(|mut draft| {
            if !draft.route.requirement.is_public() {
                draft.route.requirement.approval = approval;
            }
            draft.approval = fields.key_place("approval").cloned();
            draft.route.challenge = self::challenge(fields).unwrap_or(challenge);
            draft.route.on_lapse = self::on_lapse(fields).unwrap_or(on_lapse);
            draft
        }));
    }
    let default = default_route(own, default_upstream, names, report);
    routes.extend(default.map(|mut draft| {
        draft.route.challenge = challenge;
        draft.route.on_lapse = on_lapse;
        draft
    }));
    routes
}

pub(super) fn path(given: Text<'_>, report: &Report) -> Option<Pattern> {
    match Pattern::parse(given.text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let code = match error {
                PatternError::Unreachable(_) => Code::RefusedPath,
                _ => Code::BadPath,
            };
            report.push(
                Problem::error(code, given.place, format!("`{}`: {error}", given.text))
                    .help("such as \"/payments/{id}/release\", \"/static/**\", \"/reports/*.pdf\""),
            );
            None
        }
    }
}

/// Upper case, and served at all. `None`: the key is absent.
pub(super) fn methods(fields: Fields<'_>) -> Option<Vec<Method>> {
    let given = fields.texts("methods")?;
    Some(
        given
            .into_iter()
            .filter_map(|given| {
                let method = Method::from_bytes(given.text.as_bytes()).ok();
                let fine = method.filter(is_served);
                if fine.is_none() {
                    let problem = Problem::error(
                        Code::BadMethod,
                        given.place,
                        format!("`{}` is not a method that is served", given.text),
                    );
                    let upper = given.text.to_ascii_uppercase();
                    fields.report().push(if upper == given.text {
                        problem.help("TRACE and CONNECT are answered 405")
                    } else {
                        problem.help(format!("did you mean `{upper}`?"))
                    });
                }
                fine
            })
            .collect(),
    )
}

fn challenge(fields: Fields<'_>) -> Option<Challenge> {
    fields.choice(
        "challenge",
        &[
            ("auto", Challenge::Auto),
            ("redirect", Challenge::Redirect),
            ("api", Challenge::Api),
        ],
    )
}

/// `None`: the key is absent, or wrong.
fn on_lapse(fields: Fields<'_>) -> Option<OnLapse> {
    let chosen = fields.choice(
        "on_lapse",
        &[
            ("close", OnLapse::Close),
            ("grace", OnLapse::Grace(GRACE)),
            ("keep", OnLapse::Keep),
        ],
    );
    let chosen = match chosen {
        Some(OnLapse::Grace(usual)) => {
            Some(OnLapse::Grace(fields.span("lapse_grace").unwrap_or(usual)))
        }
        other => other,
    };
    // A wrong word for it has been told already.
    if let Some(place) = fields.key_place("lapse_grace")
        && !matches!(chosen, Some(OnLapse::Grace(_)))
        && (chosen.is_some() || fields.node("on_lapse").is_none())
    {
        fields.report().push(
            Problem::error(
                Code::GraceOfNothing,
                place,
                "`lapse_grace` is how long `on_lapse = \"grace\"` waits",
            )
            .help("add `on_lapse = \"grace\"`, or take it out"),
        );
    }
    chosen
}

fn app_requirement(app: Fields<'_>, names: &Names) -> Option<Partial> {
    let report = app.report();
    let Some(node) = app.node("require") else {
        report.push(
            Problem::error(
                Code::NoLevelRequired,
                app.place(),
                "the policy does not say what a path requires that no route names",
            )
            .help("require = { level = \"…\" } at the top of the file"),
        );
        return None;
    };
    require::read(node, names, report)
}

fn default_route(
    own: Option<Partial>,
    upstream: Option<usize>,
    names: &Names,
    report: &Report,
) -> Option<RouteDraft> {
    let own = own?;
    let place = own.place.clone();
    let requirement = own.into_requirement(report)?;
    let upstream = upstream?;
    let mut draft = RouteDraft::for_every_path(DEFAULT, place, requirement, upstream);
    draft.route.exact_case = exact_case(upstream, names);
    Some(draft)
}

fn route(
    fields: Fields<'_>,
    own: Option<&Partial>,
    default_upstream: Option<usize>,
    names: &Names,
) -> Option<RouteDraft> {
    let report = fields.report();
    let id = fields.text("id");
    let given = fields.required_text("path");
    let pattern = given.and_then(|given| path(given, report));
    let methods = methods(fields);
    let upstream = match fields.text("upstream") {
        Some(given) => upstream(given, names, report),
        None => default_upstream,
    };
    let public = fields.flag("public").unwrap_or(false);
    let loosens = fields.flag("loosens").unwrap_or(false);
    let body_bytes = body_bytes(fields);
    let park_bytes = park::bytes(fields, "park_bytes", names.park_most);
    let require = fields.node("require");
    let requirement = if public {
        check_public(fields, methods.as_deref());
        Some(Requirement::PUBLIC)
    } else {
        requirement(require, own, names, report)
    };
    let place = given?.place.clone();
    let upstream = upstream?;
    Some(RouteDraft {
        route: Route {
            id: id?.text.to_owned(),
            pattern: pattern?,
            methods,
            requirement: requirement?,
            upstream,
            exact_case: exact_case(upstream, names),
            challenge: Challenge::default(),
            on_lapse: OnLapse::default(),
            source: place.as_route_source(),
        },
        place,
        loosens,
        body_bytes,
        park_bytes,
        approval: None,
        is_default: false,
    })
}

/// Without a `require` of its own, the app's.
fn requirement(
    node: Option<&Node>,
    own: Option<&Partial>,
    names: &Names,
    report: &Report,
) -> Option<Requirement> {
    let Some(node) = node else {
        // A level that the app's lacks is reported there.
        return own
            .filter(|own| own.rank.is_some())?
            .clone()
            .into_requirement(report);
    };
    let partial = require::read(node, names, report)?;
    if partial.inherits() {
        // Nothing to inherit from: that is reported where it is missing.
        let own = own.filter(|own| own.rank.is_some() || partial.rank.is_some())?;
        return partial.over(own).into_requirement(report);
    }
    partial.into_requirement(report)
}

fn check_public(fields: Fields<'_>, methods: Option<&[Method]>) {
    let report = fields.report();
    for key in ["require", "approval"] {
        let Some(place) = fields.key_place(key) else {
            continue;
        };
        let problem = Problem::error(
            Code::PublicAndRequire,
            place,
            "a public route requires nothing",
        );
        report.push(match fields.key_place("public") {
            Some(public) => problem.related(public, "public here"),
            None => problem,
        });
        // Its own problems count all the same, but not for this route.
    }
    let other = methods
        .into_iter()
        .flatten()
        .find(|method| !matches!(**method, Method::GET | Method::HEAD));
    if let (Some(method), Some(node)) = (other, fields.node("methods")) {
        report.push(
            Problem::error(
                Code::PublicMethod,
                &node.place,
                format!("a public route answers GET and HEAD only, not {method}"),
            )
            .help("what writes belongs to somebody: give it a route with a `require`"),
        );
    }
}

fn exact_case(upstream: usize, names: &Names) -> bool {
    names
        .upstreams
        .get(upstream)
        .is_some_and(|upstream| upstream.exact_case)
}
