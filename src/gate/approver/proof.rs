//! A yes by a device of one's own: what its key signs, and whether that counts.
//!
//! A key signs (ECDSA on P-256 with SHA-256, as the Web Cryptography API does it) lines of text that no other purpose
//! has: the request by its id and by the digest of all that was shown and will run, the answer with its number, this
//! host, and a challenge that one session gets and that is taken once. A sign-in by CIBA is decided on in the same way.
//! In the sign-in that asked for an approval none is given: whoever has it, by a stolen cookie or an unlocked desk, needs a
//! second thing.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::Visit;
use crate::config::ApprovalRule;
use crate::gate::Gate;
use crate::gate::devices::Device;
use crate::gate::sessions::Held;
use crate::model::approval::Approval;
use crate::model::level::Rank;
use crate::model::time::Timestamp;
use crate::seal::token;
use crate::store::{Mark, Unavailable};

/// What a challenge is for, where it is for no request: it comes back with a flow that was begun for it.
pub(super) const ENROL: &str = "enrol";

const PURPOSE: &str = "device-challenge";

/// 128 bits.
const CHALLENGE_BYTES: usize = 16;

/// A person has to be in between at most once: a browser signs as soon as it has it.
const CHALLENGE_LASTS: Duration = Duration::from_secs(300);

/// A point on P-256, uncompressed.
const KEY_BYTES: usize = 65;

#[derive(Debug, Serialize, Deserialize)]
struct Challenge {
    id: String,
    until: Timestamp,
}

/// What a form brings beside the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'f> {
    pub(super) device: &'f str,
    pub(super) challenge: &'f str,
    pub(super) signature: &'f str,
}

/// What a key says yes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matter<'m> {
    pub(super) id: &'m str,
    /// Of all that was shown, and of what comes of it.
    pub(super) binding: &'m str,
    /// Empty where none is to be known.
    pub(super) number: &'m str,
}

/// Why a device does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// Nothing is signed.
    Missing,
    /// It is none of this person's, or no more.
    Unknown,
    /// It was asked for in this sign-in, or the device was enrolled in that one; or nobody knows in which.
    SameSession,
    /// It was enrolled a short while ago.
    New,
    /// It was enrolled at a lower level than the request needs.
    Weak,
    /// The challenge is another session's, too old, or was used before.
    Stale,
    /// The signature is not that key's over what was decided on.
    Forged,
}

impl Unproven {
    /// The text that says so.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Missing => "device_missing",
            Self::Unknown => "device_none",
            Self::SameSession => "device_same",
            Self::New => "device_new",
            Self::Weak => "device_weak",
            Self::Stale => "device_stale",
            Self::Forged => "device_forged",
        }
    }

    /// For the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "device-missing",
            Self::Unknown => "device-unknown",
            Self::SameSession => "device-of-the-same-sign-in",
            Self::New => "device-too-new",
            Self::Weak => "device-of-a-lower-level",
            Self::Stale => "device-challenge",
            Self::Forged => "device-signature",
        }
    }
}

impl Gate {
    /// `of`: an approval's id, or [`ENROL`].
    pub(super) fn fresh_challenge(
        &self,
        held: &Held,
        origin: &str,
        of: &str,
        now: Timestamp,
    ) -> String {
        let challenge = Challenge {
            id: token(&*self.parts.random, CHALLENGE_BYTES),
            until: now.plus(CHALLENGE_LASTS),
        };
        // What is empty opens as no challenge.
        let plaintext = serde_json::to_vec(&challenge).unwrap_or_default();
        let sealer = &self.parts.sealer;
        sealer.seal(PURPOSE, &place(held, origin, of), &plaintext)
    }

    /// What this session got, for that and not long ago.
    fn opened_challenge(&self, visit: &Visit<'_, '_>, of: &str, given: &str) -> Option<Challenge> {
        let place = place(visit.held, &visit.site.origin.text, of);
        let opened = self.parts.sealer.open(PURPOSE, &place, given).ok()?;
        let challenge: Challenge = serde_json::from_slice(&opened).ok()?;
        (visit.now < challenge.until).then_some(challenge)
    }

