//! Who the user is, as headers: the app's templates filled from the session.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use crate::config::{IdentityHeaders, Part, Template};
use crate::model::client_certificate::ClientCertificate;
use crate::model::evidence::Identity;

/// Non-ASCII is always encoded; control bytes, and `%` so that decoding is unambiguous.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// A member of a list holds the `,` that separates members: the app would read more groups than there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Ambiguous {
    pub(in crate::edge) header: HeaderName,
}

/// The headers of one session; those with a missing claim are left out. `level`: the name of what the request has.
pub(in crate::edge) fn render(
    headers: &[(HeaderName, Template)],
    identity: &Identity,
    level: &str,
    certificate: Option<&ClientCertificate>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Ambiguous> {
    let mut rendered = Vec::with_capacity(headers.len());
    for (name, template) in headers {
        let text = fill(template, identity, level, certificate).map_err(|Comma| Ambiguous {
            header: name.clone(),
        })?;
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(encoded(&text)).ok()) {
            rendered.push((name.clone(), value));
        }
    }
    Ok(rendered)
}

/// Whether a rendering holds for one level only.
pub(in crate::edge) fn depends_on_level(headers: &IdentityHeaders) -> bool {
    headers
        .headers
        .iter()
        .any(|(_, template)| template.parts.contains(&Part::Level))
}

struct Comma;

/// Nothing when a field is missing or empty.
fn fill(
    template: &Template,
    identity: &Identity,
    level: &str,
    certificate: Option<&ClientCertificate>,
) -> Result<Option<String>, Comma> {
    let mut text = String::new();
    for part in &template.parts {
        let field = match part {
            Part::Text(literal) => Some(literal.clone()),
            Part::Level => Some(level.to_owned()),
            Part::Subject => Some(identity.sub.clone()),
            Part::Groups => joined(identity.groups.iter().map(String::as_str))?,
            Part::Roles => joined(identity.roles.iter().map(String::as_str))?,
            Part::CertificateSubject => certificate
                .map(|certificate| certificate.subject.clone())
                .filter(|subject| !subject.is_empty()),
            Part::CertificateNames => match certificate {
                Some(certificate) => joined(certificate.names.iter().map(String::as_str))?,
                None => None,
            },
            Part::CertificateFingerprint => certificate.map(|certificate| {
                let digits = certificate
                    .fingerprint
                    .iter()
                    .map(|byte| format!("{byte:02x}"));
                digits.collect()
            }),
            Part::Claim(name) => match identity.claims.get(name) {
                Some(value) => claim(value)?,
                None => None,
            },
        };
        match field {
            Some(field) => text.push_str(&field),
            None => return Ok(None),
        }
    }
    Ok((!text.is_empty()).then_some(text))
}

fn claim(value: &Value) -> Result<Option<String>, Comma> {
    Ok(match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(members) => {
            let texts: Option<Vec<String>> = members
                .iter()
                .map(|member| match member {
                    Value::String(text) => Some(text.clone()),
                    Value::Bool(_) | Value::Number(_) => Some(member.to_string()),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                })
                .collect();
            match texts {
                Some(texts) => joined(texts.iter().map(String::as_str))?,
                None => None,
            }
        }
        Value::Null | Value::Object(_) => None,
    })
}

fn joined<'a>(members: impl Iterator<Item = &'a str>) -> Result<Option<String>, Comma> {
    let mut text = String::new();
    for (index, member) in members.enumerate() {
        if member.contains(',') {
            return Err(Comma);
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(member);
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Plain ASCII without `%` stays as it is, so ordinary names read as they are.
fn encoded(text: &str) -> String {
    if text
        .bytes()
        .all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'%')
    {
        return text.to_owned();
    }
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            sub: "7f".into(),
            groups: vec!["clerks".into(), "treasury".into()],
            claims: [
                ("name".to_owned(), json!("Jürgen\r\nX-Admin: 1")),
                ("email".to_owned(), json!("a@example.com")),
                ("empty".to_owned(), json!("")),
                ("object".to_owned(), json!({"a": 1})),
                ("many".to_owned(), json!(["a", 2, true])),
                ("commas".to_owned(), json!(["a,b"])),
            ]
            .into(),
            ..Identity::default()
        }
    }

    fn rendered(parts: Vec<Part>) -> Result<Option<String>, Ambiguous> {
        let headers = [(HeaderName::from_static("x-own"), Template { parts })];
        let certificate = ClientCertificate {
            subject: "CN=alice,O=Example".into(),
            names: vec!["email:a@example.com".into(), "DNS:laptop".into()],
            fingerprint: [10; 32],
            thumbprint: String::new(),
        };
        let fields = render(&headers, &identity(), "mfa", Some(&certificate))?;
        Ok(fields
            .first()
            .map(|(_, value)| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn templates_are_filled() {
        let text = |text: &str| Part::Text(text.into());
        let claim = |name: &str| Part::Claim(name.into());
        assert_eq!(
            rendered(vec![Part::Groups]),
            Ok(Some("clerks,treasury".into()))
        );
        assert_eq!(
            rendered(vec![text("u:"), Part::Subject, text("@"), Part::Level]),
            Ok(Some("u:7f@mfa".into()))
        );
        assert_eq!(
            rendered(vec![
                Part::CertificateSubject,
                text("; "),
                Part::CertificateNames
            ]),
            Ok(Some(
                "CN=alice,O=Example; email:a@example.com,DNS:laptop".into()
            ))
        );
        assert_eq!(
            rendered(vec![Part::CertificateFingerprint]),
            Ok(Some("0a".repeat(32)))
        );
        assert_eq!(rendered(vec![claim("many")]), Ok(Some("a,2,true".into())));
        assert_eq!(
            rendered(vec![claim("name")]),
            Ok(Some("J%C3%BCrgen%0D%0AX-Admin: 1".into()))
        );
    }

    #[test]
    fn a_missing_claim_is_no_header() {
        for name in ["nope", "empty", "object"] {
            assert_eq!(
                rendered(vec![Part::Text("x".into()), Part::Claim(name.into())]),
                Ok(None),
                "{name}"
            );
        }
        assert_eq!(rendered(vec![Part::Roles]), Ok(None));
    }

    #[test]
    fn a_comma_inside_a_member_is_refused() {
        assert!(rendered(vec![Part::Claim("commas".into())]).is_err());
    }
}
