//! The realm: its users, its client, its signing keys, and everything that is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::ciba::Ciba;
use super::quirks::Quirks;
use crate::model::random::Random;
use crate::model::time::{Clock, Timestamp};
use crate::seal::token;

/// The names of the levels, weakest first: level 1 is the first.
pub(in crate::sandbox) const LEVELS: [&str; 3] = ["pwd", "mfa", "phr"];
/// How long each level stays valid on the single sign-on session, in seconds; 0: always asked.
pub(in crate::sandbox) const MAX_AGE: [i64; 3] = [36_000, 300, 0];
/// Access tokens live this long, in seconds.
pub(in crate::sandbox) const ACCESS_TOKEN: i64 = 300;

#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub password: String,
    pub groups: Vec<String>,
    /// Without one, a step-up has the user set one up.
    pub has_otp: bool,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: String,
    /// For `private_key_jwt`: the public key as a JWK, instead of the secret.
    pub jwk: Option<Value>,
    /// Prefixes, as short cuts for exact redirect URIs.
    pub redirects: Vec<String>,
    /// Each gets every logout token.
    pub backchannel: Vec<String>,
}

#[derive(Debug)]
pub struct Realm {
    pub name: String,
    /// `http://localhost:9080/realms/demo`
    pub issuer: String,
    pub users: Vec<User>,
    client: Mutex<Client>,
    pub(in crate::sandbox) clock: Arc<dyn Clock>,
    pub(in crate::sandbox) random: Arc<dyn Random>,
    quirks: Mutex<Quirks>,
    state: Mutex<State>,
    keys: Mutex<Vec<Key>>,
    pub(in crate::sandbox) http: reqwest::Client,
}

/// What is under way.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct State {
    pub(in crate::sandbox) pushed: HashMap<String, BTreeMap<String, String>>,
    pub(in crate::sandbox) tabs: HashMap<String, Tab>,
    pub(in crate::sandbox) codes: HashMap<String, Grant>,
    pub(in crate::sandbox) sessions: HashMap<String, Sso>,
    pub(in crate::sandbox) refresh: HashMap<String, Grant>,
    /// How often a refresh token was used, for tests.
    pub(in crate::sandbox) refreshes: usize,
    /// Authorization requests that reached the provider, with what they asked.
    pub(in crate::sandbox) asked: Vec<BTreeMap<String, String>>,
    pub(in crate::sandbox) ciba: Ciba,
}

/// One authorization request in one browser tab.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Tab {
    pub(in crate::sandbox) request: BTreeMap<String, String>,
    /// Levels passed in this very flow.
    pub(in crate::sandbox) passed: BTreeSet<usize>,
    /// The one-time code that the page shows.
    pub(in crate::sandbox) code: String,
    pub(in crate::sandbox) user: Option<String>,
    pub(in crate::sandbox) sso: Option<String>,
    /// The scope's one-time code was given.
    pub(in crate::sandbox) scope_factor: bool,
}

/// A single sign-on session.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Sso {
    pub(in crate::sandbox) user: String,
    pub(in crate::sandbox) auth_time: Timestamp,
    /// Level → when.
    pub(in crate::sandbox) levels: BTreeMap<usize, Timestamp>,
    pub(in crate::sandbox) amr: BTreeSet<&'static str>,
    /// `acr` of the client's last login: what a refresh repeats.
    pub(in crate::sandbox) last_acr: String,
}

/// What a code or a refresh token stands for.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Grant {
    pub(in crate::sandbox) sid: String,
    pub(in crate::sandbox) nonce: Option<String>,
    pub(in crate::sandbox) challenge: Option<String>,
    pub(in crate::sandbox) redirect_uri: String,
    pub(in crate::sandbox) scope: String,
    pub(in crate::sandbox) acr: String,
    pub(in crate::sandbox) scope_claim: bool,
}

pub(in crate::sandbox) struct Key {
    pub(in crate::sandbox) kid: String,
    pub(in crate::sandbox) signing: EncodingKey,
    pub(in crate::sandbox) jwk: Value,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.kid)
    }
}

impl Realm {
    /// Nothing when no key could be made.
    pub fn new(
        issuer: &str,
        client: Client,
        users: Vec<User>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Option<Arc<Self>> {
        let realm = Self {
            name: issuer.rsplit('/').next()?.to_owned(),
            issuer: issuer.to_owned(),
            users,
            client: Mutex::new(client),
            clock,
            random,
            quirks: Mutex::default(),
            state: Mutex::default(),
            keys: Mutex::default(),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .ok()?,
        };
        realm.rotate_keys(true)?;
        Some(Arc::new(realm))
    }

    pub fn quirks(&self) -> MutexGuard<'_, Quirks> {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each authorization request asked, in order, pushed or not.
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.state().asked.clone()
    }

    /// How many refreshes were answered or refused.
    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }

    /// Signs with a new key from now on; the old one stays in the set unless `drop_old`.
    pub fn rotate_keys(&self, drop_old: bool) -> Option<()> {
        #[expect(clippy::disallowed_methods, reason = "the sandbox's own keys")]
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).ok()?;
        let point = pair.public_key().as_ref();
        let kid = token(self.random.as_ref(), 16);
        let coordinate =
            |range: std::ops::Range<usize>| Some(BASE64_URL_SAFE_NO_PAD.encode(point.get(range)?));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
            "x": coordinate(1..33)?, "y": coordinate(33..65)?,
        });
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if drop_old {
            keys.clear();
        }
        keys.insert(
            0,
            Key {
                kid,
                signing: EncodingKey::from_ec_der(der.as_ref()),
                jwk,
            },
        );
        Some(())
    }

    /// The user's single sign-on sessions.
    pub fn sids(&self, user: &str) -> Vec<String> {
        let state = self.state();
        let own = state.sessions.iter().filter(|(_, sso)| sso.user == user);
        own.map(|(sid, _)| sid.clone()).collect()
    }

    /// The session of `user` ends as by an administrator; every logout token goes out.
    pub async fn end_sessions_of(&self, user: &str) {
        for sid in self.sids(user) {
            super::logout::end(self, &sid).await;
        }
    }

    /// A token with whatever claims and header type, under the realm's key.
    pub fn sign(&self, kind: &str, claims: &Value) -> Option<String> {
        super::tokens::sign(self, kind, claims.as_object()?.clone())
    }

    pub(in crate::sandbox) fn keys(&self) -> MutexGuard<'_, Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::sandbox) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::sandbox) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(in crate::sandbox) fn draw(&self) -> String {
        token(self.random.as_ref(), 24)
    }

    pub(in crate::sandbox) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Sso {
    /// Highest level still valid now, walking from the weakest and stopping at the first that has lapsed.
    pub(in crate::sandbox) fn valid(&self, now: Timestamp, passed: &BTreeSet<usize>) -> usize {
        let mut highest = 0;
        for level in 1..=LEVELS.len() {
            if !(passed.contains(&level) || self.is_valid(level, now)) {
                break;
            }
            highest = level;
        }
        highest
    }

    pub(in crate::sandbox) fn is_valid(&self, level: usize, now: Timestamp) -> bool {
        let max_age = level
            .checked_sub(1)
            .and_then(|index| MAX_AGE.get(index))
            .copied()
            .unwrap_or(0);
        self.levels
            .get(&level)
            .is_some_and(|at| max_age > 0 && at.as_unix() + max_age >= now.as_unix())
    }
}
