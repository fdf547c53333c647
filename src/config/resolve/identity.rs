//! `identity`: headers that tell an app who the user is; presets for apps that come from other proxies, own templates.

use http::HeaderName;

use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::{self, Fields, Text};
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::{IdentityHeaders, Part, Template};
use crate::model::braces::{self, Piece};

const PRESET: &str = "preset";

/// Preset → header and template, as the peer sends them.
pub const PRESETS: &[(&str, &[(&str, &str)])] = &[
    (
        "oauth2-proxy",
        &[
            ("x-forwarded-user", "{sub}"),
            ("x-forwarded-email", "{claim.email}"),
            ("x-forwarded-groups", "{groups}"),
            (
                "x-forwarded-preferred-username",
                "{claim.preferred_username}",
            ),
        ],
    ),
    (
        "gatekeeper",
        &[
            ("x-auth-subject", "{sub}"),
            ("x-auth-userid", "{claim.preferred_username}"),
            ("x-auth-username", "{claim.preferred_username}"),
            ("x-auth-email", "{claim.email}"),
            ("x-auth-groups", "{groups}"),
            ("x-auth-roles", "{roles}"),
        ],
    ),
    (
        "authelia",
        &[
            ("remote-user", "{claim.preferred_username}"),
            ("remote-name", "{claim.name}"),
            ("remote-email", "{claim.email}"),
            ("remote-groups", "{groups}"),
        ],
    ),
];

/// Headers that frame the message, choose the app, or carry credentials: an identity in them would be read as that.
const TAKEN: [&str; 26] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

const FIELDS: &str = "{sub}, {level}, {groups}, {roles}, {claim.NAME}, {client_cert.subject}, {client_cert.san}, {client_cert.fingerprint}";

pub(super) fn resolve(app: Fields<'_>) -> IdentityHeaders {
    let report = app.report();
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    let entries = app.named("identity");
    for entry in entries.iter().filter(|entry| entry.key == PRESET) {
        for (name, template) in preset(&entry.node, report) {
            headers.push((HeaderName::from_static(name), known(template)));
        }
    }
    let mut own: Vec<(HeaderName, &Place)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key != PRESET) {
        let name = header(&entry.key, &entry.place, report);
        let template = fields::text(&entry.node, report).and_then(|given| template(given, report));
        let (Some(name), Some(template)) = (name, template) else {
            continue;
        };
        // What an app may fold to the same name is the same name.
        if let Some((_, first)) = own.iter().find(|(other, _)| folded(other) == folded(&name)) {
            report.push(
                Problem::error(
                    Code::Duplicate,
                    &entry.place,
                    format!("the header `{name}` stands twice"),
                )
                .related(first, "first here"),
            );
            continue;
        }
        own.push((name.clone(), &entry.place));
        match headers
            .iter_mut()
            .find(|(other, _)| folded(other) == folded(&name))
        {
            Some(row) => *row = (name, template),
            None => headers.push((name, template)),
        }
    }
    let (of_connection, headers) = headers
        .into_iter()
        .partition(|(_, template)| template.is_of_connection());
    IdentityHeaders {
        headers,
        of_connection,
    }
}

/// The claims that the templates read.
pub(super) fn claims(identity: &IdentityHeaders) -> impl Iterator<Item = String> + '_ {
    identity
        .all()
        .flat_map(|(_, template)| &template.parts)
        .filter_map(|part| match part {
            Part::Claim(name) => Some(name.clone()),
            _ => None,
        })
}

fn preset(node: &Node, report: &Report) -> &'static [(&'static str, &'static str)] {
    let Some(given) = fields::text(node, report) else {
        return &[];
    };
    let found = PRESETS.iter().find(|(name, _)| *name == given.text);
    if found.is_none() {
        report.push(
            Problem::error(
                Code::UnknownValue,
                given.place,
                format!("there is no preset `{}`", given.text),
            )
            .did_you_mean(given.text, PRESETS.iter().map(|(name, _)| *name)),
        );
    }
    found.map_or(&[], |(_, rows)| rows)
}

fn header(key: &str, place: &Place, report: &Report) -> Option<HeaderName> {
    let wrong = |message: String| {
        report.push(Problem::error(Code::BadHeader, place, message));
        None
    };
    let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else {
        return wrong(format!("`{key}` is not a header's name"));
    };
    if TAKEN.contains(&folded(&name).as_str()) {
        return wrong(format!("`{key}` has another meaning on the way to an app"));
    }
    Some(name)
}

fn folded(name: &HeaderName) -> String {
    name.as_str()
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .collect()
}

fn template(given: Text<'_>, report: &Report) -> Option<Template> {
    if given.text.chars().any(char::is_control) {
        report.push(Problem::error(
            Code::BadTemplate,
            given.place,
            "a header holds no control characters",
        ));
        return None;
    }
    match parse(given.text) {
        Ok(template) => Some(template),
        Err(why) => {
            report.push(
                Problem::error(Code::BadTemplate, given.place, why)
                    .help(format!("there is: {FIELDS}; `{{{{` is one brace")),
            );
            None
        }
    }
}

/// Of a preset, whose templates a test holds to be fine.
fn known(template: &str) -> Template {
    parse(template).unwrap_or(Template { parts: Vec::new() })
}

fn parse(text: &str) -> Result<Template, String> {
    let pieces = braces::pieces(text).map_err(|unmatched| unmatched.to_string())?;
    let parts = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => Ok(Part::Text(text)),
        Piece::Field(name) => field(name),
    });
    Ok(Template {
        parts: parts.collect::<Result<_, _>>()?,
    })
}

fn field(name: &str) -> Result<Part, String> {
    match name {
        "sub" => Ok(Part::Subject),
        "level" => Ok(Part::Level),
        "groups" => Ok(Part::Groups),
        "roles" => Ok(Part::Roles),
        "client_cert.subject" => Ok(Part::CertificateSubject),
        "client_cert.san" => Ok(Part::CertificateNames),
        "client_cert.fingerprint" => Ok(Part::CertificateFingerprint),
        _ => match name.strip_prefix("claim.") {
            Some(claim) if !claim.is_empty() => Ok(Part::Claim(claim.to_owned())),
            _ => Err(format!("a template has no field `{name}`")),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_templates() {
        for (_, rows) in PRESETS {
            for (name, template) in *rows {
                assert_eq!(HeaderName::from_static(name).as_str(), *name);
                assert!(!parse(template).unwrap().parts.is_empty(), "{template}");
            }
        }
    }

    #[test]
    fn a_template_is_text_and_fields() {
        assert_eq!(
            parse("a {sub}{{{claim.x.y}}}").unwrap().parts,
            [
                Part::Text("a ".to_owned()),
                Part::Subject,
                Part::Text("{".to_owned()),
                Part::Claim("x.y".to_owned()),
                Part::Text("}".to_owned()),
            ]
        );
        for wrong in ["{", "}", "{sub", "{nobody}", "{claim.}"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
