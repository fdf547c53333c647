//! What a form says: yes, no, that something is wrong, or that whoever asked takes it back. By POST from a page of this
//! host, by somebody who may decide, at the request's own level; all of that is looked at again here.

use http::StatusCode;

use super::one::{Access, REASON_MOST, Seen};
use super::pages::Page;
use super::proof::{Signed, Unproven};
use super::words::TEXTS;
use super::{Visit, href};
use crate::gate::approvals::Changed;
use crate::gate::devices::Device;
use crate::gate::sessions::display_name;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Answer, ApprovalId};
use crate::policy::approval::{Ballot, Refused};
use crate::store::Unavailable;

/// As votes have it.
const CHANNEL: &str = "app";

/// What was filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) answer: Answer,
    pub(super) reason: Option<String>,
    pub(super) number: Option<String>,
    device: Option<String>,
    challenge: Option<String>,
    signature: Option<String>,
}

impl Filled {
    /// `None`: it is not what a page of ours sends.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (mut answer, mut reason, mut number) = (None, None, None);
        let (mut device, mut challenge, mut signature) = (None, None, None);
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "answer" => {
                    let said = match &*value {
                        "yes" => Answer::Yes,
                        "no" => Answer::No,
                        "report" => Answer::Report,
                        _ => return None,
                    };
                    once(&mut answer, said)?;
                }
                "reason" if value.chars().count() > REASON_MOST => return None,
                "reason" => once(&mut reason, value.into_owned())?,
                // People read numbers to each other in groups.
                "number" => {
                    let bare = value.chars().filter(|letter| !letter.is_whitespace());
                    once(&mut number, bare.collect())?;
                }
                "device" => once(&mut device, value.into_owned())?,
                "challenge" => once(&mut challenge, value.into_owned())?,
                "signature" => once(&mut signature, value.into_owned())?,
                _ => return None,
            }
        }
        Some(Self {
            answer: answer?,
            reason,
            number,
            device,
            challenge,
            signature,
        })
    }

    pub(super) fn signed(&self) -> Option<Signed<'_>> {
        Some(Signed {
            device: self.device.as_deref()?,
            challenge: self.challenge.as_deref()?,
            signature: self.signature.as_deref()?,
        })
    }
}

/// By whoever asked; it is no vote, and has no more to say.
fn takes_back(body: &[u8]) -> bool {
    let mut fields = form_urlencoded::parse(body);
    let only = fields.next().filter(|_| fields.next().is_none());
    only.is_some_and(|(name, value)| name == "answer" && value == "take-back")
}

/// What stands twice is nobody's answer.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

