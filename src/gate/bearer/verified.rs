//! What is known of a token that was verified: kept under the token's hash, so that the next request parses nothing.

use std::any::Any;
use std::fmt;
use std::mem::size_of;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use ring::digest::{SHA256, digest};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Refused;
use crate::config::{self, Config};
use crate::gate::{Gate, Incoming};
use crate::model::approval::Holder;
use crate::model::evidence::{Evidence, Identity};
use crate::model::time::Timestamp;
use crate::oidc::{
    self, BearerRules, BearerToken, Binding, CLOCK_TOLERANCE, OidcError, Signer, TokenFlaw,
};
use crate::policy::evidence::of_bearer;
use crate::policy::facts::Caller;
use crate::store::{Mark, Owner, SubjectTag, Unavailable};
use crate::telemetry::metrics::BearerResult;

/// Of everything that is kept, in bytes; what is over is the least recently used, and is verified again.
const BYTES: u64 = 64 << 20;

/// Each entry counts for at least this, and so there are 65,536 at most.
const LEAST: u32 = 1 << 10;

/// Between two looks at whether a token's session and its key are still there. Ours is a clock of whole seconds.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long Keycloak's word on a token counts.
const TOLD: Duration = Duration::from_secs(30);

/// The same for one that is not active; no token becomes so.
const TOLD_INACTIVE: Duration = Duration::from_secs(10);
const MOST_INACTIVE: u64 = 10_000;

/// Questions to Keycloak that are under way at once; others wait as long as one may take.
const QUESTIONS: usize = 32;

/// A token that was good, and whom it stands for.
pub struct Verified {
    pub identity: Identity,
    pub(super) evidence: Evidence,
    /// The client that it was issued to (`azp`).
    pub client: Option<Arc<str>>,
    pub(super) subject: SubjectTag,
    pub(super) binding: Binding,
    /// It tells when the user signed in.
    pub(super) is_dated: bool,
    /// What upper floors made of it, such as rendered headers; made once.
    pub rendered: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Provider's clock.
    issued: Timestamp,
    /// Our clock: not good from then on.
    ends: Timestamp,
    signer: Option<Signer>,
    /// Levels that were refused to the user when it was verified.
    refused: Vec<String>,
    /// Our clock: the last look at what can end it before its time.
    looked: AtomicI64,
}

/// The app is part of it: a token that is good for one is nothing at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    app: usize,
    token: [u8; 32],
}

pub(in crate::gate) struct Bearers {
    /// By the app's index.
    rules: Vec<Option<BearerRules>>,
    good: Cache<Key, Entry>,
    inactive: Cache<Key, ()>,
    questions: Semaphore,
}

/// The lifetime is for throwing away in time; whether an entry counts is told by our clock.
#[derive(Clone)]
struct Entry {
    verified: Arc<Verified>,
    bytes: u32,
    lifetime: Duration,
}

impl Bearers {
    pub(in crate::gate) fn new(config: &Config) -> Result<Self, OidcError> {
        let rules = config.apps.iter().map(|app| {
            let rules = app.bearer.as_ref();
            rules
                .map(|rules| BearerRules::new(&rules.audience, &rules.algorithms))
                .transpose()
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            good: Cache::builder()
                .max_capacity(BYTES)
                .weigher(|_, entry: &Entry| entry.bytes)
                .expire_after(Lifetime)
                .build(),
            inactive: Cache::builder()
                .max_capacity(MOST_INACTIVE)
                .time_to_live(TOLD_INACTIVE)
                .build(),
            questions: Semaphore::new(QUESTIONS),
        })
    }
}

