//! Every page with hostile text in every place, and what all pages have in common.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
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
            summary: text,
            href: link,
            is_here: true,
            kept: Some("an-id"),
            left: minute,
        },
        Page::OtherPending {
            summary: text,
            href: link,
            is_here: false,
            kept: Some("an-id"),
            left: minute,
        },
        Page::OtherPending {
            summary: text,
            href: link,
            is_here: false,
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
    pages.push(Page::SayWhy {
        summary: text,
        kept: text,
        action: link,
        most: 500,
    });
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
                by_self: full,
                device: full.then_some(HOSTILE),
                groups: if full { texts } else { &[] },
                people: if why == "reported" { texts } else { &[] },
                also: full.then(|| {
                    Box::new(Also {
                        groups: texts,
                        people: if why == "reported" { texts } else { &[] },
                        at: 1_800_000_000,
                        since: if why == "reported" { 60 } else { 0 },
                    })
                }),
                given: 1,
                need: if full { 2 } else { 1 },
                window: (why == "reported").then_some(60),
                left: minute,
                why,
                by: full.then_some(text),
                reason: full.then_some(text),
                app_status: full.then_some(204),
                here: link,
                link: full.then_some(text),
                remind: full.then_some(Remind {
                    ago: (why == "no").then_some(minute),
                    left: (why == "no").then_some(minute),
                    limited: why == "reported",
                }),
                go: full.then_some(link),
                break_glass: if full { Glass::Form } else { Glass::Link },
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

/// In every language.
fn rendered(text: &str, link: &str) -> Vec<(String, String)> {
    let all = Language::ALL.into_iter();
    all.flat_map(|language| rendered_in(language, text, link))
        .collect()
}

fn rendered_in(language: Language, text: &str, link: &str) -> Vec<(String, String)> {
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
                .html(page, language, ID)
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
        let own = match page.as_str() {
            page if page.starts_with("Done") => "<script src=\"/.stepgate/done.js\"></script>",
            // What is being written is not loaded away.
            page if page.starts_with("Waiting { state: \"pending\"")
                && !page.contains("break_glass: Form") =>
            {
                "<script src=\"/.stepgate/waiting.js\" defer></script>"
            }
            _ => "",
        };
        let scripts = html.matches("<script").count();
        assert_eq!(scripts, usize::from(!own.is_empty()), "{page}\n{html}");
        assert!(html.contains(own), "{page}\n{html}");
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
    for language in Language::ALL {
        let lang = format!("<html lang=\"{}\">", language.tag());
        for (page, html) in rendered_in(language, "text", "/") {
            assert!(html.contains(&lang), "{page}");
        }
    }
    for (page, html) in rendered("text", "/x?a=1&b=2") {
        assert_eq!(html.matches("<h1>").count(), 1, "{page}");
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
    let rendered = pages.render(&page, Language::En, ID);
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
        Language::En,
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
        Language::En,
        ID,
    );
    assert!(!framed.csp.to_str().unwrap().contains("frame-ancestors"));
    let scripted = pages.render(&Page::Done {}, Language::En, ID);
    assert!(
        scripted
            .csp
            .to_str()
            .unwrap()
            .ends_with("script-src 'self'; frame-ancestors 'none'")
    );
}

#[test]
fn every_language_has_every_text_and_no_template_one_of_its_own() {
    crate::gate::words::tests::are_the_same(TEXTS);
    crate::gate::words::tests::say_nothing_themselves(TEMPLATES);
}

/// A page says it by its code; whoever brings another code brings its German, too.
#[test]
fn whatever_is_refused_is_said_in_every_language() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut codes = std::collections::BTreeSet::new();
    for path in crate::gate::words::tests::sources(std::path::Path::new(sources)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let name = path.to_str().unwrap();
        // What pages and `Gate::say` are given, as it stands there.
        let marks: &[&str] = match name {
            _ if name.ends_with("gate/refusal.rs") || name.ends_with("gate/forward_auth.rs") => {
                &["code: \"", " => \""]
            }
            _ if name.ends_with("model/target/mod.rs")
                || name.ends_with("policy/approval/summary/mod.rs") =>
            {
                &[" => \""]
            }
            _ if name.contains("/gate/") && !name.contains("/gate/approver/") => {
                &["(code, status) = (\"", "let code = \""]
            }
            _ => continue,
        };
        for mark in marks {
            for rest in text.split(mark).skip(1) {
                codes.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
        for rest in text.split("Page::Refused {").skip(1) {
            let page = rest.split('}').next().unwrap();
            let code = page.split("code: \"").nth(1);
            codes.extend(code.map(|code| code.split('"').next().unwrap().to_owned()));
        }
    }
    let is_code = |code: &String| {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !code.is_empty() && code.bytes().all(fine)
    };
    let lacking: Vec<_> = codes
        .iter()
        .filter(|code| is_code(code) && !TEXTS.codes_de.iter().any(|(known, _)| known == code))
        .collect();
    assert!(lacking.is_empty(), "no German for {lacking:?}");
}

#[test]
fn what_is_refused_is_said_in_the_readers_language() {
    let pages = Pages::new(&[]).unwrap();
    let said = |code: &str| {
        let page = Page::Refused {
            status: 403,
            code,
            text: "<only> here",
            back: None,
        };
        Language::ALL.map(|language| pages.html(&page, language, ID).unwrap())
    };
    let [english, german] = said("cross-site");
    assert!(english.contains("<p>&lt;only&gt; here</p>"), "{english}");
    assert!(german.contains("<p>Das darf nur eine Seite dieses Hosts.</p>"));
    let [_, unknown] = said("brand-new");
    assert!(unknown.contains("<p><span lang=\"en\">&lt;only&gt; here</span></p>"));
}
