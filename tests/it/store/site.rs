//! A realm, an app, and the folder of a stepgate that is a process of its own, stopped and started again on one port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    self, BOUND, eventually, eventually_async, field, page, sign_in, status, upstream, written,
};
use crate::keycloak::free_port;

pub(super) struct Site {
    pub(super) folder: TempDir,
    pub(super) port: u16,
}

/// A sign-in of which only the way back is left.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    flow: String,
    callback: String,
}

/// Killed when it is dropped.
pub(super) struct Process(pub(super) Child);

impl Site {
    /// With sessions in the folder `sessions`.
    pub(super) async fn new() -> Self {
        let issuer = harness::realm().await;
        let (app, _) = upstream(|_, mut wire| async {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp")
                .await;
            Some(wire)
        })
        .await;
        Self::before(app, &issuer)
    }

    pub(super) fn before(app: SocketAddr, issuer: &str) -> Self {
        let port = free_port();
        let site = Self {
            folder: written(port, app, issuer, "5s", BOUND),
            port,
        };
        std::fs::create_dir(site.sessions()).unwrap();
        site.edit("store    = \"memory\"", "path = \"sessions\"");
        site.edit(
            "[limits]",
            "[limits]\nlogins_per_minute = 100000\nsessions_per_subject = 10000",
        );
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn sessions(&self) -> PathBuf {
        self.path("sessions")
    }

    pub(super) fn edit(&self, from: &str, to: &str) {
        let path = self.path("stepgate.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not there");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    pub(super) fn spawn(&self) -> Process {
        let said = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("said"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["serve", "--config", "stepgate.toml"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Process(child)
    }

    /// Until it answers.
    pub(super) async fn start(&self) -> Process {
        let mut process = self.spawn();
        let ping =
            "GET /.stepgate/ping HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
        let port = self.port;
        eventually_async("stepgate", async || {
            let answer = ask(port, ping.to_owned()).await?;
            (status(&answer) == 200).then_some(())
        })
        .await;
        assert!(process.0.try_wait().unwrap().is_none(), "{}", self.said());
        process
    }

    /// One that does not start: its code, and what it said.
    pub(super) async fn refused(&self) -> (Option<i32>, String) {
        drop(std::fs::remove_file(self.path("said")));
        let mut process = self.spawn();
        let ended = eventually("its end", || process.0.try_wait().unwrap()).await;
        (ended.code(), self.said())
    }

    pub(super) async fn ask(&self, request: String) -> Option<String> {
        ask(self.port, request).await
    }

    /// `None`: no answer.
    pub(super) async fn log_in(&self) -> Option<String> {
        let begun = self.begin_login().await?;
        let landed = self.finish_login(&begun).await?;
        let cookie = session_cookie(&landed);
        Some(cookie.unwrap_or_else(|| panic!("no session after the login:\n{landed}")))
    }

    pub(super) async fn begin_login(&self) -> Option<Begun> {
        let start = self.ask(page("/", "none=1")).await?;
        let flow = field(&start, "set-cookie").split(';').next()?.to_owned();
        assert_eq!(status(&start), 303, "{start}");
        let callback = sign_in(field(&start, "location"), "alice").await;
        Some(Begun { flow, callback })
    }

    /// What the way back is answered with.
    pub(super) async fn finish_login(&self, begun: &Begun) -> Option<String> {
        self.ask(page(&begun.callback, &begun.flow)).await
    }

    /// Of the app's page, as a browser with that cookie gets it; `None`: no answer.
    pub(super) async fn page(&self, cookie: &str) -> Option<u16> {
        Some(status(&self.ask(page("/", cookie)).await?))
    }

    pub(super) async fn log_out(&self, cookie: &str) -> Option<u16> {
        let request = format!(
            "POST /.stepgate/logout HTTP/1.1\r\nHost: app.localhost\r\nOrigin: http://app.localhost\r\nCookie: {cookie}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Some(status(&self.ask(request).await?))
    }
}

pub(super) fn session_cookie(landed: &str) -> Option<String> {
    landed
        .lines()
        .filter_map(|line| line.strip_prefix("Set-Cookie: "))
        .find(|set| set.starts_with("__Host-stepgate="))
        .and_then(|set| set.split(';').next())
        .map(str::to_owned)
}

/// `None`: nobody answered, or not to the end of the header.
pub(super) async fn ask(port: u16, request: String) -> Option<String> {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut read = Vec::new();
        let _reset = stream.read_to_end(&mut read).await;
        let text = String::from_utf8(read).unwrap();
        text.contains("\r\n\r\n").then_some(text)
    };
    harness::bounded(talk).await
}

impl Process {
    /// As `kill -9` does.
    pub(super) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(super) async fn stop(mut self) {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let ended = eventually("its end", || self.0.try_wait().unwrap()).await;
        assert_eq!(ended.code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// For what needs root: says so where it cannot be done, and fails where it has to be.
pub(super) fn cannot(test: &str, why: &str) {
    assert!(
        std::env::var_os("STEPGATE_REQUIRE_REAL").is_none_or(|value| value != "1"),
        "{test}: {why}, and STEPGATE_REQUIRE_REAL=1"
    );
    crate::keycloak::not_run(test, why);
}

/// A command of the machine; what it said when it failed.
pub(super) fn run(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A small file system of its own, gone with this.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    pub(super) fn new(path: &Path, size: &str) -> Result<Self, String> {
        let place = path.to_str().unwrap();
        let options = format!("size={size},mode=700");
        run(&[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            &options,
            "stepgate-test",
            place,
        ])?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run(&["mount", "-o", &options, self.0.to_str().unwrap()]).unwrap();
    }

    /// To the last byte.
    pub(super) fn fill(&self) {
        use std::io::Write as _;

        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(super) fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(run(&["umount", "-l", self.0.to_str().unwrap()]));
    }
}
