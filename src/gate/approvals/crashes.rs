//! Killed at every write, before it and behind it: what is there afterwards is what was answered, or that and the one
//! change of which nothing was heard; nothing is sent twice, and nothing that is over comes back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tests::{NOW, asking, over, person};
use super::*;
use crate::gate::testing::{Cut, Failing, Still};
use crate::model::approval::Answer;
use crate::store::{FileStore, Folder, Sealing, Settings, Unopened};

const FILE: &str = "sessions.redb";

/// What happens to an approval. Time passes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Yes,
    No,
    Report,
    Cancel,
    Revoke,
    Redeem,
    Late,
    /// A yes with another number than the right one.
    Wrong,
    /// One of the requests that it holds for, for a while.
    Use,
    /// Nobody has decided for so long that others may, too.
    Escalate,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// By a number.
    Numbered(Mode),
    ForAWhile,
    Escalating,
}

impl Kind {
    fn asking(self) -> Asking {
        let mut asking = asking("alice", "/payments/7/release");
        let terms = &mut asking.terms;
        match self {
            Self::Plain => {}
            Self::Numbered(mode) => terms.mode = mode,
            Self::ForAWhile => terms.for_a_while = true,
            Self::Escalating => terms.escalate_after = Some(HALF),
        }
        asking
    }
}

const HALF: Duration = Duration::from_secs(30);

const ALL: [Deed; 7] = [
    Deed::Yes,
    Deed::No,
    Deed::Report,
    Deed::Cancel,
    Deed::Revoke,
    Deed::Redeem,
    Deed::Late,
];

/// What an approval is sealed by is another's matter.
#[derive(Debug)]
struct Open;

impl Sealing for Open {
    fn seal(&self, _: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        plaintext.to_vec()
    }

    fn open(&self, _: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        Ok(sealed.to_vec())
    }

    fn key_id(&self) -> u64 {
        1
    }

    fn sealed_by(&self, _: &[u8]) -> Option<u64> {
        Some(1)
    }
}

/// In memory where the machine has a place for it: what is tried is where a process ends, and not what a disk does.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// A process, until it is killed.
struct Life {
    folder: TempDir,
    store: Arc<Failing<FileStore>>,
    approvals: Approvals,
    now: Timestamp,
}

impl Life {
    fn begins(folder: TempDir, now: Timestamp) -> Self {
        let settings = Settings {
            idle: Duration::from_secs(3600),
            near: 1 << 16,
        };
        let lock = Folder::take(folder.path()).unwrap();
        let store = FileStore::open(lock, settings, Arc::new(Open), Arc::new(Still::default()));
        let store = Arc::new(Failing::over(store.unwrap()));
        let approvals = over(&store, "a key of thirty-two or more bytes");
        Self {
            folder,
            store,
            approvals,
            now,
        }
    }

    /// The file as it is now, beside a process that is no more.
    fn killed(self) -> Self {
        let image = folder();
        let copy = |folder: &Path| folder.join(FILE);
        fs::copy(copy(self.folder.path()), copy(image.path())).unwrap();
        Self::begins(image, self.now)
    }

    async fn asks(&self, kind: Kind) -> Result<Asked, Unavailable> {
        self.approvals.ask(kind.asking(), self.now).await
    }

    async fn finds(&self, id: &ApprovalId) -> Approval {
        self.approvals.find(id, self.now).await.unwrap().unwrap()
    }

