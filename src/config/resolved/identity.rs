//! What an app is told of whoever asks: headers, and templates of what they say.

/// Header name and template, preset and own ones merged; empty = none.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders {
    /// The same for all requests of a session that have the same level.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// Those that say something of the connection as well.
    pub of_connection: Vec<(http::HeaderName, Template)>,
}

impl IdentityHeaders {
    pub fn all(&self) -> impl Iterator<Item = &(http::HeaderName, Template)> {
        self.headers.iter().chain(&self.of_connection)
    }
}

impl Template {
    pub fn is_of_connection(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(
                part,
                Part::CertificateSubject | Part::CertificateNames | Part::CertificateFingerprint
            )
        })
    }
}

/// Literal text and fields, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// `{level}`: the name of the level that the request has.
    Level,
    /// `{sub}`
    Subject,
    /// `{groups}`, joined by `,`
    Groups,
    /// `{roles}`, joined by `,`
    Roles,
    /// `{claim.NAME}`; arrays joined by `,`
    Claim(String),
    /// `{client_cert.subject}`
    CertificateSubject,
    /// `{client_cert.san}`, joined by `,`
    CertificateNames,
    /// `{client_cert.fingerprint}`: SHA-256, in hexadecimal digits
    CertificateFingerprint,
}
