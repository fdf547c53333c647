//! stepgate as Keycloak's HTTP authentication channel: what shows that Keycloak asks, and how it is answered.
//!
//! Its token is no user's and no client's. Whoever has it decides the request that it belongs to, so it goes nowhere but
//! back.

use http::{Request, StatusCode, header};
use serde_json::json;
use url::Url;

use super::error::{OidcError, Outage, TokenFlaw};
use super::transport::{ANSWER_LIMIT, Transport};
use super::verifier::{
    CLOCK_TOLERANCE, Signed, Verifier, audiences, instant, is_alive, optional_text, subject,
};
use super::watch::Endpoint;
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// Claims of tokens that belong to somebody's session: an access token with the realm for its audience is none of these.
const OF_A_SESSION: [&str; 5] = ["sid", "scope", "acr", "auth_time", "nonce"];

/// Who is to confirm, and which client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelToken {
    /// Used once.
    pub id: String,
    pub sub: String,
    pub client: String,
    /// Provider's clock.
    pub expires: Timestamp,
}

/// As Keycloak spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelAnswer {
    Succeed,
    /// It is not the user who asks.
    Unauthorized,
    /// The user does not want it.
    Cancelled,
}

/// Why Keycloak has not taken an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Another try may help.
    #[error("{0}")]
    Outage(OidcError),
    /// It knows no such request, or none that is still to be answered.
    #[error("keycloak knows of no such request, or no longer")]
    Unknown,
    /// Also where the client that asked could not be told: then the answer may have been taken.
    #[error("keycloak answered {0}")]
    Status(u16),
}

impl ChannelAnswer {
    const fn name(self) -> &'static str {
        match self {
            Self::Succeed => "SUCCEED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl Verifier {
    /// `aud` is the issuer and nobody else; a token for us, for an app or for a user's session is not this (RFC 8725 3.12).
    pub(super) fn channel_token(
        &self,
        token: &Signed,
        now: Timestamp,
    ) -> Result<ChannelToken, TokenFlaw> {
        let claims = &token.claims;
        self.is_ours(claims)?;
        let header = matches!(token.media_type().as_deref(), None | Some("jwt" | "at+jwt"));
        let foreign = OF_A_SESSION.iter().any(|name| claims.0.contains_key(*name));
        if !header || claims.text("typ") != Some("Bearer") || foreign {
            return Err(TokenFlaw::Type);
        }
        let issuer = claims.text("iss").ok_or(TokenFlaw::Issuer)?;
        if audiences(claims)? != [issuer] {
            return Err(TokenFlaw::Audience);
        }
        if instant(claims, "iat", TokenFlaw::IssuedAt)? > now.plus(CLOCK_TOLERANCE) {
            return Err(TokenFlaw::IssuedAt);
        }
        Ok(ChannelToken {
            id: optional_text(claims, "jti", TokenFlaw::TokenId)?.ok_or(TokenFlaw::TokenId)?,
            sub: subject(claims)?.to_owned(),
            client: optional_text(claims, "azp", TokenFlaw::AuthorizedParty)?
                .ok_or(TokenFlaw::AuthorizedParty)?,
            expires: is_alive(claims, now)?,
        })
    }
}

/// `authentication`: the endpoint by which clients ask; what is answered goes beside it.
pub(super) async fn answer(
    transport: &Transport,
    authentication: &Url,
    token: &Secret,
    answer: ChannelAnswer,
) -> Result<(), Undelivered> {
    let url = format!("{}/callback", authentication.as_str().trim_end_matches('/'));
    const UNUSABLE: Undelivered = Undelivered::Outage(OidcError::Misconfigured(
        "the endpoint for CIBA is no URI, or its token no header",
    ));
    let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", token.reveal()))
        .map_err(|_| UNUSABLE)?;
    bearer.set_sensitive(true);
    let body = json!({ "status": answer.name() }).to_string().into_bytes();
    let request = Request::post(url)
        .header(header::AUTHORIZATION, bearer)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|_| UNUSABLE)?;
    let answered = transport.call(Endpoint::Ciba, request, ANSWER_LIMIT).await;
    match answered.map(|answer| answer.status()) {
        Ok(StatusCode::OK | StatusCode::NO_CONTENT) => Ok(()),
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(Undelivered::Unknown),
        Ok(status) => Err(Undelivered::Status(status.as_u16())),
        Err(outage) => Err(outage.into()),
    }
}

impl From<Outage> for Undelivered {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage.into())
    }
}

