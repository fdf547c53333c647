//! What a program reads of how it stands, at once or when it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{denied, name, rfc3339, standing_name, yes};
use crate::gate::approvals::Asker;
use crate::gate::bearer::invite;
use crate::gate::reply::Problem;
use crate::gate::words::Language;
use crate::gate::{Gate, Incoming, Record, Reply, Site};
use crate::model::approval::{Approval, Status};
use crate::model::time::Timestamp;
use crate::policy::approval;
use crate::policy::facts::Known;
use crate::store::{SubjectTag, Unavailable};

/// A program waits no longer for news, whatever it would like.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Programs that wait at one time, and those of one user among them; others are told at once how it stands.
const WAITERS: usize = 256;
const WAITERS_OF_ONE: usize = 16;

/// Between two looks: another instance may have changed it.
const LOOK: Duration = Duration::from_millis(500);

/// Who waits, and how often. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct Patience(Arc<Mutex<HashMap<SubjectTag, usize>>>);

/// Of one who waits; given back when dropped.
struct Place {
    among: Patience,
    whose: SubjectTag,
}

impl Patience {
    fn place(&self, whose: SubjectTag) -> Option<Place> {
        let mut all = self.lock();
        let waiting: usize = all.values().sum();
        let theirs = all.get(&whose).copied().unwrap_or_default();
        if waiting >= WAITERS || theirs >= WAITERS_OF_ONE {
            return None;
        }
        all.insert(whose, theirs + 1);
        Some(Place {
            among: self.clone(),
            whose,
        })
    }

    /// Every change is whole: there is no half-done state behind a panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<SubjectTag, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.among.lock();
        let left = all
            .get(&self.whose)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            all.remove(&self.whose);
        } else {
            all.insert(self.whose, left);
        }
    }
}

/// What a program reads. Times by RFC 3339.
#[derive(Debug, Serialize)]
struct State<'a> {
    approval_id: &'a str,
    status: &'static str,
    summary: &'a str,
    /// For the person who waits, who tells it to whoever decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
    approvals: u32,
    needed: u32,
    /// It holds for every such request until `use_until`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    for_a_while: bool,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<&'static str>,
    /// What the app answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_status: Option<u16>,
}

impl Gate {
    /// How it stands, or when it changes if the program would rather wait (`Prefer: wait`, RFC 7240 section 4.3).
    pub(super) async fn state(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: Asker,
        approval: Approval,
    ) -> Reply {
        let (mut asker, mut approval) = (asker, approval);
        let began = standing_name(&approval, self.parts.clock.now());
        let wait = wait(incoming.headers);
        if let Some(wait) = wait
            && let Some(_place) = self.patience.place(asker.subject())
        {
            let looks = async {
                loop {
                    let now = self.parts.clock.now();
                    asker = self
                        .still_asks(incoming, site, &asker, &approval, now)
                        .await?;
                    match self.approvals.find(&approval.id, now).await {
                        Ok(Some(found)) => approval = found,
                        // It is told as it was when it was last seen.
                        Ok(None) | Err(Unavailable) => return Ok::<_, Box<Reply>>(()),
                    }
                    if standing_name(&approval, now) != began {
                        return Ok(());
                    }
                    tokio::time::sleep(LOOK).await;
                }
            };
            if let Ok(Err(reply)) = tokio::time::timeout(wait, looks).await {
                return *reply;
            }
        }
        let now = self.parts.clock.now();
        let standing = approval::standing(&approval, now);
        let record = Record {
            subject: Some(asker.subject()),
            ..Record::of("own")
        };
        let state = State {
            approval_id: &approval.id.0,
            status: name(&standing),
            summary: &Language::En.asking(&approval.summary, &approval.terms),
            number: approval
                .number
                .as_ref()
                .filter(|_| standing == Status::Pending)
                .map(|number| number.reveal()),
            approvals: yes(&approval),
            needed: approval.terms.need,
            for_a_while: approval.terms.for_a_while,
            expires_at: rfc3339(approval.expires),
            use_until: match standing {
                Status::Approved { redeem_until, .. } => Some(rfc3339(redeem_until)),
                _ => None,
            },
            denied: denied(&standing),
            app_status: match standing {
                Status::Consumed { upstream, .. } => upstream,
                _ => None,
            },
        };
        let mut reply = Reply::json(StatusCode::OK, &state, record).reason(name(&standing));
        if wait.is_some() {
            let applied = http::HeaderValue::from_static("wait");
            let name = http::HeaderName::from_static("preference-applied");
            reply.headers.insert(name, applied);
        }
        reply
    }

    /// As of now, and not of when the waiting began: the session, under whatever id, or the token is good, and asked for it.
    async fn still_asks(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        asker: &Asker,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<Asker, Box<Reply>> {
        let asker = match asker {
            Asker::Session(held) => match self.session_at(held.key, site.origin, now).await {
                Known::Found(held) => Asker::Session(held),
                Known::Absent => return Err(Box::new(self.nobody_waits(incoming, site))),
                Known::Unavailable => return Err(Box::new(self.unknown_state(incoming))),
            },
            Asker::Bearer(_) => match self.bearer_still(incoming, site, now).await {
                Some(Ok(verified)) => Asker::Bearer(verified),
                Some(Err(reply)) => return Err(Box::new(reply)),
                None => return Err(Box::new(self.nobody_waits(incoming, site))),
            },
        };
        match asker.asked_for(approval) {
            true => Ok(asker),
            false => Err(Box::new(self.nobody_waits(incoming, site))),
        }
    }

    fn nobody_waits(&self, incoming: &Incoming<'_>, site: Site<'_>) -> Reply {
        let (code, title) = ("login", "Sign in first.");
        let status = StatusCode::UNAUTHORIZED;
        let problem = Problem {
            status: status.as_u16(),
            title,
            detail: Some("The session in which it was asked for has ended."),
            code,
            request_id: incoming.request_id,
            ..Problem::default()
        };
        let mut reply = Reply::json(status, &problem, Record::of("own")).reason("session-ended");
        reply.ask_for_a_cookie();
        if let Some(rules) = &site.app.bearer {
            invite(&mut reply, rules);
        }
        reply
    }
}

/// `Prefer: wait=30`, in seconds; not longer than it may be.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter();
    let seconds = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then_some(value)
        })
        .find(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))?;
    // More than fits is as long as it may be.
    let seconds = seconds.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_user_leaves_room_for_others() {
        let patience = Patience::default();
        let of = |user: usize| patience.place(SubjectTag::of("issuer", &user.to_string()));
        let theirs: Vec<_> = (0..100).filter_map(|_| of(0)).collect();
        assert_eq!(theirs.len(), WAITERS_OF_ONE);
        let all: Vec<_> = (0..10_000)
            .filter_map(|number| of(1 + number / 10))
            .collect();
        assert_eq!(theirs.len() + all.len(), WAITERS);
        drop(theirs);
        assert!(of(0).is_some() && of(5000).is_some());
        drop(all);
        assert!(patience.lock().is_empty());
    }

    #[test]
    fn a_program_waits_as_long_as_it_says_and_no_longer_than_it_may() {
        for (value, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, Wait = \"7\"; x", Some(7)),
            ("wait=0", Some(0)),
            ("wait=3600", Some(LONGEST_WAIT.as_secs())),
            ("wait=99999999999999999999", Some(LONGEST_WAIT.as_secs())),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("wait=", None),
            ("wait", None),
            ("respond-async", None),
        ] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("prefer"),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(wait(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
