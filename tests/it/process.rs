//! The real program, in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Wire, eventually, eventually_async};

pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Process {
    /// By the folder's `stepgate.toml`, which listens on that port of the loopback; what it says of itself is in `stderr`.
    pub(crate) async fn start(folder: TempDir, port: u16) -> Self {
        let said = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["serve", "--config", "stepgate.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let process = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            folder,
        };
        eventually_async("stepgate", async || {
            TcpStream::connect(process.address).await.ok()
        })
        .await;
        process
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder().join("stderr")).unwrap()
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Wire {
        let mut wire = self.wire().await;
        wire.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n"
        ))
        .await;
        wire
    }

    /// Such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let signal = format!("-{name}");
        let told = Command::new("kill").args([&signal, &id]).status().unwrap();
        assert!(told.success());
    }

    /// Its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = eventually("its end", || self.child.try_wait().unwrap()).await;
        ended.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
