//! A Docker engine of one's own: its socket, images and containers are in a folder that goes with it.
//!
//! It needs root, as Docker does, and Debian's `docker.io`. Nothing is pulled: the one image is a small static program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::eventually;

/// It starts in less than a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Debian's own client: another one in the path may be older or newer than the engine.
const CLIENT: &str = "/usr/bin/docker";
const IMAGE: &str = "program";
const PROGRAM: &str = include_str!("docker/program.c");

/// A running engine. Its containers end with it.
#[derive(Debug)]
pub struct DockerEngine {
    folder: TempDir,
    daemon: Child,
    /// What it was started with, beside what all are.
    options: Vec<String>,
}

impl DockerEngine {
    /// Starts an engine, and makes the image whose containers do what their arguments say:
    /// `print:TEXT`, `wait:MS`, `exit:CODE`, `eat` memory, `serve:PORT` over TCP, `speak:PORT` HTTP, `point:PORT=URL` to there, `open:PORT` HTTP to its whole network, `ask:PORT` whether anybody listens, one after the other.
    pub async fn start() -> Self {
        let engine = Self::start_empty().await;
        engine.make_image();
        engine
    }

    /// Starts an engine without an image.
    pub(crate) async fn start_empty() -> Self {
        Self::start_in(folder(), Vec::new()).await
    }

    /// As [`DockerEngine::start`], but its containers end when it is stopped, as they do unless an engine is told otherwise.
    pub async fn start_that_takes_its_containers_along() -> Self {
        let engine = Self::start_in(folder(), vec!["--live-restore=false".to_owned()]).await;
        engine.make_image();
        engine
    }

    /// As [`DockerEngine::start`], reached over TCP on this port too, by whoever has a certificate of `authority`.
    pub async fn start_with_tls(authority: &Authority, port: u16) -> Self {
        let (folder, server) = (folder(), authority.valid());
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("the folder is ours");
            path.to_string_lossy().into_owned()
        };
        let (ca, cert) = (file("ca.pem", &authority.pem()), file("cert.pem", server.pem()));
        let (key, host) = (file("key.pem", server.key_pem()), format!("tcp://127.0.0.1:{port}"));
        let options = ["--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key, "--host", &host];
        let options = options.map(str::to_owned).to_vec();
        let engine = Self::start_in(folder, options).await;
        engine.make_image();
        engine
    }

    async fn start_in(folder: TempDir, options: Vec<String>) -> Self {
        let engine = Self { daemon: spawn(folder.path(), &options), folder, options };
        engine.until_it_answers().await;
        engine
    }

    /// Stops the engine in order, as an upgrade does.
    pub fn stop(&mut self) {
        succeed("kill", &["-TERM", &self.daemon.id().to_string()]);
        self.daemon.wait().expect("it is our child");
    }

