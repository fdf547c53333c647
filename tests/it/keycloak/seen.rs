//! What Keycloak does for what it is asked, row by row, and what stepgate takes from it. stepgate's rules of evidence
//! rest on these; a Keycloak that does otherwise shows here.
//!
//! A row: what it shows | what the flow is for | what was asked | what Keycloak asked | what the token said | evidence.
//! Rows of one table follow each other in one browser; `again` before the name: in a new one.

use super::browser::Browser;
use super::desk::Desk;
use super::person::Person;
use super::server::keycloak;
use super::world::Twist;

/// Keycloak's claims request (OpenID Connect Core 1.0 section 5.5.1).
const ESSENTIAL_MFA: &str = "claims=%7B%22id_token%22%3A%7B%22acr%22%3A%7B%22essential%22%3Atrue%2C%22values%22%3A%5B%22mfa%22%5D%7D%7D%7D";

/// As shipped.
const SHIPPED: [u32; 3] = [36000, 300, 0];

/// As users and the demo import it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_realm_as_it_is_imported() {
    let Some(keycloak) = keycloak("the_shipped_realm_as_it_is_imported").await else {
        return;
    };
    let origin = "http://payroll.localhost:8080";
    let mut desk = Desk::at(&keycloak.issuer("demo"), origin, Twist::default());
    let mut carol = Person::carol();
    let ask = "acr_values=mfa&prompt=login";
    let told = desk.ask(&mut Browser::new(), &mut carol, "mfa", ask).await;
    assert_eq!(told.token, "mfa [pwd otp] new");
    let id = told.exchange.unwrap().id;
    assert_eq!(id.text("email"), Some("carol@example.test"));
    let mut groups: Vec<_> = id.0["groups"].as_array().unwrap().iter().collect();
    groups.sort_by_key(|group| group.as_str());
    assert_eq!(groups, ["admins", "clerks"]);
}

