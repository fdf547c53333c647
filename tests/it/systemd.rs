//! The unit of config/systemd, as it is written: judged by systemd's own tools, its commands run under a manager that
//! listens, and the whole under a real systemd that is process 1 of namespaces of its own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::docs::blocks;
use crate::harness::{BOUND, eventually, upstream, written};
use crate::keycloak::{free_port, not_run};

const PROGRAM: &str = "/usr/bin/stepgate";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unit() -> String {
    fs::read_to_string(root().join("config/systemd/stepgate.service")).unwrap()
}

/// The value of a key that the unit has once.
fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap();
    assert!(values.next().is_none(), "{key} is there twice");
    value
}

/// Whether the test cannot run, which is told.
fn cannot(test: &str, why: Option<String>) -> bool {
    let Some(why) = why else { return false };
    let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "{why}, and STEPGATE_REQUIRE_REAL=1");
    not_run(test, &why);
    true
}

fn text(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_unit_has_no_mistakes_and_little_exposure() {
    let has_it = Command::new("systemd-analyze").arg("--version").output();
    let why = has_it
        .err()
        .map(|error| format!("systemd-analyze: {error}"));
    if cannot("systemd::the_unit_has_no_mistakes_and_little_exposure", why) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stepgate.service");
    // Only whether the program is there depends on the machine.
    fs::write(
        &path,
        unit().replace(PROGRAM, env!("CARGO_BIN_EXE_stepgate")),
    )
    .unwrap();
    let analyze = |arguments: &[&str]| {
        Command::new("systemd-analyze")
            .args(arguments)
            .arg(&path)
            .output()
            .unwrap()
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert!(verified.status.success(), "{}", text(&verified));
    assert_eq!(text(&verified), "");
    // Tenths of its scale, on which 10.0 is a service that may do everything.
    let judged = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(judged.status.success(), "{}", text(&judged));
}

/// A manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message that is not just a sign of life.
    fn told(&self) -> String {
        loop {
            let message = self.message();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn message(&self) -> String {
        let mut message = [0; 4096];
        let length = self.0.recv(&mut message).expect("nothing was said");
        String::from_utf8(message[..length].to_vec())
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_is_told_of_start_reload_and_stop() {
    let (app, _) = upstream(|_, wire| async { Some(wire) }).await;
    let port = free_port();
    let folder = written(port, app, "http://127.0.0.1:1/realms/none", "1s", BOUND);
    let socket = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    manager.0.set_read_timeout(Some(BOUND)).unwrap();

    let unit = unit();
    let config = folder.path().join("stepgate.toml");
    let start = value(&unit, "ExecStart")
        .replace(PROGRAM, env!("CARGO_BIN_EXE_stepgate"))
        .replace("/etc/stepgate/stepgate.toml", config.to_str().unwrap());
    let mut words = start.split(' ');
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let run = |command: &str| {
        let mut words = command.split(' ');
        let status = Command::new(words.next().unwrap()).args(words).status();
        assert!(status.unwrap().success(), "{command}");
    };

    let serving = format!("STATUS=serving on 127.0.0.1:{port}");
    assert_eq!(manager.told(), format!("READY=1\n{serving}"));
    while manager.message() != "WATCHDOG=1" {}

    let reload = value(&unit, "ExecReload").replace("$MAINPID", &id);
    let is_reloading = |message: &str| {
        let time = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        time.is_some_and(|time| time.parse::<u64>().is_ok())
    };
    run(&reload);
    let message = manager.told();
    assert!(is_reloading(&message), "{message}");
    assert_eq!(manager.told(), format!("READY=1\n{serving}"));

    let right = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{right}\nnonsense = 1\n")).unwrap();
    run(&reload);
    let message = manager.told();
    assert!(is_reloading(&message), "{message}");
    let message = manager.told();
    assert!(
        message.starts_with(&format!("READY=1\n{serving}; not reloaded: SG0003")),
        "{message}"
    );

    run(&format!("kill -TERM {id}"));
    assert!(manager.told().starts_with("STOPPING=1\n"));
    let ended = eventually("its end", || child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
}

/// Runs as root in namespaces of its own: nothing that it mounts, writes or starts is seen outside, and all of it ends
/// with it. What the unit needs of the machine is laid over what is there.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount --make-rshared /
ip link set lo up
mount -t tmpfs tmpfs /run
for at in usr/bin etc var; do
    mkdir -p /run/over/$at /run/work/$at
    mount -t overlay overlay -o lowerdir=/$at,upperdir=/run/over/$at,workdir=/run/work/$at /$at
done
touch /usr/bin/stepgate
mount --bind "$PROGRAM" /usr/bin/stepgate
rm -rf /etc/stepgate
cp -r "$FILES/etc/stepgate" /etc/
mkdir -p /run/units
cp "$UNIT" /run/units/
for target in sysinit basic shutdown network-online; do
    printf '[Unit]\nDefaultDependencies=no\n' > /run/units/$target.target
done
exec env -i PATH="$PATH" container=unshare SYSTEMD_UNIT_PATH=/run/units \
    /usr/lib/systemd/systemd --system --unit=stepgate.service --log-target=console --show-status=0
"#;

/// A systemd that has one service.
struct Machine {
    child: Child,
    cgroup: PathBuf,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Why there is none, where it cannot be.
    async fn boot() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
        for block in blocks(&page) {
            if let Some(name) = block.file {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, block.text).unwrap();
            }
        }
        let cgroups = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"]
            .into_iter()
            .map(Path::new)
            .find(|at| at.join("cgroup.procs").exists())
            .ok_or("there are no control groups")?;
        let cgroup = cgroups.join(format!("stepgate-test-{}", std::process::id()));
        fs::create_dir(&cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
        let log = fs::File::create(folder.path().join("console")).unwrap();
        let child = Command::new("sh")
            .arg("-c")
            .arg("echo $$ > \"$CGROUP/cgroup.procs\" && exec unshare --pid --mount --net --cgroup --uts --ipc --fork --kill-child --mount-proc sh -c \"$BOOT\"")
            .env("BOOT", BOOT)
            .env("CGROUP", &cgroup)
            .env("FILES", folder.path())
            .env("PROGRAM", env!("CARGO_BIN_EXE_stepgate"))
            .env("UNIT", root().join("config/systemd/stepgate.service"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut machine = Self {
            child,
            cgroup,
            folder,
        };
        let booted = eventually("a systemd", || {
            if machine.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            machine
                .inside("systemctl --version")
                .status
                .success()
                .then_some(true)
        })
        .await;
        if booted {
            Ok(machine)
        } else {
            Err(format!("no systemd can run here: {}", machine.console()))
        }
    }

    /// Runs a line of shell beside the service.
    fn inside(&self, line: &str) -> Output {
        let id = self.child.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let first = fs::read_to_string(children).unwrap_or_default();
        let first = first.split(' ').next().unwrap_or_default().to_owned();
        Command::new("nsenter")
            .args([
                "--target", &first, "--mount", "--pid", "--net", "sh", "-c", line,
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap()
    }

    /// Of the service, such as `ActiveState`.
    fn shown(&self, property: &str) -> String {
        let line = format!("systemctl show stepgate --value --property {property}");
        text(&self.inside(&line)).trim().to_owned()
    }

    async fn until(&self, property: &str, is_so: impl Fn(&str) -> bool) -> String {
        let start = std::time::Instant::now();
        loop {
            let shown = self.shown(property);
            if is_so(&shown) {
                return shown;
            }
            assert!(
                start.elapsed() < BOUND,
                "{property} is {shown:?}; {}\n{}",
                self.console(),
                text(&self.inside("systemctl status stepgate"))
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        // Empty as soon as the last process is gone; innermost first.
        let mut groups = vec![self.cgroup.clone()];
        let mut next = 0;
        while let Some(group) = groups.get(next).cloned() {
            let inner = fs::read_dir(group).into_iter().flatten().flatten();
            groups.extend(inner.map(|entry| entry.path()).filter(|path| path.is_dir()));
            next += 1;
        }
        for _ in 0..100 {
            for group in groups.iter().rev() {
                let _gone = fs::remove_dir(group);
            }
            if !self.cgroup.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unit_and_the_documented_configuration_run_as_they_are_written() {
    let machine = match Machine::boot().await {
        Ok(machine) => machine,
        Err(why) => {
            cannot(
                "systemd::the_unit_and_the_documented_configuration_run_as_they_are_written",
                Some(why),
            );
            return;
        }
    };
    machine
        .until("ActiveState", |state| state == "active")
        .await;
    assert_eq!(machine.shown("StatusText"), "serving on 127.0.0.1:80");
    let first = machine.shown("MainPID");

    // Nobody's account, one capability, and the filters are on.
    let status = text(&machine.inside(&format!("cat /proc/{first}/status")));
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim_start_matches(':').trim().to_owned()
    };
    assert!(
        !field("Uid").split_whitespace().any(|id| id == "0"),
        "{status}"
    );
    assert_eq!(field("CapEff"), "0000000000000400", "{status}");
    assert_eq!(field("CapBnd"), "0000000000000400", "{status}");
    assert_eq!(
        (field("NoNewPrivs"), field("Seccomp")),
        ("1".to_owned(), "2".to_owned())
    );

    let ping = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/.stepgate/ping";
    assert_eq!(text(&machine.inside(ping)), "200");
    let page =
        "curl -s -o /dev/null -w '%{http_code}' -H 'Host: erp.example.com' http://127.0.0.1/";
    assert_eq!(text(&machine.inside(page)), "401");
    let log = text(&machine.inside("cat /var/log/stepgate/access.log"));
    assert!(log.contains("erp.example.com"), "{log}");

    let edit = |expression: &str| {
        let line = format!(
            "sed -i '{expression}' /etc/stepgate/policies/erp.toml && systemctl reload stepgate"
        );
        let done = machine.inside(&line);
        assert!(done.status.success(), "{}", text(&done));
    };
    edit("s/^require/requires/");
    machine
        .until("StatusText", |text| text.contains("not reloaded"))
        .await;
    edit("s/^requires/require/");
    machine
        .until("StatusText", |text| text == "serving on 127.0.0.1:80")
        .await;
    assert_eq!(machine.shown("ActiveState"), "active");
    assert_eq!(machine.shown("MainPID"), first, "no restart");
    // By the socket in its RuntimeDirectory.
    let told = machine.inside("cd / && stepgate reload");
    assert!(told.status.success(), "{}", text(&told));

    machine.inside(&format!("kill -KILL {first}"));
    machine.until("NRestarts", |count| count == "1").await;
    machine
        .until("ActiveState", |state| state == "active")
        .await;
    assert_eq!(text(&machine.inside(ping)), "200");

    let stopped = machine.inside("systemctl stop stepgate");
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert_eq!(machine.shown("ActiveState"), "inactive");
    assert_eq!(machine.shown("Result"), "success");
    assert_eq!(machine.shown("ExecMainStatus"), "0");
}
