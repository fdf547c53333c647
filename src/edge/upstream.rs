//! What an app gets to see of a request: the canonical target, our headers and none that look like ours.

use http::{HeaderName, HeaderValue, header};
use pingora::Result;
use pingora::http::RequestHeader;

use super::context::Context;
use super::cookies::{self, Cookies};
use super::forwarded;
use super::identity::{self, Ambiguous};
use super::snapshot::Snapshot;
use crate::config::{Config, IdentityHeaders, UpstreamHost};
use crate::gate::Forward;
use crate::model::level::{Ladder, Rank};
use crate::model::target::Relaxations;
use crate::store::Live;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The identity headers of one session, made once for each level that it may have.
#[derive(Debug)]
struct Rendered(Vec<std::result::Result<Vec<(HeaderName, HeaderValue)>, Ambiguous>>);

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
        request.insert_header(header::HOST, host)?;
    }
    for (name, value) in forwarded::fields(client, peer, origin) {
        if let Some(value) = value {
            request.insert_header(name, value)?;
        }
    }
    request.insert_header(X_REQUEST_ID, context.id.as_str())?;
    // A public request carries no identity, whoever is signed in.
    if !forward.permit.is_public()
        && let Some(live) = &forward.session
        && let Ok(fields) = identity_fields(live, &app.identity, config, forward)
    {
        for (name, value) in fields {
            request.insert_header(name, value)?;
        }
    }
    Ok(())
}

/// Asked before anything goes upstream: an identity that reads as another is refused.
pub(in crate::edge) fn check_identity(
    forward: &Forward,
    config: &Config,
) -> std::result::Result<(), Ambiguous> {
    let (false, Some(live), Some(app)) = (
        forward.permit.is_public(),
        &forward.session,
        config.apps.get(forward.place.app),
    ) else {
        return Ok(());
    };
    identity_fields(live, &app.identity, config, forward)
        .as_ref()
        .map(|_| ())
        .map_err(Clone::clone)
}

fn identity_fields<'l>(
    live: &'l Live,
    headers: &IdentityHeaders,
    config: &Config,
    forward: &Forward,
) -> &'l std::result::Result<Vec<(HeaderName, HeaderValue)>, Ambiguous> {
    static NOTHING: std::result::Result<Vec<(HeaderName, HeaderValue)>, Ambiguous> = Ok(Vec::new());
    let rendered = live
        .rendered
        .get_or_init(|| Box::new(Rendered::new(live, headers, &config.ladder)));
    let Some(Rendered(by_rank)) = rendered.downcast_ref() else {
        return &NOTHING;
    };
    let rank = usize::from(forward.permit.have().rank.get());
    // One alone: no header depends on the level.
    by_rank
        .get(rank)
        .or_else(|| by_rank.first())
        .unwrap_or(&NOTHING)
}

impl Rendered {
    fn new(live: &Live, headers: &IdentityHeaders, ladder: &Ladder) -> Self {
        let render =
            |rank: Rank| identity::render(headers, &live.session.identity, ladder.name_of(rank));
        if !identity::depends_on_level(headers) {
            return Self(vec![render(Rank::ANONYMOUS)]);
        }
        let ranks = std::iter::once(Rank::ANONYMOUS).chain(ladder.iter().map(|level| level.rank));
        Self(ranks.map(render).collect())
    }
}
