//! Requests that stay open (WebSockets, event streams, gRPC calls), each known by what may end it before its time. They
//! are judged anew at the instant from which their decision does not hold by itself any more, and at news of what it was
//! made by: their session, their user's sign-out, the configuration.
//!
//! One registry for a process, over all its configurations. Ordinary requests never come here.

mod judge;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;

use super::{Forward, Gate, Incoming, Reply, bearer};
use crate::model::session::{Secret, SessionKey};
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::approval::when::When;
use crate::policy::decision::Approve;
use crate::store::{Mark, Owner};

/// Locks that what opens and ends at the same time is spread over.
const SHARDS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    WebSocket,
    /// `text/event-stream`.
    Events,
    Grpc,
}

/// What an open request lacks now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A level that has lapsed, or that the route demands meanwhile.
    Level,
    /// The session, or the token, is over.
    Session,
    /// What no sign-in gives: a group, a network, the route itself.
    Permission,
    /// It could not be found out.
    Answer,
}

/// How an open request is told that it ends.
#[derive(Debug)]
pub struct Closing {
    pub lack: Lack,
    /// What the same request would be answered now.
    pub reply: Reply,
}

/// Ends one open request. Called once at most, from anywhere.
pub trait Hand: Send + Sync + fmt::Debug {
    fn close(&self, closing: Closing);
}

/// What a decision was made by, and may be made otherwise by when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// A session was written, or is gone.
    Session(SessionKey),
    /// A mark was set: somebody signed out.
    Marked(Mark),
}

/// By what it was allowed.
enum Credential {
    /// A public route.
    Nobody,
    Cookie,
    Bearer(Secret),
}

struct Open {
    id: u64,
    kind: StreamKind,
    authority: String,
    method: Method,
    target: Target,
    client: IpAddr,
    request_id: String,
    credential: Credential,
    /// The approval that what was sent has settled for good: by a yes of its own, or because its body showed that it needs
    /// none. A yes that holds for a while has an end.
    settled: Option<String>,
    /// Of sign-outs that end its token.
    marks: Vec<News>,
    hand: Arc<dyn Hand>,
    course: Mutex<Course>,
}

/// What is known of an open request so far. Our clock.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// Where its session is now: a step-up moves it.
    key: Option<SessionKey>,
    /// The last time that it was allowed.
    good: Timestamp,
    /// It holds by itself until then; `None`: nobody has looked yet.
    until: Option<Timestamp>,
    /// Since when only time is what it lacks.
    lapsed: Option<Timestamp>,
    /// Since when it should be decided anew and cannot be.
    unknown: Option<Timestamp>,
    ended: bool,
}

impl Open {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that approval is asked for no more.
    fn is_settled(&self, approve: &Approve) -> bool {
        self.settled.as_ref() == Some(&approve.approval)
    }

    /// By which it has to be looked at again.
    fn news(&self) -> Vec<News> {
        let session = self.course().key.map(News::Session);
        session
            .into_iter()
            .chain(self.marks.iter().copied())
            .collect()
    }
}

#[derive(Default)]
pub struct Streams {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
    open: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    open: HashMap<u64, Entry>,
    due: BTreeSet<(Timestamp, u64)>,
    /// To be looked at as soon as possible.
    now: HashSet<u64>,
    by_news: HashMap<News, HashSet<u64>>,
}

struct Entry {
    open: Arc<Open>,
    due: Option<Timestamp>,
    news: Vec<News>,
}

impl Shard {
    fn schedule(&mut self, id: u64, due: Option<Timestamp>, news: Vec<News>) {
        let Some(entry) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(old, id));
        }
        let old = std::mem::replace(&mut entry.news, news.clone());
        for news in old {
            self.unlist(news, id);
        }
        for news in news {
            self.by_news.entry(news).or_default().insert(id);
        }
        self.due.extend(due.map(|due| (due, id)));
    }

    fn unlist(&mut self, news: News, id: u64) {
        if let Some(ids) = self.by_news.get_mut(&news) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_news.remove(&news);
            }
        }
    }

    fn remove(&mut self, id: u64) {
        self.schedule(id, None, Vec::new());
        self.open.remove(&id);
        self.now.remove(&id);
    }
}

