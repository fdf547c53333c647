//! Who may decide on what somebody else asks for.

use std::fmt;

use serde_json::Value;

use crate::model::approval::Approval;
use crate::model::evidence::Identity;

/// Whoever one of these names. Nobody, where none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvers {
    /// The requester, on a second device.
    pub by_self: bool,
    pub groups_any: Vec<String>,
    /// Of the requester's token: whom it names, such as the requester's manager.
    pub claim: Option<String>,
    /// By `sub`, `preferred_username`, or `email`.
    pub people: Vec<String>,
    /// Who may decide as well on what has gone on to them.
    pub second: Option<Box<Self>>,
    /// A program, by the name of its channel: it has one vote.
    pub webhook: Option<String>,
    /// The requester, by Keycloak's word that they confirmed it on a device; the name of the channel. Nobody else then.
    pub ciba: Option<String>,
}

impl Approvers {
    pub fn is_nobody(&self) -> bool {
        !self.by_self
            && self.groups_any.is_empty()
            && self.claim.is_none()
            && self.people.is_empty()
            && self.webhook.is_none()
            && self.ciba.is_none()
    }
}

/// As config spells it.
impl fmt::Display for Approvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |key: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{key} {}", names.join(", ")))
        };
        let claim = self.claim.as_ref().map(|name| format!("claim {name}"));
        let all = [
            self.by_self.then(|| "self".to_owned()),
            list("groups_any", &self.groups_any),
            claim,
            list("people", &self.people),
            self.webhook.as_ref().map(|name| format!("webhook {name}")),
            self.ciba.as_ref().map(|name| format!("ciba {name}")),
        ];
        let all: Vec<_> = all.into_iter().flatten().collect();
        f.write_str(&all.join(" or "))
    }
}

