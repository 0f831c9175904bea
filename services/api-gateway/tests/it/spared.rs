//! A service that does not answer is spared, and what changes nothing is tried once more.

use testkit::{Target, eventually};
use tokio::io::AsyncWriteExt;

use crate::{ByHand, Gateway, KEY, LIMIT, nowhere, send};

#[tokio::test]
async fn after_five_failures_a_service_is_spared_until_it_answers() {
    let (service, url) = ByHand::listen().await;
    drop(service);
    let address = url.trim_start_matches("http://").to_owned();
    let gateway = Gateway::before(&url).await;
    for _failure in 0..5 {
        gateway.ask("POST", "/api/airtable/x").await.error(502, "upstream_unreachable");
    }
    let spared = gateway.ask("POST", "/api/airtable/x").await;
    let text = spared.error(503, "upstream_spared");
    assert!(text.starts_with("airtable-gateway did not answer and is spared; try again in "), "{text}");
    assert!(spared.header("retry-after").is_some());
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("api_gateway_upstream_breaker_open{upstream=\"airtable-gateway\"} 1\n"), "{metrics}");
    assert!(metrics.contains("{result=\"unreachable\",upstream=\"airtable-gateway\"} 5\n"), "{metrics}");
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            crate::read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
        }
    });
    eventually("the service to be asked again", LIMIT, async || {
        (gateway.ask("POST", "/api/airtable/x").await.status == 204).then_some(())
    })
    .await;
    assert_eq!(gateway.ask("GET", "/api/airtable/x").await.status, 204);
}

#[tokio::test]
async fn a_service_that_takes_no_request_is_late_and_spared_whatever_the_request_carries() {
    let target = Target::blackhole();
    let gateway = Gateway::impatient_before(&target.url("")).await;
    let ask = async || send(gateway.request("POST", "/api/airtable/x").header("x-api-key", KEY), "{}").await;
    for _failure in 0..5 {
        ask().await.error(504, "upstream_timeout");
    }
    ask().await.error(503, "upstream_spared");
}

#[tokio::test]
async fn what_changes_nothing_is_tried_once_more_and_nothing_else() {
    for (method, tries) in [("GET", 2), ("HEAD", 2), ("POST", 1), ("DELETE", 1), ("PUT", 1)] {
        let target = Target::close();
        let gateway = Gateway::before(&target.url("")).await;
        gateway.ask(method, "/api/airtable/x").await;
        assert_eq!(target.connections(), tries, "{method}");
    }
    let target = Target::close();
    let gateway = Gateway::before(&target.url("")).await;
    let request = gateway.request("GET", "/api/airtable/x").header("x-api-key", KEY);
    send(request, "with a body").await.error(502, "upstream_failed");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn one_service_that_is_spared_leaves_others_alone() {
    let (_gone, url) = nowhere();
    let llm = Target::ok("{}");
    let mut settings = crate::settings();
    settings.airtable_gateway = crate::upstream(&url);
    settings.llm_orchestrator = crate::upstream(&llm.url(""));
    let gateway = Gateway::start(settings).await;
    for _failure in 0..6 {
        gateway.ask("GET", "/api/airtable/x").await;
    }
    assert_eq!(gateway.ask("GET", "/api/tools").await.status, 200);
}