    async fn does(&mut self, deed: Deed, of: &Approval) -> Result<Changed, Unavailable> {
        let (id, holder) = (&of.id, &of.requester.holder);
        let answer = match deed {
            Deed::Yes => Answer::Yes,
            Deed::No => Answer::No,
            Deed::Report => Answer::Report,
            Deed::Cancel => {
                let person = &of.requester.person;
                return self.approvals.cancel(id, person, self.now).await;
            }
            Deed::Revoke => return self.approvals.revoke(id, self.now).await,
            Deed::Redeem => {
                let (action, now) = (&of.action, self.now);
                return self.approvals.redeem(id, holder, action, now).await;
            }
            Deed::Use => {
                let person = &of.requester.person;
                let found = self
                    .approvals
                    .covering(person, &of.name, holder, &of.action, self.now);
                let found = found.await?.map(Box::new);
                return Ok(found.map_or(Changed::Absent, Changed::Done));
            }
            Deed::Escalate => {
                self.now = self.now.plus(HALF);
                let passed = self.approvals.pass(&key_of(id), self.now).await;
                return passed.map(|_| Changed::Absent);
            }
            Deed::Wrong => Answer::Yes,
            Deed::Late => {
                self.now = self.now.plus(Duration::from_secs(120));
                Answer::Yes
            }
        };
        let right = of.number.as_ref().map(|number| number.reveal());
        let ballot = Ballot {
            person: &person("bob"),
            name: "bob",
            answer,
            reason: None,
            number: match deed {
                Deed::Wrong => Some("none"),
                _ => right,
            },
            channel: "app",
            device: None,
        };
        self.approvals.vote(id, &ballot, self.now).await
    }
}

fn is_final(status: &Status) -> bool {
    !matches!(status, Status::Pending | Status::Approved { .. })
}

fn is_sent(deed: Deed, changed: &Result<Changed, Unavailable>) -> bool {
    deed == Deed::Redeem && matches!(changed, Ok(Changed::Done(_)))
}

