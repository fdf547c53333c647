#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::seeded;
use crate::policy::decision::Need;
use crate::policy::evidence::{have, shortfall};
use crate::policy::example::{KEY, MFA, NOW, PASSWORD, acr, claims, ladder, scope_ladder, written};

/// `acr=mfa amr=pwd,otp at=-5 iat=-5 otp idp`: times in seconds from now.
fn token(text: &str) -> Claims {
    let mut token = json!({ "sub": "alice", "iat": NOW.as_unix() });
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let time = || json!(NOW.as_unix() + value.parse::<i64>().unwrap());
        match name {
            "amr" => token["amr"] = value.split_terminator(',').collect(),
            "at" => token["auth_time"] = time(),
            "iat" => token["iat"] = time(),
            "otp" => token["auth-otp-form"] = json!(true),
            "idp" => {
                token["idp"] = json!("partner");
                token["idp_acr"] = json!("mfa");
                token["amr"] = json!([]);
            }
            name => token[name] = value.into(),
        }
    }
    claims(token)
}

fn of(ladder: &Ladder, token: &Claims, age: BearerAge) -> Evidence {
    of_bearer(ladder, token, age, NOW, &[])
}

#[test]
fn what_a_token_shows() {
    // token | nothing said of ages | bearer_age = "auth_time"
    let table = "
        acr=pwd at=-60                      | password@-60               | password@-60
        acr=pwd                             | password~ever              | password~ever
        acr=mfa amr=pwd,otp at=-60          | password@-60 mfa~-60       | password@-60 mfa@-60
        acr=mfa amr=pwd,otp                 | password~ever mfa~ever     | password~ever mfa~ever
        acr=mfa amr=pwd at=-60              | password@-60               | password@-60
        acr=mfa at=-60                      | password@-60               | password@-60
        acr=phr amr=pwd,otp at=-60          | password@-60 mfa~-60       | password@-60 mfa@-60
        acr=phr amr=pwd,hwk at=-60          | password@-60 mfa~-60 hardware-key~-60 | password@-60 mfa@-60 hardware-key@-60
        acr=gold at=-60                     |                            |
        acr=PWD at=-60                      |                            |
        at=-60                              |                            |
        amr=pwd,otp at=-60                  |                            |
        acr=pwd idp at=-60                  | password@-60               | password@-60
        idp at=-60                          |                            |
        acr=pwd at=2                        | password@2                 | password@2
        acr=pwd at=3                        | password~ever              | password~ever
        acr=mfa amr=otp at=3                | password~ever mfa~ever     | password~ever mfa~ever
        acr=mfa amr=otp at=20 iat=20        | password@20 mfa~20         | password@20 mfa@20
    ";
    for row in table.lines().filter(|line| line.contains('|')) {
        let [text, unknown, auth_time] = row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        let token = token(text);
        for (age, expected) in [
            (BearerAge::Unknown, unknown),
            (BearerAge::AuthTime, auth_time),
        ] {
            assert_eq!(
                written(&of(&ladder(), &token, age)),
                expected,
                "{row} {age:?}"
            );
        }
    }
}

#[test]
fn ill_typed_claims_show_nothing() {
    for (name, value) in [
        ("acr", json!(2)),
        ("acr", json!(["mfa"])),
        ("acr", json!({ "mfa": true })),
        ("amr", json!("otp")),
        ("amr", json!(["otp", 7])),
    ] {
        let mut token = token("acr=mfa amr=pwd,otp at=-60");
        token.0.insert(name.to_owned(), value);
        let evidence = of(&ladder(), &token, BearerAge::AuthTime);
        assert!(have(&ladder(), &evidence, NOW).rank < MFA, "{token:?}");
    }
    for value in [json!("1800000000"), json!(1.5), json!(-1), json!([1])] {
        let mut token = token("acr=mfa amr=pwd,otp");
        token.0.insert("auth_time".to_owned(), value);
        let evidence = of(&ladder(), &token, BearerAge::AuthTime);
        assert_eq!(written(&evidence), "password~ever mfa~ever");
    }
}

/// An SSO session gets the claim without anybody being asked.
#[test]
fn claims_alone_never_count() {
    let evidence = of(
        &scope_ladder(),
        &token("acr=1 otp at=-1"),
        BearerAge::AuthTime,
    );
    assert_eq!(written(&evidence), "password@-1");
}

#[test]
fn a_refused_level_does_not_count() {
    let token = token("acr=mfa amr=pwd,otp at=-60");
    let refused = ["mfa".to_owned(), "password".to_owned()];
    let evidence = of_bearer(&ladder(), &token, BearerAge::AuthTime, NOW, &refused);
    assert_eq!(written(&evidence), "password@-60");
}

