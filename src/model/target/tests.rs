#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::model::seeded;

fn strict(raw: &str) -> Result<Target, Ambiguity> {
    Target::parse(raw.as_bytes(), Relaxations::NONE)
}

fn relaxed(raw: &str, names: &[&str]) -> Result<Target, Ambiguity> {
    let accept = names.iter().fold(Relaxations::NONE, |set, name| {
        set | Relaxations::from_name(name).unwrap()
    });
    Target::parse(raw.as_bytes(), accept)
}

fn readings(target: &Target) -> Vec<&str> {
    target.readings().map(|reading| reading.path).collect()
}

/// The record of peers: each of these got past a guard somewhere.
#[test]
fn refuses_what_two_parsers_read_in_two_ways() {
    use Ambiguity::*;
    let table: &[(&[u8], Ambiguity)] = &[
        // not a path of this origin
        (b"", NotOriginForm),
        (b"*", NotOriginForm),
        (b"admin", NotOriginForm),
        (b"?x=/public", NotOriginForm),
        (b"http://erp.example.com/admin", NotOriginForm),
        (b"erp.example.com:443", NotOriginForm),
        // fragments: CVE-2026-41059, CVE-2021-39206, CVE-2023-47106
        (b"/admin#/public", Fragment),
        (b"/admin#", Fragment),
        (b"/admin?a=1#/public", Fragment),
        (b"#/admin", NotOriginForm),
        // dot segments: CVE-2026-33494, CVE-2025-32431
        (b"/public/../admin", DotSegment),
        (b"/public/..", DotSegment),
        (b"/./admin", DotSegment),
        (b"/..", DotSegment),
        (b"/.", DotSegment),
        (b"/public/%2e%2e/admin", EncodedDot),
        (b"/public/.%2E/admin", EncodedDot),
        (b"/public/..%2fadmin", EncodedSlash),
        (b"/public/%2e%2e%2fadmin", EncodedDot),
        // slashes: CVE-2025-71399, CVE-2025-47952
        (b"//admin", DoubleSlash),
        (b"/public//admin", DoubleSlash),
        (b"/admin//", DoubleSlash),
        (b"/public%2fadmin", EncodedSlash),
        (b"/public%2Fadmin", EncodedSlash),
        (b"/public\\admin", Backslash),
        (b"/public%5cadmin", Backslash),
        (b"/public%5C..%5Cadmin", Backslash),
        // matrix parameters: CVE-2026-73511, CVE-2026-0976, CVE-2026-74909
        (b"/public;/../admin", Semicolon),
        (b"/admin;x=1/y", Semicolon),
        (b"/realms;x/master/", Semicolon),
        (b"/a;b/admin", Semicolon),
        (b"/admin%3bx=1", EncodedSemicolon),
        (b"/admin%3B", EncodedSemicolon),
        // decoded twice: CVE-2026-50559, CVE-2025-66490
        (b"/%2561dmin", EncodedPercent),
        (b"/public%252fadmin", EncodedPercent),
        (b"/%25", EncodedPercent),
        // broken escapes: CVE-2021-32637
        (b"/%", BadEscape),
        (b"/%a", BadEscape),
        (b"/%zz", BadEscape),
        (b"/100%/x", BadEscape),
        (b"/%+41", BadEscape),
        (b"/%u0061dmin", BadEscape),
        // control bytes
        (b"/admin%00", Control),
        (b"/admin%00.png", Control),
        (b"/admin\0", Control),
        (b"/admin%0a", Control),
        (b"/admin%0d%0aHost:x", Control),
        (b"/admin\t", Control),
        (b"/admin%09", Control),
        (b"/admin\x7f", Control),
        (b"/admin%7f", Control),
        (b"/admin%C2%85", Control),
        (b"/admin?a=\x01", Control),
        (b"/admin?a=\r\n", Control),
        // targets that Pingora repairs
        (b"/admin HTTP/1.1 x", Unencoded),
        (b"/a b", Unencoded),
        (b"/a<b", Unencoded),
        (b"/a>b", Unencoded),
        (b"/a\"b", Unencoded),
        (b"/a?b c", Unencoded),
        (b"/a?<script>", Unencoded),
        ("/büro".as_bytes(), Unencoded),
        ("/a?büro".as_bytes(), Unencoded),
        // not text: raw, escaped, overlong, half a character
        (b"/\xff", NotUtf8),
        (b"/\x85", NotUtf8),
        (b"/a?\xff", NotUtf8),
        (b"/%ff", NotUtf8),
        (b"/%c0%ae%c0%ae/admin", NotUtf8),
        (b"/%c0%afadmin", NotUtf8),
        (b"/%e2%82", NotUtf8),
        (b"/%c3/%a9", NotUtf8),
        (b"/%ed%a0%80", NotUtf8),
        // browsers leave these as they are; most apps never see one
        (b"/a[0]", Unescaped),
        (b"/a|b", Unescaped),
        (b"/{id}", Unescaped),
        (b"/a^b`", Unescaped),
    ];
    for (raw, expected) in table {
        let got = Target::parse(raw, Relaxations::NONE);
        let shown = String::from_utf8_lossy(raw);
        assert_eq!(got, Err(*expected), "{shown}");
    }
}

