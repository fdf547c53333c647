//! "My devices": what somebody decides with on what they ask for themselves. Each is enrolled by a flow of its own, in
//! which its owner has proven who they are at the highest level that any such request needs: what that flow brings back is
//! signed by the new key, and taken once. Whoever has stolen a session has no such thing. And whoever has others is told.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::pages::{DeviceRow, Page};
use super::proof::{self, ENROL};
use super::{Visit, is_id};
use crate::config::{ApproverApp, Origin};
use crate::gate::audit::Circumstances;
use crate::gate::devices::{Device, Enrolled, SHARE};
use crate::gate::endpoints::param;
use crate::gate::sessions::Held;
use crate::gate::start::step_up_href;
use crate::gate::{Gate, Reply};
use crate::model::evidence::Identity;
use crate::model::flow::Flow;
use crate::model::time::Timestamp;
use crate::notify::{Event, Failure, Notice, Recipients};
use crate::policy::evidence::Derived;
use crate::store::{Mark, Unavailable};
use crate::telemetry::AuditKind;

pub(super) const DEVICES: &str = "/devices";
pub(super) const NEW_DEVICE: &str = "/devices/new";
/// Behind it: an approval's id.
pub(super) const CHALLENGES: &str = "/devices/challenges/";

/// A parameter of [`NEW_DEVICE`]: what the flow has brought.
const BY: &str = "by";

/// For so long after it was proven a level is good for an enrolment. Only a forced flow proves anything.
const PROVEN: Duration = Duration::from_secs(300);

/// Of a name, in characters.
const NAME_MOST: usize = 60;

/// A device that is new is told of for so long at least.
const FRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Of use to whoever is told of it within that time.
const TOLD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A form of "my devices".
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Rename { device: String, name: String },
    Remove { device: String },
    Test,
}

impl Wish {
    /// `None`: it is not what a page of ours sends.
    fn read(body: &[u8]) -> Option<Self> {
        let (mut what, mut device, mut name) = (None, None, None);
        for (key, value) in form_urlencoded::parse(body) {
            let place = match &*key {
                "do" => &mut what,
                "device" => &mut device,
                "name" => &mut name,
                _ => return None,
            };
            super::vote::once(place, value.into_owned())?;
        }
        let device = device.filter(|id| is_id(id));
        Some(match what.as_deref()? {
            "rename" => Self::Rename {
                device: device?,
                name: called(&name?)?,
            },
            "remove" if name.is_none() => Self::Remove { device: device? },
            "test" if name.is_none() && device.is_none() => Self::Test,
            _ => return None,
        })
    }
}

/// What a browser sends of itself.
#[derive(Debug, Default)]
struct Given {
    name: Option<String>,
    key: Option<String>,
    challenge: Option<String>,
    signature: Option<String>,
}

impl Given {
    fn read(body: &[u8]) -> Option<Self> {
        let mut given = Self::default();
        for (key, value) in form_urlencoded::parse(body) {
            let place = match &*key {
                "name" => &mut given.name,
                "key" => &mut given.key,
                "challenge" => &mut given.challenge,
                "signature" => &mut given.signature,
                _ => return None,
            };
            super::vote::once(place, value.into_owned())?;
        }
        Some(given)
    }
}

/// On one line, and short.
fn called(name: &str) -> Option<String> {
    let name = name.trim();
    let is_fine = !name.is_empty()
        && name.chars().count() <= NAME_MOST
        && !name.chars().any(char::is_control);
    is_fine.then(|| name.to_owned())
}

impl Gate {
    pub(super) async fn devices_page(
        &self,
        visit: &Visit<'_, '_>,
        notice: Option<&'static str>,
    ) -> Result<Reply, Unavailable> {
        let devices = self.devices.of(visit.identity(), visit.now).await?;
        let cooldown = self.approver_app().map(|app| app.device_cooldown);
        let cooldown = cooldown.unwrap_or_default();
        let rows: Vec<_> = devices
            .iter()
            .map(|device| DeviceRow {
                id: &device.id,
                name: &device.name,
                ago: visit.now.since(device.enrolled).as_secs(),
                used: device.used.map(|used| visit.now.since(used).as_secs()),
                wait: device.ready(cooldown).since(visit.now).as_secs(),
            })
            .collect();
        let page = Page::Devices {
            devices: &rows,
            fresh: &self.fresh(visit, &devices),
            removed: self.removed_elsewhere(visit).await?,
            notice,
            name_most: NAME_MOST,
            has_room: rows.len() < SHARE,
        };
        Ok(self.visit_page(StatusCode::OK, &page, visit, None))
    }

