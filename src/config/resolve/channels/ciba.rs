//! `kind = "ciba"`: Keycloak has the requester confirm it on a device.

use crate::config::channel::{CibaDelivery, CibaDevice};
use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::problem::Problem;

/// Keycloak hands on five, and one of them may be the summary.
const MOST: usize = 4;

/// In characters; what is longer Keycloak leaves out.
const LONGEST: usize = 200;

/// What we say ourselves, or Keycloak takes for its own (CIBA Core 7.1).
const RESERVED: [&str; 18] = [
    "acr_values",
    "auth_req_id",
    "binding_message",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_notification_token",
    "client_secret",
    "grant_type",
    "id_token_hint",
    "login_hint",
    "login_hint_token",
    "request",
    "request_uri",
    "requested_expiry",
    "scope",
    "summary",
    "user_code",
];

pub(super) fn resolve(fields: Fields<'_>) -> CibaDevice {
    let report = fields.report();
    let given = fields.map("params").unwrap_or_default();
    if given.len() > MOST
        && let Some(node) = fields.node("params")
    {
        report.push(Problem::error(
            Code::OutOfRange,
            &node.place,
            format!("Keycloak hands on {MOST} parameters beside the summary"),
        ));
    }
    let params = given.into_iter().filter_map(|(name, value)| {
        if RESERVED.contains(&name.as_str()) {
            report.push(Problem::error(
                Code::ReservedParameter,
                value.place,
                format!("`{name}` is set by stepgate"),
            ));
            return None;
        }
        if value.text.chars().count() > LONGEST {
            report.push(Problem::error(
                Code::OutOfRange,
                value.place,
                format!("Keycloak hands on {LONGEST} characters of a parameter"),
            ));
            return None;
        }
        Some((name, value.text.to_owned()))
    });
    let delivery = fields.choice(
        "delivery",
        &[("poll", CibaDelivery::Poll), ("ping", CibaDelivery::Ping)],
    );
    CibaDevice {
        params: params.collect(),
        delivery: delivery.unwrap_or_default(),
    }
}
