//! Envoy's question and answer over gRPC (`envoy.service.auth.v3.Authorization/Check`): of its messages the fields that
//! are read or written here. What is not known is skipped, as protobuf has it; what has to be there and is not is refused.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use prost::Message;

use super::TO_REMOVE;
use super::original::Original;
use crate::gate::{Reply, Unbelievable};

pub(in crate::edge) const PATH: &[u8] = b"/envoy.service.auth.v3.Authorization/Check";

/// gRPC's status codes, as the message has them as well.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// Instead of whatever the request, or the answer, has by that name.
const OVERWRITE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<AttributeContext>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeContext {
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    /// Each as it came; there with `encode_raw_headers` only. The map beside it has joined those that came twice.
    #[prost(message, optional, tag = "13")]
    header_map: Option<Headers>,
}

#[derive(Clone, PartialEq, Message)]
struct Headers {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    denied_response: Option<DeniedHttpResponse>,
    #[prost(message, optional, tag = "3")]
    ok_response: Option<OkHttpResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<FieldOption>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<FieldOption>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldOption {
    #[prost(message, optional, tag = "1")]
    header: Option<Field>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

/// The request that the message describes, and its headers.
pub(super) fn read(body: &[u8]) -> Result<(Original, HeaderMap), Unbelievable> {
    let message = unframed(body).ok_or(Unbelievable::Unreadable)?;
    let asked = CheckRequest::decode(message).map_err(|_| Unbelievable::Unreadable)?;
    let http = asked
        .attributes
        .and_then(|attributes| attributes.request)
        .and_then(|request| request.http)
        .ok_or(Unbelievable::Incomplete)?;
    let mut headers = HeaderMap::new();
    let fields = http.header_map.ok_or(Unbelievable::Incomplete)?.headers;
    for field in fields {
        // Those that begin with a colon are told by the attributes.
        if field.key.starts_with(':') {
            continue;
        }
        let name = HeaderName::from_bytes(field.key.as_bytes());
        let value = match field.raw_value.is_empty() {
            true => HeaderValue::from_str(&field.value),
            false => HeaderValue::from_bytes(&field.raw_value),
        };
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Unbelievable::Unreadable);
        };
        headers.append(name, value);
    }
    let method =
        Method::from_bytes(http.method.as_bytes()).map_err(|_| Unbelievable::Unreadable)?;
    let original = Original::itself(&method, &http.host, http.path.as_bytes(), &headers)?;
    Ok((original, headers))
}

/// A reply as the message that says the same: yes is what a reply of 200 is, which takes a permit.
pub(super) fn told(reply: Reply) -> Reply {
    let message = if reply.status == StatusCode::OK {
        let removed = reply
            .headers
            .get(TO_REMOVE)
            .and_then(|names| names.to_str().ok());
        CheckResponse {
            status: Some(Status { code: OK }),
            ok_response: Some(OkHttpResponse {
                headers: fields(&reply.headers, |name| {
                    *name != TO_REMOVE && !is_of_answer(name)
                }),
                headers_to_remove: removed
                    .unwrap_or_default()
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }),
            denied_response: None,
        }
    } else {
        CheckResponse {
            status: Some(Status {
                code: match reply.status {
                    StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
                    StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
                    _ => PERMISSION_DENIED,
                },
            }),
            denied_response: Some(DeniedHttpResponse {
                status: Some(HttpStatus {
                    code: i32::from(reply.status.as_u16()),
                }),
                headers: fields(&reply.headers, |_| true),
                body: String::from_utf8_lossy(&reply.body).into_owned(),
            }),
            ok_response: None,
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    Reply {
        status: StatusCode::OK,
        headers,
        body: framed(&message.encode_to_vec()),
        record: reply.record,
    }
}

/// What is said of the answer itself, and not of the request.
fn is_of_answer(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CACHE_CONTROL
            | header::X_CONTENT_TYPE_OPTIONS
            | header::REFERRER_POLICY
            | header::VARY
    )
}

fn fields(headers: &HeaderMap, told: impl Fn(&HeaderName) -> bool) -> Vec<FieldOption> {
    headers
        .iter()
        .filter(|(name, _)| told(name))
        .map(|(name, value)| FieldOption {
            header: Some(Field {
                key: name.as_str().to_owned(),
                // Made of texts: nothing else is in them.
                value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
                raw_value: Vec::new(),
            }),
            append_action: OVERWRITE,
        })
        .collect()
}

/// One message, not compressed, and nothing behind it.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(5)?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (*compressed == 0 && usize::try_from(length).ok()? == message.len()).then_some(message)
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn asked(http: Option<HttpRequest>) -> Bytes {
        let request = CheckRequest {
            attributes: Some(AttributeContext {
                request: Some(Request { http }),
            }),
        };
        framed(&request.encode_to_vec())
    }

    fn http(fields: &[(&str, &[u8])]) -> HttpRequest {
        HttpRequest {
            method: "GET".to_owned(),
            path: "/a?b".to_owned(),
            host: "erp.example.com".to_owned(),
            header_map: Some(Headers {
                headers: fields
                    .iter()
                    .map(|(key, value)| Field {
                        key: (*key).to_owned(),
                        value: String::new(),
                        raw_value: value.to_vec(),
                    })
                    .collect(),
            }),
        }
    }

    #[test]
    fn the_message_is_read_whole_or_not_at_all() {
        let fine = http(&[(":path", b"/other"), ("cookie", b"a=1"), ("cookie", b"b=2")]);
        let (original, headers) = read(&asked(Some(fine.clone()))).unwrap();
        assert_eq!(original.target, b"/a?b");
        assert_eq!(headers.get_all("cookie").iter().count(), 2);
        assert_eq!(headers.len(), 2);

        let joined = HttpRequest {
            header_map: None,
            ..fine.clone()
        };
        assert_eq!(
            read(&asked(Some(joined))).unwrap_err(),
            Unbelievable::Incomplete
        );
        assert_eq!(read(&asked(None)).unwrap_err(), Unbelievable::Incomplete);
        for broken in [
            http(&[("a b", b"x")]),
            http(&[("a", b"x\ry")]),
            http(&[("a", b"x\ny")]),
            HttpRequest {
                method: "G T".to_owned(),
                ..fine.clone()
            },
            HttpRequest {
                method: String::new(),
                ..fine.clone()
            },
        ] {
            assert_eq!(
                read(&asked(Some(broken))).unwrap_err(),
                Unbelievable::Unreadable
            );
        }
        let lies = http(&[("x-forwarded-uri", b"/public")]);
        assert_eq!(
            read(&asked(Some(lies))).unwrap_err(),
            Unbelievable::OtherSet
        );

        let whole = asked(Some(fine));
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        let mut compressed = whole.to_vec();
        compressed[0] = 1;
        assert!(read(&compressed).is_err());
        let twice = [&whole[..], &whole[..]].concat();
        assert!(read(&twice).is_err());
    }
}
