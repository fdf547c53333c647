//! Every page with hostile text in every place, and what all pages have in common.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

use super::*;

const HOSTILE: &str = "\"><script>alert(1)</script>'&{{ 7*7 }}";
const ID: &str = "0123abcd-1";

const HELD: [Short; 6] = [
    Short::NotGranted,
    Short::Enrolled,
    Short::EnrolHeld,
    Short::ProviderStale,
    Short::TooOld,
    Short::WithoutProvider,
];
const CAUSES: [Failure; 4] = [
    Failure::Cancelled,
    Failure::Late,
    Failure::Invalid,
    Failure::ProviderError,
];

/// Each page, in each of its shapes, with `text` as every text and `link` as every link.
fn each<'a>(
    text: &'a str,
    link: &'a str,
    texts: &'a [String],
    rows: &'a [LevelRow<'a>],
) -> Vec<Page<'a>> {
    let minute = Duration::from_secs(60);
    let mut pages = vec![
        Page::Continue {
            user: text,
            href: link,
            others: &[],
        },
        Page::Continue {
            user: text,
            href: link,
            others: texts,
        },
        Page::TooManyLogins {
            seconds: 61,
            retry: link,
        },
        Page::Done {},
        Page::WaitForOthers { retry: link },
        Page::NothingKept {
            sent: true,
            lasts: minute,
            back: link,
        },
        Page::NothingKept {
            sent: false,
            lasts: minute,
            back: link,
        },
        Page::Kept {
            need: text,
            href: link,
        },
        Page::KeptForAnother { user: text },
        Page::AskedFor {
            summary: text,
            href: link,
        },
        Page::OtherPending {
            summary: Some(text),
            href: Some(link),
            kept: Some("an-id"),
            left: minute,
        },
        Page::OtherPending {
            summary: None,
            href: None,
            kept: None,
            left: minute,
        },
        Page::StillKept {
            status: 502,
            code: text,
            upstream: text,
            left: minute,
            again: link,
        },
        Page::BeingConfirmed {
            need: text,
            confirm: link,
        },
        Page::InFrame {
            need: text,
            href: link,
        },
        Page::SignedOut {
            login: link,
            provider_too: true,
        },
        Page::SignedOut {
            login: link,
            provider_too: false,
        },
        Page::ConfirmLogout {
            user: text,
            action: link,
            back: link,
        },
        Page::Me {
            user: text,
            levels: rows,
            idle_left: minute,
            absolute_left: minute * 60,
            groups: texts,
            logout: link,
            back: link,
        },
    ];
    for state in [
        "pending",
        "approved",
        "denied",
        "expired",
        "cancelled",
        "revoked",
        "consumed",
    ] {
        for (why, full) in [("no", true), ("reported", true), ("number", false)] {
            pages.push(Page::Waiting {
                state,
                summary: text,
                number: full.then_some(text),
                is_picked: why == "reported",
                who: if full { texts } else { &[] },
                given: 1,
                need: if full { 2 } else { 1 },
                left: minute,
                why,
                by: full.then_some(text),
                reason: full.then_some(text),
                app_status: full.then_some(204),
                here: link,
                go: full.then_some(link),
            });
        }
    }
    for why in [
        "parking-off",
        "nobody-known",
        "cross-site",
        "too-large-to-park",
        "no-room-to-park",
        "logout-came-between",
        "store-unavailable",
    ] {
        pages.push(Page::NotSent {
            method: text,
            need: text,
            confirm: link,
            back: link,
            why,
            most: 64 << 10,
        });
    }
    for (kind, bytes) in [
        ("multipart/form-data", 70_000),
        ("application/json", 1),
        (text, 2),
        ("", 3),
        ("", 0),
    ] {
        pages.push(Page::SendKept {
            user: text,
            method: text,
            host: text,
            path: text,
            kind,
            bytes,
            action: link,
            left: minute,
        });
    }
    for dropped in [false, true] {
        pages.push(Page::SomebodyElse {
            user: text,
            href: link,
            dropped,
        });
        pages.push(Page::UserSwitched {
            user: text,
            href: link,
            dropped,
        });
    }
    for retry in [None, Some(link)] {
        pages.push(Page::Unavailable { retry });
        pages.extend(CAUSES.map(|cause| Page::LoginFailed {
            cause,
            code: text,
            retry,
        }));
        for max_age in [None, Some(minute)] {
            pages.extend(HELD.map(|why| Page::NotEnough {
                user: text,
                have: text,
                need: text,
                max_age,
                why,
                retry,
            }));
        }
    }
    for condition in [
        "groups_any",
        "groups_all",
        "roles_any",
        "roles_all",
        "scopes_any",
        "scopes_all",
        "networks_any",
        "claims",
    ] {
        pages.push(Page::Forbidden {
            user: text,
            condition,
            wanted: texts,
        });
        pages.push(Page::Forbidden {
            user: "",
            condition,
            wanted: texts,
        });
    }
    for status in [502, 503, 504] {
        pages.push(Page::NoAnswer {
            status,
            code: text,
            text,
            upstream: text,
            back: link,
        });
    }
    for status in [400, 404, 405, 421, 500] {
        for back in [None, Some(link)] {
            pages.push(Page::Refused {
                status,
                code: text,
                text,
                back,
            });
        }
    }
    pages
}

