//! What a client's certificate says, in words that an app can go by.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

use crate::model::client_certificate::ClientCertificate;

/// Nothing: it cannot be read, whoever signed it.
pub(in crate::edge) fn parse(der: &[u8]) -> Option<ClientCertificate> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
    let alternatives = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternatives) => Some(alternatives),
            _ => None,
        }
    });
    Some(ClientCertificate {
        subject: subject(certificate.subject())?,
        names: alternatives
            .flat_map(|alternatives| &alternatives.general_names)
            .filter_map(alternative)
            .collect(),
        fingerprint,
        thumbprint: URL_SAFE_NO_PAD.encode(fingerprint),
    })
}

fn alternative(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            Some(format!("IP:{}", address.ok()?))
        }
        _ => None,
    }
}

/// The types that have a name of their own (RFC 4514 3), as their object identifiers are written.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// RFC 4514 2.1: the last one first. Quoted so that no value can read as another part of the name.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn push(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let kind = attribute.attr_type().to_id_string();
    let known = TYPES.iter().find(|(id, _)| *id == kind);
    if let (Some((_, name)), Ok(value)) = (known, attribute.as_str()) {
        text.push_str(name);
        text.push('=');
        push_escaped(text, value);
        return Some(());
    }
    // RFC 4514 2.4: what has no name, or is no text, is told by its bytes.
    text.push_str(&kind);
    text.push_str("=#");
    let value = attribute.attr_value();
    let length = u8::try_from(value.data.len()).ok()?;
    let tag = u8::try_from(value.tag().0).ok()?;
    if length < 0x80 {
        let _written = write!(text, "{tag:02x}{length:02x}");
    } else {
        let _written = write!(text, "{tag:02x}81{length:02x}");
    }
    for byte in value.data {
        let _written = write!(text, "{byte:02x}");
    }
    Some(())
}

fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {
                text.push('\\');
                text.push(character);
            }
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    let _written = write!(text, "\\{byte:02x}");
                }
            }
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn parsed(subject: DistinguishedName, names: Vec<SanType>) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        parse(certificate.der()).unwrap()
    }

    #[test]
    fn a_subject_is_written_so_that_no_value_reads_as_another() {
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Example, Inc.");
        name.push(DnType::CommonName, " #alice,CN=root\n");
        name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "x");
        assert_eq!(
            parsed(name, Vec::new()).subject,
            "1.2.3.4=#0c0178,CN=\\ #alice\\,CN\\=root\\0a,O=Example\\, Inc.,C=DE"
        );
    }

    #[test]
    fn alternative_names_say_what_they_are() {
        let names = vec![
            SanType::Rfc822Name("alice@example.com".try_into().unwrap()),
            SanType::DnsName("laptop.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/alice".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
        ];
        assert_eq!(
            parsed(DistinguishedName::new(), names).names,
            [
                "email:alice@example.com",
                "DNS:laptop.example.com",
                "URI:spiffe://example.com/alice",
                "IP:192.0.2.1"
            ]
        );
    }
}
