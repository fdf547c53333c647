//! URLs: origins that browsers see, upstreams, the issuer.

use std::net::IpAddr;

use url::{Host, Url};

use crate::config::code::Code;
use crate::config::fields::Text;
use crate::config::problem::{Problem, Report};
use crate::config::resolved::Origin;

/// `https://host[:port]`; plain HTTP on loopback only.
pub(super) fn origin(given: Text<'_>, report: &Report) -> Option<Origin> {
    let url = bare(given, report)?;
    require_https(given, &url, report)?;
    let host = url.host_str()?;
    let (authority, cookie) = match url.port() {
        Some(port) => (format!("{host}:{port}"), format!("__Host-stepgate-{port}")),
        None => (host.to_owned(), "__Host-stepgate".to_owned()),
    };
    Some(Origin {
        text: format!("{}://{authority}", url.scheme()),
        authority,
        https: url.scheme() == "https",
        cookie,
    })
}

pub(super) fn upstream(given: Text<'_>, report: &Report) -> Option<Url> {
    bare(given, report)
}

/// The text as it is given: `iss` is compared byte by byte. No realm's ends with `/`.
pub(super) fn issuer(given: Text<'_>, report: &Report) -> Option<String> {
    let url = parse(given, report)?;
    if url.query().is_some()
        || url.fragment().is_some()
        || has_credentials(&url)
        || given.text.ends_with('/')
    {
        report.push(
            Problem::error(Code::BadUrl, given.place, "not an issuer")
                .help("the realm's URL as its tokens carry it, without a `/` at the end: https://sso.example.com/realms/corp"),
        );
        return None;
    }
    require_https(given, &url, report)?;
    Some(given.text.to_owned())
}

/// Where something is posted to: with a path and a query, if it has them.
pub(super) fn endpoint(given: Text<'_>, report: &Report) -> Option<Url> {
    let url = parse(given, report)?;
    if url.fragment().is_some() || has_credentials(&url) {
        report.push(
            Problem::error(
                Code::BadUrl,
                given.place,
                format!("`{}` has a user, a password or a fragment", given.text),
            )
            .help("without them"),
        );
        return None;
    }
    require_https(given, &url, report)?;
    Some(url)
}

/// Scheme, host and port only.
fn bare(given: Text<'_>, report: &Report) -> Option<Url> {
    let url = parse(given, report)?;
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || has_credentials(&url)
    {
        report.push(
            Problem::error(
                Code::BadUrl,
                given.place,
                format!("`{}` is more than scheme, host and port", given.text),
            )
            .help("without a path, a query, or a user"),
        );
        return None;
    }
    Some(url)
}

fn parse(given: Text<'_>, report: &Report) -> Option<Url> {
    let refused = |why: String| {
        report.push(
            Problem::error(
                Code::BadUrl,
                given.place,
                format!("`{}` is not a URL: {why}", given.text),
            )
            .help("such as https://erp.example.com"),
        );
    };
    match Url::parse(given.text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            refused(format!(
                "its scheme is `{}`, not `https` or `http`",
                url.scheme()
            ));
            None
        }
        Ok(url) if url.host_str().is_some_and(|host| host.contains('*')) => {
            refused("a host is exact, without `*`".to_owned());
            None
        }
        Ok(url) => Some(url),
        Err(error) => {
            refused(error.to_string());
            None
        }
    }
}

fn require_https(given: Text<'_>, url: &Url, report: &Report) -> Option<()> {
    if url.scheme() == "https" || is_loopback(url) {
        return Some(());
    }
    report.push(
        Problem::error(
            Code::NotHttps,
            given.place,
            format!("`{}` is plain HTTP", given.text),
        )
        .help("https; `http` is for loopback and `*.localhost` only"),
    );
    None
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
