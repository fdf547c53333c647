//! One HTTP/2 connection of a client: its streams are served side by side, and it is bounded as a whole.
//!
//! Pingora's own loop tells nobody of streams that are taken back, gives a header all the time there is, and ends an idle
//! connection without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::h2::Reason;
use ::h2::server::Connection;
use bytes::Bytes;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::fast_timeout::fast_sleep;

use super::farewell::Farewell;
use super::frames::{ReadAlong, Seen};
use super::guard::stopping;
use crate::config::Limits;
use crate::telemetry::metrics::{Counters, Limit};

/// Of what was received and nobody has read yet: of one stream, and of all of them.
const WINDOW: u32 = 256 << 10;

/// Of what was sent and the client has not read yet, of one stream.
const SEND_BUFFER: usize = 64 << 10;

/// Requests that are none, such as one without a host; as many as Pingora allows.
const MALFORMED: usize = 32;

/// For a client to hear that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Streams under way.
#[derive(Debug)]
struct Streams {
    opened: Instant,
    count: AtomicUsize,
    /// Milliseconds from `opened`; holds while there is none.
    idle_since: AtomicU64,
}

/// One of them, until it is dropped.
struct Held(Arc<Streams>);

impl Streams {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            count: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
        })
    }

    fn hold(self: &Arc<Self>) -> Held {
        self.count.fetch_add(1, Ordering::AcqRel);
        Held(Arc::clone(self))
    }

    /// For how long there has been none.
    fn idle_for(&self) -> Option<Duration> {
        (self.count.load(Ordering::Acquire) == 0).then(|| {
            let since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
            self.opened.elapsed().saturating_sub(since)
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(now, Ordering::Release);
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

tokio::task_local! {
    /// Of the stream that this task serves, where one has a body.
    static UPLOAD: Arc<Upload>;
}

/// Since when a body's next piece is waited for: over HTTP/2 Pingora waits for ever.
#[derive(Debug)]
struct Upload {
    opened: Instant,
    /// Milliseconds from `opened`, or [`OVER`].
    since: AtomicU64,
    /// Of the stream as a whole.
    farewell: Farewell,
}

const OVER: u64 = u64::MAX;

impl Upload {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            since: AtomicU64::new(0),
            farewell: Farewell::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(OVER - 1)
    }

    /// All of the time when there is nothing to wait for.
    fn left(&self, most: Duration) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        most.saturating_sub(Duration::from_millis(self.now().saturating_sub(since)))
    }
}

/// A piece of the body of the stream that this task serves is there.
pub(in crate::edge) fn body_moves() {
    let _none = UPLOAD.try_with(|upload| {
        if upload.since.load(Ordering::Relaxed) != OVER {
            upload.since.store(upload.now(), Ordering::Relaxed);
        }
    });
}

/// No more of it is waited for.
pub(in crate::edge) fn body_is_over() {
    let _none = UPLOAD.try_with(|upload| upload.since.store(OVER, Ordering::Relaxed));
}

/// A hand on the stream that this task serves, where it has a body; others are held up by nobody.
pub(in crate::edge) fn farewell() -> Option<Farewell> {
    UPLOAD.try_with(|upload| upload.farewell.clone()).ok()
}

/// How an end comes.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// Streams under way are finished.
    Gracefully(Instant),
    /// Now, with a reason.
    AtOnce(Instant),
}

