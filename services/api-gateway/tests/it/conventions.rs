//! What every path has in common: the index, error bodies, liveness, metrics, ids.

use testkit::Target;

use crate::{Gateway, KEY, send, settings};

#[tokio::test]
async fn the_index_names_the_service_its_version_and_its_endpoints() {
    let gateway = Gateway::start(settings()).await;
    let json = gateway.get("/").await.json();
    assert_eq!((json["service"].as_str(), json["version"].as_str()), (Some("api-gateway"), Some("0.1.0")));
    assert_eq!(json["endpoints"]["airtable"], "/api/airtable/*");
    for path in json["endpoints"].as_object().unwrap().values().filter_map(|path| path.as_str()) {
        let answer = gateway.get(&path.replace('*', "x")).await;
        assert_ne!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_are_404_for_everybody_and_list_what_there_is() {
    let gateway = Gateway::start(settings()).await;
    for path in ["/nope", "/api", "/api/airtable", "/api/v1/auth", "/api/../health"] {
        for answer in [gateway.get(path).await, gateway.ask("POST", path).await] {
            assert_eq!(answer.error(404, "not_found"), "no such path");
            let json = answer.json();
            assert_eq!(json["path"], path);
            let endpoints = json["available_endpoints"].as_array().unwrap();
            assert!(endpoints.contains(&"GET /api/health".into()), "{json}");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let gateway = Gateway::start(settings()).await;
    let answer = gateway.ask("DELETE", "/api/health").await;
    assert_eq!(answer.error(405, "method_not_allowed"), "DELETE is not allowed here");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn liveness_and_readiness_have_all_their_names() {
    let gateway = Gateway::start(settings()).await;
    for path in ["/livez", "/health/live", "/readyz", "/health/ready", "/ready"] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("healthy")), "{path}");
    }
}

#[tokio::test]
async fn metrics_come_as_prometheus_text_and_as_open_metrics() {
    let gateway = Gateway::start(settings()).await;
    gateway.get("/api/airtable/x").await;
    let text = gateway.get("/metrics").await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let expected = "http_requests_total{endpoint=\"/api/airtable/{*path}\",method=\"GET\",service=\"api-gateway\",\
                    status=\"401\",status_code=\"401\"} 1\n";
    assert!(text.text().contains(expected), "{}", text.text());
    let open = send(gateway.request("GET", "/metrics").header("accept", "application/openmetrics-text"), "").await;
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
}

#[tokio::test]
async fn ids_are_echoed_or_made() {
    let gateway = Gateway::start(settings()).await;
    let request = gateway.request("GET", "/nope").header("x-request-id", "r-1").header("x-trace-id", "t-1");
    let answer = send(request, "").await;
    assert_eq!((answer.header("x-request-id"), answer.header("x-trace-id")), (Some("r-1"), Some("t-1")));
    let answer = gateway.get("/nope").await;
    assert_eq!((answer.header("x-request-id").unwrap().len(), answer.header("x-trace-id").unwrap().len()), (36, 36));
}

#[tokio::test]
async fn probes_are_handed_on_and_refused_like_others_and_counted_by_nobody() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let probe = || gateway.request("GET", "/api/airtable/x").header("x-monitor-probe", "shop/health");
    assert_eq!(send(probe().header("x-api-key", KEY), "").await.status, 200);
    assert_eq!(send(probe(), "").await.status, 401);
    let counted = async || {
        let metrics = gateway.get("/metrics").await.text();
        let is_one = |line: &&str| {
            line.starts_with("http_requests_total{endpoint=\"/api/airtable")
                || line.starts_with("api_gateway_refused_total{")
        };
        let handed_on = "api_gateway_upstream_requests_total{result=\"answered\",upstream=\"airtable-gateway\"} ";
        let handed_on = metrics.lines().find_map(|line| line.strip_prefix(handed_on)).map(ToOwned::to_owned);
        (metrics.lines().filter(is_one).count(), handed_on)
    };
    assert_eq!(counted().await, (0, Some("0".to_owned())));
    gateway.ask("GET", "/api/airtable/x").await;
    gateway.get("/api/airtable/x").await;
    assert_eq!(counted().await, (3, Some("1".to_owned())));
}
