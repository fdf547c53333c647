//! Another proxy asks whether it may send a request on: the request is rebuilt from what the proxy says of it, and
//! judged as if it had come here. It is told "yes" with the headers that the app gets, or what the client is to be told.
//!
//! Only proxies of `trusted_proxies` are answered, only about apps with `forward_auth`, each in its own kind's way. What
//! stepgate drops on the way to an app, the other proxy may not: it is refused here where it is seen.

mod ext_authz;
mod original;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use self::original::Original;
use super::client::{UnreadableChain, client, is_trusted};
use super::context::Context;
use super::cookies::{self, Cookies};
use super::inbound;
use super::snapshot::Snapshot;
use super::upstream;
use crate::config::{App, ForwardAuth};
use crate::gate::{DPOP, Forward, Incoming, OWN_PREFIX, Refusal, Reply, Unbelievable, Verdict};
use crate::model::route::is_served;
use crate::model::target::{Relaxations, Target};

const VERIFY: &[u8] = b"/.stepgate/verify";
const CHALLENGE: &[u8] = b"/.stepgate/challenge";

/// What Envoy takes out of the request before it sends it on.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// What Envoy itself says of the way that a request came.
const OF_ENVOY: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-request-id",
];

/// What another proxy wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Asked {
    /// Whether it may send the request on that the headers describe, and what to tell the client if not.
    Whether,
    /// What to tell the client of it, by a proxy that hears no more than yes or no.
    WhatToTell,
    /// Whether it may send on this request itself, whose target stands behind the path of the question.
    Itself(Vec<u8>),
    /// The same by gRPC: a message describes the request.
    Check,
}

/// Nothing for every other request.
pub(in crate::edge) fn asked(request: &RequestHeader) -> Option<Asked> {
    let target = request.raw_path();
    if target == ext_authz::PATH && request.version == Version::HTTP_2 {
        return Some(Asked::Check);
    }
    // Some proxies leave the original's query behind the path of the question.
    let ends = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"?");
    if target.strip_prefix(CHALLENGE).is_some_and(ends) {
        return Some(Asked::WhatToTell);
    }
    let rest = target.strip_prefix(VERIFY)?;
    if ends(rest) {
        return Some(Asked::Whether);
    }
    rest.starts_with(b"/").then(|| Asked::Itself(rest.to_vec()))
}

impl Snapshot {
    /// The same by gRPC, whose answer is a message whatever it says.
    pub(in crate::edge) async fn check_by_grpc(
        &self,
        body: Result<Bytes, Refusal>,
        context: &mut Context,
    ) -> Reply {
        context.grpc_message = true;
        let asked = self
            .is_trusted(context)
            .and_then(|()| ext_authz::read(&body?).map_err(Refusal::Unbelievable));
        let (answered, headers) = match asked {
            Ok((original, headers)) => {
                let answered = self
                    .answer(original, &headers, &Asked::Check, context)
                    .await;
                (answered, headers)
            }
            Err(refusal) => (Err(refusal), HeaderMap::new()),
        };
        let mut reply = answered.unwrap_or_else(|refusal| self.refused(refusal, &headers, context));
        // By which the app and this request's line belong together.
        if let Ok(id) = HeaderValue::try_from(context.id.as_str()) {
            reply.headers.insert("x-request-id", id);
        }
        ext_authz::told(reply)
    }

    /// The answer to a question; what is in `context` afterwards is of the request that was asked about.
    pub(in crate::edge) async fn verify(
        &self,
        asked: &Asked,
        session: &Session,
        context: &mut Context,
    ) -> Reply {
        let request = session.req_header();
        let headers = &request.headers;
        let answered = match self.read(asked, request, context) {
            Ok(original) => self.answer(original, headers, asked, context).await,
            Err(refusal) => Err(refusal),
        };
        let reply = answered.unwrap_or_else(|refusal| self.refused(refusal, headers, context));
        if asked == &Asked::Whether && context.forward_auth == Some(ForwardAuth::Nginx) {
            return reply.yes_or_no();
        }
        reply
    }

    fn refused(&self, refusal: Refusal, headers: &HeaderMap, context: &Context) -> Reply {
        let mut reply = self
            .gate
            .refuse(refusal, headers, context.place, None, &context.id);
        if let Some(place) = context.place {
            self.gate.allow_origin(&mut reply, place, headers);
        }
        reply.never_a_yes()
    }

    /// Whether whoever asks may ask.
    pub(in crate::edge) fn is_trusted(&self, context: &Context) -> Result<(), Refusal> {
        let trusted = &self.config().trusted_proxies;
        match context.peer {
            Some(peer) if is_trusted(peer, trusted) => Ok(()),
            _ => Err(Refusal::Unbelievable(Unbelievable::Stranger)),
        }
    }

    fn read(
        &self,
        asked: &Asked,
        request: &RequestHeader,
        context: &Context,
    ) -> Result<Original, Refusal> {
        self.is_trusted(context)?;
        match asked {
            Asked::Whether | Asked::WhatToTell => Original::of(&request.headers),
            Asked::Itself(target) => {
                let authority = inbound::authority(request)?;
                Original::itself(&request.method, authority, target, &request.headers)
            }
            // It has a body, and is read there.
            Asked::Check => Err(Unbelievable::Incomplete),
        }
        .map_err(Refusal::Unbelievable)
    }

