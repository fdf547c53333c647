//! The bodies of parked requests: read when they are parked, and put in the place of the click's when they are sent on.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::admit::each_piece;
use crate::gate::{APPROVAL, Gate, Intake, NotKept, REASON, Refusal, Sending};
use crate::model::parked::is_kept;

/// For the body of what is to be parked.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Of the form by which a request is sent on.
pub(in crate::edge) const CLICK: usize = 1 << 10;

/// Why there is no body.
#[derive(Clone, Copy, Debug)]
pub(in crate::edge) enum Unread {
    NotKept(NotKept),
    Refused(Refusal),
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads as much as may be kept. `goes_on`: as in [`each_piece`].
pub(in crate::edge) async fn read(
    session: &mut Session,
    gate: &Gate,
    intake: &mut Intake,
    goes_on: bool,
) -> std::result::Result<(), Unread> {
    let take = |piece: Bytes| gate.take_in(intake, &piece).map_err(Unread::NotKept);
    each_piece(session, goes_on, BODY_TIME, take).await
}

/// Makes the click the request that was parked. Called before the header is made ready for the upstream, which takes out
/// what no client may say.
pub(in crate::edge) fn restore(request: &mut RequestHeader, sending: &Sending) -> Result<()> {
    let parked = &sending.request;
    request.set_method(parked.method.clone());
    let of_the_click: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_kept(name))
        .cloned()
        .collect();
    for name in &of_the_click {
        request.remove_header(name);
    }
    for name in [header::EXPECT, header::TRANSFER_ENCODING, APPROVAL, REASON] {
        request.remove_header(&name);
    }
    for (name, value) in &parked.headers {
        request.append_header(name.clone(), value.clone())?;
    }
    request.insert_header(header::CONTENT_LENGTH, parked.body.len())?;
    Ok(())
}

/// The click's body, which is there whole, becomes the parked one.
pub(in crate::edge) fn swap(body: &mut Option<Bytes>, sending: &Sending) {
    let parked = &sending.request.body;
    *body = (!parked.is_empty()).then(|| parked.clone());
}
