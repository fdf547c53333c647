//! `stepgate explain`: asks the deciding function about a request of a caller who is made up, and keeps what it said.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::report::{Answer, Demanded, Explanation, Lost, Place, Pushed, Wanted};
use super::{Explain, FINDINGS, Format, USAGE, loaded, say};
use crate::config::{self, App, Bearer, Config};
use crate::gate::{Told, told};
use crate::model::evidence::{Evidence, Identity};
use crate::model::level::{Ladder, Level, Rank};
use crate::model::requirement::Requirement;
use crate::model::route::{Origin, Part, Why, is_served};
use crate::model::target::{Ambiguity, Target};
use crate::model::time::Timestamp;
use crate::policy::ask::{self, Asking};
use crate::policy::decide;
use crate::policy::decision::{Decision, Need, Shortfall};
use crate::policy::evidence::{Assumed, assumed, assumed_of_bearer, have};
use crate::policy::facts::{Caller, Facts, Known};

/// Any time does: ages are given, and nothing here looks at a clock.
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

pub(super) fn run(path: &Path, asked: &Explain, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let Some(config) = loaded(path, err) else {
        return FINDINGS;
    };
    match explanation(&config, asked) {
        Ok(explanation) => {
            let text = match asked.format {
                Format::Text => explanation.to_text(),
                Format::Json => explanation.to_json(),
            };
            say(out, &text);
            0
        }
        Err(wrong) => {
            say(err, &format!("error: {wrong}\n"));
            USAGE
        }
    }
}

/// What cannot be explained because it was not typed as it should be.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("`{0}` is no address: write it as https://host/path")]
    Url(String),
    #[error("`{0}` is no method")]
    Method(String),
    #[error("there is no level `{name}`; there is: {known}")]
    Level { name: String, known: String },
    #[error("`{0}` is no duration: write it as 90s, 15m, 8h or 30d")]
    Duration(String),
    #[error("`{0}` is no claim: write it as name=value")]
    Claim(String),
    #[error("--age and --held say something of a level: add --level")]
    NoLevel,
}

/// Somebody with a session.
#[derive(Debug)]
struct Person {
    evidence: Evidence,
    identity: Identity,
}

