//! How stepgate proves to Keycloak that it is the client: `client_secret_basic`, or `private_key_jwt` (RFC 7523).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::error::OidcError;
use crate::config::{ClientAuth, Keycloak};
use crate::model::random::Random;
use crate::model::time::{Clock, Timestamp};

/// From our now; long enough for one call.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// Keycloak takes an `iat` that is 60 s old to 15 s ahead (seen on 26.7.5): backdated, clocks may differ by 35 s either way.
const BACKDATED: Duration = Duration::from_secs(20);

/// 128 bits of `jti`: Keycloak takes each once.
const ASSERTION_ID_BYTES: usize = 16;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Debug)]
pub(super) enum Credentials {
    Basic(HeaderValue),
    Assertion(Box<Assertion>),
}

pub(super) struct Assertion {
    issuer: String,
    client_id: String,
    key: SigningKey,
    kid: Option<String>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

enum SigningKey {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Credentials {
    pub(super) fn new(
        keycloak: &Keycloak,
        issuer: &str,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OidcError> {
        match &keycloak.client_auth {
            ClientAuth::Secret(secret) => basic(&keycloak.client_id, secret.reveal()),
            ClientAuth::PrivateKey { pem, kid } => Ok(Self::Assertion(Box::new(Assertion {
                issuer: issuer.to_owned(),
                client_id: keycloak.client_id.clone(),
                key: SigningKey::from_pem(pem.reveal())?,
                kid: kid.clone(),
                clock,
                random,
            }))),
        }
    }

    /// Adds the proof to a form that is about to be posted.
    pub(super) fn sign(&self, request: &mut Request<Vec<u8>>) -> Result<(), OidcError> {
        match self {
            Self::Basic(header) => {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
            }
            Self::Assertion(assertion) => {
                let jwt = assertion.draw()?;
                let proof = form_urlencoded::Serializer::new(String::new())
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", &jwt)
                    .finish();
                let body = request.body_mut();
                if !body.is_empty() {
                    body.push(b'&');
                }
                body.extend_from_slice(proof.as_bytes());
            }
        }
        Ok(())
    }
}

impl Assertion {
    fn draw(&self) -> Result<String, OidcError> {
        let mut id = [0; ASSERTION_ID_BYTES];
        self.random.fill(&mut id);
        self.encode(&BASE64_URL_SAFE_NO_PAD.encode(id), self.clock.now())
    }

    /// One audience, the issuer: with several Keycloak refuses since 26.2.
    fn encode(&self, jti: &str, now: Timestamp) -> Result<String, OidcError> {
        let mut header = json!({ "alg": self.key.algorithm(), "typ": "JWT" });
        if let (Some(kid), Some(header)) = (&self.kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(kid));
        }
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "jti": jti,
            "iat": now.minus(BACKDATED).as_unix(),
            "exp": now.plus(ASSERTION_LIFE).as_unix(),
        });
        let mut jwt = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut jwt);
        let signature = self.key.sign(jwt.as_bytes())?;
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt)
    }
}

impl SigningKey {
    /// The kind of key decides the algorithm. `ring` signs, for the `rsa` package leaks time (RUSTSEC-2023-0071).
    fn from_pem(pem: &str) -> Result<Self, OidcError> {
        const WRONG: OidcError = OidcError::Misconfigured(
            "client_key must be one PKCS#8 private key in PEM, EC P-256 or RSA of 2048 to 4096 bits",
        );
        let Ok(PrivateKeyDer::Pkcs8(der)) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else {
            return Err(WRONG);
        };
        let der = der.secret_pkcs8_der();
        if let Ok(rsa) = RsaKeyPair::from_pkcs8(der) {
            return Ok(Self::Rsa(rsa));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &blinding())
            .map(Self::Ec)
            .map_err(|_| WRONG)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, OidcError> {
        const FAILED: OidcError = OidcError::Misconfigured("client_key does not sign");
        match self {
            Self::Ec(key) => key
                .sign(&blinding(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| FAILED),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &blinding(), message, &mut signature)
                    .map_err(|_| FAILED)?;
                Ok(signature)
            }
        }
    }
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assertion")
            .field("algorithm", &self.key.algorithm())
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
fn basic(client_id: &str, secret: &str) -> Result<Credentials, OidcError> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let joined = format!("{}:{}", encode(client_id), encode(secret));
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(joined)))
        .map_err(|_| OidcError::Misconfigured("client_secret cannot be sent"))?;
    header.set_sensitive(true);
    Ok(Credentials::Basic(header))
}

