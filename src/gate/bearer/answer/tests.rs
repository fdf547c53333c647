//! The challenges, to the letter.

use std::io;
use std::path::Path;

use super::*;
use crate::config::{App, Config, Input, Options, parse, parse_duration};
use crate::model::evidence::Identity;
use crate::model::requirement::{Conditions, Requirement};
use crate::model::time::Timestamp;
use crate::policy::decide;
use crate::policy::evidence::{BearerAge, assumed_of_bearer};
use crate::policy::facts::{Caller, Facts, Known};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn config(bearer: &str) -> Config {
    let installation = r#"
        version = 1
        [keycloak]
        issuer = "https://sso.example.com/realms/corp"
        client_id = "stepgate"
        client_secret = { file = "secret" }
        [[levels]]
        name = "password"
        base = true
        proof = { acr = ["1", "pwd"] }
        [[levels]]
        name = "mfa"
        proof = { acr = ["2", "mfa"] }
        ask = { acr_values = "mfa", prompt = "login" }
        [[levels]]
        name = "key"
        proof = { acr = "phr" }
        ask = { acr_values = "phr" }
        lasts = "5m"
        [[levels]]
        name = "scoped"
        proof = { claims = { scoped = true } }
        ask = { scope = ["scoped"], prompt = "login" }
        [upstreams.app]
        url = "http://127.0.0.1:1"
    "#;
    let app = format!(
        "url = \"https://erp.example.com\"\nupstream = \"app\"\nrequire = {{ level = \"password\" }}\n{bearer}"
    );
    let read = |_: &Path| -> io::Result<String> { Ok("a-secret-of-tests".to_owned()) };
    let input = Input {
        sources: &[("stepgate.toml", installation), ("policies/erp.toml", &app)],
        read: &read,
    };
    parse(&input, &Options::default()).unwrap().config
}

/// `mfa 15m` asked of a token `password 3m`: the level, and how old its `auth_time` is.
fn asked(config: &Config, demand: &str, token: &str, conditions: Conditions) -> String {
    let App {
        bearer: Some(rules),
        ..
    } = &config.apps[0]
    else {
        panic!("no bearers");
    };
    let ladder = &config.ladder;
    let words = |text: &str| {
        let mut words = text.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.next())
    };
    let rank = |name: &str| {
        ladder
            .by_name(name)
            .map_or(Rank::ANONYMOUS, |level| level.rank)
    };
    let span = |text: String| parse_duration(&text).unwrap();
    let (level, max_age) = words(demand);
    let requirement = Requirement {
        rank: rank(&level),
        max_age: max_age.map(span),
        conditions,
        approval: None,
    };
    let (level, age) = words(token);
    let auth_time = age.map(|age| NOW.minus(span(age)));
    let evidence = assumed_of_bearer(ladder, rank(&level), auth_time, rules.age);
    let identity = Identity {
        scopes: vec!["openid".to_owned()],
        ..Identity::default()
    };
    let facts = Facts {
        caller: Known::Found(Caller {
            evidence: &evidence,
            identity: &identity,
        }),
        client: "192.0.2.7".parse().unwrap(),
        preflight: false,
        grant: Known::Absent,
        spared: None,
    };
    let decision = decide(&[&requirement], &facts, ladder, NOW);
    match told(ladder, rules, &decision, auth_time.is_some()) {
        None => decision.name().to_owned(),
        Some(told) => {
            let challenge = told.challenge().unwrap_or_default();
            let params = challenge
                .split("\", ")
                .skip(3)
                .collect::<Vec<_>>()
                .join("\", ");
            format!("{} {} {params}", told.status.as_u16(), told.code)
                .trim_end()
                .to_owned()
        }
    }
}

