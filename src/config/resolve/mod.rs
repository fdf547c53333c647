//! From trees to a [`Config`]: the installation first, then every app against its names, then the rules over all routes.

mod admin;
mod app;
mod approvals;
mod approver;
mod bearer;
mod channels;
mod ciba;
mod cookies;
mod elsewhere;
mod escalate;
mod floors;
mod forward_auth;
mod hours;
mod identity;
mod installation;
mod keycloak;
mod levels;
mod park;
mod quiet;
mod require;
mod routes;
mod rules;
mod tls;
mod upstream_tls;
mod upstreams;
mod urls;
mod window;

use std::collections::HashMap;

use super::code::Code;
use super::document::Node;
use super::fields::Fields;
use super::keys;
use super::load::Outside;
use super::problem::{Problem, Report};
use super::resolved::{ApproverApp, Config, HostIndex, Upstream};
use crate::model::level::Ladder;
use crate::model::requirement::Network;

pub use identity::PRESETS;

/// What apps, routes and floors refer to by name.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) ladder: Ladder,
    pub(super) networks: Vec<Network>,
    pub(super) upstreams: Vec<Upstream>,
    /// Of `[keycloak]`.
    pub(super) algorithms: Vec<String>,
    /// The largest body that may be kept.
    pub(super) park_most: u64,
    pub(super) channels: Vec<String>,
}

pub(super) fn resolve(
    installation: &Node,
    apps: &[(String, Node)],
    outside: &Outside<'_>,
    report: &Report,
) -> Option<Config> {
    let root = Fields::open(installation, &keys::INSTALLATION, report)?;
    let basics = installation::resolve(root, outside);
    let tls = tls::resolve(root, outside);
    let proxy = [&tls.listen[..], &tls.listen_tls].concat();
    let admin = admin::resolve(root, &proxy, outside);
    let keycloak = keycloak::resolve(root, outside);
    let ladder = levels::resolve(root);
    let park = park::resolve(root);
    let channels = channels::resolve(root, outside);
    let names = Names {
        networks: installation::networks(root),
        upstreams: upstreams::resolve(root, outside),
        ladder: ladder.ladder,
        algorithms: keycloak
            .as_ref()
            .map(|resolved| resolved.keycloak.algorithms.clone())
            .unwrap_or_default(),
        park_most: park::most(&park),
        channels: root
            .named("channels")
            .iter()
            .map(|entry| entry.key.clone())
            .collect(),
    };
    let floors = floors::resolve(root, &names);

    if apps.is_empty() {
        report.push(
            Problem::nowhere(Code::NoPolicies, "there is no policy file, and so no app")
                .help("an app is one file in `policies`, such as policies/erp.toml"),
        );
    }
    let mut drafts: Vec<_> = apps
        .iter()
        .filter_map(|(name, node)| app::resolve(name, node, &names, basics.sessions.idle, report))
        .collect();
    channels::check_used(
        root,
        &channels,
        drafts.iter().flat_map(|draft| &draft.approvals),
    );
    channels::check_deciding(
        root,
        &channels,
        drafts.iter().flat_map(|draft| &draft.approvals),
    );
    rules::check_hosts(&drafts, report);
    let approver = approver::resolve(root, &names);
    if let Some(approver) = &approver {
        approver::check_host(approver, &drafts, report);
        let approvals = drafts.iter_mut().flat_map(|draft| &mut draft.approvals);
        approvals.for_each(|approval| approval.at_level(approver.level));
        // The last, whichever apps there are.
        drafts.push(approver.draft());
    }
    let usual = approver.as_ref().map(|approver| approver.level);
    let ciba = ciba::resolve(root, usual, &names, report);
    forward_auth::check_asked(&drafts, &basics.trusted_proxies, report);
    for draft in &drafts {
        rules::check_routes(draft, &names, report);
        rules::check_floors(draft, &floors, report);
        rules::check_providers(draft, &floors, &names, report);
        bearer::check_met(draft, &floors, &names, report);
        approvals::check(draft, park.body_bytes, root.has("approver_app"), report);
    }
    rules::check_floor_paths(&floors, &names, report);
    bearer::check_audiences(&drafts, report);
    bearer::check_challenges(&names.ladder, &drafts, report);
    floors::check_hosts(&floors, &drafts, report);
    let origins = drafts.iter().flat_map(|draft| &draft.origins);
    tls::check_covered(&tls, origins.map(|(origin, place)| (origin, place)), report);
    if let Some(keycloak) = &keycloak {
        rules::check_par(keycloak, &drafts, &floors, &names, report);
    }

    let needs_push = rules::needing_push(&drafts, &floors, &names);
    let mut kept_claims = ladder.claims;
    for draft in &drafts {
        kept_claims.extend(draft.claims());
    }
    for floor in &floors {
        kept_claims.extend(require::claims(&floor.floor.requirement));
    }
    kept_claims.sort();
    kept_claims.dedup();

    let mut apps: Vec<_> = drafts
        .into_iter()
        .map(|draft| draft.finish(&floors, &names, basics.limits.body_bytes, park.body_bytes))
        .collect();
    let mut hosts = HashMap::new();
    for (app, resolved) in apps.iter().enumerate() {
        for (origin, found) in resolved.origins.iter().enumerate() {
            hosts.insert(found.authority.clone(), HostIndex { app, origin });
        }
    }
    let signed = ciba.as_ref().filter(|ciba| ciba.by_device);
    let approver_app = approver.map(|approver| ApproverApp {
        app: apps.len().saturating_sub(1),
        level: approver.level,
        device_level: approvals::device_levels(&mut apps)
            .max(approver.level)
            .max(signed.map_or(approver.level, |ciba| ciba.level)),
        title: approver.title,
        device_cooldown: approver.device_cooldown,
    });
    Some(Config {
        listen: tls.listen,
        listen_tls: tls.listen_tls,
        plain: tls.plain,
        certificates: tls.certificates,
        client_certificates: tls.client_certificates,
        hsts: tls.hsts,
        trusted_proxies: basics.trusted_proxies,
        sessions: basics.sessions,
        keycloak: keycloak?.keycloak,
        ladder: names.ladder,
        seal_keys: basics.seal_keys,
        upstreams: names.upstreams,
        apps,
        approver_app,
        hosts,
        limits: basics.limits,
        park,
        quiet: quiet::resolve(root),
        log: basics.log,
        channels,
        ciba,
        admin,
        kept_claims,
        needs_push,
    })
}
