//! Caddy with what its `forward_auth` stands for.

use std::process::Command;

use crate::fronts::site::Site;
use crate::upstreams::parts::start;

#[tokio::test]
async fn caddy_asks_and_the_snippet_is_enough() {
    let mut site = Site::before("caddy", &[]).await;
    let folder = site.folder();
    let file = folder.path().join("Caddyfile");
    // Its own admin endpoint has one port for all.
    let text = format!("{{\n\tadmin off\n}}\n{}", site.snippet("caddy", &[]));
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&file)
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path());
    let started = start("Caddy before an app", command, folder, vec![site.port]).await;
    let Some(part) = started else { return };
    site.stands(part);
    site.holds().await;
}
