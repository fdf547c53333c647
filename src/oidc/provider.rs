//! One realm: everything that the flows ask of it. Starts without I/O, recovers by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::authorization::{self, Authorization, Started};
use super::bearer::{BearerRules, BearerToken, KEYS_GOOD_FOR, Signer};
use super::channel::{self, ChannelAnswer, ChannelToken, Undelivered};
use super::ciba::{self, CibaEndpoint, Confirmation, Confirming, Polled};
use super::client_auth::Credentials;
use super::error::{OidcError, Outage, RefreshError, TokenFlaw};
use super::introspection::{IntrospectionEndpoint, merged};
use super::kept::{Kept, Seen};
use super::keys::KeySet;
use super::metadata::Metadata;
use super::tokens::{Answer, Exchange, TokenEndpoint};
use super::transport::Transport;
use super::verifier::{Expected, LogoutToken, Signed, Unverified, Verifier};
use super::watch::{Calls, Health, Watch};
use crate::config::{Keycloak, Par};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::Clock;

/// Between two attempts at discovery, whoever asks.
const DISCOVERY_COOL_DOWN: Duration = Duration::from_secs(1);

/// Between two fetches of the keys: a stranger's unknown `kid` costs the provider at most this.
const KEYS_COOL_DOWN: Duration = Duration::from_secs(10);

/// The provider's own answer names an unknown `kid` only after a rotation. To wait would lose a refresh token that is
/// used up by now, and strangers could make us wait.
const NO_COOL_DOWN: Duration = Duration::ZERO;

/// Keycloak says that its keys may be cached for 30 days; a deleted key must go sooner, and that it is down is to be
/// known before the next user is.
const REFRESH_EVERY: Duration = Duration::from_secs(60);

/// While the provider does not answer: the first pause and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug)]
pub struct Provider {
    issuer: String,
    client_id: String,
    par: Par,
    transport: Transport,
    calls: Arc<Calls>,
    credentials: Credentials,
    verifier: Verifier,
    metadata: Kept<Metadata>,
    keys: Kept<KeySet>,
    clock: Arc<dyn Clock>,
}

/// What is known of the provider now; asks nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Logins can start and end.
    pub ready: bool,
    /// Requests will be pushed; `None` while that is not known.
    pub pushes: Option<bool>,
    /// Of all calls, those of users' logins included.
    pub calls: Health,
    pub discovery: Health,
    pub keys: Health,
}

impl Provider {
    /// No I/O. `rustls`' process-wide crypto provider has to be installed before. `before`: the provider that this one
    /// takes the place of; of the same issuer, all that is known stays known. `told`: of every call.
    pub fn new(
        keycloak: &Keycloak,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        before: Option<&Self>,
        told: Option<Arc<dyn Watch>>,
    ) -> Result<Self, OidcError> {
        let issuer = keycloak.issuer.clone();
        let same = before.filter(|before| before.issuer == issuer);
        let calls = Arc::new(Calls::new(Arc::clone(&clock), told));
        let tls = issuer.starts_with("https:");
        Ok(Self {
            transport: Transport::new(keycloak.timeout, tls, Arc::clone(&calls))?,
            credentials: Credentials::new(keycloak, &issuer, Arc::clone(&clock), random)?,
            verifier: Verifier::new(&issuer, &keycloak.client_id, &keycloak.algorithms)?,
            metadata: same.map_or_else(
                || Kept::new(Arc::clone(&clock)),
                |same| same.metadata.clone(),
            ),
            keys: same.map_or_else(|| Kept::new(Arc::clone(&clock)), |same| same.keys.clone()),
            par: keycloak.par,
            client_id: keycloak.client_id.clone(),
            calls,
            issuer,
            clock,
        })
    }

