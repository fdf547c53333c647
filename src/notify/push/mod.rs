//! Web Push (RFC 8030): to browsers that have the approver app, by way of their makers' push services. A service sees for
//! whom a message is and when, never what it says; and what it says is an id.

mod encrypt;
mod subscription;
mod vapid;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::json;

use super::http::Http;
use super::{Failure, Notice, Recipients};
use crate::config::WebPush;
use crate::model::random::Random;
use crate::model::time::Timestamp;

pub use subscription::{Subscription, SubscriptionError};
pub use vapid::{fresh_key, public_key};

/// Of one notice.
const AT_ONCE: usize = 8;

/// RFC 8030 section 5.2 sets no bound; services keep nothing longer than four weeks.
const LONGEST: u64 = 28 * 24 * 60 * 60;

/// Whoever was reached, or never will be, is taken out of `to`; subscriptions that are no more are in `to.gone`.
pub(super) async fn send(
    http: &Http,
    push: &WebPush,
    random: &dyn Random,
    notice: &Notice,
    to: &mut Recipients,
    now: Timestamp,
) -> Result<(), Failure> {
    if to.push.is_empty() {
        return Err(Failure::Nobody);
    }
    let each = std::mem::take(&mut to.push)
        .into_iter()
        .map(|one| async move {
            let sent = send_one(http, push, random, notice, &one, now).await;
            (one, sent)
        });
    let all: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
    let mut reached = false;
    let mut refused = None;
    let mut later: Option<Failure> = None;
    for (one, sent) in all {
        match sent {
            Ok(()) => reached = true,
            // RFC 8030 section 7.3.
            Err(Failure::Status {
                status: 404 | 410, ..
            }) => to.gone.push(one),
            Err(failure) if failure.is_final() => {
                tracing::warn!(error = %failure, "a push service refuses a notice");
                refused = Some(failure);
            }
            Err(failure) => {
                to.push.push(one);
                let longer = later
                    .as_ref()
                    .is_none_or(|known| known.after() < failure.after());
                if longer {
                    later = Some(failure);
                }
            }
        }
    }
    match (later, refused) {
        (Some(failure), _) => Err(failure),
        (None, _) if reached => Ok(()),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::Nobody),
    }
}

async fn send_one(
    http: &Http,
    push: &WebPush,
    random: &dyn Random,
    notice: &Notice,
    to: &Subscription,
    now: Timestamp,
) -> Result<(), Failure> {
    // What the configuration allowed when it was made says nothing of now.
    if !to.is_allowed(push) {
        return Err(Failure::Unusable(
            "its push service is not among `services`",
        ));
    }
    http.send(request(push, random, notice, to, now)?, now)
        .await
}

fn request(
    push: &WebPush,
    random: &dyn Random,
    notice: &Notice,
    to: &Subscription,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, Failure> {
    const BROKEN: Failure = Failure::Unusable("nothing can be encrypted for that subscription");
    // The link is the worker's to make: it is of its own origin.
    let message = json!({ "id": notice.approval, "event": notice.event.word() }).to_string();
    let body = encrypt::encrypt(message.as_bytes(), to, random).ok_or(BROKEN)?;
    let authorization = vapid::authorization(push, to.endpoint(), now).ok_or(BROKEN)?;
    let left = notice.until.since(now).as_secs().min(LONGEST);
    Request::post(to.endpoint().as_str())
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_ENCODING, "aes128gcm")
        .header("ttl", left)
        .header("urgency", "high")
        // What is said of the same approval later replaces it. At most 32 characters of base64url; an id has 22.
        .header("topic", topic(&notice.approval))
        .body(body)
        .map_err(|_| BROKEN)
}

fn topic(approval: &str) -> String {
    approval
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(32)
        .collect()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
