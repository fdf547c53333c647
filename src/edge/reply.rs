//! The one place that writes answers of ours: always with a length, and with the request's body out of the way.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::context::Context;
use super::h2;
use crate::gate::Reply;

/// Of a body that nobody wants, in bytes: a browser that is still sending does not read the answer. More is cut off.
const DRAINED: usize = 64 << 10;

const DRAIN_TIME: Duration = Duration::from_secs(3);

/// The same behind the answer. A stream that is taken back at once takes the answer with it in clients that still send
/// (curl 7.88 is one), and so does the reset of a connection on which something unread is left (RFC 9112 9.6).
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGERED: usize = 16 << 20;

pub(in crate::edge) async fn write(
    session: &mut Session,
    reply: &Reply,
    context: &Context,
) -> Result<()> {
    // What is left of the body is nobody's business any more.
    h2::body_is_over();
    let drained = drain(session).await;
    send(session, reply, context, drained).await
}

/// To a client that goes on to send, and is not waited for.
pub(in crate::edge) async fn write_at_once(
    session: &mut Session,
    reply: &Reply,
    context: &Context,
) -> Result<()> {
    send(session, reply, context, false).await
}

async fn send(
    session: &mut Session,
    reply: &Reply,
    context: &Context,
    drained: bool,
) -> Result<()> {
    if !drained || session.is_process_shutting_down() {
        session.as_downstream_mut().set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 5))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    // Of what a 304 stands for, the length is that of another answer (RFC 9110 8.6).
    if reply.status != StatusCode::NOT_MODIFIED {
        head.insert_header(header::CONTENT_LENGTH, reply.body.len())?;
    }
    head.insert_header("x-request-id", context.id.as_str())?;
    if let Some(hsts) = &context.hsts {
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    let bodiless = reply.body.is_empty() || session.req_header().method == Method::HEAD;
    // Pingora would end the stream with an empty DATA frame, and gRPC's status counts where the header ends it.
    if bodiless && let ServerSession::H2(stream) = session.as_downstream_mut() {
        return stream.write_response_header(Box::new(head), true);
    }
    session
        .write_response_header(Box::new(head), bodiless)
        .await?;
    if context.grpc_message
        && let ServerSession::H2(stream) = session.as_downstream_mut()
    {
        stream.write_body(reply.body.clone(), false).await?;
        let ok = [(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )];
        return stream.write_trailers(HeaderMap::from_iter(ok));
    }
    if !bodiless {
        session
            .write_response_body(Some(reply.body.clone()), true)
            .await?;
    }
    // Over HTTP/2 few clients wait for a word, whatever they say.
    let may_send = session.as_downstream().is_http2() || !waits_for_a_word(session);
    if !drained && may_send {
        let _rest = discard(session, LINGER_TIME, LINGERED).await;
    }
    Ok(())
}

/// Whether the connection can serve another request.
async fn drain(session: &mut Session) -> bool {
    if session.as_downstream_mut().is_body_empty() || session.as_downstream_mut().is_body_done() {
        return true;
    }
    if waits_for_a_word(session) {
        return false;
    }
    discard(session, DRAIN_TIME, DRAINED).await
}

/// Before it sends the body, for which it gets an answer instead (RFC 9110 10.1.1).
fn waits_for_a_word(session: &Session) -> bool {
    session.req_header().headers.contains_key(header::EXPECT)
}

/// Whether that was all of it.
async fn discard(session: &mut Session, time: Duration, most: usize) -> bool {
    let read = async {
        let mut length = 0;
        while let Ok(Some(chunk)) = session.as_downstream_mut().read_request_body().await {
            length += chunk.len();
            if length > most {
                return false;
            }
        }
        session.as_downstream_mut().is_body_done()
    };
    tokio::time::timeout(time, read).await.unwrap_or(false)
}