    /// What was added of late, and not in this sign-in.
    pub(super) fn fresh<'d>(&self, visit: &Visit<'_, '_>, devices: &'d [Device]) -> Vec<&'d str> {
        let app = self.approver_app();
        let lasts = app.map_or(FRESH, |app| app.device_cooldown.max(FRESH));
        let here = visit.identity().sid.as_ref();
        devices
            .iter()
            .filter(|device| here != Some(&device.sid) && visit.now < device.ready(lasts))
            .map(|device| device.name.as_str())
            .collect()
    }

    /// How long ago one was removed, where that was lately and not in this sign-in.
    pub(super) async fn removed_elsewhere(
        &self,
        visit: &Visit<'_, '_>,
    ) -> Result<Option<u64>, Unavailable> {
        let (by_anybody, here) = self.removals(visit);
        let store = &self.parts.store;
        let Some(at) = store.marked(&by_anybody, visit.now).await? else {
            return Ok(None);
        };
        let here = match here {
            Some(here) => store.marked(&here, visit.now).await?,
            None => None,
        };
        let is_own = here.is_some_and(|here| here >= at);
        Ok((!is_own).then(|| visit.now.since(at).as_secs()))
    }

    async fn note_removal(&self, visit: &Visit<'_, '_>) -> Result<(), Unavailable> {
        let (now, until) = (visit.now, visit.now.plus(FRESH));
        let (by_anybody, here) = self.removals(visit);
        for mark in here.iter().chain([&by_anybody]) {
            self.parts.store.mark(mark, now, until, now).await?;
        }
        Ok(())
    }

    /// When one was removed last, and when in this sign-in.
    fn removals(&self, visit: &Visit<'_, '_>) -> (Mark, Option<Mark>) {
        let client = &self.parts.config.keycloak.client_id;
        let Identity { iss, sub, sid, .. } = visit.identity();
        let here = sid.as_deref();
        (
            Mark::device_removed(iss, client, sub, None),
            here.map(|sid| Mark::device_removed(iss, client, sub, Some(sid))),
        )
    }

    pub(super) async fn devices_form(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let Some(wish) = Wish::read(visit.incoming.body) else {
            return Ok(self.refused_device(visit, StatusCode::BAD_REQUEST, "refused_form"));
        };
        let (whose, now) = (visit.identity(), visit.now);
        match wish {
            Wish::Rename { device, name } => {
                let _gone_already = self.devices.rename(whose, &device, &name, now).await?;
            }
            Wish::Remove { device } => {
                if let Some(gone) = self.devices.remove(whose, &device, now).await? {
                    self.note_device(visit, AuditKind::DeviceRemoved, &gone);
                    // Pages that could be decided on with it are to know.
                    self.approvals().touched();
                    self.note_removal(visit).await?;
                    self.tell_owner(visit, Event::DeviceRemoved).await;
                }
            }
            Wish::Test => {
                let notice = self.try_browsers(visit).await?;
                return self.devices_page(visit, Some(notice)).await;
            }
        }
        let url = visit.site.url(DEVICES);
        Ok(Reply::redirect(&url, visit.record.clone()).reason("devices"))
    }

    /// The page that enrols this browser, or what is missing for it.
    pub(super) async fn new_device(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let by = param(visit.incoming, BY).unwrap_or_default();
        if let Some(reply) = self.may_enrol(visit, &by).await? {
            return Ok(reply);
        }
        let cooldown = self.approver_app().map(|app| app.device_cooldown);
        let page = Page::NewDevice {
            challenge: &by,
            cooldown: cooldown.unwrap_or_default().as_secs(),
            name_most: NAME_MOST,
        };
        Ok(self.visit_page(StatusCode::OK, &page, visit, None))
    }

    pub(super) async fn enrol_form(&self, visit: &Visit<'_, '_>) -> Result<Reply, Unavailable> {
        let form = |text| Ok(self.refused_device(visit, StatusCode::BAD_REQUEST, text));
        let Some(given) = Given::read(visit.incoming.body) else {
            return form("refused_form");
        };
        let challenge = given.challenge.unwrap_or_default();
        if let Some(reply) = self.may_enrol(visit, &challenge).await? {
            return Ok(reply);
        }
        let (Some(name), Some(key), Some(signature)) = (given.name, given.key, given.signature)
        else {
            return form("enrol_needs_script");
        };
        let (Some(name), Some(id)) = (called(&name), proof::id_of(&key)) else {
            return form("refused_form");
        };
        let text = proof::enrolment(&visit.site.origin.text, &id, &challenge);
        if !proof::is_signed(&key, &text, &signature) {
            return form("device_forged");
        }
        if !self.takes_challenge(visit, ENROL, &challenge).await? {
            return Ok(self.confirm_enrolment(visit));
        }
        let identity = visit.identity();
        let (Some(sid), Some(app)) = (identity.sid.clone(), self.approver_app()) else {
            return Ok(self.refused_device(visit, StatusCode::FORBIDDEN, "device_no_sid"));
        };
        let device = Device {
            id,
            iss: identity.iss.clone(),
            sub: identity.sub.clone(),
            name,
            key,
            level: self
                .parts
                .config
                .ladder
                .name_of(app.device_level)
                .to_owned(),
            enrolled: visit.now,
            sid,
            used: None,
        };
        let (status, text) = match self.devices.enrol(&device, visit.now).await? {
            Enrolled::Done => {
                self.note_device(visit, AuditKind::DeviceEnrolled, &device);
                self.approvals().touched();
                self.tell_owner(visit, Event::DeviceAdded).await;
                let url = visit.site.url(DEVICES);
                return Ok(Reply::redirect(&url, visit.record.clone()).reason("device-enrolled"));
            }
            Enrolled::Known => (StatusCode::CONFLICT, "device_known"),
            Enrolled::TooMany => (StatusCode::CONFLICT, "device_too_many"),
            Enrolled::Full => (StatusCode::SERVICE_UNAVAILABLE, "device_full"),
        };
        Ok(self.refused_device(visit, status, text))
    }

    /// Where a flow leads that came back: with what an enrolment takes, if it was begun by this very session for one, and
    /// has itself proven enough.
    pub(in crate::gate) fn brought(
        &self,
        origin: &Origin,
        flow: &Flow,
        derived: &Derived,
        held: &Held,
        now: Timestamp,
    ) -> Option<String> {
        let app = self.approver_app()?;
        let is_for_it = flow.return_to == NEW_DEVICE
            && flow.confirm
            && flow.lineage.as_ref() == Some(&held.live.session.lineage)
            && derived.proven >= app.device_level;
        let challenge = is_for_it.then(|| self.fresh_challenge(held, &origin.text, ENROL, now))?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair(BY, &challenge)
            .finish();
        Some(format!("{NEW_DEVICE}?{query}"))
    }

    /// What is answered instead, where this person cannot enrol anything by what they have.
    async fn may_enrol(
        &self,
        visit: &Visit<'_, '_>,
        challenge: &str,
    ) -> Result<Option<Reply>, Unavailable> {
        let Some(app) = self.approver_app() else {
            return Ok(Some(self.nothing_here(visit)));
        };
        if visit.identity().sid.is_none() {
            let reply = self.refused_device(visit, StatusCode::FORBIDDEN, "device_no_sid");
            return Ok(Some(reply));
        }
        // Before anything is asked for in vain.
        let devices = self.devices.of(visit.identity(), visit.now).await?;
        if devices.len() >= SHARE {
            let reply = self.refused_device(visit, StatusCode::CONFLICT, "device_too_many");
            return Ok(Some(reply));
        }
        let is_proven = self.has_proven(visit, app.device_level, Some(PROVEN))
            && self.has_challenge(visit, ENROL, challenge).await?;
        Ok((!is_proven).then(|| self.confirm_enrolment(visit)))
    }

    /// By a click, so that a realm that does not give the level makes no loop.
    fn confirm_enrolment(&self, visit: &Visit<'_, '_>) -> Reply {
        let app = self.approver_app();
        let level = app.and_then(|app| self.parts.config.ladder.askable(app.device_level));
        let Some(level) = level else {
            // A checked configuration demands no such level.
            let record = visit.record.clone();
            return self.unavailable(visit.incoming, None, record, "level-cannot-be-asked");
        };
        let page = Page::Confirm {
            about: "confirm_device",
            level: Some(&level.label),
            go: &step_up_href(&level.name, NEW_DEVICE),
        };
        self.visit_page(StatusCode::FORBIDDEN, &page, visit, None)
            .reason("step-up")
    }

    /// For the script: what it signs next.
    pub(super) fn challenge_for(&self, visit: &Visit<'_, '_>, of: &str) -> Reply {
        // What enrols a device comes by a flow alone.
        if of == ENROL {
            return self.nothing_here(visit);
        }
        let origin = &visit.site.origin.text;
        let challenge = self.fresh_challenge(visit.held, origin, of, visit.now);
        let body = json!({ "challenge": challenge });
        Reply::json(StatusCode::OK, &body, visit.record.clone())
    }

    fn refused_device(
        &self,
        visit: &Visit<'_, '_>,
        status: StatusCode,
        text: &'static str,
    ) -> Reply {
        let page = Page::Message {
            title: "not_done",
            text,
        };
        self.visit_page(status, &page, visit, None).reason("device")
    }

    fn note_device(&self, visit: &Visit<'_, '_>, kind: AuditKind, device: &Device) {
        let circumstances = Circumstances {
            device: Some(&device.id),
            ..Circumstances::of(visit.held)
        };
        self.audit(kind, visit.incoming, circumstances);
    }

    /// In all browsers that are to tell them anything. Nobody waits for it; what does not arrive stands in the app.
    async fn tell_owner(&self, visit: &Visit<'_, '_>, event: Event) {
        let Some((channel, _)) = self.web_push() else {
            return;
        };
        let found = self.browsers.of(visit.identity(), visit.now).await;
        let Ok(push) = found.inspect_err(|error| {
            tracing::warn!(%error, "a device's owner could not be told of it");
        }) else {
            return;
        };
        if push.is_empty() {
            return;
        }
        let announcer = self.announcer.clone();
        let notice = notice(visit, event);
        tokio::spawn(async move {
            let to = Recipients {
                push,
                ..Recipients::default()
            };
            if let Err(error) = announcer.try_out(&notice, channel, to).await {
                tracing::warn!(%error, "a device's owner could not be told of it");
            }
        });
    }

    /// What to say of it.
    async fn try_browsers(&self, visit: &Visit<'_, '_>) -> Result<&'static str, Unavailable> {
        let Some((channel, _)) = self.web_push() else {
            return Ok("try_nowhere");
        };
        let push = self.browsers.of(visit.identity(), visit.now).await?;
        if push.is_empty() {
            return Ok("try_nobody");
        }
        let to = Recipients {
            push,
            ..Recipients::default()
        };
        let notice = notice(visit, Event::Test);
        Ok(match self.announcer.try_out(&notice, channel, to).await {
            Ok(()) => "try_sent",
            Err(Failure::Nobody) => "try_nobody",
            Err(error) => {
                tracing::warn!(%error, "a test notice could not be pushed");
                "try_failed"
            }
        })
    }

    pub(super) fn approver_app(&self) -> Option<&ApproverApp> {
        self.parts.config.approver_app.as_ref()
    }
}

