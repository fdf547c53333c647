//! The templates' own filters: spans of time in words, and links that lead nowhere else.

use minijinja::Value;

/// The two largest units: `1 hour 5 minutes`.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, name) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {name}{plural}"));
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
        return "0 seconds".to_owned();
    }
    parts.join(" ")
}

/// `64 KiB`, in units that people read.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (length, name) in UNITS {
        let tenths = bytes.saturating_mul(10) / length;
        if tenths >= 10 {
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            };
        }
    }
    match bytes {
        1 => "1 byte".to_owned(),
        _ => format!("{bytes} bytes"),
    }
}

/// A path on this origin, escaped for an attribute, else the start page: `//host`, `/\host` and other schemes lead away.
pub(in crate::gate) fn href(link: &str) -> Value {
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
