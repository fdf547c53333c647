//! The half-sent form: a request that needs more than its session has is kept until its user is back, and goes on by one
//! click. Never for another user or browser, never from another site, never after a logout, and once.
//!
//! `fall_short` tells the edge to read the body → [`Gate::park`] seals it and starts the flow → `resume` shows what is kept,
//! and takes it out at the click.

mod browser;
mod resume;
mod room;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};

use super::audit::Circumstances;
use super::challenge::Short;
use super::logout::is_same_origin;
use super::negotiate::{Kind, kind_for};
use super::pages::Page;
use super::sessions::Held;
use super::{Gate, Incoming, Record, Reply, Site, Verdict};
use crate::config::HostIndex;
use crate::model::parked::{ParkedBy, ParkedRequest, kept};
use crate::model::time::Timestamp;
use crate::policy::decision::{Have, Need, Shortfall};
use crate::seal::token;
use crate::store::{Mark, Owner, Parked, ParkedAs, ParkedKey, Room, Unavailable};
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::ParkedResult;

pub use resume::Sending;

pub(in crate::gate) use browser::cleared as browser_cleared;
pub(in crate::gate) use resume::{HERE, is_id, marked};
pub(in crate::gate) use room::InHand;

const PURPOSE: &str = "parked";

/// 256 bits: whoever has it and the session may send the request on.
const ID_BYTES: usize = 32;

/// Of one user at the same time.
const REQUESTS: usize = 16;

/// A user's part of the budget.
const SHARE: u64 = 4;

/// Why a request was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// The route keeps nothing.
    Off,
    /// Nobody is known whose it could be.
    Unknown,
    /// A page of another site sent it.
    CrossSite,
    /// Larger than so many bytes.
    TooLarge(u64),
    /// There is no room, for this user or at all.
    Full,
    /// A logout came between.
    SignedOut,
    Unavailable,
}

impl NotKept {
    /// Stable; of the page, the access log and the metric.
    pub(in crate::gate) const fn name(self) -> &'static str {
        match self {
            Self::Off => "parking-off",
            Self::Unknown => "nobody-known",
            Self::CrossSite => "cross-site",
            Self::TooLarge(_) => "too-large-to-park",
            Self::Full => "no-room-to-park",
            Self::SignedOut => "logout-came-between",
            Self::Unavailable => "store-unavailable",
        }
    }

    pub(in crate::gate) const fn most(self) -> u64 {
        match self {
            Self::TooLarge(most) => most,
            _ => 0,
        }
    }

    const fn result(self) -> ParkedResult {
        match self {
            Self::TooLarge(_) => ParkedResult::TooLarge,
            Self::Full => ParkedResult::Full,
            Self::Off | Self::Unknown | Self::CrossSite | Self::SignedOut | Self::Unavailable => {
                ParkedResult::NotKept
            }
        }
    }
}

/// A body on its way in, as far as it may be held.
#[derive(Debug)]
pub struct Intake {
    body: BytesMut,
    most: u64,
    in_hand: room::Held,
}

impl Intake {
    /// The most that it may become.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// It is there whole. Its bytes are in hand as long as the second part is.
    pub(in crate::gate) fn into_parts(self) -> (Bytes, room::Held) {
        (self.body.freeze(), self.in_hand)
    }
}

/// A request that is to be kept once its body is there.
#[derive(Debug)]
pub struct Parking {
    pub intake: Intake,
    place: HostIndex,
    owner: ParkedBy,
    /// Where the browser has none that says whose it is.
    cookie: Option<HeaderValue>,
    need: Need,
    have: Have,
    shortfall: Option<Shortfall>,
    held: Option<Held>,
    judged: Timestamp,
    record: Record,
}

impl Parking {
    fn short<'a>(&'a self, site: Site<'a>, incoming: &Incoming<'_>, why: NotKept) -> Short<'a> {
        Short {
            site,
            route: site.app.table.find(incoming.method, incoming.target).route,
            need: self.need,
            have: self.have,
            shortfall: self.shortfall,
            held: self.held.as_ref(),
            now: self.judged,
            leads_back: None,
            not_kept: Some(why),
        }
    }
}

impl Gate {
    /// What becomes of a request that falls short: kept when it is a page's, changes something, and is its user's own.
    pub(in crate::gate) async fn fall_short(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        mut short: Short<'_>,
        record: Record,
    ) -> Verdict {
        let kind = kind_for(incoming.headers, short.route.challenge);
        if kind == Kind::Page && changes_something(incoming.method) && short.leads_back.is_none() {
            match self.may_park(incoming, &short, &record).await {
                Ok(parking) => return Verdict::Park(Box::new(parking)),
                Err(why) => short.not_kept = Some(why),
            }
        }
        Verdict::Reply(self.challenge(incoming, short, record).await)
    }

