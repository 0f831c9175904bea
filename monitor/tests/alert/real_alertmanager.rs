//! A real Alertmanager takes, shows and resolves our alerts, and its webhook's format is ours.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use monitor::alert::Message;
use serde_json::Value;
use testkit::{eventually, free_port};

use crate::real::Program;
use crate::{PATIENT, messages, send};

const CONFIG: &str = "route: { receiver: nobody, group_wait: 1s }\nreceivers: [{ name: nobody }]\n";

/// Debian's Alertmanager.
struct Alertmanager {
    port: u16,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = folder.path().join("config.yml");
        std::fs::write(&config, CONFIG).unwrap();
        let program = Program::start(
            "prometheus-alertmanager",
            &[
                &format!("--config.file={}", config.display()),
                &format!("--storage.path={}", folder.path().join("data").display()),
                &format!("--web.listen-address=127.0.0.1:{port}"),
                "--cluster.listen-address=",
            ],
        );
        let started = Self { port, _program: program, _folder: folder };
        eventually("Alertmanager to be ready", PATIENT, async || started.get("/-/ready").await).await;
        started
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        let request = Request::get(format!("http://127.0.0.1:{}{path}", self.port));
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let (status, body) = kit::http::get(request, Duration::from_secs(5), 1 << 22).await.ok()?;
        status.is_success().then_some(body)
    }

    /// The alerts that it takes for open.
    async fn alerts(&self) -> Vec<Value> {
        serde_json::from_slice(&self.get("/api/v2/alerts").await.unwrap()).unwrap()
    }

    async fn tell(&self, message: &Message) {
        let settings = format!("alertmanager: {{ urls: ['http://127.0.0.1:{}'] }}", self.port);
        assert_eq!(send(&settings, message).await.unwrap().partly, None);
    }
}

#[tokio::test]
async fn an_alert_is_shown_until_it_is_resolved() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.tell(&messages::page()).await;
    alertmanager.tell(&messages::page()).await;
    let alerts = alertmanager.alerts().await;
    assert_eq!(alerts.len(), 1, "a repeat is the same alert: {alerts:?}");
    let alert = &alerts[0];
    assert_eq!(alert["labels"]["alertname"], "ServiceDown");
    assert_eq!(alert["labels"]["service"], "shop");
    assert_eq!(alert["annotations"]["impacted"], "checkout, frontend, reports");
    assert_eq!(alert["startsAt"], "2026-11-24T12:00:00.000Z");
    let mut resolved = messages::resolved();
    resolved.alerts[0].resolved = Some(jiff::Timestamp::now());
    alertmanager.tell(&resolved).await;
    eventually("the alert to be over", PATIENT, async || alertmanager.alerts().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_digest_and_hostile_labels_are_taken_too() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.tell(&messages::digest()).await;
    alertmanager.tell(&messages::hostile()).await;
    // The hostile alert is another one, for its labels differ.
    assert_eq!(alertmanager.alerts().await.len(), 61);
}
