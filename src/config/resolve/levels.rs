//! `[[levels]]`: the ladder, weakest first, and the rules that keep a level obtainable and its proof honest.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest;
use serde_json::Value as Json;

use crate::config::code::Code;
use crate::config::document::{Entry, Node, Value};
use crate::config::fields::{Fields, Text, check_name, wrong_type};
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::model::level::{Ask, Enrol, Fingerprint, Ladder, Level, Proof, Rank};
use crate::policy::ask::RESERVED;

const MOST: usize = 254;
/// Scopes and parameters that stepgate adds itself.
const OPENID: &str = "openid";
const RESERVED_NAMES: [&str; 2] = ["anonymous", "none"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Resolved {
    pub(super) ladder: Ladder,
    /// Claims that proofs read.
    pub(super) claims: Vec<String>,
}

/// A level and where its parts stand.
struct Draft<'d> {
    level: Level,
    place: &'d Place,
    proofs: Vec<(&'d Place, Proof)>,
    acr_values: Option<Text<'d>>,
    enrol: Option<&'d Place>,
}

/// Every level that has a name, also with problems: what refers to it is not wrong because of them.
pub(super) fn resolve(root: Fields<'_>) -> Resolved {
    let report = root.report();
    let nodes = root.tables("levels");
    if nodes.is_empty() {
        report.push(
            Problem::error(
                Code::NoLevels,
                root.key_place("levels").unwrap_or(root.place()),
                "there is no level",
            )
            .help("at least one `[[levels]]`, the realm's first factor: name, base, proof, ask"),
        );
    }
    if let Some(beyond) = nodes.get(MOST) {
        report.push(Problem::error(
            Code::TooManyLevels,
            &beyond.place,
            format!("a ladder has {MOST} levels at the most"),
        ));
    }
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for (index, node) in nodes.iter().take(MOST).enumerate() {
        let Some(draft) = draft(node, index, report) else {
            continue;
        };
        match drafts
            .iter()
            .find(|known| known.level.name == draft.level.name)
        {
            Some(first) => report.push(
                Problem::error(
                    Code::Duplicate,
                    draft.place,
                    format!("the level `{}` stands twice", draft.level.name),
                )
                .related(first.place, "first here"),
            ),
            None => drafts.push(draft),
        }
    }
    for (index, draft) in drafts.iter().enumerate() {
        check_obtainable(draft, drafts.get(index..).unwrap_or_default(), report);
        check_proofs(draft, report);
    }
    let mut claims: Vec<String> = drafts
        .iter()
        .flat_map(|draft| &draft.level.proofs)
        .flat_map(|proof| proof.claims.keys().cloned())
        .collect();
    claims.sort();
    claims.dedup();
    Resolved {
        ladder: Ladder::new(drafts.into_iter().map(|draft| draft.level).collect()),
        claims,
    }
}

fn draft<'d>(node: &'d Node, index: usize, report: &'d Report) -> Option<Draft<'d>> {
    let fields = Fields::open(node, &keys::LEVEL, report)?;
    let name = fields.required_text("name");
    if let Some(name) = name {
        check_name(name.text, name.place, &RESERVED_NAMES, report);
    }
    let base = fields.flag("base").unwrap_or(false);
    if base && index > 0 {
        report.push(
            Problem::error(
                Code::BaseNotFirst,
                fields.key_place("base").unwrap_or(fields.place()),
                "only the first level is what the realm's first factor gives",
            )
            .help("levels stand in order, the weakest first"),
        );
    }
    let proofs = fields
        .required("proof")
        .map(|node| proofs(node, report))
        .unwrap_or_default();
    let (ask, acr_values) = ask(fields);
    let enrol = enrol(fields);
    let name = name?;
    let plain: Vec<Proof> = proofs.iter().map(|(_, proof)| proof.clone()).collect();
    Some(Draft {
        place: name.place,
        level: Level {
            name: name.text.to_owned(),
            label: fields
                .text("label")
                .map_or(name.text, |label| label.text)
                .to_owned(),
            rank: Rank::LOWEST,
            base,
            fingerprint: fingerprint(&plain, &ask),
            proofs: plain,
            ask,
            lasts: fields.span("lasts"),
            enrol,
        },
        proofs,
        acr_values,
        enrol: fields.key_place("enrol"),
    })
}

/// One table, or a list of alternatives.
fn proofs<'d>(node: &'d Node, report: &'d Report) -> Vec<(&'d Place, Proof)> {
    let nodes = match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        report.push(Problem::error(
            Code::EmptyValue,
            &node.place,
            "the list is empty",
        ));
    }
    nodes
        .iter()
        .filter_map(|node| Some((&node.place, proof(node, report)?)))
        .collect()
}

