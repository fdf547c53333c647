//! Text in; a resolved [`Config`], or all problems, out. The only floor that reads files and environment.
//!
//! Files are read into a tree that knows the place of every value ([`document`]), read from there by key and type
//! ([`fields`]), and resolved: every name becomes an index or a value. Each step goes on after a problem, so that all of
//! them are reported in one go.

mod certificate;
mod channel;
mod ciba;
mod code;
mod document;
mod fields;
mod files;
mod keys;
mod load;
mod problem;
mod resolve;
mod resolved;
mod secret;
mod units;

pub use certificate::{
    Certificate, CertificateError, CertificateFiles, ClientCertificates, KeyPlace, Names,
};
pub use channel::{
    Channel, ChannelKind, CibaDelivery, CibaDevice, MailTls, Ntfy, Reach, SigningKey, Smtp,
    VapidKey, WebPush, Webhook, may_be_public,
};
pub use ciba::CibaChannel;
pub use code::Code;
pub use files::{Files, Stamp};
pub use keys::{KEYS, Keys};
pub use load::{Input, Loaded, Options, Secrets, default_path, load, load_noting, parse};
pub use problem::{Place, Problem, Severity};
pub use resolve::PRESETS;
pub use resolved::*;
pub use units::{duration as parse_duration, spell_duration};

#[cfg(test)]
mod tests;
