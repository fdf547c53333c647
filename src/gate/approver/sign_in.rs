//! A sign-in at another client that Keycloak asks about (OpenID Connect CIBA): its user sees what is asked, and says whether
//! it is them. Nobody else sees anything of it.

use std::sync::Arc;

use http::StatusCode;
use ring::digest::{Context, SHA256};

use super::pages::{Live, Page, Row};
use super::words::TEXTS;
use super::{Visit, href};
use crate::config::CibaChannel;
use crate::gate::ciba::{NotTaken, Sent, SignIn, State};
use crate::gate::start::step_up_href;
use crate::gate::{Gate, Reply};
use crate::model::approval::{Answer, ApprovalId};
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// How far somebody gets with one.
enum Reach<'c> {
    Seen(Box<SignIn>),
    /// It is theirs, at a level that is not there.
    Short(&'c CibaChannel),
    Nothing,
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
                Ok(self.sign_in_page(visit, &found, StatusCode::OK, None))
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
        match self.reach(visit, &id.0).await? {
            Reach::Seen(_) => {}
            // Back by the page, which says what is missing.
            Reach::Short(_) => {
                let (held, language) = (Some(visit.held), visit.language);
                let record = visit.record.clone();
                return Ok(self.confirm_again(visit.incoming, held, language, record));
            }
            Reach::Nothing => return Ok(self.nothing_here(visit)),
        }
        let Some(answer) = said(visit.incoming.body) else {
            let page = Page::Message {
                title: "not_done",
                text: "refused_form",
            };
            return Ok(self
                .visit_page(StatusCode::BAD_REQUEST, &page, visit, None)
                .reason("form"));
        };
        let name = match self.answered_sign_in(&id.0, answer, visit.now).await? {
            Some(Ok(_)) => {
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
        Ok(reply.reason("vote-refused"))
    }

    fn sign_in_page(
        &self,
        visit: &Visit<'_, '_>,
        found: &SignIn,
        status: StatusCode,
        notice: Option<String>,
    ) -> Reply {
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
            notice,
        };
        let seen = digest_of([found], visit.now);
        let live = Live {
            of: &found.id,
            seen: &seen,
        };
        self.visit_page(status, &page, visit, Some(live))
    }

    /// `None`: it is not this person's.
    pub(super) async fn sign_in_seen(
        &self,
        visit: &Visit<'_, '_>,
        id: &str,
    ) -> Result<Option<String>, Unavailable> {
        Ok(match self.reach(visit, id).await? {
            Reach::Seen(found) => Some(digest_of([&*found], self.parts.clock.now())),
            Reach::Short(_) | Reach::Nothing => None,
        })
    }
}

/// One answer, and nothing else: what is not that is nobody's.
fn said(body: &[u8]) -> Option<Answer> {
    let mut fields = form_urlencoded::parse(body);
    let (name, value) = fields.next()?;
    let answer = match &*value {
        "yes" => Answer::Yes,
        "no" => Answer::No,
        "report" => Answer::Report,
        _ => return None,
    };
    (name == "answer" && fields.next().is_none()).then_some(answer)
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
    use super::*;

    #[test]
    fn a_form_says_one_thing() {
        assert_eq!(said(b"answer=yes"), Some(Answer::Yes));
        assert_eq!(said(b"answer=no"), Some(Answer::No));
        assert_eq!(said(b"answer=report"), Some(Answer::Report));
        for body in [
            &b""[..],
            b"answer=",
            b"answer=Yes",
            b"answer=yes&answer=yes",
            b"answer=no&answer=yes",
            b"answer=yes&number=1",
            b"say=yes",
        ] {
            assert_eq!(said(body), None);
        }
    }
}
