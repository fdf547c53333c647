//! Room for one more of a user's, where they have as many as they may: what is over is forgotten before its time, the
//! oldest first.
//!
//! An id that is forgotten is absent, and absent is never allowed: nobody votes on it, no request goes by it, and what was
//! parked with it is sent by nothing else until its own time is over. So it is a question of what a record still does:
//! - What waits, and a yes that is not used or holds for a while, do what they were asked for.
//! - A no, or a report, keeps its requester from asking again as long as a cool-down runs; otherwise whoever has the session
//!   could go on by asking for enough of something else.
//! - A no is the last to go beyond that: whoever decides next reads how often there was one of late.
//! - What became of anything else is lost to pages and history a little early. The audit log has it.

use std::time::Duration;

use super::{Approvals, MOST, TRIES};
use crate::gate::ledger::Filed;
use crate::model::approval::{Approval, Person, Status};
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::store::{ApprovalKey, ApprovalPut, Expect, Unavailable};

impl Approvals {
    /// Whether anything is gone.
    pub(super) async fn make_room(
        &self,
        person: &Person,
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let theirs: Vec<(_, Approval)> = self.ledger.all(&self.requester(person), now).await?;
        let over = theirs
            .into_iter()
            .filter_map(|(key, one)| Some((turn(&one, cooldown, now)?, key)));
        let mut over: Vec<_> = over.collect();
        over.sort_unstable();
        for (_, key) in over {
            if self.forget(&key, cooldown, now).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it is gone.
    async fn forget(
        &self,
        key: &ApprovalKey,
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        for _ in 0..TRIES {
            let Some((version, one)) = self.look(key, now).await? else {
                return Ok(true);
            };
            let expect = Expect::Version(version);
            // The audit log has it first.
            if let Some(over) = approval::expire(&one, now) {
                self.put_expired(&over.approval, expect, now).await?;
                continue;
            }
            if turn(&one, cooldown, now).is_none() {
                return Ok(false);
            }
            // What is past its time is absent.
            let filed = Filed {
                alone: None,
                owners: vec![self.requester(&one.requester.person)],
                expires: now,
            };
            let put = self.ledger.put(key, &one, filed, expect, MOST, now);
            if let ApprovalPut::Done(_) = put.await? {
                self.touched();
                return Ok(true);
            }
        }
        Err(Unavailable)
    }
}

/// The least goes first. `None`: it stays.
fn turn(one: &Approval, cooldown: Duration, now: Timestamp) -> Option<(bool, Timestamp)> {
    let is_no = match approval::standing(one, now) {
        Status::Pending | Status::Approved { .. } => return None,
        Status::Denied { at, .. } | Status::Revoked { at, reported: true } => {
            if now < at.plus(cooldown) {
                return None;
            }
            true
        }
        Status::Expired { .. }
        | Status::Cancelled { .. }
        | Status::Revoked { .. }
        | Status::Consumed { .. } => false,
    };
    Some((is_no, one.created))
}
