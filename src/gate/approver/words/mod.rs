//! What the approver app says, one table a language. A language has every text, with the same places to fill in.

mod de;
mod en;

use http::{HeaderMap, header};
use serde::Serialize;

pub(super) type Table = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gate) enum Language {
    En,
    De,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::En, Self::De];

    /// As `lang` has it (RFC 5646).
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    pub(super) const fn table(self) -> Table {
        match self {
            Self::En => en::WORDS,
            Self::De => de::WORDS,
        }
    }

    /// The one that the browser likes best (RFC 9110 12.5.4), by its first subtag; English where it likes none of them.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut best = (0, Self::En);
        for range in headers
            .get_all(header::ACCEPT_LANGUAGE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let subtag = parts.next().and_then(|range| range.split('-').next());
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1000, thousandths);
            let known = Self::ALL.into_iter().find(|language| {
                subtag.is_some_and(|tag| tag.eq_ignore_ascii_case(language.tag()))
            });
            if let Some(language) = known
                && quality > best.0
            {
                best = (quality, language);
            }
        }
        best.1
    }
}

/// Of a quality; what is none counts for nothing.
fn thousandths(quality: &str) -> u32 {
    quality
        .parse::<f32>()
        .ok()
        .filter(|quality| (0.0..=1.0).contains(quality))
        .map_or(0, |quality| (quality * 1000.0) as u32)
}

/// The text of that name; the name itself where there is none, which a test rules out.
pub(super) fn word<'w>(table: &'w [(&str, &'w str)], name: &'w str) -> &'w str {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(name, |(_, text)| *text)
}

/// The two largest units, as a person would say it.
pub(super) fn span(seconds: u64, table: Table) -> String {
    const UNITS: [(u64, &str, &str); 4] = [
        (86_400, "day", "days"),
        (3_600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, one, many) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            let name = if count == 1 { one } else { many };
            parts.push(format!("{count} {}", word(table, name)));
        } else if !parts.is_empty() {
            break;
        }
        // Nobody counts seconds beside ten minutes.
        if parts.len() == 2 || (length == 60 && count >= 10) {
            break;
        }
    }
    if parts.is_empty() {
        return format!("0 {}", word(table, "seconds"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use http::HeaderValue;

    use super::*;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{')
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('}')?.0))
            .collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_places() {
        let english: BTreeMap<_, _> = en::WORDS.iter().copied().collect();
        assert_eq!(english.len(), en::WORDS.len(), "a name stands twice");
        for language in Language::ALL {
            let table = language.table();
            let own: BTreeMap<_, _> = table.iter().copied().collect();
            assert_eq!(own.len(), table.len(), "{language:?}: a name stands twice");
            assert_eq!(
                own.keys().collect::<Vec<_>>(),
                english.keys().collect::<Vec<_>>(),
                "{language:?}"
            );
            for (name, text) in &own {
                assert!(!text.trim().is_empty(), "{language:?} {name}");
                let wanted = places(english.get(name).unwrap());
                assert_eq!(places(text), wanted, "{language:?} {name}");
            }
        }
    }

    #[test]
    fn the_browser_says_which_language() {
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
            assert_eq!(Language::of(&headers), wanted, "{given:?}");
        }
    }

    #[test]
    fn spans_are_said_in_words() {
        let (en, de) = (Language::En.table(), Language::De.table());
        for (seconds, english, german) in [
            (0, "0 seconds", "0 Sekunden"),
            (1, "1 second", "1 Sekunde"),
            (61, "1 minute 1 second", "1 Minute 1 Sekunde"),
            (600, "10 minutes", "10 Minuten"),
            (3700, "1 hour 1 minute", "1 Stunde 1 Minute"),
            (90_000, "1 day 1 hour", "1 Tag 1 Stunde"),
            (172_805, "2 days", "2 Tage"),
        ] {
            assert_eq!(span(seconds, en), english);
            assert_eq!(span(seconds, de), german);
        }
    }
}
