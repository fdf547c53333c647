//! `scripts/keycloak` where something is missing or wrong, by programs that only look like the real ones; and that what
//! a test starts ends with the test.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use tempfile::TempDir;

use super::server::{SCRIPT, watched};
use crate::harness::eventually;

/// What the script needs of any machine.
const ORDINARY: [&str; 13] = [
    "bash",
    "cat",
    "dirname",
    "env",
    "flock",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "touch",
    "unzip",
];

/// A machine with these programs; `left_out` is of the ordinary ones.
fn machine(programs: &[(&str, &str)], left_out: &str) -> TempDir {
    let machine = tempfile::tempdir().unwrap();
    let path = |name: &str| machine.path().join(name);
    for name in ORDINARY.into_iter().filter(|name| *name != left_out) {
        let real = ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{name}"));
        let real = real.iter().find(|real| fs::exists(real).unwrap());
        symlink(real.unwrap_or_else(|| panic!("no {name}")), path(name)).unwrap();
    }
    for (name, text) in programs {
        fs::write(path(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    machine
}

const JAVA_17: (&str, &str) = ("java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2");
const JAVA_11: (&str, &str) = ("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2");

/// Puts something there under the right name.
const OTHER_ZIP: (&str, &str) = (
    "mvn",
    "for arg; do case $arg in -DoutputDirectory=*) echo other \
     >\"${arg#*=}/keycloak-quarkus-dist-26.7.5.zip\";; esac; done",
);

#[test]
fn what_is_missing_is_named() {
    let no_mvn = ("mvn", "exit 1");
    for (programs, left_out, said) in [
        (
            &[][..],
            "",
            "Java 17 or newer is needed, and there is no java",
        ),
        (&[JAVA_11], "", "Java 17 or newer is needed, and java is 11"),
        (&[JAVA_17], "unzip", "unzip is needed"),
        (&[JAVA_17], "", "mvn or curl is needed to get https://"),
        (&[JAVA_17, no_mvn], "", "mvn could not get org.keycloak:"),
        (&[JAVA_17, OTHER_ZIP], "", "its sha256 is another"),
    ] {
        let machine = machine(programs, left_out);
        let cache = tempfile::tempdir().unwrap();
        let output = Command::new(SCRIPT)
            .arg("fetch")
            .env_clear()
            .env("PATH", machine.path())
            .env("STEPGATE_CACHE", cache.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
        assert!(output.stdout.is_empty());
        // Nothing half done that a later run would take for the real thing.
        let left: Vec<_> = fs::read_dir(cache.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        assert!(left.is_empty(), "{said}: {left:?}");
    }
}

/// However this process ends, its end of the pipe is closed then.
#[tokio::test]
async fn what_is_watched_ends_with_its_watcher() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let script = format!(
        "echo $$ >{0}.new; mv {0}.new {0}; sleep 1000",
        note.display()
    );
    let mut child = watched("sh").args(["-c", &script]).spawn().unwrap();
    let pid = eventually("its id", || fs::read_to_string(&note).ok()).await;
    // A zombie is gone as well: it waits for whoever inherited it.
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    assert!(alive());
    drop(child.stdin.take());
    child.wait().unwrap();
    eventually("its end", || (!alive()).then_some(())).await;
}
