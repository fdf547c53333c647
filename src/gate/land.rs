//! What a flow that came back does to sessions: makes one, steps one up, or leaves all as they are.
//!
//! Evidence is added only where the flow's lineage, the browser's session and the token's user agree.

use std::sync::Arc;
use std::time::Duration;

use super::sessions::Held;
use super::{Gate, Site};
use crate::model::evidence::Identity;
use crate::model::flow::Flow;
use crate::model::level::Enrol;
use crate::model::session::{
    Finished, Lineage, Refresh, Secret, Session, SessionKey, Successor, Tokens,
};
use crate::model::time::Timestamp;
use crate::oidc::Exchange;
use crate::policy::evidence::{Derived, FlowFacts, Previous, derive_without};
use crate::seal::{session_key, token};
use crate::store::{Expect, Live, Mark, Put, Unavailable};
use crate::telemetry::metrics::SessionEnd;

/// The old id lives so long at its old level: requests that are under way carry it.
const OLD_ID: Duration = Duration::from_secs(5);

/// 128 bits: names a session in flows and marks, and is no credential.
const LINEAGE_BYTES: usize = 16;

const TRIES: usize = 16;

const PURPOSE: &str = "successor";

/// A flow that came back, and what its tokens say.
#[derive(Debug)]
pub(in crate::gate) struct Back<'a> {
    pub(in crate::gate) site: Site<'a>,
    pub(in crate::gate) flow: &'a Flow,
    pub(in crate::gate) exchange: &'a Exchange,
    pub(in crate::gate) identity: Identity,
    pub(in crate::gate) facts: FlowFacts,
    /// Levels that are refused to this user for a while, because the factor was enrolled when it was asked for.
    pub(in crate::gate) refused_levels: Vec<String>,
}

#[derive(Debug)]
pub(in crate::gate) enum Landed {
    In {
        /// For the browser.
        id: Secret,
        held: Held,
        /// A new session: nothing of an earlier one goes on, the app's cookies included.
        is_new: bool,
        /// Of another user than the flow was started for.
        switched: bool,
    },
    /// The browser has a session that this flow has nothing to say to; the same user's.
    Kept(Held),
    /// The same, another user's.
    SomebodyElse(Held),
    /// A logout came between.
    SignedOut,
}

impl Gate {
    /// `finish` tells how the flow ended for the session as it is going to be.
    pub(in crate::gate) async fn land(
        &self,
        back: &Back<'_>,
        current: Option<Held>,
        now: Timestamp,
        finish: impl Fn(&Session) -> Option<Finished>,
    ) -> Result<Landed, Unavailable> {
        let flow = back.flow;
        let ended = self
            .was_ended(&back.identity, flow.lineage.as_ref(), flow.started, now)
            .await?;
        let Some(held) = current else {
            if ended {
                return Ok(Landed::SignedOut);
            }
            let switched = flow
                .sub
                .as_ref()
                .is_some_and(|sub| *sub != back.identity.sub);
            return self.create(back, switched, now, finish).await;
        };
        let session = &held.live.session;
        let same_user =
            session.identity.iss == back.identity.iss && session.identity.sub == back.identity.sub;
        let asked_by_it = flow.lineage.as_ref() == Some(&session.lineage);
        // Several tabs went to sign in, and a sibling came back first.
        let asked_beside_it = flow.lineage.is_none()
            && session.identity.sid == back.identity.sid
            && session.created >= flow.started;
        match (same_user, asked_by_it || asked_beside_it) {
            _ if ended && same_user => Ok(Landed::Kept(held)),
            (true, true) => self.step_up_session(back, held, now, finish).await,
            (true, false) => Ok(Landed::Kept(held)),
            (false, _) if asked_by_it && !ended => {
                self.end(&held, now).await?;
                let ends = &self.parts.metrics.session_ends;
                ends.inc(SessionEnd::UserSwitch);
                self.create(back, true, now, finish).await
            }
            (false, _) => Ok(Landed::SomebodyElse(held)),
        }
    }

    async fn create(
        &self,
        back: &Back<'_>,
        switched: bool,
        now: Timestamp,
        finish: impl Fn(&Session) -> Option<Finished>,
    ) -> Result<Landed, Unavailable> {
        let (id, key) = self.new_session_id();
        let mut session = Session {
            lineage: Lineage(token(&*self.parts.random, LINEAGE_BYTES)),
            origin: back.site.origin.text.clone(),
            client: self.parts.config.keycloak.client_id.clone(),
            identity: back.identity.clone(),
            evidence: self.derived(back, None).evidence,
            tokens: tokens(back.exchange),
            refresh: Refresh::default(),
            kc_idp_hint: back.flow.kc_idp_hint.clone(),
            created: now,
            last_seen: now,
            app_cookies: Vec::new(),
            finished: Vec::new(),
            successor: None,
        };
        if let Some(finished) = finish(&session) {
            session.remember(finished);
        }
        let expires = self.expires(&session);
        let store = &self.parts.store;
        let Put::Done(live) = store
            .put(&key, session, expires, Expect::Absent, now)
            .await?
        else {
            // 256 random bits came twice: something is very wrong with them.
            return Err(Unavailable);
        };
        // The flow's own lineage was that of another session, and may well have ended: this one is new.
        if self
            .was_ended(&back.identity, None, back.flow.started, now)
            .await?
        {
            store.delete(&key).await?;
            return Ok(Landed::SignedOut);
        }
        Ok(Landed::In {
            id,
            held: Held { key, live },
            is_new: true,
            switched,
        })
    }

