//! Asking Keycloak to have a user confirm something on a device (OpenID Connect CIBA Core 1.0), by polling; a ping says only
//! that a poll is worth it. The tokens that come of it are the word that it was confirmed, and nothing else.

use std::fmt;
use std::time::Duration;

use http::{Request, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::client_auth::Credentials;
use super::error::OidcError;
use super::tokens::{Answer, Exchange};
use super::transport::{ANSWER_LIMIT, Transport};
use super::watch::Endpoint;
use crate::model::session::Secret;

pub(super) const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// Section 7.3: where the provider does not say.
const INTERVAL: u64 = 5;

/// What of the provider's answer is believed: nobody polls more often, or hardly at all.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

/// What the user is asked.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// Who is asked.
    pub login_hint: &'a str,
    /// Shown on both sides; Keycloak takes up to 50 letters, digits and `-._+/!?#` (seen on 26.7.5).
    pub binding_message: &'a str,
    /// Where the provider pings: what shows that it is it.
    pub notification_token: Option<&'a Secret>,
    /// Handed on to the device as they are; Keycloak takes five of up to 200 characters.
    pub params: &'a [(String, String)],
}

/// The user is being asked.
#[derive(Clone)]
pub struct Confirming {
    pub id: Secret,
    pub expires_in: Duration,
    pub interval: Duration,
}

impl fmt::Debug for Confirming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirming")
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// What a poll has brought.
#[derive(Clone, Debug)]
pub enum Polled {
    Confirmed(Box<Exchange>),
    Pending,
    /// From now on less often.
    SlowDown,
    Denied,
    Expired,
}

/// The provider's endpoints with our proof of being the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct CibaEndpoint<'a> {
    pub(super) transport: &'a Transport,
    pub(super) credentials: &'a Credentials,
    pub(super) client_id: &'a str,
    pub(super) url: &'a Url,
}

#[derive(Deserialize)]
struct Acknowledgement {
    auth_req_id: Secret,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Secret,
    access_token: Secret,
    refresh_token: Option<Secret>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl CibaEndpoint<'_> {
    pub(super) async fn begin(&self, wanted: Confirmation<'_>) -> Result<Confirming, OidcError> {
        let body = self.post(self.asked(wanted)).await?;
        let known: Acknowledgement =
            serde_json::from_slice(&body).map_err(|_| OidcError::garbage("ciba"))?;
        if known.auth_req_id.reveal().is_empty() || known.expires_in == 0 {
            return Err(OidcError::garbage("ciba"));
        }
        let interval = known.interval.unwrap_or(INTERVAL);
        Ok(Confirming {
            id: known.auth_req_id,
            expires_in: Duration::from_secs(known.expires_in),
            interval: Duration::from_secs(interval.clamp(*INTERVALS.start(), *INTERVALS.end())),
        })
    }

    fn asked(&self, wanted: Confirmation<'_>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in wanted.params {
            form.append_pair(name, value);
        }
        form.append_pair("scope", "openid")
            .append_pair("client_id", self.client_id)
            .append_pair("login_hint", wanted.login_hint)
            .append_pair("binding_message", wanted.binding_message);
        if let Some(token) = wanted.notification_token {
            form.append_pair("client_notification_token", token.reveal());
        }
        form.finish()
    }

    /// Tokens as they came; or, as an error, what there is instead.
    pub(super) async fn poll(&self, id: &Secret) -> Result<Answer, OidcError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("auth_req_id", id.reveal())
            .append_pair("client_id", self.client_id)
            .finish();
        let body = self.post(form).await?;
        let tokens: Tokens =
            serde_json::from_slice(&body).map_err(|_| OidcError::garbage("token answer"))?;
        Ok(Answer {
            id_token: tokens.id_token,
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            expires_in: tokens.expires_in.map(Duration::from_secs),
        })
    }

    async fn post(&self, form: String) -> Result<Vec<u8>, OidcError> {
        let mut request = Request::post(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.into_bytes())
            .map_err(|_| OidcError::Misconfigured("an endpoint that is no URI"))?;
        self.credentials.sign(&mut request)?;
        let answer = self
            .transport
            .call(Endpoint::Ciba, request, ANSWER_LIMIT)
            .await?;
        if answer.status() == StatusCode::OK {
            return Ok(answer.into_body());
        }
        match serde_json::from_slice::<Refusal>(answer.body()) {
            Ok(refusal) => Err(OidcError::refused(&refusal.error)),
            Err(_) => Err(OidcError::garbage("ciba")),
        }
    }
}

