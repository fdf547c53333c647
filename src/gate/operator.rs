//! What an operator may see of sessions, and end. No token, cookie or session id leaves here.

use serde::{Deserialize, Serialize};

use super::Gate;
use super::sessions::user_name;
use crate::model::session::{Session, SessionKey};
use crate::policy::evidence::{Standing, have, standings};
use crate::store::{Live, Owner, Unavailable};
use crate::telemetry::metrics::{Label as _, SessionEnd};
use crate::telemetry::{AuditEvent, AuditKind};

/// Of a session's key, which is a digest, and of its lineage: enough to tell two apart, too little to be either.
const SHOWN: usize = 8;

/// Whose sessions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// As the provider names the user: `sub`.
    Subject(String),
    /// One SSO session, on all origins.
    Sid(String),
    /// What the user is called, by which no store finds anybody: all sessions are read.
    User(String),
}

/// Sessions that are read at once.
const PAGE: usize = 500;

/// A session as operators see it. Times are seconds since the epoch, in our clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// The beginning of the digest under which it is kept.
    pub key: String,
    /// The same over all rotations of the session's id.
    pub lineage: String,
    pub origin: String,
    pub subject: String,
    pub sid: Option<String>,
    /// What the user is called, as far as the tokens say.
    pub user: Option<String>,
    /// The highest level that counts now.
    pub level: String,
    pub levels: Vec<LevelView>,
    pub created: i64,
    pub last_seen: i64,
    pub expires: i64,
    /// Since when refreshing its tokens fails.
    pub refresh_failing_since: Option<i64>,
    /// Rotated a moment ago: it serves what is under way.
    pub replaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelView {
    pub name: String,
    /// `proven`, `held`, `lapsed`, `missing`
    pub standing: String,
    pub proven: Option<i64>,
}

impl Gate {
    /// Those that are good now, the latest first.
    pub async fn sessions_of(&self, whose: &Whose) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.parts.clock.now();
        let mut found = match whose {
            Whose::User(name) => self.sessions_called(name).await?,
            Whose::Subject(_) | Whose::Sid(_) => {
                let mut found = Vec::new();
                for owner in self.owners(whose, &[]) {
                    for key in self.parts.store.by_index(&owner).await? {
                        if let Some(live) = self.parts.store.get(&key, now).await? {
                            found.push(self.view(&key, &live));
                        }
                    }
                }
                found
            }
        };
        found.sort_by_key(|session| std::cmp::Reverse(session.created));
        Ok(found)
    }

    /// Ends them at once, on all origins, and keeps logins that are under way from making others; how many there were.
    /// `operator`: the user id of whoever asks for it.
    pub async fn revoke(
        &self,
        whose: &Whose,
        operator: u32,
    ) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.parts.clock.now();
        let sessions = self.sessions_of(whose).await?;
        let mut ended = 0;
        for owner in self.owners(whose, &sessions) {
            ended += self.end_all(owner, now).await?;
        }
        let ends = &self.parts.metrics.session_ends;
        ends.add(SessionEnd::Operator, ended as u64);
        let (sub, sid) = match whose {
            Whose::Subject(sub) => (Some(sub.as_str()), None),
            Whose::Sid(sid) => (None, Some(sid.as_str())),
            // There is nobody of that name, so there is no `sub` either.
            Whose::User(_) => (None, None),
        };
        let event = AuditEvent {
            reason: Some(SessionEnd::Operator.name()),
            sub,
            sid,
            operator: Some(operator),
            ..AuditEvent::new(AuditKind::SessionEnded)
        };
        // Also where there was none: no login that is under way makes one.
        if sessions.is_empty() {
            self.parts.audit.record(&event, now);
        }
        for session in &sessions {
            let event = AuditEvent {
                origin: Some(&session.origin),
                sub: Some(&session.subject),
                sid: session.sid.as_deref(),
                ..event
            };
            self.parts.audit.record(&event, now);
        }
        Ok(sessions)
    }

    async fn sessions_called(&self, name: &str) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.parts.clock.now();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.parts.store.page(after, PAGE, now).await?;
            after = page.last().map(|(key, _)| *key);
            if after.is_none() {
                return Ok(found);
            }
            let called = page
                .iter()
                .filter(|(_, live)| user_name(&live.session.identity) == Some(name));
            found.extend(called.map(|(key, live)| self.view(key, live)));
        }
    }

    /// Of the users and SSO sessions that are meant. `sessions`: what was found by a name.
    fn owners(&self, whose: &Whose, sessions: &[SessionView]) -> Vec<Owner> {
        let keycloak = &self.parts.config.keycloak;
        let (issuer, client) = (&keycloak.issuer, &keycloak.client_id);
        match whose {
            Whose::Subject(sub) => vec![Owner::sub(issuer, client, sub)],
            Whose::Sid(sid) => vec![Owner::sid(issuer, client, sid)],
            Whose::User(_) => {
                let mut subjects: Vec<_> =
                    sessions.iter().map(|session| &session.subject).collect();
                subjects.sort_unstable();
                subjects.dedup();
                let owner = |sub: &String| Owner::sub(issuer, client, sub);
                subjects.into_iter().map(owner).collect()
            }
        }
    }

    fn view(&self, key: &SessionKey, live: &Live) -> SessionView {
        let now = self.parts.clock.now();
        let ladder = &self.parts.config.ladder;
        let Session {
            lineage,
            origin,
            identity,
            evidence,
            refresh,
            created,
            successor,
            ..
        } = &live.session;
        let levels = standings(ladder, evidence, now).map(|level| LevelView {
            name: level.level.name.clone(),
            standing: match level.standing {
                Standing::Proven { .. } => "proven",
                Standing::Held => "held",
                Standing::Lapsed => "lapsed",
                Standing::Missing => "missing",
            }
            .to_owned(),
            proven: level.proven_at.map(|at| at.as_unix()),
        });
        SessionView {
            key: key
                .0
                .iter()
                .take(SHOWN / 2)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            lineage: lineage.0.chars().take(SHOWN).collect(),
            origin: origin.clone(),
            subject: identity.sub.clone(),
            sid: identity.sid.clone(),
            user: user_name(identity).map(str::to_owned),
            level: ladder.name_of(have(ladder, evidence, now).rank).to_owned(),
            levels: levels.collect(),
            created: created.as_unix(),
            last_seen: live.last_seen().as_unix(),
            expires: live.expires.as_unix(),
            refresh_failing_since: refresh.failing_since.map(|since| since.as_unix()),
            replaced: successor.is_some(),
        }
    }
}
