//! A real Prometheus scrapes a running stepgate.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use stepgate::telemetry::metrics::{
    ApprovalOutcome, CATALOGUE, ChannelDecision, Label, NotificationResult, SignInOutcome,
};
use tempfile::TempDir;

use super::{read, world};
use crate::flows::World;
use crate::harness::eventually_async;
use crate::keycloak::{free_port, not_run};

struct Prometheus {
    url: String,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// `None`, and said so, where it is not installed.
    fn start(world: &World) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let target = world.stepgate.admin.unwrap();
        std::fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: stepgate\n  static_configs: \
                 [{{ targets: ['{target}'] }}]\n"
            ),
        )
        .unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            missing("prometheus");
            return None;
        };
        Some(Self {
            url: format!("http://{address}"),
            child,
            _folder: folder,
        })
    }

    /// The value, once there is one that is as wanted.
    async fn eventually(&self, query: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        eventually_async(query, async || {
            let mut url = reqwest::Url::parse(&self.url).unwrap();
            url.set_path("/api/v1/query");
            url.query_pairs_mut().append_pair("query", query);
            let answer = client.get(url).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            let value = answer["data"]["result"].get(0)?["value"]
                .get(1)?
                .as_str()?
                .parse()
                .ok()?;
            wanted(value).then_some(value)
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn missing(program: &str) {
    let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(
        !required,
        "{program} is missing, and STEPGATE_REQUIRE_REAL=1"
    );
    not_run("admin::prometheus", &format!("there is no {program} here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_what_prometheus_knows() {
    let mut world = world().await;
    let Some(prometheus) = Prometheus::start(&world) else {
        return;
    };
    prometheus
        .eventually("up{job=\"stepgate\"}", |up| up == 1.0)
        .await;

    assert_eq!(world.lands("/mfa/", "alice").await, ["password", "code"]);
    for _ in 0..3 {
        assert_eq!(world.status("/mfa/again").await, 200);
    }
    assert_eq!(world.status("/public/").await, 200);
    assert_eq!(world.status("/key/").await, 401);
    let unknown = "GET / HTTP/1.1\r\nHost: unknown.example\r\nConnection: close\r\n\r\n";
    assert!(
        world
            .stepgate
            .ask(unknown)
            .await
            .starts_with("HTTP/1.1 421")
    );

    let labels = |route: &str, code: &str, decision: &str| {
        format!(
            "{{app=\"payroll\",route=\"{route}\",method=\"GET\",code=\"{code}\",decision=\"{decision}\"}}"
        )
    };
    let requests = |labels: String| format!("stepgate_http_requests_total{labels}");
    for (query, expected) in [
        (requests(labels("mfa", "2xx", "allow")), 4.0),
        (requests(labels("mfa", "3xx", "login")), 1.0),
        (requests(labels("public", "2xx", "allow")), 1.0),
        (requests(labels("key", "4xx", "step-up")), 1.0),
        (
            requests(
                "{app=\"(none)\",route=\"(none)\",code=\"4xx\",decision=\"refuse\"}".to_owned(),
            ),
            1.0,
        ),
        (
            "stepgate_decisions_total{decision=\"refuse\",reason=\"unknown-host\"}".to_owned(),
            1.0,
        ),
        (
            "stepgate_decisions_total{route=\"key\",decision=\"step-up\",reason=\"missing\"}"
                .to_owned(),
            1.0,
        ),
        (
            "stepgate_http_request_duration_seconds_count{route=\"mfa\"}".to_owned(),
            5.0,
        ),
        (
            "stepgate_upstream_request_duration_seconds_count{upstream=\"app\"}".to_owned(),
            5.0,
        ),
        ("stepgate_proxy_overhead_seconds_count".to_owned(), 5.0),
        (
            "stepgate_challenges_total{level=\"mfa\",kind=\"page\"}".to_owned(),
            1.0,
        ),
        (
            "stepgate_challenges_total{level=\"hardware-key\",kind=\"program\"}".to_owned(),
            1.0,
        ),
        (
            "stepgate_callbacks_total{result=\"signed-in\"}".to_owned(),
            1.0,
        ),
        ("stepgate_logins_total".to_owned(), 1.0),
        ("stepgate_sessions_active".to_owned(), 1.0),
        (
            "stepgate_oidc_request_seconds_count{endpoint=\"token\",outcome=\"answered\"}"
                .to_owned(),
            1.0,
        ),
        ("stepgate_oidc_up".to_owned(), 1.0),
        ("stepgate_store_up".to_owned(), 1.0),
        (
            "stepgate_store_operation_seconds_count{op=\"put\",result=\"done\"}".to_owned(),
            1.0,
        ),
        ("stepgate_config_last_reload_successful".to_owned(), 1.0),
        ("stepgate_http_requests_in_flight".to_owned(), 0.0),
        ("stepgate_draining".to_owned(), 0.0),
        ("stepgate_build_info".to_owned(), 1.0),
    ] {
        prometheus
            .eventually(&query, |value| value == expected)
            .await;
    }
    let step_up = world
        .open("/.stepgate/step-up?level=mfa&return=%2Fmfa%2F")
        .await;
    world.clock.advance(7);
    world.go_on(step_up, "alice").await;
    for (query, expected) in [
        (
            "stepgate_stepup_outcomes_total{level=\"mfa\",outcome=\"started\"}",
            1.0,
        ),
        (
            "stepgate_stepup_outcomes_total{level=\"mfa\",outcome=\"proven\"}",
            1.0,
        ),
        ("stepgate_stepup_duration_seconds_sum{level=\"mfa\"}", 7.0),
        (
            "stepgate_stepup_duration_seconds_bucket{level=\"mfa\",le=\"10.0\"}",
            1.0,
        ),
    ] {
        prometheus
            .eventually(query, |value| value == expected)
            .await;
    }
    for query in [
        "stepgate_jwks_last_success_timestamp_seconds",
        "stepgate_config_last_reload_success_timestamp_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
    ] {
        prometheus.eventually(query, |value| value > 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_linter_has_nothing_to_say() {
    let mut world = world().await;
    world.lands("/mfa/", "alice").await;
    let (_, text) = read(&world, "/metrics", &[]).await;
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut linter) = started else {
        missing("promtool");
        return;
    };
    linter
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = linter.wait_with_output().unwrap();
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_openmetrics_gets_it() {
    let world = world().await;
    let accept =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let (status, text) = read(&world, "/metrics", &[("accept", accept)]).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"));
    let (_, plain) = read(&world, "/metrics", &[("accept", "*/*")]).await;
    assert!(!plain.contains("# EOF"));
}

/// The names of metrics and of their labels that a query asks for, by the letters that they are made of.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
}

/// What a label of it can be, where that is a word of ours.
fn words_of(metric: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    fn all<L: Label>() -> Vec<&'static str> {
        L::ALL.iter().map(|label| label.name()).collect()
    }
    match metric {
        "stepgate_notifications_total" => vec![("result", all::<NotificationResult>())],
        "stepgate_approvals_total" => vec![("outcome", all::<ApprovalOutcome>())],
        "stepgate_ciba_requests_total" => vec![("outcome", all::<SignInOutcome>())],
        "stepgate_channel_decisions_total" => vec![("result", all::<ChannelDecision>())],
        _ => Vec::new(),
    }
}

/// `label="this"` and `label=~"this|that"` in a query.
fn matched_by<'q>(query: &'q str, label: &str) -> Vec<&'q str> {
    let behind = query.split(label).skip(1);
    let value = |rest: &'q str| {
        let rest = rest.strip_prefix("=~").or_else(|| rest.strip_prefix('='))?;
        rest.strip_prefix('"')?.split('"').next()
    };
    let values = behind.filter_map(value);
    values.filter(|value| !value.starts_with('$')).collect()
}

/// What a notice can become of is what the docs list.
#[test]
fn the_docs_say_what_becomes_of_a_notice() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/channels.md")).unwrap();
    let (_, table) = text.split_once("| `result` | |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let listed: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
    let all = NotificationResult::ALL.iter().map(|result| result.name());
    assert_eq!(listed, all.collect());
}

/// Every query of the dashboard and of the alert rules asks for what is there, by labels that it has.
#[test]
fn the_dashboard_and_the_alerts_ask_for_what_is_there() {
    // What Prometheus itself adds or takes.
    const OF_PROMETHEUS: &[&str] = &["up", "job", "instance", "le"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config/grafana/stepgate.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            queries.push((
                query.to_owned(),
                target["legendFormat"].as_str().unwrap().to_owned(),
            ));
        }
    }
    assert!(queries.len() > 20, "{}", queries.len());
    let rules_path = root.join("config/prometheus/stepgate.rules.yml");
    let rules = std::fs::read_to_string(&rules_path).unwrap();
    // An alert's expression and what it says, up to the next one.
    for alert in rules.split("- alert:").skip(1) {
        let (query, said) = alert.split_once("labels:").unwrap();
        let (_, query) = query.split_once("expr:").unwrap();
        queries.push((query.to_owned(), said.replace("$labels.", "")));
    }
    for (query, said) in &queries {
        let asked: Vec<_> = words(query)
            .filter(|word| word.starts_with("stepgate_") || word.starts_with("process_"))
            .map(|word| {
                let bare = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| word.strip_suffix(end));
                let found = CATALOGUE
                    .iter()
                    .find(|known| known.name == word || Some(known.name) == bare);
                found.unwrap_or_else(|| panic!("no metric {word}: {query}"))
            })
            .collect();
        assert!(!asked.is_empty() || query.contains("up{"), "{query}");
        let is_known = |label: &str| {
            OF_PROMETHEUS.contains(&label)
                || asked.iter().any(|known| known.labels.contains(&label))
        };
        let by = query
            .split("by (")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        let matched = query
            .split(['{', ','])
            .skip(1)
            .filter_map(|rest| rest.split_once('='));
        let shown = said
            .split("{{")
            .skip(1)
            .map(|rest| rest.split("}}").next().unwrap());
        let labels = by
            .flat_map(words)
            .chain(
                matched.filter_map(|(label, _)| words(label).next().filter(|word| *word == label)),
            )
            .chain(shown.flat_map(words));
        for label in labels {
            assert!(is_known(label), "no label {label}: {query} {said}");
        }
        for known in &asked {
            for (label, words) in words_of(known.name) {
                for wanted in matched_by(query, label) {
                    let is_word = wanted.split('|').all(|one| words.contains(&one));
                    assert!(is_word, "{label} is never {wanted}: {query}");
                }
            }
        }
    }
    let checked = Command::new("promtool")
        .arg("check")
        .arg("rules")
        .arg(rules_path)
        .output();
    let Ok(checked) = checked else {
        missing("promtool");
        return;
    };
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
