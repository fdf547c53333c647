//! A sign-in at another client that Keycloak asks about (OpenID Connect CIBA): its user sees what is asked, and says whether
//! it is them; where the installation says so, by a device of their own. Nobody else sees anything of it.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use ring::digest::{Context, SHA256};

use super::pages::{Live, Own, OwnDevice, Page, Row};
use super::proof::{Matter, Unproven};
use super::vote::Filled;
use super::words::TEXTS;
use super::{Visit, href, live};
use crate::config::CibaChannel;
use crate::gate::ciba::{NotTaken, Sent, SignIn, State};
use crate::gate::devices::Device;
use crate::gate::start::step_up_href;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Answer, ApprovalId};
use crate::model::level::Rank;
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// How far somebody gets with one.
enum Reach<'c> {
    Seen(Box<SignIn>),
    /// It is theirs, at a level that is not there.
    Short(&'c CibaChannel),
    Nothing,
}

/// One answer, signed or not; a sign-in has no number and no reason.
fn said(body: &[u8]) -> Option<Filled> {
    Filled::read(body).filter(|filled| filled.number.is_none() && filled.reason.is_none())
}

impl Gate {
    /// Of whoever is here, the oldest first.
    pub(super) async fn sign_ins_of(
        &self,
        visit: &Visit<'_, '_>,
    ) -> Result<Vec<SignIn>, Unavailable> {
        match self.parts.config.ciba {
            Some(_) => {
                self.sign_ins
                    .of(&visit.person(), self.parts.clock.now())
                    .await
            }
            None => Ok(Vec::new()),
        }
    }

