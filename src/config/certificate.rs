//! What a TLS listener shows of itself, and whom it lets in: certificates and keys, read from PEM and held against each
//! other. Read once with the configuration, and again by whoever watches the files.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::files::Files;
use super::load::tidy;
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// A server certificate with what is to be known of it.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub files: CertificateFiles,
    pub names: Names,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The chain and its key. Nothing where the key could not be read, which only `check` lets pass.
    pub key: Option<Arc<CertifiedKey>>,
}

/// Where it is read from.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: KeyPlace,
}

#[derive(Clone, Debug)]
pub enum KeyPlace {
    File(PathBuf),
    /// From the environment, which does not change.
    Fixed(Secret),
}

/// The hosts that a certificate is for: those of its `subjectAltName`; a common name is nobody's host (RFC 9525 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    exact: HashSet<String>,
    /// Without their `*.`.
    wildcards: HashSet<String>,
    addresses: HashSet<IpAddr>,
}

/// Whose client certificates are believed.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    pub ca: PathBuf,
    pub roots: Arc<RootCertStore>,
    /// Whether a client without one gets no connection.
    pub require: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{} cannot be read: {source}", tidy(path))]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} holds no certificate in PEM", tidy(.0))]
    NoCertificate(PathBuf),
    #[error("{} holds something that is no certificate: {why}", tidy(path))]
    Malformed { path: PathBuf, why: String },
    #[error("the key of {} is no private key in PEM (PKCS#8, PKCS#1 or SEC 1, without a password)", tidy(.0))]
    NoKey(PathBuf),
    #[error("the key of {} is of a kind that is not known: {why}", tidy(path))]
    UnknownKey { path: PathBuf, why: String },
    #[error("the key is not that of {}", tidy(.0))]
    Mismatch(PathBuf),
    #[error("{} has expired, or is not valid yet", tidy(.0))]
    NotValidNow(PathBuf),
}

impl CertificateFiles {
    /// What is in the files now.
    pub fn read(&self, now: Timestamp) -> Result<Certificate, CertificateError> {
        let key = match &self.key {
            KeyPlace::File(path) => Secret::new(read(path)?),
            KeyPlace::Fixed(key) => key.clone(),
        };
        let certificate = Certificate::parse(self.clone(), &read(&self.cert)?, Some(&key))?;
        if !certificate.is_valid_at(now) {
            return Err(CertificateError::NotValidNow(self.cert.clone()));
        }
        Ok(certificate)
    }

    /// Those that may change.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let key = match &self.key {
            KeyPlace::File(path) => Some(path.as_path()),
            KeyPlace::Fixed(_) => None,
        };
        std::iter::once(self.cert.as_path()).chain(key)
    }
}

impl Certificate {
    pub(super) fn parse(
        files: CertificateFiles,
        pem: &str,
        key: Option<&Secret>,
    ) -> Result<Self, CertificateError> {
        let chain = chain(&files.cert, pem)?;
        let malformed = |why: String| CertificateError::Malformed {
            path: files.cert.clone(),
            why,
        };
        let leaf = chain
            .first()
            .ok_or_else(|| CertificateError::NoCertificate(files.cert.clone()))?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|error| malformed(error.to_string()))?;
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_unix(time.timestamp());
        let (names, not_before, not_after) = (
            Names::of(&parsed),
            at(parsed.validity().not_before),
            at(parsed.validity().not_after),
        );
        let key = key
            .map(|key| certified(&files.cert, chain.clone(), key))
            .transpose()?;
        Ok(Self {
            files,
            names,
            not_before,
            not_after,
            key,
        })
    }

    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        for extension in certificate.extensions() {
            let ParsedExtension::SubjectAlternativeName(alternatives) =
                extension.parsed_extension()
            else {
                continue;
            };
            for name in &alternatives.general_names {
                names.add(name);
            }
        }
        names
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => self.wildcards.insert(parent.to_owned()),
                    None => self.exact.insert(name),
                };
            }
            GeneralName::IPAddress(bytes) => {
                let address = <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.addresses.extend(address.ok());
            }
            _ => {}
        }
    }

    /// `host`: a name in lower case or an address, without a port. A `*` stands for exactly one label (RFC 9525 6.3).
    pub fn cover(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        self.exact.contains(host)
            || host
                .split_once('.')
                .is_some_and(|(label, parent)| !label.is_empty() && self.wildcards.contains(parent))
    }

    /// For a table of many: names as they are, and the parents of wildcards.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(String::as_str)
    }

    pub fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.wildcards.iter().map(String::as_str)
    }
}

impl ClientCertificates {
    /// What is in the file now.
    pub fn again(&self) -> Result<Self, CertificateError> {
        Self::parse(self.ca.clone(), &read(&self.ca)?, self.require)
    }

    pub(super) fn parse(ca: PathBuf, pem: &str, require: bool) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in chain(&ca, pem)? {
            roots
                .add(certificate)
                .map_err(|error| CertificateError::Malformed {
                    path: ca.clone(),
                    why: error.to_string(),
                })?;
        }
        Ok(Self {
            ca,
            roots: Arc::new(roots),
            require,
        })
    }
}

fn read(path: &Path) -> Result<String, CertificateError> {
    Files::default()
        .read(path)
        .map_err(|source| CertificateError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// At least one.
fn chain(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::Malformed {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn certified(
    path: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &Secret,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
        .map_err(|_| CertificateError::NoKey(path.to_owned()))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map(Arc::new)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::Mismatch(path.to_owned())
            }
            other => CertificateError::UnknownKey {
                path: path.to_owned(),
                why: other.to_string(),
            },
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_wildcard_is_one_label() {
        let mut names = Names::default();
        names.add(&GeneralName::DNSName("ERP.example.com"));
        names.add(&GeneralName::DNSName("*.apps.example.com"));
        names.add(&GeneralName::IPAddress(&[192, 0, 2, 1]));
        let rows = [
            ("erp.example.com", true),
            ("www.erp.example.com", false),
            ("a.apps.example.com", true),
            ("a.b.apps.example.com", false),
            ("apps.example.com", false),
            (".apps.example.com", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("[2001:db8::1]", false),
            ("", false),
        ];
        for (host, expected) in rows {
            assert_eq!(names.cover(host), expected, "{host}");
        }
    }
}
