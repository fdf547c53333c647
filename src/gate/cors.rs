//! Scripts of other origins: which of them may read our answers, and the questions that their browsers ask first.
//!
//! What the app says of its own answers is left alone. A preflight (Fetch standard, section "CORS-preflight fetch")
//! carries no credentials and no body, and reaches the app as nobody's request, for the app to answer.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Forward, Gate, Incoming, Record, Reply, Site, Verdict};
use crate::config::{App, HostIndex};
use crate::model::requirement::Requirement;
use crate::model::route::is_served;
use crate::model::time::Timestamp;
use crate::policy::decision::Decision;

/// What a script needs to go on; nothing in them is a secret.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Retry-After, X-Request-Id");

impl Gate {
    /// An answer of ours becomes readable to scripts of the app's `cors` origins.
    pub fn allow_origin(&self, reply: &mut Reply, place: HostIndex, headers: &HeaderMap) {
        let Some(site) = self.site(place) else {
            return;
        };
        let Some(origin) = allowed_origin(site.app, headers) else {
            return;
        };
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            (
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            ),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
        ] {
            reply.headers.insert(name, value);
        }
    }

    /// `wanted`: the method that is asked about. Its route answers, and what can be told of nobody holds for both methods.
    pub(in crate::gate) fn preflight(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        wanted: &Method,
        now: Timestamp,
    ) -> Verdict {
        let table = &site.app.table;
        let found = table.find(wanted, incoming.target);
        let own = table.find(incoming.method, incoming.target);
        let demand: Vec<&Requirement> = found.demand.iter().chain(&*own.demand).copied().collect();
        let decision = self.decide_preflight(&demand, incoming.client, now);
        let mut record = Record {
            route: table
                .position(found.route)
                .map(|position| (incoming.place.app, position)),
            reason: Some("preflight"),
            ..Record::of(decision.name())
        };
        match decision {
            Decision::Allow(permit) => {
                record.need = Some(permit.need());
                Verdict::Forward(Forward {
                    permit,
                    place: incoming.place,
                    upstream: found.route.upstream,
                    session: None,
                    bearer: None,
                    record,
                    sending: None,
                    redeeming: None,
                    is_redeemed: false,
                    is_noted: false,
                    within: None,
                    key: None,
                })
            }
            Decision::Deny(denial) => {
                record.need = Some(denial.need);
                record.reason = Some(denial.condition);
                Verdict::Reply(self.forbidden(incoming, found.route, None, &denial, record))
            }
            // Nothing else comes of a question that names nobody.
            Decision::Login(_)
            | Decision::StepUp(_)
            | Decision::Approve(_)
            | Decision::Unavailable(_) => {
                Verdict::Reply(self.unavailable(incoming, None, record, "preflight"))
            }
        }
    }
}

/// The method that a preflight asks about. Whatever carries credentials or a body, or comes from an origin that is not
/// listed, is a request like any other.
pub(in crate::gate) fn preflight(incoming: &Incoming<'_>, app: &App) -> Option<Method> {
    let headers = incoming.headers;
    let bare = [header::COOKIE, header::AUTHORIZATION]
        .iter()
        .all(|name| !headers.contains_key(name));
    let empty = !headers.contains_key(header::TRANSFER_ENCODING)
        && headers
            .get(header::CONTENT_LENGTH)
            .is_none_or(|length| length == "0");
    if *incoming.method != Method::OPTIONS || !bare || !empty {
        return None;
    }
    allowed_origin(app, headers)?;
    let wanted = only(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(wanted.as_bytes()).ok().filter(is_served)
}

fn allowed_origin<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    let origin = only(headers, &header::ORIGIN)?;
    app.cors_origins
        .iter()
        .any(|known| origin == known.as_str())
        .then_some(origin)
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}
