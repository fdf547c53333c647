//! The walk through a change of the seal key that docs/sessions.md shows.

use std::process::Command;

use super::site::{Site, session_cookie};
use crate::harness::eventually;

const DONE: &str = "every stored session is sealed by the first key";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seal_key_is_changed_and_nobody_is_signed_out() {
    let site = Site::new().await;
    let process = site.start().await;
    let first = site.log_in().await.unwrap();
    let begun = site.begin_login().await.unwrap();
    process.stop().await;

    let make = || {
        Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["keygen", "seal", "--out", "seal-2.key"])
            .current_dir(site.folder.path())
            .output()
            .unwrap()
    };
    assert!(make().status.success());
    let made = std::fs::read(site.path("seal-2.key")).unwrap();
    assert_eq!(make().status.code(), Some(1), "a key was written over");
    assert_eq!(std::fs::read(site.path("seal-2.key")).unwrap(), made);

    // The order counts: the new one alone leaves sessions that nobody can read, and that is no sign-in.
    let new = "{ file = \"seal-2.key\" }";
    let both = format!("[seal]\nkeys = [{new}, {{ file = \"sessions/seal.key\" }}]\n[keycloak]");
    site.edit("[keycloak]", &format!("[seal]\nkeys = [{new}]\n[keycloak]"));
    let process = site.start().await;
    assert_eq!(site.page(&first).await, Some(503));
    assert!(
        site.said().contains("a key that is not configured"),
        "{}",
        site.said()
    );
    process.stop().await;

    site.edit(&format!("[seal]\nkeys = [{new}]\n[keycloak]"), &both);
    let process = site.start().await;
    assert_eq!(site.page(&first).await, Some(200));
    let landed = site.finish_login(&begun).await.unwrap();
    let second = session_cookie(&landed).expect("a sign-in from before the change");
    eventually("the sessions sealed anew", || {
        site.said().contains(DONE).then_some(())
    })
    .await;
    process.stop().await;

    site.edit(&both, &format!("[seal]\nkeys = [{new}]\n[keycloak]"));
    let _process = site.start().await;
    for cookie in [&first, &second] {
        assert_eq!(site.page(cookie).await, Some(200));
    }
}

/// The same without a restart: the configuration is read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seal_key_is_changed_without_a_restart() {
    let site = Site::new().await;
    let process = site.start().await;
    let first = site.log_in().await.unwrap();
    std::fs::write(site.path("seal-2.key"), "k".repeat(40)).unwrap();
    site.edit(
        "[keycloak]",
        "[seal]\nkeys = [{ file = \"seal-2.key\" }, { file = \"sessions/seal.key\" }]\n[keycloak]",
    );
    eventually("the sessions sealed anew", || {
        site.said().contains(DONE).then_some(())
    })
    .await;
    site.edit(", { file = \"sessions/seal.key\" }", "");
    process.stop().await;
    let _process = site.start().await;
    assert_eq!(site.page(&first).await, Some(200));
}
