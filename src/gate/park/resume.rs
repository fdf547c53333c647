//! The way on of what is parked: a page that shows it, and the click that sends it, once.
//!
//! The click is a POST to the address that the request itself was for, marked by a last parameter of the query, so that
//! the address bar, relative links and `Location` are those of the app's own answer. What goes upstream carries no mark.

use std::sync::Arc;

use http::{Method, StatusCode, header};

use super::browser::Browser;
use super::{PURPOSE, room};
use crate::gate::approvals;
use crate::gate::audit::Circumstances;
use crate::gate::endpoints::param;
use crate::gate::judge::Way;
use crate::gate::logout::is_same_origin;
use crate::gate::negotiate::{Kind, kind};
use crate::gate::pages::Page;
use crate::gate::sessions::{Held, display_name};
use crate::gate::start::login_href;
use crate::gate::{Forward, Gate, Incoming, Record, Refusal, Reply, Site, Verdict};
use crate::model::parked::ParkedRequest;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::facts::Known;
use crate::seal::{OpenError, session_key};
use crate::store::{Mark, ParkedAs, ParkedKey, Unavailable};
use crate::telemetry::AuditKind;
use crate::telemetry::metrics::ParkedResult;

pub(in crate::gate) const HERE: &str = "/.stepgate/resume";

/// The parameter that marks a click. Underscores: no app's form has such a field.
const MARK: &str = "__stepgate_resume";

/// The field by which a click says what it wants.
const WISH: &str = "do";

/// A parked request on its way to its upstream.
#[derive(Debug)]
pub struct Sending {
    pub request: ParkedRequest,
    pub target: Target,
    /// Where it was kept, and where that is shown; nothing of what was just read.
    pub(in crate::gate) kept: Option<(ParkedKey, String)>,
    pub(in crate::gate) _in_hand: room::Held,
}

/// What keeps a request from being sent on by who asks for it.
enum Refused {
    SomebodyElse,
    Gone,
}

