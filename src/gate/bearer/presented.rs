//! Which token a request brings, read from `Authorization` alone.

use http::{HeaderMap, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented<'h> {
    Token {
        scheme: Scheme,
        token: &'h str,
    },
    /// Several, or something that means to be one.
    Unreadable(Scheme),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

impl Scheme {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

impl Presented<'_> {
    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::Token { scheme, .. } | Self::Unreadable(scheme) => scheme,
        }
    }
}

/// `None`: nothing that concerns us, such as `Basic`. What an app could take for a token, we do not take for none.
pub(super) fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let first = fields.next()?;
    if fields.next().is_some() {
        return Some(Presented::Unreadable(Scheme::Bearer));
    }
    let (scheme, rest) = scheme(first.as_bytes())?;
    let token = rest
        .strip_prefix(b" ")
        .map(|rest| rest.trim_ascii())
        .filter(|token| is_token68(token))
        .and_then(|token| std::str::from_utf8(token).ok());
    Some(match token {
        Some(token) => Presented::Token { scheme, token },
        None => Presented::Unreadable(scheme),
    })
}

/// The token itself, where it stands alone and needs no proof.
pub(in crate::gate) fn bearer_alone(headers: &HeaderMap) -> Option<&str> {
    match presented(headers) {
        Some(Presented::Token {
            scheme: Scheme::Bearer,
            token,
        }) => Some(token),
        _ => None,
    }
}

/// By its first word, in any case (RFC 9110 section 11.1), whatever comes behind it.
fn scheme(field: &[u8]) -> Option<(Scheme, &[u8])> {
    let field = field.trim_ascii();
    [(&b"bearer"[..], Scheme::Bearer), (b"dpop", Scheme::Dpop)]
        .into_iter()
        .find_map(|(name, scheme)| {
            let (start, rest) = field.split_at_checked(name.len())?;
            let ends = rest.first().is_none_or(|byte| !is_token(*byte));
            (start.eq_ignore_ascii_case(name) && ends).then_some((scheme, rest))
        })
}

/// RFC 6750 section 2.1.
fn is_token68(text: &[u8]) -> bool {
    let stem = text.trim_ascii_end();
    let padding = stem.iter().rev().take_while(|byte| **byte == b'=').count();
    let length = stem.len() - padding;
    length > 0
        && stem.iter().take(length).all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::model::seeded;

    fn fields(values: &[&'static str]) -> HeaderMap {
        let pair = |value: &&'static str| (header::AUTHORIZATION, HeaderValue::from_static(value));
        values.iter().map(pair).collect()
    }

    #[test]
    fn one_token_in_one_field() {
        for (value, scheme) in [
            ("Bearer a.b-c_d~e+f/g==", Scheme::Bearer),
            ("bearer a.b-c_d~e+f/g==", Scheme::Bearer),
            ("BEARER   a.b-c_d~e+f/g==", Scheme::Bearer),
            ("DPoP a.b-c_d~e+f/g==", Scheme::Dpop),
            ("dpop a.b-c_d~e+f/g== ", Scheme::Dpop),
        ] {
            let token = "a.b-c_d~e+f/g==";
            assert_eq!(
                presented(&fields(&[value])),
                Some(Presented::Token { scheme, token }),
                "{value}"
            );
        }
    }

    #[test]
    fn what_an_app_could_take_for_a_token_is_not_nothing() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer\ta.b.c",
            "Bearer,a.b.c",
            "Bearer a.b.c, Bearer d.e.f",
            "Bearer a.b.c d.e.f",
            "Bearer a\"b",
            "Bearer ===",
            "Bearer a=b",
            "Bearer:a.b.c",
            "bearer=a.b.c",
            "Bearer token=\"a.b.c\"",
        ] {
            let headers = fields(&[value]);
            let unreadable = Some(Presented::Unreadable(Scheme::Bearer));
            assert_eq!(presented(&headers), unreadable, "{value}");
        }
        assert_eq!(
            presented(&fields(&["DPoP"])),
            Some(Presented::Unreadable(Scheme::Dpop))
        );
    }

    /// Whatever stands there: a token is one word behind its scheme, and what begins like one is never passed over.
    #[test]
    fn a_field_is_a_token_or_unreadable_or_of_another_scheme() {
        proptest!(seeded::cases(2048), |(text in "(Bearer|bEARER|DPoP|Basic|Bearerx|)[ \t,=:]{0,3}[ -~]{0,12}")| {
            let headers = [(header::AUTHORIZATION, HeaderValue::from_str(&text).unwrap())];
            let lower = text.trim().to_ascii_lowercase();
            let first: String = lower.chars().take_while(|letter| is_token(*letter as u8)).collect();
            let ours = first == "bearer" || first == "dpop";
            match presented(&headers.into_iter().collect()) {
                None => prop_assert!(!ours, "{:?}", text),
                Some(Presented::Unreadable(_)) => prop_assert!(ours, "{:?}", text),
                Some(Presented::Token { token, .. }) => {
                    prop_assert!(ours && text.trim_end().ends_with(token));
                    prop_assert!(!token.is_empty() && !token.contains([' ', ',', '"', '\t']));
                    let (_, rest) = lower.split_once(' ').unwrap();
                    prop_assert_eq!(rest.trim(), token.to_ascii_lowercase());
                }
            }
        });
    }

    #[test]
    fn two_fields_are_nobodys() {
        for values in [
            ["Bearer a.b.c", "Bearer a.b.c"],
            ["Basic eDp5", "Bearer a.b.c"],
            ["Basic eDp5", "Basic eDp5"],
            ["", "Bearer a.b.c"],
        ] {
            let headers = fields(&values);
            let unreadable = Some(Presented::Unreadable(Scheme::Bearer));
            assert_eq!(presented(&headers), unreadable, "{values:?}");
        }
    }

    #[test]
    fn other_schemes_are_not_ours() {
        for values in [
            &[][..],
            &["Basic eDp5"],
            &["BearerX a"],
            &["bear er a"],
            &[""],
        ] {
            assert_eq!(presented(&fields(values)), None, "{values:?}");
        }
    }
}
