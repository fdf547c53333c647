//! The ladder of levels: what proves one, what is asked to obtain it, how long it lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Position on the ladder: 0 is anonymous, 1 the weakest declared level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(u8);

impl Rank {
    pub const ANONYMOUS: Self = Self(0);
    pub const LOWEST: Self = Self(1);
    /// Above every ladder: a ladder has at most 254 levels.
    pub const UNREACHABLE: Self = Self(u8::MAX);

    pub const fn new(rank: u8) -> Self {
        Self(rank)
    }

    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Digest of a level's proof and ask. Evidence recorded under another one does not count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// One alternative by which a token shows a level; every part that is present must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Proof {
    /// Exact, opaque values of `acr`; empty = the proof does not look at it.
    pub acr: Vec<String>,
    /// At least one of these in `amr`; empty = the proof does not look at it.
    pub amr_any: Vec<String>,
    /// All of these in `amr`.
    pub amr_all: Vec<String>,
    /// Claim (dotted path; literal key first) and the values of which one must be there.
    pub claims: BTreeMap<String, Vec<Value>>,
    /// Counts only from a forced flow that pushed this hint, and with `amr` there and empty.
    pub kc_idp_hint: Option<String>,
}

impl Proof {
    /// A proof by claims alone counts only from a forced flow, never from SSO, refresh or bearer.
    pub fn is_claims_only(&self) -> bool {
        self.acr.is_empty() && self.amr_any.is_empty() && self.amr_all.is_empty()
    }

    pub fn looks_at_amr(&self) -> bool {
        !self.amr_any.is_empty() || !self.amr_all.is_empty()
    }
}

/// What is sent to Keycloak to obtain a level.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ask {
    /// Exactly one value: of several Keycloak takes the lowest.
    pub acr_values: Option<String>,
    /// Scopes beside `openid`.
    pub scope: Vec<String>,
    /// `prompt=login`: every factor is asked again.
    pub prompt_login: bool,
    /// The realm asks this level's factor every time (`loa-max-age` 0), and only it.
    pub always_asked: bool,
    /// `acr` as an essential claim (OpenID Connect Core 5.5.1.1) instead of `acr_values`.
    pub essential: bool,
    pub max_age: Option<Duration>,
    /// Further authorization parameters, sent as they are.
    pub params: BTreeMap<String, String>,
}

/// What a factor enrolled during the step-up itself is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Enrol {
    /// Counts as proven.
    Allow,
    /// Says what happened and asks again.
    #[default]
    Page,
    /// Refuses the level to that subject for the span.
    Hold(Duration),
}

#[derive(Clone, Debug)]
pub struct Level {
    pub name: String,
    /// For people; the name when config gives none.
    pub label: String,
    pub rank: Rank,
    /// What the realm's first factor gives; only the first level can be.
    pub base: bool,
    pub proofs: Vec<Proof>,
    pub ask: Ask,
    /// The level decays by itself after this span; the session lives on.
    pub lasts: Option<Duration>,
    pub enrol: Enrol,
    pub fingerprint: Fingerprint,
}

/// Weakest first. Never empty in a resolved config; at most 254 levels.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    levels: Vec<Level>,
}

impl Ladder {
    /// `levels` in order; their `rank` is set from their place.
    pub fn new(mut levels: Vec<Level>) -> Self {
        for (index, level) in levels.iter_mut().enumerate() {
            level.rank = Rank(u8::try_from(index + 1).unwrap_or(u8::MAX));
        }
        Self { levels }
    }

    pub fn level(&self, rank: Rank) -> Option<&Level> {
        self.levels.get(usize::from(rank.0).checked_sub(1)?)
    }

    pub fn by_name(&self, name: &str) -> Option<&Level> {
        self.levels.iter().find(|level| level.name == name)
    }

    /// The weakest level from `rank` up that can be asked for.
    pub fn askable(&self, rank: Rank) -> Option<&Level> {
        self.iter().find(|level| {
            let ask = &level.ask;
            level.rank >= rank
                && (level.base
                    || ask.acr_values.is_some()
                    || !ask.scope.is_empty()
                    || !ask.params.is_empty())
        })
    }

    /// Weakest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Level> {
        self.levels.iter()
    }

    /// The name of a rank for logs and pages; `anonymous` for rank 0.
    pub fn name_of(&self, rank: Rank) -> &str {
        self.level(rank).map_or("anonymous", |level| &level.name)
    }
}
