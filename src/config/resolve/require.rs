//! `require = { … }`: read as it stands, merged key by key over the app's, and turned into a requirement.

use std::time::Duration;

use serde_json::Value as Json;

use super::Names;
use super::bearer::scopes;
use super::levels::claim_values;
use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::{self, Fields};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::model::level::Rank;
use crate::model::requirement::{Conditions, Network, Requirement};

/// What stands there; `None` = the key is absent.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    pub(super) place: Place,
    pub(super) rank: Option<Rank>,
    max_age: Option<Age>,
    groups_any: Option<Vec<String>>,
    groups_all: Option<Vec<String>>,
    roles_any: Option<Vec<String>>,
    roles_all: Option<Vec<String>>,
    scopes_any: Option<Vec<String>>,
    scopes_all: Option<Vec<String>>,
    networks_any: Option<Vec<Network>>,
    claims: Option<Vec<(String, Vec<Json>)>>,
    inherit: bool,
    /// A level was given but is not known: that is reported already.
    pub(super) unknown_level: bool,
    /// No key at all.
    pub(super) empty: bool,
}

#[derive(Clone, Copy, Debug)]
enum Age {
    Any,
    Within(Duration),
}

pub(super) fn read(node: &Node, names: &Names, report: &Report) -> Option<Partial> {
    let fields = Fields::open(node, &keys::REQUIRE, report)?;
    let texts = |key: &str| {
        fields.texts(key).map(|texts| {
            texts
                .into_iter()
                .map(|text| text.text.to_owned())
                .collect::<Vec<_>>()
        })
    };
    let rank = level(fields, names);
    Some(Partial {
        place: node.place.clone(),
        rank,
        max_age: max_age(fields),
        groups_any: texts("groups_any"),
        groups_all: texts("groups_all"),
        roles_any: texts("roles_any"),
        roles_all: texts("roles_all"),
        scopes_any: scopes(fields, "scopes_any"),
        scopes_all: scopes(fields, "scopes_all"),
        networks_any: networks(fields, names),
        claims: fields.has("claims").then(|| {
            fields
                .named("claims")
                .iter()
                .map(|entry| (entry.key.clone(), claim_values(entry, report)))
                .collect()
        }),
        inherit: fields.flag("inherit").unwrap_or(true),
        unknown_level: rank.is_none() && fields.has("level"),
        empty: node.entries().is_empty(),
    })
}

impl Partial {
    pub(super) fn inherits(&self) -> bool {
        self.inherit
    }

    /// Each key singly over the app's, in either direction.
    #[must_use]
    pub(super) fn over(self, app: &Self) -> Self {
        if !self.inherit {
            return self;
        }
        Self {
            rank: self.rank.or(app.rank),
            max_age: self.max_age.or(app.max_age),
            groups_any: self.groups_any.or_else(|| app.groups_any.clone()),
            groups_all: self.groups_all.or_else(|| app.groups_all.clone()),
            roles_any: self.roles_any.or_else(|| app.roles_any.clone()),
            roles_all: self.roles_all.or_else(|| app.roles_all.clone()),
            scopes_any: self.scopes_any.or_else(|| app.scopes_any.clone()),
            scopes_all: self.scopes_all.or_else(|| app.scopes_all.clone()),
            networks_any: self.networks_any.or_else(|| app.networks_any.clone()),
            claims: self.claims.or_else(|| app.claims.clone()),
            unknown_level: self.unknown_level || (self.rank.is_none() && app.unknown_level),
            ..self
        }
    }

    /// `None` with a problem: nothing that is not public goes without a level.
    pub(super) fn into_requirement(self, report: &Report) -> Option<Requirement> {
        if self.rank.is_none() && !self.unknown_level {
            report.push(
                Problem::error(
                    Code::NoLevelRequired,
                    &self.place,
                    "this requires no level",
                )
                .help("level = \"…\"; what is to be open to everybody is a route with `public = true`"),
            );
        }
        let rank = self.rank?;
        Some(self.at(rank))
    }

    /// Of a floor: without a level, whoever is signed in.
    pub(super) fn into_floor(self) -> Option<Requirement> {
        if self.unknown_level {
            return None;
        }
        let rank = self.rank.unwrap_or(Rank::LOWEST);
        Some(self.at(rank))
    }