    /// Whether it can still be taken.
    pub(super) async fn has_challenge(
        &self,
        visit: &Visit<'_, '_>,
        of: &str,
        given: &str,
    ) -> Result<bool, Unavailable> {
        let Some(challenge) = self.opened_challenge(visit, of, given) else {
            return Ok(false);
        };
        let mark = Mark::used_challenge(&challenge.id);
        Ok(self.parts.store.marked(&mark, visit.now).await?.is_none())
    }

    /// Whether it is one, for the first time. It is used up.
    pub(super) async fn takes_challenge(
        &self,
        visit: &Visit<'_, '_>,
        of: &str,
        given: &str,
    ) -> Result<bool, Unavailable> {
        let Some(Challenge { id, until }) = self.opened_challenge(visit, of, given) else {
            return Ok(false);
        };
        let mark = Mark::used_challenge(&id);
        self.parts.store.once(&mark, until, visit.now).await
    }

    /// How a device of this person stands to a request of theirs, whatever it signs.
    pub(super) fn standing_of(
        &self,
        visit: &Visit<'_, '_>,
        approval: &Approval,
        rule: &ApprovalRule,
        device: &Device,
    ) -> Result<(), Unproven> {
        if !is_another_sign_in(visit, approval)
            || approval.requester.sid.as_ref() == Some(&device.sid)
        {
            return Err(Unproven::SameSession);
        }
        self.readiness_of(visit, rule.device_level, device)
    }

    /// The same to whatever needs a device of that level, wherever it was asked for.
    pub(super) fn readiness_of(
        &self,
        visit: &Visit<'_, '_>,
        level: Rank,
        device: &Device,
    ) -> Result<(), Unproven> {
        let config = &self.parts.config;
        if !device.has_level(&config.ladder, level) {
            return Err(Unproven::Weak);
        }
        let app = config.approver_app.as_ref();
        // Without the app nobody is here.
        let is_ready = app.is_some_and(|app| visit.now >= device.ready(app.device_cooldown));
        if is_ready { Ok(()) } else { Err(Unproven::New) }
    }

    /// The device by which the requester says yes, with that number.
    pub(super) async fn second_device(
        &self,
        visit: &Visit<'_, '_>,
        approval: &Approval,
        rule: &ApprovalRule,
        number: Option<&str>,
        signed: Option<Signed<'_>>,
    ) -> Result<Result<Device, Unproven>, Unavailable> {
        if !is_another_sign_in(visit, approval) {
            return Ok(Err(Unproven::SameSession));
        }
        let matter = Matter {
            id: &approval.id.0,
            binding: &binding(approval),
            number: number.unwrap_or_default(),
        };
        let stands = |device: &Device| self.standing_of(visit, approval, rule, device);
        self.signing_device(visit, matter, signed, stands).await
    }

    /// The device that says yes to it, if it `stands` and has signed just that.
    pub(super) async fn signing_device(
        &self,
        visit: &Visit<'_, '_>,
        matter: Matter<'_>,
        signed: Option<Signed<'_>>,
        stands: impl Fn(&Device) -> Result<(), Unproven>,
    ) -> Result<Result<Device, Unproven>, Unavailable> {
        let Some(signed) = signed else {
            return Ok(Err(Unproven::Missing));
        };
        let found = self
            .devices
            .find(visit.identity(), signed.device, visit.now);
        let Some(device) = found.await? else {
            return Ok(Err(Unproven::Unknown));
        };
        if let Err(why) = stands(&device) {
            return Ok(Err(why));
        }
        let text = decision(&visit.site.origin.text, matter, signed.challenge);
        if !is_signed(&device.key, &text, signed.signature) {
            return Ok(Err(Unproven::Forged));
        }
        let taken = self.takes_challenge(visit, matter.id, signed.challenge);
        Ok(match taken.await? {
            true => Ok(device),
            false => Err(Unproven::Stale),
        })
    }
}

