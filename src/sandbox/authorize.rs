//! The authorization endpoint: which factors a request needs, their pages, and the way back to the client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use url::Url;

use super::pages::{self, message};
use super::realm::{Grant, LEVELS, Realm, Sso, Tab, User};

const COOKIE: &str = "SANDBOX_SESSION";
/// The scope that switches the one-time code on, and the claim that tells so.
pub(in crate::sandbox) const SCOPE: &str = "auth-otp-form";

type Parameters = BTreeMap<String, String>;

pub(in crate::sandbox) async fn authorize(
    State(realm): State<Arc<Realm>>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    // Parameters beside a `request_uri` are ignored, as Keycloak does.
    let request = match query.get("request_uri") {
        Some(uri) => match realm.state().pushed.remove(uri) {
            Some(pushed) => pushed,
            None => return bad("The request is unknown or was used before."),
        },
        None => query,
    };
    realm.state().asked.push(request.clone());
    {
        let client = realm.client();
        let redirect = request.get("redirect_uri").cloned().unwrap_or_default();
        if request.get("client_id") != Some(&client.id)
            || !client
                .redirects
                .iter()
                .any(|allowed| redirect.starts_with(allowed))
        {
            return bad("Unknown client or redirect URI.");
        }
    }
    if request.get("code_challenge_method").map(String::as_str) != Some("S256") {
        return bad("PKCE with S256 is required.");
    }
    let forced_error = {
        let mut quirks = realm.quirks();
        quirks
            .authorization_error_once
            .take()
            .or_else(|| quirks.authorization_error.clone())
    };
    if let Some(code) = forced_error {
        return back(&realm, &request, &[("error", &code)]);
    }
    let essential_unknown = essential(&request).is_some_and(|acr| !LEVELS.contains(&acr.as_str()));
    if essential_unknown {
        return bad("Invalid parameter: claims");
    }
    let sid = session_cookie(&headers).filter(|sid| realm.state().sessions.contains_key(sid));
    let tab = Tab {
        user: None,
        passed: BTreeSet::new(),
        code: format!(
            "{:06}",
            realm
                .draw()
                .bytes()
                .fold(7_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 1_000_000)
        ),
        sso: sid,
        scope_factor: false,
        request,
    };
    let id = realm.draw();
    realm.state().tabs.insert(id.clone(), tab);
    proceed(&realm, &id, None)
}

/// Reload of a form.
pub(in crate::sandbox) async fn show(
    State(realm): State<Arc<Realm>>,
    Query(query): Query<Parameters>,
) -> Response {
    proceed(&realm, query.get("tab").map_or("", String::as_str), None)
}

pub(in crate::sandbox) async fn answer(
    State(realm): State<Arc<Realm>>,
    Query(query): Query<Parameters>,
    Form(form): Form<Parameters>,
) -> Response {
    let id = query.get("tab").cloned().unwrap_or_default();
    let Some(tab) = realm.state().tabs.get(&id).cloned() else {
        return bad("This page has expired.");
    };
    if form.contains_key("cancel") {
        realm.state().tabs.remove(&id);
        return back(&realm, &tab.request, &[("error", "access_denied")]);
    }
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    match query.get("factor").map(String::as_str) {
        Some("1") => {
            let typed = realm
                .quirks()
                .other_user
                .clone()
                .unwrap_or_else(|| field("username").to_owned());
            let known = realm.user(&typed).filter(|user| {
                field("password") == user.password || realm.quirks().other_user.is_some()
            });
            let Some(user) = known else {
                return proceed(&realm, &id, Some("Wrong user name or password."));
            };
            // Keycloak does not switch users on a live session either.
            let switched = tab.sso.as_ref().is_some_and(|sid| {
                realm
                    .state()
                    .sessions
                    .get(sid)
                    .is_some_and(|sso| sso.user != user.name)
            });
            if switched && realm.quirks().other_user.is_none() {
                return bad("You are already signed in as somebody else.");
            }
            let name = user.name.clone();
            update(&realm, &id, |tab| {
                tab.user = Some(name);
                if switched {
                    tab.sso = None;
                }
                tab.passed.insert(1);
            });
        }
        Some("2") if field("otp") == tab.code => update(&realm, &id, |tab| {
            tab.passed.insert(2);
        }),
        Some("scope") if field("otp") == tab.code => {
            update(&realm, &id, |tab| tab.scope_factor = true)
        }
        Some("3") => update(&realm, &id, |tab| {
            tab.passed.insert(3);
        }),
        _ => return proceed(&realm, &id, Some("That is not the code.")),
    }
    proceed(&realm, &id, None)
}