/// Whom the requester's claim names now. It is written into the approval: whoever becomes somebody's manager later has no
/// say in what was asked before.
pub fn named(approvers: &Approvers, requester: &Identity) -> Vec<String> {
    let claim = approvers.claim.as_ref();
    match claim.and_then(|name| requester.claims.get(name)) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Never the requester, unless approvals of the kind say so, then and now. At which level, and with which device, is
/// asked elsewhere.
pub fn may_decide(approval: &Approval, approvers: &Approvers, voter: &Identity) -> bool {
    let requester = &approval.requester.person;
    if voter.iss != requester.iss || voter.sub.is_empty() {
        return false;
    }
    if voter.sub == requester.sub {
        return approval.terms.by_self && approvers.by_self;
    }
    let mut by_claim = approval.named.iter().filter(|_| approvers.claim.is_some());
    let second = approvers.second.as_deref();
    is_named(approvers, voter)
        || by_claim.any(|name| is_called(voter, name))
        || second.is_some_and(|second| approval.escalated.is_some() && is_named(second, voter))
}

/// By group or name, whatever the requester's claims say.
pub fn is_named(approvers: &Approvers, voter: &Identity) -> bool {
    let mut in_group = approvers.groups_any.iter();
    let mut by_name = approvers.people.iter();
    in_group.any(|group| voter.groups.contains(group)) || by_name.any(|name| is_called(voter, name))
}

/// What users choose for themselves must not make them somebody else: what looks like a `sub` is no user name, and what
/// looks like an address is the address that the provider has seen to be theirs.
fn is_called(voter: &Identity, name: &str) -> bool {
    let claim = |key: &str| voter.claims.get(key).and_then(Value::as_str);
    if name.is_empty() {
        return false;
    }
    if voter.sub == name {
        return true;
    }
    if name.contains('@') {
        let is_verified = voter.claims.get("email_verified") == Some(&Value::Bool(true));
        return is_verified && claim("email").is_some_and(|email| email.eq_ignore_ascii_case(name));
    }
    !is_like_a_sub(name) && claim("preferred_username") == Some(name)
}

/// A UUID, as Keycloak makes them (RFC 9562 section 4).
fn is_like_a_sub(name: &str) -> bool {
    let lengths = name.split('-').map(|part| {
        let is_hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hexadecimal.then_some(part.len())
    });
    lengths.eq([8, 4, 4, 4, 12].map(Some))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::example::{alice, given, strings};

    const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn bob() -> Identity {
        Identity {
            sub: UUID.to_owned(),
            groups: strings(&["leads"]),
            claims: [
                ("preferred_username".to_owned(), json!("bob")),
                ("email".to_owned(), json!("Bob@example.com")),
                ("email_verified".to_owned(), json!(true)),
            ]
            .into(),
            ..alice()
        }
    }

    fn groups(names: &[&str]) -> Approvers {
        Approvers {
            groups_any: strings(names),
            ..Approvers::default()
        }
    }

    fn people(names: &[&str]) -> Approvers {
        Approvers {
            people: strings(names),
            ..Approvers::default()
        }
    }

    #[test]
    fn whoever_is_named_decides_and_nobody_else() {
        let rows = [
            (Approvers::default(), false),
            (groups(&["leads"]), true),
            (groups(&["board", "leads"]), true),
            (groups(&["Leads"]), false),
            (groups(&["lead"]), false),
            (people(&["carol", "bob"]), true),
            (people(&[UUID]), true),
            (people(&["bob@example.com"]), true),
            (people(&["BOB"]), false),
            (people(&[""]), false),
            (people(&["alice"]), false),
        ];
        for (approvers, expected) in rows {
            let may = may_decide(&given(), &approvers, &bob());
            assert_eq!(may, expected, "{approvers:?}");
        }
    }

    #[test]
    fn nobody_becomes_somebody_else_by_what_they_call_themselves() {
        let mallory = |claims: &[(&str, Value)]| Identity {
            sub: "mallory".to_owned(),
            groups: Vec::new(),
            claims: claims
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..bob()
        };
        let all = people(&["bob@example.com", UUID]);
        for claims in [
            &[("email", json!("bob@example.com"))][..],
            &[
                ("email", json!("bob@example.com")),
                ("email_verified", json!(false)),
            ],
            &[
                ("email", json!("bob@example.com")),
                ("email_verified", json!("true")),
            ],
            &[
                ("email", json!(["bob@example.com"])),
                ("email_verified", json!(true)),
            ],
            &[("preferred_username", json!("bob@example.com"))],
            &[("preferred_username", json!(UUID))],
        ] {
            assert!(!may_decide(&given(), &all, &mallory(claims)), "{claims:?}");
        }
        let elsewhere = Identity {
            iss: "https://other.example.com".to_owned(),
            ..bob()
        };
        assert!(!may_decide(&given(), &groups(&["leads"]), &elsewhere));
        let nobody = Identity {
            sub: String::new(),
            ..bob()
        };
        assert!(!may_decide(&given(), &groups(&["leads"]), &nobody));
    }

    #[test]
    fn the_requester_decides_nothing_unless_it_was_and_is_theirs_to() {
        let all = Approvers {
            claim: Some("manager".to_owned()),
            people: strings(&["alice"]),
            ..groups(&["clerks"])
        };
        let mut approval = given();
        approval.named = strings(&["alice"]);
        assert!(!may_decide(&approval, &all, &alice()));
        let own = Approvers {
            by_self: true,
            ..all
        };
        // One of the two has changed since.
        assert!(!may_decide(&approval, &own, &alice()));
        approval.terms.by_self = true;
        assert!(!may_decide(&approval, &groups(&["clerks"]), &alice()));
        assert!(may_decide(&approval, &own, &alice()));
        // Others where they are named as well, and only there.
        assert!(!may_decide(&approval, &own, &bob()));
        let either = Approvers {
            by_self: true,
            ..groups(&["leads"])
        };
        assert!(may_decide(&approval, &either, &bob()));
        let nobody_else = Approvers {
            by_self: true,
            ..Approvers::default()
        };
        assert!(!may_decide(&approval, &nobody_else, &bob()));
        assert!(may_decide(&approval, &nobody_else, &alice()));
    }

    #[test]
    fn others_decide_on_what_has_gone_on_to_them() {
        let approvers = Approvers {
            second: Some(Box::new(groups(&["leads"]))),
            ..groups(&["board"])
        };
        let mut approval = given();
        assert!(!may_decide(&approval, &approvers, &bob()));
        approval.escalated = Some(approval.created);
        assert!(may_decide(&approval, &approvers, &bob()));
        assert!(!may_decide(&approval, &groups(&["board"]), &bob()));
        // Nor then who asked.
        let clerks = Approvers {
            second: Some(Box::new(groups(&["clerks"]))),
            ..groups(&["board"])
        };
        assert!(!may_decide(&approval, &clerks, &alice()));
    }

    /// They say yes in the place of the requester's own device, as any others do who are named beside `self`.
    #[test]
    fn what_is_the_requesters_own_goes_on_to_others_as_well() {
        let approvers = Approvers {
            by_self: true,
            second: Some(Box::new(groups(&["leads", "clerks"]))),
            ..Approvers::default()
        };
        let mut approval = given();
        approval.terms.by_self = true;
        let may = |approval: &Approval| {
            [alice(), bob()].map(|who| may_decide(approval, &approvers, &who))
        };
        assert_eq!(may(&approval), [true, false]);
        approval.escalated = Some(approval.created);
        assert_eq!(may(&approval), [true, true]);
        // By a group of the second ones the requester has no say of their own.
        approval.terms.by_self = false;
        assert_eq!(may(&approval), [false, true]);
    }

    #[test]
    fn a_claim_names_whoever_it_named_then() {
        let of = |value: Value| {
            let mut alice = alice();
            alice.claims.insert("manager".to_owned(), value);
            let approvers = Approvers {
                claim: Some("manager".to_owned()),
                ..Approvers::default()
            };
            named(&approvers, &alice)
        };
        assert_eq!(of(json!("bob")), ["bob"]);
        assert_eq!(of(json!(["bob", 7, "carol"])), ["bob", "carol"]);
        assert!(of(json!({ "bob": 1 })).is_empty());
        assert!(named(&groups(&["leads"]), &alice()).is_empty());

        let approvers = Approvers {
            claim: Some("manager".to_owned()),
            ..Approvers::default()
        };
        let mut approval = given();
        assert!(!may_decide(&approval, &approvers, &bob()));
        approval.named = strings(&["bob"]);
        assert!(may_decide(&approval, &approvers, &bob()));
        // No rule asks the claim any more.
        assert!(!may_decide(&approval, &Approvers::default(), &bob()));
    }
}
