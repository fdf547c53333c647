//! One reading of a request before anything is decided: framing, authority, method, target, client. What could be read
//! in two ways is refused.

use std::net::IpAddr;

use http::{Version, header};
use pingora::http::RequestHeader;

use super::client::{Client, UnreadableChain, client, is_trusted};
use super::guard;
use super::reserved::Reserved;
use crate::config::{Config, HostIndex, Limits, Origin, Plain};
use crate::gate::{OWN_PREFIX, Refusal};
use crate::model::route::is_served;
use crate::model::target::{Ambiguity, Target};

/// A request that may be judged.
#[derive(Debug)]
pub(in crate::edge) struct Inbound {
    pub(in crate::edge) place: HostIndex,
    pub(in crate::edge) target: Target,
    pub(in crate::edge) client: Client,
}

/// The host that the request is for, if it is served at all.
pub(in crate::edge) fn place(
    request: &RequestHeader,
    peer: IpAddr,
    config: &Config,
) -> Result<HostIndex, Refusal> {
    if !is_served(&request.method) {
        return Err(Refusal::MethodNotAllowed);
    }
    let place = config
        .place(authority(request)?)
        .ok_or(Refusal::UnknownHost)?;
    // A trusted proxy carries everybody's requests over the connections that it has.
    let covered = |origin: &Origin| guard::secured(|secured| secured.covers(origin.host()));
    if config.origin(place).and_then(covered) == Some(false)
        && !is_trusted(peer, &config.trusted_proxies)
    {
        return Err(Refusal::Misdirected);
    }
    Ok(place)
}

/// `raw`: the header block as it came, where it came over HTTP/1. After [`framing`] and [`place`].
pub(in crate::edge) fn examine(
    request: &RequestHeader,
    raw: Option<&[u8]>,
    place: HostIndex,
    peer: IpAddr,
    config: &Config,
    reserved: &Reserved,
) -> Result<Inbound, Refusal> {
    if reserved.is_nominated(&request.headers) {
        return Err(Refusal::Nominated);
    }
    let target = target(request, raw, place, config)?;
    // Nothing goes by here that the proxy before the app did not see.
    let app = config.apps.get(place.app).ok_or(Refusal::UnknownHost)?;
    if app.forward_auth.is_some() && !target.path().starts_with(OWN_PREFIX) {
        return Err(Refusal::BehindAnother);
    }
    let client = client(peer, &request.headers, &config.trusted_proxies)
        .map_err(|UnreadableChain| Refusal::UnreadableChain)?;
    Ok(Inbound {
        place,
        target,
        client,
    })
}

/// Where a request that came by plain HTTP has to go, and has not come from: nothing where it is served.
pub(in crate::edge) fn to_https(
    request: &RequestHeader,
    raw: Option<&[u8]>,
    peer: IpAddr,
    config: &Config,
) -> Result<Option<(HostIndex, String)>, Refusal> {
    // Whoever ends TLS in front of stepgate would be sent in a circle.
    let came_by_https = || {
        is_trusted(peer, &config.trusted_proxies)
            && request
                .headers
                .get("x-forwarded-proto")
                .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
    };
    if config.plain == Plain::Serve || guard::secured(|_| ()).is_some() || came_by_https() {
        return Ok(None);
    }
    if !is_served(&request.method) {
        return Err(Refusal::MethodNotAllowed);
    }
    let Some(place) = config.secure_place(authority(request)?) else {
        // An app of its own, on loopback, or nobody's host.
        return Ok(None);
    };
    let target = target(request, raw, place, config)?;
    let origin = config.origin(place).ok_or(Refusal::UnknownHost)?;
    Ok(Some((
        place,
        format!("{}{}", origin.text, target.path_and_query()),
    )))
}

