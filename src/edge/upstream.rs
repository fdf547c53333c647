//! What an app gets to see of a request: the canonical target, our headers and none that look like ours.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use http::{HeaderName, HeaderValue, header};
use pingora::Result;
use pingora::http::RequestHeader;

use super::context::Context;
use super::cookies::{self, Cookies};
use super::forwarded;
use super::guard;
use super::identity::{self, Ambiguous};
use super::snapshot::Snapshot;
use crate::config::{Config, IdentityHeaders, UpstreamHost};
use crate::gate::{DPOP, Forward};
use crate::model::client_certificate::ClientCertificate;
use crate::model::evidence::Identity;
use crate::model::level::Rank;
use crate::model::target::Relaxations;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type Fields = std::result::Result<Vec<(HeaderName, HeaderValue)>, Ambiguous>;

/// The identity headers of one session, made once for each level that it may have.
#[derive(Debug)]
struct Rendered {
    /// Of the snapshot whose templates they are made by.
    number: u64,
    by_rank: Vec<Fields>,
}

/// Called from `upstream_request_filter` only: before it, Pingora removes what the client names in `Connection`.
pub(in crate::edge) fn prepare(
    request: &mut RequestHeader,
    context: &Context,
    forward: &Forward,
) -> Result<()> {
    let Snapshot { gate, reserved, .. } = &*context.snapshot;
    let config = gate.config();
    let (Some(target), Some(client), Some(peer)) = (&context.target, &context.client, context.peer)
    else {
        return Err(pingora::Error::new_in(pingora::ErrorType::InternalError));
    };
    let (Some(app), Some(upstream)) = (
        config.apps.get(forward.place.app),
        config.upstreams.get(forward.upstream),
    ) else {
        return Err(pingora::Error::new_in(pingora::ErrorType::InternalError));
    };
    let Some(origin) = app.origins.get(forward.place.origin) else {
        return Err(pingora::Error::new_in(pingora::ErrorType::InternalError));
    };

    // Of an absolute-form target the URI shows the path alone; what goes out is the raw one.
    let as_sent = request.raw_path() == target.path_and_query().as_bytes();
    if !as_sent {
        request.set_raw_path(target.path_and_query().as_bytes())?;
    }
    let overrides = upstream.accept.contains(Relaxations::METHOD_OVERRIDE);
    for name in reserved.dropped(&request.headers, overrides) {
        request.remove_header(&name);
    }
    // Where tokens are taken, none reaches the app that was not judged, and those that were only if it may have them.
    if let Some(bearer) = &app.bearer
        && !(bearer.forward_token && forward.bearer.is_some())
    {
        request.remove_header(&header::AUTHORIZATION);
        request.remove_header(&DPOP);
    }
    match cookies::forwarded(&request.headers, |name, value| {
        gate.forwards_cookie(forward, name, value)
    }) {
        Cookies::AsTheyAre => {}
        Cookies::None => {
            request.remove_header(&header::COOKIE);
        }
        Cookies::Joined(joined) => request.insert_header(header::COOKIE, joined)?,
    }
    let host = match upstream.host {
        UpstreamHost::Keep => Some(origin.authority.as_str()),
        UpstreamHost::Upstream => upstream
            .urls
            .first()
            .map(|url| url.authority())
            .filter(|authority| !authority.is_empty()),
    };
    if let Some(host) = host {
        let mut sent = request.headers.get_all(header::HOST).iter();
        if !(sent.next().is_some_and(|sent| sent == host) && sent.next().is_none()) {
            request.insert_header(header::HOST, host)?;
        }
    }
    let make = || forwarded::fields(client, peer, origin);
    let told = match client.chain.is_empty() {
        true => guard::straight(|kept| kept.fields(context.snapshot.number, forward.place, make)),
        false => None,
    };
    for (name, value) in &*told.unwrap_or_else(|| Arc::new(make())) {
        if let Some(value) = value {
            request.insert_header(*name, value.clone())?;
        }
    }
    request.insert_header(X_REQUEST_ID, context.id.as_str())?;
    let certificate = context.certificate.as_deref();
    identity(forward, &context.snapshot, certificate, |name, value| {
        request.insert_header(name, value).map(|_| ())
    })?;
    Ok(())
}

