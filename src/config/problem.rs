//! What is wrong with a configuration, where, and what to do about it; for people (underlined text) and for tools (JSON).

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str as clean,
};
use serde_json::{Value, json};

use super::code::Code;
use crate::model::route;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A file, or an environment variable, as it was read.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user would type it.
    pub(super) name: String,
    pub(super) text: String,
}

/// Bytes of a source.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) source: Arc<Source>,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub code: Code,
    pub severity: Severity,
    pub message: String,
    pub place: Option<Place>,
    /// What stands at the place.
    pub label: Option<String>,
    /// Other places that have to do with it.
    pub related: Vec<(Place, String)>,
    pub help: Option<String>,
}

/// Where problems are collected; a step that finds one goes on.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    pub(super) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

impl Place {
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// From 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// In characters, from 1.
    pub fn column(&self) -> usize {
        let before = self.before();
        before
            .rsplit_once('\n')
            .map_or(before, |(_, line)| line)
            .chars()
            .count()
            + 1
    }

    pub(super) fn as_route_source(&self) -> route::Source {
        route::Source {
            file: self.file().to_owned(),
            line: self.line(),
        }
    }

    fn before(&self) -> &str {
        self.source.text.get(..self.span.start).unwrap_or_default()
    }
}

impl Problem {
    pub(super) fn error(code: Code, place: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: Some(place.clone()),
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    /// An error that stands nowhere in particular.
    pub(super) fn nowhere(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    #[must_use]
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    #[must_use]
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `did you mean …?`, when one of `known` is near.
    #[must_use]
    pub(super) fn did_you_mean<'k>(
        self,
        given: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        match nearest(given, &known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() || known.len() > 12 => self,
            None => self.help(format!("there is: {}", quoted(&known))),
        }
    }

    #[must_use]
    pub(super) fn related(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.related.push((place.clone(), label.into()));
        self
    }

    /// As a compiler would print it.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level
            .primary_title(clean(&self.message))
            .id(self.code.as_str());
        let mut group = Group::with_title(title);
        for snippet in self.snippets() {
            group = group.element(snippet);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(clean(help)));
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer
            .decor_style(DecorStyle::Ascii)
            .term_width(120)
            .render(&[group])
    }

    pub fn to_json(&self) -> Value {
        let place = |place: &Place| {
            json!({
                "file": place.file(),
                "line": place.line(),
                "column": place.column(),
                "span": [place.span.start, place.span.end],
            })
        };
        json!({
            "code": self.code.as_str(),
            "severity": match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": self.message,
            "place": self.place.as_ref().map(place),
            "label": self.label,
            "related": self.related.iter().map(|(other, label)| {
                json!({ "place": place(other), "label": label })
            }).collect::<Vec<_>>(),
            "help": self.help,
        })
    }

    /// One for each file; the main place's first.
    fn snippets(&self) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
        let Some(main) = &self.place else {
            return Vec::new();
        };
        let mut sources = vec![&main.source];
        for (place, _) in &self.related {
            if !sources
                .iter()
                .any(|known| Arc::ptr_eq(known, &place.source))
            {
                sources.push(&place.source);
            }
        }
        sources
            .into_iter()
            .map(|source| {
                let mut snippet = Snippet::source(source.text.as_str()).path(source.name.as_str());
                if Arc::ptr_eq(source, &main.source) {
                    snippet = snippet.annotation(
                        AnnotationKind::Primary
                            .span(main.span.clone())
                            .label(self.label.as_deref().map(clean)),
                    );
                }
                for (place, label) in &self.related {
                    if Arc::ptr_eq(source, &place.source) {
                        snippet = snippet.annotation(
                            AnnotationKind::Context
                                .span(place.span.clone())
                                .label(clean(label)),
                        );
                    }
                }
                snippet
            })
            .collect()
    }
}

/// `` `a`, `b` and `c` ``
pub(super) fn quoted(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let given = folded(given);
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&given, &folded(word)), *word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}
