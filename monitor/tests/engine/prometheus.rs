//! A real Prometheus (Debian's) hands us its alerts, as it would to Alertmanager.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::Method;
use testkit::{Target, eventually, free_port};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN, ask, ask_with};

/// A Prometheus that evaluates one rule every second.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn start(folder: &Path, alertmanager: &str) -> Self {
        let port = free_port();
        std::fs::write(folder.join("token"), TOKEN).unwrap();
        let config = format!(
            "global: {{ evaluation_interval: 1s, external_labels: {{ region: lab }} }}\nrule_files: [rules.yml]\n\
             alerting:\n  alertmanagers:\n    - authorization: {{ credentials_file: token }}\n      static_configs: [{{ targets: [\"{alertmanager}\"] }}]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-lifecycle")
            // What it sends before it has found us is dropped; it sends it again only after this (default 1 min).
            .arg("--rules.alert.resend-delay=2s")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed by compose/e2e/setup");
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }

    async fn reload(&self) {
        eventually("Prometheus to reload", LIMIT, async || {
            (ask(&self.url, Method::POST, "/-/reload", &[]).await.0 == 200).then_some(())
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn rule(folder: &Path, expression: &str) {
    let rules = format!(
        "groups:\n  - name: lab\n    rules:\n      - alert: Smell\n        expr: {expression}\n        labels: {{ severity: critical, service: web }}\n\
         \x20       annotations: {{ summary: it smells of fish, runbook_url: \"https://runbook.example.com/smell\" }}\n"
    );
    std::fs::write(folder.join("rules.yml"), rules).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_prometheus_is_told_and_ends_when_prometheus_says_so() {
    let (target, sink, folder) = (Target::ok(""), Target::ok(""), tempfile::tempdir().unwrap());
    let yaml = format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         services: {{ web: {{ labels: {{ team: shop }}, checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }} }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
        target.url("/"),
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    rule(folder.path(), "vector(1)");
    let prometheus = Prometheus::start(folder.path(), running.url.trim_start_matches("http://"));
    let first =
        eventually("Prometheus' alert at the webhook", LIMIT, async || accepted(&sink).into_iter().next()).await;
    assert_eq!((&first["title"], &first["severity"]), (&"web: it smells of fish".into(), &"page".into()), "{first}");
    let part = &first["alerts"][0];
    assert_eq!((&part["name"], &part["service"]), (&"Smell".into(), &"web".into()));
    assert_eq!((&part["labels"]["region"], &part["labels"]["team"]), (&"lab".into(), &"shop".into()));
    assert_eq!(part["links"]["source"], "https://runbook.example.com/smell");

    // Our own view joins: one incident, no second page.
    target.set_status(500);
    running.until("web", "down").await;
    target.set_status(200);
    running.until("web", "up").await;
    rule(folder.path(), "vector(1) > 2");
    prometheus.reload().await;
    let messages = eventually("the end at the webhook", LIMIT, async || {
        let messages = accepted(&sink);
        messages.last().is_some_and(|last| last["status"] == "resolved").then_some(messages)
    })
    .await;
    let incidents: std::collections::BTreeSet<&str> =
        messages.iter().map(|message| message["alerts"][0]["incident"].as_str().unwrap()).collect();
    assert_eq!(incidents.len(), 1, "{messages:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posted_alerts_need_the_token_and_what_is_wrong_is_said_while_the_rest_is_taken() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let yaml = format!(
        "services: {{ web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }} }}\nchannels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
        target.url("/"),
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    let body = r#"[{"labels": {"alertname": "Fish", "severity": "warning"}, "unknown": 1}, {"labels": {}}, {"labels": {"a": "b"}, "startsAt": "yesterday"}]"#;
    assert_eq!(ask_with(&running.url, Method::POST, "/api/v2/alerts", None, body).await.0, 401);
    let (status, said) = ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), body).await;
    assert_eq!(status, 400);
    assert!(said.as_str().unwrap().contains("an alert needs at least one label"), "{said}");
    let first = eventually("the good one at the webhook", LIMIT, async || accepted(&sink).into_iter().next()).await;
    assert_eq!((&first["alerts"][0]["name"], &first["severity"]), (&"Fish".into(), &"ticket".into()));
    let (_, list) = running.get("/api/v2/alerts").await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["labels"]["alertname"]), (1, &"Fish".into()));
    let large = format!("[{}{{}}]", "{\"labels\":{\"a\":\"b\"}},".repeat(4096));
    assert_eq!(ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), &large).await.0, 413);
    let (status, _) = ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), "{}").await;
    assert!((400..500).contains(&status), "{status}");

    // What comes back from where we sent it is refused.
    let id = first["alerts"][0]["incident"].as_str().unwrap();
    let ours = format!("[{{\"labels\": {{\"alertname\": \"Loop\", \"monitor_incident\": \"{id}\"}}}}]");
    let (status, said) = ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), &ours).await;
    assert_eq!((status, said.as_str().unwrap()), (400, "an alert of this monitor itself came back"));
    // Also when its incident is over and known to the disk alone.
    let over = r#"[{"labels": {"alertname": "Fish", "severity": "warning"}, "endsAt": "2020-01-01T00:00:00Z"}]"#;
    assert_eq!(ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), over).await.0, 200);
    eventually("its end to be accepted and written down", LIMIT, async || {
        let (_, incident) = running.get(&format!("/api/v1/incidents/{id}")).await;
        let rows = incident["deliveries"].as_array()?.clone();
        (rows.len() == 2 && rows.iter().all(|row| row["state"] == "sent")).then_some(())
    })
    .await;
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, monitor::Kinds::standard()).await;
    let (status, said) = ask_with(&running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), &ours).await;
    assert_eq!((status, said.as_str().unwrap()), (400, "an alert of this monitor itself came back"));
    running.stop().await;
}