/// Section 11: what is no failure.
pub(super) fn meant(refused: OidcError) -> Result<Polled, OidcError> {
    let OidcError::Refused { code } = &refused else {
        return Err(refused);
    };
    match code.as_str() {
        "authorization_pending" => Ok(Polled::Pending),
        "slow_down" => Ok(Polled::SlowDown),
        "access_denied" => Ok(Polled::Denied),
        "expired_token" => Ok(Polled::Expired),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{HandClock, Idp, NOW, TestKey, access_claims, id_claims};
    use super::super::{Provider, TokenFlaw};
    use super::*;

    struct Setting {
        idp: Idp,
        key: TestKey,
        provider: Provider,
    }

    impl Setting {
        async fn new() -> Self {
            let (idp, key) = (Idp::start().await, TestKey::ec());
            idp.keys(&[key.jwk("k1")]);
            idp.discovery(|document| {
                let issuer = document["issuer"].as_str().unwrap().to_owned();
                document["backchannel_authentication_endpoint"] = json!(format!("{issuer}/ciba"));
            });
            let provider = idp.provider(&HandClock::new());
            Self { idp, key, provider }
        }

        async fn begin(&self) -> Result<Confirming, OidcError> {
            let params = [("summary".to_owned(), "Pay 7 & more".to_owned())];
            let wanted = Confirmation {
                login_hint: "alice",
                binding_message: "4F7K-22MX",
                notification_token: None,
                params: &params,
            };
            self.provider.begin_confirmation(wanted).await
        }

        async fn poll(&self) -> Result<Polled, OidcError> {
            self.provider.poll_confirmation(&Secret::new("r-1")).await
        }

        fn sign(&self, claims: &Value) -> String {
            self.key
                .sign(json!({ "kid": "k1", "typ": "JWT" }), &claims.to_string())
        }
    }

    #[tokio::test]
    async fn a_request_says_who_is_asked_and_what() {
        let setting = Setting::new().await;
        let answer = json!({ "auth_req_id": "r-1", "expires_in": 120, "interval": 2 });
        setting.idp.says("ciba", 200, &answer);
        let begun = setting.begin().await.unwrap();
        assert_eq!(begun.id.reveal(), "r-1");
        assert_eq!(begun.interval, Duration::from_secs(2));
        let asked = setting.idp.asked("ciba").remove(0);
        for (name, value) in [
            ("scope", "openid"),
            ("client_id", "stepgate"),
            ("login_hint", "alice"),
            ("binding_message", "4F7K-22MX"),
            ("summary", "Pay 7 & more"),
        ] {
            assert_eq!(asked.form[name], value);
        }
        assert!(!asked.form.contains_key("client_notification_token"));
        for (answer, interval) in [
            (json!({ "auth_req_id": "r", "expires_in": 9 }), 5),
            (
                json!({ "auth_req_id": "r", "expires_in": 9, "interval": 0 }),
                1,
            ),
            (
                json!({ "auth_req_id": "r", "expires_in": 9, "interval": 9999 }),
                60,
            ),
        ] {
            setting.idp.says("ciba", 200, &answer);
            let interval = Duration::from_secs(interval);
            assert_eq!(setting.begin().await.unwrap().interval, interval);
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_where_the_answer_does_not_say_so() {
        let setting = Setting::new().await;
        for (status, answer) in [
            (200, json!({})),
            (200, json!({ "auth_req_id": "", "expires_in": 120 })),
            (200, json!({ "auth_req_id": "r", "expires_in": 0 })),
            (200, json!([])),
            (503, json!({ "error": "server_error" })),
            (302, json!({})),
        ] {
            setting.idp.says("ciba", status, &answer);
            assert!(
                matches!(setting.begin().await, Err(OidcError::Unavailable(_))),
                "{answer}"
            );
        }
        setting
            .idp
            .says("ciba", 400, &json!({ "error": "invalid_request" }));
        let code = "invalid_request".to_owned();
        assert_eq!(
            setting.begin().await.unwrap_err(),
            OidcError::Refused { code }
        );
    }

    #[tokio::test]
    async fn a_poll_brings_tokens_that_are_verified_or_a_word() {
        let setting = Setting::new().await;
        for code in [
            "authorization_pending",
            "slow_down",
            "access_denied",
            "expired_token",
        ] {
            setting.idp.says("token", 400, &json!({ "error": code }));
            let polled = format!("{:?}", setting.poll().await.unwrap());
            let wanted = match code {
                "authorization_pending" => "Pending",
                "slow_down" => "SlowDown",
                "access_denied" => "Denied",
                _ => "Expired",
            };
            assert_eq!(polled, wanted);
        }
        setting
            .idp
            .says("token", 400, &json!({ "error": "invalid_grant" }));
        assert!(matches!(
            setting.poll().await,
            Err(OidcError::Refused { .. })
        ));
        setting.idp.says("token", 500, &json!({}));
        assert!(matches!(
            setting.poll().await,
            Err(OidcError::Unavailable(_))
        ));

        let issuer = &setting.idp.issuer;
        let tokens = |id: Value| {
            json!({ "token_type": "Bearer", "expires_in": 300, "id_token": setting.sign(&id),
                "access_token": setting.sign(&access_claims(issuer)) })
        };
        setting.idp.says("token", 200, &tokens(id_claims(issuer)));
        let Ok(Polled::Confirmed(exchange)) = setting.poll().await else {
            panic!("it is one");
        };
        assert_eq!(exchange.id.text("sub"), Some("u-1"));
        let form = setting.idp.asked("token").pop().unwrap().form;
        assert_eq!(
            (form["grant_type"].as_str(), form["auth_req_id"].as_str()),
            (GRANT, "r-1")
        );
        for (name, value, flaw) in [
            ("aud", json!("teller"), TokenFlaw::Audience),
            ("azp", json!("teller"), TokenFlaw::AuthorizedParty),
            ("iss", json!("https://evil.example"), TokenFlaw::Issuer),
            ("exp", json!(NOW - 61), TokenFlaw::Expiry),
        ] {
            let mut claims = id_claims(issuer);
            claims[name] = value;
            setting.idp.says("token", 200, &tokens(claims));
            let polled = setting.poll().await.unwrap_err();
            assert_eq!(polled, OidcError::InvalidToken(flaw), "{name}");
        }
    }
}
