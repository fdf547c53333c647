//! What holds for the texts of all pages, and which language is chosen.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::*;
use crate::config::Login;

fn places(text: &str) -> BTreeSet<&str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('}')?.0))
        .collect()
}

/// For the tests of whoever has texts.
pub(in crate::gate) fn are_the_same(texts: Texts) {
    let english: BTreeMap<_, _> = texts.en.iter().copied().collect();
    for language in Language::ALL {
        let table = texts.own(language);
        let own: BTreeMap<_, _> = table.iter().copied().collect();
        assert_eq!(own.len(), table.len(), "{language:?}: a name stands twice");
        let names = own.keys().collect::<Vec<_>>();
        assert_eq!(names, english.keys().collect::<Vec<_>>(), "{language:?}");
        for (name, text) in &own {
            assert!(!text.trim().is_empty(), "{language:?} {name}");
            let wanted = places(english.get(name).unwrap());
            assert_eq!(places(text), wanted, "{language:?} {name}");
            let is_common = look_up(language.common(), name).is_some();
            assert!(!is_common, "{language:?} {name}: all pages have it");
        }
        let codes = texts.codes(language);
        let names: BTreeSet<_> = codes.iter().map(|(code, _)| code).collect();
        assert_eq!(
            names.len(),
            codes.len(),
            "{language:?}: a code stands twice"
        );
    }
}

/// Of the same: nothing that is read stands in a template itself, where it would be in one language.
pub(in crate::gate) fn say_nothing_themselves(templates: &[(&str, &str)]) {
    for (name, text) in templates {
        let mut bare = String::new();
        let mut rest = *text;
        while let Some(start) = rest.find(['<', '{']) {
            let (before, from) = rest.split_at(start);
            bare.push_str(before);
            let end = match from {
                from if from.starts_with("{{") => "}}",
                from if from.starts_with("{%") => "%}",
                _ => ">",
            };
            rest = from.split_once(end).map_or("", |(_, rest)| rest);
        }
        bare.push_str(rest);
        let words: Vec<_> = bare
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        assert!(words.is_empty(), "{name} says {words:?} in one language");
    }
}

/// All Rust files under `folder`.
pub(in crate::gate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_language_has_every_common_text() {
    let names = |language: Language| {
        let names = language.common().iter().map(|(name, _)| *name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(Language::En), names(Language::De));
}

#[test]
fn the_browser_says_which_language_where_the_app_does_not() {
    for (given, wanted) in [
        (None, Language::En),
        (Some("de"), Language::De),
        (Some("de-AT,de;q=0.9,en;q=0.8"), Language::De),
        (Some("en-GB,de;q=0.9"), Language::En),
        (Some("fr,de;q=0.2"), Language::De),
        (Some("fr"), Language::En),
        (Some("DE;q=0"), Language::En),
        (Some("de;q=x"), Language::En),
        (Some("den"), Language::En),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(given));
        }
        assert_eq!(Language::of(None, &headers), wanted, "{given:?}");
    }
}

#[test]
fn an_app_says_it_as_it_does_to_keycloak() {
    let german = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static("de"))]);
    for (locales, wanted) in [
        (None, Language::De),
        (Some("en"), Language::En),
        (Some("fr de-CH en"), Language::De),
        (Some("fr"), Language::De),
        (Some(""), Language::De),
    ] {
        let locales = locales.map(|tags| ("ui_locales".to_owned(), tags.to_owned()));
        let login = Login {
            params: locales.into_iter().collect(),
            ..Login::default()
        };
        assert_eq!(Language::of(Some(&login), &german), wanted, "{login:?}");
    }
}

