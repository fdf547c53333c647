//! The certificate that a client showed in its handshake, verified.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As RFC 4514 writes it.
    pub subject: String,
    /// `DNS:…`, `email:…`, `URI:…`, `IP:…`: the alternative names, in their order.
    pub names: Vec<String>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// The same as `x5t#S256` of a token that is bound to it has it (RFC 8705 3.1).
    pub thumbprint: String,
}
