//! What a gRPC client understands: HTTP 200, and how it went in `grpc-status`, with no message behind it (Trailers-Only
//! of the protocol's HTTP/2 mapping). Anything else its library calls a broken transport.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Record, Reply};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Of `grpc-message`: printable ASCII but for `%`.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

impl Reply {
    pub(in crate::gate) fn grpc(status: StatusCode, message: &str, record: Record) -> Self {
        let mut reply = Self::new(StatusCode::OK, Bytes::new(), record);
        reply.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        reply
            .headers
            .insert(GRPC_STATUS, HeaderValue::from(code(status)));
        let message = utf8_percent_encode(message, ENCODED).to_string();
        if let Ok(message) = HeaderValue::try_from(message) {
            reply.headers.insert(GRPC_MESSAGE, message);
        }
        reply
    }
}

/// As clients themselves read a status of HTTP, and more exactly where we know more.
fn code(status: StatusCode) -> u16 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => 12,
        StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::GATEWAY_TIMEOUT => 4,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE => 14,
        status if status.is_client_error() => 3,
        _ => 13,
    }
}