impl Gate {
    /// Shows what is kept, when the session is good enough for it; else goes for what is missing.
    pub(in crate::gate) async fn resume(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
    ) -> Reply {
        let id = param(incoming, "id").unwrap_or_default();
        let now = self.parts.clock.now();
        let Some((request, target)) = (match self.kept(site, &id, now).await {
            Ok(found) => found,
            Err(Unavailable) => return self.cannot_tell(incoming, &id),
        }) else {
            return self.not_there(incoming, &id, now).await;
        };
        let there = Incoming {
            method: &request.method,
            target: &target,
            ..*incoming
        };
        let held = match self.caller(incoming, site, now).await {
            Known::Found(held) => Some(held),
            Known::Absent => None,
            Known::Unavailable => return self.cannot_tell(incoming, &id),
        };
        if let Some(held) = &held {
            match self.may_send(incoming, site, held, &request, now).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return self.refused_to(incoming, &id, held, why, now).await,
                Err(Unavailable) => return self.cannot_tell(incoming, &id),
            }
        }
        let back = href(&id);
        let way = Way {
            leads_back: Some(&back),
            ..Way::default()
        };
        match self.judge_route(&there, site, way).await {
            Verdict::Reply(reply) => reply,
            // What leads back is not parked again.
            Verdict::Park(_) => self.cannot_tell(incoming, &id),
            // The click asks for the yes.
            Verdict::Forward(_) | Verdict::Approve(_) => match held {
                Some(held) => self.ask_to_send(incoming, site, &id, &request, &held),
                // Open to everybody by now; whose it is has to be known all the same.
                None => Reply::redirect(&site.url(&login_href(&back)), Record::of("own")),
            },
        }
    }

    fn ask_to_send(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        id: &str,
        request: &ParkedRequest,
        held: &Held,
    ) -> Reply {
        let kind = request.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let path = request.target.split('?').next().unwrap_or_default();
        let page = Page::SendKept {
            user: display_name(&held.live.session.identity),
            method: request.method.as_str(),
            host: &site.origin.authority,
            path,
            kind: kind.split(';').next().unwrap_or_default().trim(),
            bytes: request.body.len(),
            action: &marked_target(&request.target, id),
            left: request.expires.since(self.parts.clock.now()),
        };
        let record = Record::of("own");
        self.page(StatusCode::OK, &page, incoming, record)
            .reason("kept")
    }

    /// A request that bears the mark.
    pub(in crate::gate) async fn click(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        id: &str,
    ) -> Verdict {
        let record = Record::of("own");
        let back = href(id);
        if *incoming.method != Method::POST {
            // By the address bar or a bookmark: what is there under the address itself, once there is nothing to send.
            let now = self.parts.clock.now();
            return Verdict::Reply(match self.kept(site, id, now).await {
                Ok(None) => Reply::redirect(&site.url(&unmarked(incoming.target)), record),
                Ok(Some(_)) => Reply::redirect(&site.url(&back), record),
                Err(Unavailable) => self.cannot_tell(incoming, id),
            });
        }
        if !is_same_origin(incoming.headers, &site.origin.text)
            || kind(incoming.headers) != Kind::Page
        {
            let text = "Only a page of this host may send on what was kept.";
            let page = Page::Refused {
                status: 403,
                code: "cross-site",
                text,
                back: Some(&back),
            };
            return Verdict::Reply(self.page_or_problem(
                incoming.headers,
                StatusCode::FORBIDDEN,
                &page,
                "cross-site",
                text,
                incoming,
                record,
            ));
        }
        let wish = form_urlencoded::parse(incoming.body).find(|(name, _)| name == WISH);
        match wish.as_ref().map(|(_, wish)| &**wish) {
            Some("send") => self.send(incoming, site, id).await,
            Some("drop") => Verdict::Reply(self.drop_kept(incoming, site, id).await),
            _ => Verdict::Reply(Reply::redirect(&site.url(&back), record)),
        }
    }

    async fn send(self: &Arc<Self>, incoming: &Incoming<'_>, site: Site<'_>, id: &str) -> Verdict {
        let now = self.parts.clock.now();
        let back = href(id);
        let again = || Verdict::Reply(Reply::redirect(&site.url(&back), Record::of("own")));
        let (request, target) = match self.kept(site, id, now).await {
            Ok(Some(found)) => found,
            Ok(None) => return Verdict::Reply(self.not_there(incoming, id, now).await),
            Err(Unavailable) => return Verdict::Reply(self.cannot_tell(incoming, id)),
        };
        let held = match self.caller(incoming, site, now).await {
            Known::Found(held) => held,
            Known::Absent => return again(),
            Known::Unavailable => return Verdict::Reply(self.cannot_tell(incoming, id)),
        };
        match self.may_send(incoming, site, &held, &request, now).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                let reply = self.refused_to(incoming, id, &held, why, now).await;
                return Verdict::Reply(reply);
            }
            Err(Unavailable) => return Verdict::Reply(self.cannot_tell(incoming, id)),
        }
        let there = Incoming {
            method: &request.method,
            target: &target,
            body: &[],
            ..*incoming
        };
        let way = Way {
            leads_back: Some(&back),
            ..Way::default()
        };
        let forward = match self.judge_route(&there, site, way).await {
            Verdict::Forward(forward) if is_of(&forward, &held) => forward,
            // Signed out in the middle of it.
            Verdict::Forward(_) => return again(),
            Verdict::Approve(wanting) => {
                let key = key(&site.origin.text, id);
                let reply = self.ask_with_kept(&there, site, *wanting, request.clone(), key);
                return Verdict::Reply(reply.await);
            }
            // A page that would be asked for again: by its own address.
            Verdict::Reply(reply) if reply.headers.contains_key(header::REFRESH) => return again(),
            other => return other,
        };
        self.take_out(incoming, id, now, forward, &held).await
    }

    /// From here on it is nobody's but this request's.
    async fn take_out(
        &self,
        incoming: &Incoming<'_>,
        id: &str,
        now: Timestamp,
        mut forward: Forward,
        held: &Held,
    ) -> Verdict {
        let Some(site) = self.site(incoming.place) else {
            return Verdict::Reply(self.cannot_tell(incoming, id));
        };
        let key = key(&site.origin.text, id);
        let taken = match self.parts.store.unpark(&key, now).await {
            Ok(taken) => taken,
            Err(Unavailable) => return Verdict::Reply(self.cannot_tell(incoming, id)),
        };
        let found = match taken.map(|sealed| self.open_kept(site, &key, &sealed)) {
            Some(Ok(found)) => found,
            Some(Err(Unavailable)) => return Verdict::Reply(self.cannot_tell(incoming, id)),
            None => None,
        };
        let Some((request, target)) = found else {
            return Verdict::Reply(self.not_there(incoming, id, now).await);
        };
        let mark = Mark::sent(id);
        let until = now.plus(2 * self.parts.config.park.lasts);
        if self.parts.store.mark(&mark, now, until, now).await.is_err() {
            tracing::warn!("the store is unavailable: a second click is not told that it is one");
        }
        self.parts.metrics.parked_requests.inc(ParkedResult::Sent);
        let route = forward.record.route.and_then(|(_, position)| {
            let routes = site.app.table.routes();
            routes.get(position).map(|route| route.id.as_str())
        });
        let circumstances = Circumstances {
            route,
            ..Circumstances::of(held)
        };
        self.audit(AuditKind::Resumed, incoming, circumstances);
        let mut in_hand = self.in_hand.nothing();
        let length = super::body_length(&request.body);
        // It was in the budget until now, so it may be beyond it for a moment.
        in_hand.grow(length, 0, u64::MAX);
        forward.sending = Some(Box::new(Sending {
            request,
            target,
            kept: Some((key, href(id))),
            _in_hand: in_hand,
        }));
        Verdict::Forward(forward)
    }

    /// Nothing of it was sent: it is there for another click. The page that says so, if it is.
    pub async fn put_back(
        &self,
        forward: &Forward,
        sending: &Sending,
        refusal: Refusal,
        request_id: &str,
    ) -> Option<Reply> {
        let (key, again) = sending.kept.as_ref()?;
        // With its yes used up it would have to be asked for anew.
        if forward.is_redeemed {
            return None;
        }
        let kept = self.put(key, &sending.request).await;
        if !matches!(kept, Ok(ParkedAs::Kept)) {
            return None;
        }
        let upstream = self.parts.config.upstreams.get(forward.upstream)?;
        let page = Page::StillKept {
            status: refusal.status().as_u16(),
            code: refusal.code(),
            upstream: &upstream.name,
            left: sending.request.expires.since(self.parts.clock.now()),
            again,
        };
        let record = Record::of("refuse");
        let language = self.language_at(Some(forward.place), &sending.request.headers);
        Some(self.page_in(language, refusal.status(), &page, request_id, record))
    }

    async fn drop_kept(&self, incoming: &Incoming<'_>, site: Site<'_>, id: &str) -> Reply {
        let now = self.parts.clock.now();
        let key = key(&site.origin.text, id);
        match self.parts.store.unpark(&key, now).await {
            Ok(Some(_)) => {
                self.parts
                    .metrics
                    .parked_requests
                    .inc(ParkedResult::Dropped);
                let record = Record::of("own");
                Reply::redirect(&site.url("/"), record).reason("dropped")
            }
            Ok(None) => self.not_there(incoming, id, now).await,
            Err(Unavailable) => self.cannot_tell(incoming, id),
        }
    }

    /// Another user came back instead, or the flow was another user's: whatever it leads back to is dropped.
    pub(in crate::gate) async fn drop_of_flow(&self, site: Site<'_>, return_to: &str) -> bool {
        let Some(id) = id_of(return_to) else {
            return false;
        };
        let now = self.parts.clock.now();
        // Where it cannot be dropped, nobody else can send it all the same.
        let key = key(&site.origin.text, &id);
        let dropped = self.parts.store.unpark(&key, now).await;
        if matches!(dropped, Ok(Some(_))) {
            self.parts
                .metrics
                .parked_requests
                .inc(ParkedResult::Dropped);
        }
        true
    }

    /// What a flow leads back to, where that is a request that is kept.
    pub(in crate::gate) async fn kept_at(
        &self,
        site: Site<'_>,
        return_to: &str,
        now: Timestamp,
    ) -> Option<(Method, Target)> {
        let (request, target) = match approvals::id_of(return_to) {
            Some(id) => self.kept_for(site, &id, now).await.ok()??,
            None => self.kept(site, &id_of(return_to)?, now).await.ok()??,
        };
        Some((request.method, target))
    }

    async fn kept(
        &self,
        site: Site<'_>,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<(ParkedRequest, Target)>, Unavailable> {
        let key = key(&site.origin.text, id);
        match self.parts.store.parked(&key, now).await? {
            Some(sealed) => self.open_kept(site, &key, &sealed),
            None => Ok(None),
        }
    }

    pub(in crate::gate) fn open_kept(
        &self,
        site: Site<'_>,
        key: &ParkedKey,
        sealed: &[u8],
    ) -> Result<Option<(ParkedRequest, Target)>, Unavailable> {
        let origin = &site.origin.text;
        let place: &[&[u8]] = &[&key.0, origin.as_bytes()];
        let plaintext = match self.parts.sealer.open_bytes(PURPOSE, place, sealed) {
            Ok(plaintext) => plaintext,
            Err(OpenError::UnknownKey) => return Err(Unavailable),
            Err(OpenError::Tampered) => {
                tracing::error!(
                    "a parked request is not what was parked here, and counts as absent"
                );
                return Ok(None);
            }
        };
        let Some(request) = ParkedRequest::decode(plaintext) else {
            return Ok(None);
        };
        // A reload may have taken a relaxation away.
        let target = Target::parse(request.target.as_bytes(), site.app.accept).ok();
        Ok(target.map(|target| (request, target)))
    }

    async fn may_send(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        held: &Held,
        request: &ParkedRequest,
        now: Timestamp,
    ) -> Result<Result<(), Refused>, Unavailable> {
        let (session, owner) = (&held.live.session, &request.owner);
        let identity = &session.identity;
        if (&identity.iss, &session.client, &identity.sub)
            != (&owner.iss, &owner.client, &owner.sub)
        {
            return Ok(Err(Refused::SomebodyElse));
        }
        let vouches = |browser: Browser| browser.vouches_for(request);
        if !self
            .browser(incoming, site.origin, now)
            .is_some_and(vouches)
            || self.ended_since_then(owner, request.at, now).await?
        {
            return Ok(Err(Refused::Gone));
        }
        Ok(Ok(()))
    }

    async fn refused_to(
        &self,
        incoming: &Incoming<'_>,
        id: &str,
        held: &Held,
        why: Refused,
        now: Timestamp,
    ) -> Reply {
        match why {
            Refused::SomebodyElse => {
                if let Some(site) = self.site(incoming.place) {
                    self.drop_of_flow(site, &href(id)).await;
                }
                let page = Page::KeptForAnother {
                    user: display_name(&held.live.session.identity),
                };
                let record = Record::of("own");
                self.page(StatusCode::CONFLICT, &page, incoming, record)
                    .reason("parked-by-another-user")
            }
            Refused::Gone => self.not_there(incoming, id, now).await,
        }
    }

    async fn not_there(&self, incoming: &Incoming<'_>, id: &str, now: Timestamp) -> Reply {
        let sent = self.parts.store.marked(&Mark::sent(id), now).await;
        let Ok(sent) = sent else {
            return self.cannot_tell(incoming, id);
        };
        let (status, reason) = match sent {
            Some(_) => (StatusCode::CONFLICT, "sent-already"),
            None => (StatusCode::GONE, "not-parked"),
        };
        let page = Page::NothingKept {
            sent: sent.is_some(),
            lasts: self.parts.config.park.lasts,
            back: &match marked(incoming.method, incoming.target) {
                Some(_) => unmarked(incoming.target),
                None => "/".to_owned(),
            },
        };
        let record = Record::of("own");
        self.page(status, &page, incoming, record).reason(reason)
    }

    fn cannot_tell(&self, incoming: &Incoming<'_>, id: &str) -> Reply {
        let record = Record::of("own");
        self.unavailable(incoming, Some(&href(id)), record, "store-unavailable")
    }
}

