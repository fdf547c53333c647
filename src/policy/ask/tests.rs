#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::policy::example::{key, mfa, password, strings};

static NO_PARAMS: BTreeMap<String, String> = BTreeMap::new();

fn login<'a>(level: &'a Level, params: &'a BTreeMap<String, String>) -> Asking<'a> {
    Asking {
        level,
        shortfall: None,
        max_age: None,
        force_login: false,
        kc_idp_hint: None,
        login_hint: None,
        params,
    }
}

/// `scope=openid acr_values=pwd`
fn sent(asking: &Asking<'_>) -> String {
    let pairs = request(asking).params;
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" & ")
}

/// A level above the base that is neither forced by its ask nor by the realm.
fn plain() -> Level {
    let mut level = mfa();
    level.ask.prompt_login = false;
    level
}

#[test]
fn force_is_added_where_an_age_is_short() {
    use Shortfall::*;
    const PWD: &str = "scope=openid & acr_values=pwd";
    const OTP: &str = "scope=openid & acr_values=mfa";
    const KEY: &str = "scope=openid & acr_values=phr";
    let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
    let login_too = |text: &str| format!("{text} & prompt=login");
    for (level, shortfall, max_age, expected) in [
        (password(), None, None, PWD.to_owned()),
        (
            password(),
            None,
            minutes(480),
            format!("{PWD} & max_age=28800"),
        ),
        (password(), Some(TooOld), minutes(480), login_too(PWD)),
        (password(), Some(Lapsed), None, login_too(PWD)),
        (password(), Some(AgeUnknown), minutes(480), login_too(PWD)),
        (plain(), None, None, OTP.to_owned()),
        (plain(), Some(Missing), None, OTP.to_owned()),
        (plain(), Some(Missing), minutes(15), login_too(OTP)),
        (plain(), None, minutes(15), login_too(OTP)),
        (plain(), Some(TooOld), minutes(15), login_too(OTP)),
        (plain(), Some(AgeUnknown), minutes(15), login_too(OTP)),
        (plain(), Some(Lapsed), None, login_too(OTP)),
        (mfa(), Some(Missing), None, login_too(OTP)),
        (key(), Some(Missing), None, KEY.to_owned()),
        (key(), Some(TooOld), minutes(2), KEY.to_owned()),
        (key(), Some(Lapsed), None, KEY.to_owned()),
        (key(), Some(AgeUnknown), minutes(2), KEY.to_owned()),
        (key(), None, minutes(2), KEY.to_owned()),
    ] {
        let asking = Asking {
            shortfall,
            max_age,
            ..login(&level, &NO_PARAMS)
        };
        assert_eq!(
            sent(&asking),
            expected,
            "{} {shortfall:?} {max_age:?}",
            level.name
        );
    }
}

#[test]
fn a_broken_always_asked_level_is_forced() {
    let level = key();
    let asking = Asking {
        force_login: true,
        ..login(&level, &NO_PARAMS)
    };
    let request = request(&asking);
    assert!(request.prompt_login && request.always_asked);
    assert_eq!(
        sent(&asking),
        "scope=openid & acr_values=phr & prompt=login"
    );
}

#[test]
fn one_acr_also_as_an_essential_claim() {
    let mut level = plain();
    level.ask.essential = true;
    assert_eq!(
        sent(&login(&level, &NO_PARAMS)),
        r#"scope=openid & claims={"id_token":{"acr":{"essential":true,"values":["mfa"]}}}"#
    );
    level.ask.acr_values = None;
    assert_eq!(sent(&login(&level, &NO_PARAMS)), "scope=openid");
}

#[test]
fn scopes_begin_with_openid_and_come_once() {
    let mut level = plain();
    level.ask.acr_values = None;
    level.ask.scope = strings(&["auth-otp-form", "openid", "auth-otp-form", "email"]);
    assert_eq!(
        sent(&login(&level, &NO_PARAMS)),
        "scope=openid auth-otp-form email"
    );
}

#[test]
fn the_smaller_max_age_is_sent() {
    let mut level = password();
    level.ask.max_age = Some(Duration::from_secs(60));
    for (max_age, expected) in [(None, 60), (Some(30), 30), (Some(90), 60)] {
        let asking = Asking {
            max_age: max_age.map(Duration::from_secs),
            ..login(&level, &NO_PARAMS)
        };
        assert_eq!(
            sent(&asking),
            format!("scope=openid & acr_values=pwd & max_age={expected}")
        );
    }
    level.ask.max_age = Some(Duration::ZERO);
    assert_eq!(
        sent(&login(&level, &NO_PARAMS)),
        "scope=openid & acr_values=pwd & max_age=0"
    );
}

#[test]
fn hints_are_carried() {
    let level = plain();
    let asking = Asking {
        kc_idp_hint: Some("partner"),
        login_hint: Some("alice"),
        ..login(&level, &NO_PARAMS)
    };
    let request = request(&asking);
    assert_eq!(request.kc_idp_hint.as_deref(), Some("partner"));
    assert_eq!(
        sent(&asking),
        "scope=openid & acr_values=mfa & kc_idp_hint=partner & login_hint=alice"
    );
}

#[test]
fn further_parameters_replace_none_of_ours() {
    let params = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let mut level = plain();
    level.ask.params = params(&[
        ("kc_theme_hint", "stepup"),
        ("prompt", "none"),
        ("state", "x"),
    ]);
    let app = params(&[
        ("ui_locales", "de"),
        ("kc_theme_hint", "app"),
        ("acr_values", "pwd"),
        ("scope", "offline_access"),
        ("request", "eyJ"),
    ]);
    assert_eq!(
        sent(&login(&level, &app)),
        "scope=openid & acr_values=mfa & kc_theme_hint=stepup & ui_locales=de"
    );
}

/// What a flow is told to have asked is what was asked.
#[test]
fn evidence_hears_what_was_sent() {
    for level in [password(), plain(), mfa(), key()] {
        let request = request(&login(&level, &NO_PARAMS));
        let prompt = request
            .params
            .iter()
            .any(|(name, value)| name == "prompt" && value == "login");
        assert_eq!(request.prompt_login, prompt);
        assert_eq!(request.always_asked, level.ask.always_asked);
        assert_eq!(request.asked.level, level.name);
        assert_eq!(request.asked.fingerprint, level.fingerprint);
    }
}