fn notice(visit: &Visit<'_, '_>, event: Event) -> Notice {
    let about = match event {
        Event::Test => "test",
        _ => "devices",
    };
    Notice {
        id: format!("{about}-{}", visit.now.as_unix()),
        event,
        approval: about.to_owned(),
        name: about.to_owned(),
        link: visit.site.url(DEVICES),
        at: visit.now,
        until: visit.now.plus(TOLD_FOR),
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_form_wants_one_thing_and_a_name_is_one_line() {
        let read = |body: &str| Wish::read(body.as_bytes());
        assert_eq!(
            read("do=remove&device=abc"),
            Some(Wish::Remove {
                device: "abc".to_owned()
            })
        );
        assert_eq!(
            read("do=rename&device=abc&name=+My+phone+"),
            Some(Wish::Rename {
                device: "abc".to_owned(),
                name: "My phone".to_owned()
            })
        );
        assert_eq!(read("do=test"), Some(Wish::Test));
        for body in [
            "",
            "do=remove",
            "do=remove&device=a/b",
            "do=remove&device=a&device=b",
            "do=remove&do=test&device=a",
            "do=rename&device=a&name=",
            "do=rename&device=a&name=a%0Ab",
            "do=test&device=a",
            "do=enrol",
            "do=remove&device=a&more=b",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
        assert_eq!(called(&"n".repeat(NAME_MOST + 1)), None);
        assert!(called(&"ü".repeat(NAME_MOST)).is_some());
    }
}