impl From<OidcError> for Undelivered {
    fn from(error: OidcError) -> Self {
        Self::Outage(error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{
        HandClock, Idp, NOW, TestKey, access_claims, id_claims, logout_claims,
    };
    use super::super::{OidcError, Provider};
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

        /// As Keycloak 26.7.5 makes it (seen).
        fn claims(&self) -> Value {
            let issuer = &self.idp.issuer;
            json!({ "iss": issuer, "aud": issuer, "sub": "u-1", "azp": "teller", "typ": "Bearer", "jti": "j-1",
                "iat": NOW, "exp": NOW + 120 })
        }

        fn sign(&self, claims: &Value) -> String {
            let header = json!({ "kid": "k1", "typ": "JWT" });
            self.key.sign(header, &claims.to_string())
        }

        async fn judged(&self, claims: &Value) -> Result<ChannelToken, OidcError> {
            self.provider.channel_token(&self.sign(claims)).await
        }
    }

    #[tokio::test]
    async fn a_token_says_who_is_asked_and_by_whom() {
        let setting = Setting::new().await;
        assert_eq!(
            setting.judged(&setting.claims()).await,
            Ok(ChannelToken {
                id: "j-1".to_owned(),
                sub: "u-1".to_owned(),
                client: "teller".to_owned(),
                expires: Timestamp::from_unix(NOW + 120),
            })
        );
    }

    #[tokio::test]
    async fn whatever_else_the_realm_signs_is_refused() {
        let setting = Setting::new().await;
        let issuer = setting.idp.issuer.clone();
        let with = |name: &str, value: Value| {
            let mut claims = setting.claims();
            claims[name] = value;
            claims
        };
        let rows = [
            (
                with("iss", json!("https://evil.example")),
                TokenFlaw::Issuer,
            ),
            (with("aud", json!("stepgate")), TokenFlaw::Audience),
            (
                with("aud", json!([issuer, "stepgate"])),
                TokenFlaw::Audience,
            ),
            (with("aud", json!([])), TokenFlaw::Audience),
            (with("aud", Value::Null), TokenFlaw::Audience),
            (with("typ", json!("ID")), TokenFlaw::Type),
            (with("typ", Value::Null), TokenFlaw::Type),
            (with("sid", json!("s-1")), TokenFlaw::Type),
            (with("scope", json!("openid")), TokenFlaw::Type),
            (with("azp", Value::Null), TokenFlaw::AuthorizedParty),
            (with("azp", json!("")), TokenFlaw::AuthorizedParty),
            (with("sub", json!("")), TokenFlaw::Subject),
            (with("jti", json!(7)), TokenFlaw::TokenId),
            (with("exp", json!(NOW - 61)), TokenFlaw::Expiry),
            (with("exp", json!("soon")), TokenFlaw::Expiry),
            (with("iat", json!(NOW + 61)), TokenFlaw::IssuedAt),
            (with("iat", Value::Null), TokenFlaw::IssuedAt),
            (id_claims(&issuer), TokenFlaw::Type),
            (access_claims(&issuer), TokenFlaw::Type),
            (logout_claims(&issuer), TokenFlaw::Type),
        ];
        for (claims, flaw) in rows {
            assert_eq!(
                setting.judged(&claims).await,
                Err(OidcError::InvalidToken(flaw)),
                "{claims}"
            );
        }
        let forged = TestKey::ec().sign(json!({ "kid": "k1" }), &setting.claims().to_string());
        assert_eq!(
            setting.provider.channel_token(&forged).await,
            Err(OidcError::InvalidToken(TokenFlaw::Signature))
        );
    }

    #[tokio::test]
    async fn an_answer_goes_back_with_the_token_that_came() {
        let setting = Setting::new().await;
        let token = Secret::new("the.token.itself");
        for (status, expected) in [
            (200, Ok(())),
            (403, Err(Undelivered::Unknown)),
            (401, Err(Undelivered::Unknown)),
            (400, Err(Undelivered::Status(400))),
            (302, Err(Undelivered::Status(302))),
            (503, Err(Outage::Status(503).into())),
        ] {
            setting.idp.says("ciba/callback", status, &json!({}));
            let answered = setting
                .provider
                .channel_answer(&token, ChannelAnswer::Cancelled);
            assert_eq!(answered.await, expected, "{status}");
        }
        let asked = setting.idp.asked("ciba/callback");
        let head = asked[0].head.to_ascii_lowercase();
        assert!(
            head.contains("authorization: bearer the.token.itself"),
            "{head}"
        );
        let form: Vec<_> = asked[0].form.keys().collect();
        assert_eq!(form, [r#"{"status":"CANCELLED"}"#]);
    }

    #[tokio::test]
    async fn a_realm_that_offers_none_is_no_outage_that_passes() {
        let setting = Setting::new().await;
        setting.idp.discovery(|_| ());
        let token = Secret::new("t");
        let answered = setting
            .provider
            .channel_answer(&token, ChannelAnswer::Succeed);
        assert!(matches!(
            answered.await,
            Err(Undelivered::Outage(OidcError::Misconfigured(_)))
        ));
    }
}
