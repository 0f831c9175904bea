//! A machine of one's own that systemd runs: a container with a real systemd, D-Bus and journal, which are reached from
//! outside through folders that are mounted into it.
//!
//! It needs root and Debian's `docker.io`, and the image that `compose/e2e/setup` makes once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::{DockerEngine, eventually};

/// It boots within two seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// `compose/e2e/setup` makes it; the number is that of what is in it.
const IMAGE_FILE: &str = "e2e-systemd-1.tar";
const NAME: &str = "machine";
/// Where units of the machine's owner are (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";

/// A running machine. It ends with its handle.
#[derive(Debug)]
pub struct SystemdContainer {
    docker: DockerEngine,
    /// What is mounted into it.
    folder: TempDir,
}

impl SystemdContainer {
    /// Starts a machine and waits until it has booted.
    ///
    /// # Panics
    /// If the image is missing, or it does not boot.
    pub async fn start() -> Self {
        let image = image_file();
        let docker = DockerEngine::start_empty().await;
        docker.docker(&["import", &image.display().to_string(), NAME]);
        let folder = tempfile::Builder::new().prefix("systemd-").tempdir().expect("there is room for a folder");
        let machine = Self { docker, folder };
        machine.boot();
        let booted = async || {
            let output = machine.docker.try_docker(&["exec", NAME, "systemctl", "is-system-running", "--wait"]);
            let state = String::from_utf8_lossy(&output.stdout).into_owned();
            ["running", "degraded"].contains(&state.trim()).then_some(())
        };
        eventually("systemd to have booted", START_LIMIT, booted).await;
        machine
    }

    fn boot(&self) {
        let (bus, journal) = (self.mounted("bus"), self.mounted("journal"));
        let (bus, journal) = (format!("{bus}:/run/dbus"), format!("{journal}:/var/log/journal"));
        let tree = control_groups();
        let options = ["run", "--detach", "--name", NAME, "--network", "host", "--env", "container=docker"];
        // It makes mounts and control groups.
        let rights = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--cgroupns", "host"];
        let mounts = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"];
        let volumes = ["--volume", &tree, "--volume", &bus, "--volume", &journal, "--stop-signal", "SIGRTMIN+3"];
        let program = [NAME, "/lib/systemd/systemd"];
        self.docker.docker(&[&options[..], &rights, &mounts, &volumes, &program].concat());
    }

    fn mounted(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("the folder is ours");
        path.display().to_string()
    }

    /// Returns the address of its system bus, `unix:path=…`.
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus/system_bus_socket").display())
    }

    /// Returns the address of a user's bus, which is there once that user's manager runs.
    pub fn user_bus(&self, uid: u32) -> String {
        let pid = self.docker.docker(&["inspect", "--format", "{{.State.Pid}}", NAME]);
        format!("unix:path=/proc/{pid}/root/run/user/{uid}/bus")
    }

    /// Returns the folder of its journal.
    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Writes a file in it; folders that are missing are made.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.folder.path().join("file");
        std::fs::write(&file, text).expect("the folder is ours");
        if let Some(folder) = Path::new(path).parent() {
            self.exec(&["mkdir", "-p", &folder.display().to_string()]);
        }
        self.docker.docker(&["cp", &file.display().to_string(), &format!("{NAME}:{path}")]);
    }

    /// Writes units, each with its name, and has systemd read them.
    pub fn write_units(&self, units: &[(&str, &str)]) {
        for (name, text) in units {
            self.write(&format!("{UNITS}/{name}"), text);
        }
        self.systemctl(&["daemon-reload"]);
    }

    /// Runs `systemctl` in it and returns what it prints.
    ///
    /// # Panics
    /// If that fails.
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        self.exec(&[&["systemctl"], arguments].concat())
    }

    /// Runs a program in it and returns what it prints.
    ///
    /// # Panics
    /// If that fails.
    pub fn exec(&self, command: &[&str]) -> String {
        self.docker.docker(&[&["exec", NAME], command].concat())
    }
}

/// Returns what to mount of the host's control groups: the tree of version 2, beside those of version 1 or alone.
///
/// With `--cgroupns host` systemd finds its own branch there, and keeps to it. Where it finds this tree it mounts no other:
/// it would make the host's trees of version 1 that nobody uses, and whoever looks for all of them then fails.
fn control_groups() -> String {
    let beside = "/sys/fs/cgroup/unified";
    let tree = if Path::new(beside).exists() { beside } else { "/sys/fs/cgroup" };
    format!("{tree}:/sys/fs/cgroup:rw")
}

/// Returns the image in the folder of the build, which holds this test.
fn image_file() -> PathBuf {
    let exe = std::env::current_exe().expect("a test is a program");
    let build = exe.ancestors().nth(3).expect("tests are in FOLDER/debug/deps").to_owned();
    let image = build.join(IMAGE_FILE);
    assert!(image.exists(), "{} is not there: run compose/e2e/setup", image.display());
    image
}
