//! The conditions of a requirement: groups, roles, scopes, networks, claims. Compared exactly.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::evidence::Identity;
use crate::model::requirement::Conditions;

/// A condition that is not met, by its key in config, and what would have met it.
pub(super) struct Unmet {
    pub(super) condition: &'static str,
    pub(super) wanted: Vec<String>,
}

pub(super) fn check(
    conditions: &Conditions,
    identity: &Identity,
    client: IpAddr,
) -> Result<(), Unmet> {
    any("groups_any", &conditions.groups_any, &identity.groups)?;
    all("groups_all", &conditions.groups_all, &identity.groups)?;
    any("roles_any", &conditions.roles_any, &identity.roles)?;
    all("roles_all", &conditions.roles_all, &identity.roles)?;
    any("scopes_any", &conditions.scopes_any, &identity.scopes)?;
    all("scopes_all", &conditions.scopes_all, &identity.scopes)?;
    networks(conditions, client)?;
    claims(conditions, identity)
}

fn any(condition: &'static str, wanted: &[String], given: &[String]) -> Result<(), Unmet> {
    if wanted.is_empty() || wanted.iter().any(|name| given.contains(name)) {
        return Ok(());
    }
    Err(Unmet {
        condition,
        wanted: wanted.to_vec(),
    })
}

fn all(condition: &'static str, wanted: &[String], given: &[String]) -> Result<(), Unmet> {
    if wanted.iter().all(|name| given.contains(name)) {
        return Ok(());
    }
    Err(Unmet {
        condition,
        wanted: wanted.to_vec(),
    })
}

pub(super) fn networks(conditions: &Conditions, client: IpAddr) -> Result<(), Unmet> {
    let wanted = &conditions.networks_any;
    // An IPv4 client on an IPv6 socket is the same client.
    let client = client.to_canonical();
    let within = wanted
        .iter()
        .flat_map(|network| &network.ranges)
        .any(|range| range.contains(&client));
    if wanted.is_empty() || within {
        return Ok(());
    }
    Err(Unmet {
        condition: "networks_any",
        wanted: wanted.iter().map(|network| network.name.clone()).collect(),
    })
}

fn claims(conditions: &Conditions, identity: &Identity) -> Result<(), Unmet> {
    let unmet = conditions.claims.iter().find(|(name, values)| {
        !identity
            .claims
            .get(name)
            .is_some_and(|given| has_one_of(given, values))
    });
    match unmet {
        None => Ok(()),
        Some((name, values)) => Err(Unmet {
            condition: "claims",
            wanted: values
                .iter()
                .map(|value| format!("{name}={}", plain(value)))
                .collect(),
        }),
    }
}

/// A claim of several values has each of them.
fn has_one_of(given: &Value, values: &[Value]) -> bool {
    match given {
        Value::Array(members) => members.iter().any(|member| values.contains(member)),
        one => values.contains(one),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