    /// Learns where everything is as soon as the provider is up, and notices what changes; until `stop`.
    pub async fn keep_fresh(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.look_again_and_again() => {}
        }
    }

    pub fn status(&self) -> Status {
        let metadata = self.metadata.look().document;
        Status {
            ready: metadata.is_some() && self.keys.look().document.is_some(),
            pushes: metadata.map(|m| self.push_endpoint(&m).is_ok_and(|e| e.is_some())),
            calls: self.calls.health(),
            discovery: self.metadata.health(),
            keys: self.keys.health(),
        }
    }

    /// A pushed request that fails is an error, never a plain one: what the user can edit proves nothing.
    pub async fn start(&self, request: Authorization<'_>) -> Result<Started, OidcError> {
        let metadata = self.metadata().await?;
        let parameters = request.parameters(&self.client_id);
        let mut url = metadata.authorization_endpoint.clone();
        let Some(endpoint) = self.push_endpoint(&metadata)? else {
            url.query_pairs_mut().extend_pairs(&parameters);
            return Ok(Started { url, pushed: false });
        };
        let request_uri =
            authorization::push(&self.transport, &self.credentials, endpoint, &parameters).await?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("request_uri", &request_uri);
        Ok(Started { url, pushed: true })
    }

    /// Of every authorization response, errors included, before anything in it is believed.
    pub async fn check_iss(&self, returned: Option<&str>) -> Result<(), OidcError> {
        let promised = self
            .metadata()
            .await?
            .authorization_response_iss_parameter_supported;
        authorization::check_iss(&self.issuer, promised, returned)
    }

    /// `redirect_uri` is that of the flow, `nonce` the one it sent. Once for a code: Keycloak ends the user's session,
    /// without a logout token, when one comes twice (seen on 26.7.5).
    pub async fn exchange(
        &self,
        code: &str,
        verifier: &Secret,
        redirect_uri: &str,
        nonce: &str,
    ) -> Result<Exchange, OidcError> {
        let metadata = self.metadata().await?;
        let answer = self
            .token_endpoint(&metadata)
            .exchange(code, verifier, redirect_uri)
            .await?;
        self.verified(answer, Some(nonce)).await
    }

    pub async fn refresh(&self, token: &Secret) -> Result<Exchange, RefreshError> {
        let failed = |maybe_used| move |cause| RefreshError::Unavailable { maybe_used, cause };
        let metadata = self.metadata().await.map_err(failed(false))?;
        let answer = match self.token_endpoint(&metadata).refresh(token).await {
            Ok(answer) => answer,
            Err(OidcError::Refused { code }) if code == "invalid_grant" => {
                return Err(RefreshError::Refused);
            }
            Err(cause) => return Err(failed(may_have_used_the_token(&cause))(cause)),
        };
        self.verified(answer, None).await.map_err(failed(true))
    }

    pub async fn logout_token(&self, raw: &str) -> Result<LogoutToken, OidcError> {
        let token = self.signed(raw, KEYS_COOL_DOWN).await?;
        Ok(self.verifier.logout_token(&token, self.clock.now())?)
    }

    /// Has a user asked on their device.
    pub async fn begin_confirmation(
        &self,
        wanted: Confirmation<'_>,
    ) -> Result<Confirming, OidcError> {
        let metadata = self.metadata().await?;
        let url = metadata
            .backchannel_authentication_endpoint
            .as_ref()
            .ok_or(OidcError::Misconfigured("discovery offers no CIBA"))?;
        self.ciba_endpoint(url).begin(wanted).await
    }

    /// `id`: what was begun.
    pub async fn poll_confirmation(&self, id: &Secret) -> Result<Polled, OidcError> {
        let metadata = self.metadata().await?;
        match self.ciba_endpoint(&metadata.token_endpoint).poll(id).await {
            Ok(answer) => {
                let exchange = self.verified(answer, None).await?;
                Ok(Polled::Confirmed(Box::new(exchange)))
            }
            Err(refused) => ciba::meant(refused),
        }
    }

    /// Of a request that Keycloak hands on.
    pub async fn channel_token(&self, raw: &str) -> Result<ChannelToken, OidcError> {
        let token = self.signed(raw, KEYS_COOL_DOWN).await?;
        Ok(self.verifier.channel_token(&token, self.clock.now())?)
    }

    /// Whether it was taken before is not known after an outage.
    pub async fn channel_answer(
        &self,
        token: &Secret,
        answer: ChannelAnswer,
    ) -> Result<(), Undelivered> {
        let metadata = self.metadata().await?;
        let endpoint = metadata
            .backchannel_authentication_endpoint
            .as_ref()
            .ok_or(OidcError::Misconfigured("discovery offers no CIBA"))?;
        channel::answer(&self.transport, endpoint, token, answer).await
    }

    /// An access token that a program sent, in full. A `kid` that is unknown just after the keys were fetched is wrong:
    /// strangers could make it an outage.
    pub async fn bearer(&self, raw: &str, rules: &BearerRules) -> Result<BearerToken, OidcError> {
        let (token, signer) = self.signed_for_bearer(rules.parse(raw)?).await?;
        let now = self.clock.now();
        self.verifier.access_for_bearer(&token, now)?;
        Ok(self
            .verifier
            .bearer(token.claims, rules, Some(signer), now)?)
    }

    /// The same by asking the provider. What looks like a token of the realm has to be one first, so that strangers
    /// cannot have the provider asked at will; what does not is opaque.
    pub async fn introspect(
        &self,
        raw: &str,
        rules: &BearerRules,
    ) -> Result<BearerToken, OidcError> {
        let (token, signer) = match rules.parse(raw) {
            Ok(token) => {
                let (token, signer) = self.signed_for_bearer(token).await?;
                self.verifier.access_for_bearer(&token, self.clock.now())?;
                (Some(token.claims), Some(signer))
            }
            Err(TokenFlaw::Malformed) if !raw.contains('.') => (None, None),
            Err(flaw) => return Err(flaw.into()),
        };
        let metadata = self.metadata().await?;
        let url = metadata
            .introspection_endpoint
            .as_ref()
            .ok_or(OidcError::Misconfigured(
                "discovery offers no introspection",
            ))?;
        let endpoint = IntrospectionEndpoint {
            transport: &self.transport,
            credentials: &self.credentials,
            client_id: &self.client_id,
            url,
        };
        let answer = endpoint.ask(raw).await?;
        let claims = merged(token, answer)?;
        if !claims.0.contains_key("typ") {
            return Err(TokenFlaw::Type.into());
        }
        Ok(self
            .verifier
            .bearer(claims, rules, signer, self.clock.now())?)
    }

    /// Whether the realm still has the key, as far as was heard lately; asks nothing.
    pub fn still_has(&self, signer: &Signer) -> bool {
        let seen = self.keys.look();
        let now = self.clock.now();
        now.since(seen.fetched) <= KEYS_GOOD_FOR
            && seen
                .document
                .and_then(|keys| {
                    Some(keys.find(&signer.kid)?.ok()?.thumbprint == signer.thumbprint)
                })
                .unwrap_or(false)
    }

    async fn signed_for_bearer(
        &self,
        token: Unverified<'_>,
    ) -> Result<(Signed, Signer), OidcError> {
        let mut seen = self.keys.look();
        let is_there = |seen: &Seen<KeySet>| {
            seen.document
                .as_ref()
                .is_some_and(|keys| keys.find(&token.kid).is_some())
        };
        let is_old = self.clock.now().since(seen.fetched) > KEYS_GOOD_FOR;
        if is_old || !is_there(&seen) {
            let metadata = self.metadata().await?;
            match self
                .keys
                .renew(&seen, KEYS_COOL_DOWN, self.fetch_keys(&metadata))
                .await
            {
                Err(OidcError::Unavailable(Outage::CoolingDown)) if !is_old => {
                    return Err(TokenFlaw::UnknownKey.into());
                }
                renewed => renewed?,
            }
            seen = self.keys.look();
        }
        let keys = seen.document.ok_or(Outage::CoolingDown)?;
        let key = keys.find(&token.kid).ok_or(TokenFlaw::UnknownKey)??;
        let signer = Signer {
            kid: token.kid.clone(),
            thumbprint: key.thumbprint.clone(),
        };
        Ok((token.verify(key)?, signer))
    }

    /// RP-initiated logout; `None` while the provider is unknown or offers none.
    pub fn end_session_url(
        &self,
        id_token_hint: &Secret,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<Url> {
        let metadata = self.metadata.look().document?;
        let mut url = metadata.end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", id_token_hint.reveal())
            .append_pair("client_id", &self.client_id)
            .append_pair("post_logout_redirect_uri", post_logout_redirect_uri)
            .append_pair("state", state);
        Some(url)
    }

    async fn verified(&self, answer: Answer, nonce: Option<&str>) -> Result<Exchange, OidcError> {
        let answered = self.clock.now();
        let expected = Expected {
            nonce,
            access_token: answer.access_token.reveal(),
            now: answered,
        };
        let token = self.signed(answer.id_token.reveal(), NO_COOL_DOWN).await?;
        let id = self
            .verifier
            .id_token(token, expected)
            .inspect_err(|error| {
                if let OidcError::Unavailable(Outage::Clock(offset)) = error {
                    tracing::error!(offset, "keycloak's clock and ours differ: no login can end");
                }
            })?;
        let access = match self
            .signed(answer.access_token.reveal(), NO_COOL_DOWN)
            .await
        {
            // Opaque, or signed so that only the provider can check it: nothing is read from it.
            Err(OidcError::InvalidToken(
                TokenFlaw::Malformed | TokenFlaw::Algorithm | TokenFlaw::KeyId,
            )) => None,
            Err(error) => return Err(error),
            Ok(token) if token.is_lightweight() => None,
            Ok(token) => Some(self.verifier.access_token(
                token,
                id.text("sub").unwrap_or_default(),
                answered,
            )?),
        };
        Ok(Exchange {
            id_token: answer.id_token,
            id,
            access,
            refresh: answer.refresh_token,
            access_expires: answer.expires_in.map(|span| answered.plus(span)),
            answered,
        })
    }

    async fn signed(&self, raw: &str, cool_down: Duration) -> Result<Signed, OidcError> {
        let token = self.verifier.parse(raw)?;
        let seen = self.keys.look();
        if let Some(keys) = &seen.document
            && let Some(key) = keys.find(&token.kid)
        {
            return Ok(token.verify(key?)?);
        }
        // Keycloak signs with a new key at once: an unknown `kid` may be a rotation.
        let metadata = self.metadata().await?;
        self.keys
            .renew(&seen, cool_down, self.fetch_keys(&metadata))
            .await?;
        let keys = self.keys.look().document.ok_or(Outage::CoolingDown)?;
        let key = keys.find(&token.kid).ok_or(TokenFlaw::UnknownKey)??;
        Ok(token.verify(key)?)
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let seen = self.metadata.look();
        if let Some(metadata) = seen.document {
            return Ok(metadata);
        }
        self.metadata
            .renew(&seen, DISCOVERY_COOL_DOWN, self.fetch_metadata())
            .await?;
        self.metadata
            .look()
            .document
            .ok_or(Outage::CoolingDown.into())
    }

    async fn look_again_and_again(&self) {
        let mut backoff = BACKOFF.0;
        let mut answering = false;
        loop {
            let pause = match self.look_again().await {
                Ok(()) => {
                    if !answering {
                        tracing::info!(issuer = self.issuer, "keycloak answers");
                    }
                    answering = true;
                    backoff = BACKOFF.0;
                    REFRESH_EVERY
                }
                Err(error) => {
                    tracing::warn!(issuer = self.issuer, %error, "keycloak cannot be read");
                    answering = false;
                    let pause = backoff;
                    backoff = (backoff * 2).min(BACKOFF.1);
                    pause
                }
            };
            // A user's call that fails is the first to know; from then on it is looked for its return.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.calls.begin_to_fail() => tokio::time::sleep(BACKOFF.0).await,
            }
        }
    }

    async fn look_again(&self) -> Result<(), OidcError> {
        // Read a moment ago for somebody's login: fresh enough.
        let lately = |result| match result {
            Err(OidcError::Unavailable(Outage::CoolingDown)) => Ok(()),
            result => result,
        };
        let seen = self.metadata.look();
        lately(
            self.metadata
                .renew(&seen, DISCOVERY_COOL_DOWN, self.fetch_metadata())
                .await,
        )?;
        let metadata = self.metadata().await?;
        let seen = self.keys.look();
        lately(
            self.keys
                .renew(&seen, KEYS_COOL_DOWN, self.fetch_keys(&metadata))
                .await,
        )
    }

    fn fetch_metadata(&self) -> impl Future<Output = Result<Metadata, OidcError>> + Send + use<> {
        let (transport, issuer) = (self.transport.clone(), self.issuer.clone());
        async move { Metadata::fetch(&transport, &issuer).await }
    }

    fn fetch_keys(
        &self,
        metadata: &Metadata,
    ) -> impl Future<Output = Result<KeySet, OidcError>> + Send + use<> {
        let (transport, url) = (self.transport.clone(), metadata.jwks_uri.clone());
        async move { KeySet::fetch(&transport, &url).await }
    }

    fn token_endpoint<'a>(&'a self, metadata: &'a Metadata) -> TokenEndpoint<'a> {
        TokenEndpoint {
            transport: &self.transport,
            credentials: &self.credentials,
            client_id: &self.client_id,
            url: &metadata.token_endpoint,
        }
    }

    fn ciba_endpoint<'a>(&'a self, url: &'a Url) -> CibaEndpoint<'a> {
        CibaEndpoint {
            transport: &self.transport,
            credentials: &self.credentials,
            client_id: &self.client_id,
            url,
        }
    }

    fn push_endpoint<'m>(&self, metadata: &'m Metadata) -> Result<Option<&'m Url>, OidcError> {
        let offered = metadata.pushed_authorization_request_endpoint.as_ref();
        match (self.par, offered) {
            (Par::Off, _) => Ok(None),
            (Par::Auto, offered) => Ok(offered),
            (Par::Require, Some(endpoint)) => Ok(Some(endpoint)),
            (Par::Require, None) => Err(OidcError::Misconfigured(
                "par = \"require\", and discovery offers none",
            )),
        }
    }
}

