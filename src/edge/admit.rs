//! Takes a request in: one reading of it, its body where it is for an endpoint of ours, and what the gate says of it.
//! What is seldom is boxed, as in `gate::judge`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::context::Context;
use super::counts;
use super::guard;
use super::inbound::{self, Inbound};
use super::parking::{self, Unread};
use super::snapshot::Snapshot;
use super::upstream;
use super::verify::{self, Asked};
use crate::config::HostIndex;
use crate::gate::{
    BODY_LIMIT, Forward, Gate, Incoming, NoAnswer, NotKept, Parking, Refusal, Reply, Verdict,
    Wanting,
};
use crate::model::client_certificate::ClientCertificate;
use crate::model::target::Target;

/// For the body that is posted to an endpoint of ours.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What a request is, before anybody is asked who sent it.
enum Examined {
    /// Whether anybody is here, on whatever host.
    Ping,
    /// By plain HTTP, for where HTTPS is.
    ToHttps(String),
    /// Another proxy has a question.
    Asks(Asked),
    Request(Inbound),
}

impl Snapshot {
    pub(super) fn refusal(
        &self,
        refusal: Refusal,
        session: &mut Session,
        context: &Context,
    ) -> Reply {
        if let Some(limit) = counts::limit(refusal) {
            self.metrics.limit_refusals.inc(limit);
        }
        if ends_connection(refusal) {
            session.as_downstream_mut().set_keepalive(None);
        }
        let headers = &session.req_header().headers;
        let upstream = context
            .forward
            .as_ref()
            .filter(|_| matches!(refusal, Refusal::Upstream(_)))
            .and_then(|forward| self.gate.config().upstreams.get(forward.upstream))
            .map(|upstream| upstream.name.as_str());
        let mut reply = self
            .gate
            .refuse(refusal, headers, context.place, upstream, &context.id);
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
        if let Some(asked) = verify::asked(request) {
            inbound::is_as_sent(request, raw.as_deref())?;
            return Ok(Examined::Asks(asked));
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
    pub(super) async fn judge(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<Forward, Reply> {
        let inbound = match self.examine(session, context) {
            Ok(Examined::Request(inbound)) => inbound,
            Ok(Examined::Ping) => return Err(Gate::pong()),
            Ok(Examined::Asks(Asked::Check)) => {
                // Nobody else's message is read.
                let body = match self.is_trusted(context) {
                    Ok(()) => {
                        let most = self.config().limits.header_bytes.saturating_mul(4);
                        read_body(session, most, false).boxed().await
                    }
                    Err(refusal) => Err(refusal),
                };
                return Err(self.check_by_grpc(body, context).boxed().await);
            }
            Ok(Examined::Asks(asked)) => {
                return Err(self.verify(&asked, session, context).boxed().await);
            }
            Ok(Examined::ToHttps(location)) => return Err(Gate::to_https(&location)),
            Err(refusal) => return Err(self.refusal(refusal, session, context)),
        };
        context.hsts = self.hsts(inbound.place);
        context.certificate = guard::secured(|secured| secured.client().cloned()).flatten();
        let target = context.target.insert(inbound.target);
        context.client = Some(inbound.client);
        let body = if self
            .gate
            .reads_body(inbound.place, &session.req_header().method, target)
        {
            // What is not an endpoint of ours goes on, if it does, with another body than this.
            let goes_on = !self.gate.answers(inbound.place, target);
            let most = if goes_on { parking::CLICK } else { BODY_LIMIT };
            match read_body(session, most, goes_on).boxed().await {
                Ok(body) => body,
                Err(refusal) => return Err(self.refusal(refusal, session, context)),
            }
        } else {
            Bytes::new()
        };
        let Some(incoming) = incoming(session, context, inbound.place, &body) else {
            return Err(self.refusal(Refusal::Internal, session, context));
        };
        let mut forward = match self.gate.judge(&incoming).await {
            Verdict::Reply(reply) => return Err(reply),
            Verdict::Park(parking) => {
                return Err(self.park(session, context, *parking).boxed().await);
            }
            Verdict::Forward(forward) => forward,
            Verdict::Approve(wanting) => self.approve(session, context, *wanting).boxed().await?,
        };
        // Nothing reaches it by here, whatever leads there.
        let app = self.gate.config().apps.get(forward.place.app);
        let is_approver = self.gate.config().is_approver(forward.place);
        if is_approver || app.is_none_or(|app| app.forward_auth.is_some()) {
            return Err(self.refusal(Refusal::BehindAnother, session, context));
        }
        if let Some(sending) = &forward.sending {
            context.target = Some(sending.target.clone());
            context.method = sending.request.method.clone();
        }
        let certificate = context.certificate.as_deref();
        let target = context.target.as_ref();
        let checked = target.ok_or(Refusal::Internal).and_then(|target| {
            let request = session.req_header();
            self.check(&forward, request, target, certificate)
        });
        // Nobody's yes is used up for what will surely not arrive.
        let is_up = forward.permit.uses().is_none() || self.peers.is_up(forward.upstream);
        let checked = checked.and_then(|body_bytes| match is_up {
            true => Ok(body_bytes),
            false => Err(Refusal::Upstream(NoAnswer::Down)),
        });
        match checked {
            Ok(body_bytes) => {
                context.body_left = body_bytes;
                self.gate.redeem(&mut forward, &context.id).await?;
                Ok(forward)
            }
            Err(refusal) => {
                if let Some(sending) = &forward.sending {
                    let id = &context.id;
                    let put_back = self.gate.put_back(&forward, sending, refusal, id);
                    put_back.boxed().await;
                }
                Err(self.refusal(refusal, session, context))
            }
        }
    }

    /// Reads the body of what is to be parked.
    async fn park(
        &self,
        session: &mut Session,
        context: &mut Context,
        mut parking: Parking,
    ) -> Reply {
        let read = parking::read(session, &self.gate, &mut parking.intake, false).await;
        let incoming = context
            .place
            .and_then(|place| incoming(session, context, place, &[]));
        match (read, incoming) {
            (Ok(()), Some(incoming)) => self.gate.park(&incoming, parking).await,
            (Err(Unread::NotKept(why)), Some(incoming)) => {
                self.gate.not_parked(&incoming, parking, why).await
            }
            (Err(Unread::Refused(refusal)), _) => self.refusal(refusal, session, context),
            (_, None) => self.refusal(Refusal::Internal, session, context),
        }
    }

    /// Reads the body of what needs a yes, and has it asked for, or used.
    async fn approve(
        &self,
        session: &mut Session,
        context: &mut Context,
        mut wanting: Wanting,
    ) -> Result<Forward, Reply> {
        // Before it is uploaded: whoever asks first (RFC 9110 10.1.1) never sends it.
        let length = announced(&session.req_header().headers);
        if length.is_some_and(|length| length > wanting.intake.most()) {
            return Err(self.refusal(Refusal::BodyTooLarge, session, context));
        }
        match parking::read(session, &self.gate, &mut wanting.intake, true).await {
            Ok(()) => {}
            Err(Unread::NotKept(NotKept::TooLarge(_))) => {
                return Err(self.refusal(Refusal::BodyTooLarge, session, context));
            }
            Err(Unread::NotKept(_)) => {
                let place = context.place;
                let incoming = place.and_then(|place| incoming(session, context, place, &[]));
                let reply = incoming.map(|incoming| self.gate.no_room(&incoming, wanting));
                session.as_downstream_mut().set_keepalive(None);
                return Err(match reply {
                    Some(reply) => reply,
                    None => self.refusal(Refusal::Internal, session, context),
                });
            }
            Err(Unread::Refused(refusal)) => return Err(self.refusal(refusal, session, context)),
        }
        let incoming = context
            .place
            .and_then(|place| incoming(session, context, place, &[]));
        let Some(incoming) = incoming else {
            return Err(self.refusal(Refusal::Internal, session, context));
        };
        match self.gate.ask_or_use(&incoming, wanting).await {
            Verdict::Forward(forward) => Ok(forward),
            Verdict::Reply(mut reply) => {
                if let Some(place) = context.place {
                    let headers = &session.req_header().headers;
                    self.gate.allow_origin(&mut reply, place, headers);
                }
                Err(reply)
            }
            // It was judged with its body at hand.
            Verdict::Park(_) | Verdict::Approve(_) => {
                Err(self.refusal(Refusal::Internal, session, context))
            }
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
            let sent = match &forward.sending {
                Some(sending) => sending.request.target.as_str(),
                None => request
                    .uri
                    .path_and_query()
                    .map_or("", |sent| sent.as_str()),
            };
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
        let length = match &forward.sending {
            Some(sending) => Some(sending.request.body.len() as u64),
            None => announced(&request.headers),
        };
        if length.is_some_and(|length| length > most) {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(most)
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

fn incoming<'r>(
    session: &'r Session,
    context: &'r Context,
    place: HostIndex,
    body: &'r [u8],
) -> Option<Incoming<'r>> {
    let request = session.req_header();
    let certificate = context.certificate.as_deref();
    Some(Incoming {
        place,
        method: &request.method,
        target: context.target.as_ref()?,
        headers: &request.headers,
        client: context.client.as_ref()?.address,
        certificate: certificate.map(|certificate| &certificate.thumbprint),
        request_id: &context.id,
        body,
        decision_only: false,
    })
}

/// What the body's length will be; nothing when that is not told.
fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // `framing` has seen that it is a number; one that is too long for us is too large as well.
    Some(length.parse().unwrap_or(u64::MAX))
}

fn is_ping(request: &RequestHeader) -> bool {
    matches!(request.method, Method::GET | Method::HEAD) && request.uri.path() == "/.stepgate/ping"
}

/// At most so many bytes. `goes_on`: as in [`each_piece`].
async fn read_body(session: &mut Session, most: usize, goes_on: bool) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    each_piece(session, goes_on, BODY_TIME, |piece| {
        if body.len() + piece.len() > most {
            return Err(Refusal::BodyTooLarge);
        }
        body.extend_from_slice(&piece);
        Ok(())
    })
    .await?;
    Ok(body.freeze())
}

/// Reads a body as far as it is taken. Whoever waits for a word of ours (RFC 9110 10.1.1) gets it. `goes_on`: the request may
/// still go to an upstream. Pingora then looks for a body in what it has kept of it. `lasts`: how long all of it may take.
pub(in crate::edge) async fn each_piece<E: From<Refusal>>(
    session: &mut Session,
    goes_on: bool,
    lasts: Duration,
    mut take: impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let read = async {
        let downstream = session.as_downstream_mut();
        if goes_on {
            downstream.enable_retry_buffering();
        }
        if downstream.req_header().headers.contains_key(header::EXPECT) {
            downstream
                .write_continue_response()
                .await
                .map_err(|_| Refusal::BodyTimeout)?;
        }
        loop {
            match downstream.read_request_body().await {
                Ok(Some(piece)) => take(piece)?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(Refusal::Framing.into()),
            }
        }
    };
    tokio::time::timeout(lasts, read)
        .await
        .unwrap_or(Err(Refusal::BodyTimeout.into()))
}
