//! What kind of client asks: a person's browser at the top of a tab, a frame, or one of several sorts of programs.

use http::{HeaderMap, HeaderName, header};

use crate::model::route::Challenge;
use crate::telemetry::metrics::ChallengeKind;

/// Only a page may be redirected to Keycloak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Kind {
    Page,
    Frame,
    /// A script of htmx, which goes where `HX-Redirect` says.
    Htmx,
    Grpc,
    /// Scripts, WebSockets, event streams, prefetches, API clients.
    Program,
}

impl From<Kind> for ChallengeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Page => Self::Page,
            Kind::Frame => Self::Frame,
            Kind::Htmx => Self::Htmx,
            Kind::Grpc => Self::Grpc,
            Kind::Program => Self::Program,
        }
    }
}

/// All that [`kind`] looks at, and what else an answer of ours depends on.
pub(in crate::gate) const VARY: &str = "Accept, Accept-Language, Authorization, Cookie, HX-Request, Origin, Purpose, Sec-Fetch-Dest, \
    Sec-Fetch-Mode, Sec-Purpose, Upgrade, X-Requested-With";

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// A prefetch or a prerendering; browsers before 2023 said `Purpose`.
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");

impl From<&HeaderMap> for Kind {
    fn from(headers: &HeaderMap) -> Self {
        kind(headers)
    }
}

/// Where no route says otherwise.
pub(in crate::gate) fn kind(headers: &HeaderMap) -> Kind {
    kind_for(headers, Challenge::Auto)
}

/// By Fetch Metadata where the browser sends it; scripts cannot forge that. Else by what is accepted.
pub(in crate::gate) fn kind_for(headers: &HeaderMap, challenge: Challenge) -> Kind {
    if is_grpc(headers) {
        return Kind::Grpc;
    }
    // A prefetch is nobody's wish to sign in.
    if challenge == Challenge::Api
        || [header::UPGRADE, SEC_PURPOSE, PURPOSE]
            .iter()
            .any(|name| headers.contains_key(name))
    {
        return Kind::Program;
    }
    if headers.contains_key(HX_REQUEST) {
        return Kind::Htmx;
    }
    let Some(mode) = headers.get(SEC_FETCH_MODE) else {
        let page = match challenge {
            Challenge::Redirect => !prefers_events(headers),
            Challenge::Auto | Challenge::Api => prefers_html(headers),
        };
        return if page && !headers.contains_key(X_REQUESTED_WITH) {
            Kind::Page
        } else {
            Kind::Program
        };
    };
    if mode != "navigate" {
        return Kind::Program;
    }
    match headers.get(SEC_FETCH_DEST).map(|dest| dest.as_bytes()) {
        Some(b"document") => Kind::Page,
        Some(b"iframe" | b"frame" | b"embed" | b"object" | b"fencedframe") => Kind::Frame,
        _ => Kind::Program,
    }
}

/// Whether a browser wants a document with it, to be seen in a tab or a frame.
pub fn is_page(headers: &HeaderMap) -> bool {
    matches!(kind(headers), Kind::Page | Kind::Frame)
}

/// gRPC, and gRPC-Web, which reads the status from the header as well.
fn is_grpc(headers: &HeaderMap) -> bool {
    const NAME: &[u8] = b"application/grpc";
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let (start, rest) = value
            .as_bytes()
            .split_at_checked(NAME.len())
            .unwrap_or_default();
        start.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b'-' | b';'))
    })
}

fn prefers_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// HTML is named, and nothing that a program would read is liked better. `*/*` alone is what programs send.
fn prefers_html(headers: &HeaderMap) -> bool {
    let mut html = 0;
    let mut data = 0;
    for range in headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1000, thousandths);
        match kind {
            "text/html" | "application/xhtml+xml" => html = html.max(quality),
            kind if kind.ends_with("json") || kind == "text/event-stream" => {
                data = data.max(quality);
            }
            _ => {}
        }
    }
    html > 0 && html >= data
}

