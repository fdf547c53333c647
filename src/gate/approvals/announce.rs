//! Tells people by all channels of an approval at once, in the background: no channel waits for another, and no request for
//! any of them. What there is no room for is counted and left out; the inbox has it all the same.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Channel, ChannelKind, Quiet};
use crate::gate::browsers::Browsers;
use crate::model::approval::{Approval, Person};
use crate::model::evidence::Identity;
use crate::model::random::Random;
use crate::model::time::{Clock, Timestamp};
use crate::notify::{Event, Failure, Notice, Outcome, Patience, Recipients, Sender};
use crate::policy::approval::who::Approvers;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::NotificationResult;

/// Notices of one channel that are under way, pauses included.
const ROOM: usize = 256;

/// People that are remembered. With more of them at once nobody is told; who decides finds it all in the inbox.
const MOST_PEOPLE: usize = 10_000;

/// Cheap to clone: what is under way holds one.
#[derive(Clone)]
pub(in crate::gate) struct Announcer(Arc<Shared>);

struct Shared {
    /// In the order of `Config::channels`.
    lines: Vec<Arc<Line>>,
    recent: Arc<Mutex<Recent>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    browsers: Browsers,
    quiet: Quiet,
}

/// What it works with.
#[derive(Clone)]
pub(in crate::gate) struct Around {
    pub(in crate::gate) metrics: Arc<Metrics>,
    pub(in crate::gate) clock: Arc<dyn Clock>,
    pub(in crate::gate) random: Arc<dyn Random>,
    pub(in crate::gate) browsers: Browsers,
    pub(in crate::gate) quiet: Quiet,
}

/// Who may decide, and so is told.
#[derive(Clone, Debug)]
pub(in crate::gate) enum Audience {
    Approvers(Box<(Approval, Approvers)>),
    /// One person alone: no channel that tells others takes another's place.
    One(Box<Identity>),
    /// What decides at the other end of the channel, and nobody who would be told in its place.
    Program,
}

impl Audience {
    /// Those who are known by a mail address.
    pub(in crate::gate) fn named(&self) -> Vec<String> {
        let Self::Approvers(those) = self else {
            return Vec::new();
        };
        let (approval, approvers) = &**those;
        let all = approvers.people.iter().chain(&approval.named);
        all.filter(|name| name.contains('@')).cloned().collect()
    }
}

/// One channel, over all configurations that have it as it is.
struct Line {
    sender: Sender,
    room: Arc<Semaphore>,
    health: Mutex<Health>,
}

#[derive(Clone, Debug, Default)]
struct Health {
    well: Option<Timestamp>,
    failing: Option<(Timestamp, Failure)>,
}

/// How a channel does, by the last notice that it took or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    pub name: String,
    pub well: Option<Timestamp>,
    /// Since when it fails, and how it did at last.
    pub failing: Option<(Timestamp, String)>,
}

/// When notices of whom, and of what, went out.
#[derive(Debug, Default)]
struct Recent {
    of: HashMap<Person, VecDeque<(Timestamp, String)>>,
    to: HashMap<String, VecDeque<Timestamp>>,
    /// Those who were told, one by one.
    told: HashMap<Reader, VecDeque<Timestamp>>,
}

/// Whoever a channel tells by themselves. What reads a topic, or is behind a webhook, nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Person(Person),
    Mail(String),
}

impl Announcer {
    /// `before`: the one that this one takes the place of.
    pub(in crate::gate) fn new(
        channels: &[Channel],
        patience: Patience,
        around: Around,
        before: Option<&Self>,
    ) -> Self {
        let known = |channel: &Channel| {
            let mut lines = before?.0.lines.iter();
            lines
                .find(|line| line.sender.channel() == channel)
                .map(Arc::clone)
        };
        let lines = channels.iter().map(|channel| {
            known(channel).unwrap_or_else(|| {
                Arc::new(Line {
                    sender: Sender::new(channel, patience, Arc::clone(&around.random)),
                    room: Arc::new(Semaphore::new(ROOM)),
                    health: Mutex::default(),
                })
            })
        });
        Self(Arc::new(Shared {
            lines: lines.collect(),
            recent: before.map_or_else(Arc::default, |before| Arc::clone(&before.0.recent)),
            metrics: around.metrics,
            clock: around.clock,
            browsers: around.browsers,
            quiet: around.quiet,
        }))
    }

    /// `channels`: of the approval, by their place.
    pub(in crate::gate) fn tell(&self, notice: &Notice, channels: &[usize], audience: Audience) {
        // That somebody passed it without anybody is for everyone to know.
        let is_decision =
            matches!(notice.event, Event::Decided(outcome) if outcome != Outcome::BrokenGlass);
        let taken: BTreeSet<usize> = channels.iter().copied().collect();
        let told = Arc::new(Told {
            shared: Arc::clone(&self.0),
            notice: notice.clone(),
            audience,
            taken: Mutex::new(taken.clone()),
        });
        for at in taken {
            let Some(line) = self.0.lines.get(at) else {
                continue;
            };
            if is_decision && !line.sender.channel().decided {
                continue;
            }
            Told::begin(&told, at);
        }
    }

