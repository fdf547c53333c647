//! What is answered: health and metrics to whoever may connect, operations over the socket only.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::Control;
use super::answers::{Approvals, Drained, Ended, Listed, Overruled, Problem, SOCKET_HOST, WORDS};
use super::readiness::{Check, Readiness, State as Health};
use crate::gate::{Changed, Which, Whose, Word};
use crate::telemetry::metrics::Format;

type Shared = State<Arc<dyn Control>>;

/// Prometheus' text format, version 0.0.4.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The user id at the other end of the socket, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<u32>);

/// The address that a request over TCP was sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance(pub(super) Option<SocketAddr>);

/// Somebody who may.
#[derive(Clone, Copy, Debug)]
struct Operator {
    uid: u32,
}

/// Over TCP: reads. `names`: beside the address itself, by which it may be called.
pub(super) fn over_tcp(control: Arc<dyn Control>, names: Arc<[String]>) -> Router {
    reads()
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let names = Arc::clone(&names);
            async move {
                match right_name(&request, &names) {
                    Ok(()) => next.run(request).await,
                    Err(refused) => refused.into_response(),
                }
            }
        }))
        .layer(middleware::map_response(with_our_headers))
        .with_state(control)
}

/// Over the socket: everything. `owner`: beside root, who may.
pub(super) fn over_socket(control: Arc<dyn Control>, owner: u32) -> Router {
    reads()
        .route("/sessions", get(list))
        .route("/sessions/revoke", post(revoke))
        .route("/approvals", get(approvals))
        .route("/approvals/{word}", post(overrule))
        .route("/reload", post(reload))
        .route("/drain", get(drained).post(drain).delete(undrain))
        .layer(middleware::from_fn(
            move |request: Request, next: Next| async move {
                match operator(request, owner) {
                    Ok(request) => next.run(request).await,
                    Err(refused) => refused.into_response(),
                }
            },
        ))
        .layer(middleware::map_response(with_our_headers))
        .with_state(control)
}

fn reads() -> Router<Arc<dyn Control>> {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || refused(StatusCode::NOT_FOUND, "not-found", "there is nothing here"))
        .method_not_allowed_fallback(async || {
            refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "not with this method",
            )
        })
}

/// Nothing a page in somebody's browser can reach: not by another name that resolves to here (DNS rebinding), and not
/// across origins.
fn right_name(request: &Request, names: &[String]) -> Result<(), Refused> {
    if request.headers().contains_key(ORIGIN) {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "origin",
            "not for web pages",
        ));
    }
    let entrance = request.extensions().get::<ConnectInfo<Entrance>>();
    let local = entrance.and_then(|ConnectInfo(Entrance(local))| *local);
    if host(request.headers()).is_some_and(|host| is_ours(host, local, names)) {
        return Ok(());
    }
    Err(refused(
        StatusCode::MISDIRECTED_REQUEST,
        "host",
        "not by this name; see `admin_hosts`",
    ))
}

/// The one.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// An address is safe: rebinding needs a name.
fn is_ours(host: &str, local: Option<SocketAddr>, names: &[String]) -> bool {
    if names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return true;
    }
    let Some(local) = local else {
        return false;
    };
    let canonical = SocketAddr::new(local.ip().to_canonical(), local.port());
    host == canonical.to_string()
        || (canonical.ip().is_loopback()
            && host.eq_ignore_ascii_case(&format!("localhost:{}", local.port())))
}

fn operator(mut request: Request, owner: u32) -> Result<Request, Refused> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    let uid = peer.and_then(|ConnectInfo(Peer(uid))| *uid);
    let Some(uid) = uid.filter(|uid| *uid == 0 || *uid == owner) else {
        tracing::warn!(uid, "refused at the admin socket");
        let detail = "only root and the user that stepgate runs as may";
        return Err(refused(StatusCode::FORBIDDEN, "operator", detail));
    };
    if request.headers().contains_key(ORIGIN) {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "origin",
            "not for web pages",
        ));
    }
    if host(request.headers()) != Some(SOCKET_HOST) {
        let detail = "the Host of the socket is `stepgate`";
        return Err(refused(StatusCode::MISDIRECTED_REQUEST, "host", detail));
    }
    request.extensions_mut().insert(Operator { uid });
    Ok(request)
}

