//! A sign-in somewhere else that its user is to confirm here, and how it changes: `pending → answered | expired`, and what
//! was answered is `sent` to Keycloak once. Pure: each function gives what the record may be replaced by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::approval::{Answer, Person};
use crate::model::session::Secret;
use crate::model::time::Timestamp;

/// What of them is within this time counts against the limits.
pub(super) const LATELY: Duration = Duration::from_secs(600);

/// After a no to a client, it asks this user for nothing.
const COOL_DOWN: Duration = Duration::from_secs(60);

/// After a report, no client does.
const LONG_COOL_DOWN: Duration = Duration::from_secs(900);

/// Of one user, at the same time.
const MOST_PENDING: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gate) struct SignIn {
    pub(in crate::gate) id: String,
    /// Who is asked.
    pub(in crate::gate) person: Person,
    /// The id of the client that asks, and what people call it.
    pub(in crate::gate) client: String,
    pub(in crate::gate) client_name: String,
    /// What the client shows beside it (`binding_message`, CIBA Core 7.1).
    pub(in crate::gate) message: Option<String>,
    pub(in crate::gate) scope: Vec<String>,
    /// What else the client says, each with its name.
    #[serde(default)]
    pub(in crate::gate) details: Vec<(String, String)>,
    /// Keycloak's. Whoever has it decides, so it is gone as soon as it is of no use any more.
    token: Option<Secret>,
    pub(in crate::gate) created: Timestamp,
    pub(in crate::gate) expires: Timestamp,
    pub(in crate::gate) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gate) enum State {
    Pending,
    Answered {
        answer: Answer,
        at: Timestamp,
        sent: Sent,
    },
    Expired {
        at: Timestamp,
    },
}

/// Whether Keycloak has the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gate) enum Sent {
    NotYet,
    Done,
    /// Or it is not known.
    Failed,
}

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum NotTaken {
    Expired,
    Answered,
}

/// Why nobody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMuch {
    Pending,
    Lately,
    Denied,
    Reported,
}

impl TooMuch {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "too-many-pending",
            Self::Lately => "too-many-lately",
            Self::Denied => "denied-lately",
            Self::Reported => "reported-lately",
        }
    }
}

/// What is asked, by whom and for how long.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) person: Person,
    pub(super) client: String,
    pub(super) client_name: String,
    pub(super) message: Option<String>,
    pub(super) scope: Vec<String>,
    pub(super) details: Vec<(String, String)>,
    pub(super) token: Secret,
    pub(super) expires: Timestamp,
}

impl SignIn {
    pub(super) fn new(id: String, asking: Asking, now: Timestamp) -> Self {
        Self {
            id,
            person: asking.person,
            client: asking.client,
            client_name: asking.client_name,
            message: asking.message,
            scope: asking.scope,
            details: asking.details,
            token: Some(asking.token),
            created: now,
            expires: asking.expires,
            state: State::Pending,
        }
    }

    /// As of `now`, whether or not somebody has written so.
    pub(in crate::gate) fn standing(&self, now: Timestamp) -> State {
        match self.state {
            State::Pending if now >= self.expires => State::Expired { at: self.expires },
            ref state => state.clone(),
        }
    }

    pub(in crate::gate) fn is_pending(&self, now: Timestamp) -> bool {
        self.standing(now) == State::Pending
    }

    pub(super) fn answered(&self, answer: Answer, now: Timestamp) -> Result<Self, NotTaken> {
        match self.standing(now) {
            State::Pending => Ok(Self {
                state: State::Answered {
                    answer,
                    at: now,
                    sent: Sent::NotYet,
                },
                ..self.clone()
            }),
            State::Expired { .. } => Err(NotTaken::Expired),
            State::Answered { .. } => Err(NotTaken::Answered),
        }
    }

    /// The answer that is still to be sent, and what shows Keycloak whose it is.
    pub(super) fn unsent(&self) -> Option<(Answer, &Secret)> {
        match (&self.state, &self.token) {
            (
                State::Answered {
                    answer,
                    sent: Sent::NotYet,
                    ..
                },
                Some(token),
            ) => Some((*answer, token)),
            _ => None,
        }
    }

    /// `None`: there is nothing to be sent any more.
    pub(super) fn sent(&self, how: Sent) -> Option<Self> {
        match self.state {
            State::Answered {
                answer,
                at,
                sent: Sent::NotYet,
            } => Some(Self {
                state: State::Answered {
                    answer,
                    at,
                    sent: how,
                },
                token: None,
                ..self.clone()
            }),
            _ => None,
        }
    }