fn rendered(text: &str, link: &str) -> Vec<(String, String)> {
    let pages = Pages::new(&["https://sso.example.com"]).unwrap();
    let texts = [text.to_owned(), text.to_owned()];
    let rows: Vec<_> = ["proven", "held", "lapsed", "missing"]
        .into_iter()
        .map(|state| LevelRow {
            label: text,
            state,
            proven_ago: (state == "proven").then_some(Duration::ZERO),
            left: (state == "proven").then_some(Duration::from_secs(90)),
            confirm: (state != "held").then_some(link),
        })
        .collect();
    each(text, link, &texts, &rows)
        .iter()
        .map(|page| {
            let html = pages
                .html(page, ID)
                .unwrap_or_else(|error| panic!("{page:?}: {error:#}"));
            (format!("{page:?}"), html)
        })
        .collect()
}

fn attributes<'h>(html: &'h str, name: &str) -> Vec<&'h str> {
    html.split(&format!(" {name}=\""))
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[test]
fn hostile_text_stays_text() {
    for (page, html) in rendered(HOSTILE, "/x") {
        let own = "<script src=\"/.stepgate/done.js\"></script>";
        let scripts = html.matches("<script").count() - html.matches(own).count();
        assert_eq!(scripts, 0, "{page}\n{html}");
        assert_eq!(html.contains(own), page.starts_with("Done"), "{page}");
        assert!(
            !html.contains("49"),
            "a text was read as a template: {page}\n{html}"
        );
    }
}

#[test]
fn a_link_that_leads_away_leads_to_the_start_page() {
    for link in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        " /x",
        "/x\ny",
        "",
        "/\"onclick=x",
    ] {
        for (page, html) in rendered("text", link) {
            for target in attributes(&html, "href")
                .iter()
                .filter(|target| !target.starts_with("data:image/svg+xml,"))
                .chain(&attributes(&html, "action"))
            {
                assert!(
                    target.starts_with('/')
                        && !target.starts_with("//")
                        && !target.contains("evil"),
                    "{link:?} became {target:?} on {page}"
                );
            }
        }
    }
}

#[test]
fn every_page_has_one_heading_a_language_the_requests_id_and_a_way_on() {
    for (page, html) in rendered("text", "/x?a=1&b=2") {
        assert_eq!(html.matches("<h1>").count(), 1, "{page}");
        assert!(html.contains("<html lang=\"en\">"), "{page}");
        assert!(html.contains("width=device-width"), "{page}");
        assert!(html.contains(&format!("<code>{ID}</code>")), "{page}");
        let ways = attributes(&html, "href").len() + html.matches("<button").count();
        let no_app = page.starts_with("Refused") && page.contains("back: None");
        assert!(ways > 0 || no_app, "no way on: {page}\n{html}");
        let handler = html.split(" on").skip(1).any(|rest| {
            rest.trim_start_matches(char::is_alphabetic)
                .starts_with('=')
        });
        assert!(!html.contains(" style=") && !handler, "{page}\n{html}");
        let title = html
            .split("<title>")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap();
        assert!(!title.trim().is_empty(), "{page}");
    }
}

#[test]
fn the_policy_names_the_style_that_the_page_carries() {
    let pages = Pages::new(&["https://sso.example.com"]).unwrap();
    let page = Page::SignedOut {
        login: "/",
        provider_too: true,
    };
    let rendered = pages.render(&page, ID);
    let html = String::from_utf8(rendered.html).unwrap();
    assert!(
        html.contains("<link rel=\"icon\" href=\"data:image/svg+xml,"),
        "without it, browsers ask the app for /favicon.ico, and this policy forbids the answer"
    );
    let style = html
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, style.as_bytes());
    assert_eq!(
        rendered.csp.to_str().unwrap(),
        format!(
            "default-src 'none'; img-src data:; style-src 'sha256-{}'; form-action 'self' https://sso.example.com; \
             base-uri 'none'; frame-ancestors 'none'",
            STANDARD.encode(digest)
        )
    );
    let sending = pages.render(
        &Page::SendKept {
            user: "x",
            method: "POST",
            host: "erp.example.com",
            path: "/",
            kind: "",
            bytes: 0,
            action: "/",
            left: Duration::ZERO,
        },
        ID,
    );
    let sending = sending.csp.to_str().unwrap();
    assert!(
        sending.contains("form-action 'self' https: http:; base-uri"),
        "an app may answer with a redirect to wherever it likes"
    );
    let framed = pages.render(
        &Page::InFrame {
            need: "x",
            href: "/",
        },
        ID,
    );
    assert!(!framed.csp.to_str().unwrap().contains("frame-ancestors"));
    let scripted = pages.render(&Page::Done {}, ID);
    assert!(
        scripted
            .csp
            .to_str()
            .unwrap()
            .ends_with("script-src 'self'; frame-ancestors 'none'")
    );
}

#[test]
fn spans_are_told_in_words() {
    for (seconds, words) in [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "1 minute 1 second"),
        (3_600, "1 hour"),
        (599, "9 minutes 59 seconds"),
        (3_599, "59 minutes"),
        (3_661, "1 hour 1 minute"),
        (43_200, "12 hours"),
        (86_403, "1 day"),
        (180_000, "2 days 2 hours"),
    ] {
        assert_eq!(words::span(seconds), words, "{seconds}");
    }
}
