//! Whether a token meets the proof of a level, and what that takes. `acr` is opaque and compared exactly, `amr` is a set.

use serde_json::Value;

use crate::model::claims::Claims;
use crate::model::level::{Ladder, Level, Proof, Rank};

/// The parts of an ID token that proofs look at.
#[derive(Debug)]
pub(super) struct Token<'t> {
    claims: &'t Claims,
    acr: Option<&'t str>,
    amr: Option<Vec<&'t str>>,
    /// The level that the `acr` belongs to.
    acr_rank: Rank,
}

/// How far a token meets one alternative of a proof, `acr` and claims being met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met<'p> {
    /// Wherever the token comes from.
    Always,
    /// Claims alone: an SSO session gets them without the factor being asked.
    Forced,
    /// Claims of the provider that the flow must have pushed as a hint.
    Brokered(&'p str),
    /// As before, but something local ran in the SSO session: whose login the claims tell of is unknown.
    Stale(&'p str),
    /// All but `amr`, which is there.
    ButAmr,
}

impl<'t> Token<'t> {
    pub(super) fn new(claims: &'t Claims, ladder: &Ladder) -> Self {
        let acr = claims.acr();
        Self {
            claims,
            acr,
            amr: claims.amr(),
            acr_rank: acr.map_or(Rank::ANONYMOUS, |acr| rank_of(acr, ladder)),
        }
    }

    /// Every alternative of the level's proof that it meets, at least but for `amr`.
    pub(super) fn meets<'p>(&self, level: &'p Level) -> impl Iterator<Item = Met<'p>> {
        level
            .proofs
            .iter()
            .filter_map(move |proof| self.meets_one(proof, level.rank))
    }

    fn meets_one<'p>(&self, proof: &'p Proof, rank: Rank) -> Option<Met<'p>> {
        if proof.is_claims_only() && proof.claims.is_empty() {
            return None;
        }
        if !self.has_acr(proof, rank) || !self.has_claims(proof) {
            return None;
        }
        Some(match &proof.kc_idp_hint {
            _ if proof.looks_at_amr() && self.amr.is_none() => return None,
            _ if !self.has_amr(proof) => Met::ButAmr,
            // Keycloak lists in `amr` what ran locally in the SSO session: nothing, if the provider alone did it.
            Some(hint) if self.amr.as_ref().is_some_and(Vec::is_empty) => Met::Brokered(hint),
            Some(hint) => Met::Stale(hint),
            None if proof.is_claims_only() => Met::Forced,
            None => Met::Always,
        })
    }

    /// The `acr` of a higher level is good for a lower one: when that level's `amr` or claims are not met, the token
    /// counts for the next lower level.
    fn has_acr(&self, proof: &Proof, rank: Rank) -> bool {
        proof.acr.is_empty()
            || self.acr_rank > rank
            || self
                .acr
                .is_some_and(|acr| proof.acr.iter().any(|known| known == acr))
    }

    fn has_amr(&self, proof: &Proof) -> bool {
        let amr = self.amr.as_deref().unwrap_or_default();
        let has = |wanted: &String| amr.contains(&wanted.as_str());
        (proof.amr_any.is_empty() || proof.amr_any.iter().any(has)) && proof.amr_all.iter().all(has)
    }

    fn has_claims(&self, proof: &Proof) -> bool {
        proof.claims.iter().all(|(name, values)| {
            self.claims
                .lookup(name)
                .is_some_and(|given| !matches!(given, Value::Null) && values.contains(given))
        })
    }
}

/// The lowest level whose proof names it. A value that a lower level's proof names too tells nothing of a higher level.
fn rank_of(acr: &str, ladder: &Ladder) -> Rank {
    ladder
        .iter()
        .find(|level| {
            level
                .proofs
                .iter()
                .any(|proof| proof.acr.iter().any(|known| known == acr))
        })
        .map_or(Rank::ANONYMOUS, |level| level.rank)
}
