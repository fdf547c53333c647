//! The ends of a session that somebody asks for: the user here (OpenID Connect RP-Initiated Logout 1.0), or Keycloak
//! (Back-Channel Logout 1.0). Both end it at once, on every origin of the same SSO session.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::audit::Circumstances;
use super::pages::Page;
use super::sessions::{Held, display_name};
use super::{Gate, Incoming, Record, Reply, Site, cookies, flows, park};
use crate::model::time::Timestamp;
use crate::oidc::OidcError;
use crate::policy::facts::Known;
use crate::seal::token;
use crate::store::{Mark, Owner, Unavailable};
use crate::telemetry::metrics::SessionEnd;
use crate::telemetry::{AuditEvent, AuditKind};

const HERE: &str = "/.stepgate/logout";

impl Gate {
    /// A GET asks first: a link or an image somewhere must not sign anybody out. Keycloak leads back to here, too.
    pub(in crate::gate) async fn ask_logout(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        let now = self.parts.clock.now();
        match self.session(incoming, site.origin, now).await {
            Known::Found(held) => {
                let page = Page::ConfirmLogout {
                    user: display_name(&held.live.session.identity),
                    action: HERE,
                    back: "/",
                };
                self.page(StatusCode::OK, &page, incoming, Record::of("own"))
            }
            Known::Absent => self.signed_out(incoming, site, true),
            Known::Unavailable => {
                self.unavailable(incoming, Some(HERE), Record::of("own"), "store-unavailable")
            }
        }
    }

    pub(in crate::gate) async fn logout(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        if !is_same_origin(incoming.headers, &site.origin.text) {
            let text = "Only a page of this host may sign you out.";
            let page = Page::Refused {
                status: 403,
                code: "cross-site",
                text,
                back: Some(HERE),
            };
            return self.page_or_problem(
                incoming.headers,
                StatusCode::FORBIDDEN,
                &page,
                "cross-site",
                text,
                incoming,
                Record::of("own"),
            );
        }
        let now = self.parts.clock.now();
        let held = match self.session(incoming, site.origin, now).await {
            Known::Found(held) => held,
            Known::Absent => return self.signed_out(incoming, site, true),
            Known::Unavailable => {
                return self.unavailable(
                    incoming,
                    Some(HERE),
                    Record::of("own"),
                    "store-unavailable",
                );
            }
        };
        if let Err(Unavailable) = self.end_sso_session(&held, now).await {
            return self.unavailable(incoming, Some(HERE), Record::of("own"), "store-unavailable");
        }
        self.parts.metrics.session_ends.inc(SessionEnd::Logout);
        self.audit(
            AuditKind::Logout,
            incoming,
            Circumstances {
                reason: Some("user"),
                ..Circumstances::of(&held)
            },
        );
        let back = format!("{}{HERE}", site.origin.text);
        let state = token(&*self.parts.random, 16);
        let hint = &held.live.session.tokens.id;
        let mut reply = match self.parts.provider.end_session_url(hint, &back, &state) {
            Some(url) => Reply::redirect(url.as_str(), Record::of("own")),
            None => self.signed_out(incoming, site, false),
        };
        self.forget(incoming, site, &mut reply);
        reply
    }

    /// This session, and all of its `sid` on other origins.
    async fn end_sso_session(&self, held: &Held, now: Timestamp) -> Result<(), Unavailable> {
        let session = &held.live.session;
        let identity = &session.identity;
        if let Some(sid) = &identity.sid {
            let owner = Owner::sid(&identity.iss, &session.client, sid);
            self.end_all(owner, now).await?;
        }
        self.end(held, now).await
    }

    fn signed_out(&self, incoming: &Incoming<'_>, site: Site<'_>, provider_too: bool) -> Reply {
        let page = Page::SignedOut {
            login: "/",
            provider_too,
        };
        let mut reply = self.page(StatusCode::OK, &page, incoming, Record::of("own"));
        self.forget(incoming, site, &mut reply);
        reply
    }

    /// Takes everything of ours out of the browser, and the app's own session with it.
    fn forget(&self, incoming: &Incoming<'_>, site: Site<'_>, reply: &mut Reply) {
        reply.set_cookie(cookies::cleared(&site.origin.cookie));
        reply.set_cookie(park::browser_cleared(site.origin));
        for cookie in flows::all_cleared(incoming.headers, site.origin) {
            reply.set_cookie(Some(cookie));
        }
        for name in &site.app.app_cookies {
            reply.set_cookie(cookies::app_cookie_cleared(name));
        }
    }

