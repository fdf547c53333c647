//! A request that waits until its user has signed in, stepped up or been given a yes: what was sent, and by whom.
//!
//! It goes on with method, target, body and end-to-end header as they came. What says who asks, cookies and
//! `Authorization`, is that of the request that sends it on; what is of one connection (RFC 9110 7.6.1) or tells of the
//! body's framing is made anew.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use super::session::Lineage;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRequest {
    pub method: Method,
    /// Canonical path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Of the app that it was sent to, and of the page that sent it.
    pub origin: String,
    pub owner: ParkedBy,
    /// When it was parked, our clock.
    pub at: Timestamp,
    pub expires: Timestamp,
}

/// Who alone may send it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedBy {
    pub iss: String,
    pub client: String,
    pub sub: String,
    pub sid: Option<String>,
    /// Of the session that it was sent in; `None` where that had lapsed.
    pub lineage: Option<Lineage>,
    /// The browser that it was sent by.
    pub browser: String,
}

/// What belongs to a connection, to the framing of a body, or to the request that sends it on.
const NOT_KEPT: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

/// Told by proxies before us, of the connection that a request came over.
const OF_PROXIES: &str = "x-forwarded-";

/// Whether a field is one that goes on as it was sent.
pub fn is_kept(name: &HeaderName) -> bool {
    let name = name.as_str();
    !NOT_KEPT.contains(&name) && !name.starts_with(OF_PROXIES)
}

/// The fields that go on as they were sent. What `Connection` names is for one connection.
pub fn kept(headers: &HeaderMap) -> HeaderMap {
    let nominated: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| is_kept(name) && !nominated.iter().any(|other| other == name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// All but the body. A value's bytes are characters up to U+00FF, for not all of them are UTF-8.
#[derive(Serialize, Deserialize)]
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    origin: String,
    owner: ParkedBy,
    at: Timestamp,
    expires: Timestamp,
}

impl ParkedRequest {
    /// `length of the head (4, network order) | head as JSON | body`
    pub fn encode(&self) -> Option<Vec<u8>> {
        let headers = self.headers.iter().map(|(name, value)| {
            let value = value.as_bytes().iter().map(|byte| char::from(*byte));
            (name.as_str().to_owned(), value.collect())
        });
        let head = serde_json::to_vec(&Head {
            method: self.method.as_str().to_owned(),
            target: self.target.clone(),
            headers: headers.collect(),
            origin: self.origin.clone(),
            owner: self.owner.clone(),
            at: self.at,
            expires: self.expires,
        })
        .ok()?;
        let mut all = Vec::with_capacity(4 + head.len() + self.body.len());
        all.extend_from_slice(&u32::try_from(head.len()).ok()?.to_be_bytes());
        all.extend_from_slice(&head);
        all.extend_from_slice(&self.body);
        Some(all)
    }

    pub fn decode(all: Vec<u8>) -> Option<Self> {
        let all = Bytes::from(all);
        let (length, rest) = all.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, body) = rest.split_at_checked(length)?;
        let body = all.slice_ref(body);
        let head: Head = serde_json::from_slice(head).ok()?;
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in head.headers {
            let value: Option<Vec<u8>> = value
                .chars()
                .map(|character| u8::try_from(u32::from(character)).ok())
                .collect();
            headers.append(
                HeaderName::try_from(name).ok()?,
                HeaderValue::try_from(value?).ok()?,
            );
        }
        Some(Self {
            method: Method::from_bytes(head.method.as_bytes()).ok()?,
            target: head.target,
            headers,
            body,
            origin: head.origin,
            owner: head.owner,
            at: head.at,
            expires: head.expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ParkedRequest {
        let mut headers = HeaderMap::new();
        let multipart = "multipart/form-data; boundary=x";
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(multipart));
        let odd = HeaderValue::from_bytes(b"caf\xe9 \xff").unwrap();
        headers.insert(HeaderName::from_static("x-odd"), odd);
        let twice = HeaderName::from_static("x-twice");
        headers.append(twice.clone(), HeaderValue::from_static("1"));
        headers.append(twice, HeaderValue::from_static("2"));
        ParkedRequest {
            method: Method::PUT,
            target: "/payments/7?x=%20".to_owned(),
            headers,
            body: Bytes::from_static(b"--x\r\n\0\xff\r\n--x--\r\n"),
            origin: "https://erp.example.com".to_owned(),
            owner: ParkedBy {
                iss: "https://sso.example.com".to_owned(),
                client: "stepgate".to_owned(),
                sub: "alice".to_owned(),
                sid: None,
                lineage: Some(Lineage("L".to_owned())),
                browser: "B".to_owned(),
            },
            at: Timestamp::from_unix(1_800_000_000),
            expires: Timestamp::from_unix(1_800_000_600),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let request = request();
        let all = request.encode().unwrap();
        assert_eq!(ParkedRequest::decode(all.clone()), Some(request.clone()));
        let empty = ParkedRequest {
            body: Bytes::new(),
            ..request
        };
        assert_eq!(ParkedRequest::decode(empty.encode().unwrap()), Some(empty));
        for cut in [0, 3, 4, 40] {
            assert_eq!(ParkedRequest::decode(all[..cut].to_vec()), None, "{cut}");
        }
    }

    #[test]
    fn what_says_who_asks_and_what_is_of_a_connection_is_not_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "text/html"),
            ("authorization", "Basic eDp5"),
            ("connection", "close, X-Hop"),
            ("content-encoding", "gzip"),
            ("content-length", "5"),
            ("cookie", "a=b"),
            ("expect", "100-continue"),
            ("host", "erp.example.com"),
            ("if-match", "\"7\""),
            ("keep-alive", "5"),
            ("origin", "https://erp.example.com"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-hop", "1"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut names: Vec<_> = kept(&headers)
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["accept", "content-encoding", "if-match", "origin"]);
    }
}
