//! The binaries of this workspace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};

use crate::ask;

/// Longest wait for a program or its answer.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The services' key, unless a test gives another.
pub const KEY: &str = "the-services-key";
/// What signs tokens, unless a test gives another.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Returns a program of this workspace, which is built beside the test that asks for it.
///
/// # Panics
/// If it is not built.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its program");
    let program = exe.ancestors().nth(2).expect("tests are built in a folder of the programs' folder").join(name);
    assert!(program.exists(), "{name} is not built; run `cargo build --workspace` first");
    program
}

/// A program on a port of its own, which stays the same when it is started again; killed when this is dropped.
pub struct Program {
    name: &'static str,
    port: u16,
    child: Option<Child>,
}

impl Program {
    /// Finds a port for it.
    pub fn new(name: &'static str) -> Self {
        Self { name, port: free_port(), child: None }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its address as a URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Starts it in a folder, with the arguments for `run` and no environment but a usual one and the variables.
    ///
    /// # Panics
    /// If it does not run, or does not listen in time.
    pub async fn start(&mut self, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) {
        let mut command = Command::new(program(self.name));
        command.arg("run").args(arguments).current_dir(folder).env_clear();
        command
            .env("PORT", self.port.to_string())
            .env("LOG_LEVEL", "error")
            .env("API_KEY", KEY)
            .env("JWT_SECRET", SECRET);
        self.child = Some(command.envs(variables.iter().copied()).kill_on_drop(true).spawn().expect("it starts"));
        self.until(&format!("{} to listen", self.name), "/livez").await;
    }

    /// Waits until it says that it can work.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn until_ready(&self) {
        self.until(&format!("{} to be ready", self.name), "/readyz").await;
    }

    async fn until(&self, what: &str, path: &str) {
        let url = format!("{}{path}", self.url());
        let is_so = async || {
            let (status, _) = ask(Request::get(&url), &Value::Null).await?;
            (status == 200).then_some(())
        };
        eventually(what, LIMIT, is_so).await;
    }

    /// Ends it as systemd does.
    ///
    /// # Panics
    /// If it does not run, or does not end in time.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut child = self.child.take().expect("it runs");
        tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends").expect("it can be waited for");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }
}
