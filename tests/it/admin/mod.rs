//! The operators' side of a running stepgate: who may ask, what is told of health and in metrics, and what is done over
//! the socket.

mod approvals;
mod listener;
mod operations;
mod prometheus;

use std::path::PathBuf;
use std::process::Command;

use crate::flows::{Twist, World};

/// With both ways in.
const ADMIN: (&str, &str) = (
    "policies = \"policies\"",
    "policies = \"policies\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_socket = \"admin.sock\"",
);

async fn world() -> World {
    World::twisted(Twist {
        config: &[ADMIN],
        ..Twist::default()
    })
    .await
}

/// Of the admin listener: the status, and the body.
async fn read(world: &World, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let address = world.stepgate.admin.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(format!("http://{address}{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A series by its text before the value; 0 where there is none.
async fn metric(world: &World, series: &str) -> f64 {
    let (status, text) = read(world, "/metrics", &[]).await;
    assert_eq!(status, 200);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[derive(Debug)]
struct Typed {
    code: i32,
    out: String,
    err: String,
}

/// `stepgate …`, by the configuration of the running one.
async fn typed(world: &World, arguments: &[&str]) -> Typed {
    let config: PathBuf = world.stepgate.path("stepgate.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    command.args(arguments).arg("--config").arg(config);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    Typed {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
