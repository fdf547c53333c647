//! `[approvals.NAME]` of a policy file: what somebody has to say yes to before a route's requests are sent, and who may.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::app::AppDraft;
use super::routes::{self, RouteDraft};
use super::{Names, elsewhere, escalate, hours, require, window};
use crate::config::code::Code;
use crate::config::document::{Entry, Value};
use crate::config::fields::{Fields, Text, check_name};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::{App, ApprovalRule, Grant, Reason};
use crate::model::approval::{Mode, Terms};
use crate::model::level::Rank;
use crate::model::parked::is_kept;
use crate::model::route::{Route, RouteTable};
use crate::model::target::{Relaxations, Target};
use crate::policy::approval::LONGEST;
use crate::policy::approval::summary::{Field, Summary};
use crate::policy::approval::when::When;
use crate::policy::approval::who::Approvers;

const TTL: Duration = Duration::from_secs(10 * 60);

const COOLDOWN: Duration = Duration::from_secs(60);

/// What is over is remembered for so long.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(24 * 60 * 60);

/// More than 20 bits, which is what NIST SP 800-63B-4 (3.1.3.2) wants of a number that is typed.
const DIGITS: u8 = 7;
const LEAST_DIGITS: u64 = 4;
const MOST_DIGITS: u64 = 12;

/// People who have to agree on one thing.
const MOST_VOTES: u64 = 20;

/// Those of a route that lists none.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

#[derive(Debug)]
pub(super) struct ApprovalDraft {
    pub(super) rule: ApprovalRule,
    /// Of its name.
    pub(super) place: Place,
    /// The rule names none, and the approver app's holds.
    usual_level: bool,
    /// The channel that is an approver, and where that stands.
    pub(super) webhook: Option<(String, Place)>,
    /// The same of a channel by which Keycloak decides.
    pub(super) ciba: Option<(String, Place)>,
}

/// As requirements have it: two apps may have approvals of one name.
fn full_name(app: &str, name: &str) -> String {
    format!("{app}/{name}")
}

/// What is broken is left out, with its problem reported.
pub(super) fn resolve(app_name: &str, app: Fields<'_>, names: &Names) -> Vec<ApprovalDraft> {
    let entries = app.named("approvals").iter();
    entries
        .filter_map(|entry| draft(app_name, entry, names, app.report()))
        .collect()
}

/// The approval that a route names; one that is broken is not unknown.
pub(super) fn named(app_name: &str, app: Fields<'_>, route: Fields<'_>) -> Option<String> {
    let given = route.text("approval")?;
    let known = app.node("approvals").map_or(&[][..], |node| node.entries());
    if !known.iter().any(|entry| entry.key == given.text) {
        let message = format!("there is no approval `{}`", given.text);
        let problem = Problem::error(Code::UnknownApproval, given.place, message);
        let table = format!(
            "[approvals.{}] of the same file says who may give it",
            given.text
        );
        let names = known.iter().map(|entry| entry.key.as_str());
        let problem = problem.help(table).did_you_mean(given.text, names);
        route.report().push(problem);
    }
    Some(full_name(app_name, given.text))
}

/// The claims that its approvals read, of whoever asks and of whoever decides.
pub(super) fn claims(approvals: &[ApprovalDraft]) -> impl Iterator<Item = String> + '_ {
    static OF_VOTERS: [&str; 3] = ["preferred_username", "email", "email_verified"];
    let is_used = !approvals.is_empty();
    let of_voters = OF_VOTERS.iter().filter(move |_| is_used);
    let of_requesters = approvals.iter().flat_map(|draft| {
        let of_when = draft.rule.when.iter().flat_map(|when| &when.above);
        let read = draft.rule.summary.fields();
        let read = read.chain(of_when.map(|(field, _)| field));
        let shown = read.filter_map(|field| match field {
            Field::Claim(name) => Some(name),
            _ => None,
        });
        shown.chain(&draft.rule.approvers.claim)
    });
    of_voters
        .map(|name| (*name).to_owned())
        .chain(of_requesters.cloned())
}

