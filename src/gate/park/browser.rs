//! Whose browser it is: a sealed cookie that outlives the session by a while, so that a form that was filled in for too long
//! is still known for its user's. It signs nobody in; what was parked by a browser is sent on by that browser alone.

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::config::Origin;
use crate::gate::sessions::Held;
use crate::gate::{Gate, Incoming, cookies};
use crate::model::parked::{ParkedBy, ParkedRequest};
use crate::model::session::{Lineage, Session};
use crate::model::time::Timestamp;
use crate::seal::token;
use crate::store::{Mark, Owner, Unavailable};

const PURPOSE: &str = "browser";

/// 128 bits.
const ID_BYTES: usize = 16;

/// Beyond the longest session.
const LONGER: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::gate) struct Browser {
    pub(in crate::gate) id: String,
    sub: String,
    sid: Option<String>,
    lineage: Lineage,
    /// When that session was signed in or stepped up.
    at: Timestamp,
    /// When an earlier session of this browser was ended: what was parked before that is nobody's any more.
    ended: Option<Timestamp>,
}

impl Browser {
    /// That of the user of `session`.
    fn is_of(&self, session: &Session) -> bool {
        self.sub == session.identity.sub
    }

    /// Whether it was parked here, and no session was ended since.
    pub(in crate::gate) fn vouches_for(&self, request: &ParkedRequest) -> bool {
        let owner = &request.owner;
        self.id == owner.browser
            && self.ended.is_none_or(|ended| {
                // Clocks are read in whole seconds. What was parked after its session had lapsed is not of that session.
                request.at > ended || (request.at == ended && owner.lineage.is_none())
            })
    }
}

impl Gate {
    /// What that browser's user parks; with the lineage of the session, where there is one.
    pub(in crate::gate) fn parked_by(
        &self,
        browser: &Browser,
        lineage: Option<&Lineage>,
    ) -> ParkedBy {
        let keycloak = &self.parts.config.keycloak;
        ParkedBy {
            iss: keycloak.issuer.clone(),
            client: keycloak.client_id.clone(),
            sub: browser.sub.clone(),
            sid: browser.sid.clone(),
            lineage: lineage.cloned(),
            browser: browser.id.clone(),
        }
    }

    /// As the cookie has it, when it is good here.
    pub(in crate::gate) fn browser(
        &self,
        incoming: &Incoming<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Option<Browser> {
        let name = name(origin);
        let sealed = cookies::value(incoming.headers, &name)?;
        let place = self.place_of_browser(&name, origin);
        let json = self.parts.sealer.open(PURPOSE, &place, sealed).ok()?;
        let browser: Browser = serde_json::from_slice(&json).ok()?;
        (now.since(browser.at) <= self.known_for()).then_some(browser)
    }

    /// For the browser that has just been given this session.
    pub(in crate::gate) async fn browser_of(
        &self,
        incoming: &Incoming<'_>,
        origin: &Origin,
        held: &Held,
        now: Timestamp,
    ) -> Result<Browser, Unavailable> {
        let session = &held.live.session;
        let before = self
            .browser(incoming, origin, now)
            .filter(|browser| browser.is_of(session));
        let (id, ended) = match before {
            Some(before) => {
                let ended = self.ended_since(&before).await?;
                (before.id, before.ended.max(ended))
            }
            None => (token(&*self.parts.random, ID_BYTES), None),
        };
        Ok(Browser {
            id,
            sub: session.identity.sub.clone(),
            sid: session.identity.sid.clone(),
            lineage: session.lineage.clone(),
            at: now,
            ended,
        })
    }

    /// When somebody ended the session that the browser had.
    async fn ended_since(&self, browser: &Browser) -> Result<Option<Timestamp>, Unavailable> {
        let now = self.parts.clock.now();
        let mut latest = None;
        let ended = Some(Mark::ended(&browser.lineage));
        for mark in self.logouts(browser).into_iter().chain(ended) {
            let at = self.parts.store.marked(&mark, now).await?;
            latest = latest.max(at.filter(|at| *at >= browser.at));
        }
        Ok(latest)
    }

    /// Whether its user, or the SSO session, was signed out since: then it does not tell any more who is there.
    pub(in crate::gate) async fn was_signed_out(
        &self,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        for mark in self.logouts(browser) {
            let at = self.parts.store.marked(&mark, now).await?;
            if at.is_some_and(|at| at >= browser.at) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn logouts(&self, browser: &Browser) -> Vec<Mark> {
        let keycloak = &self.parts.config.keycloak;
        let (iss, client) = (&keycloak.issuer, &keycloak.client_id);
        let sid = browser.sid.as_deref();
        let sid = sid.map(|sid| Owner::sid(iss, client, sid));
        let sub = Owner::sub(iss, client, &browser.sub);
        let owners = sid.into_iter().chain([sub]);
        owners.map(Mark::logged_out).collect()
    }

    pub(in crate::gate) fn browser_cookie(
        &self,
        origin: &Origin,
        browser: &Browser,
    ) -> Option<HeaderValue> {
        let name = name(origin);
        let json = serde_json::to_vec(browser).ok()?;
        let place = self.place_of_browser(&name, origin);
        let sealed = self.parts.sealer.seal(PURPOSE, &place, &json);
        cookies::short_lived(&name, &sealed, self.known_for().as_secs())
    }

    /// A user of another realm or client is another user.
    fn place_of_browser<'a>(&'a self, name: &'a str, origin: &'a Origin) -> [&'a str; 4] {
        let keycloak = &self.parts.config.keycloak;
        [name, &origin.text, &keycloak.issuer, &keycloak.client_id]
    }

    fn known_for(&self) -> Duration {
        self.parts.config.sessions.absolute.saturating_add(LONGER)
    }
}

pub(in crate::gate) fn cleared(origin: &Origin) -> Option<HeaderValue> {
    cookies::cleared(&name(origin))
}

fn name(origin: &Origin) -> String {
    format!("{}-browser", origin.cookie)
}
