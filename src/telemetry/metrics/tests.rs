//! The catalogue and what is scraped are the same, in both formats; nothing a client sends makes a series.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;

use super::*;
use crate::config::{Options, Secrets, load};

fn config() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret", "only-for-tests");
    write(
        "stepgate.toml",
        r#"
        version = 1
        policies = "policies"
        [keycloak]
        issuer = "http://127.0.0.1:1/realms/none"
        client_id = "stepgate"
        client_secret = { file = "secret" }
        [[levels]]
        name = "password"
        base = true
        proof = { acr = ["1"] }
        [upstreams.app]
        url = "http://127.0.0.1:1"
        "#,
    );
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    write(
        "policies/erp.toml",
        r#"
        url = "http://app.localhost"
        upstream = "app"
        require = { level = "password" }
        [[routes]]
        id = "public"
        path = "/public/**"
        public = true
        "#,
    );
    let options = Options {
        environment: Vec::new(),
        secrets: Secrets::Required,
        now: None,
    };
    let config = load(&folder.path().join("stepgate.toml"), &options)
        .unwrap()
        .config;
    (folder, config)
}

fn ended<'r>(
    method: &'r Method,
    status: u16,
    decision: &'r str,
    reason: Option<&'static str>,
) -> Ended<'r> {
    Ended {
        method,
        status,
        decision,
        reason,
        took: Duration::from_millis(3),
    }
}

/// Everything that needs something to happen before it has a series.
fn used(metrics: &Metrics, config: &Config) {
    let routes = metrics.http.routes(config);
    routes
        .of(Some(0), Some((0, 0)), "allow")
        .count(ended(&Method::GET, 200, "allow", None));
    let level = config.ladder.iter().next().unwrap();
    metrics.challenged(level, ChallengeKind::Page);
    metrics.notified("phone", NotificationResult::Sent);
    metrics.approval("erp/four-eyes", ApprovalOutcome::Asked);
    metrics.approval_took("erp/four-eyes", Duration::from_secs(90));
    metrics.wrong_number("erp/four-eyes");
    metrics.break_glass("erp/four-eyes");
    metrics.decided_by("hook", ChannelDecision::Approved);
    metrics.sign_in("teller", SignInOutcome::Asked);
    metrics.approvals_are([("erp/four-eyes", 1)]);
    metrics.step_up(level, StepUpOutcome::Proven);
    metrics.step_up_took(level, Duration::from_secs(9));
    metrics.upstreams(config)[0].failed(UpstreamFailure::Down);
    metrics.upstreams_are([("app", "127.0.0.1:1".to_owned(), true)]);
    metrics.certificate("erp.example.com", Timestamp::from_unix(1_800_000_000));
}

/// By name: type and label names, without those that the type itself adds.
fn scraped(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let types: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|base| types.get(base) == Some(&"histogram"))
            .unwrap_or(name);
        let kind = types
            .get(base)
            .or_else(|| types.get(base.strip_suffix("_total")?));
        let names = labels
            .split("\",")
            .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()))
            .filter(|name| name != "le");
        let entry: &mut (String, BTreeSet<String>) = found
            .entry(base.to_owned())
            .or_insert_with(|| ((*kind.unwrap()).to_owned(), BTreeSet::new()));
        entry.1.extend(names);
    }
    found
}

#[test]
fn what_is_scraped_is_what_is_listed() {
    let (_folder, config) = config();
    let metrics = Metrics::new();
    used(&metrics, &config);
    let listed: BTreeMap<_, _> = CATALOGUE
        .iter()
        .map(|definition| {
            let labels = definition.labels.iter().map(|label| (*label).to_owned());
            let kind = definition.kind.name().to_owned();
            (
                definition.name.to_owned(),
                (kind, labels.collect::<BTreeSet<_>>()),
            )
        })
        .collect();
    assert_eq!(listed.len(), CATALOGUE.len(), "a name stands twice");
    for format in [Format::Prometheus, Format::OpenMetrics] {
        assert_eq!(
            scraped(&metrics.encode(format).unwrap()),
            listed,
            "{format:?}"
        );
    }
    let open = metrics.encode(Format::OpenMetrics).unwrap();
    assert!(open.ends_with("# EOF\n"));
}

