#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

#[test]
fn parses() {
    let t = Target::parse(b"/%61b?x=1", Relaxations::NONE).unwrap();
    assert_eq!(
        (t.path(), t.query(), t.path_and_query()),
        ("/ab", Some("x=1"), "/ab?x=1")
    );
}