/// The last of `deeds` is cut off, before or behind its write.
async fn holds(kind: Kind, deeds: &[Deed], is_written: bool) {
    let mut life = Life::begins(folder(), NOW);
    let Asked::New(asked) = life.asks(kind).await.unwrap() else {
        panic!("somebody asked before");
    };
    let (last, before) = deeds.split_last().unwrap();
    let mut sent = 0;
    for deed in before {
        let changed = life.does(*deed, &asked).await;
        sent += usize::from(is_sent(*deed, &changed));
        assert!(changed.is_ok(), "{deeds:?}");
    }
    let seen = life.finds(&asked.id).await;
    life.store.cut(match is_written {
        true => Cut::Behind,
        false => Cut::Before,
    });
    let changed = life.does(*last, &asked).await;
    assert!(!is_sent(*last, &changed), "{deeds:?}: its answer was lost");
    let was_cut = changed.is_err();

    let mut life = life.killed();
    let mut found = life.finds(&asked.id).await;
    let is_changed = found != seen;
    assert_eq!(is_changed, was_cut && is_written, "{deeds:?} {found:?}");
    assert!(!is_changed || !is_final(&seen.status), "{deeds:?} {seen:?}");

    // Whatever is done from here on, with whatever the first one believed.
    let again = [
        Deed::Redeem,
        Deed::Yes,
        Deed::Redeem,
        Deed::No,
        Deed::Redeem,
    ];
    let more = [Deed::Use, Deed::Wrong, Deed::Escalate, Deed::Use];
    for deed in again.into_iter().chain(more).chain(ALL).chain(again) {
        let changed = life.does(deed, &asked).await;
        sent += usize::from(is_sent(deed, &changed));
        let next = life.finds(&asked.id).await;
        let may_use = kind == Kind::ForAWhile
            && matches!(
                approval::standing(&found, life.now),
                Status::Approved { .. }
            );
        if deed == Deed::Use {
            let is_used = matches!(changed, Ok(Changed::Done(_)));
            assert_eq!(is_used, may_use, "{deeds:?} {found:?}");
        }
        // What was guessed is guessed, and what has gone on to others has, once.
        assert!(next.tries <= found.tries, "{deeds:?}, then {deed:?}");
        let escalated = found.escalated.or(next.escalated);
        assert_eq!(next.escalated, escalated, "{deeds:?}, then {deed:?}");
        if is_final(&found.status) {
            assert_eq!(next.status, found.status, "{deeds:?}, then {deed:?}");
        }
        found = next;
    }
    assert!(sent <= 1, "{deeds:?}: sent {sent} times");
    assert!(kind != Kind::ForAWhile || sent == 0, "{deeds:?}: used up");
    let is_lost = *last == Deed::Redeem && was_cut && is_written;
    assert!(
        !is_lost || sent == 0,
        "{deeds:?}: used up, and sent all the same"
    );
    assert!(is_final(&found.status), "{deeds:?} {found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_twice_and_nothing_comes_back_wherever_it_is_killed() {
    let mut scripts: Vec<Vec<Deed>> = ALL.map(|deed| vec![deed]).to_vec();
    for first in ALL {
        scripts.extend(ALL.map(|second| vec![first, second]));
    }
    for second in [Deed::Redeem, Deed::Revoke] {
        scripts.extend(ALL.map(|third| vec![Deed::Yes, second, third]));
    }
    for script in scripts {
        for is_written in [false, true] {
            holds(Kind::Plain, &script, is_written).await;
        }
    }
}

/// Deeds of which each two are tried, and longer scripts.
type Row = (Kind, &'static [Deed], &'static [&'static [Deed]]);

/// The same of numbers, of what holds for a while, and of what goes on to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_windows_and_what_has_gone_on_outlive_it_as_they_were() {
    let (challenge, matching) = (
        Kind::Numbered(Mode::NumberChallenge),
        Kind::Numbered(Mode::NumberMatching),
    );
    let rows: [Row; 4] = [
        (
            challenge,
            &[Deed::Wrong, Deed::Yes, Deed::No, Deed::Redeem, Deed::Late],
            &[
                &[Deed::Wrong, Deed::Wrong, Deed::Yes],
                &[Deed::Wrong, Deed::Yes, Deed::Redeem],
            ],
        ),
        (matching, &[Deed::Wrong, Deed::Yes, Deed::Redeem], &[]),
        (
            Kind::ForAWhile,
            &[
                Deed::Yes,
                Deed::Report,
                Deed::Revoke,
                Deed::Use,
                Deed::Redeem,
                Deed::Late,
            ],
            &[
                &[Deed::Yes, Deed::Use, Deed::Report],
                &[Deed::Yes, Deed::Use, Deed::Late],
            ],
        ),
        (
            Kind::Escalating,
            &[Deed::Yes, Deed::No, Deed::Escalate, Deed::Late],
            &[
                &[Deed::Escalate, Deed::Yes, Deed::Redeem],
                &[Deed::Escalate, Deed::Escalate, Deed::Yes],
            ],
        ),
    ];
    for (kind, deeds, longer) in rows {
        let mut scripts: Vec<Vec<Deed>> = deeds.iter().map(|deed| vec![*deed]).collect();
        // Behind what ends it the plain kind has been.
        let goes_on =
            |deed: &&Deed| matches!(deed, Deed::Yes | Deed::Wrong | Deed::Escalate | Deed::Use);
        for first in deeds.iter().filter(goes_on) {
            scripts.extend(deeds.iter().map(|second| vec![*first, *second]));
        }
        scripts.extend(longer.iter().map(|script| script.to_vec()));
        for script in scripts {
            for is_written in [false, true] {
                holds(kind, &script, is_written).await;
            }
        }
    }
}

/// Nobody was told of it: whoever asks again is asked about that one, or makes the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_and_not_told_is_there_or_not_and_never_two() {
    for (cut, is_there) in [(Cut::Before, false), (Cut::Behind, true)] {
        let life = Life::begins(folder(), NOW);
        life.store.cut(cut);
        assert_eq!(life.asks(Kind::Plain).await, Err(Unavailable));
        let life = life.killed();
        let asked = life.asks(Kind::Plain).await.unwrap();
        assert_eq!(matches!(asked, Asked::Same(_)), is_there, "{asked:?}");
        let pending = life.approvals.pending("four-eyes", NOW).await.unwrap();
        assert_eq!(pending.len(), 1);
    }
}
