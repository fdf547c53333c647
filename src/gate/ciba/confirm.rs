//! stepgate as a client of Keycloak's CIBA: where an approval names such a channel as its approver, Keycloak has the
//! requester confirm it on a device of theirs, and its word is the yes or the no.
//!
//! The word is a token that came in answer to our own request, for the requester, issued after it was asked for. Whatever
//! else comes is a no; silence is one, too. No level is ever taken from it.
//!
//! What is waited for stands in the approval's record: with a store that outlives the process, the next one goes on asking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

use super::lock;
use crate::config::{Channel, ChannelKind, CibaDelivery, CibaDevice};
use crate::gate::approvals::Changed;
use crate::gate::bearer::bearer_alone;
use crate::gate::words::Language;
use crate::gate::{Gate, Incoming, Record, Reply};
use crate::model::approval::{Answer, Approval, ApprovalId, Awaited, Status, Vote};
use crate::model::evidence::Identity;
use crate::model::session::Secret;
use crate::model::time::Timestamp;
use crate::notify::Detail;
use crate::oidc::{CLOCK_TOLERANCE, Confirmation, Exchange, OidcError, Polled};
use crate::policy::approval::standing;
use crate::seal::token;
use crate::telemetry::metrics::ChannelDecision;
use crate::telemetry::{AuditEvent, AuditKind};

/// Where Keycloak pings, behind [`super::super::OWN_PREFIX`] of the approver app's host.
pub(in crate::gate) const PING: &str = "ciba/ping";

const POST: &[Method] = &[Method::POST];

/// CIBA Core section 11: by so much less often from then on.
const SLOWER: Duration = Duration::from_secs(5);

/// A ping may get lost.
const UNPINGED: Duration = Duration::from_secs(15);

/// After an outage, however long it takes; what Keycloak itself asks for may be longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Requests that wait for Keycloak's word at the same time, in this process.
const MOST: usize = 1000;

/// Of what is told about the request, in characters: Keycloak hands on no more.
const LONGEST_PARAM: usize = 200;

/// Of that, what says that a yes holds for a while.
const LONGEST_SPAN: usize = 60;

/// Claims by which Keycloak finds a user, best first.
const HINTS: [&str; 2] = ["preferred_username", "email"];

/// 256 bits.
const NOTIFICATION_BYTES: usize = 32;

/// Why nobody was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct NotAsked {
    pub(in crate::gate) status: StatusCode,
    /// The requester reads it.
    pub(in crate::gate) why: &'static str,
}

impl NotAsked {
    const fn because(why: &'static str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, why }
    }
}

/// What waits for Keycloak's word, by the approval's id.
#[derive(Debug, Default)]
pub(super) struct Confirmations(Mutex<HashMap<String, Waiting>>);

#[derive(Clone, Debug)]
struct Waiting {
    /// With pings: what Keycloak shows.
    token: Option<Secret>,
    /// Of the request, once that is known.
    request: Option<Secret>,
    pinged: Arc<Notify>,
}

/// As a ping has it (section 10.2); what else it says is of no use here.
#[derive(Deserialize)]
struct Ping {
    auth_req_id: Secret,
}

/// A short word that the device and the page both show. Of the id, so that everybody makes the same of it.
pub(in crate::gate) fn code_of(id: &ApprovalId) -> String {
    let hash = digest(&SHA256, id.0.as_bytes());
    let hex: String = hash
        .as_ref()
        .iter()
        .take(4)
        .map(|b| format!("{b:02X}"))
        .collect();
    let (left, right) = hex.split_at_checked(4).unwrap_or((&hex, ""));
    format!("{left}-{right}")
}

