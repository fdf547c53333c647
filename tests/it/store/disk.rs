//! Disks that are full or read-only.

use super::site::{Mounted, Site, cannot, session_cookie};
use crate::harness::{eventually_async, status};

/// Sign-ins that a disk of that size has room for, at the most.
const MOST: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_never_a_pass_and_is_got_over() {
    let site = Site::new().await;
    let disk = match Mounted::new(&site.sessions(), "1m") {
        Ok(disk) => disk,
        Err(why) => {
            return cannot(
                "a_full_disk_is_said_and_never_a_pass_and_is_got_over",
                &format!("no tmpfs can be mounted: {}", why.trim()),
            );
        }
    };
    let mut process = site.start().await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(site.log_in().await.unwrap());
    }
    disk.fill();
    // What the file has room for itself is used up first.
    let refused = loop {
        assert!(sessions.len() < MOST, "the disk is never full");
        let begun = site.begin_login().await.unwrap();
        let landed = site.finish_login(&begun).await.unwrap();
        match session_cookie(&landed) {
            Some(cookie) => sessions.push(cookie),
            None => break landed,
        }
    };
    assert_eq!(status(&refused), 503, "{refused}");
    assert!(
        site.said().contains("the session store cannot be written"),
        "{}",
        site.said()
    );
    assert!(
        site.said().contains("No space left on device"),
        "{}",
        site.said()
    );

    // Who is signed in still is; a sign-out that cannot be kept is said to be none, and ends the session all the same.
    assert_eq!(site.page(&sessions[0]).await, Some(200));
    let leaving = sessions.split_off(sessions.len() / 2);
    let mut answers = Vec::new();
    for cookie in &leaving {
        let answer = site.log_out(cookie).await.unwrap();
        assert!(matches!(answer, 303 | 503), "{answer}");
        answers.push(answer);
        let page = site.page(cookie).await.unwrap();
        assert!(page != 200, "signed out with {answer}, and let in");
    }
    assert!(
        answers.contains(&503),
        "all were kept on a full disk: {answers:?}"
    );
    for cookie in &sessions {
        assert_eq!(site.page(cookie).await, Some(200));
    }

    disk.free();
    let cookie = eventually_async("a sign-in", async || {
        let begun = site.begin_login().await.unwrap();
        session_cookie(&site.finish_login(&begun).await.unwrap())
    })
    .await;
    sessions.push(cookie);
    assert!(
        process.0.try_wait().unwrap().is_none(),
        "it was another process"
    );
    assert!(
        site.said().contains("can be written again"),
        "{}",
        site.said()
    );

    process.kill();
    let _process = site.start().await;
    for cookie in &sessions {
        assert_eq!(site.page(cookie).await, Some(200));
    }
    for cookie in &leaving {
        assert_eq!(site.page(cookie).await, Some(303), "it came back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_or_read_only_at_the_start_is_said() {
    let test = "a_disk_that_is_full_or_read_only_at_the_start_is_said";
    let site = Site::new().await;
    let disk = match Mounted::new(&site.sessions(), "1m") {
        Ok(disk) => disk,
        Err(why) => return cannot(test, &format!("no tmpfs can be mounted: {}", why.trim())),
    };
    disk.fill();
    let (code, said) = site.refused().await;
    assert_eq!(code, Some(68), "{said}");
    assert!(
        said.contains("disk is full") || said.contains("No space left"),
        "{said}"
    );

    disk.free();
    let process = site.start().await;
    let cookie = site.log_in().await.unwrap();
    process.stop().await;
    disk.remount("ro");
    let (code, said) = site.refused().await;
    assert_eq!(code, Some(68), "{said}");
    assert!(said.contains("read-only"), "{said}");

    disk.remount("rw");
    let _process = site.start().await;
    assert_eq!(site.page(&cookie).await, Some(200));
}