#[test]
fn what_a_token_falls_short_of() {
    // demand | token | nothing said of ages | bearer_age = "auth_time"
    let table = r#"
        password      | password 3m  | allow | allow
        password 5m   | password 3m  | allow | allow
        password 5m   | mfa 3m       | allow | allow
        password 5m   | password 6m  | 401 insufficient_user_authentication acr_values="1 pwd", max_age="300" | 401 insufficient_user_authentication acr_values="1 pwd", max_age="300"
        password 5m   | password     | 403 bearer_not_accepted | 403 bearer_not_accepted
        password      | none 3m      | 401 insufficient_user_authentication acr_values="1 pwd" | 401 insufficient_user_authentication acr_values="1 pwd"
        password 5m   | none 3m      | 401 insufficient_user_authentication acr_values="1 pwd", max_age="300" | 401 insufficient_user_authentication acr_values="1 pwd", max_age="300"
        mfa           | mfa 3m       | allow | allow
        mfa           | mfa          | allow | allow
        mfa           | password 3m  | 401 insufficient_user_authentication acr_values="mfa" | 401 insufficient_user_authentication acr_values="mfa"
        mfa 15m       | mfa 3m       | 403 bearer_not_accepted | allow
        mfa 15m       | mfa 16m      | 403 bearer_not_accepted | 401 insufficient_user_authentication acr_values="mfa", max_age="900"
        mfa 15m       | password 3m  | 403 bearer_not_accepted | 401 insufficient_user_authentication acr_values="mfa", max_age="900"
        mfa 15m       | mfa          | 403 bearer_not_accepted | 403 bearer_not_accepted
        key           | key 3m       | allow | allow
        key           | key 6m       | 401 insufficient_user_authentication acr_values="phr", max_age="300" | 401 insufficient_user_authentication acr_values="phr", max_age="300"
        key           | mfa 3m       | 401 insufficient_user_authentication acr_values="phr", max_age="300" | 401 insufficient_user_authentication acr_values="phr", max_age="300"
        key 2m        | mfa 3m       | 403 bearer_not_accepted | 401 insufficient_user_authentication acr_values="phr", max_age="120"
        scoped        | key 1m       | 403 bearer_not_accepted | 403 bearer_not_accepted
    "#;
    let configs = ["", "bearer_age = \"auth_time\""]
        .map(|age| config(&format!("bearer = {{ audience = \"erp\" }}\n{age}")));
    assert_eq!(
        configs[0].apps[0].bearer.as_ref().map(|rules| rules.age),
        Some(BearerAge::Unknown)
    );
    for row in table.lines().filter(|line| line.contains('|')) {
        let [demand, token, unknown, auth_time] =
            row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        for (config, expected) in configs.iter().zip([unknown, auth_time]) {
            assert_eq!(
                asked(config, demand, token, Conditions::NONE),
                expected,
                "{row}"
            );
        }
    }
}

#[test]
fn scopes_are_told_and_groups_are_not() {
    let config = config("bearer = { audience = \"erp\" }");
    let asked = |conditions| asked(&config, "password", "mfa 1m", conditions);
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let all = Conditions {
        scopes_all: texts(&["openid", "payments"]),
        ..Conditions::NONE
    };
    assert_eq!(
        asked(all),
        "403 insufficient_scope scope=\"openid payments\""
    );
    let groups = Conditions {
        groups_any: texts(&["clerks"]),
        ..Conditions::NONE
    };
    assert_eq!(asked(groups), "403 forbidden");
}

/// RFC 9470 section 9: a stranger does not learn which level a route demands.
#[test]
fn refusals_tell_nothing_of_levels() {
    let all = [
        Refused::Request,
        Refused::NeedsProof,
        Refused::Token(TokenFlaw::Signature),
        Refused::Token(TokenFlaw::Expiry),
        Refused::Proof(TokenFlaw::Replayed),
        Refused::Unavailable("store-unavailable"),
    ];
    for refused in all {
        let told = refused.told();
        let text = format!("{told:?} {:?}", told.challenge());
        assert!(!text.contains("acr") && !text.contains("max_age"), "{text}");
        assert!(told.level.is_none());
    }
}
