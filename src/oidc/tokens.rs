//! The token endpoint: a code or a refresh token becomes tokens. `oauth2`, on which `openidconnect` stands, writes and
//! reads the messages: `openidconnect`'s own answer would refuse an ID token with an ill-typed `acr` as unreadable.

use futures_util::future::BoxFuture;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client_auth::Credentials;
use super::error::{OidcError, Outage};
use super::transport::{ANSWER_LIMIT, Transport};
use super::watch::Endpoint;
use crate::model::claims::Claims;
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// Tokens of one answer, verified.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As it came, for `id_token_hint`.
    pub id_token: Secret,
    pub id: Claims,
    /// The access token's; `None` when it is opaque or has no `sub` (a lightweight one).
    pub access: Option<Claims>,
    /// `None` after a refresh: the one that was sent goes on.
    pub refresh: Option<Secret>,
    /// Our clock.
    pub access_expires: Option<Timestamp>,
    /// Our clock when the answer was there.
    pub answered: Timestamp,
}

/// Tokens as they came, not verified.
pub(super) struct Answer {
    pub(super) id_token: Secret,
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) expires_in: Option<std::time::Duration>,
}

/// The token endpoint with our proof of being the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenEndpoint<'a> {
    pub(super) transport: &'a Transport,
    pub(super) credentials: &'a Credentials,
    pub(super) client_id: &'a str,
    pub(super) url: &'a Url,
}

type Response = StandardTokenResponse<IdTokenField, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Raw: an ID token with, say, a numeric `acr` is a login that proves no level, not an unreadable answer.
#[derive(Debug, Serialize, Deserialize)]
struct IdTokenField {
    id_token: Option<Secret>,
}

impl ExtraTokenFields for IdTokenField {}

/// What `oauth2` hands back when our transport did not get an answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct CallError(#[from] OidcError);

impl TokenEndpoint<'_> {
    pub(super) async fn exchange(
        &self,
        code: &str,
        verifier: &Secret,
        redirect_uri: &str,
    ) -> Result<Answer, OidcError> {
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned())
            .map_err(|_| OidcError::Misconfigured("a redirect URI that is no URL"))?;
        let client = self.client().set_redirect_uri(redirect_uri);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().to_owned()))
            .request_async(self)
            .await;
        read(answer)
    }

    pub(super) async fn refresh(&self, token: &Secret) -> Result<Answer, OidcError> {
        let client = self.client();
        let token = RefreshToken::new(token.reveal().to_owned());
        let answer = client
            .exchange_refresh_token(&token)
            .request_async(self)
            .await;
        read(answer)
    }

    fn client(&self) -> Client {
        // No secret: `client_id` goes into the form, and `call` adds the proof, as it does for a pushed request.
        oauth2::Client::new(ClientId::new(self.client_id.to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(self.url.clone()))
    }
}

/// Boxed, because a future behind a closure would not be `Send` for every lifetime.
impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = CallError;
    type Future = BoxFuture<'c, Result<HttpResponse, CallError>>;

    fn call(&'c self, mut request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            self.credentials.sign(&mut request)?;
            let answer = self
                .transport
                .call(Endpoint::Token, request, ANSWER_LIMIT)
                .await;
            answer.map_err(|outage| CallError(outage.into()))
        })
    }
}

fn read(
    answer: Result<Response, RequestTokenError<CallError, BasicErrorResponse>>,
) -> Result<Answer, OidcError> {
    let response = answer.map_err(|error| match error {
        RequestTokenError::ServerResponse(refusal) => OidcError::refused(refusal.error().as_ref()),
        RequestTokenError::Request(CallError(error)) => error,
        // Both hold what the provider sent: it goes no further.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            OidcError::Unavailable(Outage::Garbage("token answer"))
        }
    })?;
    Ok(Answer {
        id_token: response
            .extra_fields()
            .id_token
            .clone()
            .ok_or(OidcError::garbage("no ID token"))?,
        access_token: Secret::new(response.access_token().secret().as_str()),
        refresh_token: response
            .refresh_token()
            .map(|token| Secret::new(token.secret().as_str())),
        expires_in: response.expires_in(),
    })
}