/// What holds between the approvals of an app, its routes, and where people decide. `kept`: how much of a body is kept
/// where neither the route nor the app says otherwise.
pub(super) fn check(app: &AppDraft, kept: u64, has_approver_app: bool, report: &Report) {
    for draft in &app.approvals {
        let users: Vec<_> = app
            .routes
            .iter()
            .filter(|route| route.route.requirement.approval.as_ref() == Some(&draft.rule.name))
            .collect();
        if users.is_empty() {
            report.push(
                Problem::error(
                    Code::UnusedApproval,
                    &draft.place,
                    "no route asks for this approval",
                )
                .warning()
                .help("`approval = \"…\"` in a route, or take it out"),
            );
        }
        if !has_approver_app {
            report.push(
                Problem::error(
                    Code::NeverApproved,
                    &draft.place,
                    "nobody can give this approval: there is no approver app",
                )
                .help("[approver_app] of the installation says where people decide"),
            );
        }
        window::check(&draft.rule, &draft.place, report);
        for route in users {
            check_fields(&draft.rule, route, report);
            if app.forward_auth.is_none() && app.park_bytes_of(route, kept) == 0 {
                report.push(Problem::error(
                    Code::NeverApproved,
                    route.approval.as_ref().unwrap_or(&route.place),
                    "nothing of this route can wait for an approval: `park_bytes` is \"0B\"",
                ));
            }
        }
    }
    check_one_each(app, report);
}

/// A field that the requests of a route never have would refuse all of them.
fn check_fields(rule: &ApprovalRule, route: &RouteDraft, report: &Report) {
    window::check_parameters(rule, route, report);
    let safe = |methods: &Vec<Method>| methods.iter().all(Method::is_safe);
    let has_no_body = route.route.methods.as_ref().is_some_and(safe);
    let of_when = rule.when.iter().flat_map(|when| &when.above);
    let of_when = of_when.map(|(field, _)| field);
    for field in rule.summary.fields().chain(of_when) {
        let why = match field {
            Field::Path(name) if !route.route.pattern.parameters().any(|known| known == name) => {
                format!("`{}` has no parameter `{name}`", route.route.pattern)
            }
            field if field.is_of_body() && has_no_body => {
                format!("requests of `{}` have no body", route.route.id)
            }
            _ => continue,
        };
        report.push(Problem::error(
            Code::SummaryField,
            route.approval.as_ref().unwrap_or(&route.place),
            format!("`{field}`, which `{}` reads: {why}", rule.name),
        ));
    }
}

/// One request refers to one approval. Where routes come together, by a method that none of them lists or by another
/// spelling of the path, what would need two is refused; better to know.
fn check_one_each(app: &AppDraft, report: &Report) {
    let asking: Vec<&RouteDraft> = app
        .routes
        .iter()
        .filter(|draft| draft.route.requirement.approval.is_some())
        .collect();
    let first = asking
        .first()
        .map(|draft| &draft.route.requirement.approval);
    if asking
        .iter()
        .all(|draft| Some(&draft.route.requirement.approval) == first)
    {
        return;
    }
    let routes = app.routes.iter().map(|draft| draft.route.clone());
    let table = RouteTable::new(routes.collect(), Vec::new());
    for (index, draft) in asking.iter().enumerate() {
        let rivals = asking.iter().take(index + 1);
        let paths = rivals.filter_map(|rival| draft.route.pattern.meet(&rival.route.pattern));
        let found = paths
            .filter_map(|path| Target::parse(path.as_bytes(), Relaxations::NONE).ok())
            .find_map(|target| {
                let method = METHODS.iter().find(|method| {
                    let found = table.find(method, &target);
                    let mut wanted = found
                        .demand
                        .iter()
                        .filter_map(|part| part.approval.as_ref());
                    let first = wanted.next();
                    wanted.any(|other| Some(other) != first)
                })?;
                Some(format!("`{method} {}`", target.path()))
            });
        if let Some(request) = found {
            report.push(
                Problem::error(
                    Code::TwoApprovals,
                    draft.approval.as_ref().unwrap_or(&draft.place),
                    format!("{request} would need two approvals, and is always refused"),
                )
                .warning()
                .help("one approval for both routes, or a route for that request alone"),
            );
        }
    }
}

impl ApprovalDraft {
    /// Where it does not say what approvers need.
    pub(super) fn at_level(&mut self, usual: Rank) {
        if self.usual_level {
            self.rule.level = usual;
        }
    }
}

