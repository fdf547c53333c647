//! Requests that stay open, and how they end before their time: a WebSocket by a Close frame, an event stream by an event,
//! a gRPC call by its status. Who decides that is `gate::streams`.
//!
//! Pingora listens to the client and to the upstream, and to nobody else. So an answer that streams is written through a
//! session of ours ([`held`]), in which reading from the client fails at the right moment; what Pingora does then is what
//! it does when a client goes away, and `fail_to_proxy` says goodbye to one that is still there ([`goodbye`]). A WebSocket
//! ends in the client's connection itself (`edge::farewell`).

mod between;
mod goodbye;
mod held;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use tokio::sync::Notify;

use super::context::Context;
use super::farewell::{Farewell, Reason};
use super::guard;
use super::h2;
use crate::gate::{Closing, Hand, Incoming, Lack, OpenStream, StreamKind};
use between::{Between, Events, Messages};
use held::HeldSession;

pub(in crate::edge) use goodbye::say as say_goodbye;

const GRPC: &[u8] = b"application/grpc";
const GRPC_WEB: &[u8] = b"application/grpc-web";
const EVENTS: &[u8] = b"text/event-stream";

/// What is known of one while it is open.
#[derive(Debug)]
pub(in crate::edge) struct Streaming {
    pub(in crate::edge) kind: StreamKind,
    leash: Arc<Leash>,
    between: Between,
    manner: Manner,
    _open: OpenStream,
}

/// How the end is told to whoever reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Event,
    Trailers,
    /// The status in a last message (gRPC-Web).
    LastMessage,
    /// The answer breaks off.
    Cut,
}

/// What the registry pulls.
#[derive(Debug, Default)]
struct Leash {
    /// `None` in it: it has ended by itself, and nothing can be told any more.
    told: OnceLock<Option<Closing>>,
    pulled: Notify,
    /// Of a WebSocket.
    farewell: Option<Farewell>,
    /// Of what serves it: the connection, or the stream of one.
    server: Option<Farewell>,
    /// Something of ours may be put here.
    is_between: AtomicBool,
    /// A write was broken off: nothing that comes behind it can be understood.
    is_torn: AtomicBool,
    /// The session that Pingora had before.
    own: Own,
}

#[derive(Default)]
struct Own(Mutex<Option<ServerSession>>);

impl Hand for Leash {
    fn close(&self, closing: Closing) {
        let reason = match closing.lack {
            Lack::Level => Reason::StepUp,
            Lack::Session => Reason::SessionEnded,
            Lack::Permission => Reason::NotAllowed,
            Lack::Answer => Reason::TryAgain,
        };
        if self.told.set(Some(closing)).is_err() {
            return;
        }
        match &self.farewell {
            Some(farewell) => farewell.say(reason),
            None => self.pulled.notify_one(),
        }
        if let Some(server) = &self.server {
            server.cut();
        }
    }
}

impl Streaming {
    /// It is known to the registry from here on.
    fn begin(session: &Session, context: &mut Context, kind: StreamKind) -> Option<Self> {
        let farewell = match kind {
            StreamKind::WebSocket => Some(guard::farewell()?),
            StreamKind::Events | StreamKind::Grpc => None,
        };
        let server = match session.req_header().version {
            Version::HTTP_2 => h2::farewell(),
            _ => guard::farewell(),
        };
        if let Some(server) = &server {
            server.watch();
        }
        let leash = Arc::new(Leash {
            farewell,
            server,
            is_between: AtomicBool::new(true),
            ..Leash::default()
        });
        let (forward, target, client) = (
            context.forward.as_ref()?,
            context.target.as_ref()?,
            context.client.as_ref()?,
        );
        let request = session.req_header();
        let incoming = Incoming {
            place: forward.place,
            method: &context.method,
            target,
            headers: &request.headers,
            client: client.address,
            certificate: None,
            request_id: &context.id,
            body: &[],
            decision_only: false,
        };
        let hand = Arc::clone(&leash) as Arc<dyn Hand>;
        let gate = &context.snapshot.gate;
        Some(Self {
            kind,
            _open: gate.open_stream(forward, &incoming, kind, hand),
            leash,
            between: Between::Nowhere,
            manner: Manner::Cut,
        })
    }

    /// Why it was told to end, if it was.
    pub(in crate::edge) fn told(&self) -> Option<&Closing> {
        self.leash.told.get()?.as_ref()
    }

    /// Its end is there; whether it was told.
    fn is_over(&self) -> bool {
        let _told = self.leash.told.set(None);
        self.told().is_some()
    }

