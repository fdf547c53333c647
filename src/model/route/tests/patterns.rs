//! What a pattern matches, and what is none.

use proptest::prelude::*;

use super::*;
use crate::model::seeded;

#[test]
fn match_what_the_language_says() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("/", &["/"], &["/a"]),
        ("/**", &["/", "/a", "/a/", "/a/b/c"], &[]),
        ("/a", &["/a", "/a/"], &["/", "/b", "/ab", "/a/b", "/A"]),
        ("/a/", &["/a", "/a/"], &["/a/b"]),
        (
            "/a/**",
            &["/a", "/a/", "/a/b", "/a/b/c/"],
            &["/", "/ab", "/b/a"],
        ),
        ("/{x}", &["/a", "/a/", "/a b"], &["/", "/a/b"]),
        (
            "/a/{x}/c",
            &["/a/b/c", "/a/b/c/"],
            &["/a/c", "/a//c", "/a/b/b/c"],
        ),
        ("/a/{x}/**", &["/a/b", "/a/b/c"], &["/a", "/a/"]),
        ("/*", &["/a"], &["/", "/a/b"]),
        (
            "/r-*.pdf",
            &["/r-1.pdf", "/r-.pdf.pdf"],
            &["/r-.pdf", "/r-1.pdfx", "/r-a/b.pdf", "/r.pdf"],
        ),
        (
            "/*.*",
            &["/a.b", "/a..b", "/a.b.c"],
            &["/a.", "/.b", "/ab", "/."],
        ),
        ("/a*a", &["/aba", "/aaa"], &["/aa", "/a"]),
        (
            "/*ab*",
            &["/xabx", "/ababx", "/abab1"],
            &["/abx", "/xab", "/ab"],
        ),
        ("/*a*a*", &["/xaxax", "/aaaaa"], &["/xaax", "/aaaa"]),
        ("/Büro", &["/Büro"], &["/b%C3%BCro"]),
        ("/B%c3%bcro", &["/Büro"], &[]),
        ("/my files/%7Bx%7D", &["/my files/{x}"], &[]),
        ("/a%40b", &["/a@b"], &[]),
        ("/a%2Ab", &["/a*b"], &["/axb"]),
    ];
    for (text, matching, others) in table {
        let pattern = pattern(text);
        for path in *matching {
            assert!(pattern.matches(path), "{text} has to match {path}");
        }
        for path in *others {
            assert!(!pattern.matches(path), "{text} must not match {path}");
        }
    }
}

#[test]
fn match_requests_however_they_escape() {
    for (text, raw) in [
        ("/Büro/**", "/B%c3%bcro/x"),
        ("/a@b", "/a%40b"),
        ("/a%40b", "/a@b"),
        ("/%61dmin", "/admin"),
        ("/admin", "/%61%64min"),
        ("/a b", "/a%20b"),
    ] {
        let target = target(raw);
        assert!(
            pattern(text).matches(target.readings().next().unwrap().path),
            "{text} has to match {raw}"
        );
    }
}

#[test]
fn tell_what_is_wrong() {
    use crate::model::target::Ambiguity;
    use PatternError::*;

    for (text, error) in [
        ("", NoLeadingSlash),
        ("a", NoLeadingSlash),
        ("**", NoLeadingSlash),
        ("//", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("/**/a", MisplacedRest),
        ("/**/", MisplacedRest),
        ("/a**", MisplacedRest),
        ("/a/***", MisplacedRest),
        ("/a**b", MisplacedRest),
        ("/x{id}", BadParameter),
        ("/{}", BadParameter),
        ("/{a b}", BadParameter),
        ("/{a", BadParameter),
        ("/a}", BadParameter),
        ("/{a}{b}", BadParameter),
        ("/{*}", BadParameter),
        ("/{a}/{a}", RepeatedParameter("a".to_owned())),
        ("/a/../b", Unreachable(Ambiguity::DotSegment)),
        ("/.", Unreachable(Ambiguity::DotSegment)),
        ("/a#b", Unreachable(Ambiguity::Fragment)),
        ("/a?b", Unreachable(Ambiguity::Unencoded)),
        ("/a%zz", Unreachable(Ambiguity::BadEscape)),
        ("/a%00", Unreachable(Ambiguity::Control)),
        ("/a\tb", Unreachable(Ambiguity::Control)),
        ("/a%ff", Unreachable(Ambiguity::NotUtf8)),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{text}");
    }
}

#[test]
fn tell_what_their_requests_need() {
    for (text, needs) in [
        ("/a/{b}/**", Relaxations::NONE),
        ("/group%2Fproject", Relaxations::ENCODED_SLASH),
        ("/a;b", Relaxations::SEMICOLON),
        ("/a\\b", Relaxations::BACKSLASH),
        ("/100%25*", Relaxations::ENCODED_PERCENT),
    ] {
        assert_eq!(pattern(text).needs(), needs, "{text}");
    }
}

#[test]
fn name_their_parameters() {
    let pattern = pattern("/a/{id}/b*/{sub-id_2}/**");
    assert_eq!(pattern.parameters().collect::<Vec<_>>(), ["id", "sub-id_2"]);
}

fn slow_glob(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (1..=text.len()).any(|taken| slow_glob(rest, &text[taken..])),
        [one, rest @ ..] => text.first() == Some(one) && slow_glob(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(seeded::cases(4000))]

    #[test]
    fn globs_agree_with_trying_everything(glob in "\\*?([ab]{1,2}\\*){0,2}[ab]{0,2}", text in "[ab]{1,8}") {
        prop_assume!(!glob.is_empty());
        let slow = slow_glob(
            &glob.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(pattern(&format!("/{glob}")).matches(&format!("/{text}")), slow);
    }

    #[test]
    fn no_text_panics(text in ".{0,20}") {
        let _ = Pattern::parse(&text);
        let _ = Pattern::parse(&format!("/{text}"));
    }
}
