//! What is neither Keycloak, nor the ladder, nor TLS, nor an app: sessions, seal keys, networks, limits, logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::{self, Fields, Text, check_name};
use crate::config::keys;
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report};
use crate::config::resolved::{Limits, Log, LogTarget, SessionStore, Sessions};
use crate::config::secret;
use crate::model::requirement::Network;
use crate::model::session::Secret;

const VERSION: i64 = 1;
const HOUR: Duration = Duration::from_secs(60 * 60);
const STORE: &str = "/var/lib/stepgate";
const CACHE: u64 = 256 << 20;
/// 256 bits.
const SEAL_KEY_BYTES: usize = 32;

pub(super) struct Basics {
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) sessions: Sessions,
    pub(super) seal_keys: Vec<Secret>,
    pub(super) limits: Limits,
    pub(super) log: Log,
}

pub(super) fn resolve(root: Fields<'_>, outside: &Outside<'_>) -> Basics {
    let report = root.report();
    check_version(root);
    // Where it leads was looked up before; here only its type is checked.
    let _ = root.text("policies");
    Basics {
        trusted_proxies: root
            .texts("trusted_proxies")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|given| network(given, report))
            .collect(),
        sessions: sessions(root, outside),
        seal_keys: seal_keys(root, outside),
        limits: limits(root),
        log: log(root),
    }
}

pub(super) fn networks(root: Fields<'_>) -> Vec<Network> {
    let report = root.report();
    root.named("networks")
        .iter()
        .map(|entry| {
            check_name(&entry.key, &entry.place, &[], report);
            Network {
                name: entry.key.clone(),
                ranges: fields::texts(&entry.node, report)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|given| network(given, report))
                    .collect(),
            }
        })
        .collect()
}

fn check_version(root: Fields<'_>) {
    let Some(node) = root.required("version") else {
        return;
    };
    match node.value {
        Value::Integer(VERSION) => {}
        Value::Integer(_) => root.report().push(
            Problem::error(
                Code::WrongVersion,
                &node.place,
                "this stepgate reads version 1 of the configuration",
            )
            .label("expected 1"),
        ),
        _ => fields::wrong_type(node, "a number", root.report()).unwrap_or_default(),
    }
}

fn sessions(root: Fields<'_>, outside: &Outside<'_>) -> Sessions {
    let fields = root.table("sessions", &keys::SESSIONS);
    let span = |key: &str, default: Duration| {
        fields
            .and_then(|fields| fields.span(key))
            .unwrap_or(default)
    };
    Sessions {
        store: store(fields, outside),
        idle: span("idle", HOUR),
        absolute: span("absolute", 12 * HOUR),
        refresh_grace: span("refresh_grace", HOUR),
    }
}

fn store(fields: Option<Fields<'_>>, outside: &Outside<'_>) -> SessionStore {
    let in_file = fields.and_then(|fields| {
        fields.choice_but("store", &[("file", true), ("memory", false)], &["redis"])
    });
    let path = fields.and_then(|fields| fields.text("path"));
    let cache = fields.and_then(|fields| fields.size("cache", 1 << 20, 1 << 40));
    if in_file.unwrap_or(true) {
        return SessionStore::File {
            path: outside.base.join(path.map_or(STORE, |path| path.text)),
            cache: cache.unwrap_or(CACHE),
        };
    }
    for key in ["path", "cache"] {
        if let Some(fields) = fields
            && let Some(place) = fields.key_place(key)
        {
            fields.report().push(
                Problem::error(
                    Code::NotOfStore,
                    place,
                    format!("`{key}` is of the store in a file, and `store` is \"memory\""),
                )
                .help(format!("take `{key}` out, or write store = \"file\"")),
            );
        }
    }
    SessionStore::Memory
}

