//! `POST /.stepgate/ciba` on the approver app's host: Keycloak hands on what another client asks. It waits for the answer
//! while the client waits for it, so it is told at once that somebody is asked (201), or that nobody is.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asking, Taken};
use crate::config::CibaChannel;
use crate::gate::bearer::bearer_alone;
use crate::gate::strangers::Refused;
use crate::gate::{Gate, Incoming, Record, Reply};
use crate::model::approval::Person;
use crate::model::session::Secret;
use crate::oidc::{ChannelToken, OidcError};
use crate::store::{Mark, Unavailable};
use crate::telemetry::metrics::SignInOutcome;
use crate::telemetry::{AuditEvent, AuditKind};

const POST: &[Method] = &[Method::POST];

/// Keycloak takes 50 characters for a message (seen on 26.7.5); nothing longer is shown.
const LONGEST_MESSAGE: usize = 100;

/// Of scopes, and of each one's name.
const MOST_SCOPES: usize = 20;
const LONGEST_SCOPE: usize = 100;

/// What else a client says: as much as Keycloak hands on.
const MOST_DETAILS: usize = 5;
const LONGEST_NAME: usize = 50;
const LONGEST_DETAIL: usize = 200;

/// Of Keycloak's own; what is not shown.
const NO_DETAILS: [&str; 3] = ["login_hint", "is_consent_required", "acr_values"];

/// Whatever the realm says: nobody remembers longer what they have begun.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Of clients, as metrics know those that are not listed: whatever calls itself something makes no series.
const OTHER: &str = "other";

/// What whoever has an old token alone can cause.
const REPLAYED: &str = "replayed";

/// A mark outlives the token that it is of, in whichever clock.
const BEYOND: Duration = Duration::from_secs(300);

/// What is believed of the body: what is shown. Who is asked, and who asks, says the token alone.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    binding_message: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    /// Parameters that the client made up, as it sent them.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Gate {
    pub(in crate::gate) async fn ciba_channel(self: &Arc<Self>, incoming: &Incoming<'_>) -> Reply {
        let Some(rules) = &self.parts.config.ciba else {
            return self.unknown_endpoint(incoming);
        };
        if !POST.contains(incoming.method) {
            return self.wrong_method(POST, incoming);
        }
        let Some(raw) = bearer_alone(incoming.headers) else {
            return refused(StatusCode::UNAUTHORIZED, "no-token");
        };
        let token = match self.parts.provider.channel_token(raw).await {
            Ok(token) => token,
            Err(OidcError::Unavailable(outage)) => {
                tracing::warn!(%outage, "a request by CIBA could not be checked");
                return refused(StatusCode::SERVICE_UNAVAILABLE, "cannot-be-checked");
            }
            Err(error) => {
                let metrics = &self.parts.metrics;
                metrics.sign_in(OTHER, SignInOutcome::Refused);
                if self.alarm_by_anybody(incoming, "ciba-token-refused") {
                    tracing::warn!(%error, "a request by CIBA was refused");
                }
                return refused(StatusCode::UNAUTHORIZED, "token");
            }
        };
        let Some(name) = rules.clients.get(&token.client) else {
            self.not_asked(incoming, &token, "client", OTHER);
            return refused(StatusCode::FORBIDDEN, "client");
        };
        let Some(body) = read(incoming) else {
            self.not_asked(incoming, &token, "body", &token.client);
            return refused(StatusCode::BAD_REQUEST, "body");
        };
        let now = self.parts.clock.now();
        let expires = token.expires.min(now.plus(LONGEST));
        if expires <= now {
            return refused(StatusCode::UNAUTHORIZED, "expired");
        }
        let asking = Asking {
            person: Person {
                iss: self.parts.config.keycloak.issuer.clone(),
                sub: token.sub.clone(),
            },
            client: token.client.clone(),
            client_name: name.clone(),
            message: body.binding_message,
            scope: scopes(body.scope.as_deref()),
            details: details(&body.more),
            token: Secret::new(raw),
            expires,
        };
        match self.take_sign_in(rules, &token, asking).await {
            Ok(Ok(taken)) => self.taken_sign_in(incoming, &token, taken),
            Ok(Err(code)) => {
                self.not_asked(incoming, &token, code, &token.client);
                let status = match code {
                    REPLAYED => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::TOO_MANY_REQUESTS,
                };
                refused(status, code)
            }
            Err(Unavailable) => refused(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
        }
    }

    /// Each token once, and no more of a client or a user than they can bear.
    async fn take_sign_in(
        &self,
        rules: &CibaChannel,
        token: &ChannelToken,
        asking: Asking,
    ) -> Result<Result<Taken, &'static str>, Unavailable> {
        let now = self.parts.clock.now();
        let mark = Mark::channel_token(&self.parts.config.keycloak.issuer, &token.id);
        let until = token.expires.max(now).plus(BEYOND);
        if !self.parts.store.once(&mark, until, now).await? {
            return Ok(Err(REPLAYED));
        }
        if !self
            .sign_ins
            .client_may(&token.client, rules.per_client, now)
        {
            return Ok(Err("too-many-of-the-client"));
        }
        self.sign_ins.ask(asking, rules.per_user, now).await.map(Ok)
    }

    fn taken_sign_in(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        token: &ChannelToken,
        taken: Taken,
    ) -> Reply {
        let sign_in = match taken {
            Taken::Asked(sign_in) => sign_in,
            Taken::Refused(why) => {
                self.not_asked(incoming, token, why.name(), &token.client);
                return refused(StatusCode::TOO_MANY_REQUESTS, why.name());
            }
            Taken::Full => return refused(StatusCode::SERVICE_UNAVAILABLE, "full"),
        };
        let reason = "asked";
        self.note_sign_in(AuditKind::CibaAsked, &sign_in, reason, SignInOutcome::Asked);
        self.approvals.touched();
        self.tell_sign_in(&sign_in);
        self.lapse_later(&sign_in);
        Reply::new(StatusCode::CREATED, "", Record::of("own")).reason("ciba-asked")
    }

    /// `series`: the client as metrics know it.
    fn not_asked(
        &self,
        incoming: &Incoming<'_>,
        token: &ChannelToken,
        reason: &'static str,
        series: &str,
    ) {
        self.parts.metrics.sign_in(series, SignInOutcome::Refused);
        let (address, now) = (incoming.client.to_string(), self.parts.clock.now());
        let event = AuditKind::CibaRefused;
        let mut left_out = 0;
        if reason == REPLAYED {
            let refused = Refused {
                event,
                reason,
                channel: None,
            };
            match self.strangers.hear(&refused, incoming.client, now) {
                Some(others) => left_out = others,
                None => return,
            }
        }
        let event = AuditEvent {
            reason: Some(reason),
            sub: Some(&token.sub),
            azp: Some(&token.client),
            request: Some(incoming.request_id),
            client: Some(&address),
            left_out,
            ..AuditEvent::new(event)
        };
        self.parts.audit.record(&event, now);
    }
}

