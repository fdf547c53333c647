//! The stream of a client's connection. An open WebSocket on it can be told to go away, in both directions and between
//! two frames (RFC 6455, sections 5.5.1 and 7.4.1); everything else passes through as it is.
//!
//! Towards the client a Close frame is written, and the app gets one as if the client had sent it. What either of them
//! still sends is dropped; the connection ends when both have said goodbye as well, or when it has taken too long.

mod frames;
mod stream;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;

pub(in crate::edge) use stream::ClientStream;

/// Why an open tunnel is ended by us: the code of the Close frame and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Reason {
    /// The process is about to end.
    GoingAway,
    /// The user goes on after a step-up.
    StepUp,
    SessionEnded,
    NotAllowed,
    /// Whether it may go on could not be found out.
    TryAgain,
}

impl Reason {
    /// The first that was told counts, and of several at once the first here.
    const ALL: [Self; 5] = [
        Self::SessionEnded,
        Self::NotAllowed,
        Self::StepUp,
        Self::TryAgain,
        Self::GoingAway,
    ];

    /// RFC 6455, section 7.4.1, and one of the private codes: 401 of those that begin with 4.
    const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::SessionEnded | Self::NotAllowed => 1008,
            Self::TryAgain => 1013,
            Self::StepUp => 4401,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::GoingAway => "going away",
            Self::StepUp => "step-up required",
            Self::SessionEnded => "session ended",
            Self::NotAllowed => "not allowed",
            Self::TryAgain => "try again",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::GoingAway => 2,
            Self::StepUp => 4,
            Self::SessionEnded => 8,
            Self::NotAllowed => 16,
            Self::TryAgain => 32,
        }
    }

    /// As a server sends it: not masked.
    fn to_client(self) -> Vec<u8> {
        let mut frame = vec![0x88, self.length()];
        frame.extend(self.payload());
        frame
    }

    /// As a client sends it. A mask is there so that no page chooses the bytes that caches on the way see; these bytes
    /// are ours, so any mask is as good.
    fn to_app(self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x73, 0x67, 0x74, 0x65];
        let mut frame = vec![0x88, self.length() | 0x80];
        frame.extend(MASK);
        let masked = self.payload().zip(MASK.into_iter().cycle());
        frame.extend(masked.map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn payload(self) -> impl Iterator<Item = u8> {
        self.code()
            .to_be_bytes()
            .into_iter()
            .chain(self.text().bytes())
    }

    /// Below 126: the texts are short.
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen")]
    fn length(self) -> u8 {
        self.payload().count() as u8
    }
}

/// A hand on one connection: what is known of its tunnel. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::edge) struct Farewell(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    state: AtomicU8,
    waker: AtomicWaker,
    /// Of whoever serves it all.
    server: AtomicWaker,
}

const OPEN: u8 = 1;
/// Something is open that may have to end before its time.
const WATCHED: u8 = 64;
const CUT: u8 = 128;

/// Until what was told to end is cut off, whatever holds it up: an app that takes nothing more of an upload keeps Pingora
/// from listening to the client.
const LATEST: Duration = Duration::from_millis(1700);

impl Farewell {
    /// The answer that switches protocols is about to be written.
    pub(in crate::edge) fn tunnel_opens(&self) {
        self.0.state.fetch_or(OPEN, Ordering::Relaxed);
    }

    /// Ends the tunnel, if there is or will be one. An ordinary connection does not notice.
    pub(in crate::edge) fn say(&self, reason: Reason) {
        self.0.state.fetch_or(reason.bit(), Ordering::Release);
        self.wake();
    }

    /// From now on [`Self::is_late`] may be.
    pub(in crate::edge) fn watch(&self) {
        self.0.state.fetch_or(WATCHED, Ordering::Relaxed);
    }

    /// It was told to end, and ends soon at the latest.
    pub(in crate::edge) fn cut(&self) {
        self.0.state.fetch_or(CUT, Ordering::Release);
        self.0.server.wake();
    }

    /// Told, and the time is over. To be awaited by the task that serves it, behind what it serves: that is where the
    /// watch begins. Costs nothing while there is none.
    pub(in crate::edge) async fn is_late(&self) {
        poll_fn(|cx| {
            if self.0.state.load(Ordering::Relaxed) & WATCHED == 0 {
                return Poll::Pending;
            }
            self.0.server.register(cx.waker());
            if self.0.state.load(Ordering::Acquire) & CUT == 0 {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        tokio::time::sleep(LATEST).await;
    }

    /// Who reads from or writes to the connection is to be woken.
    fn listen(&self, waker: &Waker) {
        self.0.waker.register(waker);
    }

    /// Wakes what reads from the connection.
    fn wake(&self) {
        self.0.waker.wake();
    }

    fn has_tunnel(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & OPEN != 0
    }

    fn reason(&self) -> Option<Reason> {
        let state = self.0.state.load(Ordering::Acquire);
        Reason::ALL
            .into_iter()
            .find(|reason| state & reason.bit() != 0)
    }
}
