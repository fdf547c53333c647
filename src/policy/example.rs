//! The ladder that the tests of this folder climb, and how they write evidence down.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::approval::{
    Action, Answer, Approval, ApprovalId, Holder, Mode, Person, Requester, Status, Terms, Vote,
};
use crate::model::claims::Claims;
use crate::model::evidence::{Evidence, Identity};
use crate::model::level::{Ask, Enrol, Fingerprint, Ladder, Level, Proof, Rank};
use crate::model::session::Lineage;
use crate::model::time::Timestamp;

pub(super) const PASSWORD: Rank = Rank::new(1);
pub(super) const MFA: Rank = Rank::new(2);
pub(super) const KEY: Rank = Rank::new(3);

/// Our clock and the provider's, in tests in which they agree.
pub(super) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// The design's example: password, mfa (also through a partner's provider), hardware-key.
pub(super) fn ladder() -> Ladder {
    Ladder::new(vec![password(), mfa(), key()])
}

/// A realm in which a scope switches the second factor on, and a claim tells that it ran.
pub(super) fn scope_ladder() -> Ladder {
    let mut otp = level("otp");
    otp.proofs = vec![Proof {
        claims: claim("auth-otp-form", json!(true)),
        ..Proof::default()
    }];
    otp.ask.scope = vec!["auth-otp-form".to_owned()];
    otp.ask.prompt_login = true;
    let mut base = password();
    base.proofs = vec![acr(&["0", "1"])];
    Ladder::new(vec![base, otp])
}

pub(super) fn password() -> Level {
    let mut level = level("password");
    level.base = true;
    level.proofs = vec![acr(&["1", "pwd"])];
    level.ask.acr_values = Some("pwd".to_owned());
    level
}

pub(super) fn mfa() -> Level {
    let mut level = level("mfa");
    level.proofs = vec![
        Proof {
            amr_any: strings(&["otp", "hwk"]),
            ..acr(&["2", "mfa"])
        },
        Proof {
            kc_idp_hint: Some("partner".to_owned()),
            claims: claim("idp", json!("partner"))
                .into_iter()
                .chain(claim("idp_acr", json!("mfa")))
                .collect(),
            ..Proof::default()
        },
    ];
    level.ask.acr_values = Some("mfa".to_owned());
    level.ask.prompt_login = true;
    level.lasts = Some(Duration::from_secs(30 * 60));
    level
}

pub(super) fn key() -> Level {
    let mut level = level("hardware-key");
    level.proofs = vec![Proof {
        amr_any: strings(&["hwk"]),
        ..acr(&["3", "phr"])
    }];
    level.ask.acr_values = Some("phr".to_owned());
    level.ask.always_asked = true;
    level.lasts = Some(Duration::from_secs(5 * 60));
    level
}

pub(super) fn level(name: &str) -> Level {
    Level {
        name: name.to_owned(),
        label: name.to_owned(),
        rank: Rank::ANONYMOUS,
        base: false,
        proofs: Vec::new(),
        ask: Ask::default(),
        lasts: None,
        enrol: Enrol::Page,
        fingerprint: Fingerprint(format!("of {name}")),
    }
}

pub(super) fn acr(values: &[&str]) -> Proof {
    Proof {
        acr: strings(values),
        ..Proof::default()
    }
}

pub(super) fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub(super) fn claims(value: Value) -> Claims {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn alice() -> Identity {
    Identity {
        iss: "https://sso.example.com/realms/corp".to_owned(),
        sub: "alice".to_owned(),
        sid: Some("s1".to_owned()),
        groups: strings(&["clerks", "staff"]),
        roles: strings(&["approver"]),
        scopes: strings(&["openid", "payments"]),
        claims: BTreeMap::from([
            ("country".to_owned(), json!("de")),
            ("sites".to_owned(), json!(["bonn", "ulm"])),
            ("age".to_owned(), json!(42)),
        ]),
    }
}

/// For [`alice`], by somebody just now; good for a minute.
pub(crate) fn given() -> Approval {
    let bob = Person {
        sub: "bob".to_owned(),
        ..person()
    };
    Approval {
        id: ApprovalId("an-id".to_owned()),
        name: "four-eyes".to_owned(),
        requester: Requester {
            person: person(),
            holder: holder(),
            name: "Alice".to_owned(),
            address: "192.0.2.7".to_owned(),
            sid: None,
        },
        action: action(),
        summary: "Release payment 7".to_owned(),
        reason: None,
        terms: Terms {
            need: 1,
            deny: 1,
            mode: Mode::ApproveDeny,
            by_self: false,
            reason_required: false,
            for_a_while: false,
            redeem_ttl: Duration::from_secs(60),
            escalate_after: None,
            ciba: None,
        },
        named: Vec::new(),
        number: None,
        choices: Vec::new(),
        tries: 0,
        votes: vec![Vote {
            person: bob,
            name: "Bob".to_owned(),
            answer: Answer::Yes,
            reason: None,
            channel: "app".to_owned(),
            at: NOW,
        }],
        status: Status::Approved {
            at: NOW,
            redeem_until: NOW.shifted(60),
        },
        created: NOW.shifted(-60),
        expires: NOW.shifted(540),
        escalated: None,
        awaited: None,
    }
}

pub(super) fn holder() -> Holder {
    Holder::Session(Lineage("alice's".to_owned()))
}

pub(super) fn action() -> Action {
    Action {
        origin: "https://erp.example.com".to_owned(),
        route: "erp/release".to_owned(),
        policy: [1; 32],
        method: "POST".to_owned(),
        target: "/payments/7/release".to_owned(),
        headers: vec![("content-type".to_owned(), Some("text/plain".to_owned()))],
        parameters: Vec::new(),
        body: [2; 32],
    }
}

fn person() -> Person {
    let Identity { iss, sub, .. } = alice();
    Person { iss, sub }
}

/// `password@-60 mfa~-60`: proven 60 s before [`NOW`], held since then.
pub(super) fn written(evidence: &Evidence) -> String {
    let seconds = |at: Timestamp| at.as_unix() - NOW.as_unix();
    let mut words = Vec::new();
    for known in &evidence.levels {
        if let Some(at) = known.proven_at {
            words.push(format!("{}@{}", known.level, seconds(at)));
        }
        match known.held_since {
            Some(at) if at.as_unix() == 0 => words.push(format!("{}~ever", known.level)),
            Some(at) => words.push(format!("{}~{}", known.level, seconds(at))),
            None => {}
        }
    }
    words.join(" ")
}

fn claim(name: &str, value: Value) -> BTreeMap<String, Vec<Value>> {
    BTreeMap::from([(name.to_owned(), vec![value])])
}
