//! Our cookies: what they are called, how they are set and cleared, which cookies go on to an app.

use http::{HeaderMap, HeaderValue, header};

use super::{Forward, Gate};
use crate::config::Origin;
use crate::model::session::Secret;

/// How every name of ours begins; browsers take the `__Host-` prefix only from a secure origin, for one host and all paths.
const RESERVED: &[u8] = b"__Host-stepgate";

/// Browsers hold loopback and `*.localhost` for secure, on plain HTTP too.
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// Name, value, and the pair as it stands; a pair without `=` is a value without a name (RFC 6265bis 5.6).
pub fn pairs(field: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    field
        .as_bytes()
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default();
            match halves.next() {
                Some(value) => (name.trim_ascii(), value.trim_ascii(), pair),
                None => (&b""[..], name, pair),
            }
        })
}

/// A `Set-Cookie` field under a name that is ours.
pub fn sets_reserved(set_cookie: &HeaderValue) -> bool {
    set_name_and_value(set_cookie).is_some_and(|(name, value)| is_ours(name, value))
}

/// A cookie without a name is sent as its value alone, and so may pass for one of another name: `=__Host-stepgate=x`.
fn is_ours(name: &[u8], value: &[u8]) -> bool {
    is_reserved(if name.is_empty() { value } else { name })
}

/// Case does not count: browsers compare the prefix so.
pub(in crate::gate) fn is_reserved(name: &[u8]) -> bool {
    name.get(..RESERVED.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// The value of the one cookie of that name; with two nobody knows whose it is.
pub(in crate::gate) fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = all(headers)
        .filter(|(known, _)| *known == name.as_bytes())
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value).ok(),
        _ => None,
    }
}

pub(in crate::gate) fn all(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| pairs(field).map(|(name, value, _)| (name, value)))
}

/// Lives as long as the browser's session; how long it is good for is ours to say.
pub(in crate::gate) fn session(origin: &Origin, id: &Secret) -> Option<HeaderValue> {
    sensitive(format!("{}={}{ATTRIBUTES}", origin.cookie, id.reveal()))
}

pub(in crate::gate) fn short_lived(name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    sensitive(format!("{name}={value}{ATTRIBUTES}; Max-Age={seconds}"))
}

pub(in crate::gate) fn cleared(name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{name}={ATTRIBUTES}; Max-Age=0")).ok()
}

/// An app's own cookie, as far as its path is guessed right; that it is not forwarded is what counts.
pub(in crate::gate) fn app_cookie_cleared(name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{name}=; Path=/; Max-Age=0")).ok()
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn set_name_and_value(set_cookie: &HeaderValue) -> Option<(&[u8], &[u8])> {
    pairs(set_cookie)
        .next()
        .map(|(name, value, _)| (name, value))
}

impl Gate {
    /// Whether a request's cookie goes on to the upstream: ours never, the app's own session cookies only in the
    /// session that they were set in.
    pub fn forwards_cookie(&self, forward: &Forward, name: &[u8], value: &[u8]) -> bool {
        if is_ours(name, value) {
            return false;
        }
        let Some(site) = self.site(forward.place) else {
            return false;
        };
        if !site
            .app
            .app_cookies
            .iter()
            .any(|own| own.as_bytes() == name)
        {
            return true;
        }
        forward.session.as_ref().is_some_and(|live| {
            let known = &live.session.app_cookies;
            !known.is_empty() && known.contains(&fingerprint(name, value))
        })
    }

    /// Whether the upstream's `Set-Cookie` fields matter to the session.
    pub fn tracks_app_cookies(&self, forward: &Forward) -> bool {
        forward.session.is_some()
            && self
                .site(forward.place)
                .is_some_and(|site| !site.app.app_cookies.is_empty())
    }

    /// Notes the app's own session cookies that its answer sets. To be awaited before the answer goes on: the browser's
    /// next request may carry them.
    pub async fn note_app_cookies(&self, forward: &Forward, set_cookie: &[&HeaderValue]) {
        let (Some(site), Some(key)) = (self.site(forward.place), forward.key) else {
            return;
        };
        let own = |name: &[u8]| {
            site.app
                .app_cookies
                .iter()
                .any(|own| own.as_bytes() == name)
        };
        let set: Vec<_> = set_cookie
            .iter()
            .filter_map(|field| set_name_and_value(field))
            .filter(|(name, value)| own(name) && !value.is_empty())
            .map(|(name, value)| fingerprint(name, value))
            .collect();
        if set.is_empty() {
            return;
        }
        let noted = self
            .update(&key, |session| {
                for cookie in &set {
                    if !session.app_cookies.contains(cookie) {
                        session.app_cookies.push(*cookie);
                    }
                }
                let excess = session.app_cookies.len().saturating_sub(REMEMBERED);
                session.app_cookies.drain(..excess);
            })
            .await;
        if noted.is_err() {
            tracing::warn!(
                "the store is unavailable: the app's session cookie will not be forwarded"
            );
        }
    }
}

/// How many values of an app's cookies a session remembers; older ones are not forwarded any more.
const REMEMBERED: usize = 16;

fn fingerprint(name: &[u8], value: &[u8]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(name);
    context.update(b"=");
    context.update(value);
    let mut print = [0; 32];
    for (to, from) in print.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> HeaderMap {
        fields
            .iter()
            .map(|field| (header::COOKIE, HeaderValue::from_static(field)))
            .collect()
    }

    #[test]
    fn a_cookie_that_comes_twice_is_nobodys() {
        assert_eq!(value(&headers(&["a=1; b=2"]), "b"), Some("2"));
        assert_eq!(value(&headers(&["a=1", "b=2"]), "b"), Some("2"));
        assert_eq!(value(&headers(&["b=1", "b=2"]), "b"), None);
        assert_eq!(value(&headers(&["b=1; b=1"]), "b"), None);
        assert_eq!(value(&headers(&["B=1"]), "b"), None);
        assert_eq!(value(&headers(&["b"]), "b"), None);
    }

    #[test]
    fn names_of_ours_are_reserved_in_any_case() {
        for name in [
            "__Host-stepgate",
            "__host-STEPGATE-8443",
            "__Host-stepgate-flow-x",
        ] {
            assert!(is_reserved(name.as_bytes()), "{name}");
            let set = HeaderValue::try_from(format!(" {name} = x; Path=/")).unwrap();
            assert!(sets_reserved(&set), "{name}");
        }
        for mimic in [
            "=__Host-stepgate=x; Path=/",
            "__Host-stepgate",
            " = __host-stepgate-8443=x",
        ] {
            assert!(sets_reserved(&HeaderValue::from_static(mimic)), "{mimic}");
        }
        assert!(!is_reserved(b"__Host-step"));
        assert!(!sets_reserved(&HeaderValue::from_static(
            "JSESSIONID=1; Comment=__Host-stepgate"
        )));
    }
}
