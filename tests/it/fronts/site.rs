//! An app behind a real proxy, stepgate beside it, and a browser before both.

use std::process::Command;

use tempfile::TempDir;

use crate::flows::{Twist, World};
use crate::harness::{ask, field, status};
use crate::keycloak::free_port;
use crate::upstreams::parts::Part;

pub(crate) struct Site {
    pub(crate) world: World,
    /// Of the proxy.
    pub(crate) port: u16,
    part: Option<Part>,
}

impl Site {
    /// stepgate and app; the proxy is still to be started on its port.
    pub(crate) async fn before(kind: &str, policy: &[(&str, &str)]) -> Self {
        let port = free_port();
        let forward_auth = format!("forward_auth = \"{kind}\"");
        let policy: Vec<_> = [("app_cookies = [\"JSESSIONID\"]", forward_auth.as_str())]
            .iter()
            .chain(policy)
            .copied()
            .collect();
        let world = World::twisted(Twist {
            config: &[
                (
                    "policies = \"policies\"",
                    "policies = \"policies\"\ntrusted_proxies = [\"127.0.0.1/32\"]",
                ),
                // Nobody who runs these tests is there.
                (
                    "office = [\"192.0.2.0/24\"]",
                    "office = [\"203.0.113.0/24\"]",
                ),
            ],
            policy: &policy,
            front: Some(port),
            ..Twist::default()
        })
        .await;
        Self {
            world,
            port,
            part: None,
        }
    }

    pub(crate) fn stands(&mut self, part: Part) {
        self.part = Some(part);
    }

    pub(crate) fn falls(&mut self) {
        self.part = None;
    }

    pub(crate) fn folder(&self) -> TempDir {
        tempfile::tempdir().unwrap()
    }

    /// What `stepgate snippets` prints.
    pub(crate) fn snippet(&self, kind: &str, more: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args([
                "snippets",
                kind,
                &format!("payroll.localhost:{}", self.port),
            ])
            .args(more)
            .arg("--config")
            .arg(self.world.stepgate.path("stepgate.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and words of `stepgate doctor forward-auth`.
    pub(crate) async fn doctor(&self, more: &[&str]) -> (Option<i32>, String) {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args([
                "doctor",
                "forward-auth",
                &format!("payroll.localhost:{}", self.port),
            ])
            .args(more)
            .arg("--config")
            .arg(self.world.stepgate.path("stepgate.toml"))
            .output()
            .await
            .unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// Bytes to the proxy.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let address = ([127, 0, 0, 1], self.port).into();
        ask(address, request).await
    }

    pub(crate) async fn get(&self, path: &str, more: &str) -> String {
        let port = self.port;
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: payroll.localhost:{port}\r\nConnection: close\r\n{more}\r\n"
        ))
        .await
    }

    pub(crate) fn cookies(&self) -> String {
        let url = self.world.url("/").parse().unwrap();
        self.world.browser.cookies_for(&url)
    }

    /// What holds behind every proxy that does as its snippet says.
    pub(crate) async fn holds(&mut self) {
        self.signs_in().await;
        self.tells_programs().await;
        self.believes_no_client().await;
        self.passes_no_second_reading().await;
        let (code, said) = self
            .doctor(&["--connect", &format!("127.0.0.1:{}", self.port)])
            .await;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.matches("  ok ").count(), 5, "{said}");
    }

    /// A browser signs in and steps up on its way, and lands where it wanted to go.
    async fn signs_in(&mut self) {
        let world = &mut self.world;
        assert_eq!(world.lands("/records/7?x=1", "alice").await, ["password"]);
        let hit = world.last_hit();
        assert_eq!(hit.target, "/records/7?x=1");
        assert_eq!(hit.header("x-level"), "password");
        assert_eq!(hit.header("x-forwarded-groups"), "clerks");
        assert!(!hit.header("x-forwarded-user").is_empty());
        assert!(!hit.header("cookie").contains("stepgate"), "{hit:?}");
        assert_eq!(world.lands("/mfa/a", "alice").await, ["password", "code"]);
        assert_eq!(world.last_hit().header("x-level"), "mfa");
        assert_eq!(world.lands("/records/8", "alice").await, [""; 0]);
        // Groups are judged, too: the page is stepgate's.
        let denied = world.open("/admin/a").await;
        assert_eq!(denied.status, 403, "{}", denied.text());
        let line = world.logged("/records/8").await;
        assert_eq!(line["decision"], "allow");
        // Envoy tells the machine's own address of a client on the loopback.
        if line["forward_auth"] != "envoy" {
            assert_eq!(line["client"], "127.0.0.1");
        }
    }

