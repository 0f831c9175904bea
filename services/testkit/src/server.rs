//! A real server that somebody else wrote, as Debian packages it, on loopback for as long as one test runs.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::eventually;

/// Ten times what the slowest of them takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program that listens on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Server {
    port: u16,
    signal: &'static str,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a program that is told elsewhere to listen on `port`, and waits until it does.
    ///
    /// # Panics
    /// When it is not installed, or ends: then nothing was tested.
    pub async fn start<S: AsRef<OsStr>>(port: u16, program: impl AsRef<OsStr>, arguments: &[S]) -> Self {
        Self::start_as(None, "TERM", port, program, arguments).await
    }

    /// As [`Server::start`], for one that listens for datagrams: it may not listen yet.
    pub fn start_unheard<S: AsRef<OsStr>>(port: u16, program: impl AsRef<OsStr>, arguments: &[S]) -> Self {
        Self::spawn(as_user(None, "TERM"), "TERM", port, program, arguments)
    }

    /// As [`Server::start`], as another user of this machine, and ended by another signal.
    pub(crate) async fn start_as<S: AsRef<OsStr>>(
        user: Option<&str>,
        signal: &'static str,
        port: u16,
        program: impl AsRef<OsStr>,
        arguments: &[S],
    ) -> Self {
        let mut server = Self::spawn(as_user(user, signal), signal, port, &program, arguments);
        let log = server.folder.path().join("log");
        let listens = async || {
            let ended = server.child.try_wait().expect("it is our child");
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "{:?} ended (compose/e2e/setup installs it): {}", program.as_ref(), said());
            TcpStream::connect(server.addr()).await.ok().map(drop)
        };
        eventually(&format!("{:?} to listen", program.as_ref()), LIMIT, listens).await;
        server
    }

    fn spawn<S: AsRef<OsStr>>(
        mut command: Command,
        signal: &'static str,
        port: u16,
        program: impl AsRef<OsStr>,
        arguments: &[S],
    ) -> Self {
        command.arg(program.as_ref()).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        // What it leaves where it stands goes with it.
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let log = folder.path().join("log");
        let output = Stdio::from(std::fs::File::create(&log).expect("the folder is ours"));
        let errors = Stdio::from(std::fs::File::options().append(true).open(&log).expect("the log is ours"));
        // Its input is open for as long as it may run: some end with it.
        let child = command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
        Self { port, signal, child: child.expect("setpriv of util-linux is everywhere"), folder }
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Holds it and its children where they stand: they answer nobody, and hang up on nobody.
    pub fn hang(&self) {
        // The parent first, so that it has no more children than are seen.
        self.tell("STOP", &[self.child.id().to_string()]);
        self.tell("STOP", &self.children());
    }

    /// Lets it go on after [`Server::hang`].
    pub fn go_on(&self) {
        self.tell("CONT", &self.children());
        self.tell("CONT", &[self.child.id().to_string()]);
    }

    fn tell(&self, signal: &str, processes: &[String]) {
        let _may_have_ended =
            Command::new("kill").arg(format!("-{signal}")).args(processes).stderr(Stdio::null()).status();
    }

    /// Returns its children (proc_pid_task_children(5)).
    fn children(&self) -> Vec<String> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Ends it, and waits for that.
    pub fn end(&mut self) {
        // A test that ends early may have left it hanging.
        self.go_on();
        self.tell(self.signal, &[self.child.id().to_string()]);
        let _reaped = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Returns a command that runs its arguments as that user, and that ends with the test even if it is killed.
pub(crate) fn as_user(user: Option<&str>, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if let Some(user) = user {
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    }
    command.arg("--");
    command
}

/// Gives a file or folder to a user of this machine.
pub(crate) fn give(path: &Path, user: &str) {
    let given = Command::new("chown").arg(format!("{user}:{user}")).arg(path).status();
    assert!(given.is_ok_and(|status| status.success()), "{user} owns {}", path.display());
}
