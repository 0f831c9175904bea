//! An engine in this process on a free port, and the real binary.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use kit::config::Environment;
use monitor::export::Shared;
use monitor::supervise::Mode;
use monitor::supervise::bucket::Policy;
use monitor::{Config, Engine, Kinds, Options};
use serde_json::Value;
use testkit::eventually;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ten times what anything here takes on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const TOKEN: &str = "0123456789abcdef";

/// An engine that runs in this process.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) reload: mpsc::Sender<()>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Writes `yaml` with a data folder and a token of its own; returns the file.
pub(crate) fn write_config(folder: &Path, yaml: &str) -> PathBuf {
    let file = folder.join("monitor.yml");
    let head = format!("data_dir: {}\noperator_token: ${{TOKEN}}\n", folder.join("data").display());
    std::fs::write(&file, format!("{head}{yaml}")).unwrap();
    file
}

fn load(file: &Path) -> Config {
    Config::load(file, &Environment::of([("TOKEN", TOKEN)]))
}

impl Running {
    /// Starts an engine on `yaml`.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, Kinds::standard()).await
    }

    pub(crate) async fn start_with(yaml: &str, kinds: Kinds) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), yaml, kinds).await
    }

    pub(crate) async fn start_in(folder: tempfile::TempDir, yaml: &str, kinds: Kinds) -> Self {
        Self::start_as(folder, yaml, kinds, Policy::default()).await
    }

    /// Starts an engine with other periods than real ones.
    pub(crate) async fn start_scaled(yaml: &str, restarts: Policy) -> Self {
        Self::start_as(tempfile::tempdir().unwrap(), yaml, Kinds::standard(), restarts).await
    }

    async fn start_as(folder: tempfile::TempDir, yaml: &str, kinds: Kinds, restarts: Policy) -> Self {
        kit::tls::install();
        let file = write_config(folder.path(), yaml);
        let engine = Engine::new(&load(&file), kinds).unwrap_or_else(|error| panic!("{error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(1);
        let (ready, started) = tokio::sync::oneshot::channel();
        let options = Options {
            mode: Mode::Up,
            keeper: Some(env!("CARGO_BIN_EXE_monitor").into()),
            listener: Some(listener),
            ready: Some(Box::new(move |shared, _| drop(ready.send(shared)))),
            source: Arc::new(move || load(&file)),
            reload: reloads,
            restarts,
        };
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { engine.run(options, stop).await.unwrap_or_else(|error| panic!("{error}")) }
        });
        let shared = started.await.unwrap();
        Self { shared, url, folder, reload, stop, task }
    }

    /// Stops the engine in order and gives its folder back.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.task.await.unwrap();
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        ask(&self.url, Method::GET, path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        ask(&self.url, Method::POST, path, headers).await
    }

    /// Waits until a service has this verdict, and returns its status.
    pub(crate) async fn until(&self, service: &str, verdict: &str) -> Value {
        until(&self.url, service, verdict).await
    }
}

pub(crate) async fn ask(url: &str, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exchange(request.body(Full::default()).unwrap()).await
}

/// Sends a JSON body, with the operator's token if one is given.
pub(crate) async fn ask_with(url: &str, method: Method, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.header("content-type", "application/json").body(Full::from(body.to_owned()));
    exchange(request.unwrap()).await
}

/// Returns the answer, its text if it is no JSON; 410 and why if there is none.
async fn exchange(request: Request<Full<Bytes>>) -> (u16, Value) {
    let (status, body) =
        kit::http::get(request, LIMIT, 64 << 20).await.unwrap_or_else(|error| (StatusCode::GONE, error.into()));
    let value =
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    (status.as_u16(), value)
}

pub(crate) async fn until(url: &str, service: &str, verdict: &str) -> Value {
    let what = format!("{service} to be {verdict}");
    let last = LastSeen::default();
    let found = eventually(&what, LIMIT, async || {
        let (_, status) = ask(url, Method::GET, &format!("/api/v1/services/{service}"), &[]).await;
        let is_it = status["verdict"] == verdict;
        last.0.replace(status);
        is_it.then(|| last.0.take())
    });
    found.await
}

/// What was seen last, for whoever reads why a test waited in vain.
#[derive(Default)]
pub(crate) struct LastSeen(pub(crate) RefCell<Value>);

impl Drop for LastSeen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seen last: {}", self.0.borrow());
        }
    }
}

/// The real binary.
pub(crate) struct Binary {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Binary {
    /// Starts `monitor run` or `monitor up` on a configuration file that listens on `port`.
    pub(crate) fn start(command: &str, config: &Path, port: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_monitor"))
            .args([command, "--config"])
            .arg(config)
            .env("TOKEN", TOKEN)
            .env("LOG_LEVEL", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        ask(&self.url, Method::GET, path, &[]).await
    }

    pub(crate) async fn until(&self, service: &str, verdict: &str) -> Value {
        until(&self.url, service, verdict).await
    }

    /// Waits for its end and returns the exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        eventually("the monitor to end", LIMIT, async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Still there only when the test failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Returns the pids of live processes whose command line or environment holds `token`.
pub(crate) fn processes_with(token: &str) -> Vec<i32> {
    let own = std::process::id();
    let holds = |pid: &i32, file: &str| {
        std::fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(token))
    };
    let alive =
        |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| i64::from(*pid) != i64::from(own))
        .filter(|pid| (holds(pid, "cmdline") || holds(pid, "environ")) && alive(pid))
        .collect()
}
