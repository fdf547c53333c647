//! Pingora's phases, a few lines each: take the request in, have it judged, send it on or answer it, write its line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::access::Sent;
use super::context::{Context, RequestIds};
use super::counts;
use super::failure::{self, Failure};
use super::guard;
use super::h2;
use super::inbound::{self, Inbound};
use super::inject::{self, Inject};
use super::reply;
use super::snapshot::{Current, Snapshot};
use super::upstream;
use crate::config::Protocol;
use crate::gate::{
    BODY_LIMIT, Forward, Gate, Incoming, OWN_PREFIX, Refusal, Reply, Verdict, sets_reserved,
};
use crate::model::client_certificate::ClientCertificate;
use crate::model::random::Random;
use crate::model::target::Target;

/// Nobody who reads takes longer for one write.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// For the body that is posted to an endpoint of ours.
const BODY_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Proxy {
    current: Current,
    ids: RequestIds,
}

impl Proxy {
    pub(crate) fn new(current: Current, random: &dyn Random) -> Self {
        Self {
            current,
            ids: RequestIds::new(random),
        }
    }
}

/// What a request is, before anybody is asked who sent it.
enum Examined {
    /// Whether anybody is here, on whatever host.
    Ping,
    /// By plain HTTP, for where HTTPS is.
    ToHttps(String),
    Request(Inbound),
}

impl Snapshot {
    fn refusal(&self, refusal: Refusal, session: &mut Session, context: &Context) -> Reply {
        if let Some(limit) = counts::limit(refusal) {
            self.metrics.limit_refusals.inc(limit);
        }
        if ends_connection(refusal) {
            session.as_downstream_mut().set_keepalive(None);
        }
        let known_host = context.place.is_some();
        let headers = &session.req_header().headers;
        let upstream = context
            .forward
            .as_ref()
            .filter(|_| matches!(refusal, Refusal::Upstream(_)))
            .and_then(|forward| self.gate.config().upstreams.get(forward.upstream))
            .map(|upstream| upstream.name.as_str());
        let mut reply = self
            .gate
            .refuse(refusal, headers, known_host, upstream, &context.id);
        if let Some(place) = context.place {
            self.gate.allow_origin(&mut reply, place, headers);
        }
        reply
    }

