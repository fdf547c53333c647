//! Puts the agent's tag into HTML pages while they stream. What is no page, and every other byte, stays as it is.
//!
//! The tag stands first in the head, so that it is there before any script of the page's; once it is in, the rest passes
//! unread. For a page the app is asked for an answer that is not encoded: the agent's tag then costs no unpacking and
//! packing. An app that encodes it all the same is unpacked, and its page goes out as it is.

mod decode;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use lol_html::html_content::{ContentType, Element};
use lol_html::send::{HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, OutputSink, element};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::gate::{agent_src, is_page};
use decode::Decoder;

/// Of a tag that goes over several pieces, in bytes; beyond it the page goes on without the agent.
const LONGEST_TAG: usize = 1 << 20;

/// So many bytes tell UTF-16, which is not read.
const MARK: usize = 2;

/// A page on its way through.
pub(in crate::edge) struct Inject {
    decoder: Decoder,
    /// `None`: the tag is in, or will not be; what comes passes.
    rewriter: Option<Box<HtmlRewriter<'static, Sink>>>,
    /// What came before it was clear how to read it; `None`: it is clear.
    start: Option<Vec<u8>>,
    output: Sink,
}

/// What the rewriter gives out, and whether it has met the first element.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Output>>);

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    is_in: bool,
}

/// Whether a browser wants a page with it, and all of it.
pub(in crate::edge) fn wants_page(request: &RequestHeader) -> bool {
    request.version >= Version::HTTP_11
        && !request.headers.contains_key(header::RANGE)
        && is_page(&request.headers)
}

/// What the app is asked for instead of what the browser would take.
pub(in crate::edge) fn ask_plain(request: &mut RequestHeader) -> Result<()> {
    request.insert_header(header::ACCEPT_ENCODING, "identity")
}

impl Inject {
    /// Of an answer to a request that wants a page; changes the answer's header where its body will be.
    pub(in crate::edge) fn of(
        response: &mut ResponseHeader,
        method: &Method,
    ) -> Result<Option<Self>> {
        let Some(decoder) = readable(response.status, &response.headers) else {
            return Ok(None);
        };
        let tag = tag(&response.headers);
        for name in [
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::ACCEPT_RANGES,
            header::HeaderName::from_static("content-md5"),
            header::HeaderName::from_static("digest"),
            header::HeaderName::from_static("content-digest"),
            header::HeaderName::from_static("repr-digest"),
        ] {
            response.remove_header(&name);
        }
        // RFC 9110 8.8.1: the bytes are others, what they mean is the same.
        if let Some(tag) = response.headers.get(header::ETAG)
            && !tag.as_bytes().starts_with(b"W/")
        {
            let weak = [b"W/", tag.as_bytes()].concat();
            if let Ok(weak) = HeaderValue::from_bytes(&weak) {
                response.insert_header(header::ETAG, weak)?;
            }
        }
        // A script that asks for the same address gets it without.
        response.append_header(header::VARY, "Accept, Sec-Fetch-Dest, Sec-Fetch-Mode")?;
        if *method == Method::HEAD {
            return Ok(None);
        }
        let output = Sink::default();
        Ok(Some(Self {
            decoder,
            rewriter: Some(Box::new(rewriter(tag, output.clone()))),
            start: Some(Vec::new()),
            output,
        }))
    }

    /// A piece of the body becomes another, or nothing yet; the last one ends it.
    pub(in crate::edge) fn piece(&mut self, body: &mut Option<Bytes>, last: bool) -> Result<()> {
        let piece = body.take().unwrap_or_default();
        let plain = self.decoder.piece(piece, last).map_err(|unreadable| {
            pingora::Error::explain(
                pingora::ErrorType::new("the app's answer is not encoded as it says"),
                unreadable.to_string(),
            )
            .into_up()
        })?;
        let out = match &self.rewriter {
            None => plain,
            Some(_) => self.read(&plain, last),
        };
        *body = (!out.is_empty() || last).then_some(out);
        Ok(())
    }

