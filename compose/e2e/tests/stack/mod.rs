//! What `make up` starts: the real binaries on `compose/local.yml`, on free ports, in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{get, program};
use serde_json::Value;
use testkit::{eventually, free_port};

pub(crate) const LIMIT: Duration = Duration::from_secs(100);
/// What runs, and the variable that says on which port.
pub(crate) const PARTS: [(&str, &str); 5] = [
    ("monitor", "MONITOR_PORT"),
    ("api-gateway", "GATEWAY_PORT"),
    ("platform-services", "PLATFORM_PORT"),
    ("auth-monitor", "AUTH_MONITOR_PORT"),
    ("dlq-processor", "DLQ_PORT"),
];

/// Everything that runs, as long as this lives.
pub(crate) struct Up {
    pub child: Child,
    pub folder: tempfile::TempDir,
    ports: [u16; PARTS.len()],
}

impl Up {
    /// Starts it, with more at the end of its configuration, and more variables.
    pub(crate) fn start(more: &str, variables: &[(&str, &str)]) -> Self {
        let (folder, ports) = (tempfile::tempdir().unwrap(), PARTS.map(|_| free_port()));
        let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let config = std::fs::read_to_string(compose.join("local.yml")).unwrap() + more;
        std::fs::write(folder.path().join("local.yml"), config).unwrap();
        let out = std::fs::File::create(folder.path().join("out")).unwrap();
        let mut command = Command::new(program("monitor"));
        command.args(["up", "--config", "local.yml"]).current_dir(folder.path());
        // What takes traces and logs is away, unless a test has it: nothing may need it.
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").env("LOKI_URL", "http://127.0.0.1:1");
        command.env("MONITOR_BIN", binaries()).env("COMPOSE_DIR", compose).envs(variables.iter().copied());
        command.envs(PARTS.iter().zip(ports).map(|((_, variable), port)| (variable, port.to_string())));
        let child = command.stdout(out).stderr(Stdio::null()).spawn().unwrap();
        Self { child, folder, ports }
    }

    /// Where a part listens.
    pub(crate) fn address(&self, part: &str) -> String {
        let (_, port) = PARTS.iter().zip(self.ports).find(|((name, _), _)| *name == part).unwrap();
        format!("127.0.0.1:{port}")
    }

    pub(crate) async fn status(&self) -> Option<Value> {
        let body = get(&format!("http://{}/api/v1/status", self.address("monitor"))).await?;
        serde_json::from_str(&body).ok()
    }

    /// Waits until each part is up, whatever else there is.
    pub(crate) async fn until_up(&self) -> Value {
        let is_up = |status: &Value| {
            let services = status["services"].as_array().unwrap();
            let works = |part: &str| services.iter().any(|it| it["name"] == part && it["verdict"] == "up");
            PARTS.iter().all(|(part, _)| works(part))
        };
        let up = eventually("every part to be up", LIMIT, async || self.status().await.filter(is_up));
        up.await
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The folder with all programs that are started.
fn binaries() -> PathBuf {
    PARTS.map(|(name, _)| program(name))[0].parent().unwrap().to_owned()
}
