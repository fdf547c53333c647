//! The way to Keycloak's login: PKCE (RFC 7636), pushed authorization requests (RFC 9126), the issuer on return (RFC 9207).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, StatusCode};
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use serde::Deserialize;
use url::Url;

use super::client_auth::Credentials;
use super::error::{OidcError, Outage};
use super::transport::{ANSWER_LIMIT, Transport};
use super::watch::Endpoint;
use crate::model::random::Random;
use crate::model::session::Secret;

/// 256 bits, 43 characters: the least that RFC 7636 section 4.1 takes.
const VERIFIER_BYTES: usize = 32;

/// Longer ones would not fit into a URL that every browser and proxy takes.
const REQUEST_URI_LIMIT: usize = 2048;

/// What only this module sets: a level's extra parameters do not choose where the answer goes, or to whom.
const OURS: &[&str] = &[
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "state",
];

/// The secret half stays in the sealed flow cookie, the challenge goes to the provider.
#[derive(Clone, Debug)]
pub struct Pkce {
    pub verifier: Secret,
    pub challenge: String,
}

/// One authorization request.
#[derive(Clone, Copy, Debug)]
pub struct Authorization<'a> {
    pub redirect_uri: &'a str,
    /// What `policy::ask` made of the level; `openid` is added to its `scope`.
    pub ask: &'a [(String, String)],
    pub state: &'a str,
    pub nonce: &'a str,
    /// [`Pkce::challenge`]
    pub challenge: &'a str,
}

/// Where to send the browser.
#[derive(Clone, PartialEq, Eq)]
pub struct Started {
    pub url: Url,
    /// The parameters were pushed: the browser's user cannot have edited them.
    pub pushed: bool,
}

impl Pkce {
    pub fn draw(random: &dyn Random) -> Self {
        let mut bytes = [0; VERIFIER_BYTES];
        random.fill(&mut bytes);
        let verifier = PkceCodeVerifier::new(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        Self {
            challenge: PkceCodeChallenge::from_code_verifier_sha256(&verifier)
                .as_str()
                .to_owned(),
            verifier: Secret::new(verifier.into_secret()),
        }
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started")
            .field("pushed", &self.pushed)
            .finish_non_exhaustive()
    }
}

impl Authorization<'_> {
    pub(super) fn parameters(&self, client_id: &str) -> Vec<(String, String)> {
        let mut parameters: Vec<_> = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", &self.scope()),
            ("state", self.state),
            ("nonce", self.nonce),
            ("code_challenge", self.challenge),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        parameters.extend(
            self.ask
                .iter()
                .filter(|(name, _)| name != "scope" && !OURS.contains(&name.as_str()))
                .cloned(),
        );
        parameters
    }

    fn scope(&self) -> String {
        let mut scopes = vec!["openid"];
        for (name, value) in self.ask {
            if name == "scope" {
                scopes.extend(value.split_ascii_whitespace().filter(|s| *s != "openid"));
            }
        }
        scopes.join(" ")
    }
}

/// Posts the parameters; the answer stands for them in the redirect.
pub(super) async fn push(
    transport: &Transport,
    credentials: &Credentials,
    endpoint: &Url,
    parameters: &[(String, String)],
) -> Result<String, OidcError> {
    #[derive(Deserialize)]
    struct Pushed {
        request_uri: String,
    }
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let mut request = Request::post(endpoint.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form.into_bytes())
        .map_err(|_| OidcError::Misconfigured("an endpoint that is no URI"))?;
    credentials.sign(&mut request)?;

    let response = transport
        .call(Endpoint::Pushed, request, ANSWER_LIMIT)
        .await?;
    match response.status() {
        StatusCode::CREATED | StatusCode::OK => {
            let Pushed { request_uri } = serde_json::from_slice(response.body())
                .map_err(|_| OidcError::garbage("pushed request"))?;
            if request_uri.is_empty() || request_uri.len() > REQUEST_URI_LIMIT {
                return Err(OidcError::garbage("request_uri"));
            }
            Ok(request_uri)
        }
        status if status.is_client_error() => {
            match serde_json::from_slice::<Refusal>(response.body()) {
                Ok(refusal) => Err(OidcError::refused(&refusal.error)),
                Err(_) => Err(Outage::Status(status.as_u16()).into()),
            }
        }
        status => Err(Outage::Status(status.as_u16()).into()),
    }
}

/// RFC 9207 section 2.4: compared as it is; missing is an error where the provider promised it, on error answers too.
pub(super) fn check_iss(
    issuer: &str,
    promised: bool,
    returned: Option<&str>,
) -> Result<(), OidcError> {
    match returned {
        Some(returned) if returned == issuer => Ok(()),
        None if !promised => Ok(()),
        _ => Err(OidcError::ForeignResponse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::testing::Counting;

    #[test]
    fn the_challenge_is_that_of_the_verifier() {
        let random = Counting::default();
        let (one, two) = (Pkce::draw(&random), Pkce::draw(&random));
        assert_ne!(one.verifier, two.verifier);
        assert_eq!(one.verifier.reveal().len(), 43);
        assert_eq!(one.challenge.len(), 43);
        assert_ne!(one.challenge, one.verifier.reveal());
        assert!(!format!("{one:?}").contains(one.verifier.reveal()));
    }

    fn asked(ask: &[(&str, &str)]) -> Vec<(String, String)> {
        let ask: Vec<_> = ask
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Authorization {
            redirect_uri: "https://erp.example.com/.stepgate/callback",
            ask: &ask,
            state: "s",
            nonce: "n",
            challenge: "c",
        }
        .parameters("stepgate")
    }

    fn value<'p>(parameters: &'p [(String, String)], name: &str) -> Vec<&'p str> {
        parameters
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    #[test]
    fn the_ask_is_sent_as_it_is() {
        let sent = asked(&[("acr_values", "mfa"), ("prompt", "login")]);
        assert_eq!(value(&sent, "acr_values"), ["mfa"]);
        assert_eq!(value(&sent, "prompt"), ["login"]);
        assert_eq!(value(&sent, "scope"), ["openid"]);
        assert_eq!(value(&sent, "response_type"), ["code"]);
        assert_eq!(value(&sent, "code_challenge_method"), ["S256"]);
    }

    #[test]
    fn scopes_are_joined_with_openid_once() {
        let sent = asked(&[("scope", "auth-otp-form openid"), ("scope", "profile")]);
        assert_eq!(value(&sent, "scope"), ["openid auth-otp-form profile"]);
    }

    #[test]
    fn an_extra_parameter_does_not_choose_where_the_answer_goes() {
        for name in OURS {
            let sent = asked(&[(name, "evil")]);
            assert!(!value(&sent, name).contains(&"evil"), "{name}");
        }
    }

    #[test]
    fn the_issuer_on_return_is_compared_as_it_is() {
        let issuer = "https://sso.example.com/realms/corp";
        assert!(check_iss(issuer, true, Some(issuer)).is_ok());
        assert!(check_iss(issuer, false, None).is_ok());
        for (promised, returned) in [
            (true, None),
            (true, Some("")),
            (false, Some("")),
            (true, Some("https://sso.example.com/realms/corp/")),
            (false, Some("https://SSO.example.com/realms/corp")),
            (false, Some("https://evil.example")),
        ] {
            assert_eq!(
                check_iss(issuer, promised, returned),
                Err(OidcError::ForeignResponse)
            );
        }
    }
}
