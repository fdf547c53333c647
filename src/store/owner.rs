//! Whose sessions: the keys of the indexes and of the marks, all of one provider and client.

use ring::digest::{Context, SHA256};

use crate::model::session::{Lineage, Session};

/// 128 bits of a digest: short in memory, and a reader of the store learns no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub(super) [u8; 16]);

/// What is remembered beyond the life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(pub(super) [u8; 16]);

impl Owner {
    pub fn sid(issuer: &str, client: &str, sid: &str) -> Self {
        Self(digest(&["sid", issuer, client, sid]))
    }

    pub fn sub(issuer: &str, client: &str, sub: &str) -> Self {
        Self(digest(&["sub", issuer, client, sub]))
    }

    /// One session alone, over all its ids. No session is found under it; what was parked in it, and waits for a yes, is.
    pub fn lineage(lineage: &Lineage) -> Self {
        Self(digest(&["lineage", &lineage.0]))
    }

    /// What one user has asked for on one route and is not decided: one at a time.
    pub fn asking(issuer: &str, client: &str, sub: &str, route: &str) -> Self {
        Self(digest(&["asking", issuer, client, sub, route]))
    }

    /// What waits for whoever decides on approvals of that name.
    pub fn waiting(approval: &str) -> Self {
        Self(digest(&["waiting", approval]))
    }

    /// What somebody said yes to in everybody's place, on approvals of that name.
    pub fn passed(approval: &str) -> Self {
        Self(digest(&["passed", approval]))
    }

    /// What was agreed to by approvals of that name, and may still be used.
    pub fn agreed(approval: &str) -> Self {
        Self(digest(&["agreed", approval]))
    }

    /// What one user was given for a while by approvals of that name.
    pub fn granted(issuer: &str, client: &str, sub: &str, approval: &str) -> Self {
        Self(digest(&["granted", issuer, client, sub, approval]))
    }

    /// What one user has decided on.
    pub fn decided(issuer: &str, client: &str, sub: &str) -> Self {
        Self(digest(&["decided", issuer, client, sub]))
    }

    /// The browsers in which one user is to be told of what waits.
    pub fn browsers(issuer: &str, client: &str, sub: &str) -> Self {
        Self(digest(&["browsers", issuer, client, sub]))
    }

    /// Those of all users.
    pub fn all_browsers(issuer: &str, client: &str) -> Self {
        Self(digest(&["all browsers", issuer, client]))
    }

    /// The devices with which one user decides on their own.
    pub fn devices(issuer: &str, client: &str, sub: &str) -> Self {
        Self(digest(&["devices", issuer, client, sub]))
    }

    /// The sign-ins elsewhere that one user was asked about.
    pub fn sign_ins(issuer: &str, client: &str, sub: &str) -> Self {
        Self(digest(&["sign-ins", issuer, client, sub]))
    }

    /// Under which a session is found.
    pub(super) fn of(session: &Session) -> impl Iterator<Item = Self> {
        let identity = &session.identity;
        let sid = identity.sid.as_deref();
        let sid = sid.map(|sid| Self::sid(&identity.iss, &session.client, sid));
        let sub = Self::sub(&identity.iss, &session.client, &identity.sub);
        sid.into_iter().chain([sub])
    }
}

impl Mark {
    /// A logout ended all sessions of the owner: a flow that began before it makes none.
    pub fn logged_out(owner: Owner) -> Self {
        let mut mark = Self(digest(&["logged out"]));
        for (to, from) in mark.0.iter_mut().zip(owner.0) {
            *to ^= from;
        }
        mark
    }

    /// The session of that lineage was ended.
    pub fn ended(lineage: &Lineage) -> Self {
        Self(digest(&["ended", &lineage.0]))
    }

    /// The flow of that `state` came back: Keycloak ends the user's session when its code is sent twice.
    pub fn used_flow(state: &str) -> Self {
        Self(digest(&["used flow", state]))
    }

    /// The parked request of that id was sent on.
    pub fn sent(id: &str) -> Self {
        Self(digest(&["sent", id]))
    }

    /// People were told once more of the approval of that id.
    pub fn reminded(id: &str) -> Self {
        Self(digest(&["reminded", id]))
    }

    /// The proof of that key was taken (RFC 9449 section 11.1). `key` is its thumbprint.
    pub fn used_proof(key: &str, jti: &str) -> Self {
        Self(digest(&["used proof", key, jti]))
    }

    /// What a device signed by that challenge was taken.
    pub fn used_challenge(challenge: &str) -> Self {
        Self(digest(&["used challenge", challenge]))
    }

    /// One of the user's devices was removed; in that sign-in, where one is named.
    pub fn device_removed(issuer: &str, client: &str, sub: &str, sid: Option<&str>) -> Self {
        let whose = ["device removed", issuer, client, sub];
        match sid {
            Some(sid) => Self(digest(&[&whose[..], &[sid]].concat())),
            None => Self(digest(&whose)),
        }
    }

    /// The logout token was obeyed.
    pub fn logout_token(issuer: &str, jti: &str) -> Self {
        Self(digest(&["logout token", issuer, jti]))
    }

    /// The token by which Keycloak hands a request on was taken.
    pub fn channel_token(issuer: &str, jti: &str) -> Self {
        Self(digest(&["channel token", issuer, jti]))
    }

    /// The message of that id, by which a webhook decides, was taken.
    pub fn webhook(channel: &str, id: &str) -> Self {
        Self(digest(&["webhook", channel, id]))
    }

    /// The level is refused to the user: its factor was enrolled while it was asked for.
    pub fn enrol_hold(issuer: &str, client: &str, sub: &str, level: &str) -> Self {
        Self(digest(&["enrol hold", issuer, client, sub, level]))
    }
}

/// Every part with its length before it: no two lists of parts read the same.
fn digest(parts: &[&str]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    short
}
