//! `kind = "smtp"`: mail, by TLS.

use std::net::IpAddr;

use lettre::Address;
use lettre::message::Mailbox;
use url::Host;

use super::{authorities, no_address};
use crate::config::channel::{MailTls, Smtp};
use crate::config::code::Code;
use crate::config::fields::{Fields, Text};
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report};
use crate::config::secret;
use crate::model::session::Secret;

pub(super) fn resolve(fields: Fields<'_>, outside: &Outside<'_>) -> Option<Smtp> {
    let report = fields.report();
    let tls = fields
        .choice(
            "tls",
            &[
                ("starttls", MailTls::StartTls),
                ("tls", MailTls::Tls),
                ("off", MailTls::Off),
            ],
        )
        .unwrap_or(MailTls::StartTls);
    let host = fields
        .required_text("host")
        .and_then(|given| mail_host(given, tls, report));
    let port = match fields.number("port", 1, u64::from(u16::MAX)) {
        Some(port) => u16::try_from(port).ok()?,
        None => match tls {
            MailTls::StartTls => 587,
            MailTls::Tls => 465,
            MailTls::Off => 25,
        },
    };
    let from = fields.required_text("from").and_then(|given| {
        let parsed = given.text.parse::<Mailbox>().ok();
        parsed.or_else(|| no_address(given, report))
    });
    let to: Vec<Address> = fields
        .texts("to")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| {
            let parsed = given.text.parse::<Address>().ok();
            parsed.or_else(|| no_address(given, report))
        })
        .collect();
    let to_approvers = fields.flag("to_approvers").unwrap_or(false);
    if !fields.has("to") && !to_approvers {
        report.push(
            Problem::error(
                Code::MailToNobody,
                fields.place(),
                "the mail goes to nobody",
            )
            .help("`to = [\"leads@example.com\"]`, or `to_approvers = true` for those whom an approval names by an address"),
        );
    }
    let credentials = credentials(fields, outside)?;
    Some(Smtp {
        host: host?,
        port,
        tls,
        ca: authorities(fields, outside),
        credentials,
        from: from?,
        to,
        to_approvers,
    })
}

/// `Some(None)`: none are needed.
#[expect(clippy::option_option, reason = "a problem, none, or both")]
fn credentials(fields: Fields<'_>, outside: &Outside<'_>) -> Option<Option<(String, Secret)>> {
    match (fields.text("username"), fields.node("password")) {
        (Some(name), Some(password)) => {
            let password = secret::read(password, outside, fields.report())?;
            Some(Some((name.text.to_owned(), password)))
        }
        (None, None) => Some(None),
        (name, password) => {
            let (there, missing) = match (name, password) {
                (Some(name), _) => (name.place, "password"),
                (None, password) => (
                    password.map_or(fields.place(), |node| &node.place),
                    "username",
                ),
            };
            fields.report().push(Problem::error(
                Code::MissingKey,
                there,
                format!("`{missing}` is missing beside it"),
            ));
            None
        }
    }
}

/// A name or an address, without a port.
fn mail_host(given: Text<'_>, tls: MailTls, report: &Report) -> Option<String> {
    let bare = given.text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok();
    let is_name = || {
        matches!(Host::parse(given.text), Ok(Host::Domain(name)) if name == given.text.to_ascii_lowercase())
            && !given.text.contains('*')
    };
    if address.is_none() && !is_name() {
        report.push(
            Problem::error(
                Code::BadName,
                given.place,
                format!("`{}` is not a host", given.text),
            )
            .help("a name or an address; the port is in `port`"),
        );
        return None;
    }
    let is_loopback = address.map_or(bare.eq_ignore_ascii_case("localhost"), |address| {
        address.is_loopback()
    });
    if tls == MailTls::Off && !is_loopback {
        report.push(
            Problem::error(
                Code::PlainMail,
                given.place,
                "mail without TLS other than on loopback",
            )
            .help("`tls = \"starttls\"`, which is the default, or `tls = \"tls\"`"),
        );
        return None;
    }
    Some(bare.to_owned())
}
