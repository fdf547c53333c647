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
use crate::policy::example::{
    KEY, MFA, NOW, PASSWORD, acr, alice, claims, ladder, level, mfa, password, scope_ladder,
    strings, written,
};

/// `mfa`: pushed, asked for that level, 10 s ago. Words behind it: `forced` (`prompt=login`), `always`, `unpushed`,
/// `hint=partner`.
fn flow(text: &str) -> FlowFacts {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let mut flow = FlowFacts {
        pushed: true,
        asked: Some(Asked {
            level: name.to_owned(),
            fingerprint: level(name).fingerprint,
        }),
        prompt_login: false,
        always_asked: false,
        kc_idp_hint: None,
        started: NOW.shifted(-10),
        exchanged: NOW,
    };
    for word in words {
        match word {
            "forced" => flow.prompt_login = true,
            "always" => flow.always_asked = true,
            "unpushed" => flow.pushed = false,
            hint => flow.kc_idp_hint = Some(hint.strip_prefix("hint=").unwrap().to_owned()),
        }
    }
    flow
}

/// `acr=mfa amr=pwd,otp at=-5`: `at` is `auth_time`, in seconds from now.
fn token(text: &str) -> Claims {
    let mut token = json!({
        "iss": alice().iss, "sub": "alice", "sid": "s1", "iat": NOW.as_unix(),
    });
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "amr" => token["amr"] = value.split_terminator(',').collect(),
            "at" => token["auth_time"] = (NOW.as_unix() + value.parse::<i64>().unwrap()).into(),
            "otp" => token["auth-otp-form"] = true.into(),
            name => token[name] = value.into(),
        }
    }
    claims(token)
}

fn with(text: &str, name: &str, value: Value) -> Claims {
    let mut token = token(text);
    token.0.insert(name.to_owned(), value);
    token
}

fn derived(flow_text: &str, token_text: &str) -> Derived {
    derive(&ladder(), &flow(flow_text), &token(token_text), None)
}