    /// Whether people may be told of it, with all that they were told of late; it then counts as told.
    pub(in crate::gate) fn takes(&self, approval: &Approval, channels: &[usize]) -> bool {
        let now = self.0.clock.now();
        let takes = lock(&self.0.recent).take(approval, self.0.quiet, now);
        if !takes {
            let name = &approval.name;
            tracing::info!(
                approval = name,
                "nobody is told: there were enough notices of late"
            );
            for line in channels.iter().filter_map(|at| self.0.lines.get(*at)) {
                self.0.count(line, NotificationResult::Limited);
            }
        }
        takes
    }

    /// By one channel, once.
    pub(in crate::gate) async fn try_out(
        &self,
        notice: &Notice,
        channel: usize,
        mut to: Recipients,
    ) -> Result<(), Failure> {
        let line = self.0.lines.get(channel).ok_or(Failure::Nobody)?;
        let now = self.0.clock.now();
        let outcome = line.sender.once(notice, &mut to, now).await;
        self.0.note(line, &outcome);
        outcome
    }

    pub(in crate::gate) fn states(&self) -> Vec<ChannelState> {
        let state = |line: &Arc<Line>| {
            let health = lock(&line.health).clone();
            ChannelState {
                name: line.sender.channel().name.clone(),
                well: health.well,
                failing: health
                    .failing
                    .map(|(since, failure)| (since, failure.to_string())),
            }
        };
        self.0.lines.iter().map(state).collect()
    }
}

/// One notice, on its way by several channels.
struct Told {
    shared: Arc<Shared>,
    notice: Notice,
    audience: Audience,
    /// By which it went or goes out: nobody is told twice by one channel.
    taken: Mutex<BTreeSet<usize>>,
}

/// Where a notice went that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    Out,
    /// All whom it was for were told enough of late: no other channel takes its place either.
    Nowhere,
}

impl Told {
    /// By the first of `at` and its fallbacks that has room.
    fn begin(told: &Arc<Self>, at: usize) {
        let mut next = Some(at);
        while let Some(at) = next {
            let Some(line) = told.shared.lines.get(at) else {
                return;
            };
            match Arc::clone(&line.room).try_acquire_owned() {
                Ok(room) => return Self::spawn(told, at, Arc::clone(line), room),
                Err(_) => {
                    told.shared.count(line, NotificationResult::Dropped);
                    tracing::warn!(
                        channel = line.sender.channel().name,
                        "a notice is left out: too many are under way"
                    );
                    next = told.fallback(line);
                }
            }
        }
    }

    fn spawn(told: &Arc<Self>, at: usize, line: Arc<Line>, room: OwnedSemaphorePermit) {
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!("a notice is left out: it was given from outside the runtime");
            return;
        };
        let told = Arc::clone(told);
        runtime.spawn(async move {
            let outcome = told.deliver(&line).await;
            drop(room);
            match &outcome {
                Ok(Went::Out) => told.shared.note(&line, &Ok(())),
                // Counted where that was decided; the channel has shown nothing.
                Ok(Went::Nowhere) => {}
                Err(failure) => told.shared.note(&line, &Err(failure.clone())),
            }
            if outcome.is_err()
                && let Some(next) = told.fallback(&line)
            {
                debug_assert_ne!(next, at, "what falls back on itself is no configuration");
                Self::begin(&told, next);
            }
        });
    }

    async fn deliver(&self, line: &Line) -> Result<Went, Failure> {
        const NO_STORE: Failure = Failure::Unusable("the store does not answer");
        let shared = &self.shared;
        let mut to = line.sender.recipients(&self.audience.named());
        if let ChannelKind::WebPush(_) = line.sender.channel().kind {
            let now = shared.clock.now();
            to.push = match &self.audience {
                Audience::One(whose) => {
                    let found = shared.browsers.of(whose, now).await;
                    found.map_err(|_| NO_STORE)?
                }
                Audience::Program => Vec::new(),
                Audience::Approvers(those) => {
                    let (approval, approvers) = &**those;
                    let found = shared.browsers.of_approvers(approval, approvers, now);
                    let found = found.await.map_err(|_| NO_STORE)?;
                    let all = found
                        .into_iter()
                        .map(|(who, browser)| (Reader::Person(who), browser));
                    match self.spared(line, all.collect()) {
                        Some(told) => told,
                        None => return Ok(Went::Nowhere),
                    }
                }
            };
        }
        if !to.mail.is_empty() {
            let all = std::mem::take(&mut to.mail).into_iter();
            let all = all.map(|address| (Reader::Mail(address.to_string()), address));
            match self.spared(line, all.collect()) {
                Some(told) => to.mail = told,
                None => return Ok(Went::Nowhere),
            }
        }
        let sent = line.sender.deliver(&self.notice, &mut to, &*shared.clock);
        let outcome = sent.await;
        for gone in &to.gone {
            if shared
                .browsers
                .gone(gone, shared.clock.now())
                .await
                .is_err()
            {
                tracing::warn!("a browser that is no more could not be forgotten");
            }
        }
        outcome.map(|()| Went::Out)
    }

    /// Those of all who were not told enough of late. `None`: all of them were.
    fn spared<T>(&self, line: &Line, all: Vec<(Reader, T)>) -> Option<Vec<T>> {
        let (shared, count) = (&self.shared, all.len());
        let told: Vec<T> = match self.notice.event {
            // That is for everyone to know.
            Event::Decided(Outcome::BrokenGlass) => all.into_iter().map(|(_, one)| one).collect(),
            _ => lock(&shared.recent).spare(all, shared.quiet, shared.clock.now()),
        };
        if told.len() < count {
            shared.count(line, NotificationResult::Limited);
        }
        (told.len() == count || !told.is_empty()).then_some(told)
    }

    /// Which channel takes the place of `line`, if it does not tell it anyway.
    fn fallback(&self, line: &Line) -> Option<usize> {
        if !matches!(self.audience, Audience::Approvers(_)) {
            return None;
        }
        let next = line.sender.channel().fallback?;
        lock(&self.taken).insert(next).then_some(next)
    }
}

