//! Ways to tell people that something waits for them, as the program uses them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use rustls::pki_types::CertificateDer;
use url::{Host, Url};

use crate::model::address::is_public;
use crate::model::session::Secret;

/// `[channels.…]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub name: String,
    pub kind: ChannelKind,
    /// The summary and who asks go out too; by default a link alone does.
    pub detail: bool,
    /// What became of it is told as well.
    pub decided: bool,
    /// Of one try; default 10 s.
    pub timeout: Duration,
    /// What is taken when this one fails for good; index into `Config::channels`.
    pub fallback: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    Webhook(Webhook),
    Ntfy(Ntfy),
    Smtp(Smtp),
    WebPush(WebPush),
    Ciba(CibaDevice),
}

impl ChannelKind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Ntfy(_) => "ntfy",
            Self::Smtp(_) => "smtp",
            Self::WebPush(_) => "web-push",
            Self::Ciba(_) => "ciba",
        }
    }
}

/// How far something goes by HTTP, and whom it believes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Also addresses that are not of the public internet: by default a name that leads there is an attack.
    pub allow_private: bool,
    /// Instead of the system's. Empty where the file cannot be read and that is only a warning: then nobody is believed.
    pub ca: Option<Arc<[CertificateDer<'static>]>>,
}

/// As Standard Webhooks has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: Url,
    pub reach: Reach,
    /// All sign, so that a receiver can go over from one to the next.
    pub keys: Vec<SigningKey>,
    /// Of whoever is at the other end: what one of them has signed may decide, where an approval names the webhook as an
    /// approver. Empty: it decides nothing.
    pub decide_keys: Vec<SigningKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ntfy {
    /// The server's; the topic is in what is posted.
    pub url: Url,
    pub reach: Reach,
    pub topic: String,
    pub token: Option<Secret>,
    /// 1 to 5; default 4.
    pub priority: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// As in [`Reach`].
    pub ca: Option<Arc<[CertificateDer<'static>]>>,
    pub credentials: Option<(String, Secret)>,
    pub from: Mailbox,
    pub to: Vec<Address>,
    /// Also to those whom an approval names by an address.
    pub to_approvers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Nothing is said before it.
    StartTls,
    /// From the first byte on.
    Tls,
    /// On loopback only.
    Off,
}

/// To browsers that have subscribed, by way of their makers' push services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPush {
    pub key: VapidKey,
    /// Whom a push service can write to: `mailto:` or `https:`.
    pub subject: String,
    /// Hosts of the push services that are taken; `*.` stands for one or more labels before it.
    pub services: Vec<String>,
    pub reach: Reach,
}

/// Keycloak has the requester confirm it on a device (OpenID Connect CIBA). It tells nobody else, and decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CibaDevice {
    pub delivery: CibaDelivery,
    /// Handed on to the device as they are.
    pub params: Vec<(String, String)>,
}

/// How its word comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CibaDelivery {
    #[default]
    Poll,
    /// Keycloak says when a poll is worth it.
    Ping,
}

/// A private key of P-256, by which push services know us, and browsers the subscriptions that they made for us.
#[derive(Clone, PartialEq, Eq)]
pub struct VapidKey(Vec<u8>);

impl VapidKey {
    /// `None`: it is none.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let is_key = bytes.len() == 32 && p256::SecretKey::from_slice(&bytes).is_ok();
        is_key.then_some(Self(bytes))
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VapidKey(…)")
    }
}

/// Of HMAC-SHA256.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// By what can be seen of it: where a name leads is looked at whenever it is asked for.
pub fn may_be_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
        None => false,
    }
}
