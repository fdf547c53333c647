//! A policy file: the origins of an app, what every path of it requires, and what its routes say otherwise.

use std::sync::Arc;
use std::time::Duration;

use super::approvals::ApprovalDraft;
use super::bearer::{self, BearerDraft};
use super::floors::FloorDraft;
use super::installation::body_bytes;
use super::routes::{self, RouteDraft};
use super::upstreams::addresses;
use super::{
    Names, approvals, approver, cookies, forward_auth, identity, levels, park, require, urls,
};
use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::{Fields, Text, check_name};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::{App, ForwardAuth, IdentityHeaders, Login, Origin};
use crate::model::requirement::Requirement;
use crate::model::route::RouteTable;
use crate::model::target::Relaxations;

#[derive(Debug)]
pub(super) struct AppDraft {
    pub(super) name: String,
    pub(super) origins: Vec<(Origin, Place)>,
    /// The app's own, for every path, is the last.
    pub(super) routes: Vec<RouteDraft>,
    identity: IdentityHeaders,
    app_cookies: Vec<String>,
    login: Login,
    cors_origins: Vec<String>,
    pub(super) bearer: Option<BearerDraft>,
    body_bytes: Option<u64>,
    park_bytes: Option<u64>,
    inject_agent: bool,
    renew_before: Option<Duration>,
    /// With its place.
    pub(super) forward_auth: Option<(ForwardAuth, Place)>,
    pub(super) approvals: Vec<ApprovalDraft>,
}

/// `idle`: after which a session ends unused.
pub(super) fn resolve(
    name: &str,
    node: &Node,
    names: &Names,
    idle: Duration,
    report: &Report,
) -> Option<AppDraft> {
    let app = Fields::open(node, &keys::APP, report)?;
    check_name(name, &node.place, &[approver::NAME], report);
    Some(AppDraft {
        name: name.to_owned(),
        origins: addresses(app)
            .into_iter()
            .filter_map(|given| Some((urls::origin(given, report)?, given.place.clone())))
            .collect(),
        routes: routes::resolve(name, app, names),
        approvals: approvals::resolve(name, app, names),
        forward_auth: forward_auth::resolve(app),
        identity: identity::resolve(app),
        app_cookies: cookies::resolve(app),
        login: login(app),
        cors_origins: cors_origins(app),
        bearer: bearer::resolve(app, names),
        body_bytes: body_bytes(app),
        park_bytes: park::bytes(app, "park_bytes", names.park_most),
        inject_agent: app.flag("inject_agent").unwrap_or(false),
        renew_before: renew_before(app, idle),
    })
}

impl AppDraft {
    /// An app that stepgate answers itself: one route, and nothing behind it.
    pub(super) fn of_our_own(
        name: &str,
        origin: (Origin, Place),
        requirement: Requirement,
    ) -> Self {
        Self {
            name: name.to_owned(),
            routes: vec![RouteDraft::of_our_own(name, origin.1.clone(), requirement)],
            origins: vec![origin],
            identity: IdentityHeaders::default(),
            app_cookies: Vec::new(),
            login: Login::default(),
            cors_origins: Vec::new(),
            bearer: None,
            body_bytes: None,
            park_bytes: Some(0),
            inject_agent: false,
            renew_before: None,
            forward_auth: None,
            approvals: Vec::new(),
        }
    }

    pub(super) fn kc_idp_hint(&self) -> Option<&str> {
        self.login.kc_idp_hint.as_deref()
    }

    pub(super) fn claims(&self) -> Vec<String> {
        self.routes
            .iter()
            .flat_map(|draft| require::claims(&draft.route.requirement))
            .chain(identity::claims(&self.identity))
            .chain(approvals::claims(&self.approvals))
            .collect()
    }

    /// How much of a body of that route is kept; `usual`: where neither it nor the app says otherwise.
    pub(super) fn park_bytes_of(&self, route: &RouteDraft, usual: u64) -> u64 {
        // The body does not come here where another proxy asks.
        match self.forward_auth {
            None => route.park_bytes.or(self.park_bytes).unwrap_or(usual),
            Some(_) => 0,
        }
    }

    /// `body_bytes` and `park_bytes`: where neither the route nor the app says otherwise.
    pub(super) fn finish(
        self,
        floors: &[FloorDraft],
        names: &Names,
        body_bytes: u64,
        park_bytes: u64,
    ) -> App {
        let floors = floors
            .iter()
            .filter(|draft| draft.covers(&self))
            .map(|draft| draft.floor.clone())
            .collect();
        let accept = self
            .routes
            .iter()
            .filter_map(|draft| names.upstreams.get(draft.route.upstream))
            .fold(Relaxations::NONE, |all, upstream| all | upstream.accept);
        let default = self.body_bytes.unwrap_or(body_bytes);
        let of_route = |draft: &RouteDraft| draft.body_bytes.unwrap_or(default);
        let kept_of = |draft: &RouteDraft| self.park_bytes_of(draft, park_bytes);
        App {
            park_bytes: self.routes.iter().map(kept_of).collect(),
            body_bytes: self.routes.iter().map(of_route).collect(),
            name: self.name,
            origins: self.origins.into_iter().map(|(origin, _)| origin).collect(),
            table: Arc::new(RouteTable::new(
                self.routes.into_iter().map(|draft| draft.route).collect(),
                floors,
            )),
            accept,
            identity: self.identity,
            app_cookies: self.app_cookies,
            login: self.login,
            cors_origins: self.cors_origins,
            bearer: self.bearer.map(|draft| draft.bearer),
            inject_agent: self.inject_agent,
            renew_before: self.renew_before,
            forward_auth: self.forward_auth.map(|(kind, _)| kind),
            approvals: self.approvals.into_iter().map(|draft| draft.rule).collect(),
        }
    }
}

/// The index of the upstream that is named.
pub(super) fn upstream(given: Text<'_>, names: &Names, report: &Report) -> Option<usize> {
    let found = names
        .upstreams
        .iter()
        .position(|upstream| upstream.name == given.text);
    if found.is_none() {
        report.push(
            Problem::error(
                Code::UnknownUpstream,
                given.place,
                format!("there is no upstream `{}`", given.text),
            )
            .did_you_mean(
                given.text,
                names
                    .upstreams
                    .iter()
                    .map(|upstream| upstream.name.as_str()),
            ),
        );
    }
    found
}

fn renew_before(app: Fields<'_>, idle: Duration) -> Option<Duration> {
    let span = app.span("renew_before")?;
    if span < idle {
        return Some(span);
    }
    app.report().push(
        Problem::error(
            Code::OutOfRange,
            &app.node("renew_before")?.place,
            "`renew_before` is not shorter than `idle` of `[sessions]`",
        )
        .help("a page would offer to renew all the time"),
    );
    None
}

fn cors_origins(app: Fields<'_>) -> Vec<String> {
    let Some(fields) = app.table("cors", &keys::CORS) else {
        return Vec::new();
    };
    let _ = fields.required("origins");
    fields
        .texts("origins")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| Some(urls::origin(given, app.report())?.text))
        .collect()
}

fn login(app: Fields<'_>) -> Login {
    let Some(fields) = app.table("login", &keys::LOGIN) else {
        return Login::default();
    };
    Login {
        kc_idp_hint: fields.text("kc_idp_hint").map(|hint| hint.text.to_owned()),
        params: levels::params(fields),
    }
}