impl Shared {
    fn note(&self, line: &Line, outcome: &Result<(), Failure>) {
        let channel = &line.sender.channel().name;
        let now = self.clock.now();
        let result = match outcome {
            Ok(()) => {
                let mut health = lock(&line.health);
                health.well = Some(now);
                health.failing = None;
                NotificationResult::Sent
            }
            // The channel is as well as it was.
            Err(Failure::Nobody) => {
                tracing::warn!(channel, "a notice had nobody to go to");
                NotificationResult::Nobody
            }
            Err(failure) => {
                tracing::warn!(channel, error = %failure, "a notice could not be sent");
                let mut health = lock(&line.health);
                let since = health.failing.as_ref().map_or(now, |(since, _)| *since);
                health.failing = Some((since, failure.clone()));
                NotificationResult::Failed
            }
        };
        self.count(line, result);
    }

    fn count(&self, line: &Line, result: NotificationResult) {
        self.metrics.notified(&line.sender.channel().name, result);
    }
}

impl Recent {
    fn take(&mut self, approval: &Approval, quiet: Quiet, now: Timestamp) -> bool {
        let is_recent = |at: Timestamp| now.since(at) < quiet.within;
        let who = &approval.requester.person;
        let route = &approval.action.route;
        if self.of.len() >= MOST_PEOPLE {
            self.of
                .retain(|_, told| told.iter().any(|(at, _)| is_recent(*at)));
        }
        if self.of.len() >= MOST_PEOPLE && !self.of.contains_key(who) {
            return false;
        }
        // Names are the configuration's: there are not many.
        let to = self.to.entry(approval.name.clone()).or_default();
        to.retain(|at| is_recent(*at));
        let of = self.of.entry(who.clone()).or_default();
        of.retain(|(at, _)| is_recent(*at));
        let of_route = of.iter().filter(|(_, known)| known == route).count();
        if of_route >= quiet.per_route
            || of.len() >= quiet.per_requester
            || to.len() >= quiet.per_approval
        {
            return false;
        }
        of.push_back((now, route.clone()));
        to.push_back(now);
        true
    }

    /// What leads to those who were not told enough yet; each of these counts as told once more, in however many places.
    fn spare<T>(&mut self, all: Vec<(Reader, T)>, quiet: Quiet, now: Timestamp) -> Vec<T> {
        let is_recent = |at: &Timestamp| now.since(*at) < quiet.within;
        if self.told.len() >= MOST_PEOPLE {
            self.told.retain(|_, told| told.iter().any(is_recent));
        }
        let mut decided: HashMap<Reader, bool> = HashMap::new();
        let mut spared = Vec::new();
        for (who, place) in all {
            let may = match decided.get(&who) {
                Some(may) => *may,
                None => {
                    let is_known = self.told.contains_key(&who);
                    let may = (is_known || self.told.len() < MOST_PEOPLE) && {
                        let told = self.told.entry(who.clone()).or_default();
                        told.retain(is_recent);
                        let has_room = told.len() < quiet.per_approver;
                        if has_room {
                            told.push_back(now);
                        }
                        has_room
                    };
                    decided.insert(who, may);
                    may
                }
            };
            if may {
                spared.push(place);
            }
        }
        spared
    }
}

/// Every change is whole: there is no half-done state behind a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