impl Gate {
    /// Has Keycloak ask the requester, where the approval is decided so. Until then nobody waits for anything.
    pub(in crate::gate) async fn begin_confirmation(
        self: &Arc<Self>,
        approval: &Approval,
        requester: &Identity,
    ) -> Result<(), NotAsked> {
        let Some(name) = approval.terms.ciba.clone() else {
            return Ok(());
        };
        let Some((channel, device)) = self.confirming(&name) else {
            let why = "The channel that decides on it is gone.";
            return Err(NotAsked::because(why));
        };
        let hint = HINTS
            .iter()
            .find_map(|claim| requester.claims.get(*claim)?.as_str());
        let Some(hint) = hint else {
            let why = "Keycloak does not say by which name it knows you.";
            return Err(NotAsked::because(why));
        };
        // A device that asks all day is one on which yes is said to be left alone.
        if !self.announcer.takes(approval, &[]) {
            self.note_confirmation(approval, &name, "too-often", ChannelDecision::Failed);
            return Err(NotAsked {
                status: StatusCode::TOO_MANY_REQUESTS,
                why: "You were asked on your device often enough. Wait some minutes before you try again.",
            });
        }
        let waiting = Waiting {
            token: match device.delivery {
                CibaDelivery::Ping => {
                    Some(Secret::new(token(&*self.parts.random, NOTIFICATION_BYTES)))
                }
                CibaDelivery::Poll => None,
            },
            request: None,
            pinged: Arc::default(),
        };
        {
            let mut all = lock(&self.sign_ins.shared.0.confirmations.0);
            if all.len() >= MOST {
                let why = "Too many wait for Keycloak's word at the moment.";
                return Err(NotAsked::because(why));
            }
            // Before it is asked: a ping may be faster than the answer.
            all.insert(approval.id.0.clone(), waiting.clone());
        }
        let kept = Kept::new(self, &approval.id);
        let message = code_of(&approval.id);
        let params = params(device, channel.detail, approval);
        let wanted = Confirmation {
            login_hint: hint,
            binding_message: &message,
            notification_token: waiting.token.as_ref(),
            params: &params,
        };
        let begun = match self.parts.provider.begin_confirmation(wanted).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(%error, channel = name, "nobody could be asked by CIBA");
                self.note_confirmation(approval, &name, "not-asked", ChannelDecision::Failed);
                return Err(NotAsked::because(match error {
                    OidcError::Refused { .. } => "Keycloak does not ask you on a device.",
                    _ => "Keycloak cannot be reached, so that nobody could be asked.",
                }));
            }
        };
        kept.is_request(&begun.id);
        self.note_confirmation(approval, &name, "asked", ChannelDecision::Asked);
        let now = self.parts.clock.now();
        let awaited = Awaited {
            request: begun.id,
            ping: waiting.token.clone(),
            interval: begun.interval,
            ends: approval.expires.min(now.plus(begun.expires_in)),
        };
        let written = self.approvals.awaits(&approval.id, &awaited, now).await;
        if !matches!(written, Ok(Changed::Done(_))) {
            // This process knows it; the next one will not.
            tracing::warn!(
                channel = name,
                "what is waited for could not be written down"
            );
        }
        kept.wait(approval, name, awaited, waiting);
        Ok(())
    }

    /// What a process before this one was waiting for, by the configuration of now.
    pub(in crate::gate) fn wait_again(self: &Arc<Self>, approval: &Approval) {
        let (Some(name), Some(awaited)) = (&approval.terms.ciba, &approval.awaited) else {
            return;
        };
        // Nobody's word, then: it expires.
        if self.confirming(name).is_none() {
            return;
        }
        let waiting = Waiting {
            token: awaited.ping.clone(),
            request: Some(awaited.request.clone()),
            pinged: Arc::default(),
        };
        {
            let mut all = lock(&self.sign_ins.shared.0.confirmations.0);
            if all.contains_key(&approval.id.0) || all.len() >= MOST {
                return;
            }
            all.insert(approval.id.0.clone(), waiting.clone());
        }
        tracing::info!(channel = name, "keycloak's word is waited for again");
        let kept = Kept::new(self, &approval.id);
        kept.wait(approval, name.clone(), awaited.clone(), waiting);
    }

    fn confirming(&self, name: &str) -> Option<(&Channel, &CibaDevice)> {
        let channels = self.parts.config.channels.iter();
        let mut devices = channels.filter_map(|channel| match &channel.kind {
            ChannelKind::Ciba(device) => Some((channel, device)),
            _ => None,
        });
        devices.find(|(channel, _)| channel.name == name)
    }

    async fn wait_for_word(
        &self,
        approval: &Approval,
        name: &str,
        awaited: &Awaited,
        waiting: &Waiting,
    ) {
        let sub = &approval.requester.person.sub;
        let mut pace = Pace::of(awaited);
        loop {
            // A ping is a hint; what it is worth says the token endpoint.
            let _either = tokio::time::timeout(pace.pause(), waiting.pinged.notified()).await;
            let now = self.parts.clock.now();
            let found = self.approvals.find(&approval.id, now).await;
            if let Ok(found) = found
                && found.is_none_or(|found| standing(&found, now) != Status::Pending)
            {
                return;
            }
            if now >= awaited.ends {
                return self.no_word(approval, name, now).await;
            }
            let polled = self
                .parts
                .provider
                .poll_confirmation(&awaited.request)
                .await;
            let (answer, reason) = match polled {
                Ok(Polled::Confirmed(tokens)) => {
                    match is_their_word(&tokens, &awaited.request, sub, approval) {
                        Ok(()) => (Answer::Yes, None),
                        Err(why) => (Answer::No, Some(why)),
                    }
                }
                Ok(Polled::Pending) => continue,
                Ok(Polled::SlowDown) => {
                    pace.slow_down();
                    continue;
                }
                Ok(Polled::Denied) => (Answer::No, None),
                Ok(Polled::Expired) => return self.no_word(approval, name, now).await,
                // It may come back in time.
                Err(OidcError::Unavailable(outage)) => {
                    tracing::warn!(%outage, channel = name, "keycloak's word cannot be asked for");
                    pace.outage();
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, channel = name, "keycloak's word is none");
                    (Answer::No, Some("Keycloak gave no word that counts."))
                }
            };
            return self.word(approval, name, answer, reason).await;
        }
    }

    async fn word(&self, approval: &Approval, name: &str, answer: Answer, reason: Option<&str>) {
        let now = self.parts.clock.now();
        let word = Vote {
            person: approval.requester.person.clone(),
            name: approval.requester.name.clone(),
            answer,
            reason: reason.map(str::to_owned),
            channel: format!("ciba:{name}"),
            at: now,
        };
        match self.confirmed_by(&approval.id, name, &word, now).await {
            Ok(Changed::Done(_)) => {
                let metrics = &self.parts.metrics;
                metrics.decided_by(name, ChannelDecision::of(answer));
            }
            Ok(Changed::Refused(_) | Changed::Absent) => {
                self.note_confirmation(approval, name, "too-late", ChannelDecision::Refused);
            }
            // It expires.
            Err(_unavailable) => tracing::warn!("keycloak's word could not be written down"),
        }
    }

    async fn no_word(&self, approval: &Approval, name: &str, now: Timestamp) {
        self.note_confirmation(approval, name, "no-word", ChannelDecision::Failed);
        if self.approvals.lapse(&approval.id, now).await.is_err() {
            // It does so by itself a little later.
            tracing::warn!("an approval that nobody decides on could not be ended");
        }
    }

    fn note_confirmation(
        &self,
        approval: &Approval,
        name: &str,
        reason: &str,
        result: ChannelDecision,
    ) {
        let channel = format!("ciba:{name}");
        let event = AuditEvent {
            reason: Some(reason),
            origin: Some(&approval.action.origin),
            route: Some(&approval.action.route),
            sub: Some(&approval.requester.person.sub),
            approval: Some(&approval.id.0),
            channel: Some(&channel),
            ..AuditEvent::new(AuditKind::CibaConfirmation)
        };
        self.parts.audit.record(&event, self.parts.clock.now());
        self.parts.metrics.decided_by(name, result);
    }

    /// `POST /.stepgate/ciba/ping`: a poll is worth it now. It decides nothing.
    pub(in crate::gate) fn ciba_ping(&self, incoming: &Incoming<'_>) -> Reply {
        if !POST.contains(incoming.method) {
            return self.wrong_method(POST, incoming);
        }
        let answer = |status| Reply::new(status, "", Record::of("own")).reason("ciba-ping");
        let ping = serde_json::from_slice::<Ping>(incoming.body).ok();
        let (Some(shown), Some(ping)) = (bearer_alone(incoming.headers), ping) else {
            return answer(StatusCode::BAD_REQUEST);
        };
        let all = lock(&self.sign_ins.shared.0.confirmations.0);
        // The token alone says which, and has to belong to the request that is named (section 10.2).
        let found = all.values().find(|waiting| {
            let known = waiting.token.as_ref();
            known.is_some_and(|known| is_same(known.reveal(), shown))
        });
        match found {
            Some(waiting)
                if waiting
                    .request
                    .as_ref()
                    .is_none_or(|known| is_same(known.reveal(), ping.auth_req_id.reveal())) =>
            {
                waiting.pinged.notify_one();
                answer(StatusCode::NO_CONTENT)
            }
            _ => {
                let mut reply = Reply::json(
                    StatusCode::UNAUTHORIZED,
                    &json!({ "code": "ciba-ping" }),
                    Record::of("own"),
                );
                reply.record.reason = Some("ciba-ping-refused");
                reply
            }
        }
    }
}