fn draft(app: &str, entry: &Entry, names: &Names, report: &Report) -> Option<ApprovalDraft> {
    check_name(&entry.key, &entry.place, &[], report);
    let fields = Fields::open(&entry.node, &keys::APPROVAL, report)?;
    let summary = fields
        .required_text("summary")
        .and_then(|given| summary(given, report));
    fields.required("approvers");
    let given = match fields.node("approvers").map(|node| &node.value) {
        Some(Value::Text(_)) => None,
        _ => fields.table("approvers", &keys::APPROVERS),
    };
    let mut approvers = match given {
        Some(given) => Some(approvers(given, &entry.place)),
        None => alone(fields),
    };
    let need = need(fields, given);
    let request_ttl = ttl(fields, "request_ttl");
    let escalate_after = escalate::resolve(fields, request_ttl, approvers.as_mut());
    let deny = fields.number("deny", 1, MOST_VOTES);
    if let Some(approvers) = &approvers {
        check_enough(approvers, "need", need, &entry.place, report);
        check_enough(approvers, "deny", deny, &entry.place, report);
    }
    let modes = [
        Mode::ApproveDeny,
        Mode::NumberMatching,
        Mode::NumberChallenge,
    ];
    let mode = fields.choice("mode", &modes.map(|mode| (mode.name(), mode)));
    let mode = match fields.node("mode") {
        Some(_) => mode,
        None => Some(Mode::ApproveDeny),
    };
    let digits = digits(fields, mode);
    let webhook = given.and_then(|given| elsewhere::webhook(given, mode, names));
    let ciba = given.and_then(|given| elsewhere::ciba(given, fields, names));
    let reasons = [
        ("optional", Reason::Optional),
        ("required", Reason::Required),
    ];
    let reason = fields.choice("reason", &reasons).unwrap_or_default();
    let requester_reason = fields.choice("requester_reason", &reasons);
    let cooldown = cooldown(fields);
    let redeem_ttl = ttl(fields, "redeem_ttl");
    let level = match fields.has("level") {
        true => require::level(fields, names),
        // Until it is known what the approver app's is; without one nobody decides.
        false => names.ladder.iter().next().map(|level| level.rank),
    };
    let bind_headers = bind_headers(fields);
    let (grant, lasts) = window::grant(fields);
    let when = when(fields, names);
    let terms = Terms {
        need: votes(need),
        deny: votes(deny),
        mode: mode?,
        by_self: approvers.as_ref().is_some_and(|given| given.by_self),
        reason_required: reason == Reason::Required,
        for_a_while: grant != Grant::Once,
        redeem_ttl: lasts.unwrap_or(redeem_ttl),
        escalate_after,
        ciba: ciba.as_ref().map(|(name, _)| name.clone()),
    };
    Some(ApprovalDraft {
        rule: ApprovalRule {
            name: full_name(app, &entry.key),
            summary: summary?,
            approvers: approvers?,
            when,
            terms,
            grant,
            digits,
            reason,
            requester_reason: requester_reason.unwrap_or_default(),
            break_glass: escalate::people(fields, "break_glass", &keys::BREAK_GLASS),
            request_ttl,
            cooldown,
            level: level?,
            // Until the routes are known.
            device_level: level?,
            bind_headers,
            channels: elsewhere::told_by(fields, webhook.as_ref().map(|(at, ..)| *at), names),
        },
        webhook: webhook.map(|(_, name, place)| (name, place)),
        ciba,
        place: entry.place.clone(),
        usual_level: !fields.has("level"),
    })
}

fn cooldown(fields: Fields<'_>) -> Duration {
    let given = fields.duration("cooldown").unwrap_or(COOLDOWN);
    if let Some(node) = fields.node("cooldown")
        && given > LONGEST_COOLDOWN
    {
        fields.report().push(
            Problem::error(Code::OutOfRange, &node.place, "it is at most one day").help(
                "what is over is remembered for a day, and nobody is held to what is forgotten",
            ),
        );
    }
    given
}

/// `approvers = "self"`.
fn alone(fields: Fields<'_>) -> Option<Approvers> {
    fields.choice("approvers", &[("self", ())])?;
    Some(Approvers {
        by_self: true,
        ..Approvers::default()
    })
}