    /// Answers as section 2.8 of Back-Channel Logout 1.0 has it: 200 when the sessions are gone, 400 for a token that is
    /// none; and 503 while that cannot be told or done, so that Keycloak's log shows it.
    pub(in crate::gate) async fn backchannel_logout(&self, incoming: &Incoming<'_>) -> Reply {
        let mut tokens =
            form_urlencoded::parse(incoming.body).filter(|(name, _)| name == "logout_token");
        let (Some((_, raw)), None) = (tokens.next(), tokens.next()) else {
            return backchannel_error(StatusCode::BAD_REQUEST, "one logout_token is needed");
        };
        let verified = match self.parts.provider.logout_token(&raw).await {
            Ok(verified) => verified,
            Err(OidcError::Unavailable(outage)) => {
                tracing::warn!(%outage, "a logout token could not be checked");
                return backchannel_error(StatusCode::SERVICE_UNAVAILABLE, "cannot be checked now");
            }
            Err(error) => {
                if self.alarm_by_anybody(incoming, "logout-token-refused") {
                    tracing::warn!(%error, "a logout token was refused");
                }
                return backchannel_error(StatusCode::BAD_REQUEST, "not a valid logout token");
            }
        };
        let now = self.parts.clock.now();
        let keycloak = &self.parts.config.keycloak;
        let (iss, client) = (&keycloak.issuer, &keycloak.client_id);
        // A token that comes twice would end sessions that began after it.
        let mark = Mark::logout_token(iss, &verified.jti);
        let kept_until = verified.expires.max(now).plus(super::sessions::MARK_LIFE);
        match self.parts.store.marked(&mark, now).await {
            Ok(None) => {}
            Ok(Some(_)) => return backchannel_done(),
            Err(Unavailable) => {
                return backchannel_error(StatusCode::SERVICE_UNAVAILABLE, "cannot be done now");
            }
        }
        // With both, `sid` is what ended; the user's other SSO sessions go on.
        let owner = match (&verified.sid, &verified.sub) {
            (Some(sid), _) => Owner::sid(iss, client, sid),
            (None, Some(sub)) => Owner::sub(iss, client, sub),
            (None, None) => {
                return backchannel_error(StatusCode::BAD_REQUEST, "neither sid nor sub");
            }
        };
        let Ok(ended) = self.end_all(owner, now).await else {
            return backchannel_error(StatusCode::SERVICE_UNAVAILABLE, "cannot be done now");
        };
        // Last: what was not done must be tried again.
        if self
            .parts
            .store
            .mark(&mark, now, kept_until, now)
            .await
            .is_err()
        {
            tracing::warn!("the store is unavailable: a logout token may come twice");
        }
        let ends = &self.parts.metrics.session_ends;
        ends.add(SessionEnd::BackChannel, ended as u64);
        if ended == 0 {
            // Keycloak says it of a session that somebody ended here, too; that is in the log already.
            return backchannel_done();
        }
        tracing::info!(ended, "keycloak ended sessions");
        let client = incoming.client.to_string();
        let event = AuditEvent {
            reason: Some("back-channel"),
            sub: verified.sub.as_deref(),
            sid: verified.sid.as_deref(),
            request: Some(incoming.request_id),
            client: Some(&client),
            ..AuditEvent::new(AuditKind::Logout)
        };
        self.parts.audit.record(&event, now);
        backchannel_done()
    }
}

/// Browsers send `Origin` with every POST, and no page can forge it; but it is `null` where the page's referrer policy
/// is `no-referrer`, and then Fetch Metadata says what it does not.
pub(in crate::gate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get(header::ORIGIN) {
        Some(given) if given != "null" => given == origin,
        _ => headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "same-origin"),
    }
}

fn backchannel_done() -> Reply {
    Reply::new(StatusCode::OK, "", Record::of("own")).reason("back-channel")
}

fn backchannel_error(status: StatusCode, description: &'static str) -> Reply {
    #[derive(Serialize)]
    struct Error {
        error: &'static str,
        error_description: &'static str,
    }
    let body = Error {
        error: "invalid_request",
        error_description: description,
    };
    let mut reply = Reply::json(status, &body, Record::of("own")).reason("back-channel-refused");
    reply.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_origin_may_post() {
        let rows: [(&[(&str, &str)], bool); 8] = [
            (&[("origin", "https://erp.example.com")], true),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "http://erp.example.com")], false),
            // A page under `Referrer-Policy: no-referrer`, and a sandboxed frame.
            (
                &[("origin", "null"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (
                &[("origin", "null"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[], false),
        ];
        for (headers, expected) in rows {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, HeaderValue::from_static(value))
                })
                .collect();
            assert_eq!(
                is_same_origin(&map, "https://erp.example.com"),
                expected,
                "{headers:?}"
            );
        }
    }
}