/// How long it takes until Keycloak is asked again.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    pinged: bool,
}

impl Pace {
    const fn of(awaited: &Awaited) -> Self {
        Self {
            interval: awaited.interval,
            pinged: awaited.ping.is_some(),
        }
    }

    /// Without a ping.
    fn pause(&self) -> Duration {
        match self.pinged {
            true => self.interval.max(UNPINGED),
            false => self.interval,
        }
    }

    /// For this and all further polls (CIBA Core section 11), from what was really kept.
    fn slow_down(&mut self) {
        self.interval = self.pause() + SLOWER;
    }

    fn outage(&mut self) {
        self.interval = self.interval.max((self.interval * 2).min(LONGEST_PAUSE));
    }
}

/// Forgotten when its word is there, or nobody waits for it any more.
struct Kept {
    gate: Arc<Gate>,
    id: String,
}

impl Kept {
    fn new(gate: &Arc<Gate>, id: &ApprovalId) -> Self {
        Self {
            gate: Arc::clone(gate),
            id: id.0.clone(),
        }
    }

    fn wait(self, approval: &Approval, name: String, awaited: Awaited, waiting: Waiting) {
        let approval = approval.clone();
        tokio::spawn(async move {
            let word = self
                .gate
                .wait_for_word(&approval, &name, &awaited, &waiting);
            word.await;
            drop(self);
        });
    }

