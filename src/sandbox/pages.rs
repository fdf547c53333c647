//! The provider's few pages: plain forms that work without script.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};

/// Text for people is escaped here; `fields` are names and labels of inputs.
#[derive(Debug)]
pub(in crate::sandbox) struct Form<'a> {
    pub(in crate::sandbox) title: &'a str,
    pub(in crate::sandbox) text: String,
    pub(in crate::sandbox) action: String,
    /// Name, label, type, value.
    pub(in crate::sandbox) fields: &'a [(&'a str, &'a str, &'a str, &'a str)],
    pub(in crate::sandbox) button: &'a str,
    pub(in crate::sandbox) error: Option<&'a str>,
    pub(in crate::sandbox) cancel: bool,
}

impl Form<'_> {
    pub(in crate::sandbox) fn page(&self) -> Response {
        let fields: String = self
            .fields
            .iter()
            .map(|(name, label, kind, value)| {
                format!(
                    "<p><label for=\"{name}\">{label}</label><br><input id=\"{name}\" name=\"{name}\" type=\"{kind}\" \
                     value=\"{}\" autocomplete=\"off\"></p>",
                    escape(value)
                )
            })
            .collect();
        let error = self.error.map_or(String::new(), |error| {
            format!("<p role=\"alert\">{}</p>", escape(error))
        });
        let cancel = if self.cancel {
            " <button name=\"cancel\" value=\"yes\">Cancel</button>"
        } else {
            ""
        };
        page(
            self.title,
            &format!(
                "{error}<p>{}</p><form method=\"post\" action=\"{}\">{fields}<p><button>{}</button>{cancel}</p></form>",
                escape(&self.text),
                escape(&self.action),
                self.button
            ),
        )
    }
}

pub(in crate::sandbox) fn message(title: &str, text: &str) -> Response {
    page(title, &format!("<p>{}</p>", escape(text)))
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}}\
         input{{font:inherit;width:100%;padding:.4rem;box-sizing:border-box}}button{{font:inherit;padding:.4rem 1rem}}\
         [role=alert]{{color:#a00}}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let mut response = Html(html).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(in crate::sandbox) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
