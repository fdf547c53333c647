//! The last words of an answer that streams, to a client that goes on to read.

use std::sync::atomic::Ordering;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use pingora::Result;
use pingora::proxy::Session;

use super::held::PATIENCE;
use super::{Manner, Streaming};
use crate::edge::context::Context;
use crate::edge::reply;
use crate::gate::{Closing, Reply};

/// What a page listens for.
const EVENT: &[u8] = b"event: stepup-required\ndata: ";

/// Of a message that holds trailers (gRPC-Web).
const TRAILERS: u8 = 0x80;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// As far as it can be told and there is time. What is not told is cut off, and a client takes no whole answer for it.
pub(in crate::edge) async fn say(session: &mut Session, streaming: &Streaming, context: &Context) {
    let Some(closing) = streaming.told() else {
        return;
    };
    session.as_downstream_mut().set_keepalive(None);
    let told = tokio::time::timeout(PATIENCE, tell(session, streaming, closing, context));
    if let Ok(Err(error)) = told.await {
        tracing::debug!(%error, "nobody reads the end of a stream");
    }
}

async fn tell(
    session: &mut Session,
    streaming: &Streaming,
    closing: &Closing,
    context: &Context,
) -> Result<()> {
    let reply = &closing.reply;
    let has_begun = session
        .as_downstream()
        .response_written()
        .is_some_and(|header| !header.status.is_informational());
    if !has_begun {
        return reply::write_at_once(session, reply, context).await;
    }
    if streaming.leash.is_torn.load(Ordering::Relaxed) {
        return Ok(());
    }
    let is_between = streaming.between.is_here();
    let downstream = session.as_downstream_mut();
    match streaming.manner {
        // Half an event is none; the end is clean all the same.
        Manner::Event if !is_between => downstream.finish_body().await,
        Manner::Event => downstream.write_response_body(event(reply), true).await,
        Manner::Trailers => downstream.write_response_trailers(trailers(reply)).await,
        Manner::LastMessage if is_between => {
            let message = last_message(&trailers(reply));
            downstream.write_response_body(message, true).await
        }
        Manner::LastMessage | Manner::Cut => Ok(()),
    }
}

/// The problem as it would be answered now, in one line.
fn event(reply: &Reply) -> Bytes {
    let mut event = BytesMut::from(EVENT);
    // JSON without white space has no line end.
    event.extend(
        reply
            .body
            .iter()
            .filter(|byte| !matches!(byte, b'\r' | b'\n')),
    );
    event.extend_from_slice(b"\n\n");
    event.freeze()
}

fn trailers(reply: &Reply) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    for name in [STATUS, MESSAGE] {
        if let Some(value) = reply.headers.get(&name) {
            trailers.insert(name, value.clone());
        }
    }
    trailers
}

fn last_message(trailers: &HeaderMap) -> Bytes {
    let mut fields = BytesMut::new();
    for (name, value) in trailers {
        fields.extend_from_slice(name.as_str().as_bytes());
        fields.extend_from_slice(b": ");
        fields.extend_from_slice(value.as_bytes());
        fields.extend_from_slice(b"\r\n");
    }
    let mut message = BytesMut::with_capacity(fields.len() + 5);
    message.put_u8(TRAILERS);
    message.put_u32(u32::try_from(fields.len()).unwrap_or_default());
    message.extend_from_slice(&fields);
    message.freeze()
}
