//! ntfy: one JSON message published to a topic, with a link to click on.

use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;
use url::Url;

use super::http::Http;
use super::{Failure, Notice};
use crate::config::Ntfy;
use crate::model::time::Timestamp;

pub(super) async fn send(
    http: &Http,
    ntfy: &Ntfy,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Failure> {
    http.send(request(ntfy, notice)?, now).await
}

fn request(ntfy: &Ntfy, notice: &Notice) -> Result<Request<Vec<u8>>, Failure> {
    // In JSON, since headers would have to be encoded one by one.
    let message = json!({
        "topic": ntfy.topic,
        "title": notice.title(),
        "message": notice.text(),
        "click": notice.link,
        "priority": ntfy.priority,
    });
    let mut request = Request::post(ntfy.url.as_str()).header(CONTENT_TYPE, "application/json");
    if let Some(token) = &ntfy.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    request
        .body(message.to_string().into_bytes())
        .map_err(|_| Failure::Unusable("not a URL that can be asked"))
}

/// What its server says of itself.
pub(super) fn health(ntfy: &Ntfy) -> Option<Url> {
    let mut url = ntfy.url.clone();
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["v1", "health"]);
    url.set_query(None);
    Some(url)
}
