//! In which language a page speaks, and what it says: one mechanism for the pages on every host and for the approver app's,
//! each of which keeps its texts beside its templates. A language has every text, with the same places to fill in.
//!
//! What a program reads is English and stable; a page that says the same by its code is in its reader's language.

mod de;
mod en;
mod filters;

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, header};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::{Gate, Incoming};
use crate::config::{HostIndex, Login};
use crate::model::approval::Terms;

pub(in crate::gate) type Table = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gate) enum Language {
    En,
    De,
}

impl Language {
    pub(in crate::gate) const ALL: [Self; 2] = [Self::En, Self::De];

    /// As `lang` has it (RFC 5646).
    pub(in crate::gate) const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// What people are asked. Where their yes holds for a while, that is more than the one request.
    pub(in crate::gate) fn asking<'s>(self, summary: &'s str, terms: &Terms) -> Cow<'s, str> {
        let Some(window) = terms.window() else {
            return Cow::Borrowed(summary);
        };
        let every = look_up(self.common(), "every").unwrap_or("{summary}");
        let every = every.replace("{span}", &filters::span(window.as_secs(), self));
        Cow::Owned(every.replacen("{summary}", summary, 1))
    }

    const fn common(self) -> Table {
        match self {
            Self::En => en::WORDS,
            Self::De => de::WORDS,
        }
    }

    /// Of the first subtag of a language tag or range.
    fn named(tag: &str) -> Option<Self> {
        let subtag = tag.split('-').next()?;
        let mut all = Self::ALL.into_iter();
        all.find(|language| subtag.eq_ignore_ascii_case(language.tag()))
    }

    /// The one that the browser likes best (RFC 9110 12.5.4); English where it likes none of them.
    fn accepted(headers: &HeaderMap) -> Self {
        let mut best = (0, Self::En);
        for range in headers
            .get_all(header::ACCEPT_LANGUAGE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let known = parts.next().and_then(Self::named);
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1000, thousandths);
            if let Some(language) = known
                && quality > best.0
            {
                best = (quality, language);
            }
        }
        best.1
    }

    /// The first that the app's `ui_locales` (OpenID Connect Core 3.1.2.1) name, as Keycloak's pages have it, else what the
    /// browser likes.
    fn of(login: Option<&Login>, headers: &HeaderMap) -> Self {
        let locales = login.and_then(|login| login.params.get("ui_locales"));
        let mut named = locales.into_iter().flat_map(|tags| tags.split(' '));
        named
            .find_map(Self::named)
            .unwrap_or_else(|| Self::accepted(headers))
    }
}

impl Gate {
    pub(in crate::gate) fn language(&self, incoming: &Incoming<'_>) -> Language {
        self.language_at(Some(incoming.place), incoming.headers)
    }

    /// `place`: where the request is for, if that is known.
    pub(in crate::gate) fn language_at(
        &self,
        place: Option<HostIndex>,
        headers: &HeaderMap,
    ) -> Language {
        let app = place.and_then(|place| self.parts.config.apps.get(place.app));
        Language::of(app.map(|app| &app.login), headers)
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

/// What some pages say, in every language.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Texts {
    pub(in crate::gate) en: Table,
    pub(in crate::gate) de: Table,
    /// Of what is refused, by its code; English is what programs are told.
    pub(in crate::gate) codes_de: Table,
}

impl Texts {
    const fn own(&self, language: Language) -> Table {
        match language {
            Language::En => self.en,
            Language::De => self.de,
        }
    }

    const fn codes(&self, language: Language) -> Table {
        match language {
            Language::En => &[],
            Language::De => self.codes_de,
        }
    }

    /// The text of that name; the name itself where there is none, which a test rules out.
    pub(in crate::gate) fn word<'w>(&self, language: Language, name: &'w str) -> &'w str {
        look_up(self.own(language), name)
            .or_else(|| look_up(language.common(), name))
            .unwrap_or(name)
    }
}

fn look_up(table: Table, name: &str) -> Option<&'static str> {
    let mut all = table.iter();
    all.find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The templates, once a language.
pub(in crate::gate) struct Templates(Vec<(Language, Environment<'static>)>);

impl Templates {
    pub(in crate::gate) fn new(
        templates: &'static [(&'static str, &'static str)],
        texts: Texts,
        style: &str,
    ) -> Result<Self, Error> {
        let environment = |language: Language| {
            let mut environment = Environment::new();
            environment.set_auto_escape_callback(|_| AutoEscape::Html);
            environment.set_undefined_behavior(UndefinedBehavior::Strict);
            filters::add(&mut environment, language, texts);
            environment.add_global("lang", language.tag());
            environment.add_global("style", Value::from_safe_string(style.to_owned()));
            let all = language.common().iter().chain(texts.own(language));
            environment.add_global("t", Value::from_pairs(all.copied()));
            for (name, text) in templates {
                environment.add_template(name, text)?;
            }
            Ok((language, environment))
        };
        let all: Result<_, Error> = Language::ALL.into_iter().map(environment).collect();
        Ok(Self(all?))
    }

    pub(in crate::gate) fn render(
        &self,
        language: Language,
        template: &str,
        context: Value,
    ) -> Result<String, Error> {
        let mut all = self.0.iter();
        let (_, environment) = all
            .find(|(known, _)| *known == language)
            .ok_or(ErrorKind::TemplateNotFound)?;
        environment.get_template(template)?.render(context)
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(in crate::gate) mod tests;