async fn check(realm: &str, loa_max_ages: [u32; 3], mut person: Person, table: &str) {
    let Some(keycloak) = keycloak(&format!("what Keycloak does: {realm}")).await else {
        return;
    };
    let mut desk = Desk::new(keycloak, realm, loa_max_ages).await;
    let mut browser = Browser::new();
    let mut wrong = Vec::new();
    for row in table.lines().filter(|line| line.contains('|')) {
        let [name, level, ask, asked, token, evidence] =
            row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        if name.starts_with("again") {
            browser = Browser::new();
        }
        let ask = ask
            .replace("ESSENTIAL-MFA", ESSENTIAL_MFA)
            .replace("ESSENTIAL-PWD", &ESSENTIAL_MFA.replace("mfa", "pwd"))
            .replace(
                "ESSENTIAL-UNKNOWN",
                &ESSENTIAL_MFA.replace("mfa", "unknown"),
            );
        let told = desk.ask(&mut browser, &mut person, level, &ask).await;
        let seen = (&*told.asked, &*told.token, &*told.evidence);
        if seen != (asked, token, evidence) {
            wrong.push(format!("{row}\n    {} | {} | {}", seen.0, seen.1, seen.2));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_by_sso() {
    check(
        "seen-sso",
        SHIPPED,
        Person::alice(),
        "
        nothing, fresh browser        | password |                | password | pwd [pwd] new     | password@new
        mfa on that SSO session       | mfa      | acr_values=mfa | code     | mfa [pwd otp] new | password@new mfa~new
        the same again within its age | mfa      | acr_values=mfa | -        | mfa [pwd otp] old | password@old mfa~old
        nothing, after the step-up    | password |                | -        | mfa [pwd otp] old | password@old mfa~old
        pwd, after the step-up        | password | acr_values=pwd | -        | pwd [pwd otp] old | password@old
        prompt=login and mfa          | mfa      | acr_values=mfa&prompt=login | password code | mfa [pwd otp] new | password@new scoped@new mfa@new
        ",
    )
    .await;
}

/// A fresh time beside `acr=mfa` does not prove a fresh code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_moves_the_time_of_everything() {
    check(
        "seen-hole",
        SHIPPED,
        Person::alice(),
        "
        mfa, fresh browser            | mfa      | acr_values=mfa | password code | mfa [pwd otp] new | password@new mfa~new
        prompt=login alone            | password | prompt=login   | password | pwd [pwd] new | password@new
        then mfa                      | mfa      | acr_values=mfa | -        | mfa [pwd] old | password@old
        max_age and mfa               | mfa      | acr_values=mfa&max_age=1 | password code | mfa [pwd otp] new | password@new mfa~new
        ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_and_unknown_values() {
    check(
        "seen-values",
        SHIPPED,
        Person::alice(),
        "
        pwd and mfa                | mfa      | acr_values=pwd+mfa | password | pwd [pwd] new | password@new
        again: unknown             | mfa      | acr_values=unknown | password | pwd [pwd] new | password@new
        prompt=none, not there     | mfa      | acr_values=mfa&prompt=none | - | error=login_required |
        essential, unknown         | mfa      | ESSENTIAL-UNKNOWN  | -        | page=400 |
        essential mfa              | mfa      | ESSENTIAL-MFA      | code     | mfa [pwd otp] new | password@new mfa~new
        essential pwd              | password | ESSENTIAL-PWD      | -        | pwd [pwd otp] old | password@old
        again: nothing, by URL     | password | unpushed=1         | password | pwd [pwd] new | password@new
        essential by URL           | mfa      | ESSENTIAL-MFA&acr_values=pwd&unpushed=1 | code | mfa [pwd otp] new | password@new mfa~new
        ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_is_never_valid_for_long_is_asked_every_time() {
    check(
        "seen-always",
        [36000, 0, 0],
        Person::alice(),
        "
        mfa, fresh browser | mfa | acr_values=mfa | password code | mfa [pwd otp] new | password@new mfa~new
        and again          | mfa | acr_values=mfa | code          | mfa [pwd otp] new | password@new mfa~new
        nothing            | password |           | -             | pwd [pwd otp] old | password@old
        ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_that_have_expired() {
    check(
        "seen-expired-2",
        [36000, 1, 0],
        Person::alice(),
        "
        mfa, fresh browser           | mfa      | acr_values=mfa | password code | mfa [pwd otp] new | password@new mfa~new
        nothing, level 2 has expired | password |                | -             | pwd [pwd otp] old | password@old
        ",
    )
    .await;
    check(
        "seen-expired-1",
        [1, 1, 0],
        Person::alice(),
        "
        nothing, fresh browser       | password |   | password | pwd [pwd] new | password@new
        nothing, level 1 has expired | password |                | -        | 0 [pwd] old   |
        pwd, level 1 has expired     | password | acr_values=pwd | password | pwd [pwd] new | password@new
        ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_is_no_factor() {
    check(
        "seen-enrolment",
        SHIPPED,
        Person::bob(),
        "
        mfa, no device | mfa | acr_values=mfa&prompt=login | password enrolment | mfa [pwd] new | password@new enrolled:mfa
        ",
    )
    .await;
}

/// Who is to become somebody else has to sign out first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_does_not_switch_the_user() {
    let Some(keycloak) = keycloak("a_hint_does_not_switch_the_user").await else {
        return;
    };
    let mut desk = Desk::new(keycloak, "seen-hint", SHIPPED).await;
    let (mut browser, mut alice) = (Browser::new(), Person::alice());
    for (ask, asked) in [
        ("", "password"),
        ("login_hint=bob&prompt=login", "password"),
    ] {
        let told = desk.ask(&mut browser, &mut alice, "password", ask).await;
        assert_eq!(told.asked, asked);
        assert_eq!(told.token, "pwd [pwd] new");
        let id = told.exchange.unwrap().id;
        assert_eq!(id.text("preferred_username"), Some("alice"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_on_an_sso_session_proves_nothing() {
    check(
        "seen-scope",
        SHIPPED,
        Person::alice(),
        "
        nothing, fresh browser | password |                     | password | pwd [pwd] new | password@new
        scope by SSO           | scoped   | scope=auth-otp-form | -        | pwd [pwd] old | password@old
        scope, prompt=login    | scoped   | scope=auth-otp-form&prompt=login | password code | pwd [pwd otp] new | password@new scoped@new
        scope by SSO           | scoped   | scope=auth-otp-form | -        | pwd [pwd otp] old | password@old
        ",
    )
    .await;
}

/// Only the missing factor, and every time. Setting it up is told from using it by `amr`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_key_is_asked_every_time() {
    check(
        "seen-key",
        SHIPPED,
        Person::alice(),
        "
        phr, no key yet      | hardware-key | acr_values=phr | password code key-enrolment | phr [pwd otp] new     | password@new mfa~new enrolled:hardware-key
        phr                  | hardware-key | acr_values=phr | key               | phr [pwd otp hwk] new | password@new scoped@new mfa@new hardware-key@new
        phr again            | hardware-key | acr_values=phr | key               | phr [pwd otp hwk] new | password@new scoped@new mfa@new hardware-key@new
        nothing              | password     |                | -                 | mfa [pwd otp hwk] old | password@old mfa~old
        phr and prompt=login | hardware-key | acr_values=phr&prompt=login | password code key | phr [pwd otp hwk] new | password@new scoped@new mfa@new hardware-key@new
        ",
    )
    .await;
}
