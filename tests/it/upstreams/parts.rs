//! Real servers behind stepgate, as Debian ships them, each in a folder and on ports of its own; and an authority that
//! signs their certificates.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{BOUND, install_crypto};
use crate::keycloak::{free_port, not_run};

/// A server that ends with the test.
pub(crate) struct Part {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) ports: Vec<u16>,
}

impl Part {
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[index]))
    }

    /// On its two outputs.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    pub(crate) fn stop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts it and waits for its ports. `None`, and said so, where it is not installed.
pub(crate) async fn start(
    test: &str,
    mut command: Command,
    folder: TempDir,
    ports: Vec<u16>,
) -> Option<Part> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = fs::File::create(folder.path().join("output")).unwrap();
    let started = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let Ok(child) = started else {
        let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
        assert!(
            !required,
            "{program} is missing, and STEPGATE_REQUIRE_REAL=1"
        );
        not_run(test, &format!("there is no {program} here"));
        return None;
    };
    let mut part = Part {
        child,
        folder,
        ports,
    };
    for index in 0..part.ports.len() {
        let address = part.address(index);
        let start = std::time::Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = part.child.try_wait().unwrap();
            let is_late = start.elapsed() > BOUND;
            assert!(
                ended.is_none() && !is_late,
                "{program}: {ended:?}\n{}",
                part.said()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    Some(part)
}

/// nginx with these servers in its `http`; `PORT0`, `PORT1` … become ports, `FOLDER` its folder, where `www` is.
pub(crate) async fn nginx(test: &str, servers: &str) -> Option<Part> {
    let folder = tempfile::tempdir().unwrap();
    let ports = ports(servers);
    nginx_on(test, servers, folder, ports).await
}

/// The same again, where it was.
pub(crate) async fn nginx_on(
    test: &str,
    servers: &str,
    folder: TempDir,
    ports: Vec<u16>,
) -> Option<Part> {
    let root = folder.path().display().to_string();
    let mut servers = servers.replace("FOLDER", &root);
    for (index, port) in ports.iter().enumerate() {
        servers = servers.replace(&format!("PORT{index}"), &format!("127.0.0.1:{port}"));
    }
    let config = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {root}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 512; }}\n\
         http {{\naccess_log off;\nclient_body_temp_path {root}/body;\nproxy_temp_path {root}/proxy;\n\
         fastcgi_temp_path {root}/fastcgi;\nuwsgi_temp_path {root}/uwsgi;\nscgi_temp_path {root}/scgi;\n\
         root {root}/www;\n{servers}\n}}\n"
    );
    fs::create_dir_all(folder.path().join("www")).unwrap();
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command
        .args(["-e", "stderr", "-c"])
        .arg(folder.path().join("nginx.conf"))
        .arg("-p")
        .arg(folder.path());
    start(test, command, folder, ports).await
}

/// An HTTP/2 server of files in its folder's `www`.
pub(crate) async fn nghttpd(
    test: &str,
    options: &[&str],
    certificate: Option<&Leaf>,
) -> Option<Part> {
    let folder = tempfile::tempdir().unwrap();
    let www = folder.path().join("www/public");
    fs::create_dir_all(&www).unwrap();
    fs::write(www.join("file"), "from nghttpd").unwrap();
    let port = free_port();
    let mut command = Command::new("nghttpd");
    command
        .args(["--address=127.0.0.1", "--echo-upload"])
        .arg(format!("--htdocs={}", folder.path().join("www").display()))
        .args(options);
    if certificate.is_none() {
        command.arg("--no-tls");
    }
    command.arg(port.to_string());
    if let Some(leaf) = certificate {
        command.args([&leaf.key, &leaf.certificate]);
    }
    start(test, command, folder, vec![port]).await
}

/// Any other program that listens on one port.
pub(crate) async fn program(
    test: &str,
    path: &Path,
    arguments: &[String],
    port: u16,
) -> Option<Part> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(path);
    command.args(arguments);
    start(test, command, folder, vec![port]).await
}

/// Tomcat with these files as its only app.
pub(crate) async fn tomcat(test: &str, files: &[(&str, &str)]) -> Option<Part> {
    const HOME: &str = "/usr/share/tomcat10";
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    for name in ["conf", "logs", "temp", "work", "webapps/ROOT/WEB-INF"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let server = format!(
        r#"<Server port="-1"><Service name="Catalina">
        <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1" connectionTimeout="20000"/>
        <Engine name="Catalina" defaultHost="localhost">
        <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false"/></Engine></Service></Server>"#
    );
    fs::write(folder.path().join("conf/server.xml"), server).unwrap();
    fs::copy("/etc/tomcat10/web.xml", folder.path().join("conf/web.xml")).ok();
    for (name, text) in files {
        let path = folder.path().join("webapps/ROOT").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // Without its script, so that the child is the server itself.
    let mut command = Command::new(if Path::new(HOME).exists() {
        "java"
    } else {
        HOME
    });
    let base = folder.path().display().to_string();
    command.args([
        "-Djava.awt.headless=true",
        "-XX:TieredStopAtLevel=1",
        &format!("-Dcatalina.home={HOME}"),
        &format!("-Dcatalina.base={base}"),
        &format!("-Djava.io.tmpdir={base}/temp"),
        "-cp",
        &format!("{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"),
        "org.apache.catalina.startup.Bootstrap",
        "start",
    ]);
    let part = start(test, command, folder, vec![port]).await?;
    install_crypto();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (name, _) in files {
        // It compiles them when they are first asked for, which takes its time.
        let url = format!("http://127.0.0.1:{port}/{name}");
        client.get(url).send().await.unwrap();
    }
    Some(part)
}

fn ports(servers: &str) -> Vec<u16> {
    (0..)
        .take_while(|index| servers.contains(&format!("PORT{index}")))
        .map(|_| free_port())
        .collect()
}

/// A certificate authority of the test's own.
pub(crate) struct Authority {
    folder: TempDir,
    pub(crate) certificate: PathBuf,
}

/// What it signed.
pub(crate) struct Leaf {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("ca.pem");
        let key = folder.path().join("ca.key");
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            text(&key),
            "-out",
            text(&certificate),
            "-subj",
            &format!("/CN={name}"),
            "-days",
            "2",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ]);
        Self {
            folder,
            certificate,
        }
    }

    /// `names`: as `subjectAltName` has them, `DNS:app.internal,IP:127.0.0.1`.
    pub(crate) fn sign(&self, name: &str, names: &str) -> Leaf {
        let file = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let (certificate, key, request, extensions) =
            (file("pem"), file("key"), file("csr"), file("ext"));
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            text(&key),
            "-out",
            text(&request),
            "-subj",
            &format!("/CN={name}"),
        ]);
        fs::write(&extensions, format!("subjectAltName={names}\n")).unwrap();
        openssl(&[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-CA",
            text(&self.certificate),
            "-CAkey",
            text(&self.folder.path().join("ca.key")),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            text(&extensions),
            "-out",
            text(&certificate),
        ]);
        Leaf { certificate, key }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