    /// The request as one reading has it.
    fn examine(&self, session: &Session, context: &mut Context) -> Result<Examined, Refusal> {
        let peer = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip().to_canonical())
            .ok_or(Refusal::Internal)?;
        context.peer = Some(peer);
        let raw = session
            .as_downstream()
            .as_http1()
            .map(|session| session.get_headers_raw_bytes());
        let (request, config) = (session.req_header(), self.gate.config());
        inbound::framing(request, raw.as_deref(), &config.limits)?;
        if is_ping(request) {
            return Ok(Examined::Ping);
        }
        if let Some((place, location)) = inbound::to_https(request, raw.as_deref(), peer, config)? {
            context.place = Some(place);
            return Ok(Examined::ToHttps(location));
        }
        // Known from here on, so that a refusal has a page to lead back to, and its line a host.
        let place = *context.place.insert(inbound::place(request, peer, config)?);
        inbound::examine(request, raw.as_deref(), place, peer, config, &self.reserved)
            .map(Examined::Request)
    }

    /// A permit, or what is answered instead.
    async fn judge(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> std::result::Result<Forward, Reply> {
        let inbound = match self.examine(session, context) {
            Ok(Examined::Request(inbound)) => inbound,
            Ok(Examined::Ping) => return Err(Gate::pong()),
            Ok(Examined::ToHttps(location)) => return Err(Gate::to_https(&location)),
            Err(refusal) => return Err(self.refusal(refusal, session, context)),
        };
        context.hsts = self.hsts(inbound.place);
        context.certificate = guard::secured(|secured| secured.client().cloned()).flatten();
        let target = context.target.insert(inbound.target);
        let client = context.client.insert(inbound.client).address;
        let is_own_post =
            session.req_header().method == Method::POST && target.path().starts_with(OWN_PREFIX);
        let body = if is_own_post {
            match read_body(session).await {
                Ok(body) => body,
                Err(refusal) => return Err(self.refusal(refusal, session, context)),
            }
        } else {
            Bytes::new()
        };
        let Some(target) = &context.target else {
            return Err(self.refusal(Refusal::Internal, session, context));
        };
        let certificate = context.certificate.as_deref();
        let request = session.req_header();
        let incoming = Incoming {
            place: inbound.place,
            method: &request.method,
            target,
            headers: &request.headers,
            client,
            certificate: certificate.map(|certificate| &certificate.thumbprint),
            request_id: &context.id,
            body: &body,
        };
        match self.gate.judge(&incoming).await {
            Verdict::Reply(reply) => Err(reply),
            Verdict::Forward(forward) => match self.check(&forward, request, target, certificate) {
                Ok(body_bytes) => {
                    context.body_left = body_bytes;
                    Ok(forward)
                }
                Err(refusal) => Err(self.refusal(refusal, session, context)),
            },
        }
    }

    /// What only the route and its own upstream can tell; how large the body may be.
    fn check(
        &self,
        forward: &Forward,
        request: &RequestHeader,
        target: &Target,
        certificate: Option<&ClientCertificate>,
    ) -> Result<u64, Refusal> {
        let config = self.gate.config();
        let upstream = config
            .upstreams
            .get(forward.upstream)
            .ok_or(Refusal::Internal)?;
        // The app as a whole accepts it, but this upstream may not.
        if !upstream.accept.contains(target.used()) {
            let sent = request
                .uri
                .path_and_query()
                .map_or("", |sent| sent.as_str());
            Target::parse(sent.as_bytes(), upstream.accept).map_err(Refusal::Ambiguous)?;
        }
        upstream::check_identity(forward, self, certificate).map_err(|ambiguous| {
            tracing::warn!(header = %ambiguous.header, "a member of a list holds a comma");
            Refusal::AmbiguousIdentity
        })?;
        let app = config.apps.get(forward.place.app);
        let route = forward.record.route.map(|(_, position)| position);
        let most = app
            .zip(route)
            .and_then(|(app, position)| app.body_bytes.get(position))
            .map_or(config.limits.body_bytes, |most| *most);
        // Before it is uploaded: whoever asks first (RFC 9110 10.1.1) never sends it.
        if announced(request).is_some_and(|length| length > most) {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(most)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.current.get(), self.ids.next())
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<()> {
        guard::header_is_there();
        context.method = session.req_header().method.clone();
        let body_time = context.snapshot.config().limits.body_time;
        let downstream = session.as_downstream_mut();
        downstream.set_write_timeout(Some(WRITE_TIME));
        downstream.set_read_timeout(Some(body_time));
        // RFC 9110 15.2
        if session.req_header().version == Version::HTTP_10 {
            session.as_downstream_mut().set_ignore_info_resp(true);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let snapshot = Arc::clone(&context.snapshot);
        match snapshot.judge(session, context).await {
            Ok(forward) => {
                context.forward = Some(forward);
                counts::sent(context);
                Ok(false)
            }
            Err(answer) => {
                context.record = Some(answer.record.clone());
                reply::write(session, &answer, context).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        let Some(forward) = &context.forward else {
            return Error::e_explain(ErrorType::InternalError, "no permit");
        };
        context.tunnel = opens_tunnel(session).then(Arc::default);
        context
            .snapshot
            .peers
            .pick(&forward.permit, forward.upstream, context.tunnel.clone())
            .inspect(|peer| context.address = peer._address.as_inet().copied())
            .map_err(failure::unasked)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&pingora::protocols::Digest>,
        context: &mut Context,
    ) -> Result<()> {
        if let Some(forward) = context.forward.as_ref().filter(|_| !reused) {
            let peers = &context.snapshot.peers;
            peers.connected(forward.upstream, peer._address.as_inet());
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        let Some(forward) = &context.forward else {
            return Error::e_explain(ErrorType::InternalError, "no permit");
        };
        let upstreams = &context.snapshot.config().upstreams;
        let wants_h2 = upstreams
            .get(forward.upstream)
            .is_some_and(|upstream| upstream.protocol == Protocol::H2);
        // Pingora falls back to HTTP/1.1 where the upstream did not take HTTP/2.
        if wants_h2 && context.tunnel.is_none() && request.version != Version::HTTP_2 {
            return Err(failure::other_protocol());
        }
        upstream::prepare(request, context, forward)?;
        let app = context.snapshot.config().apps.get(forward.place.app);
        if app.is_some_and(|app| app.inject_agent) && inject::wants_page(session.req_header()) {
            inject::ask_plain(request)?;
            context.wants_agent = true;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        context: &mut Context,
    ) -> Result<()> {
        if is_last {
            h2::body_is_over();
        } else {
            h2::body_moves();
        }
        // What goes through a tunnel is no body.
        if let Some(piece) = body
            && context.tunnel.is_none()
        {
            match context.body_left.checked_sub(piece.len() as u64) {
                Some(left) => context.body_left = left,
                None => return Err(failure::too_large()),
            }
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        // Of an answer that comes before the request's body has ended; "go on" (100) always does, and is none.
        session
            .as_downstream_mut()
            .set_close_on_response_before_downstream_finish(!is_interim(response.status));
        if let Some(tunnel) = &context.tunnel {
            tunnel.note(response.status);
            if response.status == StatusCode::SWITCHING_PROTOCOLS {
                guard::tunnel_opens();
                counts::opened(context);
            }
        }
        if session.is_process_shutting_down() {
            // There is no next request.
            session.as_downstream_mut().set_keepalive(None);
        }
        if !is_interim(response.status) {
            // From here on the two sides may take turns as they like, or be quiet.
            h2::body_is_over();
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            session.as_downstream_mut().set_read_timeout(None);
        }
        if !is_interim(response.status) {
            counts::answered(context);
        }
        if response.headers.contains_key(header::SET_COOKIE) {
            let gate = &context.snapshot.gate;
            if let Some(forward) = &context.forward
                && gate.tracks_app_cookies(forward)
            {
                let set: Vec<_> = response
                    .headers
                    .get_all(header::SET_COOKIE)
                    .iter()
                    .collect();
                gate.note_app_cookies(forward, &set).await;
            }
            drop_reserved_cookies(response)?;
        }
        if context.wants_agent {
            context.inject = Inject::of(response, &context.method)?.map(Mutex::new);
        }
        if let Some(hsts) = &context.hsts
            && !response
                .headers
                .contains_key(header::STRICT_TRANSPORT_SECURITY)
        {
            response.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
        }
        response.insert_header("x-request-id", context.id.as_str())
    }

    /// Those of HTTP/2; Pingora drops the others. A cookie there is for nobody (RFC 9110 6.5.1), and none of ours.
    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut http::HeaderMap,
        _context: &mut Context,
    ) -> Result<()> {
        trailers.remove(header::SET_COOKIE);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        if let Some(inject) = &mut context.inject {
            let inject = inject.get_mut().unwrap_or_else(PoisonError::into_inner);
            inject.piece(body, end_of_stream)?;
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let why = failure::no_answer(&error);
        let another = context.forward.as_ref().is_some_and(|forward| {
            let peers = &context.snapshot.peers;
            peers.failed(forward.upstream, peer._address.as_inet(), why)
        });
        // Nothing was sent yet, so another address of the same upstream may do. Pingora bounds the attempts.
        error.set_retry(another);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let failure = Failure::of(error);
        context.error = Some(failure.name());
        if let Some(reason) = counts::failure(failure)
            && let Some(series) = context.upstream_series()
        {
            series.failed(reason);
        }
        if failure != Failure::Client {
            tracing::warn!(
                id = context.id,
                address = context.address.map(tracing::field::display),
                failure = failure.name(),
                reason = failure::reason(error),
                "a request was not answered by its upstream"
            );
        }
        // Only its connection's end tells a client that the rest of an answer is missing.
        let unanswered = session
            .as_downstream()
            .response_written()
            .is_none_or(|written| is_interim(written.status));
        let mut status = 0;
        if let Some(refusal) = failure.refusal().filter(|_| unanswered) {
            let reply = context.snapshot.refusal(refusal, session, context);
            status = reply.status.as_u16();
            session.as_downstream_mut().set_keepalive(None);
            if let Err(error) = reply::write(session, &reply, context).await {
                tracing::debug!(%error, "nobody reads the answer");
            }
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        let downstream = session.as_downstream();
        context.log(Sent {
            status: downstream
                .response_written()
                .map_or(0, |response| response.status.as_u16()),
            bytes: downstream.body_bytes_sent() as u64,
        });
    }

    /// `fail_to_proxy` has told already, without what the upstream said.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    /// Pingora's own would show path and query in its log.
    fn request_summary(&self, _session: &Session, context: &Context) -> String {
        context.id.clone()
    }
}

/// Where the next request begins is not known after it.
fn ends_connection(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Framing
            | Refusal::HeaderTooLarge
            | Refusal::TooManyFields
            | Refusal::BodyTooLarge
            | Refusal::BodyTimeout
            | Refusal::Internal
    )
}

/// What the body's length will be; nothing when that is not told.
fn announced(request: &RequestHeader) -> Option<u64> {
    let length = request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // `framing` has seen that it is a number; one that is too long for us is too large as well.
    Some(length.parse().unwrap_or(u64::MAX))
}

/// By the rule by which Pingora passes an upgrade on; every other is an ordinary request.
fn opens_tunnel(session: &Session) -> bool {
    session.is_upgrade_req()
        && session
            .req_header()
            .headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The answer itself is still to come.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn is_ping(request: &RequestHeader) -> bool {
    matches!(request.method, Method::GET | Method::HEAD) && request.uri.path() == "/.stepgate/ping"
}

async fn read_body(session: &mut Session) -> Result<Bytes, Refusal> {
    let read = async {
        let downstream = session.as_downstream_mut();
        if downstream.req_header().headers.contains_key(header::EXPECT) {
            downstream
                .write_continue_response()
                .await
                .map_err(|_| Refusal::BodyTimeout)?;
        }
        let mut body = BytesMut::new();
        loop {
            match downstream.read_request_body().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BODY_LIMIT => {
                    return Err(Refusal::BodyTooLarge);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body.freeze()),
                Err(_) => return Err(Refusal::Framing),
            }
        }
    };
    tokio::time::timeout(BODY_TIME, read)
        .await
        .unwrap_or(Err(Refusal::BodyTimeout))
}

/// An app cannot set, or take away, the session of the proxy before it.
fn drop_reserved_cookies(response: &mut ResponseHeader) -> Result<()> {
    if !response
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .any(sets_reserved)
    {
        return Ok(());
    }
    let kept: Vec<HeaderValue> = response
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|field| !sets_reserved(field))
        .cloned()
        .collect();
    response.remove_header(&header::SET_COOKIE);
    for field in kept {
        response.append_header(header::SET_COOKIE, field)?;
    }
    Ok(())
}