async fn with_our_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        HeaderName::from_static(WORDS),
        HeaderValue::from_static("1"),
    );
    response
}

async fn readyz(State(control): Shared, request: Request) -> Response {
    let mut checks = Vec::new();
    if let Some(since) = control.drain().since() {
        checks.push(Check::failing(
            "drain",
            Health::Down,
            Some(since),
            "told to take no more",
        ));
    }
    checks.extend(control.checks().await);
    let readiness = Readiness::of(checks);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // As Kubernetes has it: the word alone, or with a value.
    let is_verbose = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "verbose" && value != "false" && value != "0");
    if accepts(request.headers(), "application/json") {
        let readiness = Readiness {
            checks: if is_verbose {
                readiness.checks
            } else {
                Vec::new()
            },
            ..readiness
        };
        return (status, Json(readiness)).into_response();
    }
    let text = if is_verbose {
        readiness.to_text(control.clock().now())
    } else {
        format!("{}\n", readiness.word())
    };
    (status, text).into_response()
}

async fn metrics(State(control): Shared, headers: HeaderMap) -> Response {
    // Gauges that are looked at rather than counted.
    let _checks = control.checks().await;
    let (format, kind) = if accepts(&headers, "application/openmetrics-text") {
        (Format::OpenMetrics, OPEN_METRICS)
    } else {
        (Format::Prometheus, PROMETHEUS)
    };
    match control.metrics().encode(format) {
        Ok(text) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Named, and not with `q=0`. What is liked better is left to whoever asks: each of these is asked for on purpose.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
        is_it && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    subject: Option<String>,
    sid: Option<String>,
    user: Option<String>,
}

impl Filter {
    fn whose(self) -> Result<Whose, Refused> {
        match (self.subject, self.sid, self.user) {
            (Some(subject), None, None) => Ok(Whose::Subject(subject)),
            (None, Some(sid), None) => Ok(Whose::Sid(sid)),
            (None, None, Some(user)) => Ok(Whose::User(user)),
            _ => {
                let detail = "one of `subject`, `sid` and `user` is needed";
                Err(refused(StatusCode::BAD_REQUEST, "whose", detail))
            }
        }
    }
}

async fn list(
    State(control): Shared,
    Query(filter): Query<Filter>,
) -> Result<Json<Listed>, Refused> {
    let sessions = control.gate().sessions_of(&filter.whose()?).await;
    Ok(Json(Listed {
        sessions: sessions.map_err(|_| store_is_down())?,
    }))
}

async fn revoke(
    State(control): Shared,
    Extension(operator): Extension<Operator>,
    Query(filter): Query<Filter>,
) -> Result<Json<Ended>, Refused> {
    let ended = control.gate().revoke(&filter.whose()?, operator.uid).await;
    let ended = ended.map_err(|_| store_is_down())?;
    tracing::info!(
        operator = operator.uid,
        ended = ended.len(),
        "an operator ended sessions"
    );
    Ok(Json(Ended { ended }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    subject: Option<String>,
    id: Option<String>,
}

async fn approvals(
    State(control): Shared,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Approvals>, Refused> {
    let gate = control.gate();
    let found = match (wanted.id, wanted.subject) {
        (Some(id), None) => gate
            .approval_for_operator(&id)
            .await
            .map(|found| found.into_iter().collect()),
        (None, Some(subject)) => gate.approvals_of(&Which::By(subject)).await,
        (None, None) => gate.approvals_of(&Which::Pending).await,
        (Some(_), Some(_)) => {
            let detail = "one of `id` and `subject`, or neither";
            return Err(refused(StatusCode::BAD_REQUEST, "which", detail));
        }
    };
    let approvals = found.map_err(|_| store_is_down())?;
    Ok(Json(Approvals { approvals }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Overruling {
    id: String,
    #[serde(default)]
    reason: String,
}

async fn overrule(
    State(control): Shared,
    Extension(operator): Extension<Operator>,
    Path(word): Path<String>,
    Query(asked): Query<Overruling>,
) -> Result<Json<Overruled>, Refused> {
    let word = match word.as_str() {
        "approve" => Word::Approve,
        "deny" => Word::Deny,
        "revoke" => Word::Revoke,
        _ => {
            let detail = "`approve`, `deny` or `revoke`";
            return Err(refused(StatusCode::NOT_FOUND, "not-found", detail));
        }
    };
    let gate = control.gate();
    let changed = gate
        .overrule(&asked.id, word, &asked.reason, operator.uid)
        .await
        .map_err(|_| store_is_down())?;
    match changed {
        Changed::Done(_) => {}
        Changed::Refused(why) => {
            let detail = format!("nothing was changed: {why}");
            return Err(refused(StatusCode::CONFLICT, "refused", &detail));
        }
        Changed::Absent => return Err(no_such_approval()),
    }
    let found = gate.approval_for_operator(&asked.id).await;
    let approval = found
        .map_err(|_| store_is_down())?
        .ok_or_else(no_such_approval)?;
    Ok(Json(Overruled { approval }))
}

fn no_such_approval() -> Refused {
    let detail = "there is no approval of that id, or none any more";
    refused(StatusCode::NOT_FOUND, "no-such-approval", detail)
}

async fn reload(State(control): Shared, Extension(operator): Extension<Operator>) -> Response {
    tracing::info!(operator = operator.uid, "an operator asks for a reload");
    Json(control.reload().await).into_response()
}

async fn drained(State(control): Shared) -> Json<Drained> {
    Json(state_of(&*control))
}

async fn drain(State(control): Shared, Extension(operator): Extension<Operator>) -> Json<Drained> {
    tracing::info!(
        operator = operator.uid,
        "draining: /readyz is red from now on"
    );
    control.drain().begin(control.clock().now());
    Json(state_of(&*control))
}

async fn undrain(
    State(control): Shared,
    Extension(operator): Extension<Operator>,
) -> Json<Drained> {
    tracing::info!(operator = operator.uid, "taking traffic again");
    control.drain().end();
    Json(state_of(&*control))
}

fn state_of(control: &dyn Control) -> Drained {
    let metrics = control.metrics();
    Drained {
        since: control.drain().since().map(|since| since.as_unix()),
        connections: metrics.connections.get(),
        requests: metrics.in_flight.get(),
    }
}

/// An answer that says why not.
#[derive(Debug)]
struct Refused(StatusCode, Problem);

fn refused(status: StatusCode, code: &str, detail: &str) -> Refused {
    Refused(
        status,
        Problem {
            code: code.to_owned(),
            detail: detail.to_owned(),
        },
    )
}

fn store_is_down() -> Refused {
    let detail = "the session store is unavailable: try again, and look at `/readyz?verbose`";
    refused(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_or_a_configured_name_is_ours() {
        let local = Some("127.0.0.1:9901".parse().unwrap());
        let names = ["stepgate.internal:9901".to_owned()];
        for host in [
            "127.0.0.1:9901",
            "localhost:9901",
            "LOCALHOST:9901",
            "Stepgate.internal:9901",
        ] {
            assert!(is_ours(host, local, &names), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:80",
            "evil.example:9901",
            "127.0.0.1:9901.evil",
            "127.1:9901",
        ] {
            assert!(!is_ours(host, local, &names), "{host}");
        }
        let mapped = Some("[::ffff:192.0.2.1]:9901".parse().unwrap());
        assert!(is_ours("192.0.2.1:9901", mapped, &[]));
        assert!(!is_ours("localhost:9901", mapped, &[]));
        assert!(is_ours(
            "[2001:db8::1]:9901",
            Some("[2001:db8::1]:9901".parse().unwrap()),
            &[]
        ));
        assert!(!is_ours("127.0.0.1:9901", None, &[]));
    }

    #[test]
    fn a_format_is_named_to_be_had() {
        let with =
            |value: &'static str| HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]);
        // What Prometheus 2 and 3 send.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(accepts(&with(prometheus), "application/openmetrics-text"));
        assert!(!accepts(&with("*/*"), "application/json"));
        assert!(!accepts(&with("application/json;q=0"), "application/json"));
        assert!(!accepts(&HeaderMap::new(), "application/json"));
    }
}
