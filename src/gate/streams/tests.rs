//! The registry keeps nothing of what has ended, and what is told while it looks is not lost.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::target::Relaxations;

#[derive(Debug)]
struct Nobody;

impl Hand for Nobody {
    fn close(&self, _closing: Closing) {}
}

const NONE: [u64; 0] = [];

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn session(number: u8) -> SessionKey {
    SessionKey([number; 32])
}

fn add(streams: &Arc<Streams>, key: SessionKey) -> OpenStream {
    streams.add(Open {
        id: streams.next.fetch_add(1, Ordering::Relaxed),
        kind: StreamKind::Events,
        authority: "app.localhost".to_owned(),
        method: Method::GET,
        target: Target::parse(b"/events", Relaxations::NONE).unwrap(),
        client: [192, 0, 2, 1].into(),
        request_id: "one".to_owned(),
        credential: Credential::Cookie,
        settled: None,
        marks: Vec::new(),
        hand: Arc::new(Nobody),
        course: Mutex::new(Course {
            key: Some(key),
            good: NOW,
            until: None,
            lapsed: None,
            unknown: None,
            ended: false,
        }),
    })
}

/// The numbers of those that are due.
fn due(streams: &Streams, now: Timestamp) -> Vec<u64> {
    streams.take_due(now).iter().map(|open| open.id).collect()
}

fn is_empty(streams: &Streams) -> bool {
    streams.count() == 0
        && streams.shards.iter().all(|shard| {
            let shard = shard.lock().unwrap();
            shard.open.is_empty()
                && shard.due.is_empty()
                && shard.now.is_empty()
                && shard.by_news.is_empty()
        })
}

#[test]
fn nothing_is_kept_of_what_has_ended() {
    let streams = Arc::new(Streams::default());
    let open: Vec<_> = (0..100)
        .map(|number| add(&streams, session(number)))
        .collect();
    assert_eq!(streams.count(), 100);
    for open in streams.take_due(NOW) {
        streams.keep(&open, Some(NOW));
    }
    streams.tell_all();
    streams.tell(News::Session(session(7)));
    drop(open);
    assert!(is_empty(&streams), "{streams:?}");
    // One that is still looked at is not put back.
    let open = add(&streams, session(1));
    let looked_at = streams.take_due(NOW);
    drop(open);
    streams.keep(&looked_at[0], Some(NOW));
    assert!(is_empty(&streams), "{streams:?}");
}

#[test]
fn each_is_due_at_first_and_when_its_time_or_news_come() {
    let streams = Arc::new(Streams::default());
    let _open: Vec<_> = (0..3)
        .map(|number| add(&streams, session(number)))
        .collect();
    let all = streams.take_due(NOW);
    assert_eq!(
        all.iter().map(|open| open.id).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    streams.keep(&all[0], Some(NOW.plus(std::time::Duration::from_secs(5))));
    streams.keep(&all[1], None);
    streams.forget(&all[2]);
    assert_eq!(due(&streams, NOW), NONE);
    let later = NOW.plus(std::time::Duration::from_secs(5));
    // Until somebody says when it is next.
    assert_eq!(due(&streams, later), [0]);
    assert_eq!(due(&streams, later), [0]);
    streams.keep(&all[0], None);
    assert_eq!(due(&streams, later), NONE);
    for (number, expected) in [(0, vec![0]), (1, vec![1]), (2, vec![]), (3, vec![])] {
        streams.tell(News::Session(session(number)));
        assert_eq!(due(&streams, NOW), expected, "{number}");
        assert_eq!(due(&streams, NOW), NONE);
    }
    streams.tell_all();
    assert_eq!(due(&streams, NOW), [0, 1, 2]);
}

/// A step-up moves a session, and news of the new place count.
#[test]
fn news_follow_a_session() {
    let streams = Arc::new(Streams::default());
    let _open = add(&streams, session(1));
    let all = streams.take_due(NOW);
    streams.tell(News::Session(session(1)));
    streams.keep(&all[0], None);
    assert_eq!(due(&streams, NOW), [0], "told while it was looked at");
    streams.moved(session(1), session(2));
    assert_eq!(due(&streams, NOW), [0]);
    streams.tell(News::Session(session(1)));
    assert_eq!(due(&streams, NOW), NONE);
    streams.tell(News::Session(session(2)));
    assert_eq!(due(&streams, NOW), [0]);
}
