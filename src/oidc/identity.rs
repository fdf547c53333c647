//! Who a token's claims say it is.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Keycloak;
use crate::model::claims::Claims;
use crate::model::evidence::Identity;

/// From the ID token, else from the access token of the same answer: stock Keycloak puts `realm_access.roles` there only.
/// `kept` are the names that the configuration reads anywhere.
pub fn identity(
    id: &Claims,
    access: Option<&Claims>,
    keycloak: &Keycloak,
    kept: &[String],
) -> Identity {
    let either = |name: &str| {
        [Some(id), access]
            .into_iter()
            .flatten()
            .find_map(|claims| claims.lookup(name).filter(|value| !value.is_null()))
    };
    let names = |name: &str| {
        [Some(id), access]
            .into_iter()
            .flatten()
            .find_map(|claims| texts(claims.lookup(name)?))
            .unwrap_or_default()
    };
    let claims: BTreeMap<_, _> = kept
        .iter()
        .filter_map(|name| Some((name.clone(), either(name)?.clone())))
        .collect();
    Identity {
        iss: id.text("iss").unwrap_or_default().to_owned(),
        sub: id.text("sub").unwrap_or_default().to_owned(),
        sid: id.text("sid").map(str::to_owned),
        groups: names(&keycloak.groups_claim),
        roles: names(&keycloak.roles_claim),
        claims,
    }
}

/// An array of strings only; anything else is no list of names.
fn texts(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|member| member.as_str().map(str::to_owned))
        .collect()
}
