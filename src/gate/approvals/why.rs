//! Why a requester needs it, in their own words: people are told before they are asked. A program says so in a header, a
//! person on a page of its own, before anybody is told anything.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, StatusCode};
use percent_encoding::percent_decode;

use super::ask::kept_key;
use super::want::Wanting;
use crate::gate::judge::Way;
use crate::gate::logout::is_same_origin;
use crate::gate::pages::Page;
use crate::gate::park::is_id;
use crate::gate::{Gate, Incoming, OWN_PREFIX, Record, Reply, Site, Verdict};
use crate::model::parked::ParkedRequest;
use crate::model::target::Target;
use crate::policy::approval::summary::plain_line;
use crate::store::Unavailable;

/// By which a program says why: UTF-8, percent-encoded (RFC 3986 section 2.1) wherever a header could not carry it.
pub const REASON: HeaderName = HeaderName::from_static("stepgate-reason");

/// Where a person does, behind the address at which approvals wait; no id is so short.
pub(super) const WHY: &str = "why";

/// In characters.
pub(super) const LONGEST: usize = 500;

/// What cannot be shown to anybody as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// As a program gives it.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<String>, Unreadable> {
    let mut fields = headers.get_all(REASON).iter();
    let (field, second) = (fields.next(), fields.next());
    let Some(field) = field else {
        return Ok(None);
    };
    if second.is_some() {
        return Err(Unreadable);
    }
    let text = percent_decode(field.as_bytes()).decode_utf8();
    said(&text.map_err(|_| Unreadable)?)
}

/// On one line; nothing, where nothing is said.
pub(super) fn said(text: &str) -> Result<Option<String>, Unreadable> {
    if text.trim().chars().count() > LONGEST {
        return Err(Unreadable);
    }
    let line = plain_line(text.trim());
    Ok((!line.is_empty()).then_some(line))
}

impl Gate {
    /// Nobody was asked yet: what was sent is kept aside until its user has said why.
    pub(super) async fn ask_why(
        &self,
        incoming: &Incoming<'_>,
        summary: &str,
        request: ParkedRequest,
        aside: Option<String>,
        record: Record,
    ) -> Reply {
        let now = self.parts.clock.now();
        let Some(kept) = self.keep_aside(request, aside, now).await else {
            return self.unavailable(incoming, None, record, "no-room-to-park");
        };
        let page = Page::SayWhy {
            summary,
            kept: &kept,
            action: &format!("{OWN_PREFIX}{}{WHY}", super::PREFIX),
            most: LONGEST,
        };
        self.page(StatusCode::FORBIDDEN, &page, incoming, record)
            .reason("reason-required")
    }

    /// The form of that page.
    pub(super) async fn said_why(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        if *incoming.method != Method::POST {
            return self.wrong_method(&[Method::POST], incoming);
        }
        if !is_same_origin(incoming.headers, &site.origin.text) {
            return self.foreign(incoming);
        }
        let (mut kept, mut reason) = (None, None);
        for (name, value) in form_urlencoded::parse(incoming.body) {
            match &*name {
                "kept" if is_id(&value) => kept = Some(value.into_owned()),
                "reason" => reason = said(&value).ok().flatten(),
                _ => {}
            }
        }
        let now = self.parts.clock.now();
        let asker = match self.asker(incoming, site, now).await {
            Ok(Some(asker)) => asker,
            Ok(None) => return self.unknown_endpoint(incoming),
            Err(reply) => return *reply,
        };
        let kept = kept.unwrap_or_default();
        let found = match self.kept_for(site, &kept, now).await {
            Ok(found) => found,
            Err(Unavailable) => return self.unknown_state(incoming),
        };
        let lineage = asker.session().map(|held| &held.live.session.lineage);
        let found = found
            .filter(|(request, _)| lineage.is_some() && request.owner.lineage.as_ref() == lineage);
        match found {
            Some((request, target)) => {
                self.ask_for_kept(incoming, site, request, &target, &kept, reason)
                    .await
            }
            None => self.nothing_kept(incoming),
        }
    }

    /// What was kept aside, as if it came now.
    pub(super) async fn ask_for_kept(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        request: ParkedRequest,
        target: &Target,
        kept: &str,
        reason: Option<String>,
    ) -> Reply {
        let there = Incoming {
            method: &request.method,
            target,
            body: &[],
            ..*incoming
        };
        let back = request.target.clone();
        let way = Way {
            leads_back: Some(&back),
            ..Way::default()
        };
        match self.judge_route(&there, site, way).await {
            Verdict::Approve(wanting) => {
                let wanting = Wanting {
                    reason,
                    aside: Some(kept.to_owned()),
                    ..*wanting
                };
                let key = kept_key(&site.origin.text, kept);
                let again = request.clone();
                self.ask_with_kept(&there, site, wanting, again, key).await
            }
            Verdict::Reply(reply) => reply,
            // It needs no yes any more: sent by whoever sends it again.
            Verdict::Forward(_) | Verdict::Park(_) => {
                Reply::redirect(&site.url("/"), Record::of("own"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REASON, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        of(&headers)
    }

    #[test]
    fn a_reason_is_one_line_of_text() {
        type Row<'r> = (&'r [&'r str], Result<Option<&'r str>, Unreadable>);
        let rows: [Row<'_>; 11] = [
            (&[], Ok(None)),
            (&[""], Ok(None)),
            (&["%20"], Ok(None)),
            (&["ordered by phone"], Ok(Some("ordered by phone"))),
            (
                &["am%20Telefon%20bestellt%2C%20%C3%BCber%20100%25"],
                Ok(Some("am Telefon bestellt, über 100%")),
            ),
            (&["über"], Ok(Some("über"))),
            (&["a%0D%0Ab%09c"], Ok(Some("a  b c"))),
            (&["a%E2%80%AEb"], Ok(Some("a\\u{202e}b"))),
            (&["<b>"], Ok(Some("<b>"))),
            (&["%ff"], Err(Unreadable)),
            (&["a", "a"], Err(Unreadable)),
        ];
        for (values, expected) in rows {
            let expected = expected.map(|text| text.map(str::to_owned));
            assert_eq!(read(values), expected, "{values:?}");
        }
        let long = |length| read(&[&"%C3%BC".repeat(length)]);
        assert_eq!(long(LONGEST).unwrap().unwrap().chars().count(), LONGEST);
        assert_eq!(long(LONGEST + 1), Err(Unreadable));
    }
}
