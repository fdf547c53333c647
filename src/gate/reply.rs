//! Answers of ours: pages, JSON problems (RFC 9457), redirects; never stored by anybody.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::negotiate::{Kind, VARY};
use super::pages::Page;
use super::words::Language;
use super::{Gate, Incoming, Record, Reply};

/// RFC 9457. `code` is what to go by; `type` is `about:blank` where no document says what the problem is.
#[derive(Debug, Default, Serialize)]
pub(in crate::gate) struct Problem<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) kind: Option<&'a str>,
    pub(in crate::gate) status: u16,
    pub(in crate::gate) title: &'a str,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) detail: Option<&'a str>,
    pub(in crate::gate) code: &'a str,
    pub(in crate::gate) request_id: &'a str,
    /// The name of the one that did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) need: Option<Wanted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) have: Option<&'a str>,
    /// Where a browser gets what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) step_up: Option<&'a str>,
    /// The same in a window of its own, by a path on this origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) popup: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(in crate::gate) struct Wanted<'a> {
    pub(in crate::gate) level: &'a str,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gate) max_age: Option<u64>,
}

impl Reply {
    pub(in crate::gate) fn new(status: StatusCode, body: impl Into<Bytes>, record: Record) -> Self {
        let mut headers = HeaderMap::with_capacity(10);
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // Tells no other site; `no-referrer` would make the `Origin` of our own forms `null`.
            (header::REFERRER_POLICY, "same-origin"),
            (header::VARY, VARY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self {
            status,
            headers,
            body: body.into(),
            record,
        }
    }

    /// 303: whatever the method was, the next request is a GET.
    pub(in crate::gate) fn redirect(location: &str, record: Record) -> Self {
        let mut reply = Self::new(StatusCode::SEE_OTHER, Bytes::new(), record);
        // Made of URLs and canonical targets, which are ASCII without controls.
        if let Ok(location) = HeaderValue::from_str(location) {
            reply.headers.insert(header::LOCATION, location);
        }
        reply
    }

    pub(in crate::gate) fn json(status: StatusCode, body: &impl Serialize, record: Record) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        let mut reply = Self::new(status, body, record);
        let kind = if status.is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        reply
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        reply
    }

    pub(in crate::gate) fn set_cookie(&mut self, cookie: Option<HeaderValue>) {
        if let Some(cookie) = cookie {
            self.headers.append(header::SET_COOKIE, cookie);
        }
    }

    /// The browser asks for the same page again, every three seconds, without script.
    pub(in crate::gate) fn ask_again(&mut self) {
        self.headers
            .insert(header::REFRESH, HeaderValue::from_static("3"));
    }

    /// The browser goes there at once, without script, and by a navigation of its own.
    pub(in crate::gate) fn go_on_to(&mut self, href: &str) {
        if let Ok(value) = HeaderValue::try_from(format!("0; url={href}")) {
            self.headers.insert(header::REFRESH, value);
        }
    }

    pub(in crate::gate) fn retry_after(&mut self, seconds: u64) {
        self.headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }

    /// Of our own endpoints, unless they said more.
    pub(in crate::gate) fn reason(mut self, reason: &'static str) -> Self {
        self.record.reason = Some(reason);
        self
    }
}

impl Gate {
    /// For health checks: on any host, and it tells nothing.
    pub fn pong() -> Reply {
        let mut reply = Reply::new(StatusCode::OK, "ok\n", Record::of("own"));
        reply.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        reply
    }

    /// To the same address by HTTPS; 308: with the same method and body.
    pub fn to_https(location: &str) -> Reply {
        let mut reply = Reply::redirect(location, Record::of("own")).reason("to-https");
        reply.status = StatusCode::PERMANENT_REDIRECT;
        reply
    }

    pub(in crate::gate) fn page(
        &self,
        status: StatusCode,
        page: &Page<'_>,
        incoming: &Incoming<'_>,
        record: Record,
    ) -> Reply {
        let language = self.language(incoming);
        self.page_in(language, status, page, incoming.request_id, record)
    }

    /// For where the request is not at hand any more.
    pub(in crate::gate) fn page_in(
        &self,
        language: Language,
        status: StatusCode,
        page: &Page<'_>,
        request_id: &str,
        record: Record,
    ) -> Reply {
        let rendered = self.pages.render(page, language, request_id);
        let mut reply = Reply::new(status, rendered.html, record);
        reply.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        reply
            .headers
            .insert(header::CONTENT_SECURITY_POLICY, rendered.csp);
        reply
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "two answers in one call, of which one is given"
    )]
    pub(in crate::gate) fn page_or_problem(
        &self,
        reader: impl Into<Kind>,
        status: StatusCode,
        page: &Page<'_>,
        code: &str,
        title: &str,
        incoming: &Incoming<'_>,
        record: Record,
    ) -> Reply {
        match reader.into() {
            Kind::Page | Kind::Frame => self.page(status, page, incoming, record),
            Kind::Grpc => Reply::grpc(status, title, record),
            Kind::Htmx | Kind::Program => {
                let problem = Problem {
                    status: status.as_u16(),
                    title,
                    code,
                    request_id: incoming.request_id,
                    ..Problem::default()
                };
                Reply::json(status, &problem, record)
            }
        }
    }
}