#[expect(
    clippy::disallowed_methods,
    reason = "ring blinds its own signing; no secret of ours comes from here"
)]
fn blinding() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Par;
    use crate::model::session::Secret;
    use crate::oidc::keys::KeySet;
    use crate::oidc::testing::{Counting, HandClock, NOW, RSA_PEM, TestKey, ec_pkcs8, part};

    const ISSUER: &str = "https://sso.example.com/realms/corp";

    fn credentials(client_id: &str, client_auth: ClientAuth) -> Result<Credentials, OidcError> {
        let keycloak = Keycloak {
            issuer: ISSUER.to_owned(),
            client_id: client_id.to_owned(),
            client_auth,
            par: Par::Auto,
            groups_claim: String::new(),
            roles_claim: String::new(),
            timeout: Duration::from_secs(5),
            algorithms: Vec::new(),
        };
        let random = Arc::new(Counting::default());
        Credentials::new(&keycloak, ISSUER, HandClock::new(), random)
    }

    fn with_key(pem: &str) -> Result<Credentials, OidcError> {
        credentials(
            "stepgate",
            ClientAuth::PrivateKey {
                pem: Secret::new(pem),
                kid: Some("client-1".to_owned()),
            },
        )
    }

    fn assertion(credentials: &Credentials) -> String {
        let mut request = Request::new(b"grant_type=refresh_token".to_vec());
        credentials.sign(&mut request).unwrap();
        assert!(request.headers().is_empty());
        let form: Vec<_> = form_urlencoded::parse(request.body())
            .into_owned()
            .collect();
        assert_eq!(form[0].0, "grant_type");
        assert_eq!(
            form[1],
            (
                "client_assertion_type".to_owned(),
                ASSERTION_TYPE.to_owned()
            )
        );
        assert_eq!(form[2].0, "client_assertion");
        form[2].1.clone()
    }

    fn pem(der: &[u8]) -> String {
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der)
        )
    }

    #[test]
    fn both_halves_of_basic_are_form_encoded() {
        let credentials = credentials("a:b", ClientAuth::Secret(Secret::new("p%+ ö:&"))).unwrap();
        let mut request = Request::new(Vec::new());
        credentials.sign(&mut request).unwrap();
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        let joined = BASE64_STANDARD
            .decode(header.strip_prefix("Basic ").unwrap())
            .unwrap();
        assert_eq!(
            String::from_utf8(joined).unwrap(),
            "a%3Ab:p%25%2B+%C3%B6%3A%26"
        );
        assert!(request.body().is_empty());
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn an_assertion_says_who_for_whom_once_and_briefly() {
        let credentials = with_key(RSA_PEM).unwrap();
        let jwt = assertion(&credentials);
        assert_eq!(
            part(&jwt, 0),
            json!({ "alg": "RS256", "typ": "JWT", "kid": "client-1" })
        );
        let claims = part(&jwt, 1);
        let jti = claims["jti"].as_str().unwrap();
        assert_eq!(
            claims,
            json!({ "iss": "stepgate", "sub": "stepgate", "aud": ISSUER, "jti": jti,
                "iat": NOW - 20, "exp": NOW + 60 })
        );
        assert_ne!(part(&assertion(&credentials), 1)["jti"], json!(jti));
    }

    #[test]
    fn the_key_decides_the_algorithm_and_the_signature_holds() {
        let der = ec_pkcs8();
        for (pem, key, alg) in [
            (pem(&der), TestKey::from_ec_pkcs8(&der), "ES256"),
            (RSA_PEM.to_owned(), TestKey::rsa(), "RS256"),
        ] {
            let jwt = assertion(&with_key(&pem).unwrap());
            assert_eq!(part(&jwt, 0)["alg"], alg);
            let keys = json!({ "keys": [key.jwk("client-1")] }).to_string();
            let keys = KeySet::parse(keys.as_bytes()).unwrap();
            let (message, signature) = jwt.rsplit_once('.').unwrap();
            let verified = jsonwebtoken::crypto::verify(
                signature,
                message.as_bytes(),
                &keys.find("client-1").unwrap().unwrap().decoding,
                alg.parse().unwrap(),
            );
            assert_eq!(verified, Ok(true));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_told_and_not_shown() {
        for wrong in [
            "",
            "secret text",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
        ] {
            let error = with_key(wrong).unwrap_err();
            assert!(error.to_string().contains("PKCS#8"), "{error}");
            assert!(!error.to_string().contains("secret text"));
        }
        let shown = format!("{:?}", with_key(RSA_PEM).unwrap());
        assert!(
            shown.contains("RS256") && !shown.contains("PRIVATE"),
            "{shown}"
        );
        let shown = format!(
            "{:?}",
            credentials("c", ClientAuth::Secret(Secret::new("s3cret")))
        );
        assert!(
            !shown.contains("s3cret") && !shown.contains("YzpzM2NyZXQ"),
            "{shown}"
        );
    }
}
