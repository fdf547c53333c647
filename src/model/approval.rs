//! A request for a human's yes, bound to one exact action: what it is, who asked, and how far it is.
//!
//! How it changes is [`crate::policy::approval`]'s matter; here is what a store keeps.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::{Lineage, Secret};
use super::time::Timestamp;

/// 128 random bits in base64url: whoever has it learns nothing from it, and may do nothing by it alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApprovalId(pub String);

/// By its first characters: enough to find it in a log, too little to ask for it.
impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ApprovalId({}…)",
            self.0.chars().take(6).collect::<String>()
        )
    }
}

/// Somebody at the provider; the same `sub` of another issuer is somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    pub iss: String,
    pub sub: String,
}

/// What a requester is known by beside the name: an approval is of no use to another session of the same user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    Session(Lineage),
    /// A client with a token; `cnf`: what the token is bound to, if it is.
    Bearer {
        azp: Option<String>,
        cnf: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    pub person: Person,
    pub holder: Holder,
    /// As people read it.
    pub name: String,
    /// The client's address by `trusted_proxies`, for whoever decides.
    pub address: String,
    /// The sign-in at the provider that it was asked for in: a second device is in another one.
    #[serde(default)]
    pub sid: Option<String>,
}

/// SHA-256.
pub type Digest = [u8; 32];

/// The action that was shown. Anything else is another request.
///
/// Of a grant for a while it is all requests that it holds for: any method that the route lists, the route's pattern in
/// place of a target, and of its parameters those that are bound; nothing of query, headers and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub origin: String,
    /// App and route id.
    pub route: String,
    /// Of the resolved route, its approval and its upstream: another policy makes another action.
    pub policy: Digest,
    pub method: String,
    /// Path and query in their canonical form.
    pub target: String,
    /// `Content-Type`, `Content-Encoding`, and the headers that the policy names; each with its value or its absence.
    pub headers: Vec<(String, Option<String>)>,
    /// Of a grant for a while: parameters of the path, as the app reads them.
    #[serde(default)]
    pub parameters: Vec<(String, String)>,
    pub body: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    ApproveDeny,
    /// Pick the number that the requester sees, out of several; one try.
    NumberMatching,
    /// Type it; two tries over all approvers.
    NumberChallenge,
}

impl Mode {
    /// As config spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApproveDeny => "approve-deny",
            Self::NumberMatching => "number-matching",
            Self::NumberChallenge => "number-challenge",
        }
    }
}

/// What was configured when the request was made; a later configuration makes it no easier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Different people who have to say yes; at least one.
    pub need: u32,
    /// How many have to say no to end it; one, unless configured otherwise.
    pub deny: u32,
    pub mode: Mode,
    /// The requester may decide, too, on a second device.
    pub by_self: bool,
    pub reason_required: bool,
    /// A yes holds for every such request until `redeem_ttl` is over, instead of for one.
    #[serde(default)]
    pub for_a_while: bool,
    /// From the last yes.
    pub redeem_ttl: Duration,
    /// Undecided for so long, it goes on to others as well.
    #[serde(default)]
    pub escalate_after: Option<Duration>,
    /// The channel by which Keycloak has the requester confirm it. Nobody else says yes, and they nowhere else.
    #[serde(default)]
    pub ciba: Option<String>,
}

impl Terms {
    /// How long a yes holds, where it does so for more than one request.
    pub fn window(&self) -> Option<Duration> {
        self.for_a_while.then_some(self.redeem_ttl)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Yes,
    No,
    /// "This wasn't me", or "this looks wrong".
    Report,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub person: Person,
    pub name: String,
    pub answer: Answer,
    pub reason: Option<String>,
    /// `app`, `operator`, …
    pub channel: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Pending,
    Approved {
        at: Timestamp,
        redeem_until: Timestamp,
    },
    Denied {
        at: Timestamp,
        why: Denied,
    },
    Expired {
        at: Timestamp,
    },
    Cancelled {
        at: Timestamp,
    },
    Revoked {
        at: Timestamp,
        /// By a report, of this one or of another by the same holder.
        #[serde(default)]
        reported: bool,
    },
    /// Written before anything is sent: what fails afterwards is not sent again.
    Consumed {
        at: Timestamp,
        /// What the upstream answered; nothing while, or if, that is not known.
        upstream: Option<u16>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denied {
    No,
    Reported,
    /// The number was wrong as often as it may be.
    Number,
}

/// A word of Keycloak's that is waited for (CIBA): all that it takes to ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// Keycloak's name for what it asks (`auth_req_id`).
    pub request: Secret,
    /// With pings: what Keycloak shows.
    pub ping: Option<Secret>,
    /// Between two polls, as Keycloak said at first.
    pub interval: Duration,
    /// Our clock.
    pub ends: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    /// As config spells it.
    pub name: String,
    pub requester: Requester,
    pub action: Action,
    /// What people decide on, one line; with all of it escaped by whoever shows it.
    pub summary: String,
    pub reason: Option<String>,
    pub terms: Terms,
    /// Whom a claim of the requester named as the ones who may decide, when it was asked for.
    #[serde(default)]
    pub named: Vec<String>,
    /// In the number modes; shown to the requester alone.
    pub number: Option<Secret>,
    /// Among which it is to be picked, the same for all who decide; none where it is typed.
    pub choices: Vec<String>,
    /// How often a number may still be wrong, over all approvers.
    pub tries: u32,
    pub votes: Vec<Vote>,
    pub status: Status,
    /// Our clock.
    pub created: Timestamp,
    /// Our clock: when a pending one is no more.
    pub expires: Timestamp,
    /// Our clock: since when others may decide as well.
    #[serde(default)]
    pub escalated: Option<Timestamp>,
    /// Here, so that whichever process is there goes on asking. Gone when nobody waits any more.
    #[serde(default)]
    pub awaited: Option<Awaited>,
}
