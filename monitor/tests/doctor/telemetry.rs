//! Metrics, traces and logs: sent where nobody takes them, or not sent at all.

use super::mended::found;
use super::{findings, read};

#[test]
fn telemetry_arrives_where_somebody_takes_it() {
    let compose = "services:\n  prometheus: { image: 'prom/prometheus:v2.54.1' }\n  tempo:\n    image: grafana/tempo:2.6.0\n    \
                   volumes: ['./tempo:/etc/tempo:ro']\n";
    let config = "storage:\n  remote_write:\n    - url: http://prometheus:9090/api/v1/write\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tempo")).unwrap();
    let found_with = |compose: &str, config: &str| {
        std::fs::write(folder.path().join("compose.yml"), compose).unwrap();
        std::fs::write(folder.path().join("tempo/tempo.yml"), config).unwrap();
        findings(&read(folder.path()).unwrap())
    };
    let refused = found_with(compose, config);
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!((refused[0].line, refused[0].rule), (2, "remote-write-refused"));
    let place = folder.path().join("tempo/tempo.yml:3").display().to_string();
    assert_eq!(
        refused[0].message,
        format!(
            "tempo writes to http://prometheus:9090/api/v1/write ({place}), and prometheus is not told --web.enable-remote-write-receiver"
        )
    );
    let mended = refused[0].fix.replace("\n", "\n    ");
    let mended = format!(
        "services:\n  prometheus:\n    image: prom/prometheus:v2.54.1\n    {mended}\n{}",
        compose.split_once('\n').unwrap().1.split_once('\n').unwrap().1
    );
    assert_eq!(found_with(&mended, config), Vec::new(), "{mended}");
    let own = compose.replacen("prom/prometheus:v2.54.1", "registry.example.com/prometheus:1", 1);
    assert_eq!(found_with(&own, config), Vec::new(), "what its image brings nobody knows");
    let older = compose.replacen("v2.54.1", "v2.30.0", 1);
    assert!(found_with(&older, config)[0].fix.contains("--enable-feature=remote-write-receiver"));
    let feature = mended.replacen(
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms,remote-write-receiver",
        1,
    );
    assert_eq!(found_with(&feature, config), Vec::new());
    assert_eq!(found_with(compose, &config.replacen("    - url", "    # - url", 1)), Vec::new());
    let otlp = "exporters: { otlphttp: { endpoint: 'http://prometheus:9090/api/v1/otlp' } }\n";
    assert!(found_with(compose, otlp)[0].fix.contains("--enable-feature=otlp-write-receiver"));
    assert!(found_with(&compose.replacen("v2.54.1", "v3.0.1", 1), otlp)[0].fix.contains("--web.enable-otlp-receiver"));

    let traced = "services:\n  app:\n    image: registry.example.com/app:1\n    environment:\n      OTEL_SERVICE_NAME: app\n  \
                  collector: { image: 'otel/opentelemetry-collector:0.111.0' }\n";
    assert_eq!(found(&[("compose.yml", traced)]), ["5 traces-not-sent"]);
    let sent =
        traced.replacen("NAME: app\n", "NAME: app\n      OTEL_EXPORTER_OTLP_ENDPOINT: http://collector:4317\n", 1);
    let off = traced.replacen("NAME: app\n", "NAME: app\n      OTEL_SDK_DISABLED: 'true'\n", 1);
    let elsewhere = traced.replacen("otel/opentelemetry-collector", "registry.example.com/other", 1);
    for text in [sent, off, elsewhere] {
        assert_eq!(found(&[("compose.yml", &text)]), Vec::<String>::new(), "{text}");
    }

    let logs = "services:\n  loki: { image: 'grafana/loki:2.9.10' }\n  grafana: { image: 'grafana/grafana:11.2.0' }\n  \
                app: { image: 'registry.example.com/app:1' }\n";
    assert_eq!(found(&[("compose.yml", logs)]), ["2 logs-not-shipped"]);
    for (from, to) in [
        ("registry.example.com/app:1", "grafana/promtail:2.9.10"),
        ("app:1'", "app:1', environment: { LOG_URL: 'http://loki:3100' }"),
        ("app:1'", "app:1', logging: { driver: loki }"),
        ("grafana/grafana:11.2.0", "nginx:1.27"),
    ] {
        assert_eq!(found(&[("compose.yml", &logs.replacen(from, to, 1))]), Vec::<String>::new(), "{to}");
    }
}
