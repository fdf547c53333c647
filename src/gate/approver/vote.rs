//! What a form says: yes, no, or that something is wrong. By POST from a page of this host, by somebody who may decide, at
//! the request's own level; all of that is looked at again here.

use http::StatusCode;

use super::one::{Access, REASON_MOST};
use super::pages::Page;
use super::words::TEXTS;
use super::{Visit, href};
use crate::gate::approvals::Changed;
use crate::gate::sessions::display_name;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Answer, ApprovalId};
use crate::policy::approval::{Ballot, Refused};
use crate::store::Unavailable;

/// As votes have it.
const CHANNEL: &str = "app";

/// What was filled in.
#[derive(Debug, PartialEq, Eq)]
struct Filled {
    answer: Answer,
    reason: Option<String>,
    number: Option<String>,
}

impl Filled {
    /// `None`: it is not what a page of ours sends.
    fn read(body: &[u8]) -> Option<Self> {
        let (mut answer, mut reason, mut number) = (None, None, None);
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
                _ => return None,
            }
        }
        Some(Self {
            answer: answer?,
            reason,
            number,
        })
    }
}

/// What stands twice is nobody's answer.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

impl Gate {
    pub(super) async fn answer_form(
        &self,
        visit: &Visit<'_, '_>,
        id: &ApprovalId,
    ) -> Result<Reply, Unavailable> {
        match self.access(visit, id).await? {
            Access::Seen(_) => {}
            // Back by the page of the request, which says what is missing.
            Access::Short(_) => {
                let (held, language) = (Some(visit.held), visit.language);
                let record = visit.record.clone();
                return Ok(self.confirm_again(visit.incoming, held, language, record));
            }
            Access::Nothing => return Ok(self.nothing_here(visit)),
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
        let person = visit.person();
        let ballot = Ballot {
            person: &person,
            name: display_name(visit.identity()),
            answer: filled.answer,
            reason: filled.reason.as_deref(),
            number: filled.number.as_deref(),
            channel: CHANNEL,
        };
        // Who asked can report it, and that is all; the engine says so to whoever tries more.
        let changed = self.vote_on(id, &ballot, visit.now).await?;
        let refused = match changed {
            Changed::Done(_) => {
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

/// The text that says so.
fn told(refused: Refused, tries: u32) -> (StatusCode, &'static str) {
    match refused {
        Refused::Over => (StatusCode::CONFLICT, "refused_over"),
        Refused::Expired => (StatusCode::CONFLICT, "refused_expired"),
        Refused::Voted => (StatusCode::CONFLICT, "refused_voted"),
        Refused::Requester => (StatusCode::FORBIDDEN, "refused_requester"),
        Refused::NoReason => (StatusCode::UNPROCESSABLE_ENTITY, "refused_no_reason"),
        Refused::NoNumber => (StatusCode::UNPROCESSABLE_ENTITY, "refused_no_number"),
        Refused::WrongNumber if tries == 0 => {
            (StatusCode::UNPROCESSABLE_ENTITY, "refused_last_number")
        }
        Refused::WrongNumber => (StatusCode::UNPROCESSABLE_ENTITY, "refused_wrong_number"),
        // Of changes that are no votes.
        Refused::NotRequester | Refused::Pending | Refused::OtherAction | Refused::OtherHolder => {
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
            "answer=yes&number=1&number=2",
            "answer=yes&reason=a&reason=b",
            "answer=yes&approval=other",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
        let long = |length| format!("answer=no&reason={}", "%C3%BC".repeat(length));
        assert!(read(&long(REASON_MOST)).is_some());
        assert!(read(&long(REASON_MOST + 1)).is_none());
    }
}