/// Who asks, as the app is told. A public request carries no identity, whoever is signed in.
pub(in crate::edge) fn identity<E>(
    forward: &Forward,
    snapshot: &Snapshot,
    certificate: Option<&ClientCertificate>,
    mut tell: impl FnMut(HeaderName, HeaderValue) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let config = snapshot.config();
    if !forward.permit.is_public()
        && let Some(app) = config.apps.get(forward.place.app)
        && let Some(holder) = Holder::of(forward)
        && let rendered = Rendered::of(holder, &app.identity, snapshot)
        && let Ok(fields) = rendered.at(forward.permit.have().rank)
    {
        for (name, value) in fields {
            tell(name.clone(), value.clone())?;
        }
        let of_connection =
            of_connection(holder.identity, forward, &app.identity, config, certificate);
        for (name, value) in of_connection.unwrap_or_default() {
            tell(name, value)?;
        }
    }
    Ok(())
}

/// Made for every request: a session may come over many connections.
fn of_connection(
    identity: &Identity,
    forward: &Forward,
    headers: &IdentityHeaders,
    config: &Config,
    certificate: Option<&ClientCertificate>,
) -> Fields {
    if headers.of_connection.is_empty() {
        return Ok(Vec::new());
    }
    let level = config.ladder.name_of(forward.permit.have().rank);
    identity::render(&headers.of_connection, identity, level, certificate)
}

/// Asked before anything goes upstream: an identity that reads as another is refused.
pub(in crate::edge) fn check_identity(
    forward: &Forward,
    snapshot: &Snapshot,
    certificate: Option<&ClientCertificate>,
) -> std::result::Result<(), Ambiguous> {
    let (false, Some(holder), Some(app)) = (
        forward.permit.is_public(),
        Holder::of(forward),
        snapshot.config().apps.get(forward.place.app),
    ) else {
        return Ok(());
    };
    Rendered::of(holder, &app.identity, snapshot)
        .at(forward.permit.have().rank)
        .as_ref()
        .map_err(Clone::clone)?;
    let config = snapshot.config();
    of_connection(holder.identity, forward, &app.identity, config, certificate).map(|_| ())
}

/// Whose headers they are, and where they are kept once they are made.
#[derive(Clone, Copy)]
struct Holder<'f> {
    identity: &'f Identity,
    rendered: &'f OnceLock<Box<dyn Any + Send + Sync>>,
}

impl<'f> Holder<'f> {
    fn of(forward: &'f Forward) -> Option<Self> {
        match (&forward.bearer, &forward.session) {
            (Some(verified), _) => Some(Self {
                identity: &verified.identity,
                rendered: &verified.rendered,
            }),
            (None, Some(live)) => Some(Self {
                identity: &live.session.identity,
                rendered: &live.rendered,
            }),
            (None, None) => None,
        }
    }
}

static NOTHING: Fields = Ok(Vec::new());

impl Rendered {
    /// Those that are kept beside the session, when they are of this snapshot. A newer snapshot's take the place of an
    /// older one's, and a request that began before keeps to its own.
    fn of(holder: Holder<'_>, headers: &IdentityHeaders, snapshot: &Snapshot) -> Guard<Arc<Self>> {
        let make = || Arc::new(Self::new(holder.identity, headers, snapshot));
        let kept = holder
            .rendered
            .get_or_init(|| Box::new(ArcSwap::new(make())));
        let Some(kept) = kept.downcast_ref::<ArcSwap<Self>>() else {
            return Guard::from_inner(make());
        };
        let known = kept.load();
        if known.number == snapshot.number {
            return known;
        }
        let made = make();
        if known.number < snapshot.number {
            kept.store(Arc::clone(&made));
        }
        Guard::from_inner(made)
    }

    fn new(identity: &Identity, headers: &IdentityHeaders, snapshot: &Snapshot) -> Self {
        let ladder = &snapshot.config().ladder;
        let render = |rank: Rank| {
            let level = ladder.name_of(rank);
            identity::render(&headers.headers, identity, level, None)
        };
        let by_rank = if identity::depends_on_level(headers) {
            let ranks =
                std::iter::once(Rank::ANONYMOUS).chain(ladder.iter().map(|level| level.rank));
            ranks.map(render).collect()
        } else {
            vec![render(Rank::ANONYMOUS)]
        };
        Self {
            number: snapshot.number,
            by_rank,
        }
    }

    fn at(&self, rank: Rank) -> &Fields {
        // One alone: no header depends on the level.
        self.by_rank
            .get(usize::from(rank.get()))
            .or_else(|| self.by_rank.first())
            .unwrap_or(&NOTHING)
    }
}
