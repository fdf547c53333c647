//! What a route demands.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use super::level::Rank;

/// A demand is a set of these of which all must hold: the route's, those of its other readings, and the floors'.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// [`Rank::ANONYMOUS`] = public; such a requirement has no other part.
    pub rank: Rank,
    pub max_age: Option<Duration>,
    pub conditions: Conditions,
    /// The name of the approval without which nothing of it is sent.
    pub approval: Option<String>,
}

impl Requirement {
    pub const PUBLIC: Self = Self {
        rank: Rank::ANONYMOUS,
        max_age: None,
        conditions: Conditions::NONE,
        approval: None,
    };

    pub fn is_public(&self) -> bool {
        self.rank == Rank::ANONYMOUS
    }
}

/// Not met = denied, never a step-up. An empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    pub groups_any: Vec<String>,
    pub groups_all: Vec<String>,
    pub roles_any: Vec<String>,
    pub roles_all: Vec<String>,
    /// What the token's `scope` has; of a session, that of the access token of its sign-in.
    pub scopes_any: Vec<String>,
    pub scopes_all: Vec<String>,
    /// Names of the networks (for messages) and all their ranges.
    pub networks_any: Vec<Network>,
    /// Every claim, with one of its values.
    pub claims: Vec<(String, Vec<Value>)>,
}

impl Conditions {
    pub const NONE: Self = Self {
        groups_any: Vec::new(),
        groups_all: Vec::new(),
        roles_any: Vec::new(),
        roles_all: Vec::new(),
        scopes_any: Vec::new(),
        scopes_all: Vec::new(),
        networks_any: Vec::new(),
        claims: Vec::new(),
    };
}

#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub name: String,
    pub ranges: Vec<IpNet>,
}