    async fn may_park(
        &self,
        incoming: &Incoming<'_>,
        short: &Short<'_>,
        record: &Record,
    ) -> Result<Parking, NotKept> {
        let site = short.site;
        let position = site.app.table.position(short.route);
        let most = position.and_then(|position| site.app.park_bytes.get(position));
        let most = most.copied().filter(|most| *most > 0).ok_or(NotKept::Off)?;
        if !is_same_origin(incoming.headers, &site.origin.text) {
            return Err(NotKept::CrossSite);
        }
        // Before it is uploaded: whoever asks first (RFC 9110 10.1.1) never sends it.
        if announced(incoming).is_some_and(|length| length > most) {
            return Err(NotKept::TooLarge(most));
        }
        let (owner, cookie) = self.whose(incoming, short).await?;
        Ok(Parking {
            intake: self.intake(most),
            place: incoming.place,
            owner,
            cookie,
            need: short.need,
            have: short.have,
            shortfall: short.shortfall,
            held: short.held.cloned(),
            judged: short.now,
            record: record.clone(),
        })
    }

    /// Of the session, else of the one that lapsed in this browser.
    async fn whose(
        &self,
        incoming: &Incoming<'_>,
        short: &Short<'_>,
    ) -> Result<(ParkedBy, Option<HeaderValue>), NotKept> {
        let (origin, now) = (short.site.origin, short.now);
        let unavailable = |Unavailable| NotKept::Unavailable;
        let Some(held) = short.held else {
            let browser = self.browser(incoming, origin, now);
            let browser = browser.ok_or(NotKept::Unknown)?;
            let signed_out = self.was_signed_out(&browser, now).await;
            if signed_out.map_err(unavailable)? {
                return Err(NotKept::Unknown);
            }
            return Ok((self.parked_by(&browser, None), None));
        };
        let browser = self.browser_of(incoming, origin, held, now).await;
        let browser = browser.map_err(unavailable)?;
        let owner = self.parked_by(&browser, Some(&held.live.session.lineage));
        Ok((owner, self.browser_cookie(origin, &browser)))
    }

    /// A piece of the body came; an error says why the rest need not be read.
    pub fn take_in(&self, intake: &mut Intake, piece: &[u8]) -> Result<(), NotKept> {
        let length = intake.body.len().saturating_add(piece.len());
        if u64::try_from(length).is_ok_and(|length| length > intake.most) {
            return Err(NotKept::TooLarge(intake.most));
        }
        let stock = self.parts.store.stock().bytes;
        let budget = self.parts.config.park.budget;
        if !intake.in_hand.grow(piece.len() as u64, stock, budget) {
            return Err(NotKept::Full);
        }
        intake.body.extend_from_slice(piece);
        Ok(())
    }

    pub(in crate::gate) fn intake(&self, most: u64) -> Intake {
        Intake {
            body: BytesMut::new(),
            most,
            in_hand: self.in_hand.nothing(),
        }
    }

    /// The body is there: the request is kept, and its user sent on for what is missing.
    pub async fn park(self: &Arc<Self>, incoming: &Incoming<'_>, mut parking: Parking) -> Reply {
        let Some(site) = self.site(parking.place) else {
            return self.unavailable(incoming, None, parking.record, "no-such-host");
        };
        let id = match self.keep(incoming, site, &mut parking).await {
            Ok(id) => id,
            Err(why) => return self.not_parked(incoming, parking, why).await,
        };
        self.parts.metrics.parked_requests.inc(ParkedResult::Kept);
        let href = resume::href(&id);
        let record = Record {
            reason: Some("parked"),
            ..parking.record
        };
        // Not by a redirect: where the app's page says that its forms go to its own host alone (`form-action`, CSP 3),
        // Chromium follows none to another, and Keycloak's is one.
        let level = self.parts.config.ladder.level(parking.need.rank);
        let page = Page::Kept {
            need: level.map_or("a sign-in", |level| level.label.as_str()),
            href: &href,
        };
        let status = StatusCode::ACCEPTED;
        let mut reply = self.page(status, &page, incoming, record);
        reply.go_on_to(&href);
        reply.set_cookie(parking.cookie);
        reply
    }

    /// The same as a request of which nothing is kept, with the reason on the page.
    pub async fn not_parked(
        &self,
        incoming: &Incoming<'_>,
        parking: Parking,
        why: NotKept,
    ) -> Reply {
        let Some(site) = self.site(parking.place) else {
            return self.unavailable(incoming, None, parking.record, "no-such-host");
        };
        let record = parking.record.clone();
        let short = parking.short(site, incoming, why);
        self.challenge(incoming, short, record).await
    }