#[test]
fn which_demands_a_bearer_can_meet() {
    let minute = Some(Duration::from_secs(60));
    let scoped = scope_ladder();
    let plain = ladder();
    let name = |ladder: &Ladder, rank, max_age, age| {
        for_bearer(ladder, rank, max_age, age).map(|level| level.name.clone())
    };
    let unknown = BearerAge::Unknown;
    let level = |name: &str| Some(name.to_owned());
    assert_eq!(name(&plain, PASSWORD, minute, unknown), level("password"));
    assert_eq!(name(&plain, MFA, None, unknown), level("mfa"));
    assert_eq!(name(&plain, MFA, minute, unknown), None);
    assert_eq!(name(&plain, MFA, minute, BearerAge::AuthTime), level("mfa"));
    assert_eq!(name(&scoped, MFA, None, BearerAge::AuthTime), None);
    assert_eq!(name(&plain, Rank::UNREACHABLE, None, unknown), None);
}

/// Whatever is demanded that no bearer can meet is met by none, so that a challenge for it would go round in circles.
#[test]
fn what_cannot_be_met_is_not() {
    proptest!(seeded::cases(512), |(token in tokens(), rank in 1u8..=3, max_age in 1u64..100_000, aged: bool, dated: bool)| {
        let age = if dated { BearerAge::AuthTime } else { BearerAge::Unknown };
        let need = Need {
            rank: Rank::new(rank),
            max_age: aged.then(|| Duration::from_secs(max_age)),
        };
        for ladder in [ladder(), scope_ladder()] {
            let evidence = of(&ladder, &token, age);
            if for_bearer(&ladder, need.rank, need.max_age, age).is_none() {
                prop_assert!(shortfall(&ladder, &evidence, need, NOW).is_some());
            }
        }
    });
}

/// Believing `auth_time` only ever adds; and without it no level above the base has a time.
#[test]
fn ages_are_believed_only_where_that_is_said() {
    proptest!(seeded::cases(512), |(token in tokens())| {
        let evidence = of(&ladder(), &token, BearerAge::Unknown);
        prop_assert!(evidence.levels.iter().all(|known| known.level == "password" || known.proven_at.is_none()));
        let dated = of(&ladder(), &token, BearerAge::AuthTime);
        prop_assert_eq!(evidence.levels.len(), dated.levels.len());
    });
}

/// Taking a claim away never brings a level.
#[test]
fn less_said_is_less_shown() {
    proptest!(seeded::cases(512), |(token in tokens(), name in "acr|amr|auth_time|auth-otp-form")| {
        let mut less = token.clone();
        less.0.remove(&name);
        for ladder in [ladder(), scope_ladder()] {
            for rank in [PASSWORD, MFA, KEY] {
                let need = Need { rank, max_age: Some(Duration::from_secs(3600)) };
                let met = |token: &Claims| {
                    shortfall(&ladder, &of(&ladder, token, BearerAge::AuthTime), need, NOW).is_none()
                };
                prop_assert!(!met(&less) || met(&token), "{:?}", token);
            }
        }
    });
}

fn tokens() -> impl Strategy<Value = Claims> {
    let acr = prop_oneof![
        Just(json!(null)),
        Just(json!(2)),
        "0|1|2|3|pwd|mfa|phr|gold".prop_map(Value::from),
    ];
    let amr = proptest::option::of(proptest::collection::vec("pwd|otp|hwk", 0..4));
    let times = (proptest::option::of(-10_000i64..10), -300i64..60);
    (acr, amr, times, any::<bool>()).prop_map(|(acr, amr, (auth_time, iat), otp)| {
        let at = |seconds: i64| NOW.as_unix() + seconds;
        let mut token = json!({ "iat": at(iat), "auth-otp-form": otp });
        token["acr"] = acr;
        if let Some(amr) = amr {
            token["amr"] = json!(amr);
        }
        if let Some(auth_time) = auth_time {
            token["auth_time"] = json!(at(auth_time));
        }
        claims(token)
    })
}

#[test]
fn a_proof_by_acr_alone_is_enough_where_the_ladder_says_so() {
    let mut levels: Vec<Level> = ladder().iter().cloned().collect();
    levels[1].proofs = vec![acr(&["mfa"])];
    let evidence = of(
        &Ladder::new(levels),
        &token("acr=mfa at=-9"),
        BearerAge::AuthTime,
    );
    assert_eq!(written(&evidence), "password@-9 mfa@-9");
}