fn proof(node: &Node, report: &Report) -> Option<Proof> {
    let fields = Fields::open(node, &keys::PROOF, report)?;
    let texts = |key: &str| owned(fields.texts(key));
    let empty = fields.node("acr").is_none()
        && fields.node("amr_any").is_none()
        && fields.node("amr_all").is_none()
        && fields.named("claims").is_empty();
    if empty {
        report.push(
            Problem::error(
                Code::EmptyProof,
                &node.place,
                "every token meets this proof",
            )
            .help("`acr`, `amr_any`, `amr_all` or `claims`"),
        );
    }
    Some(Proof {
        acr: texts("acr"),
        amr_any: texts("amr_any"),
        amr_all: texts("amr_all"),
        claims: fields
            .named("claims")
            .iter()
            .map(|entry| (entry.key.clone(), claim_values(entry, report)))
            .collect(),
        kc_idp_hint: fields.text("kc_idp_hint").map(|hint| hint.text.to_owned()),
    })
}

/// One value, or a list of which one must be there.
pub(super) fn claim_values(entry: &Entry, report: &Report) -> Vec<Json> {
    let nodes = match &entry.node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    if nodes.is_empty() {
        report.push(Problem::error(
            Code::EmptyValue,
            &entry.node.place,
            format!("no value of `{}` would do", entry.key),
        ));
    }
    nodes
        .iter()
        .filter_map(|node| match &node.value {
            Value::Text(text) => Some(Json::from(text.as_str())),
            Value::Integer(number) => Some(Json::from(*number)),
            Value::Flag(flag) => Some(Json::from(*flag)),
            _ => wrong_type(node, "a text, a number, or true or false", report),
        })
        .collect()
}

/// Extra authorization parameters, none of which stepgate sets itself.
pub(super) fn params(fields: Fields<'_>) -> BTreeMap<String, String> {
    let given = fields.map("params").unwrap_or_default();
    given
        .into_iter()
        .map(|(name, value)| {
            if RESERVED.contains(&name.as_str()) {
                fields.report().push(
                    Problem::error(
                        Code::ReservedParameter,
                        value.place,
                        format!("stepgate sets `{name}` itself"),
                    )
                    .help("`acr_values`, `scope`, `prompt`, `max_age` and `kc_idp_hint` have keys of their own"),
                );
            }
            (name, value.text.to_owned())
        })
        .collect()
}

fn ask<'d>(level: Fields<'d>) -> (Ask, Option<Text<'d>>) {
    let Some(fields) = level.table("ask", &keys::ASK) else {
        return (Ask::default(), None);
    };
    let report = level.report();
    let acr_values = fields.text("acr_values");
    if let Some(acr) = acr_values
        && acr.text.contains(char::is_whitespace)
    {
        report.push(
            Problem::error(
                Code::SeveralAcr,
                acr.place,
                "exactly one value: of several Keycloak takes the lowest",
            )
            .help("a proof may list several, an ask may not"),
        );
    }
    let essential = fields.flag("essential").unwrap_or(false);
    if essential && !fields.has("acr_values") {
        report.push(Problem::error(
            Code::MissingKey,
            fields.key_place("essential").unwrap_or(fields.place()),
            "`essential` makes `acr_values` an essential claim, and there is none",
        ));
    }
    let ask = Ask {
        acr_values: acr_values.map(|acr| acr.text.to_owned()),
        scope: owned(fields.texts("scope"))
            .into_iter()
            .filter(|scope| scope != OPENID)
            .collect(),
        prompt_login: fields.choice("prompt", &[("login", ())]).is_some(),
        always_asked: fields.flag("always_asked").unwrap_or(false),
        essential,
        max_age: fields.duration("max_age"),
        params: params(fields),
    };
    (ask, acr_values)
}