    /// `None`: it has not, or that was written before.
    pub(super) fn expired(&self, now: Timestamp) -> Option<Self> {
        let has = self.state == State::Pending && now >= self.expires;
        has.then(|| Self {
            state: State::Expired { at: self.expires },
            token: None,
            ..self.clone()
        })
    }
}

/// Whether one more may be asked of the user whose they are, by `client`.
pub(super) fn allows(
    known: &[SignIn],
    client: &str,
    most: usize,
    now: Timestamp,
) -> Result<(), TooMuch> {
    let answered = |one: &SignIn, wanted: Answer, within: Duration| match one.state {
        State::Answered { answer, at, .. } => answer == wanted && now.since(at) < within,
        _ => false,
    };
    if known
        .iter()
        .any(|one| answered(one, Answer::Report, LONG_COOL_DOWN))
    {
        return Err(TooMuch::Reported);
    }
    if known
        .iter()
        .any(|one| one.client == client && answered(one, Answer::No, COOL_DOWN))
    {
        return Err(TooMuch::Denied);
    }
    if known.iter().filter(|one| one.is_pending(now)).count() >= MOST_PENDING {
        return Err(TooMuch::Pending);
    }
    if known
        .iter()
        .filter(|one| now.since(one.created) < LATELY)
        .count()
        >= most
    {
        return Err(TooMuch::Lately);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    fn asked(client: &str, created: i64) -> SignIn {
        let asking = Asking {
            person: Person {
                iss: "issuer".to_owned(),
                sub: "alice".to_owned(),
            },
            client: client.to_owned(),
            client_name: client.to_owned(),
            message: None,
            scope: Vec::new(),
            details: Vec::new(),
            token: Secret::new("token"),
            expires: at(created + 120),
        };
        SignIn::new("id".to_owned(), asking, at(created))
    }

    #[test]
    fn one_answer_is_taken_and_sent_once() {
        let one = asked("teller", 0);
        assert!(one.unsent().is_none() && one.sent(Sent::Done).is_none());
        let answered = one.answered(Answer::Yes, at(119)).unwrap();
        assert_eq!(
            answered.answered(Answer::No, at(119)),
            Err(NotTaken::Answered)
        );
        assert_eq!(answered.unsent().unwrap().0, Answer::Yes);
        // Late is late even if nobody wrote so; what was answered in time stays answered.
        assert_eq!(one.answered(Answer::Yes, at(120)), Err(NotTaken::Expired));
        assert!(answered.expired(at(500)).is_none());
        let sent = answered.sent(Sent::Done).unwrap();
        assert!(sent.unsent().is_none() && sent.sent(Sent::Failed).is_none());
        assert_eq!(sent.token, None);
    }

    #[test]
    fn what_is_late_is_over_and_keeps_no_token() {
        let one = asked("teller", 0);
        assert!(one.expired(at(119)).is_none());
        let over = one.expired(at(120)).unwrap();
        assert_eq!((over.token.clone(), over.is_pending(at(0))), (None, false));
        assert!(over.expired(at(130)).is_none());
        assert_eq!(over.answered(Answer::Yes, at(0)), Err(NotTaken::Expired));
    }

    #[test]
    fn nobody_is_worn_down() {
        let may = |known: &[SignIn], now| allows(known, "teller", 5, at(now));
        assert_eq!(may(&[], 0), Ok(()));
        let three: Vec<_> = (0..3).map(|second| asked("other", second)).collect();
        assert_eq!(may(&three, 3), Err(TooMuch::Pending));
        assert_eq!(may(&three, 121), Ok(()));
        let five: Vec<_> = (0..5).map(|second| asked("other", second)).collect();
        assert_eq!(may(&five, 200), Err(TooMuch::Lately));
        assert_eq!(may(&five, 600), Ok(()));
        let denied = [asked("teller", 0).answered(Answer::No, at(10)).unwrap()];
        assert_eq!(may(&denied, 69), Err(TooMuch::Denied));
        assert_eq!(may(&denied, 70), Ok(()));
        assert_eq!(allows(&denied, "other", 5, at(11)), Ok(()));
        let reported = [asked("other", 0).answered(Answer::Report, at(10)).unwrap()];
        assert_eq!(may(&reported, 900), Err(TooMuch::Reported));
        assert_eq!(may(&reported, 910), Ok(()));
    }
}