/// What the routes of each approval demand of whoever enrols a device for it, floors included. The highest of all.
pub(super) fn device_levels(apps: &mut [App]) -> Rank {
    let mut highest = Rank::LOWEST;
    for app in apps {
        let table = Arc::clone(&app.table);
        for rule in app
            .approvals
            .iter_mut()
            .filter(|rule| rule.approvers.by_self)
        {
            let asking = table.routes().iter();
            let asking =
                asking.filter(|route| route.requirement.approval.as_ref() == Some(&rule.name));
            let demanded = asking.flat_map(|route| demanded(&table, route)).max();
            rule.device_level = demanded.unwrap_or(rule.level).max(rule.level);
            highest = highest.max(rule.device_level);
        }
    }
    highest
}

/// By each of its methods.
fn demanded(table: &RouteTable, route: &Route) -> Vec<Rank> {
    let path = route.pattern.meet(&route.pattern);
    let target = path.and_then(|path| Target::parse(path.as_bytes(), Relaxations::NONE).ok());
    let Some(target) = target else {
        return vec![route.requirement.rank];
    };
    let methods = route.methods.as_deref().unwrap_or(&METHODS);
    methods
        .iter()
        .filter_map(|method| {
            let found = table.find(method, &target);
            found.demand.iter().map(|part| part.rank).max()
        })
        .chain([route.requirement.rank])
        .collect()
}

fn summary(given: Text<'_>, report: &Report) -> Option<Summary> {
    match Summary::parse(given.text) {
        Ok(summary) => Some(summary),
        Err(error) => {
            report.push(
                Problem::error(
                    Code::BadSummary,
                    given.place,
                    format!("this is not a summary: {error}"),
                )
                .help("such as \"Release payment {path.id}: {form.amount}\"; fields are path, query, form, json, claim"),
            );
            None
        }
    }
}

fn approvers(given: Fields<'_>, place: &Place) -> Approvers {
    let texts = |key: &str| -> Vec<String> {
        let texts = given.texts(key).unwrap_or_default();
        texts.into_iter().map(|text| text.text.to_owned()).collect()
    };
    let approvers = Approvers {
        by_self: given.flag("self").unwrap_or_default(),
        groups_any: texts("groups_any"),
        claim: given.text("claim").map(|claim| claim.text.to_owned()),
        people: texts("people"),
        second: None,
        webhook: given.text("webhook").map(|name| name.text.to_owned()),
        ciba: given.text("ciba").map(|name| name.text.to_owned()),
    };
    let names_somebody = ["groups_any", "claim", "people", "webhook", "ciba"]
        .iter()
        .any(|key| given.has(key))
        || approvers.by_self;
    // What later versions bring is refused already.
    let is_later = keys::APPROVERS.later.iter().any(|key| given.has(key));
    if !names_somebody && !is_later {
        let problem = Problem::error(
            Code::NeverApproved,
            given.place(),
            "nobody can give this approval: it has no approvers",
        );
        let problem = problem.related(place, "this approval");
        given.report().push(problem.help(
            "approvers = { self = true }, { groups_any = [\"…\"] }, { claim = \"manager\" } or { people = [\"…\"] }",
        ));
    }
    approvers
}

/// It may stand with the approvers as well.
fn need(fields: Fields<'_>, approvers: Option<Fields<'_>>) -> Option<u64> {
    let own = fields.number("need", 1, MOST_VOTES);
    let inner = approvers.and_then(|approvers| approvers.number("need", 1, MOST_VOTES));
    let second = approvers.and_then(|approvers| approvers.key_place("need"));
    if let (Some(first), Some(second)) = (fields.key_place("need"), second) {
        fields.report().push(
            Problem::error(Code::Duplicate, second, "`need` stands twice")
                .related(first, "here as well"),
        );
    }
    own.or(inner)
}

fn votes(given: Option<u64>) -> u32 {
    given
        .and_then(|votes| u32::try_from(votes).ok())
        .unwrap_or(1)
}

