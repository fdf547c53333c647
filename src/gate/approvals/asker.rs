//! Who asks for a yes: a session or a token, and whatever an approval knows them by.

use std::sync::Arc;

use crate::gate::bearer::Verified;
use crate::gate::sessions::{Held, display_name};
use crate::model::approval::{Approval, Holder, Person};
use crate::model::evidence::Identity;
use crate::store::SubjectTag;

#[derive(Clone, Debug)]
pub(in crate::gate) enum Asker {
    Session(Held),
    Bearer(Arc<Verified>),
}

impl Asker {
    pub(in crate::gate) fn identity(&self) -> &Identity {
        match self {
            Self::Session(held) => &held.live.session.identity,
            Self::Bearer(verified) => &verified.identity,
        }
    }

    pub(in crate::gate) fn subject(&self) -> SubjectTag {
        match self {
            Self::Session(held) => held.live.subject,
            Self::Bearer(verified) => verified.subject(),
        }
    }

    pub(in crate::gate) fn session(&self) -> Option<&Held> {
        match self {
            Self::Session(held) => Some(held),
            Self::Bearer(_) => None,
        }
    }

    pub(in crate::gate) fn bearer(&self) -> Option<&Verified> {
        match self {
            Self::Session(_) => None,
            Self::Bearer(verified) => Some(verified.as_ref()),
        }
    }

    pub(in crate::gate) fn name(&self) -> &str {
        display_name(self.identity())
    }

    pub(in crate::gate) fn person(&self) -> Person {
        let identity = self.identity();
        Person {
            iss: identity.iss.clone(),
            sub: identity.sub.clone(),
        }
    }

    pub(in crate::gate) fn holder(&self) -> Holder {
        match self {
            Self::Session(held) => Holder::Session(held.live.session.lineage.clone()),
            Self::Bearer(verified) => verified.holder(),
        }
    }

    /// From wherever. It shows nothing of it, and lets nothing pass.
    pub(in crate::gate) fn is_requester_of(&self, approval: &Approval) -> bool {
        approval.requester.person == self.person()
    }

    /// Two users of one client hold alike.
    pub(in crate::gate) fn asked_for(&self, approval: &Approval) -> bool {
        approval.requester.person == self.person() && approval.requester.holder == self.holder()
    }
}