impl Gate {
    /// Of a token that was seen before, without reading it.
    pub(super) async fn verified(
        &self,
        incoming: &Incoming<'_>,
        rules: &config::Bearer,
        raw: &str,
        now: Timestamp,
    ) -> Result<(Arc<Verified>, BearerResult), Refused> {
        if raw.len() > oidc::BEARER_LIMIT {
            return Err(Refused::Token(TokenFlaw::TooLong));
        }
        let key = Key::of(incoming.place.app, raw);
        if let Some(verified) = self.seen_before(&key, now).await? {
            return Ok((verified, BearerResult::Cached));
        }
        let token = match rules.introspect {
            false => self.parts.provider.bearer(raw, self.checks(key)?).await?,
            true => {
                let _question = self.question(incoming, raw, now).await?;
                // Asked by another request, while this one waited.
                if let Some(verified) = self.seen_before(&key, now).await? {
                    return Ok((verified, BearerResult::Cached));
                }
                self.asked(key, raw).await?
            }
        };
        let verified = Arc::new(self.read(rules, token, now).await?);
        if !self.still_counts(&verified, now).await? {
            return Err(Refused::Token(TokenFlaw::Revoked));
        }
        let entry = Entry {
            bytes: verified.bytes(),
            lifetime: verified.ends.since(now),
            verified: Arc::clone(&verified),
        };
        self.bearers.good.insert(key, entry);
        Ok((verified, BearerResult::Valid))
    }

    /// The same, and whatever may have ended it since is looked at.
    pub(super) async fn looked_at(
        &self,
        incoming: &Incoming<'_>,
        rules: &config::Bearer,
        raw: &str,
        now: Timestamp,
    ) -> Result<Arc<Verified>, Refused> {
        if let Some(entry) = self.bearers.good.get(&Key::of(incoming.place.app, raw)) {
            entry.verified.looked.store(0, Ordering::Relaxed);
        }
        let (verified, _) = self.verified(incoming, rules, raw, now).await?;
        Ok(verified)
    }

    async fn seen_before(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Arc<Verified>>, Refused> {
        let known = self.bearers.good.get(key).map(|entry| entry.verified);
        match known.filter(|verified| verified.ends > now) {
            Some(verified) if self.still_counts(&verified, now).await? => Ok(Some(verified)),
            _ => Ok(None),
        }
    }

    fn checks(&self, key: Key) -> Result<&BearerRules, Refused> {
        let known = self.bearers.rules.get(key.app).and_then(Option::as_ref);
        known.ok_or(Refused::Unavailable("internal"))
    }

    /// A place among the questions that are under way. What does not even look like a token of the realm counts as a
    /// sign-in of its address: nothing but Keycloak can tell it from one.
    async fn question(
        &self,
        incoming: &Incoming<'_>,
        raw: &str,
        now: Timestamp,
    ) -> Result<SemaphorePermit<'_>, Refused> {
        let busy = Refused::Unavailable("keycloak-busy");
        if !raw.contains('.') && self.limits.enter(incoming.client, now).is_err() {
            return Err(busy);
        }
        let patience = self.parts.config.keycloak.timeout;
        let question = self.bearers.questions.acquire();
        match tokio::time::timeout(patience, question).await {
            Ok(Ok(question)) => Ok(question),
            _ => Err(busy),
        }
    }

    async fn asked(&self, key: Key, raw: &str) -> Result<BearerToken, Refused> {
        let inactive = &self.bearers.inactive;
        if inactive.contains_key(&key) {
            return Err(Refused::Token(TokenFlaw::Inactive));
        }
        let answer = self.parts.provider.introspect(raw, self.checks(key)?).await;
        if answer == Err(OidcError::InvalidToken(TokenFlaw::Inactive)) {
            inactive.insert(key, ());
        }
        Ok(answer?)
    }

    async fn read(
        &self,
        rules: &config::Bearer,
        token: BearerToken,
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let config = &self.parts.config;
        let claims = &token.claims;
        let identity = oidc::identity(claims, Some(claims), &config.keycloak, &self.kept);
        let refused = self
            .refused_levels(&identity, &[], now)
            .await
            .map_err(|Unavailable| Refused::Unavailable("store-unavailable"))?;
        let ends = match rules.introspect {
            true => token.ends.min(now.plus(TOLD)),
            false => token.ends,
        };
        Ok(Verified {
            evidence: of_bearer(&config.ladder, claims, rules.age, now, &refused),
            client: token.client.map(Arc::from),
            subject: SubjectTag::of(&identity.iss, &identity.sub),
            binding: token.binding,
            is_dated: claims.auth_time().is_some(),
            rendered: OnceLock::new(),
            issued: token.issued,
            ends,
            signer: token.signer,
            refused,
            looked: AtomicI64::new(0),
            identity,
        })
    }

