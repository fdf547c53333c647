//! Pingora's phases, a few lines each: have the request judged, send it on or answer it, write its line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, StatusCode, Version, header};
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
use super::inject::{self, Inject};
use super::parking;
use super::reply;
use super::snapshot::Current;
use super::streaming;
use super::upstream;
use crate::config::Protocol;
use crate::gate::{Refusal, sets_reserved};
use crate::model::random::Random;

/// Nobody who reads takes longer for one write.
const WRITE_TIME: Duration = Duration::from_secs(60);

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
        let Some(forward) = context.forward.as_ref().filter(|forward| forward.may_go()) else {
            return Error::e_explain(ErrorType::InternalError, "no permit");
        };
        // Of an attempt that failed: Pingora reads a request's authority by what session it has.
        streaming::let_go(session, context);
        context.tunnel = opens_tunnel(session).then(Arc::default);
        context
            .snapshot
            .peers
            .pick(&forward.permit, forward.upstream, context.tunnel.clone())
            .map(|mut peer| {
                context.address = peer._address.as_inet().copied();
                // The app may close one that was used before at the very moment that this goes out, and what was sent
                // is not sent again.
                if forward.sending.is_some() {
                    peer.group_key = context.snapshot.peers.group_of_one();
                }
                peer
            })
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
        if let Some(sending) = &forward.sending {
            parking::restore(request, sending)?;
            context.is_sent_on = true;
        }
        upstream::prepare(request, context, forward)?;
        let app = context.snapshot.config().apps.get(forward.place.app);
        if app.is_some_and(|app| app.inject_agent) && inject::wants_page(session.req_header()) {
            inject::ask_plain(request)?;
            context.wants_agent = true;
        }
        streaming::asked(session, context);
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
        if let Some(sending) = context.forward.as_ref().and_then(|it| it.sending.as_ref()) {
            parking::swap(body, sending);
            return Ok(());
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
            if let Some(forward) = &context.forward
                && forward.permit.uses().is_some()
            {
                let gate = &context.snapshot.gate;
                gate.note_answer(forward, response.status).boxed().await;
            }
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
                gate.note_app_cookies(forward, &set).boxed().await;
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
        response.insert_header("x-request-id", context.id.as_str())?;
        streaming::answered(session, response, context);
        Ok(())
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
        if let Some(streaming) = &mut context.streaming {
            streaming.piece(body);
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
        streaming::let_go(session, context);
        if let Some(streaming) = context.streaming.as_ref()
            && streaming.told().is_some()
        {
            streaming::say_goodbye(session, streaming, context)
                .boxed()
                .await;
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        }
        let failure = Failure::of(error);
        context.error = Some(failure.name());
        let mut kept = None;
        if let Some(forward) = &context.forward
            && let Some(sending) = &forward.sending
            && !context.is_sent_on
        {
            let refusal = failure.refusal().unwrap_or(Refusal::Internal);
            let gate = &context.snapshot.gate;
            let put_back = gate.put_back(forward, sending, refusal, &context.id);
            kept = put_back.boxed().await;
        }
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
            let refused = context.snapshot.refusal(refusal, session, context);
            let reply = kept.unwrap_or(refused);
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
        streaming::ended(session, context);
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
