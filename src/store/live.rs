//! A session as requests use it: what is stored, and what they note beside it without a lock.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::Version;
use crate::model::session::Session;
use crate::model::time::Timestamp;

/// Requests move the time at which a session was last seen in steps of at least this, so that cores do not write to
/// the same line all the time.
const STEP: Duration = Duration::from_secs(10);

/// Tells users apart in logs without naming them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubjectTag([u8; 6]);

#[derive(Debug)]
pub struct Live {
    pub session: Session,
    pub version: Version,
    /// Our clock: gone from then on, whatever else holds.
    pub expires: Timestamp,
    pub subject: SubjectTag,
    /// What upper floors made of this version of the session, such as rendered headers; made once.
    pub rendered: OnceLock<Box<dyn std::any::Any + Send + Sync>>,
    seen: AtomicI64,
    /// The time of the last use that survives a crash.
    kept: AtomicI64,
}

impl Live {
    pub(super) fn new(session: Session, version: Version, expires: Timestamp) -> Self {
        Self {
            subject: SubjectTag::of(&session.identity.iss, &session.identity.sub),
            seen: AtomicI64::new(session.last_seen.as_unix()),
            kept: AtomicI64::new(session.last_seen.as_unix()),
            rendered: OnceLock::new(),
            session,
            version,
            expires,
        }
    }

    /// Read back: a use later than `kept` would be lost by a crash.
    pub(super) fn restored(
        session: Session,
        version: Version,
        expires: Timestamp,
        kept: Timestamp,
    ) -> Self {
        Self {
            kept: AtomicI64::new(kept.as_unix()),
            ..Self::new(session, version, expires)
        }
    }

    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_unix(self.seen.load(Ordering::Relaxed))
    }

    pub fn touch(&self, now: Timestamp) {
        if now.since(self.last_seen()) >= STEP {
            self.seen.fetch_max(now.as_unix(), Ordering::Relaxed);
        }
    }

    pub(super) fn kept(&self) -> Timestamp {
        Timestamp::from_unix(self.kept.load(Ordering::Relaxed))
    }

    pub(super) fn is_kept(&self, seen: Timestamp) {
        self.kept.fetch_max(seen.as_unix(), Ordering::Relaxed);
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

impl SubjectTag {
    pub fn of(issuer: &str, sub: &str) -> Self {
        let mut tag = [0; 6];
        let digest = digest(&SHA256, format!("{issuer}\n{sub}").as_bytes());
        for (to, from) in tag.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(tag)
    }
}

impl fmt::Display for SubjectTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SubjectTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
