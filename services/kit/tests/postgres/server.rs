//! Debian's PostgreSQL in a folder of its own, on loopback, for as long as one test runs.

use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kit::db::open_postgres;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use testkit::{eventually, free_port};

/// Ten times what anything here takes on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const PASSWORD: &str = "correct-horse";

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Makes a cluster with the user `tester`, starts it, and waits until it takes logins.
    ///
    /// # Panics
    /// When PostgreSQL is not installed: then nothing was tested.
    pub(crate) async fn start() -> Self {
        let (binaries, folder, port) = (binaries(), tempfile::tempdir().unwrap(), free_port());
        let (data, password) = (folder.path().join("data"), folder.path().join("password"));
        std::fs::write(&password, PASSWORD).unwrap();
        let owner = owner();
        if let Some(owner) = &owner {
            for path in [folder.path(), &password] {
                chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
            }
        }
        let made = as_user(owner.as_ref())
            .arg(binaries.join("initdb"))
            .args(["--username=tester", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", &format!("port={port}")];
        let child = as_user(owner.as_ref())
            .arg(binaries.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, child, _folder: folder };
        eventually("PostgreSQL to take logins", LIMIT, async || {
            open_postgres(&server.url().into(), 1, LIMIT).await.ok()
        })
        .await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tester:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    /// Stops it, also when the test failed.
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // Immediate shutdown (PostgreSQL manual section 19.5): it ends its own children, and nobody needs the data.
        let _may_have_ended = kill(pid, Signal::SIGQUIT);
        let _reaped = self.child.wait();
    }
}

/// Finds the newest version's programs; Debian keeps them out of the path.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let installed = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let newest = installed.max_by_key(|bin| {
        bin.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok()).unwrap_or(0)
    });
    newest.expect("PostgreSQL is installed by compose/e2e/setup")
}

/// PostgreSQL refuses to run as root; its package brings a user for it.
fn owner() -> Option<User> {
    Uid::effective().is_root().then(|| User::from_name("postgres").unwrap().expect("Debian's package makes this user"))
}

/// Returns a command that runs its arguments as that user, and that ends with the test even if it is killed.
fn as_user(owner: Option<&User>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if let Some(owner) = owner {
        command.args([format!("--reuid={}", owner.uid), format!("--regid={}", owner.gid), "--clear-groups".to_owned()]);
    }
    command
}