fn explanation(config: &Config, asked: &Explain) -> Result<Explanation, Wrong> {
    let method = Method::from_bytes(asked.method.as_bytes())
        .map_err(|_| Wrong::Method(asked.method.clone()))?;
    let (authority, raw) = split(&asked.url).ok_or_else(|| Wrong::Url(asked.url.clone()))?;
    let mut person = person(&config.ladder, asked)?;
    let mut explanation = Explanation::of(format!("{} {}", asked.method, asked.url));
    let refuse = |mut explanation: Explanation, status: StatusCode, code: &str, why: String| {
        explanation.answer = Answer::refused(status, code, why);
        Ok(explanation)
    };
    if !is_served(&method) {
        let why = format!("{method} is not served; methods are in upper case");
        return refuse(explanation, StatusCode::METHOD_NOT_ALLOWED, "method", why);
    }
    let Some((app, scheme_matches)) = app_of(config, authority, &asked.url) else {
        let why = format!("no policy has a url with the host {authority}");
        return refuse(
            explanation,
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            why,
        );
    };
    if !scheme_matches {
        explanation.remarks.push(
            "the policy's url has the other scheme; it is looked up by host alone".to_owned(),
        );
    }
    let rules = app.bearer.as_ref().filter(|_| asked.bearer);
    if asked.bearer && rules.is_none() {
        explanation.remarks.push(
            "the app takes no bearers: Authorization passes untouched, and a cookie would decide"
                .to_owned(),
        );
        person = None;
    }
    if let (Some(person), Some(rules)) = (&mut person, rules) {
        person.evidence = bearer_evidence(&config.ladder, asked, rules);
    }
    let target = match Target::parse(raw.as_bytes(), app.accept) {
        Ok(target) => target,
        Err(ambiguity) => return Ok(ambiguous(explanation, ambiguity)),
    };
    explanation.path = Some(target.path().to_owned());
    if target.path().starts_with("/.stepgate/") {
        explanation
            .remarks
            .push("stepgate answers this itself; it is never forwarded".to_owned());
        return Ok(explanation);
    }
    let found = app.table.find_explained(&method, &target);
    let upstream = config.upstreams.get(found.found.route.upstream);
    if let Some(upstream) = upstream
        && !upstream.accept.contains(target.used())
        && let Err(ambiguity) = Target::parse(raw.as_bytes(), upstream.accept)
    {
        return Ok(ambiguous(explanation, ambiguity));
    }
    explanation.upstream = upstream.map(|upstream| upstream.name.clone());
    explanation.route = Some(Place::of_route(found.found.route));
    explanation.demanded = found
        .parts
        .iter()
        .map(|part| demanded(config, part))
        .collect();
    explanation.lost = found
        .losers
        .iter()
        .map(|lost| Lost {
            route: Place::of_route(lost.route),
            why: why(lost.why),
        })
        .collect();

    let facts = Facts {
        caller: person.as_ref().map_or(Known::Absent, |person| {
            Known::Found(Caller {
                evidence: &person.evidence,
                identity: &person.identity,
            })
        }),
        client: asked.from,
        preflight: false,
        grant: Known::Absent,
        spared: None,
    };
    let required = rules.and_then(|rules| rules.required.as_ref());
    let demand: Vec<&Requirement> = found.found.demand.iter().copied().chain(required).collect();
    let is_public = found.found.demand.iter().all(|part| part.is_public());
    // A public route does not look at tokens.
    let rules = rules.filter(|_| !is_public);
    let decision = match is_public {
        true => decide(&found.found.demand, &facts, &config.ladder, NOW),
        false => decide(&demand, &facts, &config.ladder, NOW),
    };
    explanation.have = person
        .as_ref()
        .map(|person| have(&config.ladder, &person.evidence, NOW))
        .map(|have| super::report::have(&config.ladder, have));
    if let Decision::Approve(approve) = &decision {
        let rule = config.approval(&approve.approval);
        let asking = app.table.asking(&found.found, &approve.approval);
        let pattern = &asking.pattern;
        explanation.approval = rule.map(|rule| Wanted::of(&config.ladder, rule, pattern));
    }
    match (rules, &decision) {
        (Some(rules), decision) if person.is_some() => {
            let told = told(&config.ladder, rules, decision, !asked.held);
            explanation.need = Some(super::report::need(&config.ladder, need(decision)));
            explanation.challenge = told.as_ref().and_then(Told::challenge);
            explanation.answer = Answer::of_bearer(decision, told.as_ref());
        }
        _ => {
            let challenge = found.found.route.challenge;
            tell(&mut explanation, config, app, &decision);
            let kept = app.table.position(found.found.route);
            let kept = kept.and_then(|position| app.park_bytes.get(position).copied());
            explanation.answer =
                Answer::of(&decision, &method, challenge, kept.unwrap_or_default());
        }
    }
    Ok(explanation)
}

/// What a token shows that stepgate did not have the user sign in for.
fn bearer_evidence(ladder: &Ladder, asked: &Explain, rules: &Bearer) -> Evidence {
    let level = asked.level.as_deref().and_then(|name| ladder.by_name(name));
    let rank = level.map_or(Rank::LOWEST, |level| level.rank);
    let age = asked.age.as_deref().and_then(config::parse_duration);
    let auth_time = (!asked.held).then(|| NOW.minus(age.unwrap_or_default()));
    assumed_of_bearer(ladder, rank, auth_time, rules.age)
}

/// What came back, and what a client would see of it.
fn tell(explanation: &mut Explanation, config: &Config, app: &App, decision: &Decision) {
    let ladder = &config.ladder;
    let need = need(decision);
    explanation.need = Some(super::report::need(ladder, need));
    let mut ask = |shortfall: Option<Shortfall>| {
        if let Some(level) = ladder.askable(need.rank) {
            explanation.pushed = Some(pushed(app, level, shortfall, need.max_age));
        }
    };
    match decision {
        Decision::Allow(_)
        | Decision::Approve(_)
        | Decision::Unavailable(_)
        | Decision::Deny(_) => {}
        Decision::Login(_) => ask(None),
        Decision::StepUp(step_up) => ask(Some(step_up.shortfall)),
    }
}

fn need(decision: &Decision) -> Need {
    match decision {
        Decision::Allow(permit) => permit.need(),
        Decision::Login(need) | Decision::Unavailable(need) => *need,
        Decision::StepUp(step_up) => step_up.need,
        Decision::Approve(approve) => approve.need,
        Decision::Deny(denial) => denial.need,
    }
}