/// Of a list of people there are so many, and no more.
fn check_enough(
    approvers: &Approvers,
    key: &str,
    votes: Option<u64>,
    place: &Place,
    report: &Report,
) {
    // Who asks is one more, where they have a say. One who is named twice is counted twice: better too many than a sound
    // configuration refused.
    let second = approvers.second.as_deref();
    let all: Vec<_> = std::iter::once(approvers).chain(second).collect();
    let listed = all.iter().map(|one| one.people.len() as u64).sum::<u64>();
    let elsewhere = [&approvers.webhook, &approvers.ciba];
    let programs = elsewhere.into_iter().flatten().count() as u64;
    let people = listed + programs + u64::from(approvers.by_self);
    let by_group = all.iter().any(|one| !one.groups_any.is_empty());
    let listed_only = !by_group && approvers.claim.is_none() && people > 0;
    if let Some(votes) = votes.filter(|votes| listed_only && *votes > people) {
        report.push(Problem::error(
            Code::NeverApproved,
            place,
            format!("`{key}` is {votes}, and only {people} may decide"),
        ));
    }
}

fn digits(fields: Fields<'_>, mode: Option<Mode>) -> u8 {
    let given = fields.number("digits", LEAST_DIGITS, MOST_DIGITS);
    if let (Some(place), Some(mode)) = (fields.key_place("digits"), mode)
        && mode != Mode::NumberChallenge
    {
        fields.report().push(
            Problem::error(
                Code::NotOfMode,
                place,
                "`digits` are those of the number that is typed",
            )
            .help("mode = \"number-challenge\", or take it out"),
        );
    }
    given
        .and_then(|digits| u8::try_from(digits).ok())
        .unwrap_or(DIGITS)
}

pub(super) fn ttl(fields: Fields<'_>, key: &str) -> Duration {
    let Some(given) = fields.span(key) else {
        return TTL;
    };
    if given <= LONGEST && given >= Duration::from_secs(1) {
        return given;
    }
    if let Some(node) = fields.node(key) {
        fields.report().push(Problem::error(
            Code::OutOfRange,
            &node.place,
            format!("`{key}` lies between 1 second and 7 days"),
        ));
    }
    TTL
}

fn bind_headers(fields: Fields<'_>) -> Vec<HeaderName> {
    let given = fields.texts("bind_headers").unwrap_or_default();
    let bound = given.into_iter().filter_map(|given| {
        let name = HeaderName::from_bytes(given.text.as_bytes()).ok();
        let fine = name.filter(is_kept);
        if fine.is_none() {
            fields.report().push(
                Problem::error(
                    Code::Unbindable,
                    given.place,
                    format!("no approval can be bound to `{}`", given.text),
                )
                .help("a header of the request itself, such as Idempotency-Key; who asks and what the body is, it is bound to anyway"),
            );
        }
        fine
    });
    bound.collect()
}

/// What is not told to be of the other half needs the approval, so that something of it has to stand there.
fn when(fields: Fields<'_>, names: &Names) -> Option<When> {
    let given = fields.table("when", &keys::WHEN)?;
    let report = given.report();
    let keys = ["methods", "outside", "hours", "above"];
    if keys.iter().all(|key| !given.has(key)) {
        let problem = Problem::error(Code::EmptyValue, given.place(), "`when` says nothing");
        report.push(problem.help(
            "methods, outside, hours, above; without `when` every request needs the approval",
        ));
    }
    let above = given.named("above").iter().filter_map(|entry| {
        let field = match Field::named(&entry.key) {
            Ok(field) => Some(field),
            Err(error) => {
                let message = format!("this is not a field: {error}");
                let problem = Problem::error(Code::BadSummary, &entry.place, message);
                report.push(problem.help("such as \"form.amount\" = 1000"));
                None
            }
        };
        let limit = match entry.node.value {
            Value::Integer(limit) => u64::try_from(limit).ok(),
            _ => None,
        };
        if limit.is_none() {
            report.push(Problem::error(
                Code::WrongType,
                &entry.node.place,
                "expected a whole number, zero or more",
            ));
        }
        Some((field?, limit?))
    });
    Some(When {
        methods: routes::methods(given).unwrap_or_default(),
        outside: require::networks_of(given, "outside", names).unwrap_or_default(),
        hours: hours::resolve(given),
        above: above.collect(),
    })
}
