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
        scopes: access.map(scopes).unwrap_or_default(),
        claims,
    }
}

/// RFC 6749 section 3.3. Of an access token only: an ID token is for nobody's use but the client's.
fn scopes(access: &Claims) -> Vec<String> {
    let text = access.text("scope").unwrap_or_default();
    text.split(' ')
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An array of strings only; anything else is no list of names.
fn texts(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|member| member.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::{ClientAuth, Par};
    use crate::model::session::Secret;

    fn read(id: Value, access: Option<Value>, kept: &[&str]) -> Identity {
        let keycloak = Keycloak {
            issuer: "https://sso.example.com/realms/corp".to_owned(),
            client_id: "stepgate".to_owned(),
            client_auth: ClientAuth::Secret(Secret::new("secret")),
            par: Par::Auto,
            groups_claim: "groups".to_owned(),
            roles_claim: "realm_access.roles".to_owned(),
            timeout: Duration::from_secs(5),
            algorithms: Vec::new(),
        };
        let claims = |value: Value| Claims(serde_json::from_value(value).unwrap());
        let kept: Vec<_> = kept.iter().map(|name| (*name).to_owned()).collect();
        identity(&claims(id), access.map(claims).as_ref(), &keycloak, &kept)
    }

    #[test]
    fn the_id_token_is_asked_first() {
        let who = read(
            json!({ "iss": "i", "sub": "u", "sid": "s", "groups": ["a"], "email": "u@id" }),
            Some(
                json!({ "sub": "u", "groups": ["b"], "realm_access": { "roles": ["r"] },
                "email": "u@access", "department": "d" }),
            ),
            &["email", "department", "absent"],
        );
        assert_eq!((who.iss.as_str(), who.sub.as_str()), ("i", "u"));
        assert_eq!(who.sid.as_deref(), Some("s"));
        assert_eq!(who.groups, ["a"]);
        assert_eq!(who.roles, ["r"]);
        assert_eq!(
            who.claims.into_iter().collect::<Vec<_>>(),
            [
                ("department".to_owned(), json!("d")),
                ("email".to_owned(), json!("u@id"))
            ]
        );
    }

    #[test]
    fn a_list_is_an_array_of_strings_only() {
        for odd in [
            json!("admins"),
            json!(["admins", 7]),
            json!({ "0": "admins" }),
            json!(null),
        ] {
            let who = read(json!({ "sub": "u", "groups": odd }), None, &[]);
            assert!(who.groups.is_empty());
        }
        let who = read(
            json!({ "sub": "u", "groups": [] }),
            Some(json!({ "groups": ["b"] })),
            &[],
        );
        assert!(who.groups.is_empty(), "an empty list is an answer");
    }

    #[test]
    fn a_dotted_name_is_a_key_first_and_then_a_path() {
        let who = read(
            json!({ "sub": "u", "a.b": 1, "a": { "b": 2, "c": null } }),
            Some(json!({ "a": { "c": 3 } })),
            &["a.b", "a.c"],
        );
        assert_eq!(who.claims["a.b"], json!(1));
        assert_eq!(who.claims["a.c"], json!(3));
    }
}