fn pushed(
    app: &App,
    level: &Level,
    shortfall: Option<Shortfall>,
    max_age: Option<Duration>,
) -> Pushed {
    let request = ask::request(&Asking {
        level,
        shortfall,
        max_age,
        force_login: false,
        kc_idp_hint: app.login.kc_idp_hint.as_deref(),
        login_hint: None,
        params: &app.login.params,
    });
    Pushed {
        level: level.name.clone(),
        params: request.params,
    }
}

fn demanded(config: &Config, part: &Part<'_>) -> Demanded {
    let (by, place) = match part.origin {
        Origin::Route(route) => ("route", Place::of_route(route)),
        Origin::Unlisted(route) => ("sibling", Place::of_route(route)),
        Origin::Floor(floor) => ("floor", Place::of_floor(floor)),
    };
    Demanded {
        what: super::report::requirement(&config.ladder, part.requirement),
        by,
        place,
        reading: part.reading.clone(),
    }
}

const fn why(why: Why) -> &'static str {
    match why {
        Why::Method => "does not list the method",
        Why::PublicReadsOnly => "is public, and so answers GET and HEAD only",
        Why::ListsNone => "lists no methods, and a route with the same path lists this one",
        Why::Wider => "is wider",
    }
}

fn ambiguous(mut explanation: Explanation, ambiguity: Ambiguity) -> Explanation {
    let status = match ambiguity {
        Ambiguity::TooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut why = ambiguity.to_string();
    if ambiguity.relaxation().is_some() {
        why += &format!(
            "; an upstream that reads it safely says accept = [\"{}\"]",
            ambiguity.code()
        );
    }
    explanation.answer = Answer::refused(status, ambiguity.code(), why);
    explanation
}

/// The authority and the raw path and query: nothing is tidied, since a client would not do it either.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, raw) = rest.split_at_checked(end)?;
    let raw = if raw.is_empty() { "/" } else { raw };
    (!authority.is_empty() && !authority.contains('@')).then_some((authority, raw))
}

/// The app, and whether its origin has the URL's scheme.
fn app_of<'c>(config: &'c Config, authority: &str, url: &str) -> Option<(&'c App, bool)> {
    let place = config.place(authority)?;
    let app = config.apps.get(place.app)?;
    let https = url.starts_with("https://");
    Some((app, app.origins.get(place.origin)?.https == https))
}

fn person(ladder: &Ladder, asked: &Explain) -> Result<Option<Person>, Wrong> {
    let named = asked.level.is_some();
    if !named && (asked.age.is_some() || asked.held) {
        return Err(Wrong::NoLevel);
    }
    let described = asked.bearer
        || !asked.scopes.is_empty()
        || !asked.groups.is_empty()
        || !asked.roles.is_empty()
        || !asked.claims.is_empty();
    if asked.anonymous || !(named || described) {
        return Ok(None);
    }
    let rank = match &asked.level {
        // Whoever has groups has signed in.
        None => Rank::LOWEST,
        Some(name) => ladder
            .by_name(name)
            .map(|level| level.rank)
            .ok_or_else(|| {
                let known: Vec<_> = ladder.iter().map(|level| level.name.as_str()).collect();
                Wrong::Level {
                    name: name.clone(),
                    known: known.join(", "),
                }
            })?,
    };
    let how = match (&asked.age, asked.held) {
        (Some(age), _) => Assumed::Proven(
            config::parse_duration(age).ok_or_else(|| Wrong::Duration(age.clone()))?,
        ),
        (None, true) => Assumed::Held,
        (None, false) => Assumed::Proven(Duration::ZERO),
    };
    let mut claims = BTreeMap::new();
    for text in &asked.claims {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Wrong::Claim(text.clone()))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        claims.insert(name.to_owned(), value);
    }
    Ok(Some(Person {
        evidence: assumed(ladder, rank, how, NOW),
        identity: Identity {
            iss: String::new(),
            sub: "somebody".to_owned(),
            sid: None,
            groups: asked.groups.clone(),
            roles: asked.roles.clone(),
            scopes: asked.scopes.clone(),
            claims,
        },
    }))
}