/// Evidence, and whatever else was noticed.
fn told(derived: &Derived) -> String {
    let mut words = vec![written(&derived.evidence)];
    words.extend(
        derived
            .enrolled
            .iter()
            .map(|name| format!("enrolled:{name}")),
    );
    words.extend(
        derived
            .always_asked_broken
            .iter()
            .map(|name| format!("broken:{name}")),
    );
    if derived.broker_stale {
        words.push("stale".to_owned());
    }
    if derived.offset_excessive {
        words.push("offset".to_owned());
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[track_caller]
fn check(ladder: &Ladder, table: &str) {
    for row in table.lines().filter(|line| line.contains('|')) {
        let [flow_text, token_text, expected] =
            row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        let derived = derive(ladder, &flow(flow_text), &token(token_text), None);
        assert_eq!(told(&derived), expected, "{row}");
    }
}

/// The rows that were seen on Keycloak 26.7.5.
#[test]
fn keycloak_as_it_was_seen() {
    check(
        &ladder(),
        "
        password             | acr=pwd amr=pwd at=-1         | password@-1
        mfa                  | acr=mfa amr=pwd,otp at=-1     | password@-1 mfa~-1
        mfa                  | acr=mfa amr=pwd,otp at=-200   | password@-200 mfa~-200
        password             | acr=mfa amr=pwd,otp at=-200   | password@-200 mfa~-200
        mfa forced           | acr=mfa amr=pwd,otp at=-1     | password@-1 mfa@-1
        mfa                  | acr=mfa amr=pwd at=-1         | password@-1
        mfa forced           | acr=pwd amr=pwd at=-1         | password@-1
        password             | acr=pwd amr=pwd,otp at=-200   | password@-200
        mfa always           | acr=mfa amr=pwd,otp at=-1     | password@-1 mfa@-1
        mfa forced           | acr=mfa amr=pwd at=-1         | password@-1 enrolled:mfa
        hardware-key always  | acr=phr amr=pwd,otp at=-1     | password@-1 mfa~-1 enrolled:hardware-key
        hardware-key forced  | acr=phr amr=pwd,otp at=-1     | password@-1 mfa@-1 enrolled:hardware-key
        hardware-key always  | acr=phr amr=pwd,otp,hwk at=-1 | password@-1 mfa@-1 hardware-key@-1
        hardware-key forced  | acr=phr amr=pwd,otp,hwk at=-1 | password@-1 mfa@-1 hardware-key@-1
        ",
    );
}

#[test]
fn what_forces_a_flow() {
    check(
        &ladder(),
        "
        mfa forced             | acr=mfa amr=otp at=-9       | password@-9 mfa@-9
        mfa forced             | acr=mfa amr=otp at=-11      | password@-11 mfa@-11
        mfa forced             | acr=mfa amr=otp at=-12      | password@-12 mfa~-12
        mfa always             | acr=mfa amr=otp at=-12      | password@-12 mfa~-12 broken:mfa
        mfa always forced      | acr=mfa amr=otp at=-12      | password@-12 mfa~-12
        mfa always             | acr=mfa amr=otp             | password~ever mfa~ever
        mfa always             | acr=pwd amr=otp at=-12      | password@-12
        hardware-key forced    | acr=mfa amr=otp at=-1       | password@-1 mfa@-1
        hardware-key always    | acr=mfa amr=otp at=-1       | password@-1 mfa~-1
        mfa always             | acr=phr amr=hwk at=-1       | password@-1 mfa@-1 hardware-key~-1
        mfa forced             | acr=phr amr=hwk at=-1       | password@-1 mfa@-1 hardware-key~-1
        password forced        | acr=mfa amr=otp at=-1       | password@-1 mfa~-1
        nonsense forced        | acr=mfa amr=otp at=-1       | password@-1 mfa~-1
        mfa unpushed forced    | acr=mfa amr=otp at=-1       | password@-1 mfa~-1
        mfa unpushed always    | acr=mfa amr=otp at=-1       | password@-1 mfa~-1
        mfa unpushed always    | acr=mfa amr=otp at=-99      | password@-99 mfa~-99
        password unpushed      | acr=pwd at=-1               | password@-1
        ",
    );
    let mut changed = flow("mfa forced");
    changed.asked.as_mut().unwrap().fingerprint.0.push('x');
    let derived = derive(&ladder(), &changed, &token("acr=mfa amr=otp at=-1"), None);
    assert_eq!(told(&derived), "password@-1 mfa~-1");
    let nothing_asked = FlowFacts {
        asked: None,
        ..flow("mfa forced")
    };
    let derived = derive(
        &ladder(),
        &nothing_asked,
        &token("acr=mfa amr=otp at=-1"),
        None,
    );
    assert_eq!(told(&derived), "password@-1 mfa~-1");
}

#[test]
fn an_acr_whose_amr_does_not_fit_counts_for_the_next_lower_level() {
    check(
        &ladder(),
        "
        password  | acr=phr amr=pwd,otp at=-5 | password@-5 mfa~-5
        password  | acr=phr amr=pwd at=-5     | password@-5
        password  | acr=phr at=-5             | password@-5
        password  | acr=mfa amr=pwd at=-5     | password@-5
        password  | acr=unknown amr=hwk at=-5 |
        password  | amr=hwk,otp at=-5         |
        password  | at=-5                     |
        ",
    );
    assert_eq!(derived("password", "at=-5").landed, Rank::ANONYMOUS);
    assert_eq!(derived("password", "acr=pwd at=-5").landed, PASSWORD);
    assert_eq!(derived("password", "acr=phr amr=otp at=-5").landed, MFA);
    assert_eq!(derived("password", "acr=phr amr=hwk at=-5").landed, KEY);
}

/// An `acr` that the proofs of several levels name says nothing beyond the lowest of them.
#[test]
fn an_acr_that_two_levels_share_is_worth_the_lower() {
    let mut otp = level("otp");
    otp.proofs = vec![acr(&["2"])];
    let mut key = level("key");
    let mut by_amr = acr(&["1"]);
    by_amr.amr_any = strings(&["hwk"]);
    key.proofs = vec![by_amr];
    check(
        &Ladder::new(vec![password(), otp, key]),
        "
        password | acr=1 amr=pwd at=-5 | password@-5
        password | acr=1 amr=hwk at=-5 | password@-5 key~-5
        password | acr=2 amr=hwk at=-5 | password@-5 otp~-5
        ",
    );
}

#[test]
fn claims_alone_count_from_a_forced_flow_only() {
    check(
        &scope_ladder(),
        "
        password            | acr=1 amr=pwd at=-5    | password@-5
        password            | acr=0 amr= at=-500     | password@-500
        otp forced          | acr=1 otp=1 at=-5      | password@-5 otp@-5
        otp                 | acr=1 otp=1 at=-5      | password@-5
        otp forced          | acr=0 otp=1 at=-500    | password@-500
        otp unpushed forced | acr=1 otp=1 at=-5      | password@-5
        otp always          | acr=1 otp=1 at=-5      | password@-5 otp@-5
        otp always          | acr=0 otp=1 at=-500    | password@-500 broken:otp
        password forced     | acr=1 otp=1 at=-5      | password@-5
        otp forced          | acr=1 at=-5            | password@-5
        otp forced          | acr=1 otp=1            | password~ever
        ",
    );
    let text = with("acr=1 at=-5", "auth-otp-form", json!("true"));
    let derived = derive(&scope_ladder(), &flow("otp forced"), &text, None);
    assert_eq!(told(&derived), "password@-5");
}

#[test]
fn a_providers_claims_count_when_it_alone_was_asked() {
    check(
        &ladder(),
        "
        mfa forced hint=partner          | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5 mfa@-5
        mfa forced hint=partner          | acr=pwd amr=pwd idp=partner idp_acr=mfa at=-5   | password@-5 stale
        mfa forced hint=partner          | acr=pwd idp=partner idp_acr=mfa at=-5           | password@-5 stale
        mfa forced hint=partner          | acr=pwd amr= idp=partner idp_acr=pwd at=-5      | password@-5
        mfa forced hint=partner          | acr=pwd amr= idp=other idp_acr=mfa at=-5        | password@-5
        mfa forced hint=partner          | acr=pwd amr= idp=partner idp_acr=mfa at=-500    | password@-500
        mfa forced hint=other            | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5
        mfa forced                       | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5
        mfa hint=partner                 | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5
        mfa unpushed forced hint=partner | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5
        password hint=partner            | acr=pwd amr= idp=partner idp_acr=mfa at=-5      | password@-5
        ",
    );
}

#[test]
fn an_enrolment_is_worth_what_the_level_says() {
    for (enrol, expected) in [
        (Enrol::Allow, "password@-5 mfa@-5"),
        (Enrol::Page, "password@-5 enrolled:mfa"),
        (
            Enrol::Hold(Duration::from_secs(86400)),
            "password@-5 enrolled:mfa",
        ),
    ] {
        let mut mfa = mfa();
        mfa.enrol = enrol;
        let ladder = Ladder::new(vec![password(), mfa]);
        let token = token("acr=mfa amr=pwd at=-5");
        let derived = derive(&ladder, &flow("mfa forced"), &token, None);
        assert_eq!(told(&derived), expected);
        // Without force it is the password's time that is fresh, not an enrolment.
        for unforced in ["mfa", "mfa unpushed forced", "password forced"] {
            let derived = derive(&ladder, &flow(unforced), &token, None);
            assert_eq!(told(&derived), "password@-5", "{unforced}");
        }
    }
}

/// What a refused level shows counts for the base level alone; what a lower one shows by its own proof stays.
#[test]
fn a_refused_level_proves_nothing_below_it() {
    let all = "acr=phr amr=pwd,otp,hwk at=-5";
    for (refused, token_text, expected) in [
        (&[][..], all, "password@-5 mfa@-5 hardware-key@-5"),
        (&["hardware-key"], all, "password@-5 mfa@-5"),
        (&["hardware-key"], "acr=phr at=-5", "password@-5"),
        (&["hardware-key", "mfa"], all, "password@-5"),
        (&["mfa"], all, "password@-5 hardware-key@-5"),
    ] {
        let flow = flow("hardware-key forced");
        let refused = strings(refused);
        let derived = derive_without(&ladder(), &flow, &token(token_text), None, &refused);
        assert_eq!(told(&derived), expected, "{refused:?} {token_text}");
    }
}

#[test]
fn an_alternative_that_asks_for_nothing_is_never_met() {
    let mut empty = level("empty");
    empty.proofs = vec![Default::default()];
    let mut hinted = level("hinted");
    hinted.proofs = vec![crate::model::level::Proof {
        kc_idp_hint: Some("partner".to_owned()),
        ..Default::default()
    }];
    let ladder = Ladder::new(vec![password(), empty, hinted]);
    let flow = flow("hinted forced hint=partner");
    let derived = derive(&ladder, &flow, &token("acr=pwd amr= at=-5"), None);
    assert_eq!(told(&derived), "password@-5");
}

#[test]
fn clocks() {
    let token_at = |iat: i64, at: i64| {
        let mut token = token("acr=mfa amr=otp");
        let unix = |seconds| Value::from(NOW.as_unix() + seconds);
        token.0.insert("iat".to_owned(), unix(iat));
        token.0.insert("auth_time".to_owned(), unix(at));
        token
    };
    for (iat, at, expected) in [
        (0, -5, "password@-5 mfa@-5"),
        // The provider is 50 s ahead: the flow started at 40 in its clock.
        (50, 45, "password@45 mfa@45"),
        (50, 39, "password@39 mfa@39"),
        (50, 38, "password@38 mfa~38"),
        (-50, -61, "password@-61 mfa@-61"),
        (-50, -62, "password@-62 mfa~-62"),
        // Ahead of its own clock: no proof of any time.
        (0, 2, "password@2 mfa@2"),
        (0, 3, "password~ever mfa~ever"),
        (60, 1, "password@1 mfa~1"),
        (61, 1, "offset"),
        (-61, -100, "offset"),
    ] {
        let derived = derive(&ladder(), &flow("mfa forced"), &token_at(iat, at), None);
        assert_eq!(told(&derived), expected, "iat {iat}, auth_time {at}");
        assert_eq!(
            derived.evidence.offset,
            if expected == "offset" { 0 } else { iat }
        );
    }
}

#[test]
fn ill_typed_claims_prove_nothing() {
    let ladder = Ladder::new(vec![password(), {
        let mut ten = level("ten");
        ten.proofs = vec![acr(&["10"])];
        ten
    }]);
    for (name, value, expected) in [
        ("acr", json!("10"), "password@-5 ten@-5"),
        ("acr", json!("2"), ""),
        ("acr", json!("1"), "password@-5"),
        ("acr", json!("010"), ""),
        ("acr", json!(" 10"), ""),
        ("acr", json!("10\n"), ""),
        ("acr", json!(10), ""),
        ("acr", json!(1), ""),
        ("acr", json!(["10"]), ""),
        ("acr", json!({"value": "10"}), ""),
        ("acr", json!(true), ""),
        ("acr", json!(null), ""),
        ("acr", json!(""), ""),
        ("auth_time", json!(null), "password~ever ten~ever"),
        (
            "auth_time",
            json!(NOW.as_unix().to_string()),
            "password~ever ten~ever",
        ),
        ("auth_time", json!(-5), "password~ever ten~ever"),
        (
            "auth_time",
            json!(NOW.as_unix() as f64),
            "password~ever ten~ever",
        ),
        ("auth_time", json!(i64::MAX), "password~ever ten~ever"),
        ("auth_time", json!(u64::MAX), "password~ever ten~ever"),
        ("auth_time", json!(1e300), "password~ever ten~ever"),
        (
            "auth_time",
            json!([NOW.as_unix()]),
            "password~ever ten~ever",
        ),
        (
            "auth_time",
            json!(NOW.as_unix() + 3),
            "password~ever ten~ever",
        ),
        (
            "auth_time",
            json!(NOW.as_unix() * 1000),
            "password~ever ten~ever",
        ),
        ("iat", json!(null), "offset"),
        ("iat", json!(NOW.as_unix().to_string()), "offset"),
        ("iat", json!(i64::MIN), "offset"),
        ("iat", json!(i64::MAX), "offset"),
    ] {
        let token = with("acr=10 at=-5", name, value.clone());
        let derived = derive(&ladder, &flow("ten forced"), &token, None);
        assert_eq!(told(&derived), expected, "{name} = {value}");
    }
    for (value, expected) in [
        (json!(["otp"]), "password@-5 mfa@-5"),
        (json!(["otp", "otp"]), "password@-5 mfa@-5"),
        (json!("otp"), "password@-5"),
        (json!(["otp", 1]), "password@-5"),
        (json!(["OTP"]), "password@-5 enrolled:mfa"),
        (json!([["otp"]]), "password@-5"),
        (json!({"otp": true}), "password@-5"),
        (json!(null), "password@-5"),
    ] {
        let token = with("acr=mfa at=-5", "amr", value.clone());
        let derived = derive(&self::ladder(), &flow("mfa forced"), &token, None);
        assert_eq!(told(&derived), expected, "amr = {value}");
    }
}

/// Steps of one session, each `flow | token | evidence then`.
#[track_caller]
fn story(steps: &[&str]) {
    let mut known: Option<(Identity, Evidence)> = None;
    for step in steps {
        let [flow_text, token_text, expected] =
            step.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{step}");
        };
        let token = token(token_text);
        let previous = known
            .as_ref()
            .map(|(identity, evidence)| Previous { identity, evidence });
        let derived = derive(&ladder(), &flow(flow_text), &token, previous);
        assert_eq!(written(&derived.evidence), expected, "{step}");
        let identity = Identity {
            sub: token.text("sub").unwrap().to_owned(),
            sid: token.text("sid").map(str::to_owned),
            ..alice()
        };
        assert_eq!(
            derived.previous_dropped,
            known.as_ref().is_some_and(|(known, _)| *known != identity),
            "{step}"
        );
        known = Some((identity, derived.evidence));
    }
}

#[test]
fn the_later_proof_wins_per_level() {
    story(&[
        "mfa forced | acr=mfa amr=otp at=-9 | password@-9 mfa@-9",
        "password   | acr=pwd amr=otp at=-2 | password@-2 mfa@-9",
        "mfa        | acr=mfa amr=otp at=-2 | password@-2 mfa@-9",
        "mfa forced | acr=mfa amr=otp at=-4 | password@-2 mfa@-4",
        "hardware-key always | acr=phr amr=hwk at=-3 | password@-2 mfa@-3 hardware-key@-3",
        "password   | acr=pwd at=-500       | password@-2 mfa@-3 hardware-key@-3",
        "password   | acr=unknown at=-1     | password@-2 mfa@-3 hardware-key@-3",
    ]);
}

/// Or the level would never decay: each login by SSO would begin it anew.
#[test]
fn a_level_is_held_from_its_first_sighting() {
    story(&[
        "password   | acr=mfa amr=otp at=-900 | password@-900 mfa~-900",
        "password   | acr=mfa amr=otp at=-5   | password@-5 mfa~-900",
        "mfa        | acr=mfa amr=otp at=-1   | password@-1 mfa~-900",
        "password   | acr=pwd amr=otp at=-1   | password@-1 mfa~-900",
        "mfa forced | acr=mfa amr=otp at=-1   | password@-1 mfa@-1",
    ]);
    // A proof is a sighting, too: what decayed is not held anew without force.
    story(&[
        "mfa forced | acr=mfa amr=otp at=-9 | password@-9 mfa@-9",
        "mfa        | acr=mfa amr=otp at=-1 | password@-1 mfa@-9",
    ]);
    story(&[
        "password   | acr=mfa amr=otp       | password~ever mfa~ever",
        "password   | acr=mfa amr=otp at=-1 | password@-1 mfa~ever",
    ]);
}

#[test]
fn evidence_belongs_to_one_sso_session() {
    story(&[
        "mfa forced | acr=mfa amr=otp at=-9          | password@-9 mfa@-9",
        "password   | acr=pwd at=-1 sid=s2           | password@-1",
        "password   | acr=mfa amr=otp at=-1 sid=s2   | password@-1 mfa~-1",
        "password   | acr=pwd at=-1 sid=s2 sub=bob   | password@-1",
        "password   | acr=pwd at=-1 sid=s1 sub=alice | password@-1",
    ]);
    let before = derived("mfa forced", "acr=mfa amr=otp at=-9").evidence;
    let elsewhere = Identity {
        iss: "https://sso.example.com/realms/other".to_owned(),
        ..alice()
    };
    let without_sid = Identity {
        sid: None,
        ..alice()
    };
    for identity in [elsewhere, without_sid] {
        let previous = Previous {
            identity: &identity,
            evidence: &before,
        };
        let token = token("acr=pwd at=-1");
        let derived = derive(&ladder(), &flow("password"), &token, Some(previous));
        assert_eq!(told(&derived), "password@-1");
        assert!(derived.previous_dropped);
    }
}

#[test]
fn evidence_under_another_fingerprint_is_dropped() {
    let mut before = derived("mfa forced", "acr=mfa amr=otp at=-9").evidence;
    before.levels[1].fingerprint.0.push('x');
    let identity = alice();
    let previous = Previous {
        identity: &identity,
        evidence: &before,
    };
    let token = token("acr=pwd at=-1");
    let derived = derive(&ladder(), &flow("password"), &token, Some(previous));
    assert_eq!(told(&derived), "password@-1");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::sample::select(vec![
            json!("1"),
            json!("pwd"),
            json!("mfa"),
            json!("3"),
            json!("phr"),
            json!("10"),
            json!(null),
            json!(true),
            json!(""),
            json!([]),
            json!(["otp"]),
            json!(["hwk", "otp"]),
            json!(["pwd"]),
            json!(1),
            json!(1.5),
            json!("otp"),
            json!({}),
        ]),
        any::<i64>().prop_map(Value::from),
        (-20..5_i64).prop_map(|at| json!(NOW.as_unix() + at)),
        ".{0,4}".prop_map(Value::from),
    ];
    (leaf.clone(), proptest::option::weighted(0.1, leaf)).prop_map(|(one, other)| match other {
        Some(other) => json!([one, other]),
        None => one,
    })
}

