//! Where operators come in.

use std::net::SocketAddr;

use crate::config::code::Code;
use crate::config::fields::{Fields, Text};
use crate::config::load::Outside;
use crate::config::problem::{Problem, Report};
use crate::config::resolved::{Admin, AdminSocket};

use super::installation::address;

/// `sun_path` of Linux, with its closing zero.
const SOCKET_PATH: usize = 108;

/// `proxy`: what the proxy itself listens on.
pub(super) fn resolve(root: Fields<'_>, proxy: &[SocketAddr], outside: &Outside<'_>) -> Admin {
    let report = root.report();
    let listen: Vec<_> = root
        .texts("admin_listen")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| {
            let found = address(given, report)?;
            // Port 0 is another one each time.
            if found.port() != 0 && proxy.contains(&found) {
                report.push(
                    Problem::error(
                        Code::AdminTaken,
                        given.place,
                        format!("the proxy itself listens on `{found}`"),
                    )
                    .help("operators have an address of their own, such as \"127.0.0.1:9901\""),
                );
            }
            Some(found)
        })
        .collect();
    let hosts: Vec<_> = root
        .texts("admin_hosts")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| host(given, report))
        .collect();
    if let (true, Some(place)) = (listen.is_empty(), root.key_place("admin_hosts"))
        && !root.has("admin_listen")
    {
        report.push(
            Problem::error(
                Code::AdminHost,
                place,
                "names of an admin listener that there is not",
            )
            .help("say where it listens, such as admin_listen = \"0.0.0.0:9901\""),
        );
    }
    Admin {
        listen,
        hosts,
        socket: root
            .text("admin_socket")
            .map_or_else(AdminSocket::default, |given| socket(given, outside, report)),
        ready_needs_keycloak: root.flag("ready_needs_keycloak").unwrap_or(false),
    }
}

/// As it stands in `Host`.
fn host(given: Text<'_>, report: &Report) -> Option<String> {
    let parsed = given.text.parse::<http::uri::Authority>();
    let is_host = parsed.is_ok_and(|authority| {
        !authority.host().is_empty() && !given.text.contains('@') && !given.text.contains('*')
    });
    if !is_host {
        report.push(
            Problem::error(
                Code::AdminHost,
                given.place,
                format!("`{}` is not a host as a request names it", given.text),
            )
            .help("such as \"stepgate.internal:9901\""),
        );
        return None;
    }
    Some(given.text.to_owned())
}

fn socket(given: Text<'_>, outside: &Outside<'_>, report: &Report) -> AdminSocket {
    if given.text == "off" {
        return AdminSocket::Off;
    }
    let path = outside.base.join(given.text);
    let problem = if given.text.ends_with('/') || path.file_name().is_none() {
        Some(format!("`{}` names a folder", given.text))
    } else if path.as_os_str().len() >= SOCKET_PATH {
        let length = path.as_os_str().len();
        Some(format!(
            "the path has {length} bytes; a socket's has {} at most",
            SOCKET_PATH - 1
        ))
    } else {
        None
    };
    if let Some(problem) = problem {
        report.push(
            Problem::error(Code::SocketPath, given.place, problem)
                .help("such as \"/run/stepgate/admin.sock\", or \"off\""),
        );
    }
    AdminSocket::At(path)
}