fn enrol(fields: Fields<'_>) -> Enrol {
    let hold = fields.span("enrol_hold");
    let chosen = fields.choice(
        "enrol",
        &[
            ("allow", Enrol::Allow),
            ("page", Enrol::Page),
            ("hold", Enrol::Hold(hold.unwrap_or(DAY))),
        ],
    );
    if let Some(place) = fields.key_place("enrol_hold")
        && !matches!(chosen, Some(Enrol::Hold(_)))
    {
        fields.report().push(
            Problem::error(
                Code::HoldWithoutEnrol,
                place,
                "`enrol_hold` is how long `enrol = \"hold\"` holds",
            )
            .help("add `enrol = \"hold\"`, or take it out"),
        );
    }
    chosen.unwrap_or_default()
}

/// Its `acr_values` must stand in a proof of it or of a higher level, unless a proof of its own looks at something else.
fn check_obtainable(draft: &Draft<'_>, from_here_up: &[Draft<'_>], report: &Report) {
    let level = &draft.level;
    if draft.proofs.is_empty() {
        return;
    }
    let by_anything_else = level
        .proofs
        .iter()
        .any(|proof| proof.acr.is_empty() && proof.kc_idp_hint.is_none());
    let Some(acr) = draft.acr_values else {
        let asks = !level.ask.scope.is_empty() || !level.ask.params.is_empty();
        if !level.base && !asks && !by_anything_else {
            report.push(
                Problem::error(
                    Code::Unobtainable,
                    draft.place,
                    format!("nothing asks Keycloak for the level `{}`", level.name),
                )
                .help("ask = { acr_values = \"…\" }, with a value of its proof"),
            );
        }
        return;
    };
    let stands = from_here_up
        .iter()
        .flat_map(|draft| &draft.level.proofs)
        .any(|proof| proof.acr.iter().any(|value| value == acr.text));
    if !stands && !by_anything_else {
        report.push(
            Problem::error(
                Code::Unobtainable,
                acr.place,
                format!(
                    "asking for `{}` never gives the level `{}`",
                    acr.text, level.name
                ),
            )
            .label("stands in no proof of it or of a higher level")
            .did_you_mean(
                acr.text,
                level
                    .proofs
                    .iter()
                    .flat_map(|proof| &proof.acr)
                    .map(String::as_str),
            ),
        );
    }
}

fn check_proofs(draft: &Draft<'_>, report: &Report) {
    let level = &draft.level;
    for (place, proof) in &draft.proofs {
        let forced = level.ask.prompt_login || proof.kc_idp_hint.is_some();
        if proof.is_claims_only() && !proof.claims.is_empty() && !forced {
            report.push(
                Problem::error(
                    Code::ClaimsNotForced,
                    place,
                    "an SSO session gets these claims without the factor being asked",
                )
                .help("`prompt = \"login\"` in its `ask`, or the `kc_idp_hint` that the flow must have pushed"),
            );
        }
    }
    let looks_at_amr = level.proofs.iter().any(Proof::looks_at_amr);
    if let Some(place) = draft.enrol
        && !looks_at_amr
        && !draft.proofs.is_empty()
    {
        report.push(
            Problem::error(
                Code::EnrolWithoutAmr,
                place,
                "whether a factor was enrolled just now is told from `amr`, and no proof looks at it",
            )
            .help("amr_any = [\"otp\", …] in the proof, and the `amr` mapper in the realm"),
        );
    }
}

/// What evidence of the level is kept under: another proof or ask is another level.
fn fingerprint(proofs: &[Proof], ask: &Ask) -> Fingerprint {
    // Maps with text keys only: there is nothing that could not be written.
    let text = serde_json::to_string(&(proofs, ask)).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    Fingerprint(
        digest
            .as_ref()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

fn owned(texts: Option<Vec<Text<'_>>>) -> Vec<String> {
    texts
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.text.to_owned())
        .collect()
}
