//! What kind of client asks: a person's browser at the top of a tab, a frame, or a program.

use http::{HeaderMap, header};

use crate::telemetry::metrics::ChallengeKind;

/// Only a page may be redirected to Keycloak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Kind {
    Page,
    Frame,
    Program,
}

impl From<Kind> for ChallengeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Page => Self::Page,
            Kind::Frame => Self::Frame,
            Kind::Program => Self::Program,
        }
    }
}

const SEC_FETCH_MODE: &str = "sec-fetch-mode";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";
const SEC_PURPOSE: &str = "sec-purpose";
const X_REQUESTED_WITH: &str = "x-requested-with";
const HX_REQUEST: &str = "hx-request";

/// By Fetch Metadata where the browser sends it; scripts cannot forge that. Else by what is accepted.
pub(in crate::gate) fn kind(headers: &HeaderMap) -> Kind {
    if headers.contains_key(header::UPGRADE) || headers.contains_key(HX_REQUEST) {
        return Kind::Program;
    }
    let Some(mode) = headers.get(SEC_FETCH_MODE) else {
        return if prefers_html(headers) && !headers.contains_key(X_REQUESTED_WITH) {
            Kind::Page
        } else {
            Kind::Program
        };
    };
    // A prefetch is nobody's wish to sign in.
    if mode != "navigate" || headers.contains_key(SEC_PURPOSE) {
        return Kind::Program;
    }
    match headers.get(SEC_FETCH_DEST).map(|dest| dest.as_bytes()) {
        Some(b"document") => Kind::Page,
        Some(b"iframe" | b"frame" | b"embed" | b"object" | b"fencedframe") => Kind::Frame,
        _ => Kind::Program,
    }
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
                Kind::Program,
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
            let headers = fields
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_bytes(name.as_bytes()).unwrap(),
                        HeaderValue::from_str(value).unwrap(),
                    )
                })
                .collect();
            assert_eq!(kind(&headers), *expected, "{fields:?}");
        }
    }
}
