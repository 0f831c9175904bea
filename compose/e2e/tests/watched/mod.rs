//! A real Prometheus and a real Alertmanager, as they are configured here, beside what `make up` starts and exporters.

use std::path::Path;

use e2e::get;
use serde_json::Value;
use testkit::{Server, Target, eventually, free_port};

use crate::exporters::{EXPORTERS, Exporters};
use crate::given::{TOKENS, lay_out};
use crate::stack::{LIMIT, PARTS, Up};

/// Prometheus and Alertmanager, as they are configured here, beside what `make up` starts and exporters.
pub(crate) struct Watched {
    pub up: Up,
    servers: [Server; 2],
    _exporters: Exporters,
    _folder: tempfile::TempDir,
}

impl Watched {
    /// Starts both; the dead man's switch is what waits for the Watchdog. Each scrape must be over before the next one.
    pub(crate) async fn start(up: Up, dead_man: &Target, every_secs: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [prometheus, alertmanager] = [(); 2].map(|()| free_port());
        let ports = [
            ("monitor", 8888),
            ("auth-monitor", 8090),
            ("api-gateway", 8000),
            ("platform-services", 8007),
            ("dlq-processor", 8091),
        ];
        let mut changes: Vec<(String, String)> = ports
            .iter()
            .map(|(part, port)| (format!("\"{part}:{port}\""), format!("\"{}\"", up.address(part))))
            .collect();
        for (from, to) in [
            ("\"prometheus:9090\"", format!("\"127.0.0.1:{prometheus}\"")),
            ("\"alertmanager:9093\"", format!("\"127.0.0.1:{alertmanager}\"")),
            ("# webhook_configs:", "webhook_configs:".to_owned()),
            ("https://dead-man.example.com", dead_man.url("")),
            ("mail.example.com:587", "127.0.0.1:1".to_owned()),
            // Sooner, so that nobody waits.
            (": 15s", format!(": {every_secs}s")),
        ] {
            changes.push((from.to_owned(), to));
        }
        lay_out(folder.path(), &changes);
        let exporters = Exporters::start().await;
        exporters.write_targets(&folder.path().join("compose/prometheus/targets"));
        for token in TOKENS {
            let name = Path::new("data/secrets").join(token);
            std::fs::copy(up.folder.path().join(&name), folder.path().join(&name)).unwrap();
        }
        let at = |option: &str, name: &str| format!("--{option}={}", folder.path().join(name).display());
        let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
        let alone = "--cluster.listen-address=".to_owned();
        let options =
            [at("config.file", "alerts/alertmanager.yml"), at("storage.path", "am"), listen(alertmanager), alone];
        let alertmanager = Server::start(alertmanager, "prometheus-alertmanager", &options).await;
        let config = at("config.file", "compose/prometheus/prometheus.yml");
        // What fires before it knows whom to tell is told after that.
        let again = "--rules.alert.resend-delay=1s".to_owned();
        // As compose/docker-compose.yml starts it.
        let exemplars = "--enable-feature=exemplar-storage".to_owned();
        let options = [config, at("storage.tsdb.path", "tsdb"), listen(prometheus), again, exemplars];
        let prometheus = Server::start(prometheus, "prometheus", &options).await;
        Self { up, servers: [prometheus, alertmanager], _exporters: exporters, _folder: folder }
    }

    /// Where Prometheus and Alertmanager listen.
    pub(crate) fn addresses(&self) -> [String; 2] {
        self.servers.each_ref().map(|server| server.addr().to_string())
    }

    pub(crate) async fn json(&self, server: &str, path: &str) -> Option<Value> {
        serde_json::from_str(&get(&format!("http://{server}{path}")).await?).ok()
    }

    /// Waits until every target is scraped.
    pub(crate) async fn until_scraped(&self) {
        let [prometheus, _] = self.addresses();
        let scraped = eventually("Prometheus to scrape everything", LIMIT, async || {
            let answer = self.json(&prometheus, "/api/v1/targets").await?;
            let targets = answer["data"]["activeTargets"].as_array()?.clone();
            let is_up = |target: &Value| target["health"] == "up";
            (targets.len() == PARTS.len() + 2 + EXPORTERS && targets.iter().all(is_up)).then_some(())
        });
        scraped.await;
    }
}