/// Until it ends. `begun` is called when the preface is there; `run` puts a stream on its way.
pub(in crate::edge) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    app: &Arc<A>,
    stream: Stream,
    shutdown: &ShutdownWatch,
    limits: &Limits,
    refusals: &Counters<Limit>,
    begun: impl FnOnce(),
    run: impl Fn(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let seen = Arc::new(Seen::new(limits.h2_resets));
    let stream: Stream = Box::new(ReadAlong::new(stream, Arc::clone(&seen)));
    let Ok(mut connection) = handshake(stream, Some(options(limits))).await else {
        return;
    };
    begun();
    let streams = Streams::new();
    let stop = stopping(shutdown.clone());
    tokio::pin!(stop);
    let (mut leaving, mut malformed) = (None::<Leaving>, 0);
    loop {
        tokio::select! {
            biased;
            () = &mut stop, if leaving.is_none() => {
                connection.graceful_shutdown();
                leaving = Some(Leaving::Gracefully(Instant::now()));
            }
            () = seen.too_many_resets(), if !is_at_once(leaving) => {
                refusals.inc(Limit::Resets);
                leaving = Some(calm(&mut connection));
            }
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    let held = streams.hold();
                    let (app, shutdown) = (Arc::clone(app), shutdown.clone());
                    let (most, refusals) = (limits.body_time, refusals.clone());
                    run(Box::pin(async move {
                        let _held = held;
                        let has_body = !session.is_body_empty();
                        let work = app.process_new_http(ServerSession::new_http2(session), &shutdown);
                        if !has_body {
                            work.await;
                        } else if !in_time(work, most).await {
                            refusals.inc(Limit::BodyTime);
                        }
                    }));
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed >= MALFORMED && !is_at_once(leaving) {
                        leaving = Some(calm(&mut connection));
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    // A header in too many pieces; or too many requests that were taken back before they began, or that the
                    // client had us take back.
                    if leaving.is_none() && is_calming(&error) {
                        refusals.inc(if seen.is_in_pieces() {
                            Limit::HeaderBytes
                        } else {
                            Limit::Resets
                        });
                    }
                    return;
                }
            },
            () = fast_sleep(patience(leaving, limits, &streams, &seen)) => {}
        }
        for _ in 0..seen.take_refused() {
            refusals.inc(Limit::StreamsPerConnection);
        }
        let idle = streams.idle_for();
        match (leaving, seen.header_for()) {
            (Some(Leaving::AtOnce(since)), _) if since.elapsed() >= FAREWELL => return,
            (Some(Leaving::Gracefully(since)), _)
                if idle.is_some_and(|idle| since.elapsed().min(idle) >= FAREWELL) =>
            {
                return;
            }
            (None, Some(header)) if header >= limits.header_time => {
                refusals.inc(Limit::HeaderTime);
                leaving = Some(calm(&mut connection));
            }
            (None, None) if idle.is_some_and(|idle| idle >= limits.header_time) => {
                connection.graceful_shutdown();
                leaving = Some(Leaving::Gracefully(Instant::now()));
            }
            _ => {}
        }
    }
}

/// Whether the end of it did not have to be awaited.
async fn in_time<T>(work: impl Future<Output = T>, most: Duration) -> bool {
    let upload = Arc::new(Upload::new());
    let work = UPLOAD.scope(Arc::clone(&upload), work);
    let late = upload.farewell.is_late();
    tokio::pin!(work, late);
    loop {
        tokio::select! {
            biased;
            _ = &mut work => return true,
            // Cut off, and not by this limit.
            () = &mut late => return true,
            () = fast_sleep(upload.left(most)) => {}
        }
        if upload.left(most).is_zero() {
            return false;
        }
    }
}

/// The library ended the connection because of what the client does.
fn is_calming(error: &pingora::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<::h2::Error>()
        .is_some_and(|error| {
            error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
        })
}

fn is_at_once(leaving: Option<Leaving>) -> bool {
    matches!(leaving, Some(Leaving::AtOnce(_)))
}

fn calm(connection: &mut Connection<Stream, Bytes>) -> Leaving {
    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    Leaving::AtOnce(Instant::now())
}

/// Until something may have to end.
fn patience(leaving: Option<Leaving>, limits: &Limits, streams: &Streams, seen: &Seen) -> Duration {
    match leaving {
        Some(Leaving::AtOnce(since)) => FAREWELL.saturating_sub(since.elapsed()),
        // Streams under way are waited for by whoever stops the process.
        Some(Leaving::Gracefully(_)) => FAREWELL,
        None => {
            let waited = seen
                .header_for()
                .or_else(|| streams.idle_for())
                .unwrap_or_default();
            limits.header_time.saturating_sub(waited)
        }
    }
}

/// What is bounded by the library: how many streams, how much of each is held, how large a header is. One that is
/// larger than this is answered 431 by it, one that is larger than the limit by us, with a count.
fn options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    let header = u32::try_from(limits.header_bytes.saturating_mul(4)).unwrap_or(u32::MAX);
    options
        .max_header_list_size(header)
        .max_concurrent_streams(limits.h2_streams)
        .max_local_error_reset_streams(Some(limits.h2_resets as usize))
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    options
}