    fn at(self, rank: Rank) -> Requirement {
        Requirement {
            rank,
            max_age: match self.max_age {
                Some(Age::Within(span)) => Some(span),
                Some(Age::Any) | None => None,
            },
            conditions: Conditions {
                groups_any: self.groups_any.unwrap_or_default(),
                groups_all: self.groups_all.unwrap_or_default(),
                roles_any: self.roles_any.unwrap_or_default(),
                roles_all: self.roles_all.unwrap_or_default(),
                scopes_any: self.scopes_any.unwrap_or_default(),
                scopes_all: self.scopes_all.unwrap_or_default(),
                networks_any: self.networks_any.unwrap_or_default(),
                claims: self.claims.unwrap_or_default(),
            },
            approval: None,
        }
    }
}

/// In which keys `narrow` demands less than `wide`.
pub(super) fn looser_keys(narrow: &Requirement, wide: &Requirement) -> Vec<&'static str> {
    let any = |narrow: &[String], wide: &[String]| {
        !wide.is_empty() && (narrow.is_empty() || narrow.iter().any(|name| !wide.contains(name)))
    };
    let all = |narrow: &[String], wide: &[String]| wide.iter().any(|name| !narrow.contains(name));
    let networks = |conditions: &Conditions| -> Vec<String> {
        conditions
            .networks_any
            .iter()
            .map(|network| network.name.clone())
            .collect()
    };
    let (less, more) = (&narrow.conditions, &wide.conditions);
    let keys = [
        ("level", narrow.rank < wide.rank),
        (
            "max_age",
            match (narrow.max_age, wide.max_age) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(narrow), Some(wide)) => narrow > wide,
            },
        ),
        ("groups_any", any(&less.groups_any, &more.groups_any)),
        ("groups_all", all(&less.groups_all, &more.groups_all)),
        ("roles_any", any(&less.roles_any, &more.roles_any)),
        ("roles_all", all(&less.roles_all, &more.roles_all)),
        ("scopes_any", any(&less.scopes_any, &more.scopes_any)),
        ("scopes_all", all(&less.scopes_all, &more.scopes_all)),
        ("networks_any", any(&networks(less), &networks(more))),
        ("claims", claims_looser(&less.claims, &more.claims)),
        (
            "approval",
            wide.approval.is_some() && narrow.approval != wide.approval,
        ),
    ];
    keys.into_iter()
        .filter_map(|(key, looser)| looser.then_some(key))
        .collect()
}

/// The claims that its conditions read.
pub(super) fn claims(requirement: &Requirement) -> impl Iterator<Item = String> + '_ {
    requirement
        .conditions
        .claims
        .iter()
        .map(|(name, _)| name.clone())
}

fn claims_looser(narrow: &[(String, Vec<Json>)], wide: &[(String, Vec<Json>)]) -> bool {
    wide.iter().any(|(name, allowed)| {
        !narrow.iter().any(|(other, values)| {
            other == name && values.iter().all(|value| allowed.contains(value))
        })
    })
}

pub(super) fn level(fields: Fields<'_>, names: &Names) -> Option<Rank> {
    let given = fields.text("level")?;
    let found = names.ladder.by_name(given.text).map(|level| level.rank);
    if found.is_none() {
        fields.report().push(
            Problem::error(
                Code::UnknownLevel,
                given.place,
                format!("there is no level `{}`", given.text),
            )
            .did_you_mean(
                given.text,
                names.ladder.iter().map(|level| level.name.as_str()),
            ),
        );
    }
    found
}

fn max_age(fields: Fields<'_>) -> Option<Age> {
    let node = fields.node("max_age")?;
    if matches!(&node.value, Value::Text(text) if text == "any") {
        return Some(Age::Any);
    }
    let span = fields::duration(node, fields.report())?;
    if span < Duration::from_secs(1) {
        fields.report().push(
            Problem::error(
                Code::NeverMet,
                &node.place,
                "no proof is ever that fresh: ages are in whole seconds, and the way back takes one",
            )
            .help("a span that a person can act in, such as \"2m\""),
        );
    }
    Some(Age::Within(span))
}

fn networks(fields: Fields<'_>, names: &Names) -> Option<Vec<Network>> {
    networks_of(fields, "networks_any", names)
}

pub(super) fn networks_of(fields: Fields<'_>, key: &str, names: &Names) -> Option<Vec<Network>> {
    let given = fields.texts(key)?;
    Some(
        given
            .into_iter()
            .filter_map(|given| {
                let found = names
                    .networks
                    .iter()
                    .find(|network| network.name == given.text);
                if found.is_none() {
                    fields.report().push(
                        Problem::error(
                            Code::UnknownNetwork,
                            given.place,
                            format!("there is no network `{}`", given.text),
                        )
                        .did_you_mean(
                            given.text,
                            names.networks.iter().map(|network| network.name.as_str()),
                        ),
                    );
                }
                found.cloned()
            })
            .collect(),
    )
}