    /// A piece of the answer. Behind the place at which it ends nothing comes.
    pub(in crate::edge) fn piece(&mut self, body: &mut Option<Bytes>) {
        let Some(bytes) = body else { return };
        if self.told().is_some() && self.manner != Manner::Cut {
            let rest = self.between.finish(bytes);
            bytes.truncate(rest);
        } else {
            self.between.pass(bytes);
        }
        self.leash
            .is_between
            .store(self.between.is_here(), Ordering::Relaxed);
    }

    fn reads(&mut self, manner: Manner, between: Between) {
        self.leash
            .is_between
            .store(between.is_here(), Ordering::Relaxed);
        self.manner = manner;
        self.between = between;
    }
}

/// For the access log.
pub(in crate::edge) const fn name(lack: Lack) -> &'static str {
    match lack {
        Lack::Level => "stream-level",
        Lack::Session => "stream-session",
        Lack::Permission => "stream-permission",
        Lack::Answer => "stream-unavailable",
    }
}

/// The request is about to be sent: a call of gRPC may be open long before anything is answered.
pub(in crate::edge) fn asked(session: &mut Session, context: &mut Context) {
    let headers = &session.req_header().headers;
    if context.streaming.is_some() || !is_of_type(headers, GRPC) {
        return;
    }
    let Some(mut streaming) = Streaming::begin(session, context, StreamKind::Grpc) else {
        return;
    };
    // Nothing of an answer is there, and so all of one can be given.
    streaming.reads(Manner::Trailers, Between::Messages(Messages::default()));
    hold(session, &streaming);
    context.begins(streaming);
}

/// The answer's header is there.
pub(in crate::edge) fn answered(
    session: &mut Session,
    response: &ResponseHeader,
    context: &mut Context,
) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS && context.tunnel.is_some() {
        if let Some(streaming) = Streaming::begin(session, context, StreamKind::WebSocket) {
            context.begins(streaming);
        }
        return;
    }
    if response.status.is_informational() {
        return;
    }
    let headers = &response.headers;
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_LENGTH);
    if let Some(streaming) = &mut context.streaming {
        let manner = match () {
            () if is_of_type(headers, GRPC_WEB) && is_plain => Manner::LastMessage,
            () if is_of_type(headers, GRPC)
                && session.as_downstream().req_header().version == Version::HTTP_2 =>
            {
                Manner::Trailers
            }
            () => Manner::Cut,
        };
        let between = match manner {
            Manner::Cut | Manner::Event => Between::Nowhere,
            Manner::Trailers | Manner::LastMessage => Between::Messages(Messages::default()),
        };
        streaming.reads(manner, between);
        return;
    }
    if !is_of_type(headers, EVENTS) {
        return;
    }
    let Some(mut streaming) = Streaming::begin(session, context, StreamKind::Events) else {
        return;
    };
    if is_plain {
        streaming.reads(Manner::Event, Between::Events(Events::default()));
    }
    hold(session, &streaming);
    context.begins(streaming);
}

/// By the part before any parameter; `application/grpc+proto` is a kind of `application/grpc`.
fn is_of_type(headers: &HeaderMap, name: &[u8]) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let (start, rest) = value
            .as_bytes()
            .split_at_checked(name.len())
            .unwrap_or_default();
        start.eq_ignore_ascii_case(name)
            && matches!(rest.first(), None | Some(b'+' | b'-' | b';' | b' '))
    })
}

/// Puts a session of ours in the place of Pingora's.
fn hold(session: &mut Session, streaming: &Streaming) {
    let own = std::mem::replace(session.as_downstream_mut(), nothing());
    let held = HeldSession::new(own, Arc::clone(&streaming.leash));
    *session.as_downstream_mut() = ServerSession::new_custom(Box::new(held));
}

/// Pingora's own session is in its place again.
pub(in crate::edge) fn let_go(session: &mut Session, context: &Context) {
    let Some(streaming) = &context.streaming else {
        return;
    };
    if !session.as_downstream().is_custom() {
        return;
    }
    // What is held is given back when it is dropped.
    drop(std::mem::replace(session.as_downstream_mut(), nothing()));
    if let Some(own) = streaming.leash.own.take() {
        *session.as_downstream_mut() = own;
    }
}

/// The request has ended. A connection on which something was told to end serves no other: it is about to be cut.
pub(in crate::edge) fn ended(session: &mut Session, context: &Context) {
    let_go(session, context);
    if context.streaming.as_ref().is_some_and(Streaming::is_over) {
        session.as_downstream_mut().set_keepalive(None);
    }
}

/// For a moment.
fn nothing() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

impl Own {
    fn take(&self) -> Option<ServerSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, session: ServerSession) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}