#[test]
fn has_one_spelling() {
    for (raw, path) in [
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("/%61dmin", "/admin"),
        ("/%41%7e%5f%2d", "/A~_-"),
        ("/b%c3%bcro", "/b%C3%BCro"),
        ("/a%20b", "/a%20b"),
        ("/a%40b@c", "/a%40b@c"),
        ("/a+b%2bc", "/a+b%2Bc"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a..b/c.", "/a..b/c."),
        ("/!$&'()*+,=:@~", "/!$&'()*+,=:@~"),
        ("/a%5b0%5d", "/a%5B0%5D"),
    ] {
        assert_eq!(strict(raw).unwrap().path(), path, "{raw}");
    }
}

#[test]
fn carries_the_query_untouched() {
    for query in [
        "",
        "x=1",
        "a[]=1&b={}|^`\\",
        "100%",
        "next=/../admin;x//y?z",
        "%00%ff%zz",
    ] {
        let raw = format!("/%61?{query}");
        let target = strict(&raw).unwrap();
        assert_eq!(target.query(), Some(query));
        assert_eq!(target.path(), "/a");
        assert_eq!(target.path_and_query(), format!("/a?{query}"));
    }
    assert_eq!(strict("/a").unwrap().query(), None);
}

#[test]
fn the_query_takes_no_part_in_the_path() {
    let target = strict("/admin?x=/public").unwrap();
    assert_eq!(readings(&target), ["/admin"]);
}

#[test]
fn is_bounded() {
    let longest = format!("/{}", "a".repeat(LONGEST - 1));
    assert!(strict(&longest).is_ok());
    assert_eq!(strict(&(longest + "a")), Err(Ambiguity::TooLong));
}

#[test]
fn looks_up_escapes_decoded() {
    let target = strict("/a%40b%20B%C3%BCro").unwrap();
    let all: Vec<_> = target.readings().collect();
    assert_eq!(
        all,
        [Reading {
            path: "/a@b Büro",
            lower: "/a@b büro"
        }]
    );
}

#[test]
fn looks_up_what_a_late_split_would_leave() {
    assert_eq!(
        readings(&strict("/admin%3fx%23y/z").unwrap()),
        ["/admin?x#y/z", "/admin"]
    );
    assert_eq!(
        readings(&strict("/admin%23/public").unwrap()),
        ["/admin#/public", "/admin"]
    );
}

#[test]
fn relaxations_let_through_and_add_readings() {
    let table: &[(&[&str], &str, &str, &[&str])] = &[
        (
            &["encoded-slash"],
            "/p/a%2fb",
            "/p/a%2Fb",
            &["/p/a%2Fb", "/p/a/b"],
        ),
        (
            &["encoded-dot"],
            "/report%2epdf",
            "/report.pdf",
            &["/report.pdf"],
        ),
        (
            &["encoded-percent"],
            "/100%25",
            "/100%25",
            &["/100%25", "/100%"],
        ),
        (
            &["encoded-percent"],
            "/%252561",
            "/%252561",
            &["/%252561", "/%2561", "/%61", "/a"],
        ),
        (
            &["semicolon"],
            "/admin;x=1/y",
            "/admin;x=1/y",
            &["/admin;x=1/y", "/admin/y"],
        ),
        (
            &["encoded-semicolon"],
            "/admin%3bx",
            "/admin%3Bx",
            &["/admin;x", "/admin"],
        ),
        (&["backslash"], "/a\\b", "/a%5Cb", &["/a\\b", "/a/b"]),
        (&["backslash"], "/a%5cb", "/a%5Cb", &["/a\\b", "/a/b"]),
        (&["double-slash"], "/a//b", "/a//b", &["/a//b", "/a/b"]),
        (&["unescaped"], "/[id]|", "/%5Bid%5D%7C", &["/[id]|"]),
        (
            &["encoded-slash", "double-slash"],
            "/a/%2fb",
            "/a/%2Fb",
            &["/a/%2Fb", "/a//b", "/a/b"],
        ),
        (
            &["semicolon", "double-slash"],
            "/;x/admin",
            "/;x/admin",
            &["/;x/admin", "//admin", "/admin"],
        ),
    ];
    for (names, raw, canonical, expected) in table {
        let target = relaxed(raw, names).unwrap();
        assert_eq!(target.path(), *canonical, "{raw}");
        assert_eq!(readings(&target), *expected, "{raw}");
        assert!(!target.used().is_empty(), "{raw}");
        assert!(strict(raw).is_err(), "{raw}");
    }
}

#[test]
fn nothing_relaxes_a_reading_that_climbs_or_ends_early() {
    use Ambiguity::*;
    for (raw, expected) in [
        ("/a/../b", DotSegment),
        ("/a/%2e%2e/b", DotSegment),
        ("/a/..;/b", DotSegment),
        ("/a/..;x=1/b", DotSegment),
        ("/a%2f..%2fb", DotSegment),
        ("/a%5c..%5cb", DotSegment),
        ("/a\\..\\b", DotSegment),
        ("/a/%252e%252e/b", DotSegment),
        ("/a%252f..%252fb", DotSegment),
        ("/a/..%3bx/b", DotSegment),
        ("/a/..%3Fx", DotSegment),
        ("/a/..%23", DotSegment),
        ("/a%2500", Control),
        ("/a%250a", Control),
        ("/a%25ff", NotUtf8),
        ("/a%00", Control),
        ("/a%ff", NotUtf8),
        ("/a b", Unencoded),
        ("/a#b", Fragment),
        ("/%zz", BadEscape),
    ] {
        let got = Target::parse(raw.as_bytes(), Relaxations::ALL);
        assert_eq!(got, Err(expected), "{raw}");
    }
}

#[test]
fn a_path_of_too_many_readings_is_refused() {
    let raw = format!("/a;b//c%5Cd%3Fe/{}%2541", "%25".repeat(8));
    let got = Target::parse(raw.as_bytes(), Relaxations::ALL);
    assert_eq!(got, Err(Ambiguity::TooManyReadings));
}

#[test]
fn every_relaxable_ambiguity_is_spelled_like_its_relaxation() {
    let named = [
        Ambiguity::EncodedSlash,
        Ambiguity::EncodedDot,
        Ambiguity::EncodedPercent,
        Ambiguity::EncodedSemicolon,
        Ambiguity::Semicolon,
        Ambiguity::Backslash,
        Ambiguity::DoubleSlash,
        Ambiguity::Unescaped,
    ];
    for ambiguity in named {
        assert!(ambiguity.relaxation().is_some(), "{ambiguity}");
    }
    // The one about headers has no ambiguity of the target.
    assert_eq!(named.len() + 1, RELAXATIONS.len());
    assert_eq!(Ambiguity::Control.relaxation(), None);
    assert_eq!(Ambiguity::DotSegment.relaxation(), None);
    let all = RELAXATIONS
        .iter()
        .fold(Relaxations::NONE, |set, row| set | row.set);
    assert_eq!(all, Relaxations::ALL);
}

/// Targets made of what matters, often enough valid.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~-]{1,4}".prop_map(String::into_bytes),
        3 => Just(b"/".to_vec()),
        2 => proptest::sample::select(vec![
            "%2f", "%2F", "%5c", "%2e", "%25", "%3b", "%3f", "%23", "%41", "%7e", "%40", "%C3%BC",
            "%20", "%00", "%ff", ";", "\\", "//", "..", ".", "?", "#", "[", "|", "%", "*", "@", ":",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut raw = vec![b'/'];
        raw.extend(pieces.concat());
        raw
    })
}

