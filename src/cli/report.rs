//! What `explain` found, for people and for tools.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use serde::Serialize;

use crate::config::{ApprovalRule, Grant, spell_duration};
use crate::gate::Told;
use crate::model::level::Ladder;
use crate::model::requirement::{Conditions, Requirement};
use crate::model::route::{Challenge, Floor, Pattern, Route, Source};
use crate::policy::decision::{Decision, Have, Need, Shortfall};

#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    pub(super) request: String,
    /// Canonical; `None` where it was refused before.
    pub(super) path: Option<String>,
    pub(super) route: Option<Place>,
    pub(super) upstream: Option<String>,
    /// All of these must hold.
    pub(super) demanded: Vec<Demanded>,
    pub(super) lost: Vec<Lost>,
    /// `None`: nobody is signed in.
    pub(super) have: Option<String>,
    pub(super) need: Option<String>,
    pub(super) answer: Answer,
    /// What people are asked, and who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) approval: Option<Wanted>,
    /// What would be sent to the realm, in a pushed request where it takes them.
    pub(super) pushed: Option<Pushed>,
    /// What a program with an access token is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) challenge: Option<String>,
    pub(super) remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Place {
    id: String,
    path: Option<String>,
    file: String,
    line: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Demanded {
    pub(super) what: String,
    /// `route`, `floor`, or `sibling`: a route of the same path that does not list the method, nor does any other.
    pub(super) by: &'static str,
    pub(super) place: Place,
    /// The spelling of the path by which it was found.
    pub(super) reading: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Lost {
    pub(super) route: Place,
    pub(super) why: &'static str,
}

/// The yes that is missing.
#[derive(Debug, Serialize)]
pub(super) struct Wanted {
    name: String,
    summary: String,
    approvers: String,
    /// After how long who else may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    escalates: Option<String>,
    need: u32,
    level: String,
    mode: &'static str,
    /// Who may pass it in everybody's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<String>,
    /// Of which requests it is asked; of all, without.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    request_ttl: String,
    redeem_ttl: String,
    /// A yes holds for every such request, of the same values of these parameters of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    window_per: Option<Vec<String>>,
}

impl Wanted {
    /// `pattern`: of the route that asks for it.
    pub(super) fn of(ladder: &Ladder, rule: &ApprovalRule, pattern: &Pattern) -> Self {
        Self {
            name: rule.name.clone(),
            summary: rule.summary.to_string(),
            approvers: rule.approvers.to_string(),
            escalates: rule.terms.escalate_after.map(|after| {
                let second = rule.approvers.second.as_deref();
                let second = second.map(ToString::to_string).unwrap_or_default();
                format!("{second} after {}", spell_duration(after))
            }),
            need: rule.terms.need,
            level: ladder.name_of(rule.level).to_owned(),
            mode: rule.terms.mode.name(),
            break_glass: rule.break_glass.as_ref().map(ToString::to_string),
            when: rule.when.as_ref().map(ToString::to_string),
            request_ttl: spell_duration(rule.request_ttl),
            redeem_ttl: spell_duration(rule.terms.redeem_ttl),
            window_per: match &rule.grant {
                Grant::Once => None,
                Grant::Window { per: Some(per) } => Some(per.clone()),
                Grant::Window { per: None } => {
                    Some(pattern.parameters().map(str::to_owned).collect())
                }
            },
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Pushed {
    pub(super) level: String,
    pub(super) params: Vec<(String, String)>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    /// As in the access log; `own` for what stepgate answers itself.
    decision: String,
    reason: Option<String>,
    /// To a browser that opens the page; `None` where the app answers.
    page: Option<u16>,
    /// To a program.
    program: Option<u16>,
    /// So many bytes of what a page of the app sent are kept, and sent on by a click.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<u64>,
}

impl Answer {
    /// `kept`: of what a page of the app sends.
    pub(super) fn of(
        decision: &Decision,
        method: &Method,
        challenge: Challenge,
        kept: u64,
    ) -> Self {
        let both = |status: StatusCode| (Some(status.as_u16()), Some(status.as_u16()));
        let is_page = challenge != Challenge::Api;
        // What somebody sends who is not signed in is nobody's, and is told about on a page: a redirect would lose it.
        let is_kept =
            is_page && kept > 0 && !method.is_safe() && matches!(decision, Decision::StepUp(_));
        let page = match *method {
            Method::GET | Method::HEAD if is_page => StatusCode::SEE_OTHER,
            _ if is_kept => StatusCode::SEE_OTHER,
            _ => StatusCode::UNAUTHORIZED,
        };
        let asks = (Some(page.as_u16()), Some(StatusCode::UNAUTHORIZED.as_u16()));
        let (reason, (page, program)) = match decision {
            Decision::Allow(_) => (None, (None, None)),
            Decision::Login(_) => (None, asks),
            Decision::StepUp(step_up) => (Some(shortfall(step_up.shortfall).to_owned()), asks),
            Decision::Deny(denial) => {
                let wanted = denial.wanted.join(", ");
                let reason = format!("{} is not met: {wanted}", denial.condition);
                (Some(reason), both(StatusCode::FORBIDDEN))
            }
            // A page waits for its yes on another page; a program asks again.
            Decision::Approve(approve) => (
                Some(format!("it needs the approval {}", approve.approval)),
                (
                    Some(StatusCode::ACCEPTED.as_u16()),
                    Some(StatusCode::FORBIDDEN.as_u16()),
                ),
            ),
            Decision::Unavailable(_) => (None, both(StatusCode::SERVICE_UNAVAILABLE)),
        };
        Self {
            decision: decision.name().to_owned(),
            reason,
            page,
            program,
            kept: is_kept.then_some(kept),
        }
    }

    /// To a program with an access token; a browser sends none by itself.
    pub(super) fn of_bearer(decision: &Decision, told: Option<&Told<'_>>) -> Self {
        let answer = Self::of(decision, &Method::GET, Challenge::Auto, 0);
        let Some(told) = told else {
            return answer;
        };
        let status = Some(told.status.as_u16());
        let reason = answer.reason.as_deref().unwrap_or("no token");
        Self {
            reason: Some(format!("{reason} ({})", told.code)),
            page: status,
            program: status,
            ..answer
        }
    }

    pub(super) fn refused(status: StatusCode, code: &str, why: String) -> Self {
        let status = Some(status.as_u16());
        Self {
            decision: format!("refuse ({code})"),
            reason: Some(why),
            page: status,
            program: status,
            kept: None,
        }
    }

    fn sent(&self) -> String {
        match (self.page, self.program) {
            (None, None) => "the app's own".to_owned(),
            (Some(page), Some(program)) if page != program => {
                let kept = self.kept.map_or(String::new(), |bytes| {
                    format!(" (what it sent is kept, up to {})", size(bytes))
                });
                let whereto = match self.decision.as_str() {
                    "approve" => "the page that waits",
                    _ => "the realm",
                };
                format!("{page} to {whereto} for a browser{kept}, {program} for a program")
            }
            (Some(status), _) | (None, Some(status)) => status.to_string(),
        }
    }
}

/// As the configuration spells it, where it can.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(length, _)| bytes.is_multiple_of(*length))
        .map_or(format!("{bytes}B"), |(length, name)| {
            format!("{}{name}", bytes / length)
        })
}

impl Place {
    pub(super) fn of_route(route: &Route) -> Self {
        Self::new(&route.id, Some(route.pattern.text()), &route.source)
    }

    pub(super) fn of_floor(floor: &Floor) -> Self {
        let path = floor.pattern.as_ref().map(|pattern| pattern.text());
        Self::new(&floor.id, path, &floor.source)
    }

    fn new(id: &str, path: Option<&str>, source: &Source) -> Self {
        Self {
            id: id.to_owned(),
            path: path.map(str::to_owned),
            file: source.file.clone(),
            line: source.line,
        }
    }

    fn spelled(&self) -> String {
        let path = self.path.as_deref().unwrap_or("every path");
        format!("{} ({path}, {}:{})", self.id, self.file, self.line)
    }
}

impl Explanation {
    pub(super) fn of(request: String) -> Self {
        Self {
            request,
            path: None,
            route: None,
            upstream: None,
            demanded: Vec::new(),
            lost: Vec::new(),
            have: None,
            need: None,
            answer: Answer {
                decision: "own".to_owned(),
                ..Answer::default()
            },
            approval: None,
            pushed: None,
            challenge: None,
            remarks: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.request);
        let mut line = |name: &str, value: &str| {
            // Writing to a String does not fail.
            let _done = writeln!(text, "  {name:<9} {value}");
        };
        if let Some(path) = &self.path {
            line("path", path);
        }
        if let Some(route) = &self.route {
            line("route", &route.spelled());
        }
        for lost in &self.lost {
            line("not", &format!("{}: {}", lost.route.spelled(), lost.why));
        }
        for part in &self.demanded {
            let place = part.place.spelled();
            let by = match part.by {
                "sibling" => format!("{}  by route {place}, which lists other methods", part.what),
                by => format!("{}  by {by} {place}", part.what),
            };
            let reading = self.path.as_deref().filter(|path| *path != part.reading);
            let read_as = reading.map_or(String::new(), |_| format!(", read as {}", part.reading));
            line("demands", &(by + &read_as));
        }
        if self.route.is_some() {
            line(
                "have",
                self.have.as_deref().unwrap_or("nobody is signed in"),
            );
        }
        if let Some(need) = &self.need {
            line("need", need);
        }
        let reason = self.answer.reason.as_ref();
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        line("decision", &format!("{}{reason}", self.answer.decision));
        if self.answer.decision != "own" {
            line("answer", &self.answer.sent());
        }
        if let (Some(upstream), "allow") = (&self.upstream, self.answer.decision.as_str()) {
            line("upstream", upstream);
        }
        if let Some(wanted) = &self.approval {
            line("asks", &wanted.summary);
            if let Some(when) = &wanted.when {
                line("when", &format!("{when}; else it is allowed"));
            }
            let votes = match wanted.need {
                1 => "one".to_owned(),
                need => need.to_string(),
            };
            let Wanted {
                approvers,
                level,
                mode,
                ..
            } = wanted;
            line("of", &format!("{votes} of {approvers}, at {level}; {mode}"));
            if let Some(escalates) = &wanted.escalates {
                line("also", escalates);
            }
            if let Some(who) = &wanted.break_glass {
                line("without", &format!("{who}, by break-glass"));
            }
            let Wanted {
                request_ttl,
                redeem_ttl,
                ..
            } = wanted;
            let holds = match &wanted.window_per {
                None => String::new(),
                Some(per) if per.is_empty() => "; for every request of the route".to_owned(),
                Some(per) => format!("; for every request of the same {}", per.join(", ")),
            };
            line(
                "for",
                &format!("{request_ttl}, and {redeem_ttl} from the yes on{holds}"),
            );
        }
        for (index, (name, value)) in self
            .pushed
            .iter()
            .flat_map(|asked| &asked.params)
            .enumerate()
        {
            let label = if index == 0 { "asks" } else { "" };
            line(label, &format!("{name}={value}"));
        }
        if let Some(challenge) = &self.challenge {
            line("challenge", challenge);
        }
        for remark in &self.remarks {
            line("note", remark);
        }
        text
    }
}

pub(super) fn have(ladder: &Ladder, have: Have) -> String {
    let name = ladder.name_of(have.rank);
    match have.age {
        Some(age) if age.is_zero() => format!("{name}, proven just now"),
        Some(age) => format!("{name}, proven {} ago", spell_duration(age)),
        None if have.rank == Have::NOTHING.rank => "signed in, and no level proven".to_owned(),
        None => format!("{name}, nothing proves when"),
    }
}

pub(super) fn need(ladder: &Ladder, need: Need) -> String {
    if need.rank == Have::NOTHING.rank {
        return "nothing: it is public".to_owned();
    }
    level(
        ladder,
        &Requirement {
            rank: need.rank,
            max_age: need.max_age,
            conditions: Conditions::NONE,
            approval: None,
        },
    )
}

pub(super) fn requirement(ladder: &Ladder, requirement: &Requirement) -> String {
    if requirement.is_public() {
        return "nothing (public)".to_owned();
    }
    let mut parts = vec![level(ladder, requirement)];
    let conditions = &requirement.conditions;
    let lists = [
        ("groups_any", &conditions.groups_any),
        ("groups_all", &conditions.groups_all),
        ("roles_any", &conditions.roles_any),
        ("roles_all", &conditions.roles_all),
        ("scopes_any", &conditions.scopes_any),
        ("scopes_all", &conditions.scopes_all),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            parts.push(format!("{name} {}", list.join(", ")));
        }
    }
    if !conditions.networks_any.is_empty() {
        let names: Vec<_> = conditions
            .networks_any
            .iter()
            .map(|network| network.name.as_str())
            .collect();
        parts.push(format!("networks_any {}", names.join(", ")));
    }
    for (name, values) in &conditions.claims {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        parts.push(format!("claim {name} {}", values.join(" or ")));
    }
    if let Some(approval) = &requirement.approval {
        parts.push(format!("approval {approval}"));
    }
    parts.join("; ")
}

fn level(ladder: &Ladder, requirement: &Requirement) -> String {
    let name = match ladder.level(requirement.rank) {
        Some(level) => level.name.as_str(),
        None => "a level that nobody has",
    };
    match requirement.max_age {
        Some(age) => format!("{name}, proven within {}", spell_duration(age)),
        None => name.to_owned(),
    }
}

const fn shortfall(shortfall: Shortfall) -> &'static str {
    match shortfall {
        Shortfall::AgeUnknown => "nothing proves when the level was obtained",
        Shortfall::Lapsed => "the level has lapsed",
        Shortfall::Missing => "the level is missing",
        Shortfall::TooOld => "the level was proven too long ago",
    }
}