/// What cannot be told counts as the same.
pub(super) fn is_another_sign_in(visit: &Visit<'_, '_>, approval: &Approval) -> bool {
    match (&visit.identity().sid, &approval.requester.sid) {
        (Some(here), Some(there)) => here != there,
        _ => false,
    }
}

/// For the session, this host and `of` alone.
fn place<'p>(held: &'p Held, origin: &'p str, of: &'p str) -> [&'p str; 3] {
    [&held.live.session.lineage.0, origin, of]
}

/// What a key signs for a yes.
fn decision(origin: &str, matter: Matter<'_>, challenge: &str) -> String {
    let Matter {
        id,
        binding,
        number,
    } = matter;
    format!("stepgate device v1: decide\n{origin}\n{id}\n{binding}\nyes\n{number}\n{challenge}")
}

/// What a key signs when it is enrolled, so that nobody enrols a key of somebody else's.
pub(super) fn enrolment(origin: &str, id: &str, challenge: &str) -> String {
    format!("stepgate device v1: enrol\n{origin}\n{id}\n{challenge}")
}

/// Of everything that was shown and that will run: no two requests have one.
pub(super) fn binding(approval: &Approval) -> String {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    let (requester, action) = (&approval.requester, &approval.action);
    let reason = approval.reason.as_deref().unwrap_or_default();
    for text in [
        &*approval.id.0,
        &approval.name,
        &approval.summary,
        reason,
        &requester.person.iss,
        &requester.person.sub,
        &action.origin,
        &action.route,
        &action.method,
        &action.target,
    ] {
        add(text.as_bytes());
    }
    // For how many requests it is a yes, and how long.
    let window = approval.terms.window().map(|lasts| lasts.as_secs());
    add(&[u8::from(window.is_some())]);
    add(&window.unwrap_or_default().to_be_bytes());
    add(&action.policy);
    add(&action.body);
    for (name, value) in &action.headers {
        add(name.as_bytes());
        add(&[u8::from(value.is_some())]);
        add(value.as_deref().unwrap_or_default().as_bytes());
    }
    for (name, value) in &action.parameters {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    BASE64_URL_SAFE_NO_PAD.encode(context.finish())
}

/// By which a key is known.
pub(super) fn id_of(key: &str) -> Option<String> {
    let point = BASE64_URL_SAFE_NO_PAD.decode(key).ok()?;
    // SEC 1, 2.3.3: 4 is for uncompressed.
    let is_point = point.len() == KEY_BYTES && point.first() == Some(&4);
    is_point.then(|| BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &point)))
}

pub(super) fn is_signed(key: &str, text: &str, signature: &str) -> bool {
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let (Some(point), Some(signature)) = (decoded(key), decoded(signature)) else {
        return false;
    };
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(text.as_bytes(), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::approval::Approval;
    use crate::policy::example::given;

    #[test]
    fn whatever_was_shown_or_will_run_is_bound() {
        let edits: [fn(&mut Approval); 9] = [
            |one| one.summary.push('x'),
            |one| one.reason = Some("because".to_owned()),
            |one| one.requester.person.sub.push('x'),
            |one| one.action.method.push('x'),
            |one| one.action.target.push('x'),
            |one| one.action.policy = [9; 32],
            |one| one.action.body = [9; 32],
            |one| one.terms.for_a_while = !one.terms.for_a_while,
            |one| {
                let parameter = ("id".to_owned(), "7".to_owned());
                one.action.parameters.push(parameter);
            },
        ];
        let bound = binding(&given());
        for (number, edit) in edits.into_iter().enumerate() {
            let mut other = given();
            edit(&mut other);
            assert_ne!(binding(&other), bound, "{number}");
        }
        assert_eq!(binding(&given()), bound);
    }
}