fn accept() -> impl Strategy<Value = Relaxations> {
    proptest::collection::vec(proptest::sample::select(RELAXATIONS.to_vec()), 0..=9).prop_map(
        |rows| {
            rows.iter()
                .fold(Relaxations::NONE, |set, row| set | row.set)
        },
    )
}

proptest! {
    #![proptest_config(seeded::cases(4000))]

    /// The upstream that reads the forwarded target as we do sees what was decided on.
    #[test]
    fn is_idempotent(raw in raw(), accept in accept()) {
        if let Ok(target) = Target::parse(&raw, accept) {
            let again = Target::parse(target.path_and_query().as_bytes(), accept).unwrap();
            prop_assert_eq!(again.path_and_query(), target.path_and_query());
            prop_assert_eq!(readings(&again), readings(&target));
        }
    }

    #[test]
    fn forwards_only_what_rfc_3986_allows_in_a_path(raw in raw(), accept in accept()) {
        if let Ok(target) = Target::parse(&raw, accept) {
            prop_assert!(target.path().starts_with('/'));
            let allowed = |byte: u8| {
                byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
            };
            prop_assert!(target.path().bytes().all(allowed));
        }
    }

    #[test]
    fn no_reading_climbs_or_holds_control_characters(raw in raw(), accept in accept()) {
        if let Ok(target) = Target::parse(&raw, accept) {
            for reading in target.readings() {
                prop_assert!(reading.path.starts_with('/'));
                prop_assert!(!reading.path.split('/').any(|segment| matches!(segment, "." | "..")));
                prop_assert!(!reading.path.chars().any(char::is_control));
                prop_assert_eq!(reading.lower, reading.path.to_ascii_lowercase());
            }
        }
    }

    /// Relaxing lets more through, and never changes what was let through before.
    #[test]
    fn relaxing_changes_nothing_else(raw in raw(), accept in accept()) {
        if let Ok(target) = strict(&String::from_utf8_lossy(&raw)) {
            prop_assert_eq!(Target::parse(&raw, accept), Ok(target));
        }
    }

    #[test]
    fn what_was_used_is_enough(raw in raw(), accept in accept()) {
        if let Ok(target) = Target::parse(&raw, accept) {
            prop_assert!(accept.contains(target.used()));
            prop_assert_eq!(Target::parse(&raw, target.used()), Ok(target));
        }
    }
}
