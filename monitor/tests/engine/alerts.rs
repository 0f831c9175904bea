//! Alerts through the whole engine: a real webhook, real restarts.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use monitor::Kinds;
use serde_json::Value;
use testkit::{Target, eventually, free_port};

use crate::harness::{LIMIT, Running, TOKEN, ask, ask_with};

/// Messages that a webhook accepted, in order, each key once.
pub(crate) fn accepted(sink: &Target) -> Vec<Value> {
    let mut keys = BTreeSet::new();
    let messages =
        sink.requests().into_iter().filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok());
    messages.filter(|message| keys.insert(message["key"].as_str().unwrap().to_owned())).collect()
}

/// What was told of each incident, in order, such as `opened resolved`.
pub(crate) fn told(messages: &[Value]) -> BTreeMap<String, String> {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for part in messages.iter().flat_map(|message| message["alerts"].as_array().unwrap()) {
        let line = told.entry(part["incident"].as_str().unwrap().to_owned()).or_default();
        let space = if line.is_empty() { "" } else { " " };
        line.push_str(&format!("{space}{}", part["happening"].as_str().unwrap()));
    }
    told
}

fn config(target: &Target, sink: &Target, more: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         services:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n\
         channels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n{more}",
        target.url("/"),
        sink.url("/hook")
    )
}