    fn is_request(&self, request: &Secret) {
        let mut all = lock(&self.gate.sign_ins.shared.0.confirmations.0);
        if let Some(waiting) = all.get_mut(&self.id) {
            waiting.request = Some(request.clone());
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&self.gate.sign_ins.shared.0.confirmations.0).remove(&self.id);
    }
}

/// Who it is of and that it was asked for by us is verified by then (`aud`, `azp`, and that it came by this very poll).
fn is_their_word(
    tokens: &Exchange,
    request: &Secret,
    sub: &str,
    approval: &Approval,
) -> Result<(), &'static str> {
    let claims = &tokens.id;
    if claims.text("sub") != Some(sub) {
        return Err("Somebody else confirmed it.");
    }
    // Keycloak sends none to whoever polls; one that is there has to be of this request.
    let of_another =
        claims.0.contains_key(REQUEST) && claims.text(REQUEST) != Some(request.reveal());
    let asked = approval.created.minus(CLOCK_TOLERANCE);
    let is_new = |at: Option<Timestamp>| at.is_some_and(|at| at >= asked);
    let issued = claims.integer("iat").map(Timestamp::from_unix);
    if of_another || !is_new(issued) || !is_new(claims.auth_time()) {
        return Err("What came was not confirmed for this request.");
    }
    Ok(())
}

fn params(device: &CibaDevice, detail: bool, approval: &Approval) -> Vec<(String, String)> {
    let mut params = device.params.clone();
    if detail {
        let detail = Detail::new(&approval.summary, "");
        let most = LONGEST_PARAM - LONGEST_SPAN;
        let summary: String = detail.summary().chars().take(most).collect();
        // How long it holds is never what is cut.
        let asked = Language::En.asking(&summary, &approval.terms);
        params.push((SUMMARY.to_owned(), asked.into_owned()));
    }
    params
}

/// CIBA Core section 10.3.1.
const REQUEST: &str = "urn:openid:params:jwt:claim:auth_req_id";

/// The parameter that tells what is to be confirmed.
const SUMMARY: &str = "summary";