/// Not when it was never sent, or when the provider did not take us for its client and so looked no further.
fn may_have_used_the_token(cause: &OidcError) -> bool {
    match cause {
        OidcError::Unavailable(outage) => *outage != Outage::Unreachable,
        OidcError::Refused { code } => code != "invalid_client" && code != "unauthorized_client",
        OidcError::Misconfigured(_) => false,
        OidcError::InvalidToken(_) | OidcError::ForeignResponse => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    /// Pingora runs its phases on a work-stealing runtime.
    #[expect(dead_code, reason = "to compile is the test")]
    fn every_call_can_move_between_threads(provider: &Provider, token: &Secret) {
        let ask = Authorization {
            redirect_uri: "",
            ask: &[],
            state: "",
            nonce: "",
            challenge: "",
        };
        is_send(&provider.start(ask));
        is_send(&provider.exchange("", token, "", ""));
        is_send(&provider.refresh(token));
        is_send(&provider.logout_token(""));
        is_send(&provider.channel_token(""));
        is_send(&provider.poll_confirmation(token));
        is_send(&provider.channel_answer(token, ChannelAnswer::Succeed));
        is_send(&provider.check_iss(None));
        let rules = BearerRules::new("", &[]).unwrap();
        is_send(&provider.bearer("", &rules));
        is_send(&provider.introspect("", &rules));
        is_send(&provider.keep_fresh(std::future::ready(())));
    }
}
