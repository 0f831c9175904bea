//! The health of all services in one answer.

use std::time::Duration;

use api_gateway::{Settings, Upstream};
use serde_json::Value;
use testkit::{Target, eventually};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::{ByHand, Gateway, LIMIT, SHORT, nowhere, settings};

/// Settings whose six services are at these URLs, in the order of the answer.
fn settings_with(urls: [&str; 6]) -> Settings {
    let mut settings = settings();
    let [airtable, mcp, llm, platform, automation, saga] = urls.map(|url| Url::parse(url).unwrap());
    settings.airtable_gateway = Upstream::new("airtable-gateway", airtable);
    settings.mcp_server = Upstream::new("mcp-server", mcp);
    settings.llm_orchestrator = Upstream::new("llm-orchestrator", llm);
    settings.platform_services = Upstream::new("platform-services", platform);
    settings.automation_services = Upstream::new("automation-services", automation);
    settings.saga_orchestrator = Upstream::new("saga-orchestrator", saga);
    settings
}

fn healthy() -> Target {
    Target::ok(r#"{"status":"healthy"}"#)
}

fn field<'a>(health: &'a Value, name: &str) -> Vec<&'a str> {
    health["services"].as_array().unwrap().iter().map(|service| service[name].as_str().unwrap_or_default()).collect()
}

fn assert_shape(health: &Value) {
    assert_eq!((health["gateway"].as_str(), health["service"].as_str()), (Some("healthy"), Some("api-gateway")));
    assert!(health["version"].is_string(), "{health}");
    let made: jiff::Timestamp = health["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(made).as_secs() < 60, "{health}");
    for service in health["services"].as_array().unwrap() {
        assert!(service["response_time"].as_f64().is_some_and(|ms| ms > 0.0), "{service}");
        assert_eq!(service.get("error").is_some(), service["status"] != "healthy", "{service}");
    }
    let stats = health["websocket_stats"].as_object().unwrap();
    assert!(stats.len() == 9 && stats["active_connections"] == 0, "{health}");
}

#[tokio::test]
async fn all_healthy_is_healthy_on_both_paths() {
    let targets = [(); 6].map(|()| healthy());
    let urls = targets.each_ref().map(|target| target.url(""));
    let gateway = Gateway::start(settings_with(urls.each_ref().map(String::as_str))).await;
    for path in ["/api/health", "/health"] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let health = answer.json();
        assert_shape(&health);
        assert_eq!(health["status"], "healthy");
        assert_eq!(
            field(&health, "name"),
            [
                "airtable-gateway",
                "mcp-server",
                "llm-orchestrator",
                "platform-services",
                "automation-services",
                "saga-orchestrator"
            ]
        );
        assert_eq!(field(&health, "url"), urls);
    }
    let request = targets[0].requests().remove(0);
    assert_eq!((request.path.as_str(), request.header("x-monitor-probe")), ("/health", Some("api-gateway")));
}

#[tokio::test]
async fn each_way_to_fail_has_its_word_and_never_makes_the_gateway_unready() {
    let (slow, busy, liar, fine) =
        (Target::stall(), Target::answer(503, &[], ""), Target::ok(r#"{"status":"down"}"#), healthy());
    let (_gone, refused) = nowhere();
    let cut = Target::half_body();
    let mut settings =
        settings_with([&refused, &slow.url(""), &busy.url(""), &liar.url(""), &cut.url(""), &fine.url("")]);
    settings.health_check_timeout = SHORT;
    let gateway = Gateway::start(settings).await;
    let answer = gateway.get("/api/health").await;
    let health = answer.json();
    assert_shape(&health);
    assert_eq!((answer.status, health["status"].as_str()), (200, Some("degraded")));
    assert_eq!(
        field(&health, "status"),
        ["unreachable", "unreachable", "unhealthy", "unhealthy", "unreachable", "healthy"]
    );
    let errors = field(&health, "error");
    assert_eq!(
        errors[..4],
        ["Connection refused (os error 111)", "no answer within 100ms", "HTTP 503", "HTTP 200, but it says \"down\""]
    );
    let waited = health["services"][1]["response_time"].as_f64().unwrap();
    assert!((100.0..5_000.0).contains(&waited), "{waited} ms");
    for path in ["/readyz", "/livez"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn services_are_asked_at_the_same_time() {
    let mut services = Vec::new();
    for _ in 0..6 {
        services.push(ByHand::listen().await);
    }
    let urls: Vec<&str> = services.iter().map(|(_, url)| url.as_str()).collect();
    let gateway = Gateway::start(settings_with(urls.try_into().unwrap())).await;
    let (health, ()) = tokio::join!(gateway.get("/api/health"), async {
        let mut streams = Vec::new();
        for (service, _) in &services {
            streams.push(service.accept().await.0);
        }
        // Nobody is answered before everybody was asked.
        for mut stream in streams {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    assert_eq!(health.json()["status"], "healthy");
}

#[tokio::test]
async fn many_callers_share_one_answer_for_a_second() {
    let targets = [(); 6].map(|()| healthy());
    let urls = targets.each_ref().map(|target| target.url(""));
    targets[0].set_delay(SHORT);
    let gateway = Gateway::start(settings_with(urls.each_ref().map(String::as_str))).await;
    let burst = (0..15).map(|_| gateway.get("/api/health"));
    let answers = futures_util::future::join_all(burst).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(targets.each_ref().map(|target| target.requests().len()), [1; 6]);
    let newer = async || (gateway.get("/health").await.body != answers[0].body).then_some(());
    eventually("a newer answer", Duration::from_secs(10), newer).await;
    assert_eq!(targets[0].requests().len(), 2);
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_take_the_answer_from_others() {
    let target = healthy();
    target.set_delay(LIMIT);
    let gateway = Gateway::start(settings_with([&target.url(""); 6])).await;
    let leaving = gateway.write("GET /health HTTP/1.1\nHost: x\n\n").await;
    let asked = async || (target.requests().len() == 6).then_some(());
    eventually("the first caller's questions", LIMIT, asked).await;
    drop(leaving);
    target.set_delay(Duration::ZERO);
    // Would be degraded, after the timeout of 5 s, if the questions of the first went on.
    assert_eq!(gateway.get("/health").await.json()["status"], "healthy");
}

#[tokio::test]
async fn credentials_of_a_url_are_sent_and_never_shown() {
    let target = healthy();
    let secret = target.url("/base/").replace("http://", "http://user:hush@");
    let gateway = Gateway::start(settings_with([&secret; 6])).await;
    let answer = gateway.get("/health").await;
    assert!(!answer.text().contains("hush") && !answer.text().contains("user"), "{}", answer.text());
    assert_eq!(field(&answer.json(), "url")[0], target.url("/base"));
    let request = target.requests().remove(0);
    assert_eq!((request.path.as_str(), request.header("authorization")), ("/base/health", Some("Basic dXNlcjpodXNo")));
}
