//! A request's line in the access log.

use std::net::IpAddr;

use super::context::Context;
use super::snapshot::Snapshot;
use crate::config::ForwardAuth;
use crate::telemetry::AccessLine;

/// Of the answer; nothing where there was none.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::edge) struct Sent {
    pub(in crate::edge) status: u16,
    pub(in crate::edge) bytes: u64,
}

pub(in crate::edge) fn write(context: &Context, sent: Sent) {
    let snapshot = &*context.snapshot;
    if snapshot.access.is_off() {
        return;
    }
    let config = snapshot.config();
    let record = context.record();
    let ladder = &config.ladder;
    let have = record.and_then(|record| record.have);
    let need = record.and_then(|record| record.need);
    let app = context.place.and_then(|place| config.apps.get(place.app));
    let origin = context
        .place
        .zip(app)
        .and_then(|(place, app)| app.origins.get(place.origin));
    let route = record
        .and_then(|record| record.route)
        .zip(app)
        .and_then(|((_, position), app)| app.table.routes().get(position));
    let upstream = context
        .forward
        .as_ref()
        .and_then(|forward| config.upstreams.get(forward.upstream));
    let client = context
        .client
        .as_ref()
        .map(|client| client.address)
        .or(context.peer)
        .map(|address| address.to_string())
        .unwrap_or_default();
    let subject = record
        .and_then(|record| record.subject)
        .map(|subject| subject.to_string());
    let line = AccessLine {
        log: "access",
        time: snapshot.clock.now().as_unix(),
        id: &context.id,
        method: context.method.as_str(),
        host: origin.map_or("", |origin| origin.authority.as_str()),
        path: context.target.as_ref().map_or("", |target| target.path()),
        route: route.map(|route| route.id.as_str()),
        // A request that broke off before it was judged.
        decision: record.map_or("refuse", |record| record.decision),
        reason: record.and_then(|record| record.reason),
        have: have.map(|have| ladder.name_of(have.rank)),
        age: have.and_then(|have| have.age).map(|age| age.as_secs()),
        need: need.map(|need| ladder.name_of(need.rank)),
        max_age: need
            .and_then(|need| need.max_age)
            .map(|max_age| max_age.as_secs()),
        status: sent.status,
        milliseconds: u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes: sent.bytes,
        client: &client,
        subject: subject.as_deref(),
        credential: record.and_then(|record| record.credential),
        azp: record.and_then(|record| record.client.as_deref()),
        forward_auth: context.forward_auth.map(ForwardAuth::name),
        upstream: upstream.map(|upstream| upstream.name.as_str()),
        error: context.error,
    };
    line.write(&snapshot.access);
}

/// Of what was refused before any phase: it has no name, for nothing of it is known.
pub(in crate::edge) fn unseen(
    snapshot: &Snapshot,
    peer: Option<IpAddr>,
    status: u16,
    reason: &'static str,
) {
    let client = peer.map(|address| address.to_string()).unwrap_or_default();
    let line = AccessLine {
        log: "access",
        time: snapshot.clock.now().as_unix(),
        decision: "refuse",
        reason: Some(reason),
        status,
        client: &client,
        ..AccessLine::default()
    };
    line.write(&snapshot.access);
}