/// RFC 9110 12.4.2; what is not such a number counts for nothing.
fn thousandths(quality: &str) -> u32 {
    quality
        .parse::<f32>()
        .ok()
        .filter(|quality| (0.0..=1.0).contains(quality))
        .map_or(0, |quality| (quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn who_asks() {
        let rows: &[(&[(&str, &str)], Kind)] = &[
            (&[], Kind::Program),
            (&[("accept", "*/*")], Kind::Program),
            (&[("accept", "text/html,*/*;q=0.8")], Kind::Page),
            (&[("accept", "text/html;q=0")], Kind::Program),
            (
                &[("accept", "application/json, text/html;q=0.5")],
                Kind::Program,
            ),
            (
                &[
                    ("accept", "text/html"),
                    ("x-requested-with", "XMLHttpRequest"),
                ],
                Kind::Program,
            ),
            (
                &[("accept", "text/html"), ("upgrade", "websocket")],
                Kind::Program,
            ),
            (
                &[("accept", "text/html"), ("hx-request", "true")],
                Kind::Htmx,
            ),
            (
                &[
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                Kind::Page,
            ),
            (
                &[
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                    ("sec-purpose", "prefetch"),
                ],
                Kind::Program,
            ),
            (
                &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                Kind::Frame,
            ),
            (
                &[("accept", "text/html"), ("sec-purpose", "prefetch")],
                Kind::Program,
            ),
            (
                &[
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                    ("purpose", "prefetch"),
                ],
                Kind::Program,
            ),
            (&[("content-type", "application/grpc")], Kind::Grpc),
            (&[("content-type", "Application/gRPC+proto")], Kind::Grpc),
            (
                &[
                    ("content-type", "application/grpc-web-text"),
                    ("sec-fetch-mode", "cors"),
                ],
                Kind::Grpc,
            ),
            (&[("content-type", "application/grpcish")], Kind::Program),
            (&[("sec-fetch-mode", "navigate")], Kind::Program),
            (
                &[("sec-fetch-mode", "cors"), ("accept", "text/html")],
                Kind::Program,
            ),
            (
                &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
                Kind::Program,
            ),
        ];
        for (fields, expected) in rows {
            assert_eq!(kind(&headers(fields)), *expected, "{fields:?}");
        }
    }

    /// `redirect` counts only where nothing says what asks, and `api` whatever does.
    #[test]
    fn a_route_may_say_who_asks() {
        let page = ("sec-fetch-dest", "document");
        let navigation = ("sec-fetch-mode", "navigate");
        type Row<'r> = (&'r [(&'r str, &'r str)], Kind, Kind);
        let rows: &[Row<'_>] = &[
            (&[], Kind::Page, Kind::Program),
            (&[("accept", "*/*")], Kind::Page, Kind::Program),
            (&[("accept", "application/json")], Kind::Page, Kind::Program),
            (&[("accept", "text/html")], Kind::Page, Kind::Program),
            (&[navigation, page], Kind::Page, Kind::Program),
            (
                &[navigation, ("sec-fetch-dest", "iframe")],
                Kind::Frame,
                Kind::Program,
            ),
            (&[("sec-fetch-mode", "cors")], Kind::Program, Kind::Program),
            (
                &[("accept", "text/event-stream")],
                Kind::Program,
                Kind::Program,
            ),
            (&[("upgrade", "websocket")], Kind::Program, Kind::Program),
            (
                &[("x-requested-with", "XMLHttpRequest")],
                Kind::Program,
                Kind::Program,
            ),
            (&[("sec-purpose", "prefetch")], Kind::Program, Kind::Program),
            (&[("hx-request", "true")], Kind::Htmx, Kind::Program),
            (
                &[("content-type", "application/grpc")],
                Kind::Grpc,
                Kind::Grpc,
            ),
        ];
        for (fields, redirect, api) in rows {
            let headers = headers(fields);
            assert_eq!(
                kind_for(&headers, Challenge::Redirect),
                *redirect,
                "{fields:?}"
            );
            assert_eq!(kind_for(&headers, Challenge::Api), *api, "{fields:?}");
        }
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }
}
