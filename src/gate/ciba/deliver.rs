//! Tells Keycloak what its user said, and writes down what came of it. What fails for now is tried again a few times, as
//! long as Keycloak waits; what was never told confirms nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Sent, Shared, SignIn, State, lock};
use crate::gate::Gate;
use crate::model::approval::Answer;
use crate::model::time::Timestamp;
use crate::oidc::{ChannelAnswer, OidcError, Undelivered};
use crate::store::Unavailable;
use crate::telemetry::metrics::SignInOutcome;
use crate::telemetry::{AuditEvent, AuditKind};

/// The first one included.
const TRIES: u32 = 5;

/// Before the second try; each pause is twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(1);

/// One is being sent by this process; given back when dropped.
struct Sending {
    shared: Shared,
    id: String,
}

impl Sending {
    /// `None`: it is already.
    fn begin(shared: &Shared, id: &str) -> Option<Self> {
        let is_new = lock(&shared.0.sending).insert(id.to_owned());
        is_new.then(|| Self {
            shared: shared.clone(),
            id: id.to_owned(),
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        lock(&self.shared.0.sending).remove(&self.id);
    }
}

impl Gate {
    /// What is to be sent is, in the background; nobody waits for it but by looking.
    pub(in crate::gate) fn send_answer(self: &Arc<Self>, sign_in: &SignIn) {
        if sign_in.unsent().is_none() {
            return;
        }
        let Some(sending) = Sending::begin(&self.sign_ins.shared, &sign_in.id) else {
            return;
        };
        // A process that ends is not held up.
        let gate = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = PAUSE;
            for left in (0..TRIES).rev() {
                let Some(gate) = gate.upgrade() else {
                    return;
                };
                let may_again = (left > 0).then_some(pause);
                if gate.tell_keycloak(&sending.id, may_again).await {
                    return;
                }
                drop(gate);
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        });
    }

    /// Whether that was the last of it. `may_again`: after that pause.
    async fn tell_keycloak(&self, id: &str, may_again: Option<Duration>) -> bool {
        // As it is now: somebody else may have sent it a moment ago.
        let sign_in = match self.sign_ins.find(id, self.parts.clock.now()).await {
            Ok(Some(found)) => found,
            Ok(None) => return true,
            Err(Unavailable) => return may_again.is_none(),
        };
        let Some((answer, token)) = sign_in.unsent() else {
            return true;
        };
        let word = match answer {
            Answer::Yes => ChannelAnswer::Succeed,
            Answer::No => ChannelAnswer::Cancelled,
            Answer::Report => ChannelAnswer::Unauthorized,
        };
        let told = self.parts.provider.channel_answer(token, word).await;
        let now = self.parts.clock.now();
        if let Err(Undelivered::Outage(OidcError::Unavailable(outage))) = &told
            && may_again.is_some_and(|pause| now.plus(pause) < sign_in.expires)
        {
            tracing::warn!(%outage, "keycloak is told later what its user said");
            return false;
        }
        self.was_told(&sign_in, told.err(), now).await;
        true
    }

    async fn was_told(&self, sign_in: &SignIn, failure: Option<Undelivered>, now: Timestamp) {
        let sent = match failure {
            None => Sent::Done,
            Some(_) => Sent::Failed,
        };
        let changed = self
            .sign_ins
            .change(&sign_in.id, now, |one| one.sent(sent).ok_or(()))
            .await;
        if let Err(Unavailable) = changed {
            tracing::warn!("what Keycloak made of an answer by CIBA could not be written down");
        }
        self.approvals.touched();
        let text = failure.as_ref().map(ToString::to_string);
        let event = AuditEvent {
            reason: Some(match failure {
                None => "told",
                Some(_) => "not-told",
            }),
            sub: Some(&sign_in.person.sub),
            azp: Some(&sign_in.client),
            approval: Some(&sign_in.id),
            words: text.as_deref(),
            ..AuditEvent::new(AuditKind::CibaAnswered)
        };
        self.parts.audit.record(&event, now);
        if let Some(failure) = failure {
            tracing::warn!(error = %failure, "keycloak was not told what its user said");
            let metrics = &self.parts.metrics;
            metrics.sign_in(&sign_in.client, SignInOutcome::Undelivered);
        }
    }

    /// Writes that it has expired, if it then has, for whoever counts; for whoever looks it has without that.
    pub(super) fn lapse_later(self: &Arc<Self>, sign_in: &SignIn) {
        let left = sign_in.expires.since(self.parts.clock.now());
        let (gate, id) = (Arc::downgrade(self), sign_in.id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(left + Duration::from_secs(1)).await;
            // Another configuration's gate may have taken its place: then nobody counts it.
            if let Some(gate) = gate.upgrade() {
                gate.lapse(&id).await;
            }
        });
    }

    async fn lapse(&self, id: &str) {
        let now = self.parts.clock.now();
        let changed = self
            .sign_ins
            .change(id, now, |one| one.expired(now).ok_or(()))
            .await;
        if let Ok(Some(Ok(over))) = changed
            && matches!(over.state, State::Expired { .. })
        {
            let outcome = SignInOutcome::Expired;
            self.note_sign_in(AuditKind::CibaDecided, &over, "expired", outcome);
            self.approvals.touched();
        }
    }
}
