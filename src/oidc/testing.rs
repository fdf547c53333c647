//! A provider for the tests beside the code: real sockets, canned answers, keys of its own, a clock that is set by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Provider;
use crate::config::{ClientAuth, Keycloak, Par};
use crate::model::random::Random;
use crate::model::session::Secret;
use crate::model::time::{Clock, Timestamp};

pub(super) const CLIENT: &str = "stepgate";
pub(super) const NONCE: &str = "the-nonce";
pub(super) const RSA_PEM: &str = include_str!("testing/rsa-for-tests-only.pem");

/// Any time will do; it is the tests' present.
pub(super) const NOW: i64 = 1_790_000_000;

#[derive(Debug)]
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW)))
    }

    pub(super) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// Counts up: every draw differs, and every run is the same.
#[derive(Debug, Default)]
pub(super) struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let drawn = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (to, from) in bytes.iter_mut().zip(drawn.iter().cycle()) {
            *to = *from;
        }
    }
}

pub(super) enum TestKey {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    pub(super) fn ed() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&system_random()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    pub(super) fn ec() -> Self {
        Self::from_ec_pkcs8(&ec_pkcs8())
    }

    pub(super) fn from_ec_pkcs8(der: &[u8]) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, der, &system_random()).unwrap())
    }

    pub(super) fn rsa() -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(RSA_PEM.as_bytes()).unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap())
    }

    pub(super) fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
                    "x": b64(&point[1..33]), "y": b64(&point[33..]) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "alg": "EdDSA",
                    "x": b64(pair.public_key().as_ref()) })
            }
            Self::Rsa(pair) => {
                let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
                    "n": b64(&public.n), "e": b64(&public.e) })
            }
        }
    }

    pub(super) fn public(&self) -> Vec<u8> {
        match self {
            Self::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(pair) => pair.public().as_ref().to_vec(),
        }
    }

    /// `header` gets the key's `alg` unless it has one.
    pub(super) fn sign(&self, mut header: Value, claims: &str) -> String {
        if header.get("alg").is_none() {
            header["alg"] = json!(self.alg());
        }
        let message = unsigned(&header, claims);
        let signature = match self {
            Self::Ec(pair) => pair
                .sign(&system_random(), message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding: &dyn RsaEncoding = if header["alg"] == "PS256" {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(
                    padding,
                    &system_random(),
                    message.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
        };
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn ec_pkcs8() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &system_random())
        .unwrap()
        .as_ref()
        .to_vec()
}

pub(super) fn unsigned(header: &Value, claims: &str) -> String {
    let b64 = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", b64(&header.to_string()), b64(claims))
}

pub(super) fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(super) fn id_claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "u-1", "aud": CLIENT, "azp": CLIENT, "typ": "ID", "sid": "s-1", "nonce": NONCE,
        "iat": NOW, "exp": NOW + 300, "auth_time": NOW - 5, "acr": "mfa", "amr": ["pwd", "otp"],
    })
}

pub(super) fn access_claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "u-1", "aud": "account", "azp": CLIENT, "typ": "Bearer", "sid": "s-1",
        "iat": NOW, "exp": NOW + 300, "realm_access": { "roles": ["clerk"] },
    })
}

pub(super) fn logout_claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "u-1", "aud": CLIENT, "typ": "Logout", "sid": "s-1", "jti": "j-1",
        "iat": NOW, "exp": NOW + 120,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    })
}

#[derive(Clone, Debug)]
pub(super) struct Canned {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) after: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) head: String,
    pub(super) form: HashMap<String, String>,
}

/// Answers every path as it was told to, one request a connection.
pub(super) struct Idp {
    pub(super) issuer: String,
    answers: Arc<Mutex<HashMap<String, Canned>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Idp {
    /// With discovery; the rest is 404 until it is said.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realms/corp", listener.local_addr().unwrap());
        let idp = Self {
            issuer,
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let (answers, asked) = (Arc::clone(&idp.answers), Arc::clone(&idp.asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                tokio::spawn(serve(socket, answers, asked));
            }
        });
        idp.discovery(|_| ());
        idp
    }

    pub(super) fn discovery(&self, change: impl FnOnce(&mut Value)) {
        let issuer = &self.issuer;
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/certs"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "end_session_endpoint": format!("{issuer}/logout"),
            "pushed_authorization_request_endpoint": format!("{issuer}/par"),
            "authorization_response_iss_parameter_supported": true,
        });
        change(&mut document);
        self.says(".well-known/openid-configuration", 200, &document);
    }

    pub(super) fn keys(&self, keys: &[Value]) {
        self.says("certs", 200, &json!({ "keys": keys }));
    }

    pub(super) fn says(&self, path: &str, status: u16, body: &Value) {
        self.says_bytes(path, status, body.to_string().into_bytes(), Duration::ZERO);
    }

    pub(super) fn says_bytes(&self, path: &str, status: u16, body: Vec<u8>, after: Duration) {
        self.answers.lock().unwrap().insert(
            format!("/realms/corp/{path}"),
            Canned {
                status,
                body,
                after,
            },
        );
    }

    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        let path = format!("/realms/corp/{path}");
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|a| a.path == path).cloned().collect()
    }

    pub(super) fn keycloak(&self) -> Keycloak {
        Keycloak {
            issuer: self.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_auth: ClientAuth::Secret(Secret::new("a secret: 100% + ö")),
            par: Par::Auto,
            groups_claim: "groups".to_owned(),
            roles_claim: "realm_access.roles".to_owned(),
            timeout: Duration::from_millis(500),
            algorithms: ["RS256", "ES256"].map(str::to_owned).into(),
        }
    }

    pub(super) fn provider(&self, clock: &Arc<HandClock>) -> Provider {
        provider(&self.keycloak(), clock)
    }
}

pub(super) fn provider(keycloak: &Keycloak, clock: &Arc<HandClock>) -> Provider {
    // The second test of the process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    Provider::new(keycloak, clock, Arc::new(Counting::default()), None, None).unwrap()
}

async fn serve(
    mut socket: TcpStream,
    answers: Arc<Mutex<HashMap<String, Canned>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let read = socket.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(Asked {
        path: path.clone(),
        head,
        form: form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect(),
    });
    let canned = answers.lock().unwrap().get(&path).cloned();
    let Canned {
        status,
        body,
        after,
    } = canned.unwrap_or(Canned {
        status: 404,
        body: Vec::new(),
        after: Duration::ZERO,
    });
    tokio::time::sleep(after).await;
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         location: http://127.0.0.1:1/\r\ncache-control: max-age=2592000\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(&body).await;
}

#[expect(clippy::disallowed_methods, reason = "tests")]
fn system_random() -> SystemRandom {
    SystemRandom::new()
}
