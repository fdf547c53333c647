//! What cannot be used is said at the start, with a code of its own; nothing starts on an empty store instead.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_ends_the_start_and_says_what_to_do() {
    let site = Site::new().await;
    let process = site.start().await;
    let cookie = site.log_in().await.unwrap();
    let file = site.sessions().join("sessions.redb");
    let key = site.sessions().join("seal.key");
    let mode = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for path in [&file, &key] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }

    let second = {
        let other = fs::read_to_string(site.path("stepgate.toml")).unwrap();
        let elsewhere = other.replacen(&format!("127.0.0.1:{}", site.port), "127.0.0.1:0", 1);
        fs::write(site.path("stepgate.toml"), elsewhere).unwrap();
        let refused = site.refused().await;
        fs::write(site.path("stepgate.toml"), other).unwrap();
        refused
    };
    expect(&second, "another process uses the sessions");
    assert_eq!(site.page(&cookie).await, Some(200), "the first one goes on");
    process.stop().await;

    let whole = fs::read(&file).unwrap();
    fs::write(&file, "this is not it ".repeat(10_000)).unwrap();
    expect(&site.refused().await, "is no session store");
    fs::write(&file, &whole[..whole.len() / 3]).unwrap();
    expect(&site.refused().await, "sessions.redb");
    fs::write(&file, &whole).unwrap();

    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    expect(&site.refused().await, "bring it back");
    assert!(!key.exists(), "another key was made");
    fs::write(&key, kept).unwrap();
    mode(&key, 0o644);
    expect(&site.refused().await, "chmod 600");
    mode(&key, 0o600);

    let folder = site.sessions();
    mode(&folder, 0o777);
    expect(&site.refused().await, "chmod 700");
    mode(&folder, 0o700);
    let aside = site.path("aside");
    fs::rename(site.sessions(), &aside).unwrap();
    expect(&site.refused().await, "install -d -m 700");
    fs::rename(&aside, site.sessions()).unwrap();

    let _process = site.start().await;
    assert_eq!(site.page(&cookie).await, Some(200), "after all of it");
}

fn expect((code, said): &(Option<i32>, String), part: &str) {
    assert_eq!(*code, Some(68), "{said}");
    assert!(said.contains(part), "{part:?} is not in:\n{said}");
}