    fn read(&mut self, piece: &[u8], last: bool) -> Bytes {
        let mut begun = self.start.take();
        if let Some(start) = &mut begun {
            start.extend_from_slice(piece);
            if start.len() < MARK && !last {
                self.start = begun;
                return Bytes::new();
            }
            if start.starts_with(&[0xfe, 0xff]) || start.starts_with(&[0xff, 0xfe]) {
                self.rewriter = None;
                return std::mem::take(start).into();
            }
        }
        let piece = begun.as_deref().unwrap_or(piece);
        let read = match &mut self.rewriter {
            Some(rewriter) => rewriter.write(piece),
            None => Ok(()),
        };
        if read.is_err() {
            // All of it came out as it is, and so does what follows.
            self.rewriter = None;
        } else if (last || self.output.lock().is_in)
            && let Some(rewriter) = self.rewriter.take()
            && let Err(error) = rewriter.end()
        {
            tracing::debug!(%error, "the end of a page could not be read");
        }
        std::mem::take(&mut self.output.lock().bytes).into()
    }
}

impl Sink {
    fn lock(&self) -> std::sync::MutexGuard<'_, Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.lock().bytes.extend_from_slice(chunk);
    }
}

impl fmt::Debug for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inject").finish_non_exhaustive()
    }
}

/// The first element that is not `html` itself: the head, or what stands in its place.
fn rewriter(tag: String, output: Sink) -> HtmlRewriter<'static, Sink> {
    let state = output.clone();
    let settings = Settings::new_send()
        .append_element_content_handler(element!("*", move |element: &mut Element<'_, '_, _>| {
            if state.lock().is_in || element.tag_name() == "html" {
                return Ok(());
            }
            if element.tag_name() == "head" {
                element.prepend(&tag, ContentType::Html);
            } else {
                element.before(&tag, ContentType::Html);
            }
            state.lock().is_in = true;
            Ok(())
        }))
        .with_strict(false)
        .with_encoding(AsciiCompatibleEncoding::utf_8())
        .with_memory_settings(
            MemorySettings::new()
                .with_max_allowed_memory_usage(LONGEST_TAG)
                .with_graceful_bail_out_on_memory_limit_exceeded(true),
        );
    HtmlRewriter::new(settings, output)
}

/// A whole HTML page in bytes that can be read, which its app lets others change.
fn readable(status: StatusCode, headers: &HeaderMap) -> Option<Decoder> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let whole = status.is_success()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        );
    let kind = text(header::CONTENT_TYPE)?;
    let attached = text(header::CONTENT_DISPOSITION).is_some_and(|value| {
        value
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("attachment")
    });
    // RFC 9110 7.7.
    let fixed = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"));
    if !whole || attached || fixed || !is_html(kind) {
        return None;
    }
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Decoder::of("identity"),
        (Some(encoding), None) => Decoder::of(encoding.to_str().ok()?),
        (Some(_), Some(_)) => None,
    }
}

/// In an encoding in which a tag's bytes are those of ASCII.
fn is_html(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    let ascii = charset.is_none_or(|label| {
        encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())
            .and_then(AsciiCompatibleEncoding::new)
            .is_some()
    });
    essence.eq_ignore_ascii_case("text/html") && ascii
}

/// With the nonce by which the page's own policy tells its scripts, if it does.
fn tag(headers: &HeaderMap) -> String {
    let src = agent_src();
    match nonce(headers) {
        Some(nonce) => format!("<script src=\"{src}\" nonce=\"{nonce}\"></script>"),
        None => format!("<script src=\"{src}\"></script>"),
    }
}

/// Of the directive that decides on scripts (CSP Level 3, section 6.1).
fn nonce(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::CONTENT_SECURITY_POLICY)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|policy| {
            ["script-src-elem", "script-src", "default-src"]
                .iter()
                .find_map(|name| sources(policy, name))?
                .find_map(|source| {
                    let nonce = source.strip_prefix("'nonce-")?.strip_suffix('\'')?;
                    is_base64(nonce).then_some(nonce)
                })
        })
}

fn sources<'p>(policy: &'p str, name: &str) -> Option<std::str::SplitAsciiWhitespace<'p>> {
    policy.split(';').find_map(|directive| {
        let mut words = directive.split_ascii_whitespace();
        words.next()?.eq_ignore_ascii_case(name).then_some(words)
    })
}

fn is_base64(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte))
}

#[cfg(test)]
mod tests;
