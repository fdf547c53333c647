//! One line a request: what was asked, what was decided and why, what came of it.

use serde::Serialize;

use super::Lines;

/// `path` is canonical and without its query; `subject` is a digest, never the name.
#[derive(Debug, Default, Serialize)]
pub struct AccessLine<'a> {
    /// `access`, to tell the logs apart where they share a stream.
    pub log: &'a str,
    /// Seconds since the epoch.
    pub time: i64,
    /// The `X-Request-Id` that the upstream and the error pages carry.
    pub id: &'a str,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// The route's id; nothing for our own endpoints and for requests refused before the look-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// `allow login step-up deny unavailable`, `own` for our endpoints, `refuse` for what was never a valid request.
    pub decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Level names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub have: Option<&'a str>,
    /// Seconds since that level was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    pub status: u16,
    pub milliseconds: u64,
    /// Of the answer's body.
    pub bytes: u64,
    pub client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// By what the caller was judged: `cookie` or `bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<&'a str>,
    /// The client that the bearer's token was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azp: Option<&'a str>,
    /// Of a question by another proxy, which sends the request on itself: its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// Why the upstream did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

impl AccessLine<'_> {
    pub fn write(&self, lines: &Lines) {
        lines.write(self);
    }
}