#[test]
fn spans_and_sizes_are_said_in_words() {
    for (seconds, english, german, behind) in [
        (0, "0 seconds", "0 Sekunden", "0 Sekunden"),
        (1, "1 second", "1 Sekunde", "1 Sekunde"),
        (59, "59 seconds", "59 Sekunden", "59 Sekunden"),
        (60, "1 minute", "1 Minute", "1 Minute"),
        (
            61,
            "1 minute 1 second",
            "1 Minute 1 Sekunde",
            "1 Minute 1 Sekunde",
        ),
        (
            599,
            "9 minutes 59 seconds",
            "9 Minuten 59 Sekunden",
            "9 Minuten 59 Sekunden",
        ),
        (3_599, "59 minutes", "59 Minuten", "59 Minuten"),
        (3_600, "1 hour", "1 Stunde", "1 Stunde"),
        (
            3_661,
            "1 hour 1 minute",
            "1 Stunde 1 Minute",
            "1 Stunde 1 Minute",
        ),
        (43_200, "12 hours", "12 Stunden", "12 Stunden"),
        (86_403, "1 day", "1 Tag", "1 Tag"),
        (
            180_000,
            "2 days 2 hours",
            "2 Tage 2 Stunden",
            "2 Tagen 2 Stunden",
        ),
    ] {
        assert_eq!(filters::span(seconds, Language::En), english);
        assert_eq!(filters::dative(seconds, Language::En), english);
        assert_eq!(filters::span(seconds, Language::De), german);
        assert_eq!(filters::dative(seconds, Language::De), behind);
    }
    for (bytes, english, german) in [
        (0, "0 bytes", "0 Byte"),
        (1, "1 byte", "1 Byte"),
        (1023, "1023 bytes", "1023 Byte"),
        (1536, "1.5 KiB", "1,5 KiB"),
        (64 << 10, "64 KiB", "64 KiB"),
        (3 << 20, "3 MiB", "3 MiB"),
    ] {
        assert_eq!(filters::size(bytes, Language::En), english);
        assert_eq!(filters::size(bytes, Language::De), german);
    }
}

#[test]
fn what_is_filled_in_is_escaped_once_and_not_filled_in_again() {
    const NONE: Texts = Texts {
        en: &[],
        de: &[],
        codes_de: &[],
    };
    const ALL: &[(&str, &str)] = &[
        (
            "fine.html",
            "{{ '{who} asks {what}'|with(who=a, what=b, more=1) }}",
        ),
        ("marked.html", "{{ '<{who}>'|with(who=a|strong) }}"),
        ("lacking.html", "{{ '{who}'|with(what=1) }}"),
    ];
    let templates = Templates::new(ALL, NONE, "").unwrap();
    let filled = |name: &str| {
        let context = minijinja::context! { a => "{what}&", b => "{who}" };
        templates.render(Language::De, name, context)
    };
    assert_eq!(filled("fine.html").unwrap(), "{what}&amp; asks {who}");
    let marked = "&lt;<strong>{what}&amp;</strong>&gt;";
    assert_eq!(filled("marked.html").unwrap(), marked);
    assert!(filled("lacking.html").is_err());
}

#[test]
fn what_holds_for_a_while_says_so_in_every_language() {
    let mut terms = crate::policy::example::given().terms;
    for language in Language::ALL {
        assert_eq!(language.asking("Pay", &terms), "Pay");
    }
    terms.for_a_while = true;
    let rows = [
        (90, "1 minute 30 seconds", "1 Minute 30 Sekunden"),
        (900, "15 minutes", "15 Minuten"),
        (86_400 * 7, "7 days", "7 Tage"),
    ];
    for (seconds, english, german) in rows {
        terms.redeem_ttl = std::time::Duration::from_secs(seconds);
        // What is filled in is not looked at again.
        for summary in ["Pay", "{span} {summary}"] {
            let told = |language: Language| language.asking(summary, &terms).into_owned();
            assert_eq!(
                told(Language::En),
                format!("Every “{summary}” for {english}")
            );
            let in_german = format!("Jede Anfrage „{summary}“ für {german}");
            assert_eq!(told(Language::De), in_german);
        }
    }
}
