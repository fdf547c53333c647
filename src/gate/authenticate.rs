//! `WWW-Authenticate` (RFC 9110 11.6.1): what would help. One function writes every challenge, whatever its scheme is.

use http::{HeaderValue, header};

use super::Reply;
use crate::model::level::Level;
use crate::policy::decision::Need;

/// What helps a browser is a session's cookie: no registered scheme, and none for which a browser asks for a password.
const COOKIE: &str = "Cookie";

/// The `error` of RFC 9470 section 3.
const INSUFFICIENT: &str = "insufficient_user_authentication";

pub(in crate::gate) const RFC_9470: &str = "https://www.rfc-editor.org/rfc/rfc9470#section-3";

impl Reply {
    /// Adds one challenge; every value is a quoted string.
    pub(in crate::gate) fn challenge<'p>(
        &mut self,
        scheme: &str,
        params: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) {
        // ASCII without controls.
        if let Ok(value) = HeaderValue::try_from(challenge(scheme, params)) {
            self.headers.append(header::WWW_AUTHENTICATE, value);
        }
    }

    /// Nobody is signed in.
    pub(in crate::gate) fn ask_for_a_cookie(&mut self) {
        self.challenge(COOKIE, []);
    }

    /// A session is there, and not enough: which level, and how recently, as RFC 9470 tells it of tokens.
    pub(in crate::gate) fn ask_for_more(&mut self, level: &Level, need: Need) {
        let (acr, age) = (acr_values(level), max_age(need));
        let mut params = vec![
            ("error", INSUFFICIENT),
            (
                "error_description",
                "This needs a stronger or more recent sign-in",
            ),
        ];
        params.extend(acr.as_deref().map(|acr| ("acr_values", acr)));
        params.extend(age.as_deref().map(|age| ("max_age", age)));
        self.challenge(COOKIE, params);
    }
}

/// Every value is a quoted string.
pub(in crate::gate) fn challenge<'p>(
    scheme: &str,
    params: impl IntoIterator<Item = (&'p str, &'p str)>,
) -> String {
    let mut text = format!("{scheme} realm=\"stepgate\"");
    for (name, value) in params {
        text.push_str(", ");
        text.push_str(name);
        text.push_str("=\"");
        text.extend(value.chars().filter(char::is_ascii).flat_map(escaped));
        text.push('"');
    }
    text
}

/// RFC 9110 5.6.4.
fn escaped(char: char) -> impl Iterator<Item = char> {
    let escape = matches!(char, '"' | '\\').then_some('\\');
    escape
        .into_iter()
        .chain((!char.is_control()).then_some(char))
}

/// What is asked for the level; without that, what shows it.
pub(in crate::gate) fn acr_values(level: &Level) -> Option<String> {
    level.ask.acr_values.clone().or_else(|| {
        let shown = level.proofs.iter().find(|proof| !proof.acr.is_empty())?;
        Some(shown.acr.join(" "))
    })
}

fn max_age(need: Need) -> Option<String> {
    need.max_age.map(|age| age.as_secs().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::StatusCode;

    use super::*;
    use crate::gate::Record;

    #[test]
    fn a_value_stays_inside_of_its_quotes() {
        let mut reply = Reply::new(StatusCode::UNAUTHORIZED, "", Record::of("own"));
        reply.challenge("Cookie", [("acr_values", "a\"b\\c\r\né"), ("max_age", "5")]);
        let value = reply.headers.get(header::WWW_AUTHENTICATE).unwrap();
        assert_eq!(
            value.to_str().unwrap(),
            r#"Cookie realm="stepgate", acr_values="a\"b\\c", max_age="5""#
        );
    }
}
