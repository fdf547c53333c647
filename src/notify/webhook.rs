//! Signed webhooks, as Standard Webhooks has them: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use http::header::CONTENT_TYPE;
use ring::hmac;
use serde_json::json;

use super::http::Http;
use super::{Failure, Notice};
use crate::config::{SigningKey, Webhook};
use crate::model::time::Timestamp;

/// Of one message that comes in.
const MOST_SIGNATURES: usize = 8;

pub(super) fn request(
    webhook: &Webhook,
    notice: &Notice,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, Failure> {
    let body = body(notice);
    let id = format!("msg_{}", notice.id);
    let timestamp = now.as_unix().to_string();
    let signature = signature(&webhook.keys, &id, &timestamp, &body);
    Request::post(webhook.url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body)
        .map_err(|_| Failure::Unusable("not a URL that can be asked"))
}

pub(super) async fn send(
    http: &Http,
    webhook: &Webhook,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Failure> {
    // Unsigned, anybody could have sent it.
    if webhook.keys.is_empty() {
        return Err(Failure::Unusable("there is no key to sign with"));
    }
    http.send(request(webhook, notice, now)?, now).await
}

/// One for each key: a receiver takes whichever it knows.
pub(super) fn signature(keys: &[SigningKey], id: &str, timestamp: &str, body: &[u8]) -> String {
    let sign = |key: &SigningKey| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    };
    let all: Vec<_> = keys.iter().map(sign).collect();
    all.join(" ")
}

/// Whether one of `keys` signed exactly this. `signatures`: several may stand there, with spaces between.
pub fn is_signed(
    keys: &[SigningKey],
    id: &str,
    timestamp: &str,
    body: &[u8],
    signatures: &str,
) -> bool {
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    signatures
        .split(' ')
        .filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok())
        // Nobody goes over from more keys at once.
        .take(MOST_SIGNATURES)
        .any(|tag| {
            keys.iter().any(|key| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
                // In constant time.
                hmac::verify(&key, &signed, &tag).is_ok()
            })
        })
}

fn body(notice: &Notice) -> Vec<u8> {
    let mut data = json!({
        "approval": notice.approval,
        "name": notice.name,
        "link": notice.link,
        "expires_at": rfc3339(notice.until),
    });
    if let (Some(detail), Some(data)) = (&notice.detail, data.as_object_mut()) {
        data.insert("summary".to_owned(), detail.summary().into());
        data.insert("requester".to_owned(), detail.requester().into());
    }
    let whole = json!({
        "type": notice.event.name(),
        "timestamp": rfc3339(notice.at),
        "data": data,
    });
    whole.to_string().into_bytes()
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix())
        .map_or_else(|_| at.to_string(), |time| time.to_string())
}