fn any_token() -> impl Strategy<Value = Claims> {
    let values = proptest::collection::vec(proptest::option::weighted(0.9, any_json()), 5);
    let names = ["acr", "amr", "auth_time", "idp", "idp_acr"];
    (
        values,
        proptest::sample::select(vec!["mfa", "phr", "pwd", ""]),
    )
        .prop_map(move |(values, acr)| {
            let mut token = token("");
            for (name, value) in names.iter().zip(values) {
                token
                    .0
                    .extend(value.map(|value| ((*name).to_owned(), value)));
            }
            if !acr.is_empty() {
                token.0.insert("acr".to_owned(), acr.into());
                token
                    .0
                    .insert("auth_time".to_owned(), (NOW.as_unix() - 5).into());
            }
            token
        })
}

fn any_flow() -> impl Strategy<Value = FlowFacts> {
    (
        proptest::sample::select(vec!["password", "mfa", "hardware-key", "nonsense"]),
        any::<[bool; 3]>(),
        proptest::option::of(proptest::sample::select(vec!["partner", "other"])),
        -100..0_i64,
    )
        .prop_map(
            |(level, [pushed, prompt_login, always_asked], hint, started)| FlowFacts {
                pushed,
                prompt_login,
                always_asked,
                kc_idp_hint: hint.map(str::to_owned),
                started: NOW.shifted(started),
                ..flow(level)
            },
        )
}

