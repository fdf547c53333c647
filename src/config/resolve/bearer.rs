//! How an app takes access tokens: `bearer`, and the keys beside it.

use super::Names;
use super::app::AppDraft;
use super::floors::FloorDraft;
use super::keycloak;
use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::{Fields, wrong_type};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report, quoted};
use crate::config::resolved::{Bearer, DpopUse};
use crate::model::level::{Ladder, Rank};
use crate::model::requirement::{Conditions, Requirement};
use crate::policy::evidence::{BearerAge, for_bearer};

/// Of the app, beside `bearer`.
const FURTHER: [&str; 3] = ["bearer_age", "introspect", "forward_token"];

#[derive(Debug)]
pub(super) struct BearerDraft {
    pub(super) bearer: Bearer,
    /// Of the audience.
    place: Place,
}

/// Without `bearer`, or with `"off"`, `Authorization` is nobody's business here.
pub(super) fn resolve(app: Fields<'_>, names: &Names) -> Option<BearerDraft> {
    let age = app
        .choice("bearer_age", &[("auth_time", BearerAge::AuthTime)])
        .unwrap_or_default();
    let introspect = app.flag("introspect").unwrap_or(false);
    let forward_token = app.flag("forward_token").unwrap_or(false);
    let Some(node) = app.node("bearer").filter(|node| !is_off(node)) else {
        check_alone(app);
        return None;
    };
    let fields = fields(app, node)?;
    let dpop = fields
        .choice(
            "dpop",
            &[("auto", DpopUse::Auto), ("require", DpopUse::Require)],
        )
        .unwrap_or_default();
    let algorithms = match fields.has("algorithms") {
        true => keycloak::algorithms(fields),
        false => names.algorithms.clone(),
    };
    let required = scopes(fields, "required_scopes").map(|scopes_all| Requirement {
        rank: Rank::LOWEST,
        max_age: None,
        conditions: Conditions {
            scopes_all,
            ..Conditions::NONE
        },
        approval: None,
    });
    let audience = fields.required_text("audience")?;
    Some(BearerDraft {
        bearer: Bearer {
            audience: audience.text.to_owned(),
            algorithms,
            required,
            age,
            introspect,
            dpop,
            forward_token,
        },
        place: audience.place.clone(),
    })
}

/// As RFC 6749 section 3.3 has them: with a blank in it, one would never be met.
pub(super) fn scopes(fields: Fields<'_>, key: &str) -> Option<Vec<String>> {
    let given = fields.texts(key)?;
    for scope in given.iter().filter(|scope| !is_plain(scope.text)) {
        fields.report().push(
            Problem::error(
                Code::BadScope,
                scope.place,
                format!("`{}` is not a scope", scope.text),
            )
            .help("visible ASCII without `\"` and `\\`; several are a list"),
        );
    }
    Some(given.iter().map(|scope| scope.text.to_owned()).collect())
}

/// A token for one app must be nothing at another (RFC 9700 section 2.3).
pub(super) fn check_audiences(apps: &[AppDraft], report: &Report) {
    let all: Vec<_> = apps.iter().filter_map(|app| app.bearer.as_ref()).collect();
    for (index, draft) in all.iter().enumerate() {
        let first = all
            .iter()
            .take(index)
            .find(|other| other.bearer.audience == draft.bearer.audience);
        if let Some(first) = first {
            report.push(
                Problem::error(
                    Code::AudienceTwice,
                    &draft.place,
                    format!(
                        "two apps take tokens for the audience `{}`",
                        draft.bearer.audience
                    ),
                )
                .related(&first.place, "first here")
                .help("each app has its own, by an audience mapper of its own in the realm"),
            );
        }
    }
}

/// What a bearer never meets is answered 403 to all of them, which is hardly what was meant.
pub(super) fn check_met(app: &AppDraft, floors: &[FloorDraft], names: &Names, report: &Report) {
    let Some(draft) = &app.bearer else {
        return;
    };
    let never = |requirement: &Requirement| {
        let known = names.ladder.level(requirement.rank).is_some();
        let (rank, max_age) = (requirement.rank, requirement.max_age);
        known && for_bearer(&names.ladder, rank, max_age, draft.bearer.age).is_none()
    };
    let routes = app
        .routes
        .iter()
        .filter(|route| never(&route.route.requirement))
        .map(|route| route.route.id.clone());
    let floors = floors
        .iter()
        .filter(|floor| floor.covers(app) && never(&floor.floor.requirement))
        .map(|floor| format!("floor {}", floor.floor.id));
    let never: Vec<String> = routes.chain(floors).collect();
    if never.is_empty() {
        return;
    }
    let never: Vec<&str> = never.iter().map(String::as_str).collect();
    let problem = Problem::error(
        Code::NoBearerMeets,
        &draft.place,
        format!("no bearer ever meets {}", quoted(&never)),
    )
    .warning();
    report.push(match draft.bearer.age {
        BearerAge::Unknown => problem.help(
            "a bearer's level has no age: `bearer_age = \"auth_time\"` takes the token's `auth_time` for it; \
             a proof by claims alone never counts",
        ),
        BearerAge::AuthTime => problem.help(
            "a proof by claims alone, or by a `kc_idp_hint`, counts only where stepgate sent the user itself",
        ),
    });
}

/// A challenge names the level by its `acr` in a quoted string (RFC 9470 section 3).
pub(super) fn check_challenges(ladder: &Ladder, apps: &[AppDraft], report: &Report) {
    let Some(draft) = apps.iter().find_map(|app| app.bearer.as_ref()) else {
        return;
    };
    for level in ladder.iter() {
        let named = level
            .ask
            .acr_values
            .iter()
            .chain(level.proofs.iter().flat_map(|proof| &proof.acr));
        for acr in named.filter(|acr| !is_plain(acr)) {
            report.push(
                Problem::error(
                    Code::UnspeakableAcr,
                    &draft.place,
                    format!("no challenge can name the acr `{acr}` of `{}`", level.name),
                )
                .help("visible ASCII without `\"` and `\\`; another name in the realm's `acr.loa.map`"),
            );
        }
    }
}

/// What a quoted string holds without an escape, and what is no separator inside it.
fn is_plain(acr: &str) -> bool {
    acr.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "off")
}

fn fields<'d>(app: Fields<'d>, node: &'d Node) -> Option<Fields<'d>> {
    if let Value::Text(text) = &node.value {
        app.report().push(
            Problem::error(
                Code::UnknownValue,
                &node.place,
                format!("`bearer` cannot be `{text}`"),
            )
            .help("`bearer = \"off\"`, or `bearer = { audience = \"…\" }`"),
        );
        return None;
    }
    if !matches!(node.value, Value::Table(_)) {
        return wrong_type(node, "\"off\" or a table", app.report());
    }
    Fields::open(node, &keys::BEARER, app.report())
}

/// Keys that say how bearers are taken, and none are.
fn check_alone(app: Fields<'_>) {
    for key in FURTHER {
        if let Some(place) = app.key_place(key) {
            app.report().push(
                Problem::error(
                    Code::WithoutBearer,
                    place,
                    format!("`{key}` goes with `bearer`, and the app takes no bearers"),
                )
                .help("`bearer = { audience = \"…\" }`"),
            );
        }
    }
}
