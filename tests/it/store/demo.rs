//! `scripts/demo`, as `make demo` runs it: stepgate is killed, and everybody is still signed in.

use std::path::Path;
use std::process::Command;

use super::site::{cannot, run};

/// In a network of its own, for the demo's ports are fixed.
const WALK: &str = r#"
set -euo pipefail
ip link set lo up
place=$1 out=$1/out
scripts/demo sandbox >"$out" 2>&1 & demo=$!
trap 'kill $demo 2>/dev/null || true; wait $demo 2>/dev/null || true; cat "$out" >&2' EXIT
waited() { # FOR COMMAND…
    local what=$1; shift
    for _ in $(seq 300); do "$@" && return; sleep 0.1; done
    echo "waited in vain for $what" >&2; exit 1
}
site=http://payroll.localhost:8080
waited "the demo" grep -q 'Ctrl-C stops it all' "$out"
header() { sed -nE "s/^$1: ([^;]*).*/\1/Ip" <<<"$2" | tr -d '\r' | head -n 1; }
# curl keeps no `Secure` cookie of a plain host, as browsers do for localhost: they are carried by hand.
get() { curl -s -D - -o "$place/page" -H 'Accept: text/html' -H "Cookie: ${2:-none=1}" "$1"; }
status() { get "$@" | sed -nE '1s/^[^ ]* ([0-9]+).*/\1/p'; }
start=$(get "$site/")
curl -s -o "$place/page" "$(header location "$start")"
action=$(sed -nE 's/.*action="([^"]*)".*/\1/p' "$place/page" | sed 's/&amp;/\&/g')
typed=$(curl -s -D - -o /dev/null "$action" -d username=alice -d password=alice-password)
landed=$(get "$(header location "$typed")" "$(header set-cookie "$start")")
cookie=$(sed -nE 's/^set-cookie: (__Host-stepgate-8080=[^;]+).*/\1/Ip' <<<"$landed" | tr -d '\r' | head -n 1)
[ "$(status "$site/" "$cookie")" = 200 ] || { echo "no sign-in: $landed" >&2; exit 1; }
for round in 1 2 3; do
    killed=$(sed -nE 's/.*kill -9 \$\(cat (.*)\)$/\1/p' "$out")
    pid=$(cat "$killed")
    kill -9 "$pid"
    waited "the restart" eval '[ "$(cat "$killed")" != "$pid" ]'
    waited "stepgate" curl -sf -o /dev/null "$site/.stepgate/ping"
    [ "$(status "$site/" "$cookie")" = 200 ] || { echo "signed out by a kill -9" >&2; exit 1; }
done
[ "$(grep -c 'starting it again' "$out")" = 3 ]
kill -TERM $demo; wait $demo || true
! curl -s -o /dev/null "$site/.stepgate/ping" || { echo "stepgate outlives the demo" >&2; exit 1; }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_survives_a_kill_9() {
    if let Err(why) = run(&["unshare", "-n", "ip", "link", "set", "lo", "up"]) {
        let why = format!("no network of its own can be had: {}", why.trim());
        return cannot("the_demo_survives_a_kill_9", &why);
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_stepgate"));
    let output = tokio::task::spawn_blocking({
        let place = folder.path().to_owned();
        move || {
            Command::new("unshare")
                .args(["-n", "bash", "-c", WALK, "walk"])
                .arg(&place)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("CARGO_TARGET_DIR", program.ancestors().nth(2).unwrap())
                .env("STEPGATE__SESSIONS__PATH", place.join("sessions"))
                .output()
                .unwrap()
        }
    })
    .await
    .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
