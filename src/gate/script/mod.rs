//! The scripts that stepgate serves to pages: the agent, by which a page goes on without reload, the one by which the popup
//! tells that it is done, and the one that looks how it stands for whoever waits for a yes. The agent is served as terser
//! makes it of `agent.js`; a test holds the one to the other.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest::{SHA256, digest};

use super::endpoints::param;
use super::{Incoming, Record, Reply};

const AGENT: &str = include_str!("agent.min.js");
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const DONE: &str = include_str!("done.js");
const WAITING: &str = include_str!("waiting.js");

/// Seconds that a browser may go on with an older one.
const FRESH: &str = "public, max-age=300";

/// The address names the content, so it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The content's name has so many bytes of its digest.
const NAME: usize = 8;

/// The agent's address in pages that it is put into.
pub fn agent_src() -> String {
    format!("/.stepgate/agent.js?v={}", name_of(AGENT))
}

pub(in crate::gate) fn agent(incoming: &Incoming<'_>) -> Reply {
    served(incoming, AGENT, JAVASCRIPT)
}

pub(in crate::gate) fn done(incoming: &Incoming<'_>) -> Reply {
    served(incoming, DONE, JAVASCRIPT)
}

pub(in crate::gate) fn waiting(incoming: &Incoming<'_>) -> Reply {
    served(incoming, WAITING, JAVASCRIPT)
}

pub(in crate::gate) fn served(
    incoming: &Incoming<'_>,
    text: &'static str,
    kind: &'static str,
) -> Reply {
    let name = name_of(text);
    let tag = format!("\"{name}\"");
    let (status, body) = if is_known(incoming.headers, &tag) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, Bytes::from_static(text.as_bytes()))
    };
    let mut reply = Reply::new(status, body, Record::of("own"));
    let lasts = match param(incoming, "v") {
        Some(version) if version == name => FOR_EVER,
        _ => FRESH,
    };
    for (name, value) in [
        (header::CACHE_CONTROL, lasts),
        (header::CONTENT_TYPE, kind),
        // No other site gets to run or read it.
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        reply.headers.insert(name, HeaderValue::from_static(value));
    }
    // It is the same for everybody.
    reply.headers.remove(header::VARY);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        reply.headers.insert(header::ETAG, tag);
    }
    reply
}

fn name_of(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(NAME);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 9110 13.1.2: by weak comparison.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}