fn target(
    request: &RequestHeader,
    raw: Option<&[u8]>,
    place: HostIndex,
    config: &Config,
) -> Result<Target, Refusal> {
    let app = config.apps.get(place.app).ok_or(Refusal::UnknownHost)?;
    is_as_sent(request, raw)?;
    // Pingora shows an absolute-form target by its path alone. Of another scheme it is not for this server.
    let sent = request.raw_path();
    let starts = |scheme: &[u8]| {
        sent.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !(starts(b"/") || starts(b"http://") || starts(b"https://")) {
        return Err(Refusal::Ambiguous(Ambiguity::NotOriginForm));
    }
    // Of an absolute-form target this is the origin form; its authority agrees with `Host`, or Pingora refused it.
    let path = request
        .uri
        .path_and_query()
        .map_or("", |path| path.as_str());
    Target::parse(path.as_bytes(), app.accept).map_err(Refusal::Ambiguous)
}

/// Whether the target that Pingora shows is the one that was sent.
pub(in crate::edge) fn is_as_sent(
    request: &RequestHeader,
    raw: Option<&[u8]>,
) -> Result<(), Refusal> {
    if !request.raw_path_is_utf8() {
        return Err(Refusal::Ambiguous(Ambiguity::NotUtf8));
    }
    if raw.is_some() && guard::target_is_repaired() {
        return Err(Refusal::Ambiguous(Ambiguity::Unencoded));
    }
    // Pingora drops a fragment before it hands the target over.
    if raw.is_some_and(|raw| {
        raw.split(|byte| *byte == b'\n')
            .next()
            .is_some_and(|line| line.contains(&b'#'))
    }) {
        return Err(Refusal::Ambiguous(Ambiguity::Fragment));
    }
    Ok(())
}

/// Stricter than RFC 9112 6.3 allows: whoever frames a body twice means to be read twice. Pingora has removed a
/// `Content-Length` beside a `Transfer-Encoding` already, so that pair shows in the raw block only.
pub(in crate::edge) fn framing(
    request: &RequestHeader,
    raw: Option<&[u8]>,
    limits: &Limits,
) -> Result<(), Refusal> {
    let headers = &request.headers;
    if raw.map_or_else(|| list_size(request), <[u8]>::len) > limits.header_bytes {
        return Err(Refusal::HeaderTooLarge);
    }
    if raw.is_some_and(has_bare_line_feed) {
        return Err(Refusal::Framing);
    }
    if headers.len() > limits.header_count {
        return Err(Refusal::TooManyFields);
    }
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let beside_length =
            raw.is_some_and(has_content_length) || headers.contains_key(header::CONTENT_LENGTH);
        if encodings.next().is_some()
            || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
            || beside_length
        {
            return Err(Refusal::Framing);
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(Refusal::Framing);
    }
    Ok(())
}

/// RFC 9112 2.2 lets a recipient take one for the end of a line; whoever stands before us may have taken it for text.
fn has_bare_line_feed(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw)
        .any(|at| at.checked_sub(1).and_then(|before| raw.get(before)) != Some(&b'\r'))
}

/// Of a decoded list, with its pseudo-fields, which have names of about seven bytes (RFC 9113 6.5.2).
fn list_size(request: &RequestHeader) -> usize {
    const FIELD: usize = 32;
    let pseudo = [
        request.method.as_str(),
        request.uri.scheme_str().unwrap_or_default(),
        request.uri.authority().map_or("", |name| name.as_str()),
        request
            .uri
            .path_and_query()
            .map_or("", |path| path.as_str()),
    ];
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    let pseudo = pseudo.iter().map(|value| value.len() + 7 + FIELD);
    fields.chain(pseudo).sum()
}

fn has_content_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })
}

/// Over HTTP/1 the one `Host`, over HTTP/2 `:authority`.
pub(in crate::edge) fn authority(request: &RequestHeader) -> Result<&str, Refusal> {
    if request.version == Version::HTTP_2
        && let Some(authority) = request.uri.authority()
    {
        return Ok(authority.as_str());
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| Refusal::NoHost),
        _ => Err(Refusal::NoHost),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderName;

    use super::*;

    fn framed(lines: &[(&str, &str)], raw: &str) -> Result<(), Refusal> {
        let mut request = RequestHeader::build("POST", b"/", None).unwrap();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.append_header(name, *value).unwrap();
        }
        framing(&request, Some(raw.as_bytes()), &limits())
    }

    fn limits() -> Limits {
        let second = std::time::Duration::from_secs(1);
        Limits {
            header_time: second,
            header_bytes: 1000,
            header_count: 20,
            body_bytes: 1000,
            body_time: second,
            connections: 1,
            connections_per_address: 1,
            h2_streams: 1,
            h2_resets: 1,
            logins_in_flight: 1,
            logins_per_minute: 1,
            sessions_per_subject: 1,
            grace: second,
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        assert_eq!(framed(&[("content-length", "5")], ""), Ok(()));
        assert_eq!(framed(&[("transfer-encoding", "chunked")], ""), Ok(()));
        for twice in [
            &[("content-length", "5"), ("content-length", "5")][..],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("transfer-encoding", "gzip, chunked")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "identity")],
        ] {
            assert_eq!(framed(twice, ""), Err(Refusal::Framing), "{twice:?}");
        }
        let raw = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-length: 5\r\n\r\n";
        assert_eq!(
            framed(&[("transfer-encoding", "chunked")], raw),
            Err(Refusal::Framing)
        );
    }

    #[test]
    fn a_line_ends_in_one_way() {
        assert_eq!(framed(&[], "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(()));
        for raw in [
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
        ] {
            assert_eq!(framed(&[], raw), Err(Refusal::Framing), "{raw:?}");
        }
    }

    #[test]
    fn a_header_block_has_a_size() {
        assert_eq!(framed(&[], &"x".repeat(1001)), Err(Refusal::HeaderTooLarge));
        assert_eq!(framed(&[("a", "1"); 20], ""), Ok(()));
        assert_eq!(framed(&[("a", "1"); 21], ""), Err(Refusal::TooManyFields));
    }

    /// Over HTTP/2 there is no block of bytes.
    #[test]
    fn a_decoded_list_has_a_size() {
        let sized = |length: usize| {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("x-long", "x".repeat(length)).unwrap();
            framing(&request, None, &limits())
        };
        assert_eq!(sized(700), Ok(()));
        assert_eq!(sized(900), Err(Refusal::HeaderTooLarge));
    }
}