impl Gate {
    pub(super) async fn answer_form(
        &self,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Reply, Unavailable> {
        let seen = match self.access(visit, id).await? {
            Access::Seen(seen) => seen,
            // Back by the page of the request, which says what is missing.
            Access::Short(_) => {
                let (held, language) = (Some(visit.held), visit.language);
                let record = visit.record.clone();
                return Ok(self.confirm_again(visit.incoming, held, language, record));
            }
            Access::Nothing => return Ok(self.nothing_here(visit)),
        };
        if takes_back(visit.incoming.body) {
            return self.take_back_own(visit, &seen).await;
        }
        let Some(filled) = Filled::read(visit.incoming.body) else {
            let page = Page::Message {
                title: "not_done",
                text: "refused_form",
            };
            return Ok(self
                .visit_page(StatusCode::BAD_REQUEST, &page, visit, None)
                .reason("form"));
        };
        let device = match self.device_of(visit, &seen, &filled).await? {
            Ok(device) => device,
            Err(why) => {
                let notice = TEXTS.word(visit.language, why.text()).to_owned();
                let status = StatusCode::FORBIDDEN;
                let reply = self.one(visit, &seen, status, Some(notice)).await?;
                return Ok(reply.reason(why.code()));
            }
        };
        let person = visit.person();
        let ballot = Ballot {
            person: &person,
            name: display_name(visit.identity()),
            answer: filled.answer,
            reason: filled.reason.as_deref(),
            number: filled.number.as_deref(),
            channel: CHANNEL,
            device: device.as_ref().map(|device| device.id.as_str()),
        };
        // Who asked can report it, and that is all; the engine says so to whoever tries more.
        let changed = self.vote_on(id, &ballot, visit.now).await?;
        let refused = match changed {
            Changed::Done(_) => {
                if let Some(device) = &device {
                    // It is the vote that counts.
                    let used = self.devices.used(visit.identity(), &device.id, visit.now);
                    if let Err(error) = used.await {
                        tracing::warn!(%error, "the use of a device could not be written down");
                    }
                }
                let url = visit.site.url(&href(id));
                return Ok(Reply::redirect(&url, visit.record.clone()).reason("voted"));
            }
            Changed::Refused(refused) => refused,
            Changed::Absent => return Ok(self.nothing_here(visit)),
        };
        // As it is now: a number that was wrong has changed it.
        let Access::Seen(seen) = self.access(visit, id).await? else {
            return Ok(self.nothing_here(visit));
        };
        let (status, name) = told(refused, seen.approval.tries);
        let text = TEXTS.word(visit.language, name);
        let notice = text.replace("{tries}", &seen.approval.tries.to_string());
        let reply = self.one(visit, &seen, status, Some(notice)).await?;
        Ok(reply.reason("vote-refused"))
    }
}

impl Gate {
    /// By which a requester says yes to what is theirs; nobody else needs one, and neither does a no.
    async fn device_of(
        &self,
        visit: &Visit<'_, '_>,
        seen: &Seen,
        filled: &Filled,
    ) -> Result<Result<Option<Device>, Unproven>, Unavailable> {
        let rule = self.parts.config.approval(&seen.approval.name);
        let is_own = seen.may_decide && seen.is_requester && filled.answer == Answer::Yes;
        let Some(rule) = rule.filter(|_| is_own) else {
            return Ok(Ok(None));
        };
        let (number, signed) = (filled.number.as_deref(), filled.signed());
        let device = self.second_device(visit, &seen.approval, rule, number, signed);
        Ok(device.await?.map(Some))
    }
}

impl Gate {
    /// In whichever session it was asked for. What is over stays as it is, and the page says what it is.
    async fn take_back_own(
        &self,
        visit: &Visit<'_, '_>,
        seen: &Seen,
    ) -> Result<Reply, Unavailable> {
        if !seen.is_requester {
            let notice = TEXTS.word(visit.language, "refused_other").to_owned();
            let status = StatusCode::FORBIDDEN;
            let reply = self.one(visit, seen, status, Some(notice)).await?;
            return Ok(reply.reason("vote-refused"));
        }
        let (who, approval) = (visit.identity(), &seen.approval);
        self.cancel_own(visit.incoming, who, approval, Some(CHANNEL), visit.now)
            .await?;
        let url = visit.site.url(&href(&approval.id));
        Ok(Reply::redirect(&url, visit.record.clone()).reason("cancelled"))
    }
}

/// The text that says so.
fn told(refused: Refused, tries: u32) -> (StatusCode, &'static str) {
    match refused {
        Refused::Over => (StatusCode::CONFLICT, "refused_over"),
        Refused::Expired => (StatusCode::CONFLICT, "refused_expired"),
        Refused::Voted => (StatusCode::CONFLICT, "refused_voted"),
        Refused::Requester => (StatusCode::FORBIDDEN, "refused_requester"),
        Refused::NoDevice => (StatusCode::FORBIDDEN, "device_missing"),
        Refused::NoReason => (StatusCode::UNPROCESSABLE_ENTITY, "refused_no_reason"),
        Refused::NoNumber => (StatusCode::UNPROCESSABLE_ENTITY, "refused_no_number"),
        Refused::WrongNumber if tries == 0 => {
            (StatusCode::UNPROCESSABLE_ENTITY, "refused_last_number")
        }
        Refused::WrongNumber => (StatusCode::UNPROCESSABLE_ENTITY, "refused_wrong_number"),
        // Of changes that are no votes.
        Refused::Elsewhere | Refused::Pending | Refused::OtherAction | Refused::OtherHolder => {
            (StatusCode::FORBIDDEN, "refused_other")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_form_says_one_thing() {
        let read = |body: &str| Filled::read(body.as_bytes());
        let yes = read("answer=yes&number=123+45%2067&reason=seen").unwrap();
        assert_eq!(yes.answer, Answer::Yes);
        assert_eq!(yes.number.as_deref(), Some("1234567"));
        assert_eq!(yes.reason.as_deref(), Some("seen"));
        assert_eq!(read("answer=no").unwrap().answer, Answer::No);
        for body in [
            "",
            "number=42",
            "answer=Yes",
            "answer=yes&answer=yes",
            "answer=no&answer=yes",
            "answer=take-back",
            "answer=yes&number=1&number=2",
            "answer=yes&reason=a&reason=b",
            "answer=yes&approval=other",
            "answer=yes&device=a&device=b",
            "answer=yes&signature=a&signature=a",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
        assert!(takes_back(b"answer=take-back"));
        for body in ["answer=no", "answer=take-back&reason=x", "x=take-back", ""] {
            assert!(!takes_back(body.as_bytes()), "{body}");
        }
        let long = |length| format!("answer=no&reason={}", "%C3%BC".repeat(length));
        assert!(read(&long(REASON_MOST)).is_some());
        assert!(read(&long(REASON_MOST + 1)).is_none());
    }
}