    /// Whole answers come through: status, challenge, body, cookies.
    async fn tells_programs(&self) {
        let no = self.get("/records/7", "").await;
        assert_eq!(status(&no), 401, "{no}");
        assert!(no.contains("\"code\":\"login\""), "{no}");
        assert!(!field(&no, "www-authenticate").is_empty(), "{no}");
        let port = self.port;
        let post = self
            .ask(&format!(
                "POST /mfa/a HTTP/1.1\r\nHost: payroll.localhost:{port}\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=b"
            ))
            .await;
        assert_eq!(status(&post), 401, "{post}");
        let cookies = format!("Cookie: theme=dark; {}\r\n", self.cookies());
        let before = self.world.hit_count();
        let post = self
            .ask(&format!(
                "POST /mfa/a HTTP/1.1\r\nHost: payroll.localhost:{port}\r\nConnection: close\r\n{cookies}Content-Length: 3\r\n\r\na=b"
            ))
            .await;
        assert_eq!(status(&post), 200, "{post}");
        assert!(post.contains("app POST /mfa/a"), "{post}");
        assert_eq!(self.world.hit_count(), before + 1);
        assert_eq!(self.world.last_hit().header("cookie"), "theme=dark");
        assert_eq!(status(&self.get("/.stepgate/ping", "").await), 200);
    }

    /// Whatever a client says of itself or of its request reaches nobody.
    async fn believes_no_client(&self) {
        let own = self.cookies();
        let lies = "X-Forwarded-User: mallory\r\nX-Forwarded-Email: mallory@example.com\r\nX-Forwarded-Groups: admins\r\n\
                    X-Level: hardware-key\r\nRemote-User: mallory\r\nX-Auth-Request-Email: x\r\nX-Auth-Username: mallory\r\n";
        let hit = |answer: String| {
            assert_eq!(status(&answer), 200, "{answer}");
            let hit = self.world.last_hit();
            for (name, value) in &hit.headers {
                let value = value.to_str().unwrap_or_default();
                assert!(
                    !(value.contains("mallory")
                        || value.contains("admins")
                        || value == "hardware-key"),
                    "{name}: {value}"
                );
            }
            hit
        };
        hit(self.get("/public/a", lies).await);
        let alice = hit(self
            .get("/records/7", &format!("Cookie: {own}\r\n{lies}"))
            .await);
        assert_eq!(alice.header("x-level"), "mfa");
        // The user has no address: nobody's is told.
        assert!(alice.header("cookie").is_empty(), "{alice:?}");

        // Another path, host or method than the one that is asked for: refused, or not believed.
        let before = self.world.hit_count();
        for lie in [
            "X-Forwarded-Uri: /public/a",
            "X-Forwarded-Host: other.localhost",
            "X-Forwarded-Method: OPTIONS",
            "X-Original-URL: http://payroll.localhost/public/a",
            "X-Original-URI: /public/a",
            "X-Original-Method: GET",
            "X-Rewrite-Url: /public/a",
            "Forwarded: for=203.0.113.1;host=other.localhost",
        ] {
            let answer = self.get("/records/7", &format!("{lie}\r\n")).await;
            assert!(
                matches!(status(&answer), 400 | 401 | 403),
                "{lie}: {answer}"
            );
            // The network of an office is not the client's to say.
            let forged = format!("Cookie: {own}\r\nX-Forwarded-For: 203.0.113.1\r\n{lie}\r\n");
            let answer = self.get("/office/a", &forged).await;
            assert!(status(&answer) >= 400, "{lie}: {answer}");
        }
        for disguised in [
            "X_Forwarded_User: mallory",
            "X_Level: hardware-key",
            "x-forwarded_groups: admins",
        ] {
            let answer = self.get("/public/a", &format!("{disguised}\r\n")).await;
            if status(&answer) == 200 {
                hit(answer);
            }
        }
        let nominated = format!("Cookie: {own}\r\nConnection: X-Level, X-Forwarded-User\r\n");
        let nominated = self.get("/records/7", &nominated).await;
        if status(&nominated) == 200 {
            assert_eq!(
                self.world.last_hit().header("x-level"),
                "mfa",
                "{nominated}"
            );
        }
        // Only for the proxy itself.
        for own in [
            "/.stepgate/verify",
            "/.stepgate/verify/public/a",
            "/.stepgate/challenge",
        ] {
            let forged = format!(
                "X-Original-Method: GET\r\nX-Original-URL: {}\r\n",
                self.world.url("/public/a")
            );
            let answer = self.get(own, &forged).await;
            assert!(matches!(status(&answer), 403 | 404), "{own}: {answer}");
        }
        assert!(before <= self.world.hit_count());
    }

    async fn passes_no_second_reading(&self) {
        let before = self.world.hit_count();
        for target in [
            "/public/../mfa/a",
            "/public/%2e%2e/mfa/a",
            "/public%2f..%2fmfa/a",
            "//mfa/a",
            "/public/..;/mfa/a",
            "/public/a;/../../mfa/a",
            "/.stepgate/../mfa/a",
            "/.stepgate/%2e%2e/mfa/a",
            "/%2estepgate/ping",
            "/public\\..\\mfa/a",
            "/mfa%00/a",
        ] {
            let answer = self.get(target, "").await;
            assert!(status(&answer) >= 300, "{target}: {answer}");
        }
        assert_eq!(self.world.hit_count(), before);
    }
}
