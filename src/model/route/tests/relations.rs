//! Narrower, wider, equal, overlapping, apart: held against the paths that two patterns match.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::seeded;

#[test]
fn are_exact() {
    use Relation::*;
    let overlap = |witness: &str| Overlap {
        witness: witness.to_owned(),
    };
    for (left, right, expected) in [
        ("/a", "/a", Equal),
        ("/a", "/a/", Equal),
        ("/{x}", "/{y}", Equal),
        ("/{x}", "/*", Equal),
        ("/a", "/b", Disjoint),
        ("/a", "/a/b", Disjoint),
        ("/a", "/{x}", Subset),
        ("/a/**", "/a", Superset),
        ("/a/b", "/a/**", Subset),
        ("/**", "/", Superset),
        ("/a/{x}/**", "/a/**", Subset),
        ("/payments/{id}/release", "/payments/**", Subset),
        ("/a*", "/*", Subset),
        ("/ab*", "/a*", Subset),
        ("/a*b*", "/a*", Subset),
        ("/a*", "/aa*", Superset),
        ("/a*", "/b*", Disjoint),
        ("/{x}/b", "/a/{y}", overlap("/a/b")),
        ("/{x}/b/**", "/a/**", overlap("/a/b")),
        ("/a/{x}/**", "/{y}/b", overlap("/a/b")),
        ("/a*", "/*b", overlap("/ab")),
        ("/a*/**", "/*b", overlap("/ab")),
        ("/*ab*", "/*ba*", overlap("/xbabx")),
        ("/ü*", "/*b", overlap("/%C3%BCb")),
        ("/{x}/a b", "/c/*", overlap("/c/a%20b")),
    ] {
        let got = pattern(left).relation(&pattern(right));
        assert_eq!(got, expected, "{left} and {right}");
    }
}

#[test]
fn several_cover_together() {
    let table: &[(&str, &[&str], bool)] = &[
        ("/a/**", &[], false),
        ("/a/**", &["/a/**"], true),
        ("/a/**", &["/a", "/a/{x}/**"], true),
        ("/a/**", &["/a", "/a/{x}", "/a/{x}/{y}/**"], true),
        ("/a/**", &["/a", "/a/{x}", "/a/{x}/{y}/{z}/**"], false),
        ("/a/**", &["/a/{x}/**"], false),
        ("/a/**", &["/a", "/a/b/**"], false),
        ("/{x}", &["/a", "/b", "/*c"], false),
        ("/{x}", &["/*"], true),
        ("/**", &["/", "/{x}", "/{x}/{y}/**"], true),
        ("/a*", &["/ab*", "/ac"], false),
        ("/ab*", &["/a*"], true),
        ("/a", &["/{x}"], true),
        ("/a", &["/b", "/a/**"], true),
    ];
    for (text, others, expected) in table {
        let others: Vec<_> = others.iter().map(|other| pattern(other)).collect();
        let others: Vec<_> = others.iter().collect();
        assert_eq!(
            pattern(text).is_covered_by(&others),
            *expected,
            "{text} by {others:?}"
        );
    }
}

#[test]
fn a_route_that_never_wins_is_seen() {
    let table: &[(&str, &[&str], bool)] = &[
        ("* /a/** 1", &["* /a 1", "* /a/{x}/** 1"], true),
        ("* /a/** 1", &["GET /a 1", "* /a/{x}/** 1"], false),
        ("GET /a/** 1", &["GET /a 1", "* /a/{x}/** 1"], true),
        ("GET,POST /a/** 1", &["* /a 0", "* /a/{x}/** 1"], false),
        ("GET /a/** 1", &["* /a 0", "* /a/{x}/** 1"], true),
        ("* /a 1", &["GET,POST,PUT /a 1"], false),
        ("* /a 0", &["GET /a 1"], true),
        ("PURGE /a/** 1", &["* /a 1", "PURGE /a/{x}/** 1"], true),
        ("PURGE /a/** 1", &["* /a 1", "POST /a/{x}/** 1"], false),
        ("* /a 1", &["* /** 1"], false),
    ];
    for (text, others, expected) in table {
        let others: Vec<_> = others.iter().map(|other| route(other)).collect();
        let others: Vec<_> = others.iter().collect();
        assert_eq!(route(text).is_shadowed_by(&others), *expected, "{text}");
    }
}

