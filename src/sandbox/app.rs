//! A legacy payroll application. It knows nothing of levels and believes the header that names the user.

use std::fmt::Write as _;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Html;
use axum::routing::{any, get, post};

use super::pages::escape;

pub fn sample_app() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/payroll", get(payroll))
        .route("/payroll/{id}/release", post(release))
        .route("/payments", get(payments))
        .route("/payments/{id}", post(pay))
        .route("/withdrawals", get(withdrawals))
        .route("/withdrawals/{id}", post(withdraw))
        .route("/expenses", get(expenses).post(receipt))
        .route("/admin", get(admin))
        .route("/static/style.css", get(style))
        .merge(super::spa::routes())
        .fallback(any(echo))
}

async fn home(headers: HeaderMap) -> Html<String> {
    page(
        "Payroll 1998",
        &headers,
        "<ul><li><a href=\"/payroll\">Payroll</a> (needs a one-time code)</li>\
         <li><a href=\"/payments\">Payments</a> (each needs somebody else's yes)</li>\
         <li><a href=\"/withdrawals\">Withdrawals</a> (each needs your own yes, from a second device)</li>\
         <li><a href=\"/spa\">Payroll, in one page</a> (asks for the code without leaving the page)</li>\
         <li><a href=\"/expenses\">Expenses</a> (sending the form needs a one-time code)</li>\
         <li><a href=\"/admin\">Administration</a> (for administrators only)</li>\
         <li><a href=\"/anything?really=yes\">What the application sees of a request</a></li>\
         <li><a href=\"/.stepgate/me\">My session</a></li></ul>",
    )
}

async fn payroll(headers: HeaderMap) -> Html<String> {
    page(
        "Payroll",
        &headers,
        "<table><tr><th>No.</th><th>Employee</th><th>Amount</th><th></th></tr>\
         <tr><td>7</td><td>Ada Lovelace</td><td>4,200</td><td><form method=\"post\" action=\"/payroll/7/release\">\
         <input type=\"hidden\" name=\"amount\" value=\"4200\"><button>Release</button></form></td></tr></table>",
    )
}

async fn release(Path(id): Path<String>, headers: HeaderMap, body: String) -> Html<String> {
    page(
        "Released",
        &headers,
        &format!(
            "<p>Payment {} was released: {}.</p>",
            escape(&id),
            escape(&body)
        ),
    )
}

async fn payments(headers: HeaderMap) -> Html<String> {
    page(
        "Payments",
        &headers,
        "<form method=\"post\" action=\"/payments/12\">\
         <p><label>To<br><input name=\"to\" value=\"Ada Lovelace\"></label></p>\
         <p><label>Amount<br><input name=\"amount\" value=\"4200.00\" inputmode=\"decimal\"></label></p>\
         <p><label>Currency<br><select name=\"currency\"><option>EUR<option>CHF<option>GBP</select></label></p>\
         <p><button>Pay</button></p></form>",
    )
}

async fn pay(Path(id): Path<String>, headers: HeaderMap, body: String) -> Html<String> {
    page(
        "Paid",
        &headers,
        &format!(
            "<p>Payment {} was made: {}.</p>",
            escape(&id),
            escape(&body)
        ),
    )
}

async fn withdrawals(headers: HeaderMap) -> Html<String> {
    page(
        "Withdrawals",
        &headers,
        "<form method=\"post\" action=\"/withdrawals/30\">\
         <p><label>Amount<br><input name=\"amount\" value=\"900.00\" inputmode=\"decimal\"></label></p>\
         <p><label>To the account<br><input name=\"account\" value=\"DE02 1203 0000 0000 2020 51\"></label></p>\
         <p><button>Withdraw</button></p></form>",
    )
}

async fn withdraw(Path(id): Path<String>, headers: HeaderMap, body: String) -> Html<String> {
    page(
        "Withdrawn",
        &headers,
        &format!(
            "<p>Withdrawal {} was made: {}.</p>",
            escape(&id),
            escape(&body)
        ),
    )
}

