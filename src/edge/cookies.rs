//! The `Cookie` fields of a request as one, without what the upstream must not see.

use http::{HeaderMap, HeaderValue, header};

use crate::gate::pairs;

/// What the upstream gets.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) enum Cookies {
    /// One field already, and nothing to leave out.
    AsTheyAre,
    /// Nothing is left, or nothing came.
    None,
    /// Several fields (RFC 9113 8.2.3) or some left out.
    Joined(HeaderValue),
}

/// `keep(name, value)`; a pair without `=` is a value without a name.
pub(in crate::edge) fn forwarded(
    headers: &HeaderMap,
    keep: impl Fn(&[u8], &[u8]) -> bool,
) -> Cookies {
    let mut fields = headers.get_all(header::COOKIE).iter();
    let Some(first) = fields.next() else {
        return Cookies::None;
    };
    if fields.next().is_none() && pairs(first).all(|(name, value, _)| keep(name, value)) {
        return Cookies::AsTheyAre;
    }
    let mut joined: Vec<u8> = Vec::with_capacity(first.len());
    for field in headers.get_all(header::COOKIE) {
        for (name, value, pair) in pairs(field) {
            if keep(name, value) {
                if !joined.is_empty() {
                    joined.extend_from_slice(b"; ");
                }
                joined.extend_from_slice(pair);
            }
        }
    }
    match HeaderValue::from_bytes(&joined) {
        Ok(value) if !joined.is_empty() => Cookies::Joined(value),
        _ => Cookies::None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn joined(fields: &[&str]) -> Cookies {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_str(field).unwrap());
        }
        forwarded(&headers, |name, value| {
            !name.starts_with(b"__Host-stepgate") && !value.starts_with(b"__Host-stepgate")
        })
    }

    fn one(text: &str) -> Cookies {
        Cookies::Joined(HeaderValue::from_str(text).unwrap())
    }

    #[test]
    fn fields_are_joined_and_ours_left_out() {
        assert_eq!(joined(&[]), Cookies::None);
        assert_eq!(joined(&["a=1; b=2"]), Cookies::AsTheyAre);
        assert_eq!(joined(&["a=1", "b=2"]), one("a=1; b=2"));
        assert_eq!(
            joined(&["a=1; __Host-stepgate=x", "b=2=3"]),
            one("a=1; b=2=3")
        );
        assert_eq!(
            joined(&["__Host-stepgate=x;__Host-stepgate-flow-1=y"]),
            Cookies::None
        );
        assert_eq!(joined(&["__Host-stepgate = x; a=1"]), one("a=1"));
        assert_eq!(joined(&["=__Host-stepgate=x; a=1"]), one("a=1"));
    }
}
