//! What the policy says of a request, and the permit without which no upstream is reached.

use std::time::Duration;

use super::approval::Refused;
use crate::model::approval::ApprovalId;
use crate::model::level::Rank;

/// What is demanded: the highest rank and the smallest age of all requirements that apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub rank: Rank,
    pub max_age: Option<Duration>,
}

/// What the caller has: the highest rank that counts now, and its age where that is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    pub rank: Rank,
    pub age: Option<Duration>,
}

impl Have {
    pub const NOTHING: Self = Self {
        rank: Rank::ANONYMOUS,
        age: None,
    };
}

/// Why a level does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// Held, but without proof of when, and the route has a `max_age`.
    AgeUnknown,
    /// Proven, but decayed by the level's `lasts`.
    Lapsed,
    /// Never proven nor held in this session.
    Missing,
    /// Proven, but longer ago than `max_age`.
    TooOld,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    pub need: Need,
    pub have: Have,
    pub shortfall: Shortfall,
}

/// The condition that is not met; the names are the config's own, never the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `groups_any`, `groups_all`, `roles_any`, `roles_all`, `scopes_any`, `scopes_all`, `networks_any` or `claims`.
    pub condition: &'static str,
    /// What would have met it, as config spells it.
    pub wanted: Vec<String>,
    pub have: Have,
    pub need: Need,
}

/// All is there but somebody's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approve {
    /// The approval's name, as config spells it.
    pub approval: String,
    pub need: Need,
    pub have: Have,
    /// Why the approval that was referred to is none for this; `None`: none was.
    pub refused: Option<Refused>,
}

#[derive(Debug)]
pub enum Decision {
    Allow(Permit),
    Login(Need),
    StepUp(StepUp),
    Approve(Approve),
    Deny(Denial),
    /// What had to be known could not be: never "allowed", never "logged out".
    Unavailable(Need),
}

impl Decision {
    /// As tests, logs and `explain` spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Login(_) => "login",
            Self::StepUp(_) => "step-up",
            Self::Approve(_) => "approve",
            Self::Deny(_) => "deny",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Proof that the policy allowed this request. Only this folder can make one; it cannot be cloned.
#[derive(Debug)]
pub struct Permit {
    need: Need,
    have: Have,
    uses: Option<ApprovalId>,
    within: Option<ApprovalId>,
}

impl Permit {
    pub(in crate::policy) fn new(need: Need, have: Have) -> Self {
        Self {
            need,
            have,
            uses: None,
            within: None,
        }
    }

    /// By a yes, which is used up before anything is sent.
    pub(in crate::policy) fn by(approval: ApprovalId, need: Need, have: Have) -> Self {
        Self {
            uses: Some(approval),
            ..Self::new(need, have)
        }
    }

    /// By a yes that holds for a while, and is there afterwards as well.
    pub(in crate::policy) fn within(approval: ApprovalId, need: Need, have: Have) -> Self {
        Self {
            within: Some(approval),
            ..Self::new(need, have)
        }
    }

    /// The approval that has to be used up, in the store and by this request alone, before anything is sent.
    pub fn uses(&self) -> Option<&ApprovalId> {
        self.uses.as_ref()
    }

    /// The approval that it is one of the requests of.
    pub fn is_within(&self) -> Option<&ApprovalId> {
        self.within.as_ref()
    }

    pub fn need(&self) -> Need {
        self.need
    }

    pub fn have(&self) -> Have {
        self.have
    }

    /// Of a question that names nobody, whatever its answer would need.
    pub(in crate::policy) fn anonymous() -> Self {
        let need = Need {
            rank: Rank::ANONYMOUS,
            max_age: None,
        };
        Self::new(need, Have::NOTHING)
    }

    /// A public request carries no identity.
    pub fn is_public(&self) -> bool {
        self.need.rank == Rank::ANONYMOUS
    }
}
