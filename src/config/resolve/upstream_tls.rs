//! `tls` of an upstream: whom it has to be, and who we are. Certificates are read here, so that they are what a reload swaps.

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use url::Url;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::code::Code;
use crate::config::fields::{Fields, Text};
use crate::config::keys;
use crate::config::load::{Outside, Secrets, tidy};
use crate::config::problem::Problem;
use crate::config::resolved::{ClientCertificate, UpstreamTls};
use crate::config::secret;

const CERTIFICATES: &str = "PEM: one or more blocks that begin with `-----BEGIN CERTIFICATE-----`";

pub(super) fn resolve(
    upstream: Fields<'_>,
    urls: &[Url],
    outside: &Outside<'_>,
) -> Option<UpstreamTls> {
    let fields = upstream.table("tls", &keys::UPSTREAM_TLS)?;
    if !urls.is_empty() && urls.iter().all(|url| url.scheme() != "https") {
        fields.report().push(
            Problem::error(
                Code::TlsWithoutHttps,
                upstream.key_place("tls").unwrap_or(fields.place()),
                "there is no TLS with this upstream",
            )
            .help("its URL begins with `https://`, or `tls` goes"),
        );
    }
    let verify = fields.flag("insecure_skip_verify") != Some(true);
    if !verify && let Some(place) = fields.key_place("insecure_skip_verify") {
        fields.report().push(
            Problem::error(
                Code::Unverified,
                place,
                "whoever answers in this upstream's place is believed",
            )
            .warning()
            .help("name the authority of its certificate instead: `ca = \"FILE\"`, and `server_name` where the name differs"),
        );
    }
    Some(UpstreamTls {
        ca: fields
            .text("ca")
            .map(|given| authorities(fields, given, outside).into()),
        server_name: fields
            .text("server_name")
            .filter(|given| is_server_name(fields, given))
            .map(|given| given.text.to_owned()),
        client: client(fields, outside).map(Into::into),
        verify,
    })
}

fn is_server_name(fields: Fields<'_>, given: &Text<'_>) -> bool {
    let fine = ServerName::try_from(given.text).is_ok();
    if !fine {
        fields.report().push(
            Problem::error(
                Code::BadName,
                given.place,
                format!("`{}` is not a name that a certificate has", given.text),
            )
            .help("a DNS name or an address, without scheme and port"),
        );
    }
    fine
}

/// Empty with a problem: nobody is believed then.
pub(super) fn authorities(
    fields: Fields<'_>,
    given: Text<'_>,
    outside: &Outside<'_>,
) -> Vec<CertificateDer<'static>> {
    let Some(read) = certificates(fields, given, outside) else {
        return Vec::new();
    };
    let mut roots = RootCertStore::empty();
    for authority in &read {
        if let Err(error) = roots.add(authority.clone()) {
            unusable(fields, given, &error.to_string());
            return Vec::new();
        }
    }
    read
}

fn client(fields: Fields<'_>, outside: &Outside<'_>) -> Option<ClientCertificate> {
    let (given, key) = match (fields.text("client_cert"), fields.node("client_key")) {
        (Some(given), Some(key)) => (given, key),
        (None, None) => return None,
        (given, key) => {
            let (there, missing) = match given {
                Some(given) => (given.place, "client_key"),
                None => (key.map_or(fields.place(), |key| &key.place), "client_cert"),
            };
            fields.report().push(Problem::error(
                Code::MissingKey,
                there,
                format!("`{missing}` is missing beside it"),
            ));
            return None;
        }
    };
    let chain = certificates(fields, given, outside);
    let pem = secret::read(key, outside, fields.report())?;
    // An unreadable one is empty where that is only a warning.
    if pem.reveal().is_empty() {
        return None;
    }
    let chain = chain?;
    let refuse = |code: Code, why: String| {
        fields
            .report()
            .push(Problem::error(code, &key.place, why).help(
            "the key that the first of the certificates was made for, in PEM without a password",
        ));
    };
    let private = PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes())
        .map_err(|error| refuse(Code::WeakSecret, format!("no private key: {error}")))
        .ok()?;
    // They belong together, and the key is of a kind that can sign.
    CertifiedKey::from_der(
        chain.clone(),
        private.clone_key(),
        &ring::default_provider(),
    )
    .map_err(|error| {
        refuse(
            Code::KeyMismatch,
            format!("not the certificate's key: {error}"),
        )
    })
    .ok()?;
    Some(ClientCertificate {
        chain,
        key: private,
    })
}

/// At least one, each readable for all that will read them.
fn certificates(
    fields: Fields<'_>,
    given: Text<'_>,
    outside: &Outside<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let path = outside.base.join(given.text);
    let text = match (outside.read)(&path) {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem::error(
                Code::CertificateFile,
                given.place,
                format!("{} cannot be read: {error}", tidy(&path)),
            );
            fields.report().push(match outside.secrets {
                Secrets::Required => problem,
                Secrets::Optional => problem.warning(),
            });
            return None;
        }
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let why = match read {
        Ok(read) if read.is_empty() => "it holds no certificate".to_owned(),
        // Pingora parses them once more, with another parser, and panics where it cannot.
        Ok(read) => match read
            .iter()
            .find_map(|der| X509Certificate::from_der(der).err())
        {
            None => return Some(read),
            Some(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    unusable(fields, given, &why);
    None
}

fn unusable(fields: Fields<'_>, given: Text<'_>, why: &str) {
    fields.report().push(
        Problem::error(
            Code::CertificateFile,
            given.place,
            format!("`{}` cannot be used: {why}", given.text),
        )
        .help(CERTIFICATES),
    );
}