/// `None`: it is not what Keycloak sends.
fn read(incoming: &Incoming<'_>) -> Option<Body> {
    // A list would be read as a table, member by member.
    let is_table = incoming.body.trim_ascii_start().starts_with(b"{");
    if !is_json(incoming.headers) || !is_table {
        return None;
    }
    let mut body: Body = serde_json::from_slice(incoming.body).ok()?;
    body.binding_message = body
        .binding_message
        .map(|text| shown(&text, LONGEST_MESSAGE))
        .filter(|text| !text.is_empty());
    Some(body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// What is to be shown of a text that others wrote: no control characters, none that turn the direction of reading.
fn shown(text: &str, longest: usize) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut letters = text.chars();
    let mut shown: String = letters
        .by_ref()
        .take(longest)
        .map(|c| match turns(c) || c.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        })
        .collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Of OpenID Connect itself nobody reads anything.
fn scopes(scope: Option<&str>) -> Vec<String> {
    scope
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter(|name| *name != "openid")
        .take(MOST_SCOPES)
        .map(|name| shown(name, LONGEST_SCOPE))
        .collect()
}

/// Texts with their names, and nothing else.
fn details(more: &Map<String, Value>) -> Vec<(String, String)> {
    let more = more
        .iter()
        .filter(|(name, _)| !NO_DETAILS.contains(&name.as_str()));
    more.filter_map(|(name, value)| Some((name, value.as_str()?)))
        .map(|(name, value)| (shown(name, LONGEST_NAME), shown(value, LONGEST_DETAIL)))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .take(MOST_DETAILS)
        .collect()
}

/// What Keycloak's log is to say; to the client it says no more than that nobody could be asked.
fn refused(status: StatusCode, code: &'static str) -> Reply {
    let mut reply =
        Reply::json(status, &json!({ "code": code }), Record::of("own")).reason("ciba-refused");
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Bearer");
        reply.headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_capped_and_stays_on_its_line() {
        assert_eq!(shown("PAY-4821", 100), "PAY-4821");
        assert_eq!(shown("a\u{202e}b\r\nc", 100), "a\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(shown(&"ü".repeat(101), 100), "ü".repeat(100) + "…");
        assert_eq!(
            scopes(Some("openid profile  e\u{202e}mail")),
            ["profile", "e\u{fffd}mail"]
        );
        assert_eq!(scopes(Some(&"a ".repeat(30))).len(), MOST_SCOPES);
        let details = |more: Value| details(more.as_object().unwrap_or(&Map::new()));
        let kept = [
            ("branch".to_owned(), "north\u{fffd}".to_owned()),
            ("summary".to_owned(), "Pay 7".to_owned()),
        ];
        let more = json!({
            "": "unnamed", "acr_values": "mfa", "branch": "north\n", "empty": "", "is_consent_required": false,
            "login_hint": "alice", "many": ["a"], "number": 7, "summary": "Pay 7",
        });
        assert_eq!(details(more), kept);
        let many: Map<String, Value> = (0..9).map(|at| (at.to_string(), json!("x"))).collect();
        assert_eq!(details(many.into()).len(), MOST_DETAILS);
        let long = json!({ "n".repeat(51): "ü".repeat(201) });
        let cut = ("n".repeat(50) + "…", "ü".repeat(200) + "…");
        assert_eq!(details(long), [cut]);
        assert!(scopes(None).is_empty());
    }
}
