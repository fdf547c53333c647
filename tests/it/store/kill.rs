//! Killed in the middle of everything, again and again: what was answered holds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::site::{Site, session_cookie};
use crate::harness::eventually;

const ROUNDS: usize = 8;
const BROWSERS: usize = 6;
/// Answered sign-ins in a round before it is killed.
const SIGN_INS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In,
    /// A sign-out was answered.
    Out,
    /// A sign-out was sent, and not answered.
    Unknown,
}

type Known = Mutex<Vec<(String, State)>>;

/// Signs in and out until nobody answers.
async fn browse(site: &Site, known: &Known, over: &AtomicBool, number: usize) {
    let mut count = number;
    while !over.load(Ordering::SeqCst) {
        let Some(cookie) = site.log_in().await else {
            continue;
        };
        let index = {
            let mut known = known.lock().unwrap();
            known.push((cookie.clone(), State::In));
            known.len() - 1
        };
        let note = |state| known.lock().unwrap()[index].1 = state;
        count += 1;
        if count.is_multiple_of(3) {
            note(State::Unknown);
            match site.log_out(&cookie).await {
                None => {}
                Some(303) => note(State::Out),
                Some(other) => panic!("a sign-out is answered with {other}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_9_loses_nothing_that_was_answered() {
    let site = Site::new().await;
    let known = Known::default();
    for _ in 0..ROUNDS {
        let process = site.start().await;
        holds(&site, &known).await;
        let before = known.lock().unwrap().len();
        let over = AtomicBool::new(false);
        let browsers = (0..BROWSERS).map(|number| browse(&site, &known, &over, number));
        let killing = async {
            // Each browser takes its time on a machine that is busy.
            for more in 1..=SIGN_INS {
                eventually("a sign-in", || {
                    (known.lock().unwrap().len() >= before + more).then_some(())
                })
                .await;
            }
            process.kill();
            over.store(true, Ordering::SeqCst);
        };
        tokio::join!(join_all(browsers), killing);
    }
    let process = site.start().await;
    holds(&site, &known).await;
    process.stop().await;
    let process = site.start().await;
    holds(&site, &known).await;
    drop(process);
    let known = known.lock().unwrap();
    for state in [State::In, State::Out] {
        assert!(known.iter().filter(|(_, known)| *known == state).count() > ROUNDS);
    }
}

async fn holds(site: &Site, known: &Known) {
    let known = known.lock().unwrap().clone();
    for (cookie, state) in known {
        let status = site.page(&cookie).await.unwrap();
        match state {
            State::In => assert_eq!(status, 200, "a session was lost\n{}", site.said()),
            State::Out => assert_eq!(status, 303, "a sign-out was undone\n{}", site.said()),
            State::Unknown => assert!(matches!(status, 200 | 303), "{status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_is_under_way_is_finished_after_the_kill_and_once() {
    let site = Site::new().await;
    let process = site.start().await;
    let [before, after] = [
        site.begin_login().await.unwrap(),
        site.begin_login().await.unwrap(),
    ];
    let landed = site.finish_login(&before).await.unwrap();
    assert!(session_cookie(&landed).is_some(), "{landed}");
    process.kill();

    let _process = site.start().await;
    let landed = site.finish_login(&after).await.unwrap();
    let cookie = session_cookie(&landed).unwrap_or_else(|| panic!("no session:\n{landed}"));
    assert_eq!(site.page(&cookie).await, Some(200));
    // Its code was used, and the provider ends a session whose code is sent twice.
    let again = site.finish_login(&before).await.unwrap();
    assert_eq!(session_cookie(&again), None, "{again}");
}