/// How good the evidence for one level is: proven later is better than proven earlier, and that than held.
fn worth(derived: &Derived, level: usize) -> (Option<Timestamp>, bool) {
    let known = ladder().iter().nth(level).and_then(|level| {
        derived
            .evidence
            .levels
            .iter()
            .find(|known| known.level == level.name)
            .cloned()
    });
    match known {
        Some(known) => (known.proven_at, true),
        None => (None, false),
    }
}

proptest! {
    #![proptest_config(seeded::cases(4000))]

    #[test]
    fn only_a_forced_flow_proves_more_than_the_base(token in any_token(), flow in any_flow()) {
        let derived = derive(&ladder(), &flow, &token, None);
        let asked = flow.asked.as_ref().and_then(|asked| ladder().by_name(&asked.level).map(|level| level.rank));
        for known in &derived.evidence.levels {
            let rank = ladder().by_name(&known.level).unwrap().rank;
            if known.proven_at.is_some() && rank > PASSWORD {
                prop_assert!(flow.pushed && (flow.prompt_login || flow.always_asked));
                prop_assert!(asked >= Some(rank));
                prop_assert!(known.proven_at.unwrap() >= flow.started.shifted(-1));
            }
            // And never a time that is not the token's.
            if let Some(at) = known.proven_at {
                prop_assert_eq!(token.auth_time(), Some(at));
            }
        }
    }

    #[test]
    fn less_force_proves_no_more(token in any_token(), flow in any_flow(), what in 0..4_u8, level in 0..3_usize) {
        let mut less = flow.clone();
        match what {
            0 => less.pushed = false,
            1 => less.prompt_login = false,
            2 => less.always_asked = false,
            _ => less.kc_idp_hint = None,
        }
        let (less, more) = (derive(&ladder(), &less, &token, None), derive(&ladder(), &flow, &token, None));
        prop_assert!(worth(&less, level) <= worth(&more, level));
    }

    #[test]
    fn fewer_claims_prove_no_more(token in any_token(), flow in any_flow(), what in 0..4_usize, level in 0..3_usize) {
        let mut less = token.clone();
        less.0.remove(["acr", "auth_time", "idp", "idp_acr"][what]);
        let (less, more) = (derive(&ladder(), &flow, &less, None), derive(&ladder(), &flow, &token, None));
        prop_assert!(worth(&less, level) <= worth(&more, level));
    }

    /// Without a string that a proof names, there is no level.
    #[test]
    fn an_acr_that_is_not_named_is_no_level(value in any_json(), flow in any_flow()) {
        let named = ["1", "pwd", "2", "mfa", "3", "phr"];
        prop_assume!(!value.as_str().is_some_and(|text| named.contains(&text)));
        let token = with("amr=otp,hwk at=-5", "acr", value);
        let derived = derive(&ladder(), &flow, &token, None);
        prop_assert_eq!(derived.landed, Rank::ANONYMOUS);
        prop_assert!(derived.evidence.levels.is_empty());
    }

    /// A callback never takes away what the same session has proven.
    #[test]
    fn merging_keeps_what_was_proven(first in any_token(), second in any_token(), flow in any_flow(), level in 0..3_usize) {
        let before = derive(&ladder(), &flow, &first, None);
        let identity = alice();
        let previous = Previous { identity: &identity, evidence: &before.evidence };
        let after = derive(&ladder(), &self::flow("password"), &second, Some(previous));
        prop_assert!(worth(&after, level).0 >= worth(&before, level).0);
    }
}