/// Takes as long whichever letter differs.
fn is_same(known: &str, shown: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"the same length for both");
    let tag = hmac::sign(&key, known.as_bytes());
    hmac::verify(&key, shown.as_bytes(), tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::time::Duration;

    use super::*;
    use crate::model::claims::Claims;
    use crate::policy::example::given;

    #[test]
    fn a_code_is_short_and_everybodys_the_same() {
        let code = code_of(&ApprovalId("abc".to_owned()));
        // SHA-256 of it, FIPS 180-2.
        assert_eq!(code, "BA78-16BF");
    }

    #[test]
    fn what_is_compared_is_all_of_it() {
        assert!(is_same("token", "token"));
        for other in ["", "toke", "token2", "Token"] {
            assert!(!is_same("token", other));
        }
    }

    #[test]
    fn the_pace_slows_down_as_it_is_told_to_and_never_speeds_up() {
        let pace = |interval, ping: bool| {
            Pace::of(&Awaited {
                request: Secret::new("r-1"),
                ping: ping.then(|| Secret::new("p-1")),
                interval: Duration::from_secs(interval),
                ends: Timestamp::from_unix(120),
            })
        };
        // When it polls within two minutes, where the answers to the first polls are these.
        let polls = |mut pace: Pace, answers: &str| {
            let mut answers = answers.chars();
            let mut now = Duration::ZERO;
            let mut at = Vec::new();
            loop {
                now += pace.pause();
                if now.as_secs() >= 120 {
                    return at;
                }
                at.push(now.as_secs());
                match answers.next() {
                    Some('s') => pace.slow_down(),
                    Some('o') => pace.outage(),
                    _ => {}
                }
            }
        };
        assert_eq!(polls(pace(40, false), ""), [40, 80]);
        // By five seconds more from then on, each time it is said.
        assert_eq!(polls(pace(25, false), "s"), [25, 55, 85, 115]);
        assert_eq!(polls(pace(2, false), "ssss")[..6], [2, 9, 21, 38, 60, 82]);
        // Also where an interval is as long as any pause after an outage.
        assert_eq!(polls(pace(55, false), "so"), [55, 115]);
        let mut slow = pace(60, false);
        slow.slow_down();
        assert_eq!(slow.pause(), Duration::from_secs(65));
        slow.outage();
        assert_eq!(slow.pause(), Duration::from_secs(65));
        // With pings, from the pause that was kept.
        assert_eq!(polls(pace(2, true), "s")[..4], [15, 35, 55, 75]);
        assert_eq!(polls(pace(2, false), "ooo")[..5], [2, 6, 14, 30, 46]);
        let mut away = pace(2, false);
        for _ in 0..20 {
            away.outage();
        }
        assert_eq!(away.pause(), LONGEST_PAUSE);
    }

    #[test]
    fn a_word_is_of_the_requester_and_new() {
        let approval = given();
        let created = approval.created.as_unix();
        let judged = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut claims =
                serde_json::json!({ "sub": "alice", "iat": created + 9, "auth_time": created + 9 });
            change(&mut claims);
            let id: Claims = serde_json::from_value(claims).unwrap();
            let exchange = Exchange {
                id_token: Secret::new("t"),
                id,
                access: None,
                refresh: None,
                access_expires: None,
                answered: approval.created.plus(Duration::from_secs(9)),
            };
            is_their_word(&exchange, &Secret::new("r-1"), "alice", &approval).is_ok()
        };
        assert!(judged(&|_| ()));
        assert!(judged(&|claims| claims["iat"] = (created - 60).into()));
        assert!(!judged(&|claims| claims["sub"] = "bob".into()));
        assert!(!judged(&|claims| claims["sub"] = serde_json::Value::Null));
        assert!(!judged(&|claims| claims["iat"] = (created - 61).into()));
        assert!(!judged(
            &|claims| claims["auth_time"] = (created - 61).into()
        ));
        assert!(!judged(&|claims| claims["auth_time"] = "now".into()));
        for (request, expected) in [("another", false), ("r-1", true)] {
            assert_eq!(
                judged(&|claims| {
                    claims["urn:openid:params:jwt:claim:auth_req_id"] = request.into();
                }),
                expected
            );
        }
    }
}
