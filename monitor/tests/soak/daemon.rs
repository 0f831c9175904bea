//! The real binary, in a data folder that outlives it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use testkit::{eventually, free_port};

use crate::record::Verdict;

/// Ten times what anything here takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Writes the configuration for every daemon in `folder`; where it listens is decided at each start.
pub(crate) fn write_config(folder: &Path, services: &str) {
    let data = folder.join("data");
    // A machine under load must not turn a pass into a fail: the verdicts are to stay as they are.
    let head = format!(
        "listen: ${{LISTEN}}\ndata_dir: {}\ndefaults: {{ every: 1s, timeout: 20s, fail_after: 5 }}\n",
        data.display()
    );
    std::fs::write(folder.join("monitor.yml"), format!("{head}services:\n{services}")).unwrap();
}

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    pub(crate) fn start(folder: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_monitor"))
            .args(["run", "--config"])
            .arg(folder.join("monitor.yml"))
            .env("LISTEN", &address)
            .env("LOG_LEVEL", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://{address}") }
    }

    pub(crate) async fn until_it_answers(&self) {
        eventually("the daemon to answer", LIMIT, async || self.get("/livez").await.map(drop)).await;
    }

    /// Waits until so many services have a verdict, and the points up to then are on disk.
    pub(crate) async fn until_settled(&self, services: usize) {
        eventually("all verdicts", LIMIT, async || {
            let verdicts = self.find_verdicts().await?;
            let known = verdicts.values().filter(|verdict| matches!(verdict.word.as_str(), "up" | "down")).count();
            (known == services).then_some(())
        })
        .await;
        let seen = self.commits().await.unwrap_or(0.0);
        // The one that is under way may have begun before; the next one has not.
        eventually("two more commits of history", LIMIT, async || {
            self.commits().await.filter(|commits| *commits >= seen + 2.0)
        })
        .await;
    }

    pub(crate) async fn verdicts(&self) -> BTreeMap<String, Verdict> {
        self.find_verdicts().await.expect("the daemon answers")
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it runs until it is killed");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn find_verdicts(&self) -> Option<BTreeMap<String, Verdict>> {
        let status: Value = serde_json::from_slice(&self.get("/api/v1/status").await?).ok()?;
        let services = status["services"].as_array()?.iter();
        let verdict = |service: &Value| {
            let text = |key: &str| service[key].as_str().map(str::to_owned);
            Some((text("name")?, Verdict { word: text("verdict")?, since: text("since")? }))
        };
        services.map(verdict).collect()
    }

    async fn commits(&self) -> Option<f64> {
        let metrics = String::from_utf8(self.get("/metrics").await?.to_vec()).ok()?;
        let line = metrics.lines().find(|line| line.starts_with("monitor_store_commits_total{store=\"history\"}"))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        let request = Request::get(format!("{}{path}", self.url)).body(Full::<Bytes>::default()).unwrap();
        let (status, body) = kit::http::get(request, LIMIT, 64 << 20).await.ok()?;
        status.is_success().then_some(body)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Still there only when the test failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