async fn expenses(headers: HeaderMap) -> Html<String> {
    page(
        "Expenses",
        &headers,
        "<form method=\"post\" enctype=\"multipart/form-data\"><p><label>What for<br><textarea name=\"note\" rows=\"4\" cols=\"40\"></textarea></label></p>\
         <p><label>Receipt<br><input type=\"file\" name=\"receipt\"></label></p><p><button>Hand in</button></p></form>",
    )
}

async fn receipt(headers: HeaderMap, body: Bytes) -> Html<String> {
    let kind = headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok());
    let mut text = String::new();
    for (name, content) in parts(kind.unwrap_or_default(), &body) {
        let digest = ring::digest::digest(&ring::digest::SHA256, content);
        let digest: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let _written = writeln!(
            text,
            "<li>{}: {} bytes, SHA-256 <code>{digest}</code></li>",
            escape(&name),
            content.len()
        );
    }
    page(
        "Handed in",
        &headers,
        &format!("<p>The accounts department has:</p><ul>{text}</ul>"),
    )
}

/// The name of each part of a form (RFC 7578), a file's own where it has one, and its content.
fn parts<'b>(kind: &str, body: &'b [u8]) -> Vec<(String, &'b [u8])> {
    let boundary = kind.split("boundary=").nth(1).unwrap_or_default();
    let delimiter = format!("\r\n--{boundary}");
    let mut found = Vec::new();
    // The first delimiter has no line break before it.
    let mut rest = body
        .get(delimiter.len().saturating_sub(2)..)
        .unwrap_or_default();
    while let Some(end) = position(rest, delimiter.as_bytes()) {
        let (part, behind) = rest.split_at(end);
        rest = behind.get(delimiter.len()..).unwrap_or_default();
        let Some(gap) = position(part, b"\r\n\r\n") else {
            continue;
        };
        let (head, content) = part.split_at(gap);
        let head = String::from_utf8_lossy(head).into_owned();
        let named = |mark: &str| {
            let value = head.split(mark).nth(1)?;
            Some(value.split('"').next()?.to_owned())
        };
        let name = named("filename=\"").or_else(|| named("name=\""));
        found.push((
            name.unwrap_or_default(),
            content.get(4..).unwrap_or_default(),
        ));
    }
    found
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

async fn admin(headers: HeaderMap) -> Html<String> {
    page(
        "Administration",
        &headers,
        "<p>Nothing to administrate since 1998.</p>",
    )
}

async fn style() -> ([(&'static str, &'static str); 1], &'static str) {
    (
        [("content-type", "text/css")],
        "body{font:1rem/1.5 Georgia,serif;max-width:40rem;margin:2rem auto;padding:0 1rem}\
         header{border-bottom:3px double #336;color:#336}table{border-collapse:collapse}td,th{border:1px solid #99a;padding:.3rem .5rem}pre{white-space:pre-wrap;overflow-wrap:anywhere}",
    )
}

/// Says what arrived, so that one can see what an application behind stepgate sees.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: String) -> Html<String> {
    let mut text = format!("{method} {uri}\n");
    for (name, value) in &headers {
        // Writing to a string does not fail.
        let _written = writeln!(text, "{name}: {}", value.to_str().unwrap_or("(not text)"));
    }
    page(
        "What the application sees",
        &headers,
        &format!("<pre>{}\n{}</pre>", escape(&text), escape(&body)),
    )
}

fn page(title: &str, headers: &HeaderMap, body: &str) -> Html<String> {
    let user = [
        "x-forwarded-preferred-username",
        "x-forwarded-user",
        "remote-user",
    ]
    .iter()
    .find_map(|name| headers.get(*name)?.to_str().ok())
    .unwrap_or("nobody");
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/static/style.css\"></head>\
         <body><header><p>Payroll 1998 · signed in as <strong>{}</strong></p></header><main><h1>{title}</h1>{body}\
         <p><a href=\"/\">Home</a></p></main></body></html>",
        escape(user)
    ))
}