#[test]
fn names_follow_the_conventions() {
    for definition in CATALOGUE {
        let is_counter = definition.kind.name() == "counter";
        assert_eq!(
            definition.name.ends_with("_total"),
            is_counter,
            "{}",
            definition.name
        );
        assert!(!definition.help.ends_with('.'), "{}", definition.name);
        assert_eq!(
            matches!(definition.kind, Kind::Histogram(_)),
            !definition.kind.buckets().is_empty()
        );
    }
}

#[test]
fn a_request_is_counted_where_it_belongs() {
    let (_folder, config) = config();
    let metrics = Metrics::new();
    let routes = metrics.http.routes(&config);
    let position = |id: &str| {
        let all = config.apps[0].table.routes();
        Some((0, all.iter().position(|route| route.id == id).unwrap()))
    };
    let brew = Method::from_bytes(b"BREW").unwrap();
    routes
        .of(Some(0), position("public"), "allow")
        .count(ended(&Method::GET, 200, "allow", None));
    routes
        .of(Some(0), position("public"), "allow")
        .count(ended(&Method::GET, 204, "allow", None));
    routes
        .of(Some(0), position("default"), "step-up")
        .count(ended(&Method::POST, 401, "step-up", Some("too-old")));
    routes
        .of(Some(0), None, "own")
        .count(ended(&Method::GET, 303, "own", None));
    routes
        .of(Some(0), None, "refuse")
        .count(ended(&brew, 405, "refuse", Some("method")));
    routes
        .of(None, None, "refuse")
        .count(ended(&Method::GET, 421, "refuse", Some("unknown-host")));
    let text = metrics.encode(Format::Prometheus).unwrap();
    for line in [
        r#"stepgate_http_requests_total{app="erp",route="public",method="GET",code="2xx",decision="allow"} 2"#,
        r#"stepgate_http_requests_total{app="erp",route="default",method="POST",code="4xx",decision="step-up"} 1"#,
        r#"stepgate_http_requests_total{app="erp",route="(own)",method="GET",code="3xx",decision="own"} 1"#,
        r#"stepgate_http_requests_total{app="erp",route="(none)",method="other",code="4xx",decision="refuse"} 1"#,
        r#"stepgate_http_requests_total{app="(none)",route="(none)",method="GET",code="4xx",decision="refuse"} 1"#,
        r#"stepgate_http_request_duration_seconds_count{app="erp",route="public"} 2"#,
        r#"stepgate_decisions_total{app="erp",route="public",decision="allow",reason=""} 2"#,
        r#"stepgate_decisions_total{app="erp",route="default",decision="step-up",reason="too-old"} 1"#,
        r#"stepgate_decisions_total{app="(none)",route="(none)",decision="refuse",reason="unknown-host"} 1"#,
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "no {line} in\n{text}"
        );
    }
}

#[test]
fn names_are_bounded_over_all_configurations() {
    let metrics = Metrics::new();
    for number in 0..MOST_NAMES + 50 {
        metrics.certificate(&number.to_string(), Timestamp::from_unix(1));
    }
    let text = metrics.encode(Format::Prometheus).unwrap();
    let series = text
        .lines()
        .filter(|line| line.starts_with("stepgate_tls_certificate_not_after"));
    assert_eq!(series.count(), MOST_NAMES + 1);
    metrics.keep_certificates(["7"]);
    let text = metrics.encode(Format::Prometheus).unwrap();
    let series: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("stepgate_tls_certificate_not_after"))
        .collect();
    assert_eq!(
        series,
        [r#"stepgate_tls_certificate_not_after_timestamp_seconds{name="7"} 1"#]
    );
}