    async fn reach(&self, visit: &Visit<'_, '_>, id: &str) -> Result<Reach<'_>, Unavailable> {
        // By the configuration of now.
        let Some(rules) = &self.parts.config.ciba else {
            return Ok(Reach::Nothing);
        };
        let found = self.sign_ins.find(id, visit.now).await?;
        let Some(found) = found.filter(|found| found.person == visit.person()) else {
            return Ok(Reach::Nothing);
        };
        if !self.has_level(visit, rules.level) {
            return Ok(Reach::Short(rules));
        }
        Ok(Reach::Seen(Box::new(found)))
    }

    pub(super) async fn show_sign_in(
        self: &Arc<Self>,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Reply, Unavailable> {
        match self.reach(visit, &id.0).await? {
            Reach::Seen(found) => {
                // What a process that ended left unsent.
                self.send_answer(&found);
                self.sign_in_page(visit, &found, StatusCode::OK, None).await
            }
            Reach::Short(rules) => {
                let Some(level) = self.parts.config.ladder.askable(rules.level) else {
                    let record = visit.record.clone();
                    let reason = "level-cannot-be-asked";
                    return Ok(self.unavailable(visit.incoming, None, record, reason));
                };
                let page = Page::Confirm {
                    about: "confirm_level",
                    level: Some(&level.label),
                    go: &step_up_href(&level.name, &href(id)),
                };
                Ok(self
                    .visit_page(StatusCode::FORBIDDEN, &page, visit, None)
                    .reason("step-up"))
            }
            Reach::Nothing => Ok(self.nothing_here(visit)),
        }
    }

    pub(super) async fn answer_sign_in(
        self: &Arc<Self>,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Reply, Unavailable> {
        let found = match self.reach(visit, &id.0).await? {
            Reach::Seen(found) => found,
            // Back by the page, which says what is missing.
            Reach::Short(_) => {
                let (held, language) = (Some(visit.held), visit.language);
                let record = visit.record.clone();
                return Ok(self.confirm_again(visit.incoming, held, language, record));
            }
            Reach::Nothing => return Ok(self.nothing_here(visit)),
        };
        let Some(filled) = said(visit.incoming.body) else {
            let page = Page::Message {
                title: "not_done",
                text: "refused_form",
            };
            return Ok(self
                .visit_page(StatusCode::BAD_REQUEST, &page, visit, None)
                .reason("form"));
        };
        let device = match self.device_of_sign_in(visit, &found, &filled).await? {
            Ok(device) => device,
            Err(why) => {
                let notice = TEXTS.word(visit.language, why.text()).to_owned();
                let status = StatusCode::FORBIDDEN;
                let reply = self.sign_in_page(visit, &found, status, Some(notice));
                return Ok(reply.await?.reason(why.code()));
            }
        };
        let by = device.as_ref().map(|device| device.id.as_str());
        let answered = self.answered_sign_in(&id.0, filled.answer, by, visit.now);
        let name = match answered.await? {
            Some(Ok(_)) => {
                if let Some(device) = &device {
                    // It is the answer that counts.
                    let used = self.devices.used(visit.identity(), &device.id, visit.now);
                    if let Err(error) = used.await {
                        tracing::warn!(%error, "the use of a device could not be written down");
                    }
                }
                let url = visit.site.url(&href(id));
                return Ok(Reply::redirect(&url, visit.record.clone()).reason("voted"));
            }
            Some(Err(NotTaken::Expired)) => "refused_expired",
            Some(Err(NotTaken::Answered)) => "refused_voted",
            None => return Ok(self.nothing_here(visit)),
        };
        let Reach::Seen(found) = self.reach(visit, &id.0).await? else {
            return Ok(self.nothing_here(visit));
        };
        let notice = TEXTS.word(visit.language, name).to_owned();
        let reply = self.sign_in_page(visit, &found, StatusCode::CONFLICT, Some(notice));
        Ok(reply.await?.reason("vote-refused"))
    }

    /// What a device needs to sign a yes; nothing where none has to.
    fn level_of_devices(&self) -> Option<Rank> {
        let rules = self.parts.config.ciba.as_ref();
        let signed = rules.filter(|rules| rules.by_device);
        signed.map(|rules| rules.level)
    }

    /// By which the user says yes; a no needs none.
    async fn device_of_sign_in(
        &self,
        visit: &Visit<'_, '_>,
        found: &SignIn,
        filled: &Filled,
    ) -> Result<Result<Option<Device>, Unproven>, Unavailable> {
        let level = self.level_of_devices();
        let Some(level) = level.filter(|_| filled.answer == Answer::Yes) else {
            return Ok(Ok(None));
        };
        let matter = Matter {
            id: &found.id,
            binding: &binding(found),
            number: "",
        };
        let stands = |device: &Device| self.readiness_of(visit, level, device);
        let device = self.signing_device(visit, matter, filled.signed(), stands);
        Ok(device.await?.map(Some))
    }

    /// What the user may say yes with; nothing where nothing is to be said, or no device has to.
    async fn devices_for(
        &self,
        visit: &Visit<'_, '_>,
        found: &SignIn,
    ) -> Result<Option<Vec<OwnDevice>>, Unavailable> {
        let level = self.level_of_devices();
        let Some(level) = level.filter(|_| found.is_pending(visit.now)) else {
            return Ok(None);
        };
        let cooldown = self.approver_app().map(|app| app.device_cooldown);
        let cooldown = cooldown.unwrap_or_default();
        let devices = self.devices.of(visit.identity(), visit.now).await?;
        let own = devices.into_iter().map(|device| OwnDevice {
            text: self
                .readiness_of(visit, level, &device)
                .err()
                .map(Unproven::text),
            wait: device.ready(cooldown).since(visit.now).as_secs(),
            id: device.id,
        });
        Ok(Some(own.collect()))
    }

    async fn sign_in_page(
        &self,
        visit: &Visit<'_, '_>,
        found: &SignIn,
        status: StatusCode,
        notice: Option<String>,
    ) -> Result<Reply, Unavailable> {
        let devices = self.devices_for(visit, found).await?;
        let action = format!("/approvals/{}", found.id);
        let page = Page::SignIn {
            client: &found.client_name,
            message: found.message.as_deref(),
            scope: &found.scope,
            details: &found.details,
            ago_seconds: visit.now.since(found.created).as_secs(),
            left: found.expires.since(visit.now).as_secs(),
            state: state(found, visit.now),
            action: &action,
            own: devices.as_ref().map(|devices| Own {
                approval: &found.id,
                binding: binding(found),
                signs: true,
                devices,
            }),
            notice,
        };
        let seen = digest_of([found], visit.now);
        let seen = live::with_devices(seen, devices.as_deref());
        let live = Live {
            of: &found.id,
            seen: &seen,
        };
        Ok(self.visit_page(status, &page, visit, Some(live)))
    }

    /// `None`: it is not this person's.
    pub(super) async fn sign_in_seen(
        &self,
        visit: &Visit<'_, '_>,
        id: &str,
    ) -> Result<Option<String>, Unavailable> {
        Ok(match self.reach(visit, id).await? {
            Reach::Seen(found) => {
                let devices = self.devices_for(visit, &found).await?;
                let seen = digest_of([&*found], self.parts.clock.now());
                Some(live::with_devices(seen, devices.as_deref()))
            }
            Reach::Short(_) | Reach::Nothing => None,
        })
    }
}

/// Of everything that was shown: no two have one, and none has that of an approval.
fn binding(one: &SignIn) -> String {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &str| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    };
    for part in [
        "sign-in",
        &*one.id,
        &one.person.iss,
        &one.person.sub,
        &one.client,
        &one.client_name,
    ] {
        add(part);
    }
    // What is not there is not what is empty.
    for part in one.message.as_deref().into_iter().chain([""]) {
        add(part);
    }
    for scope in &one.scope {
        add("scope");
        add(scope);
    }
    for (name, value) in &one.details {
        add("detail");
        add(name);
        add(value);
    }
    BASE64_URL_SAFE_NO_PAD.encode(context.finish())
}