fn seal_keys(root: Fields<'_>, outside: &Outside<'_>) -> Vec<Secret> {
    let Some(fields) = root.table("seal", &keys::SEAL) else {
        return Vec::new();
    };
    let report = root.report();
    let Some(listed) = fields.required("keys") else {
        return Vec::new();
    };
    let nodes: &[Node] = fields::list(listed, report);
    if nodes.is_empty() && matches!(listed.value, Value::List(_)) {
        report.push(
            Problem::error(Code::EmptyValue, &listed.place, "the list is empty")
                .help("without `[seal]`, stepgate makes a key for itself"),
        );
    }
    nodes
        .iter()
        .filter_map(|node| {
            let key = secret::read(node, outside, report)?;
            let length = key.reveal().len();
            // An unreadable one is empty where that is only a warning.
            if length != 0 && length < SEAL_KEY_BYTES {
                report.push(
                    Problem::error(
                        Code::WeakSecret,
                        &node.place,
                        format!("the key has {length} bytes; it needs {SEAL_KEY_BYTES} or more"),
                    )
                    .help("stepgate keygen seal --out FILE"),
                );
            }
            Some(key)
        })
        .collect()
}

fn limits(root: Fields<'_>) -> Limits {
    let fields = root.table("limits", &keys::LIMITS);
    let span = |key: &str, default: u64| {
        fields
            .and_then(|fields| fields.span(key))
            .unwrap_or(Duration::from_secs(default))
    };
    let number = |key: &str, most: u64, default: u32| {
        fields
            .and_then(|fields| fields.number(key, 1, most))
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    let count = |key: &str, default: u32| number(key, 1_000_000, default) as usize;
    let fields_of_header = fields.and_then(|fields| fields.number("header_count", 16, 256));
    Limits {
        header_time: span("header_time", 30),
        header_bytes: fields
            .and_then(|fields| fields.size("header_bytes", 4 << 10, 1 << 20))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(64 << 10),
        header_count: fields_of_header
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(100),
        body_bytes: fields.and_then(body_bytes).unwrap_or(1 << 30),
        body_time: span("body_time", 60),
        connections: count("connections", 10_000),
        connections_per_address: count("connections_per_address", 256),
        h2_streams: number("h2_streams", 1_000, 100),
        h2_resets: number("h2_resets", 100_000, 200),
        logins_in_flight: count("logins_in_flight", 64),
        logins_per_minute: number("logins_per_minute", 100_000, 60),
        sessions_per_subject: number("sessions_per_subject", 10_000, 100) as usize,
        grace: span("grace", 30),
    }
}

/// Of the installation, an app or a route.
pub(super) fn body_bytes(fields: Fields<'_>) -> Option<u64> {
    fields.size("body_bytes", 1 << 10, 1 << 40)
}

fn log(root: Fields<'_>) -> Log {
    let Some(fields) = root.table("log", &keys::LOG) else {
        return Log::default();
    };
    let target = |key: &str| {
        let node = fields.node(key)?;
        if matches!(node.value, Value::Table(_)) {
            let file = Fields::open(node, &keys::LOG_FILE, root.report())?;
            return Some(LogTarget::File(PathBuf::from(
                file.required_text("file")?.text,
            )));
        }
        fields
            .choice(key, &[("stdout", false), ("off", true)])
            .map(|off| {
                if off {
                    LogTarget::Off
                } else {
                    LogTarget::Stdout
                }
            })
    };
    Log {
        access: target("access").unwrap_or_default(),
        audit: target("audit").unwrap_or_default(),
    }
}

pub(super) fn addresses(root: Fields<'_>, key: &str) -> Vec<SocketAddr> {
    root.texts(key)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| address(given, root.report()))
        .collect()
}

pub(super) fn address(given: Text<'_>, report: &Report) -> Option<SocketAddr> {
    let address = given.text.parse().ok();
    if address.is_none() {
        report.push(
            Problem::error(
                Code::BadAddress,
                given.place,
                format!("`{}` is not an address and a port", given.text),
            )
            .help("such as \"127.0.0.1:8080\" or \"[::1]:8080\""),
        );
    }
    address
}

/// A single address is the network of it alone.
fn network(given: Text<'_>, report: &Report) -> Option<IpNet> {
    let parsed = given
        .text
        .parse::<IpNet>()
        .ok()
        .or_else(|| given.text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    let Some(network) = parsed else {
        report.push(
            Problem::error(
                Code::BadNetwork,
                given.place,
                format!("`{}` is not a network", given.text),
            )
            .help("such as \"192.0.2.0/24\" or \"2001:db8::/32\""),
        );
        return None;
    };
    if network.trunc() != network {
        report.push(
            Problem::error(
                Code::BadNetwork,
                given.place,
                format!("`{}` has bits behind its prefix", given.text),
            )
            .help(format!("did you mean `{}`?", network.trunc())),
        );
    }
    Some(network.trunc())
}