impl Streams {
    fn shard(&self, id: u64) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(usize::try_from(id).ok()? % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        let shards = if self.count() == 0 {
            &[]
        } else {
            &self.shards[..]
        };
        shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is looked at at once: what happened since it was allowed was told to nobody.
    fn add(self: &Arc<Self>, open: Open) -> OpenStream {
        let (id, news) = (open.id, open.news());
        if let Some(mut shard) = self.shard(id) {
            let entry = Entry {
                open: Arc::new(open),
                due: None,
                news: Vec::new(),
            };
            self.open.fetch_add(1, Ordering::AcqRel);
            shard.open.insert(id, entry);
            shard.schedule(id, None, news);
            shard.now.insert(id);
        }
        OpenStream {
            streams: Arc::clone(self),
            id,
        }
    }

    /// Until `due`, or news.
    fn keep(&self, open: &Open, due: Option<Timestamp>) {
        let news = open.news();
        if let Some(mut shard) = self.shard(open.id) {
            shard.schedule(open.id, due, news);
        }
    }

    /// It has been told to end.
    fn forget(&self, open: &Open) {
        if let Some(mut shard) = self.shard(open.id) {
            shard.schedule(open.id, None, Vec::new());
        }
    }

    /// Those that are to be decided anew, the oldest first.
    fn take_due(&self, now: Timestamp) -> Vec<Arc<Open>> {
        let mut taken = Vec::new();
        for mut shard in self.each() {
            let mut ids = std::mem::take(&mut shard.now);
            ids.extend(
                shard
                    .due
                    .iter()
                    .take_while(|(due, _)| *due <= now)
                    .map(|(_, id)| *id),
            );
            let open = ids.iter().filter_map(|id| shard.open.get(id));
            taken.extend(open.map(|entry| Arc::clone(&entry.open)));
        }
        taken.sort_unstable_by_key(|open| open.id);
        taken
    }

    /// What was decided by it is decided anew.
    pub fn tell(&self, news: News) {
        for mut shard in self.each() {
            let Shard { now, by_news, .. } = &mut *shard;
            now.extend(by_news.get(&news).into_iter().flatten());
        }
    }

    /// A step-up has moved a session, and what is open by it with it; told before the old place is given up.
    pub fn moved(&self, from: SessionKey, to: SessionKey) {
        for mut shard in self.each() {
            let ids = shard.by_news.get(&News::Session(from));
            let ids: Vec<u64> = ids.into_iter().flatten().copied().collect();
            for id in ids {
                let Some(entry) = shard.open.get(&id) else {
                    continue;
                };
                entry.open.course().key = Some(to);
                let (due, news) = (entry.due, entry.open.news());
                shard.schedule(id, due, news);
                shard.now.insert(id);
            }
        }
    }

    /// The configuration is another one.
    pub fn tell_all(&self) {
        for mut shard in self.each() {
            let Shard { now, open, .. } = &mut *shard;
            now.extend(open.keys());
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    streams: Arc<Streams>,
    id: u64,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(mut shard) = self.streams.shard(self.id) {
            shard.remove(self.id);
            self.streams.open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Gate {
    /// What was let through goes on to be open. `hand` ends it; it is known until what is returned is dropped.
    pub fn open_stream(
        &self,
        forward: &Forward,
        incoming: &Incoming<'_>,
        kind: StreamKind,
        hand: Arc<dyn Hand>,
    ) -> OpenStream {
        let streams = &self.parts.streams;
        let credential = match (&forward.bearer, &forward.session) {
            (Some(_), _) => Credential::Bearer(bearer::token(incoming.headers)),
            (None, Some(_)) if !forward.permit.is_public() => Credential::Cookie,
            (None, _) => Credential::Nobody,
        };
        let marks = forward.bearer.iter().flat_map(|verified| {
            let identity = &verified.identity;
            let client = &self.parts.config.keycloak.client_id;
            let sid = identity.sid.as_deref();
            let sid = sid.map(|sid| Owner::sid(&identity.iss, client, sid));
            let sub = Owner::sub(&identity.iss, client, &identity.sub);
            let owners = sid.into_iter().chain([sub]);
            owners.map(|owner| News::Marked(Mark::logged_out(owner)))
        });
        let key = match credential {
            Credential::Cookie => forward.key,
            _ => None,
        };
        let authority = self
            .parts
            .config
            .origin(incoming.place)
            .map_or("", |origin| origin.authority.as_str());
        let open = Open {
            id: streams.next.fetch_add(1, Ordering::Relaxed),
            kind,
            authority: authority.to_owned(),
            method: incoming.method.clone(),
            target: incoming.target.clone(),
            client: incoming.client,
            request_id: incoming.request_id.to_owned(),
            credential,
            settled: self.settled(forward, incoming),
            marks: marks.collect(),
            hand,
            course: Mutex::new(Course {
                key,
                good: self.parts.clock.now(),
                until: None,
                lapsed: None,
                unknown: None,
                ended: false,
            }),
        };
        streams.add(open)
    }

    /// Under the configuration by which it was let through.
    fn settled(&self, forward: &Forward, incoming: &Incoming<'_>) -> Option<String> {
        let site = self.site(incoming.place)?;
        let found = site.app.table.find(incoming.method, incoming.target);
        let mut wanted = found.demand.iter().map(|part| part.approval.as_deref());
        let name = wanted.find_map(|name| name)?;
        let rule = self.parts.config.approval(name)?;
        let by_its_body = rule.when.as_ref().is_some_and(When::reads_body);
        let is_settled = match (forward.permit.uses(), forward.permit.is_within()) {
            (Some(_), _) => true,
            (None, Some(_)) => false,
            (None, None) => by_its_body,
        };
        is_settled.then(|| name.to_owned())
    }

    pub fn streams(&self) -> &Streams {
        &self.parts.streams
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("open", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
