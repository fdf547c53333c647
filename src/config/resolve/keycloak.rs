//! `[keycloak]`: the realm, and how stepgate shows that it is the client.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::load::Outside;
use crate::config::problem::{Place, Problem, quoted};
use crate::config::resolved::{ClientAuth, Keycloak, Par};
use crate::config::secret;

use super::urls;

/// Asymmetric ones: with a shared secret every client of it could sign.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
const DEFAULT_ALGORITHMS: [&str; 4] = ["RS256", "ES256", "PS256", "EdDSA"];

pub(super) struct Resolved {
    pub(super) keycloak: Keycloak,
    /// Of `par`, where it is given.
    pub(super) par_place: Option<Place>,
}

pub(super) fn resolve(root: Fields<'_>, outside: &Outside<'_>) -> Option<Resolved> {
    let fields = Fields::open(root.required("keycloak")?, &keys::KEYCLOAK, root.report())?;
    let issuer = fields
        .required_text("issuer")
        .and_then(|given| urls::issuer(given, root.report()));
    let client_id = fields.required_text("client_id");
    let client_auth = client_auth(fields, outside);
    let par = fields.choice(
        "par",
        &[
            ("auto", Par::Auto),
            ("require", Par::Require),
            ("off", Par::Off),
        ],
    );
    let claim = |key: &str, default: &str| {
        fields
            .text(key)
            .map_or_else(|| default.to_owned(), |given| given.text.to_owned())
    };
    let groups_claim = claim("groups_claim", "groups");
    let roles_claim = claim("roles_claim", "realm_access.roles");
    let timeout = fields.span("timeout").unwrap_or(Duration::from_secs(5));
    let algorithms = algorithms(fields);
    Some(Resolved {
        keycloak: Keycloak {
            issuer: issuer?,
            client_id: client_id?.text.to_owned(),
            client_auth: client_auth?,
            par: par.unwrap_or_default(),
            groups_claim,
            roles_claim,
            timeout,
            algorithms,
        },
        par_place: fields.node("par").map(|node| node.place.clone()),
    })
}

fn client_auth(fields: Fields<'_>, outside: &Outside<'_>) -> Option<ClientAuth> {
    let report = fields.report();
    let kid = fields.text("client_key_id").map(|kid| kid.text.to_owned());
    match (fields.node("client_secret"), fields.node("client_key")) {
        (Some(secret), None) => {
            if let Some(place) = fields.key_place("client_key_id") {
                report.push(Problem::error(
                    Code::ClientAuth,
                    place,
                    "`client_key_id` goes with `client_key`",
                ));
            }
            Some(ClientAuth::Secret(secret::read(secret, outside, report)?))
        }
        (None, Some(key)) => {
            let pem = secret::read(key, outside, report)?;
            if !pem.reveal().is_empty() && !pem.reveal().contains("-----BEGIN PRIVATE KEY-----") {
                report.push(
                    Problem::error(
                        Code::WeakSecret,
                        &key.place,
                        "not a private key in PKCS#8 PEM",
                    )
                    .help("openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out NEW.pem"),
                );
            }
            Some(ClientAuth::PrivateKey { pem, kid })
        }
        (None, None) => {
            report.push(
                Problem::error(
                    Code::ClientAuth,
                    fields.place(),
                    "nothing shows Keycloak that stepgate is the client",
                )
                .help("`client_secret = { file = \"…\" }`, or `client_key` for private_key_jwt"),
            );
            None
        }
        (Some(secret), Some(key)) => {
            report.push(
                Problem::error(
                    Code::ClientAuth,
                    &key.place,
                    "either `client_secret` or `client_key`",
                )
                .related(&secret.place, "the other one"),
            );
            None
        }
    }
}

pub(super) fn algorithms(fields: Fields<'_>) -> Vec<String> {
    let Some(given) = fields.texts("algorithms") else {
        return DEFAULT_ALGORITHMS.map(str::to_owned).to_vec();
    };
    given
        .into_iter()
        .filter_map(|name| {
            if ALGORITHMS.contains(&name.text) {
                return Some(name.text.to_owned());
            }
            let code = if name.text.starts_with("HS") || name.text == "none" {
                Code::Unsigned
            } else {
                Code::UnknownValue
            };
            fields.report().push(
                Problem::error(
                    code,
                    name.place,
                    format!("tokens signed with `{}` are not accepted", name.text),
                )
                .help(format!("possible are {}", quoted(&ALGORITHMS))),
            );
            None
        })
        .collect()
}