async fn until_told(sink: &Target, count: usize) -> Vec<Value> {
    eventually("messages at the webhook", LIMIT, async || {
        let messages = accepted(sink);
        (messages.len() >= count).then_some(messages)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_with_its_evidence_and_its_end_too() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let head = concat!(
        "public_url: https://status.example.com\naccess: { public: details }\n",
        "links: { trace: 'https://tempo.example.com/trace/{trace_id}', ",
        "logs: 'https://grafana.example.com/?s={service}&from={from_ms}&to={to_ms}' }\n",
    );
    let running = Running::start(&config(&target, &sink, head)).await;
    running.until("web", "up").await;
    target.set_status(503);
    let first = until_told(&sink, 1).await.remove(0);
    assert_eq!(
        (&first["status"], &first["severity"], &first["durable"]),
        (&"firing".into(), &"page".into(), &true.into())
    );
    let part = &first["alerts"][0];
    assert!(first["title"].as_str().unwrap().starts_with("web is down: home: status 503"), "{first}");
    assert_eq!(part["evidence"]["check"], "web/home");
    let trace_id = part["evidence"]["trace_id"].as_str().unwrap();
    assert_eq!(trace_id.len(), 32);
    let trace = format!("https://tempo.example.com/trace/{trace_id}");
    assert_eq!(part["links"]["trace"], trace);
    let logs = part["links"]["logs"].as_str().unwrap();
    assert!(logs.starts_with("https://grafana.example.com/?s=web&from=1"), "{logs}");
    let latency = part["evidence"]["latency"].as_array().unwrap();
    assert!(latency.iter().any(|point| point[1].is_f64()) && latency.iter().any(|point| point[1].is_null()), "{part}");
    let id = part["incident"].as_str().unwrap();
    assert_eq!(part["links"]["incident"], format!("https://status.example.com/incidents/{id}"));
    let (_, page) = running.get(&format!("/incidents/{id}")).await;
    let page = page.as_str().unwrap();
    assert!(page.contains(&format!(r#"<a href="{trace}" rel="noreferrer noopener">{trace_id}</a>"#)), "{page}");
    assert!(page.contains(r#"<dt>Logs</dt><dd><a href="https://grafana.example.com/?s=web&#38;from=1"#), "{page}");
    target.set_status(200);
    let second = until_told(&sink, 2).await.remove(1);
    assert_eq!(second["status"], "resolved");
    assert_eq!(second["alerts"][0]["incident"], id);
    let (_, incident) = running.get(&format!("/api/v1/incidents/{id}")).await;
    let kinds: Vec<&str> =
        incident["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"opened"), Some(&"resolved")), "{incident}");
    let states = eventually("both deliveries to be written down", LIMIT, async || {
        let (_, incident) = running.get(&format!("/api/v1/incidents/{id}")).await;
        let rows = incident["deliveries"].as_array()?.clone();
        (rows.len() == 2 && rows.iter().all(|row| row["state"] == "sent")).then_some(rows)
    });
    states.await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_on_the_disk_before_it_is_answered_and_survives_a_restart() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let yaml = config(&target, &sink, "");
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    let body = r#"{"matchers": ["service=web"], "for": "1h", "comment": "moving house"}"#;
    let (status, refused) = ask_with(&running.url, Method::POST, "/api/v1/silences", None, body).await;
    assert_eq!(status, 401, "{refused}");
    let (status, silence) = ask_with(&running.url, Method::POST, "/api/v1/silences", Some(TOKEN), body).await;
    assert_eq!(status, 201, "{silence}");
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    target.set_status(500);
    running.until("web", "down").await;
    let open = eventually("the incident", LIMIT, async || {
        let (_, open) = running.get("/api/v1/incidents?open=true").await;
        open.as_array()?.first().cloned()
    })
    .await;
    assert!(
        open["told"]["hook"]["state"]["suppressed"].as_str().unwrap().starts_with("silenced by operator"),
        "{open}"
    );
    assert!(accepted(&sink).is_empty());
    let id = silence["id"].as_str().unwrap();
    let (status, _) = ask_with(&running.url, Method::DELETE, &format!("/api/v1/silences/{id}"), Some(TOKEN), "").await;
    assert_eq!(status, 204);
    assert_eq!(until_told(&sink, 1).await[0]["title"], open["title"]);
    let (_, audit) =
        ask(&running.url, Method::GET, "/api/v1/audit", &[("authorization", &format!("Bearer {TOKEN}"))]).await;
    let actions: Vec<&str> = audit.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["silence.end", "silence.create"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_silences_and_windows_are_refused_with_what_to_write() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let running = Running::start(&config(&target, &sink, "")).await;
    for (path, body, said) in [
        ("silences", r#"{"matchers": [], "for": "1h"}"#, "1 to 32 matchers"),
        ("silences", r#"{"matchers": ["web"], "for": "1h"}"#, "write label=value"),
        ("silences", r#"{"matchers": ["service=web"]}"#, "\"until\" or \"for\""),
        ("silences", r#"{"matchers": ["service=web"], "for": "1 fortnight"}"#, "not a duration"),
        ("silences", r#"{"matchers": ["service=web"], "until": "2020-01-01T00:00:00Z"}"#, "over already"),
        ("maintenance", r#"{"name": "x", "services": ["wob"], "for": "1h"}"#, "\"wob\" is not a service"),
        ("maintenance", r#"{"name": "", "for": "1h"}"#, "needs a name"),
    ] {
        let (status, answer) =
            ask_with(&running.url, Method::POST, &format!("/api/v1/{path}"), Some(TOKEN), body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(said), "{answer}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_a_dead_letter_that_can_be_tried_again() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    sink.set_status(400);
    let running = Running::start(&config(&target, &sink, "")).await;
    running.until("web", "up").await;
    target.set_status(500);
    let dead = eventually("a dead letter", LIMIT, async || {
        let (_, dead) = running.get("/api/v1/deliveries").await;
        dead.as_array()?.first().cloned()
    })
    .await;
    assert!(dead["said"].as_str().unwrap().starts_with("400 Bad Request"), "{dead}");
    sink.set_status(200);
    let path = format!("/api/v1/deliveries/{}/{}/hook/retry", dead["incident"].as_str().unwrap(), dead["event"]);
    let before = sink.requests().len();
    assert_eq!(ask_with(&running.url, Method::POST, &path, Some(TOKEN), "").await.0, 204);
    eventually("another try", LIMIT, async || (sink.requests().len() > before).then_some(())).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_tried_again_after_all_is_over_tells_the_end_too() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let running = Running::start(&config(&target, &sink, "")).await;
    running.until("web", "up").await;
    sink.set_status(400);
    target.set_status(500);
    let dead = eventually("a dead letter", LIMIT, async || {
        let (_, dead) = running.get("/api/v1/deliveries").await;
        dead.as_array()?.first().cloned()
    })
    .await;
    let id = dead["incident"].as_str().unwrap();
    target.set_status(200);
    eventually("the end", LIMIT, async || {
        let (_, incident) = running.get(&format!("/api/v1/incidents/{id}")).await;
        (!incident["resolved"].is_null()).then_some(())
    })
    .await;
    sink.set_status(200);
    let path = format!("/api/v1/deliveries/{id}/{}/hook/retry", dead["event"]);
    assert_eq!(ask_with(&running.url, Method::POST, &path, Some(TOKEN), "").await.0, 204);
    let about = async |count: usize| {
        eventually("beginning and end", LIMIT, async || {
            let told = told(&accepted(&sink)).remove(id)?;
            (told.split(' ').count() >= count).then_some(told)
        })
        .await
    };
    assert_eq!(about(2).await, "opened resolved");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_goes_through_every_route_is_marked_and_leaves_nothing_open() {
    let (target, sink, broken) = (Target::ok(""), Target::ok(""), Target::ok(""));
    broken.set_status(400);
    let more = format!(
        "  boss: {{ webhook: {{ url: \"{}\" }} }}\n  broken: {{ webhook: {{ url: \"{}\" }} }}\n\
         routes:\n  - {{ match: {{ severity: page }}, to: [hook], escalate: [{{ after: 15m, to: [boss] }}] }}\n  - {{ to: [hook] }}\n",
        sink.url("/boss"),
        broken.url("/")
    );
    let running = Running::start(&config(&target, &sink, &more)).await;
    let (status, begun) = ask_with(&running.url, Method::POST, "/api/v1/drill", Some(TOKEN), "{}").await;
    assert_eq!(status, 202, "{begun}");
    let record = eventually("the drill to be over", LIMIT, async || {
        let (_, record) = running.get("/api/v1/drill").await;
        record["succeeded"].is_string().then_some(record)
    })
    .await;
    assert_eq!(record["results"], serde_json::json!({"hook": "accepted", "boss": "accepted"}));
    let messages = eventually("its end to be told too", LIMIT, async || {
        let messages = accepted(&sink);
        (messages.len() == 4).then_some(messages)
    })
    .await;
    assert!(messages.iter().all(|message| message["drill"] == true), "{messages:?}");
    let (_, open) = running.get("/api/v1/incidents?open=true").await;
    assert_eq!(open.as_array().unwrap().len(), 0, "{open}");

    // One that is refused has not got through, and is told of through the others.
    let path = "/api/v1/channels/broken/test";
    assert_eq!(ask_with(&running.url, Method::POST, path, Some(TOKEN), "").await.0, 202);
    let told = eventually("the broken channel to be told of", LIMIT, async || {
        accepted(&sink).into_iter().find(|message| message["alerts"][0]["name"] == "AlertChannelFailing")
    })
    .await;
    assert!(told["title"].as_str().unwrap().starts_with("alerts do not get through broken: refused: 400"), "{told}");
    let (status, refused) = ask_with(&running.url, Method::POST, "/api/v1/channels/hok/test", Some(TOKEN), "").await;
    assert_eq!((status, refused["error"].as_str().unwrap()), (400, "\"hok\" is not a channel; did you mean \"hook\"?"));
    running.stop().await;
}

/// Returns what is left of the budget for the availability of `web`, once that is known.
async fn budget_left(running: &Running) -> Option<f64> {
    let (_, metrics) = running.get("/metrics").await;
    let line = "monitor_slo_error_budget_remaining_ratio{objective=\"availability\",service=\"web\"} ";
    metrics.as_str().unwrap().lines().find_map(|found| found.strip_prefix(line)?.parse::<f64>().ok())
}

#[tokio::test]
async fn what_fails_while_a_service_starts_spends_no_budget_now_nor_after_a_restart() {
    let port = free_port();
    let serve = format!(
        "import time, http.server as h; time.sleep(1); h.HTTPServer((\\\"127.0.0.1\\\", {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    );
    let yaml = format!(
        "defaults: {{ every: 1s, timeout: 400ms, every_when_failing: 100ms }}\n\
         services:\n  web:\n    slo: {{ availability: 99% }}\n    \
         workload: {{ process: {{ command: [python3, -c, \"{serve}\"] }} }}\n    \
         checks: {{ home: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }}\n"
    );
    let mut folder = tempfile::tempdir().unwrap();
    for _again_after_a_restart in 0..2 {
        let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
        running.until("web", "up").await;
        let left = eventually("the budget to be known", LIMIT, async || budget_left(&running).await).await;
        assert!((left - 1.0).abs() < f64::EPSILON, "{left}");
        let (_, history) = running.get("/api/v1/services/web/history").await;
        let points = history["checks"]["home"].as_array().unwrap();
        let count = |mark: &str| points.iter().filter_map(|point| point[mark].as_u64()).sum::<u64>();
        assert!(count("fail") == 0 && count("unknown") > 0, "{history}");
        folder = running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_spent_too_fast_is_a_page_even_if_nothing_is_down_and_a_restart_forgets_nothing() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let yaml = format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms, fail_after: 64 of 64 }}\n\
         services: {{ web: {{ slo: {{ availability: 99% }}, checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }} }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
        target.url("/"),
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    target.set_status(500);
    eventually("some fails", LIMIT, async || (target.connections() > 15).then_some(())).await;
    target.set_status(200);
    let page = until_told(&sink, 1).await.remove(0);
    let title = page["title"].as_str().unwrap();
    assert!(title.starts_with("web spends its error budget") && title.ends_with("in 1h (objective 99%)"), "{title}");
    assert_eq!((&page["severity"], &page["alerts"][0]["name"]), (&"page".into(), &"ErrorBudgetBurn".into()));
    let spent = budget_left(&running).await.unwrap();
    assert!(spent < 0.0, "{spent}");
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let again = eventually("the budget to be remembered", LIMIT, async || budget_left(&running).await).await;
    assert!(again < 0.0, "{again}");
    running.stop().await;
}