/// Where what is kept is shown.
pub(in crate::gate) fn href(id: &str) -> String {
    format!("{HERE}?id={id}")
}

/// On another host there is nothing under that id.
pub(in crate::gate) fn key(origin: &str, id: &str) -> ParkedKey {
    ParkedKey(session_key(&format!("{origin} {id}")).0)
}

/// The id in the mark of a click, or of the page that its answer is, loaded again.
pub(in crate::gate) fn marked<'t>(method: &Method, target: &'t Target) -> Option<&'t str> {
    if !matches!(*method, Method::POST | Method::GET | Method::HEAD) {
        return None;
    }
    let last = target.query()?.rsplit('&').next()?;
    let id = last.strip_prefix(MARK)?.strip_prefix('=')?;
    is_id(id).then_some(id)
}

fn id_of(return_to: &str) -> Option<String> {
    let id = return_to.strip_prefix(HERE)?.strip_prefix("?id=")?;
    is_id(id).then(|| id.to_owned())
}

pub(in crate::gate) fn is_id(id: &str) -> bool {
    id.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn marked_target(target: &str, id: &str) -> String {
    // Behind an upstream that takes two slashes, the link would lead to another host.
    let target = if target.starts_with("//") {
        "/"
    } else {
        target
    };
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{MARK}={id}")
}

/// The address of a click, or of the page that its answer is, as the app knows it.
fn unmarked(target: &Target) -> String {
    let text = target.path_and_query();
    let cut = text.rfind(MARK).unwrap_or(text.len());
    let text = text.get(..cut).unwrap_or_default();
    text.trim_end_matches(['?', '&']).to_owned()
}

fn is_of(forward: &Forward, held: &Held) -> bool {
    forward
        .session
        .as_ref()
        .is_some_and(|live| live.session.lineage == held.live.session.lineage)
        || forward.permit.is_public()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::target::Relaxations;

    #[test]
    fn only_the_last_parameter_marks_a_click() {
        let rows = [
            ("POST", "/pay?__stepgate_resume=a-Z_9", Some("a-Z_9")),
            ("POST", "/pay?x=1&__stepgate_resume=abc", Some("abc")),
            ("GET", "/pay?x=1&__stepgate_resume=abc", Some("abc")),
            ("PUT", "/pay?__stepgate_resume=abc", None),
            ("POST", "/pay?__stepgate_resume=abc&x=1", None),
            ("POST", "/pay?__stepgate_resume", None),
            ("POST", "/pay?x__stepgate_resume=abc", None),
            ("POST", "/pay?__stepgate_resume=a%20b", None),
            ("POST", "/pay", None),
        ];
        for (method, target, expected) in rows {
            let target = Target::parse(target.as_bytes(), Relaxations::NONE).unwrap();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(marked(&method, &target), expected, "{method} {target:?}");
        }
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for (target, expected) in [("/pay", "/pay"), ("/pay?x=1", "/pay?x=1"), ("//pay", "/")] {
            let marked_target = marked_target(target, "abc");
            let target = Target::parse(marked_target.as_bytes(), Relaxations::NONE).unwrap();
            assert_eq!(marked(&Method::POST, &target), Some("abc"));
            assert_eq!(unmarked(&target), expected);
        }
        assert_eq!(id_of(&href("abc")).as_deref(), Some("abc"));
        assert_eq!(id_of("/.stepgate/resume?id=a&b"), None);
        assert_eq!(id_of("/.stepgate/me"), None);
    }
}