    async fn answer(
        &self,
        original: Original,
        headers: &HeaderMap,
        asked: &Asked,
        context: &mut Context,
    ) -> Result<Reply, Refusal> {
        let config = self.config();
        let place = config
            .place(&original.authority)
            .ok_or(Refusal::UnknownHost)?;
        let (app, origin) = config
            .apps
            .get(place.app)
            .zip(config.origin(place))
            .ok_or(Refusal::UnknownHost)?;
        let kind = app
            .forward_auth
            .filter(|kind| original.is_of(*kind))
            .ok_or(Refusal::Unbelievable(Unbelievable::NotConfigured))?;
        context.place = Some(place);
        context.forward_auth = Some(kind);
        context.method = original.method.clone();
        if original.https.is_some_and(|https| https != origin.https) {
            return Err(Refusal::Unbelievable(Unbelievable::Scheme));
        }
        if !is_served(&original.method) {
            return Err(Refusal::MethodNotAllowed);
        }
        if self.reserved.is_nominated(headers) {
            return Err(Refusal::Nominated);
        }
        let overrides = app.accept.contains(Relaxations::METHOD_OVERRIDE);
        // Envoy is told what to remove.
        if kind != ForwardAuth::Envoy && self.reserved.is_disguised(headers, overrides) {
            return Err(Refusal::Unbelievable(Unbelievable::Disguised));
        }
        let target = Target::parse(&original.target, app.accept).map_err(Refusal::Ambiguous)?;
        let target = context.target.insert(target);
        if target.path().starts_with(OWN_PREFIX) {
            return Err(Refusal::Unbelievable(Unbelievable::OwnPath));
        }
        let peer = context.peer.ok_or(Refusal::Internal)?;
        let client = client(peer, headers, &config.trusted_proxies)
            .map_err(|UnreadableChain| Refusal::UnreadableChain)?;
        let client = context.client.insert(client).address;
        let incoming = Incoming {
            place,
            method: &original.method,
            target,
            headers,
            client,
            certificate: None,
            request_id: &context.id,
            body: &[],
            decision_only: kind == ForwardAuth::Nginx && *asked == Asked::Whether,
        };
        let forward = match self.gate.judge(&incoming).await {
            Verdict::Reply(reply) => return Ok(reply.never_a_yes()),
            // Nothing is kept of a body that is not seen, nor sent from here.
            Verdict::Park(_) | Verdict::Approve(_) => return Err(Refusal::Internal),
            Verdict::Forward(forward) if forward.sending.is_some() => {
                return Err(Refusal::Internal);
            }
            Verdict::Forward(forward) => forward,
        };
        let upstream = config
            .upstreams
            .get(forward.upstream)
            .ok_or(Refusal::Internal)?;
        if !upstream.accept.contains(target.used()) {
            Target::parse(&original.target, upstream.accept).map_err(Refusal::Ambiguous)?;
        }
        upstream::check_identity(&forward, self, None).map_err(|ambiguous| {
            tracing::warn!(header = %ambiguous.header, "a member of a list holds a comma");
            Refusal::AmbiguousIdentity
        })?;
        if *asked == Asked::WhatToTell {
            return Ok(self.gate.ask_again(&incoming, forward.record));
        }
        let mut told = self.told(&forward, headers);
        // Whether it has a header at all, Caddy's own conditions do not tell in every version.
        if kind == ForwardAuth::Caddy {
            let names = app.identity.all().map(|(name, _)| name.clone());
            for name in names.chain([header::COOKIE, header::AUTHORIZATION, DPOP]) {
                told.entry(name).or_insert(HeaderValue::from_static(""));
            }
        }
        if kind == ForwardAuth::Envoy {
            let removed = self.removed(&told, headers, app, overrides);
            if let Ok(removed) = HeaderValue::try_from(removed.join(",")) {
                told.insert(TO_REMOVE, removed);
            }
        }
        Ok(Reply::yes(forward, told))
    }

    /// What the app must not see of the client's request, by a proxy that removes what it is told to.
    fn removed(
        &self,
        told: &HeaderMap,
        headers: &HeaderMap,
        app: &App,
        overrides: bool,
    ) -> Vec<String> {
        let credentials = [header::COOKIE, header::AUTHORIZATION, DPOP];
        let mut removed: Vec<String> = self
            .reserved
            .dropped(headers, overrides)
            .into_iter()
            .chain(app.identity.all().map(|(name, _)| name.clone()))
            .chain(
                credentials
                    .into_iter()
                    .filter(|name| headers.contains_key(name)),
            )
            // The proxy's own, of which it tells the app.
            .filter(|name| !told.contains_key(name) && !OF_ENVOY.contains(&name.as_str()))
            .map(|name| name.as_str().to_owned())
            .collect();
        removed.sort();
        removed.dedup();
        removed
    }

    /// What the app gets instead of what the client sent: who asks, and the credentials without ours.
    fn told(&self, forward: &Forward, headers: &HeaderMap) -> HeaderMap {
        let mut told = HeaderMap::new();
        let cookies = cookies::forwarded(headers, |name, value| {
            self.gate.forwards_cookie(forward, name, value)
        });
        let cookies = match cookies {
            Cookies::AsTheyAre => headers.get(header::COOKIE).cloned(),
            Cookies::None => None,
            Cookies::Joined(joined) => Some(joined),
        };
        let bearer = self
            .config()
            .apps
            .get(forward.place.app)
            .and_then(|app| app.bearer.as_ref());
        let passes = bearer.is_none_or(|bearer| bearer.forward_token && forward.bearer.is_some());
        let credential = |name: &HeaderName| passes.then(|| headers.get(name).cloned()).flatten();
        for (name, value) in [
            (header::COOKIE, cookies),
            (header::AUTHORIZATION, credential(&header::AUTHORIZATION)),
            (DPOP, credential(&DPOP)),
        ] {
            if let Some(value) = value {
                told.insert(name, value);
            }
        }
        let fill = |name: HeaderName, value: HeaderValue| {
            told.insert(name, value);
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = upstream::identity(forward, self, None, fill);
        told
    }
}