    /// Whether nothing has happened that ends a token before its time: its session or its user signed out, its key went,
    /// a level was refused to its user. While that cannot be told, it is not taken.
    async fn still_counts(&self, verified: &Verified, now: Timestamp) -> Result<bool, Refused> {
        let looked = Timestamp::from_unix(verified.looked.load(Ordering::Relaxed));
        if looked <= now && now.since(looked) < LOOK_AGAIN {
            return Ok(true);
        }
        let provider = &self.parts.provider;
        let has_key = |signer: &Signer| provider.still_has(signer);
        if !verified.signer.as_ref().is_none_or(has_key) {
            return Ok(false);
        }
        let counts = async {
            if self.has_ended(verified, now).await? {
                return Ok(false);
            }
            let refused = self.refused_levels(&verified.identity, &[], now).await?;
            Ok(refused == verified.refused)
        };
        let counts = counts
            .await
            .map_err(|Unavailable| Refused::Unavailable("store-unavailable"))?;
        if counts {
            verified.looked.store(now.as_unix(), Ordering::Relaxed);
        }
        Ok(counts)
    }

    /// An SSO session that has ended does not come back, so what was issued in it is over, whatever the clocks say.
    async fn has_ended(&self, verified: &Verified, now: Timestamp) -> Result<bool, Unavailable> {
        let identity = &verified.identity;
        let (iss, client) = (&identity.iss, &self.parts.config.keycloak.client_id);
        let store = &self.parts.store;
        if let Some(sid) = &identity.sid {
            let mark = Mark::logged_out(Owner::sid(iss, client, sid));
            let ended = store.marked(&mark, now).await?;
            if ended.is_some_and(|at| at >= verified.issued.minus(CLOCK_TOLERANCE)) {
                return Ok(true);
            }
        }
        let mark = Mark::logged_out(Owner::sub(iss, client, &identity.sub));
        let ended = store.marked(&mark, now).await?;
        Ok(ended.is_some_and(|at| at >= verified.issued))
    }
}

impl Verified {
    pub(in crate::gate) fn caller(&self) -> Caller<'_> {
        Caller {
            evidence: &self.evidence,
            identity: &self.identity,
        }
    }

    pub(in crate::gate) fn subject(&self) -> SubjectTag {
        self.subject
    }

    /// The client, and what its token is bound to: the same user with another token of that client goes on.
    pub(in crate::gate) fn holder(&self) -> Holder {
        let Binding { key, certificate } = &self.binding;
        let bound = [("jkt", key), ("x5t#S256", certificate)];
        let bound: Vec<_> = bound
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect();
        Holder::Bearer {
            azp: self.client.as_deref().map(str::to_owned),
            cnf: (!bound.is_empty()).then(|| bound.join(" ")),
        }
    }

    /// Our clock: to be verified again from then on.
    pub(in crate::gate) fn ends(&self) -> Timestamp {
        self.ends
    }

    /// An estimate from above: what was read of the token, and what headers are made of it.
    fn bytes(&self) -> u32 {
        let identity = serde_json::to_vec(&self.identity).map_or(0, |text| text.len());
        let bytes = size_of::<Self>() + 4 * identity + 256;
        u32::try_from(bytes).unwrap_or(u32::MAX).max(LEAST)
    }
}

impl Key {
    fn of(app: usize, raw: &str) -> Self {
        let mut token = [0; 32];
        let hash = digest(&SHA256, raw.as_bytes());
        for (to, from) in token.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self { app, token }
    }
}

struct Lifetime;

impl Expiry<Key, Entry> for Lifetime {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearers").finish_non_exhaustive()
    }
}