fn update(realm: &Realm, id: &str, change: impl FnOnce(&mut Tab)) {
    if let Some(tab) = realm.state().tabs.get_mut(id) {
        change(tab);
    }
}

/// The page of the next factor, or the way back.
fn proceed(realm: &Realm, id: &str, error: Option<&str>) -> Response {
    let Some(tab) = realm.state().tabs.get(id).cloned() else {
        return bad("This page has expired.");
    };
    let sso = tab
        .sso
        .as_ref()
        .and_then(|sid| realm.state().sessions.get(sid).cloned());
    let wanted = wanted(&tab.request);
    let forced = is_forced(&tab.request, sso.as_ref(), realm.now().as_unix());
    let valid = |level: usize| {
        tab.passed.contains(&level)
            || (!forced
                && sso
                    .as_ref()
                    .is_some_and(|sso| sso.is_valid(level, realm.now())))
    };
    // Somebody known, asked for nothing in particular: the session answers, at whatever level is left.
    let silent = !forced && sso.is_some() && tab.passed.is_empty() && asked(&tab.request).is_none();
    let user = tab
        .user
        .as_deref()
        .or(sso.as_ref().map(|sso| sso.user.as_str()))
        .and_then(|name| realm.user(name));
    let skip = realm.quirks().skip_factors && user.is_some();
    let missing = if silent || skip {
        None
    } else {
        (1..=wanted).find(|level| !valid(*level))
    };
    if tab.request.get("prompt").map(String::as_str) == Some("none")
        && (missing.is_some() || user.is_none())
    {
        realm.state().tabs.remove(id);
        return back(realm, &tab.request, &[("error", "login_required")]);
    }
    match missing {
        Some(level) => factor_page(realm, id, &tab, level, user, error),
        // The stock conditional scope: asked after a password, never on a session that is there.
        None if has_scope(&tab.request) && tab.passed.contains(&1) && !tab.scope_factor => {
            otp_page(realm, id, &tab, "scope", user, error)
        }
        None => finish(realm, id, &tab, sso, user),
    }
}

fn factor_page(
    realm: &Realm,
    id: &str,
    tab: &Tab,
    level: usize,
    user: Option<&User>,
    error: Option<&str>,
) -> Response {
    match level {
        1 => pages::Form {
            title: "Sign in",
            text: "The sandbox's users: ".to_owned()
                + &realm
                    .users
                    .iter()
                    .map(|u| format!("{} ({})", u.name, u.password))
                    .collect::<Vec<_>>()
                    .join(", "),
            action: action(realm, id, "1"),
            fields: &[
                (
                    "username",
                    "User name",
                    "text",
                    tab.request.get("login_hint").map_or("", String::as_str),
                ),
                ("password", "Password", "password", ""),
            ],
            button: "Sign in",
            error,
            cancel: true,
        }
        .page(),
        2 => otp_page(realm, id, tab, "2", user, error),
        _ => pages::Form {
            title: "Security key",
            text: "Pretend to touch your security key.".to_owned(),
            action: action(realm, id, "3"),
            fields: &[],
            button: "Touch the key",
            error,
            cancel: true,
        }
        .page(),
    }
}

fn otp_page(
    realm: &Realm,
    id: &str,
    tab: &Tab,
    factor: &str,
    user: Option<&User>,
    error: Option<&str>,
) -> Response {
    let enrols = user.is_some_and(|user| !user.has_otp);
    pages::Form {
        title: if enrols {
            "Set up a one-time code"
        } else {
            "One-time code"
        },
        text: format!("Your code, this being a sandbox: {}", tab.code),
        action: action(realm, id, factor),
        fields: &[("otp", "Code", "text", "")],
        button: "Continue",
        error,
        cancel: true,
    }
    .page()
}

fn action(realm: &Realm, id: &str, factor: &str) -> String {
    format!(
        "{}/login-actions/authenticate?tab={id}&factor={factor}",
        realm.issuer
    )
}

