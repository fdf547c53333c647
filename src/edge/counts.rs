//! What is counted of every request, whether or not it is logged.

use std::time::Instant;

use super::access::Sent;
use super::context::Context;
use super::failure::Failure;
use crate::gate::{Lack, NoAnswer, Refusal, StreamKind};
use crate::model::target::Ambiguity;
use crate::telemetry::metrics::{Both, Ended, Limit, StreamEnd, StreamLabel, UpstreamFailure};

pub(in crate::edge) fn ended(context: &Context, sent: Sent) {
    let record = context.record();
    // A request that broke off before it was judged.
    let decision = record.map_or("refuse", |record| record.decision);
    let app = context.place.map(|place| place.app);
    let route = record.and_then(|record| record.route);
    let series = context.snapshot.routes.of(app, route, decision);
    series.count(Ended {
        method: &context.method,
        status: sent.status,
        decision,
        reason: record.map_or(context.error, |record| record.reason),
        took: context.started.elapsed(),
    });
}

/// It is allowed, and goes upstream; once, however often a connection is tried.
pub(in crate::edge) fn sent(context: &mut Context) {
    let now = Instant::now();
    let metrics = &context.snapshot.metrics;
    metrics.overhead.observe(now - context.started);
    context.sent = Some(now);
}

/// The header of its upstream's answer is there.
pub(in crate::edge) fn answered(context: &mut Context) {
    if let Some(sent) = context.sent.take()
        && let Some(series) = context.upstream_series()
    {
        series.duration.observe(sent.elapsed());
    }
}

/// It stays open from now on.
pub(in crate::edge) fn opened(context: &Context, kind: StreamKind) {
    context.snapshot.metrics.streams.inc(label(kind));
}

fn label(kind: StreamKind) -> StreamLabel {
    match kind {
        StreamKind::WebSocket => StreamLabel::WebSocket,
        StreamKind::Events => StreamLabel::Events,
        StreamKind::Grpc => StreamLabel::Grpc,
    }
}

/// Nothing of it is left.
pub(in crate::edge) fn gone(context: &Context) {
    let metrics = &context.snapshot.metrics;
    metrics.in_flight.dec();
    if let Some(streaming) = &context.streaming {
        let end = match (streaming.told().map(|closing| closing.lack), context.error) {
            (Some(Lack::Level), _) => StreamEnd::Level,
            (Some(Lack::Session), _) => StreamEnd::Session,
            (Some(Lack::Permission), _) => StreamEnd::Permission,
            (Some(Lack::Answer), _) => StreamEnd::Unavailable,
            (None, Some("upstream-timeout")) => StreamEnd::Idle,
            (None, Some("broken-off")) => StreamEnd::Stop,
            (None, _) => StreamEnd::Closed,
        };
        let kind = label(streaming.kind);
        metrics.streams.dec(kind);
        metrics.streams_closed.inc(Both(kind, end));
    }
}

/// What the upstream is to blame for.
pub(in crate::edge) fn failure(failure: Failure) -> Option<UpstreamFailure> {
    let why = match failure {
        Failure::Upstream(why) => why,
        Failure::Client | Failure::Request(_) | Failure::Internal => return None,
    };
    Some(match why {
        NoAnswer::Unreachable => UpstreamFailure::Unreachable,
        NoAnswer::Tls => UpstreamFailure::Tls,
        NoAnswer::Closed => UpstreamFailure::Closed,
        NoAnswer::Invalid => UpstreamFailure::Invalid,
        NoAnswer::ConnectTimeout => UpstreamFailure::ConnectTimeout,
        NoAnswer::Timeout => UpstreamFailure::Timeout,
        NoAnswer::Down => UpstreamFailure::Down,
    })
}

/// Which limit a refusal is by; none for one that is wrong in itself.
pub(in crate::edge) fn limit(refusal: Refusal) -> Option<Limit> {
    match refusal {
        Refusal::HeaderTooLarge => Some(Limit::HeaderBytes),
        Refusal::TooManyFields => Some(Limit::HeaderCount),
        Refusal::BodyTooLarge => Some(Limit::BodyBytes),
        Refusal::BodyTimeout => Some(Limit::BodyTime),
        Refusal::Ambiguous(Ambiguity::TooLong) => Some(Limit::TargetLength),
        Refusal::Ambiguous(_)
        | Refusal::Framing
        | Refusal::NoHost
        | Refusal::UnknownHost
        | Refusal::Misdirected
        | Refusal::UnreadableChain
        | Refusal::Nominated
        | Refusal::MethodNotAllowed
        | Refusal::AmbiguousIdentity
        | Refusal::Unbelievable(_)
        | Refusal::BehindAnother
        | Refusal::Upstream(_)
        | Refusal::Internal => None,
    }
}