    pub(in crate::gate) fn count_not_kept(&self, why: NotKept) {
        self.parts.metrics.parked_requests.inc(why.result());
    }

    /// Under which id.
    async fn keep(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        parking: &mut Parking,
    ) -> Result<String, NotKept> {
        let now = self.parts.clock.now();
        let config = &self.parts.config;
        let request = ParkedRequest {
            method: incoming.method.clone(),
            target: incoming.target.path_and_query().to_owned(),
            headers: kept(incoming.headers),
            body: std::mem::take(&mut parking.intake.body).freeze(),
            origin: site.origin.text.clone(),
            owner: parking.owner.clone(),
            at: now,
            expires: now.plus(config.park.lasts),
        };
        let id = token(&*self.parts.random, ID_BYTES);
        match self.put(&resume::key(&request.origin, &id), &request).await {
            Ok(ParkedAs::Kept) => {}
            Ok(ParkedAs::Full | ParkedAs::Crowded) => return Err(NotKept::Full),
            Ok(ParkedAs::Taken) | Err(Unavailable) => return Err(NotKept::Unavailable),
        }
        // A logout that ran meanwhile looked for what is parked before this was.
        let ended = self
            .ended_since_then(&request.owner, parking.judged, now)
            .await;
        if ended != Ok(false) {
            // What stays in spite of this is refused when it is asked for, by the same marks.
            let _gone = self
                .parts
                .store
                .unpark(&resume::key(&request.origin, &id), now)
                .await;
            return Err(match ended {
                Ok(_) => NotKept::SignedOut,
                Err(Unavailable) => NotKept::Unavailable,
            });
        }
        self.audit(
            AuditKind::Parked,
            incoming,
            Circumstances {
                reason: parking.record.reason,
                route: Some(
                    &site
                        .app
                        .table
                        .find(incoming.method, incoming.target)
                        .route
                        .id,
                ),
                need: Some(parking.need),
                who: parking
                    .held
                    .as_ref()
                    .map(|held| &held.live.session.identity),
                ..Circumstances::default()
            },
        );
        Ok(id)
    }

    pub(in crate::gate) async fn put(
        &self,
        key: &ParkedKey,
        request: &ParkedRequest,
    ) -> Result<ParkedAs, Unavailable> {
        let now = self.parts.clock.now();
        let plaintext = request.encode().ok_or(Unavailable)?;
        let place: &[&[u8]] = &[&key.0, request.origin.as_bytes()];
        let parked = Parked {
            sealed: self.parts.sealer.seal_bytes(PURPOSE, place, &plaintext),
            owners: owners(&request.owner),
            expires: request.expires,
        };
        let budget = self.parts.config.park.budget;
        let room = Room {
            all: budget,
            share: budget / SHARE,
            requests: REQUESTS,
        };
        self.parts.store.park(key, parked, room, now).await
    }

    /// Whether a logout of user, SSO session or session came after `then`.
    async fn ended_since_then(
        &self,
        owner: &ParkedBy,
        then: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let ended = owner.lineage.as_ref().map(Mark::ended);
        let sub = Owner::sub(&owner.iss, &owner.client, &owner.sub);
        let sid = owner.sid.as_deref();
        let sid = sid.map(|sid| Owner::sid(&owner.iss, &owner.client, sid));
        let logouts = sid.into_iter().chain([sub]).map(Mark::logged_out);
        for mark in logouts.chain(ended) {
            let at = self.parts.store.marked(&mark, now).await?;
            if at.is_some_and(|at| at >= then) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// By whose end it ends; the first one's share is limited.
fn owners(owner: &ParkedBy) -> Vec<Owner> {
    let sub = Owner::sub(&owner.iss, &owner.client, &owner.sub);
    let sid = owner.sid.as_deref();
    let sid = sid.map(|sid| Owner::sid(&owner.iss, &owner.client, sid));
    let lineage = owner.lineage.as_ref().map(Owner::lineage);
    [Some(sub), sid, lineage].into_iter().flatten().collect()
}

fn changes_something(method: &Method) -> bool {
    !method.is_safe()
}

/// Nothing where the length is not told beforehand.
fn announced(incoming: &Incoming<'_>) -> Option<u64> {
    let length = incoming.headers.get(header::CONTENT_LENGTH)?;
    // The edge has seen that it is a number.
    Some(length.to_str().ok()?.parse().unwrap_or(u64::MAX))
}

/// Of a request that is sent on.
pub(in crate::gate) fn body_length(body: &Bytes) -> u64 {
    body.len() as u64
}