fn finish(realm: &Realm, id: &str, tab: &Tab, sso: Option<Sso>, user: Option<&User>) -> Response {
    let Some(user) = user else {
        return bad("Nobody is signed in.");
    };
    let now = realm.now();
    let interactive = !tab.passed.is_empty();
    let sid = tab.sso.clone().unwrap_or_else(|| realm.draw());
    let mut sso = sso.unwrap_or_else(|| Sso {
        user: user.name.clone(),
        auth_time: now,
        levels: BTreeMap::new(),
        amr: BTreeSet::new(),
        last_acr: String::new(),
    });
    if interactive {
        sso.auth_time = now;
    }
    for level in &tab.passed {
        sso.levels.insert(*level, now);
        match level {
            1 => sso.amr.insert("pwd"),
            // An enrolment is no use of the factor.
            2 if user.has_otp => sso.amr.insert("otp"),
            3 => sso.amr.insert("hwk"),
            _ => false,
        };
    }
    if tab.scope_factor {
        sso.amr.insert("otp");
    }
    let forced = is_forced(&tab.request, Some(&sso), now.as_unix()) && interactive;
    let reached = if forced {
        tab.passed.iter().max().copied().unwrap_or(0)
    } else {
        sso.valid(now, &tab.passed)
    };
    let reached = if realm.quirks().skip_factors {
        reached.max(wanted(&tab.request))
    } else {
        reached
    };
    let capped = essential(&tab.request)
        .and_then(|acr| level_of(&acr))
        .map_or(reached, |cap| reached.min(cap));
    let acr = capped
        .checked_sub(1)
        .and_then(|index| LEVELS.get(index))
        .map_or_else(|| "0".to_owned(), ToString::to_string);
    sso.last_acr.clone_from(&acr);
    let grant = Grant {
        sid: sid.clone(),
        nonce: tab.request.get("nonce").cloned(),
        challenge: tab.request.get("code_challenge").cloned(),
        redirect_uri: tab.request.get("redirect_uri").cloned().unwrap_or_default(),
        scope: tab.request.get("scope").cloned().unwrap_or_default(),
        acr,
        scope_claim: has_scope(&tab.request),
    };
    let code = realm.draw();
    {
        let mut state = realm.state();
        state.tabs.remove(id);
        state.sessions.insert(sid.clone(), sso);
        state.codes.insert(code.clone(), grant);
    }
    let mut response = back(
        realm,
        &tab.request,
        &[("code", &code), ("session_state", &sid)],
    );
    if let Ok(cookie) = HeaderValue::try_from(format!(
        "{COOKIE}={sid}; Path=/realms/{}; HttpOnly; SameSite=Lax",
        realm.name
    )) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn back(realm: &Realm, request: &Parameters, answer: &[(&str, &str)]) -> Response {
    let redirect = request
        .get("redirect_uri")
        .and_then(|uri| Url::parse(uri).ok());
    let Some(mut url) = redirect else {
        return bad("No redirect URI.");
    };
    {
        let mut query = url.query_pairs_mut();
        if let Some(state) = request.get("state") {
            query.append_pair("state", state);
        }
        let iss = realm
            .quirks()
            .response_iss
            .clone()
            .unwrap_or_else(|| realm.issuer.clone());
        query.extend_pairs(answer).append_pair("iss", &iss);
    }
    (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response()
}

fn bad(text: &str) -> Response {
    let mut response = message("Something is wrong", text);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

fn session_cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split(';').find_map(|pair| {
        pair.trim()
            .strip_prefix(COOKIE)?
            .strip_prefix('=')
            .map(ToOwned::to_owned)
    })
}

fn level_of(acr: &str) -> Option<usize> {
    LEVELS
        .iter()
        .position(|level| *level == acr)
        .map(|index| index + 1)
}

/// The lowest of the levels asked; an unknown value asks for nothing.
fn asked(request: &Parameters) -> Option<usize> {
    match essential(request) {
        Some(acr) => level_of(&acr),
        None => request
            .get("acr_values")?
            .split(' ')
            .map(|acr| level_of(acr).unwrap_or(0))
            .min(),
    }
}

fn wanted(request: &Parameters) -> usize {
    asked(request).unwrap_or(1).max(1)
}

fn essential(request: &Parameters) -> Option<String> {
    let claims: Value = serde_json::from_str(request.get("claims")?).ok()?;
    let acr = claims.get("id_token")?.get("acr")?;
    acr.get("essential")?
        .as_bool()
        .filter(|essential| *essential)?;
    let value = acr.get("value").or_else(|| acr.get("values")?.get(0))?;
    Some(value.as_str()?.to_owned())
}

fn has_scope(request: &Parameters) -> bool {
    request
        .get("scope")
        .is_some_and(|scope| scope.split(' ').any(|name| name == SCOPE))
}

/// `prompt=login`, or a `max_age` that the session has outlived: every factor is asked again.
fn is_forced(request: &Parameters, sso: Option<&Sso>, now: i64) -> bool {
    let prompted = request.get("prompt").map(String::as_str) == Some("login");
    let outlived = request
        .get("max_age")
        .and_then(|age| age.parse::<i64>().ok())
        .is_some_and(|age| sso.is_some_and(|sso| sso.auth_time.as_unix() + age < now));
    prompted || outlived
}
