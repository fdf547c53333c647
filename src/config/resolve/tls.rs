//! TLS on the listeners: where it is, by which certificates, and what is asked of clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::installation::addresses;
use crate::config::certificate::{
    Certificate, CertificateError, CertificateFiles, ClientCertificates, KeyPlace,
};
use crate::config::code::Code;
use crate::config::document::Node;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::load::{Outside, Secrets};
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::{Origin, Plain};
use crate::config::secret;

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) listen_tls: Vec<SocketAddr>,
    pub(super) plain: Plain,
    pub(super) certificates: Vec<Certificate>,
    pub(super) client_certificates: Option<ClientCertificates>,
    pub(super) hsts: Option<Duration>,
}

pub(super) fn resolve(root: Fields<'_>, outside: &Outside<'_>) -> Tls {
    let listen_tls = addresses(root, "listen_tls");
    let has_tls = root.has("listen_tls");
    let certificates = root.tables("certificates");
    let report = root.report();
    if has_tls && certificates.is_empty() {
        report.push(in_part(
            root,
            "listen_tls",
            "`listen_tls` needs a certificate",
        ));
    }
    for key in ["certificates", "client_certificates", "hsts", "plain"] {
        if root.has(key) && !has_tls {
            let problem = in_part(root, key, &format!("`{key}` is for `listen_tls`"));
            report.push(problem.help("listen_tls = [\"0.0.0.0:443\"]"));
        }
    }
    let choices = [("redirect", Plain::Redirect), ("serve", Plain::Serve)];
    Tls {
        listen: if root.has("listen") {
            addresses(root, "listen")
        } else if has_tls {
            Vec::new()
        } else {
            vec![SocketAddr::from(LISTEN)]
        },
        plain: root.choice("plain", &choices).unwrap_or(if has_tls {
            Plain::Redirect
        } else {
            Plain::Serve
        }),
        certificates: certificates
            .iter()
            .filter_map(|node| certificate(node, outside, report))
            .collect(),
        client_certificates: client_certificates(root, outside),
        hsts: root.span("hsts"),
        listen_tls,
    }
}

/// Browsers warn of a host that no certificate is for.
pub(super) fn check_covered<'o>(
    tls: &Tls,
    origins: impl Iterator<Item = (&'o Origin, &'o Place)>,
    report: &Report,
) {
    if tls.certificates.is_empty() {
        return;
    }
    for (origin, place) in origins.filter(|(origin, _)| origin.https) {
        let host = origin.host();
        if !tls
            .certificates
            .iter()
            .any(|certificate| certificate.names.cover(host))
        {
            report.push(
                Problem::error(
                    Code::NotCovered,
                    place,
                    format!("no certificate is for `{host}`"),
                )
                .warning()
                .help(
                    "a host has to stand among a certificate's alternative names; `*` is one label",
                ),
            );
        }
    }
}

fn in_part(root: Fields<'_>, key: &str, message: &str) -> Problem {
    match root.key_place(key) {
        Some(place) => Problem::error(Code::TlsInPart, place, message),
        None => Problem::nowhere(Code::TlsInPart, message),
    }
    .help("[[certificates]] with `cert` and `key`")
}

fn certificate(node: &Node, outside: &Outside<'_>, report: &Report) -> Option<Certificate> {
    let fields = Fields::open(node, &keys::CERTIFICATE, report)?;
    let cert = fields.required_text("cert");
    let key_node = fields.required("key");
    let key = key_node.and_then(|key| secret::read_key(key, outside, report));
    let (cert, key_node) = (cert?, key_node?);
    let (secret, file) = key?;
    let path = outside.base.join(cert.text);
    let pem = text(&path, cert.place, outside, report)?;
    let files = CertificateFiles {
        cert: path,
        key: match file {
            Some(file) => KeyPlace::File(file),
            None => KeyPlace::Fixed(secret.clone()),
        },
    };
    // Of a key that cannot be read, which is a warning here.
    let secret = (!secret.reveal().is_empty()).then_some(&secret);
    match Certificate::parse(files, &pem, secret) {
        Ok(certificate) => {
            check_validity(&certificate, cert.place, outside, report);
            Some(certificate)
        }
        Err(error) => {
            report.push(problem(&error, cert.place, &key_node.place));
            None
        }
    }
}

fn check_validity(
    certificate: &Certificate,
    place: &Place,
    outside: &Outside<'_>,
    report: &Report,
) {
    if outside.now.is_some_and(|now| !certificate.is_valid_at(now)) {
        let error = CertificateError::NotValidNow(certificate.files.cert.clone());
        report.push(problem(&error, place, place));
    }
}

fn problem(error: &CertificateError, cert: &Place, key: &Place) -> Problem {
    let (code, place) = match error {
        CertificateError::Unreadable { .. }
        | CertificateError::NoCertificate(_)
        | CertificateError::Malformed { .. } => (Code::CertificateFile, cert),
        CertificateError::NoKey(_) | CertificateError::UnknownKey { .. } => (Code::WeakSecret, key),
        CertificateError::Mismatch(_) => (Code::KeyMismatch, key),
        CertificateError::NotValidNow(_) => (Code::NotValidNow, cert),
    };
    let problem = Problem::error(code, place, error.to_string());
    match error {
        CertificateError::Mismatch(_) => problem
            .help("the certificate of the host comes first in its file, then those that signed it"),
        CertificateError::NotValidNow(_) => problem.help(
            "openssl x509 -in FILE -noout -dates; stepgate takes a new file without a restart",
        ),
        _ => problem,
    }
}

fn client_certificates(root: Fields<'_>, outside: &Outside<'_>) -> Option<ClientCertificates> {
    let fields = root.table("client_certificates", &keys::CLIENT_CERTIFICATES)?;
    let require = fields.flag("require").unwrap_or(false);
    let ca = fields.required_text("ca")?;
    let path: PathBuf = outside.base.join(ca.text);
    let pem = text(&path, ca.place, outside, root.report())?;
    match ClientCertificates::parse(path, &pem, require) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            root.report().push(problem(&error, ca.place, ca.place));
            None
        }
    }
}

/// As with secrets: where the configuration is only looked at, a file of another machine is a warning.
fn text(
    path: &std::path::Path,
    place: &Place,
    outside: &Outside<'_>,
    report: &Report,
) -> Option<String> {
    (outside.read_certificate)(path)
        .map_err(|source| {
            let error = CertificateError::Unreadable {
                path: path.to_owned(),
                source,
            };
            let problem = problem(&error, place, place);
            report.push(match outside.secrets {
                Secrets::Required => problem,
                Secrets::Optional => problem.warning(),
            });
        })
        .ok()
}