#[test]
fn shared_methods() {
    for (left, right, expected) in [
        ("* / 1", "* / 1", Some(Method::GET)),
        ("POST / 1", "* / 1", Some(Method::POST)),
        ("POST / 1", "PUT / 1", None),
        ("HEAD / 1", "GET / 1", Some(Method::HEAD)),
        ("GET / 1", "HEAD / 1", Some(Method::HEAD)),
        ("POST / 1", "* / 0", None),
        (
            "PURGE,POST / 1",
            "PURGE / 1",
            Some("PURGE".parse().unwrap()),
        ),
    ] {
        let (left, right) = (route(left), route(right));
        assert_eq!(left.shared_method(&right), expected, "{left:?} {right:?}");
    }
    assert!(floor(Some(&[Method::GET]), None, 2).shares_method_with(&route("* /a 0")));
    assert!(!floor(Some(&[Method::DELETE]), None, 2).shares_method_with(&route("* /a 0")));
}

/// Enough paths to tell apart any two patterns over `a` and `b` with at most two segments.
pub(super) fn universe() -> Vec<String> {
    let mut short = Vec::new();
    for length in 1..=3_u32 {
        for number in 0..3_u32.pow(length) {
            let letter = |place| ["a", "b", "z"][(number / 3_u32.pow(place) % 3) as usize];
            short.push((0..length).map(letter).collect::<String>());
        }
    }
    let few = [
        "a", "b", "z", "ab", "aa", "az", "za", "zb", "aab", "aza", "azb", "zaa", "zab", "zaz",
    ];
    let mut all = vec!["/".to_owned()];
    all.extend(short.iter().map(|segment| format!("/{segment}")));
    for first in few {
        all.extend(short.iter().map(|second| format!("/{first}/{second}")));
        all.extend(short.iter().map(|second| format!("/{second}/{first}")));
        all.extend(few.iter().map(|second| format!("/{first}/{second}/z")));
    }
    all.push("/z/z/z/z".to_owned());
    all
}

pub(super) fn patterns() -> impl Strategy<Value = String> {
    let segment = proptest::sample::select(vec![
        "/a", "/b", "/ab", "/{x}", "/a*", "/*a", "/*b", "/a*b", "/*a*",
    ]);
    let body = proptest::collection::vec(segment, 0..=2).prop_map(|segments| segments.concat());
    (body, any::<bool>()).prop_filter_map("a name stands once", |(body, rest)| {
        let body = body.replacen("{x}", "{y}", 1);
        let text = body + if rest { "/**" } else { "" };
        Some(if text.is_empty() {
            "/".to_owned()
        } else {
            text
        })
    })
}

proptest! {
    #![proptest_config(seeded::cases(400))]

    #[test]
    fn agree_with_comparing_all_paths(left in patterns(), right in patterns()) {
        let (left, right) = (pattern(&left), pattern(&right));
        let paths = universe();
        let of = |pattern: &Pattern| -> BTreeSet<&str> {
            paths.iter().map(String::as_str).filter(|path| pattern.matches(path)).collect()
        };
        let (l, r) = (of(&left), of(&right));
        match left.relation(&right) {
            Relation::Equal => prop_assert_eq!(l, r),
            Relation::Subset => prop_assert!(l.is_subset(&r) && l != r),
            Relation::Superset => prop_assert!(r.is_subset(&l) && l != r),
            Relation::Disjoint => prop_assert!(l.is_disjoint(&r)),
            Relation::Overlap { witness } => {
                prop_assert!(!l.is_subset(&r) && !r.is_subset(&l) && !l.is_disjoint(&r));
                prop_assert!(left.matches(&witness) && right.matches(&witness), "{}", witness);
            }
        }
    }

    #[test]
    fn no_neighbour_is_missing(
        one in patterns(),
        others in proptest::collection::vec(patterns(), 0..12),
    ) {
        let one = pattern(&one);
        let others: Vec<_> = others.iter().map(|other| pattern(other)).collect();
        let near = Neighbours::new(&others).of(&one);
        for (index, other) in others.iter().enumerate() {
            let disjoint = one.relation(other) == Relation::Disjoint;
            prop_assert!(disjoint || near.contains(&index), "{}", other);
        }
    }

    #[test]
    fn covering_agrees_with_comparing_all_paths(
        one in patterns(),
        others in proptest::collection::vec(patterns(), 0..5),
    ) {
        let one = pattern(&one);
        let others: Vec<_> = others.iter().map(|other| pattern(other)).collect();
        let slow = universe()
            .iter()
            .filter(|path| one.matches(path))
            .all(|path| others.iter().any(|other| other.matches(path)));
        prop_assert_eq!(one.is_covered_by(&others.iter().collect::<Vec<_>>()), slow);
    }
}