/// As pages and stylesheet call it.
fn state(one: &SignIn, now: Timestamp) -> &'static str {
    match one.standing(now) {
        State::Pending => "pending",
        State::Expired { .. } => "expired",
        State::Answered { answer, sent, .. } => match (answer, sent) {
            (_, Sent::Failed) => "untold",
            (Answer::Yes, Sent::NotYet) => "approved",
            (Answer::Yes, Sent::Done) => "consumed",
            (Answer::No, _) => "denied",
            (Answer::Report, _) => "reported",
        },
    }
}

/// How far each is.
pub(super) fn digest_of<'a>(all: impl IntoIterator<Item = &'a SignIn>, now: Timestamp) -> String {
    let mut context = Context::new(&SHA256);
    for one in all {
        context.update(format!("{} {}\n", one.id, state(one, now)).as_bytes());
    }
    let digest = context.finish();
    let bytes = digest.as_ref().iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Of the inbox, and of the history.
pub(super) fn row<'a>(one: &'a SignIn, now: Timestamp) -> Row<'a> {
    Row {
        href: format!("/approvals/{}", one.id),
        summary: Some(one.message.as_deref().unwrap_or(&one.client_name).into()),
        level: "",
        who: &one.client_name,
        ago: now.since(one.created).as_secs(),
        left: one
            .is_pending(now)
            .then(|| one.expires.since(now).as_secs()),
        state: state(one, now),
        mine: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_form_says_one_thing() {
        let read = |body: &str| said(body.as_bytes());
        for (body, answer) in [
            ("answer=yes", Answer::Yes),
            ("answer=no", Answer::No),
            ("answer=report", Answer::Report),
        ] {
            let filled = read(body).unwrap();
            assert_eq!(filled.answer, answer);
            assert!(filled.signed().is_none());
        }
        let whole = "answer=yes&device=d&challenge=c&signature=s";
        assert!(read(whole).unwrap().signed().is_some());
        assert!(read("answer=yes&device=d").unwrap().signed().is_none());
        for body in [
            "",
            "answer=",
            "answer=Yes",
            "answer=yes&answer=yes",
            "answer=no&answer=yes",
            "answer=yes&number=1",
            "answer=no&reason=x",
            "say=yes",
            "device=d&challenge=c&signature=s",
            "answer=yes&device=a&device=b",
            "answer=yes&signature=a&signature=a",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
    }

    #[test]
    fn whatever_was_shown_is_bound() {
        let shown = SignIn::example();
        let edits: [fn(&mut SignIn); 10] = [
            |one| one.id.push('x'),
            |one| one.person.iss.push('x'),
            |one| one.person.sub.push('x'),
            |one| one.client.push('x'),
            |one| one.client_name.push('x'),
            |one| one.message = Some("PAY-2".to_owned()),
            |one| one.message = Some(String::new()),
            |one| one.message = None,
            |one| one.scope.push("profile".to_owned()),
            |one| one.details.push(("to".to_owned(), "Ada".to_owned())),
        ];
        let mut bound = vec![binding(&shown)];
        for edit in edits {
            let mut other = shown.clone();
            edit(&mut other);
            bound.push(binding(&other));
        }
        assert_eq!(binding(&shown), bound[0]);
        bound.sort();
        bound.dedup();
        assert_eq!(bound.len(), edits.len() + 1);
    }
}