    /// Returns its address, `unix:///…`.
    pub fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// Makes another image of the same program, with these instructions of a Dockerfile.
    pub fn add_image(&self, name: &str, instructions: &[&str]) {
        let file = self.folder.path().join("image.tar").to_string_lossy().into_owned();
        let changes = [r#"ENTRYPOINT ["/program"]"#].iter().chain(instructions).flat_map(|change| ["--change", change]);
        let arguments: Vec<&str> = ["import"].into_iter().chain(changes).chain([file.as_str(), name]).collect();
        self.docker(&arguments);
    }

    /// Starts a container of an image in the host's network; `options` are those of `docker run`.
    pub fn run_image(&self, image: &str, name: &str, options: &[&str], steps: &[&str]) {
        let head = ["run", "--detach", "--name", name, "--network", "host", "--stop-timeout", "1"];
        self.docker(&[&head, options, &[image], steps].concat());
    }

    /// Starts a container in the host's network; `options` are those of `docker run`.
    pub fn run(&self, name: &str, options: &[&str], steps: &[&str]) {
        self.run_image(IMAGE, name, options, steps);
    }

    /// Runs `docker` with these arguments and returns what it prints.
    ///
    /// # Panics
    /// If that fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {}: {error}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Kills the engine at once; its containers run on.
    pub fn kill(&mut self) {
        self.daemon.kill().expect("it is ours");
        self.daemon.wait().expect("it is our child");
        // Its containerd dies with it. Where nobody reaps orphans, the next engine would take that one's number for a life.
        let _there_was_none = std::fs::remove_file(self.folder.path().join("exec/containerd/containerd.pid"));
    }

    /// Holds the engine where it stands: it answers nobody, and hangs up on nobody.
    pub fn hang(&self) {
        succeed("kill", &["-STOP", &self.daemon.id().to_string()]);
    }

    /// Lets it go on after [`DockerEngine::hang`].
    pub fn go_on(&self) {
        succeed("kill", &["-CONT", &self.daemon.id().to_string()]);
    }

    /// Starts the engine again after [`DockerEngine::kill`] or [`DockerEngine::stop`].
    pub async fn start_again(&mut self) {
        self.daemon = spawn(self.folder.path(), &self.options);
        self.until_it_answers().await;
    }

    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        let mut docker = Command::new(CLIENT);
        docker.arg("--host").arg(self.address()).args(arguments).env("DOCKER_CONFIG", self.folder.path());
        docker.output().expect("docker.io is installed; compose/e2e/setup does that")
    }

    async fn until_it_answers(&self) {
        let what = format!("the engine in {} to answer", self.folder.path().display());
        let answers = async || self.try_docker(&["version"]).status.success().then_some(());
        eventually(&what, START_LIMIT, answers).await;
    }

    fn make_image(&self) {
        let folder = self.folder.path();
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        std::fs::write(folder.join("program.c"), PROGRAM).expect("the folder is ours");
        succeed("gcc", &["-static", "-O1", "-o", &file("program"), &file("program.c")]);
        succeed("tar", &["-C", &folder.to_string_lossy(), "-cf", &file("image.tar"), "program"]);
        self.add_image(IMAGE, &[]);
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // A test that ends early may have left it hanging.
        let _goes_on =
            Command::new("kill").args(["-CONT", &self.daemon.id().to_string()]).stderr(Stdio::null()).status();
        let containers = self.try_docker(&["ps", "--all", "--quiet"]);
        let containers = String::from_utf8_lossy(&containers.stdout).into_owned();
        let containers: Vec<&str> = containers.split_whitespace().collect();
        if !containers.is_empty() {
            let _removed = self.try_docker(&[&["rm", "--force"], containers.as_slice()].concat());
        }
        // Bridges are the host's, and would stay.
        let _removed = self.try_docker(&["network", "prune", "--force"]);
        // In order, so that it ends its containerd and takes its mounts down.
        let _asked = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _reaped = self.daemon.wait();
        // The namespace is never taken down; the data only by an engine that was not killed.
        for mount in ["exec/netns/default", "data"] {
            let _unmounted = Command::new("umount").arg(self.folder.path().join(mount)).stderr(Stdio::null()).status();
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("docker-").tempdir().expect("there is room for a folder")
}

/// Starts the daemon. It dies with the thread that starts it: a test that is killed leaves nothing behind.
fn spawn(folder: &Path, options: &[String]) -> Child {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let log = std::fs::File::create(path("log")).expect("the folder is ours");
    let mut daemon = Command::new("setpriv");
    daemon.args(["--pdeathsig", "TERM", "--", "/usr/sbin/dockerd", "--live-restore", "--shutdown-timeout", "1"]);
    // No network of its own: that needs no firewall, and starts in a fifth of the time.
    daemon.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
    daemon.arg("--host").arg(format!("unix://{}", path("socket").display()));
    for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        daemon.arg(option).arg(path(name));
    }
    daemon.args(options);
    daemon.stdout(Stdio::null()).stderr(log).spawn().expect("setpriv of util-linux is everywhere")
}

fn succeed(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("it is installed where Rust links");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
