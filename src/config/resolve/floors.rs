//! `[[floors]]`: requirements that come on top of whatever route wins.

use super::app::AppDraft;
use super::routes::{methods, path};
use super::{Names, require};
use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::{Fields, check_name};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::model::route::Floor;

#[derive(Debug)]
pub(super) struct FloorDraft {
    pub(super) floor: Floor,
    pub(super) place: Place,
    /// Without: every host.
    hosts: Option<Vec<(String, Place)>>,
}

pub(super) fn resolve(root: Fields<'_>, names: &Names) -> Vec<FloorDraft> {
    let mut floors: Vec<FloorDraft> = Vec::new();
    for node in root.tables("floors") {
        let Some(draft) = draft(node, names, root.report()) else {
            continue;
        };
        match floors.iter().find(|known| known.floor.id == draft.floor.id) {
            Some(first) => root.report().push(
                Problem::error(
                    Code::Duplicate,
                    &draft.place,
                    format!("the floor `{}` stands twice", draft.floor.id),
                )
                .related(&first.place, "first here"),
            ),
            None => floors.push(draft),
        }
    }
    floors
}

/// A host that no app has, and an app of which only some hosts are meant: its hosts show the same things.
pub(super) fn check_hosts(floors: &[FloorDraft], apps: &[AppDraft], report: &Report) {
    let known: Vec<&str> = apps
        .iter()
        .flat_map(|app| &app.origins)
        .map(|(origin, _)| origin.authority.as_str())
        .collect();
    for (host, place) in floors
        .iter()
        .filter_map(|floor| floor.hosts.as_ref())
        .flatten()
    {
        if !known.contains(&host.as_str()) {
            report.push(
                Problem::error(
                    Code::UnknownHost,
                    place,
                    format!("no app has the host `{host}`"),
                )
                .did_you_mean(host, known.iter().copied()),
            );
        }
    }
    for floor in floors {
        let Some(hosts) = &floor.hosts else {
            continue;
        };
        for app in apps.iter().filter(|app| floor.covers(app)) {
            let missing = app
                .origins
                .iter()
                .find(|(origin, _)| !hosts.iter().any(|(host, _)| *host == origin.authority));
            if let (Some((missing, there)), Some((_, place))) = (missing, hosts.first()) {
                report.push(
                    Problem::error(
                        Code::PartOfHosts,
                        place,
                        format!(
                            "the app `{}` is the same behind `{}`, which the floor does not name",
                            app.name, missing.authority
                        ),
                    )
                    .related(there, "one of the app's")
                    .help("name all hosts of an app, or none"),
                );
            }
        }
    }
}

impl FloorDraft {
    /// It is for one of the app's hosts.
    pub(super) fn covers(&self, app: &AppDraft) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| {
            hosts.iter().any(|(host, _)| {
                app.origins
                    .iter()
                    .any(|(origin, _)| origin.authority == *host)
            })
        })
    }
}

fn draft(node: &Node, names: &Names, report: &Report) -> Option<FloorDraft> {
    let fields = Fields::open(node, &keys::FLOOR, report)?;
    let id = fields.required_text("id");
    if let Some(id) = id {
        check_name(id.text, id.place, &[], report);
    }
    let pattern = fields.text("path").map(|given| path(given, report));
    let methods = methods(fields);
    let hosts = fields.texts("hosts").map(|hosts| {
        hosts
            .into_iter()
            .map(|host| (host.text.to_ascii_lowercase(), host.place.clone()))
            .collect()
    });
    let partial = fields
        .required("require")
        .and_then(|node| require::read(node, names, report))?;
    if partial.empty {
        report.push(Problem::error(
            Code::EmptyValue,
            &partial.place,
            "the floor requires nothing",
        ));
    }
    let requirement = partial.into_floor()?;
    let id = id?;
    Some(FloorDraft {
        floor: Floor {
            id: id.text.to_owned(),
            pattern: match pattern {
                Some(pattern) => Some(pattern?),
                None => None,
            },
            methods,
            requirement,
            source: id.place.as_route_source(),
        },
        place: id.place.clone(),
        hosts,
    })
}