    /// The session goes on under a new id, with what the flow proved beside what was known.
    async fn step_up_session(
        &self,
        back: &Back<'_>,
        held: Held,
        now: Timestamp,
        finish: impl Fn(&Session) -> Option<Finished>,
    ) -> Result<Landed, Unavailable> {
        let store = &self.parts.store;
        let mut base = held;
        for _ in 0..TRIES {
            if let Some(successor) = &base.live.session.successor {
                // Another tab was faster: it is the session now, and there is no third id.
                let Some(id) = self.successor_id(successor, &base.live.session.lineage) else {
                    return Err(Unavailable);
                };
                let key = session_key(id.reveal());
                let stepped = self
                    .update(&key, |session| {
                        *session = self.stepped_up(back, session, &finish);
                    })
                    .await?;
                return Ok(match stepped {
                    Some(live) => self.landed(id, key, live),
                    None => Landed::SignedOut,
                });
            }
            let (id, key) = self.new_session_id();
            let next = self.stepped_up(back, &base.live.session, &finish);
            let expires = base.live.expires;
            let Put::Done(live) = store.put(&key, next, expires, Expect::Absent, now).await? else {
                return Err(Unavailable);
            };
            let mut old = base.live.session.clone();
            old.successor = Some(Successor {
                key,
                sealed_id: self.parts.sealer.seal(
                    PURPOSE,
                    &[&old.lineage.0],
                    id.reveal().as_bytes(),
                ),
            });
            let until = now.plus(OLD_ID).min(expires);
            let expect = Expect::Version(base.live.version);
            match store.put(&base.key, old, until, expect, now).await? {
                Put::Done(_) => {
                    let lineage = Some(&live.session.lineage);
                    let started = back.flow.started;
                    if self
                        .was_ended(&back.identity, lineage, started, now)
                        .await?
                    {
                        store.delete(&key).await?;
                        return Ok(Landed::SignedOut);
                    }
                    return Ok(self.landed(id, key, live));
                }
                Put::Conflict(None) => {
                    store.delete(&key).await?;
                    return Ok(Landed::SignedOut);
                }
                Put::Conflict(Some(live)) => {
                    store.delete(&key).await?;
                    base.live = live;
                }
            }
        }
        Err(Unavailable)
    }

    fn landed(&self, id: Secret, key: SessionKey, live: Arc<Live>) -> Landed {
        Landed::In {
            id,
            held: Held { key, live },
            is_new: false,
            switched: false,
        }
    }

    fn successor_id(&self, successor: &Successor, lineage: &Lineage) -> Option<Secret> {
        let id = self
            .parts
            .sealer
            .open(PURPOSE, &[&lineage.0], &successor.sealed_id)
            .ok()?;
        Some(Secret::new(String::from_utf8(id).ok()?))
    }

    fn stepped_up(
        &self,
        back: &Back<'_>,
        known: &Session,
        finish: &impl Fn(&Session) -> Option<Finished>,
    ) -> Session {
        let previous = Previous {
            identity: &known.identity,
            evidence: &known.evidence,
        };
        let mut next = Session {
            identity: back.identity.clone(),
            evidence: self.derived(back, Some(previous)).evidence,
            tokens: tokens(back.exchange),
            refresh: Refresh::default(),
            successor: None,
            ..known.clone()
        };
        if let Some(finished) = finish(&next) {
            next.remember(finished);
        }
        next
    }

    fn derived(&self, back: &Back<'_>, previous: Option<Previous<'_>>) -> Derived {
        let ladder = &self.parts.config.ladder;
        derive_without(
            ladder,
            &back.facts,
            &back.exchange.id,
            previous,
            &back.refused_levels,
        )
    }

    /// Notes the levels whose factor was enrolled just now, and tells all that are refused to the user.
    pub(in crate::gate) async fn refused_levels(
        &self,
        identity: &Identity,
        enrolled: &[String],
        now: Timestamp,
    ) -> Result<Vec<String>, Unavailable> {
        let config = &self.parts.config;
        let mut refused = Vec::new();
        for level in config.ladder.iter() {
            let Enrol::Hold(span) = level.enrol else {
                continue;
            };
            let client = &config.keycloak.client_id;
            let mark = Mark::enrol_hold(&identity.iss, client, &identity.sub, &level.name);
            if enrolled.contains(&level.name) {
                self.parts
                    .store
                    .mark(&mark, now, now.plus(span), now)
                    .await?;
            }
            if self.parts.store.marked(&mark, now).await?.is_some() {
                refused.push(level.name.clone());
            }
        }
        Ok(refused)
    }
}

fn tokens(exchange: &Exchange) -> Tokens {
    Tokens {
        id: exchange.id_token.clone(),
        refresh: exchange.refresh.clone(),
        access_expires: exchange.access_expires,
    }
}
