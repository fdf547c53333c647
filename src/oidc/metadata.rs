//! Discovery (OpenID Connect Discovery 1.0 section 4): where the realm's endpoints are.
//!
//! `openidconnect` reads the document. It is fetched here, since its own call fetches the keys along with it, into a key
//! type that the verifier cannot use.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::error::OidcError;
use super::transport::{ANSWER_LIMIT, Transport};
use super::watch::Endpoint;

type Document = ProviderMetadata<
    Further,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What specifications beside the core one add: RP-Initiated Logout 1.0, RFC 9126, RFC 8414, CIBA Core 1.0, RFC 9207.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Further {
    end_session_endpoint: Option<Url>,
    pushed_authorization_request_endpoint: Option<Url>,
    introspection_endpoint: Option<Url>,
    backchannel_authentication_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Further {}

/// What is used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) pushed_authorization_request_endpoint: Option<Url>,
    pub(super) introspection_endpoint: Option<Url>,
    pub(super) backchannel_authentication_endpoint: Option<Url>,
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    pub(super) async fn fetch(transport: &Transport, issuer: &str) -> Result<Self, OidcError> {
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let url = Url::parse(&url).map_err(|_| OidcError::Misconfigured("the issuer is no URL"))?;
        let body = transport
            .get(Endpoint::Discovery, &url, ANSWER_LIMIT)
            .await?;
        Self::parse(&body, issuer)
    }

    fn parse(body: &[u8], issuer: &str) -> Result<Self, OidcError> {
        let document: Document =
            serde_json::from_slice(body).map_err(|_| OidcError::garbage("discovery"))?;
        if document.issuer().as_str() != issuer {
            return Err(OidcError::Misconfigured(
                "discovery names another issuer than the configuration",
            ));
        }
        let token_endpoint = document
            .token_endpoint()
            .ok_or(OidcError::garbage("discovery"))?;
        let further = document.additional_metadata();
        let metadata = Self {
            authorization_endpoint: document.authorization_endpoint().url().clone(),
            token_endpoint: token_endpoint.url().clone(),
            jwks_uri: document.jwks_uri().url().clone(),
            end_session_endpoint: further.end_session_endpoint.clone(),
            pushed_authorization_request_endpoint: further
                .pushed_authorization_request_endpoint
                .clone(),
            introspection_endpoint: further.introspection_endpoint.clone(),
            backchannel_authentication_endpoint: further
                .backchannel_authentication_endpoint
                .clone(),
            authorization_response_iss_parameter_supported: further
                .authorization_response_iss_parameter_supported,
        };
        let endpoints = [
            Some(&metadata.authorization_endpoint),
            Some(&metadata.token_endpoint),
            Some(&metadata.jwks_uri),
            metadata.end_session_endpoint.as_ref(),
            metadata.pushed_authorization_request_endpoint.as_ref(),
            metadata.introspection_endpoint.as_ref(),
            metadata.backchannel_authentication_endpoint.as_ref(),
        ];
        if !endpoints.into_iter().flatten().all(is_safe) {
            return Err(OidcError::Misconfigured(
                "discovery names an endpoint that is neither https nor loopback",
            ));
        }
        Ok(metadata)
    }
}

/// The rule that config holds the issuer to.
fn is_safe(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost" || name.ends_with(".localhost"),
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://sso.example.com/realms/corp";

    fn discovery() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/auth"),
            "token_endpoint": format!("{ISSUER}/token"),
            "jwks_uri": format!("{ISSUER}/certs"),
            "response_types_supported": ["code", "none", "of a later version"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "ML-DSA-65"],
            "end_session_endpoint": format!("{ISSUER}/logout"),
            "pushed_authorization_request_endpoint": format!("{ISSUER}/par"),
            "authorization_response_iss_parameter_supported": true,
            "acr_values_supported": ["pwd", "mfa"],
        })
    }

    fn parsed(change: impl FnOnce(&mut Value)) -> Result<Metadata, OidcError> {
        let mut document = discovery();
        change(&mut document);
        Metadata::parse(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn a_realm_is_read() {
        let metadata = parsed(|_| ()).unwrap();
        assert!(metadata.authorization_response_iss_parameter_supported);
        assert!(metadata.pushed_authorization_request_endpoint.is_some());
    }

    #[test]
    fn what_is_optional_may_be_absent() {
        let metadata = parsed(|d| {
            for name in [
                "end_session_endpoint",
                "pushed_authorization_request_endpoint",
                "authorization_response_iss_parameter_supported",
            ] {
                d.as_object_mut().unwrap().remove(name);
            }
        })
        .unwrap();
        assert!(!metadata.authorization_response_iss_parameter_supported);
        assert_eq!(metadata.pushed_authorization_request_endpoint, None);
    }

    #[test]
    fn the_issuer_is_compared_byte_by_byte() {
        for other in [
            "https://sso.example.com/realms/corp/",
            "https://SSO.example.com/realms/corp",
            "https://sso.example.com:443/realms/corp",
            "https://evil.example.com/realms/corp",
        ] {
            assert!(
                matches!(
                    parsed(|d| d["issuer"] = json!(other)),
                    Err(OidcError::Misconfigured(_))
                ),
                "{other}"
            );
        }
    }

    #[test]
    fn endpoints_are_https_or_loopback() {
        let with = |url: &str| parsed(|d| d["token_endpoint"] = json!(url));
        for good in [
            "https://other.example.com/token",
            "http://localhost:8080/token",
            "http://idp.localhost/token",
            "http://127.0.0.1:1/token",
            "http://[::1]/token",
        ] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in [
            "http://sso.example.com/token",
            "http://localhost.example.com/token",
            "http://10.0.0.1/token",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "/token",
            "",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn garbage_is_an_outage() {
        for body in [&b""[..], b"<html>", b"{}", b"[]", b"null", b"\xff"] {
            assert_eq!(
                Metadata::parse(body, ISSUER),
                Err(OidcError::garbage("discovery"))
            );
        }
    }
}
