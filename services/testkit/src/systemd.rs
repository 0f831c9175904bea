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
const IMAGE_FILE: &str = "e2e-systemd-2.tar";
const NAME: &str = "machine";
/// Where units of the machine's owner are (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";

/// Boots it. systemd mounts every control group tree that the kernel knows and that is not mounted yet, and a tree that is
/// mounted anywhere is there for the whole host: Docker then looks for it, and tells of no memory that ran out. So the
/// list of them is covered by one that has only those that the host has mounted. And it would mount the host's other tree
/// too, with options of its own that then hold for the host.
const BOOT: &str = "\
    while read -r name tree groups enabled; do \
        [ -d /sys/fs/cgroup/$name ] || enabled=0; echo $name $tree $groups $enabled; \
    done < /proc/cgroups > /run/cgroups && mount --bind /run/cgroups /proc/cgroups && \
    exec /lib/systemd/systemd systemd.legacy_systemd_cgroup_controller=1";

/// The image of Debian that [`DockerEngine::start_with_debian`] makes.
pub const DEBIAN: &str = "debian";

impl DockerEngine {
    /// Starts an engine with the image [`DEBIAN`], which has systemd and Perl.
    ///
    /// # Panics
    /// If `compose/e2e/setup` has not made it.
    pub async fn start_with_debian() -> Self {
        let docker = Self::start_empty().await;
        docker.docker(&["import", &image_file().display().to_string(), DEBIAN]);
        docker
    }
}

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
        let docker = DockerEngine::start_with_debian().await;
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
        // It makes mounts and control groups; it gets no more of the host than its own branch of one tree of these.
        let rights = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--cgroupns", "host"];
        let mounts = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"];
        let volumes = ["--volume", &tree, "--volume", &bus, "--volume", &journal, "--stop-signal", "SIGRTMIN+3"];
        let program = ["--entrypoint", "/bin/sh", DEBIAN, "-c", BOOT];
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

    /// Copies a file of this machine into it, such as a program.
    pub fn copy(&self, from: &Path, to: &str) {
        self.docker.docker(&["cp", "--follow-link", &from.display().to_string(), &format!("{NAME}:{to}")]);
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

/// Returns what to mount of the host's control groups, for systemd to write: a tree without controllers where there is one.
/// With `--cgroupns host` systemd finds its own branch there, and keeps to it.
fn control_groups() -> String {
    let named = "/sys/fs/cgroup/systemd";
    let tree = if Path::new(named).exists() { named } else { "/sys/fs/cgroup" };
    format!("{tree}:{tree}:rw")
}

/// Returns the image in the folder of the build, which holds this test.
fn image_file() -> PathBuf {
    let exe = std::env::current_exe().expect("a test is a program");
    let build = exe.ancestors().nth(3).expect("tests are in FOLDER/debug/deps").to_owned();
    let image = build.join(IMAGE_FILE);
    assert!(image.exists(), "{} is not there: run compose/e2e/setup", image.display());
    image
}
