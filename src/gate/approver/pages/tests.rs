//! Every page in every language, with hostile text in every place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::gate::approver::proof::Unproven;

const HOSTILE: &str = "\"><script>alert(1)</script>'&{{ 7*7 }}{who}";
const ID: &str = "0123abcd-1";
const STATES: [&str; 9] = [
    "pending",
    "approved",
    "denied",
    "reported",
    "number",
    "expired",
    "cancelled",
    "revoked",
    "consumed",
];
/// Of what another client asks.
const SIGN_IN_STATES: [&str; 7] = [
    "pending", "approved", "consumed", "denied", "reported", "expired", "untold",
];
const ANSWERS: [&str; 3] = ["yes", "no", "report"];

fn row(state: &'static str) -> Row<'static> {
    Row {
        href: "/approvals/abc".to_owned(),
        summary: Some(HOSTILE.into()),
        level: HOSTILE,
        who: HOSTILE,
        ago: 61,
        left: Some(59),
        state,
        mine: Some("yes"),
    }
}

fn one(state: &'static str) -> One<'static> {
    One {
        summary: HOSTILE,
        who: HOSTILE,
        why: Some(HOSTILE),
        origin: HOSTILE,
        method: HOSTILE,
        route: HOSTILE,
        address: HOSTILE,
        ago: 0,
        left: Some(60),
        redeem: 600,
        state,
        escalated: Some(60),
        window: Some(900),
        upstream: Some(200),
        lately: 3,
        lately_denied: 1,
        yes: 1,
        need: 2,
        votes: ANSWERS
            .into_iter()
            .map(|answer| VoteRow {
                name: HOSTILE,
                answer,
                ago: 7,
                reason: Some(HOSTILE),
            })
            .collect(),
        mine: Some("no"),
    }
}

fn form<'a>(mode: &'static str, choices: &'a [String]) -> Form<'a> {
    Form {
        action: "/approvals/abc",
        may_say_yes: true,
        is_requester: false,
        is_given: false,
        own: None,
        mode,
        choices,
        digits: 7,
        tries: 2,
        reason_required: true,
        reason_most: 500,
    }
}

/// What is checked of each page in each language.
fn check(pages: &Pages, page: &Page<'_>) {
    for language in Language::ALL {
        for live in [
            None,
            Some(Live {
                of: "inbox",
                seen: HOSTILE,
            }),
        ] {
            // Lists and requests are shown to somebody.
            let somebody = !matches!(page, Page::Confirm { .. } | Page::Message { .. });
            for user in [None, Some(HOSTILE)] {
                if somebody && user.is_none() {
                    continue;
                }
                let around = Around {
                    language,
                    user,
                    request_id: ID,
                    live,
                };
                let html = pages.html(page, around).unwrap();
                assert!(html.contains(ID), "{html}");
                assert!(!html.contains("<script>alert"), "{html}");
                assert!(html.contains(&format!("lang=\"{}\"", language.tag())));
                assert!(html.contains("href=\"/\""), "no way on: {html}");
                assert_eq!(html.matches("<h1>").count(), 1);
                // Scripts are files of ours, and no style stands at an element.
                let scripts = html.matches("<script").count();
                assert_eq!(html.matches("<script src=\"/").count(), scripts);
                assert!(!html.contains("style=") && !html.contains("onclick"));
            }
        }
    }
}

#[test]
fn every_page_says_what_it_has_to_in_every_language() {
    let pages = Pages::new(HOSTILE).unwrap();
    let rows: Vec<_> = STATES.into_iter().map(row).collect();
    let veiled = [Row {
        summary: None,
        left: None,
        mine: None,
        ..row("pending")
    }];
    for list in [&rows[..], &veiled, &[]] {
        let (waiting, passed, asked, decided) = (list, list, list, list);
        for fresh in [&[][..], &[HOSTILE]] {
            let page = Page::Inbox {
                waiting,
                passed,
                asked,
                fresh,
                removed: (!fresh.is_empty()).then_some(180),
            };
            check(&pages, &page);
        }
        check(&pages, &Page::History { decided, asked });
    }
    let choices: Vec<_> = (10..20).map(|choice: u32| choice.to_string()).collect();
    for state in STATES {
        let mut one = one(state);
        for upstream in [None, Some(200)] {
            one.upstream = upstream;
            let notice = Some(HOSTILE.to_owned());
            check(
                &pages,
                &Page::Request {
                    one: &one,
                    form: None,
                    notice,
                },
            );
        }
        (one.why, one.left, one.mine, one.lately) = (None, None, None, 1);
        one.votes.clear();
        for mode in ["approve-deny", "number-matching", "number-challenge"] {
            let mut form = form(mode, &choices);
            for (may_say_yes, reason_required) in [(true, true), (true, false), (false, false)] {
                (form.may_say_yes, form.reason_required) = (may_say_yes, reason_required);
                check(
                    &pages,
                    &Page::Request {
                        one: &one,
                        form: Some(&form),
                        notice: None,
                    },
                );
            }
        }
    }
    let scopes = [HOSTILE.to_owned(), "profile".to_owned()];
    let details = [(HOSTILE.to_owned(), HOSTILE.to_owned())];
    let signing = [None, Some("device_new"), Some("device_weak")].map(|text| OwnDevice {
        id: "device".to_owned(),
        text,
        wait: 61,
    });
    for state in SIGN_IN_STATES {
        for (message, scope) in [(Some(HOSTILE), &scopes[..]), (None, &[])] {
            let page = Page::SignIn {
                client: HOSTILE,
                message,
                scope,
                details: if scope.is_empty() { &[] } else { &details },
                ago_seconds: 61,
                left: 59,
                state,
                action: "/approvals/ciba-abc",
                own: message.map(|_| Own {
                    approval: "ciba-abc",
                    binding: HOSTILE.to_owned(),
                    signs: true,
                    devices: &signing,
                }),
                notice: message.map(str::to_owned),
            };
            check(&pages, &page);
        }
    }
    for (about, level) in [
        ("confirm_again", None),
        ("confirm_level", Some(HOSTILE)),
        ("confirm_device", Some(HOSTILE)),
    ] {
        let go = "/";
        check(&pages, &Page::Confirm { about, level, go });
    }
    for (title, text) in [
        ("nothing_here", "nothing_here_about"),
        ("not_done", "refused_form"),
        ("not_done", "refused_cross_site"),
        ("not_done", "unavailable"),
        ("not_done", "device_known"),
        ("not_done", "device_full"),
        ("not_done", "device_no_sid"),
        ("not_done", "device_too_many"),
        ("not_done", "device_stale"),
        ("not_done", "device_forged"),
        ("not_done", "enrol_needs_script"),
    ] {
        check(&pages, &Page::Message { title, text });
    }
}

#[test]
fn devices_are_shown_and_what_they_sign() {
    let pages = Pages::new(HOSTILE).unwrap();
    let device = |used, wait| DeviceRow {
        id: "abc",
        name: HOSTILE,
        ago: 61,
        used,
        wait,
    };
    let two = [device(None, 90_000), device(Some(7), 0)];
    for (devices, fresh) in [(&two[..], &[HOSTILE][..]), (&[], &[])] {
        for notice in [
            None,
            Some("try_sent"),
            Some("try_nobody"),
            Some("try_nowhere"),
            Some("try_failed"),
        ] {
            let page = Page::Devices {
                devices,
                fresh,
                removed: devices.is_empty().then_some(0),
                notice,
                name_most: 60,
                has_room: devices.is_empty(),
            };
            check(&pages, &page);
        }
    }
    for cooldown in [0, 86_400] {
        let name_most = 60;
        check(
            &pages,
            &Page::NewDevice {
                challenge: "c_h-a",
                cooldown,
                name_most,
            },
        );
    }
    let devices: Vec<_> = [
        None,
        Some(Unproven::New),
        Some(Unproven::Weak),
        Some(Unproven::SameSession),
    ]
    .into_iter()
    .map(|why| OwnDevice {
        id: "abc".to_owned(),
        text: why.map(Unproven::text),
        wait: 60,
    })
    .collect();
    let choices = ["10".to_owned(), "42".to_owned()];
    for signs in [true, false] {
        for mode in ["approve-deny", "number-matching", "number-challenge"] {
            let own = Own {
                approval: "abc",
                binding: HOSTILE.to_owned(),
                signs,
                devices: &devices,
            };
            let form = Form {
                is_requester: true,
                own: Some(own),
                ..form(mode, &choices)
            };
            let page = Page::Request {
                one: &one("pending"),
                form: Some(&form),
                notice: None,
            };
            check(&pages, &page);
        }
    }
}

#[test]
fn nothing_is_decided_by_a_link_and_no_form_shows_more_than_it_needs() {
    let pages = Pages::new("Approvals").unwrap();
    let choices = ["10".to_owned(), "42".to_owned()];
    let html = |form: &Form<'_>| {
        let page = Page::Request {
            one: &one("pending"),
            form: Some(form),
            notice: None,
        };
        let around = Around {
            language: Language::En,
            user: Some("bob"),
            request_id: ID,
            live: None,
        };
        pages.html(&page, around).unwrap()
    };
    let picked = html(&form("number-matching", &choices));
    assert!(picked.contains("name=\"number\" value=\"42\""));
    assert!(!picked.contains("inputmode"));
    let typed = html(&form("number-challenge", &choices));
    assert!(typed.contains("inputmode=\"numeric\" autocomplete=\"off\""));
    assert!(!typed.contains("value=\"42\""));
    let own = html(&Form {
        may_say_yes: false,
        is_requester: true,
        ..form("number-matching", &choices)
    });
    assert!(own.contains("value=\"report\"") && !own.contains("value=\"yes\""));
    assert!(!own.contains("value=\"no\"") && !own.contains("value=\"42\""));
    for html in [picked, typed, own] {
        assert!(!html.contains("method=\"get\"") && html.contains("method=\"post\""));
    }
}

#[test]
fn no_template_says_anything_in_one_language() {
    crate::gate::words::tests::say_nothing_themselves(TEMPLATES);
}
