//! What templates do to what they are given: spans of time and sizes in words, places of a text filled in, and links that
//! lead nowhere else.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, HtmlEscape, Value};

use super::{Language, Texts, look_up};

pub(super) fn add(environment: &mut Environment<'static>, language: Language, texts: Texts) {
    environment.add_filter("span", move |seconds: u64| span(seconds, language));
    environment.add_filter("dative", move |seconds: u64| dative(seconds, language));
    environment.add_filter("ticking", move |seconds: u64| {
        let text = span(seconds, language);
        Value::from_safe_string(format!(
            "<span id=\"left\" data-seconds=\"{seconds}\">{text}</span>"
        ))
    });
    environment.add_filter("clock", clock);
    environment.add_filter("size", move |bytes: u64| size(bytes, language));
    environment.add_filter("with", with);
    environment.add_filter("strong", |text: &str| tagged("strong", text));
    environment.add_filter("mono", |text: &str| tagged("code", text));
    environment.add_filter("href", href);
    let codes = texts.codes(language);
    environment.add_filter("told", move |text: &str, code: &str| {
        match look_up(codes, code) {
            Some(text) => Value::from(text),
            None if language == Language::En => Value::from(text),
            // What nobody has translated is said all the same, and read out as what it is.
            None => {
                Value::from_safe_string(format!("<span lang=\"en\">{}</span>", HtmlEscape(text)))
            }
        }
    });
}

fn word(language: Language, name: &'static str) -> &'static str {
    look_up(language.common(), name).unwrap_or(name)
}

/// The two largest units, as a person would say it: `1 hour 5 minutes`.
pub(super) fn span(seconds: u64, language: Language) -> String {
    spelled(seconds, language, "days")
}

/// The same behind a preposition, where German bends the noun: `vor 2 Tagen`.
pub(super) fn dative(seconds: u64, language: Language) -> String {
    spelled(seconds, language, "days_dative")
}

fn spelled(seconds: u64, language: Language, days: &'static str) -> String {
    let units: [(u64, &str, &str); 4] = [
        (86_400, "day", days),
        (3_600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, one, many) in units {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            let name = if count == 1 { one } else { many };
            parts.push(format!("{count} {}", word(language, name)));
        } else if !parts.is_empty() {
            // Units that do not follow each other read badly: `1 day 3 seconds`.
            break;
        }
        // Nobody counts seconds beside ten minutes.
        if parts.len() == 2 || (length == 60 && count >= 10) {
            break;
        }
    }
    if parts.is_empty() {
        return format!("0 {}", word(language, "seconds"));
    }
    parts.join(" ")
}

/// Seconds since the epoch, by the clock of nowhere: a script makes it the reader's own.
fn clock(seconds: i64) -> Value {
    let Ok(at) = jiff::Timestamp::from_second(seconds) else {
        return Value::from(seconds);
    };
    let shown = at.strftime("%H:%M UTC");
    Value::from_safe_string(format!("<time datetime=\"{at}\">{shown}</time>"))
}

/// `64 KiB`, in units that people read.
pub(super) fn size(bytes: u64, language: Language) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (length, name) in UNITS {
        let tenths = bytes.saturating_mul(10) / length;
        if tenths >= 10 {
            let point = word(language, "decimal_point");
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}{point}{tenth} {name}", tenths / 10),
            };
        }
    }
    match bytes {
        1 => format!("1 {}", word(language, "byte")),
        _ => format!("{bytes} {}", word(language, "bytes")),
    }
}

/// Each `{name}` of a text once, by the argument of that name; what is filled in is not looked at again. All of it is
/// escaped, but for what [`tagged`] made.
#[expect(
    clippy::needless_pass_by_value,
    reason = "that is how a filter gets them"
)]
fn with(text: &str, arguments: Kwargs) -> Result<Value, Error> {
    let mut pieces = text.split('{');
    let first = pieces.next().unwrap_or_default();
    let mut filled = HtmlEscape(first).to_string();
    for piece in pieces {
        let (name, rest) = piece.split_once('}').ok_or(ErrorKind::SyntaxError)?;
        let value: Value = arguments.get(name)?;
        let text = value.to_string();
        match value.is_safe() {
            true => filled.push_str(&text),
            false => filled.push_str(&HtmlEscape(&text).to_string()),
        }
        filled.push_str(&HtmlEscape(rest).to_string());
    }
    // A text need not use all that it could.
    for name in arguments.args() {
        let _: Value = arguments.get(name)?;
    }
    Ok(Value::from_safe_string(filled))
}

fn tagged(tag: &str, text: &str) -> Value {
    Value::from_safe_string(format!("<{tag}>{}</{tag}>", HtmlEscape(text)))
}

/// A path on this origin, escaped for an attribute, else the start page: `//host`, `/\host` and other schemes lead away.
fn href(link: &str) -> Value {
    let mut bytes = link.bytes();
    let here = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    if !here || !link.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Value::from_safe_string("/".to_owned());
    }
    // The automatic escaping does slashes too, and makes addresses unreadable.
    let escaped = link
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;");
    Value::from_safe_string(escaped)
}
