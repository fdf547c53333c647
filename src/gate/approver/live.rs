//! The event stream (HTML, 9.2) of the inbox and of one request: it says that something has changed, and never what. A
//! page then asks for itself again, with its cookie, and is judged again.
//!
//! One answer waits for one change, for a while, and ends; browsers come back by themselves, and an instance that stops is
//! not held up. With the session of whoever waits it ends at once, and so it does
//! where they are somebody else by then: without a group, or at another level.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use ring::digest::{Context, SHA256};

use super::one::Access;
use super::pages::OwnDevice;
use super::{Visit, sign_in, state};
use crate::gate::ciba::{SignIn, is_sign_in};
use crate::gate::endpoints::param;
use crate::gate::judge::facts_of;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Approval, ApprovalId};
use crate::model::time::Timestamp;
use crate::policy::decision::Decision;
use crate::policy::facts::Known;
use crate::store::Unavailable;

pub(super) const INBOX: &str = "inbox";

/// Of all that wait at the same time.
pub(super) const MOST: usize = 1024;

/// How long one answer waits.
const WAIT: Duration = Duration::from_secs(20);

/// Between two looks at whether whoever waits is still signed in.
const LOOK: Duration = Duration::from_secs(1);

/// Until a browser comes back, in milliseconds: at once, and where there is no room to wait.
const AT_ONCE: u32 = 500;
const LATER: u32 = 10_000;

/// What no page has seen.
const OTHER: &str = "other";

/// Who waits, after a while.
enum Still {
    Here,
    /// With other groups, or claims.
    Other,
    /// Signed out, or not let in any more.
    Gone,
}

impl Gate {
    pub(super) async fn events(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let Some(of) = param(visit.incoming, "for") else {
            return Ok(self.nothing_here(visit));
        };
        let last = visit.incoming.headers.get("last-event-id");
        let known = last
            .and_then(|last| last.to_str().ok().map(str::to_owned))
            .or_else(|| param(visit.incoming, "seen"))
            .unwrap_or_default();
        let Ok(_place) = self.desk.waiting.try_acquire() else {
            return Ok(match self.seen_now(visit, &of).await? {
                Some(seen) => told(visit, &known, &seen, LATER),
                None => self.nothing_here(visit),
            });
        };
        // Before the first look: what changes after it is not missed.
        let mut changes = self.approvals().changes();
        let waits = async {
            let mut is_changed = true;
            loop {
                if is_changed {
                    match self.seen_now(visit, &of).await? {
                        Some(seen) if seen == known => {}
                        other => return Ok(other),
                    }
                }
                is_changed = match tokio::time::timeout(LOOK, changes.changed()).await {
                    // The engine is another one by now.
                    Ok(Err(_)) => return Ok(Some(known.clone())),
                    Ok(Ok(())) => true,
                    Err(_) => false,
                };
                match self.still(visit).await? {
                    Still::Here => {}
                    Still::Other => return Ok(Some(OTHER.to_owned())),
                    Still::Gone => return Ok(None),
                }
            }
        };
        let seen = match tokio::time::timeout(WAIT, waits).await {
            Ok(seen) => seen?,
            // It may have expired, which nobody has to write for it to be so.
            Err(_) => self.seen_now(visit, &of).await?,
        };
        Ok(match seen {
            Some(seen) => told(visit, &known, &seen, AT_ONCE),
            None => self.nothing_here(visit),
        })
    }

    /// As of now, and not of when the waiting began.
    async fn still(&self, visit: &Visit<'_, '_>) -> Result<Still, Unavailable> {
        let now = self.parts.clock.now();
        let incoming = visit.incoming;
        let known = self.known_session(incoming, visit.site.origin, now).await;
        let held = match &known {
            Known::Found(held) => held,
            Known::Absent => return Ok(Still::Gone),
            Known::Unavailable => return Err(Unavailable),
        };
        let decision = self.decide(visit.demand, facts_of(&known), incoming.client, now);
        Ok(match decision {
            Decision::Allow(_) if held.live.session.identity == *visit.identity() => Still::Here,
            Decision::Allow(_) => Still::Other,
            _ => Still::Gone,
        })
    }

    /// `None`: it is not this person's.
    async fn seen_now(
        &self,
        visit: &Visit<'_, '_>,
        of: &str,
    ) -> Result<Option<String>, Unavailable> {
        let now = self.parts.clock.now();
        if is_sign_in(of) {
            return self.sign_in_seen(visit, of).await;
        }
        if of != INBOX {
            let id = ApprovalId(of.to_owned());
            return Ok(match self.access(visit, &id).await? {
                Access::Seen(seen) => {
                    let devices = self.own_devices(visit, &seen).await?;
                    Some(with_devices(
                        digest_of([&seen.approval], now),
                        devices.as_deref(),
                    ))
                }
                Access::Short(_) | Access::Nothing => None,
            });
        }
        let waiting = self.waiting_for(visit).await?;
        let passed = self.passed_for(visit).await?;
        let asked = self.asked_by(visit).await?;
        let all = waiting.iter().chain(&passed).map(|one| &one.approval);
        let all = all.chain(&asked);
        let sign_ins = self.sign_ins_of(visit).await?;
        Ok(Some(with(digest_of(all, now), &sign_ins, now)))
    }
}

/// Of what pages show of them: how far each is.
pub(super) fn digest_of<'a>(
    approvals: impl IntoIterator<Item = &'a Approval>,
    now: Timestamp,
) -> String {
    let mut context = Context::new(&SHA256);
    for one in approvals {
        let votes = one.votes.len();
        let line = format!("{} {} {votes} {}\n", one.id.0, state(one, now), one.tries);
        context.update(line.as_bytes());
    }
    let digest = context.finish();
    let bytes = digest.as_ref().iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Of a request that is its reader's own to decide: what it can be decided with, too.
pub(super) fn with_devices(seen: String, devices: Option<&[OwnDevice]>) -> String {
    let Some(devices) = devices else {
        return seen;
    };
    let mut context = Context::new(&SHA256);
    for device in devices {
        let line = format!("{} {}\n", device.id, device.text.unwrap_or_default());
        context.update(line.as_bytes());
    }
    let digest = context.finish();
    let bytes = digest.as_ref().iter().take(4);
    bytes.fold(seen, |seen, byte| format!("{seen}{byte:02x}"))
}

/// Of the inbox: both, where there is both.
pub(super) fn with(seen: String, sign_ins: &[SignIn], now: Timestamp) -> String {
    match sign_ins {
        [] => seen,
        all => seen + &sign_in::digest_of(all, now),
    }
}

fn told(visit: &Visit<'_, '_>, known: &str, seen: &str, retry: u32) -> Reply {
    let mut text = format!("retry: {retry}\nid: {seen}\n");
    if seen != known {
        text.push_str("event: state\ndata: changed\n");
    }
    text.push('\n');
    let mut reply = Reply::new(StatusCode::OK, Bytes::from(text), visit.record.clone());
    reply.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    reply
}
