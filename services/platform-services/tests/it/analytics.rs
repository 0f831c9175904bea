//! Events, metrics and what is told of them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{Answer, KEY, PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_kept_counted_and_told() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    events_are_told_newest_first(platform).await;
    metrics_are_told_newest_first(platform).await;
    a_batch_is_kept_whole_or_not_at_all(platform).await;
    usage_is_the_sum_of_what_came_at_once(platform).await;
    what_is_wrong_is_named(platform).await;
    what_a_monitor_sends_is_answered_and_not_kept(platform).await;
    a_user_reads_what_is_his(platform).await;
    only_keys_write(platform).await;
}

async fn read(platform: &Platform, path: &str) -> Value {
    platform.with_key(KEY, "GET", &format!("/analytics/{path}"), None).await.good(200)
}

async fn write(platform: &Platform, path: &str, body: Value) -> Answer {
    platform.with_key(KEY, "POST", &format!("/analytics/{path}"), Some(body)).await
}

async fn events_are_told_newest_first(platform: &Platform) {
    for number in 0..7 {
        let event = json!({ "event_type": if number < 5 { "page_view" } else { "search" },
            "event_data": { "number": number, "zero": "a\u{0}b" }, "user_id": "lister", "session_id": 7 });
        let row = write(platform, "events", event).await.good(200);
        assert_eq!((&row["event_data"]["number"], &row["session_id"]), (&json!(number), &json!("7")));
        assert!(row["id"].is_i64() && row["timestamp"].as_str().unwrap().ends_with('Z'), "{row}");
    }
    let numbers = async |query: &str| {
        let page = read(platform, &format!("events?{query}")).await;
        let events = page["events"].as_array().unwrap().clone();
        let numbers: Vec<i64> = events.iter().map(|event| event["event_data"]["number"].as_i64().unwrap()).collect();
        (numbers, page["total"].as_i64().unwrap())
    };
    assert_eq!(numbers("user_id=lister&limit=3").await, (vec![6, 5, 4], 7));
    assert_eq!(numbers("user_id=lister&limit=3&page=3").await, (vec![0], 7));
    assert_eq!(numbers("user_id=lister&event_type=search").await, (vec![6, 5], 2));
    assert_eq!(numbers("event_type=page_view&limit=2").await, (vec![4, 3], 5), "counted by the hour");
    assert_eq!(numbers("event_type=page_view&limit=2&from=2020-01-01&to=2020-01-02").await, (vec![], 0));
    assert_eq!(numbers("user_id=nobody").await, (vec![], 0));
    let first = read(platform, "events?event_type=page_view&limit=1&page=5").await["events"][0].clone();
    let (from, to) = (text(&first, "timestamp"), "2999-01-01T00:00:00");
    assert_eq!(numbers(&format!("event_type=page_view&from={from}&to={to}&limit=1")).await.1, 5, "one by one");
    let whole = read(platform, "events").await;
    assert_eq!((&whole["page"], &whole["limit"], &whole["total"]), (&json!(1), &json!(50), &json!(7)));
}

async fn metrics_are_told_newest_first(platform: &Platform) {
    let metric = json!({ "metric_name": "latency", "metric_value": 0.1, "service_name": "gateway",
        "endpoint": "/chat", "labels": { "zone": "a" }, "user_id": 12 });
    write(platform, "metrics", metric).await.good(200);
    let earlier = json!({ "metric_name": "latency", "metric_value": 18_446_744_073_709_551_615_u64,
        "metric_type": "counter", "service_name": "other", "timestamp": a_day_ago() });
    write(platform, "metrics", earlier).await.good(200);
    let found = read(platform, "metrics?metric_name=latency").await;
    assert_eq!(found["count"], 2);
    let (newest, oldest) = (&found["metrics"][0], &found["metrics"][1]);
    assert_eq!((&newest["metric_value"], &newest["metric_type"]), (&json!(0.1), &json!("gauge")));
    assert_eq!((&newest["labels"]["zone"], &newest["user_id"]), (&json!("a"), &json!("12")));
    assert_eq!(oldest["metric_value"], 18_446_744_073_709_551_615_u64, "nothing is rounded");
    for (query, count) in [
        ("metric_name=latency&service_name=other", 1),
        ("service_name=gateway&user_id=12", 1),
        ("user_id=13", 0),
        ("metric_name=latency&limit=1", 1),
    ] {
        assert_eq!(read(platform, &format!("metrics?{query}")).await["count"], count, "{query}");
    }
}

/// As programs write that know no zones.
fn a_day_ago() -> String {
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    yesterday.to_string().trim_end_matches('Z').to_owned()
}

async fn a_batch_is_kept_whole_or_not_at_all(platform: &Platform) {
    let metric = |value: Value| json!({ "metric_name": "batched", "metric_value": value });
    let batch = |metrics: Vec<Value>| json!({ "metrics": metrics });
    let good = batch((0..100).map(|value| metric(json!(value))).collect());
    assert_eq!(write(platform, "metrics/batch", good).await.good(200)["message"], "100 metrics recorded");
    let count = async || read(platform, "metrics?metric_name=batched&limit=1000").await["count"].clone();
    assert_eq!(count().await, 100);
    let mut nameless = metric(json!(1));
    nameless["metric_name"] = json!("");
    for (metrics, status, said) in [
        (vec![metric(json!(1)), nameless], 400, "metrics[1].metric_name is empty; write 1 to 200 characters"),
        (vec![metric(json!(1)), metric(json!("2"))], 422, "metrics[1].metric_value: invalid type"),
        (vec![metric(json!(1)); 101], 400, "metrics has 101 items; write 1 to 100"),
        (vec![], 400, "metrics has 0 items; write 1 to 100"),
    ] {
        let told = write(platform, "metrics/batch", batch(metrics)).await.error(status, "bad_request");
        assert!(told.contains(said), "{told}");
    }
    assert_eq!(count().await, 100);
    let mut large = metric(json!(1));
    large["labels"] = json!({ "text": "ä".repeat(2000) });
    write(platform, "metrics/batch", batch(vec![large; 100])).await.good(200);
    write(platform, "metrics/batch", json!({ "metrics": "x".repeat(2_000_000) })).await.error(413, "too_large");
}

async fn usage_is_the_sum_of_what_came_at_once(platform: &Platform) {
    let before = read(platform, "dashboard").await;
    let total_before = read(platform, "costs").await["summary"]["total_tokens"].as_i64().unwrap();
    let event = |number: i64| {
        let user = ["one", "two"].get(usize::try_from(number % 3).unwrap());
        json!({ "event_type": if number % 2 == 0 { "api_call" } else { "chat" }, "user_id": user,
            "event_data": { "tokens_used": number, "cost_usd": 0.1, "endpoint": format!("/e/{}", number % 2) } })
    };
    let posts = join_all((0..60).map(|number| write(platform, "events", event(number)))).await;
    posts.iter().for_each(|answer| {
        answer.good(200);
    });
    // 0, 3, 6 … 57: twenty events, of which ten are calls.
    for period in ["daily", "weekly", "monthly"] {
        let usage = read(platform, &format!("usage/one?period_type={period}")).await;
        let row = &usage["usage"][0];
        assert_eq!((&row["user_id"], &row["period_type"]), (&json!("one"), &json!(period)));
        assert_eq!(
            (&row["api_calls_count"], &row["tokens_used"], &row["cost_usd"]),
            (&json!(10), &json!(570), &json!(2.0))
        );
    }
    let costs = read(platform, "costs?user_id=two&days=2").await;
    let summary = &costs["summary"];
    assert_eq!((&summary["total_cost_usd"], &summary["cost_per_api_call"]), (&json!(2.0), &json!(0.2)));
    assert_eq!(costs["user_breakdown"].as_array().unwrap().len(), 1);
    let costs = read(platform, "costs").await;
    assert_eq!(costs["summary"]["total_tokens"].as_i64().unwrap() - total_before, (0..60).sum::<i64>());
    assert_eq!(costs["summary"]["total_cost_usd"], 6.0, "with what nobody in particular caused");
    let users: Vec<_> = costs["user_breakdown"].as_array().unwrap().iter().map(|user| text(user, "user_id")).collect();
    assert_eq!(users, ["one", "two"]);
    told_on_the_dashboard(platform, &before).await;
}

async fn told_on_the_dashboard(platform: &Platform, before: &Value) {
    let after = read(platform, "dashboard?hours=1").await;
    let raised = |key: &str| after[key].as_i64().unwrap() - before[key].as_i64().unwrap();
    assert_eq!((raised("total_events"), raised("active_users"), raised("total_api_calls")), (60, 2, 30));
    assert_eq!(after["total_cost"], 6.0);
    assert_eq!(after["top_endpoints"][0], json!({ "endpoint": "/e/0", "count": 30 }), "only calls call an endpoint");
    assert_eq!(after["recent_events"].as_array().unwrap().len(), 10);
}

async fn what_is_wrong_is_named(platform: &Platform) {
    let event = |key: &str, value: Value| {
        let mut event = json!({ "event_type": "x" });
        event[key] = value;
        event
    };
    for (body, said) in [
        (event("event_type", json!("")), "event_type is empty; write 1 to 200 characters"),
        (event("event_type", json!("x".repeat(201))), "event_type has 201 characters; write at most 200"),
        (event("user_id", json!("a\u{0}")), "user_id has control characters; leave them out"),
        (event("user_id", json!([])), "user_id is no id; write text or a whole number"),
        (event("event_data", json!({ "x": "x".repeat(20_000) })), "event_data has 20008 bytes; write at most 16384"),
        (
            event("event_data", json!({ "tokens_used": -1 })),
            "event_data.tokens_used is no amount; write a number of 0 or more",
        ),
    ] {
        assert_eq!(write(platform, "events", body).await.error(400, "bad_request"), said);
    }
    let told = write(platform, "events", event("event_data", json!([]))).await.error(422, "bad_request");
    assert!(told.contains("event_data: invalid type: sequence, expected a map"), "{told}");
    for (path, said) in [
        ("events?limit=1001", "limit is 1001; write a number from 1 to 1000"),
        ("events?page=0", "page is 0; write a number from 1 to 100000"),
        (
            "events?page=101&limit=1000",
            "page 101 is beyond the first 100000 events; write an earlier time as to instead",
        ),
        ("events?from=soon", "from is \"soon\"; write a time like 2026-01-31T12:00:00Z, or a day like 2026-01-31"),
        ("events?user_id=%00", "user_id has control characters; leave them out"),
        ("usage/a%00", "user_id has control characters; leave them out"),
        ("usage/a?period_type=yearly", "period_type is \"yearly\"; write daily, weekly or monthly"),
        ("usage/a?days=401", "days is 401; write a number from 1 to 400"),
        ("dashboard?hours=745", "hours is 745; write a number from 1 to 744"),
    ] {
        let answer = platform.with_key(KEY, "GET", &format!("/analytics/{path}"), None).await;
        assert_eq!(answer.error(400, "bad_request"), said);
    }
    let future = json!({ "metric_name": "x", "metric_value": 1, "timestamp": "2999-01-01" });
    let told = write(platform, "metrics", future).await.error(400, "bad_request");
    assert!(told.starts_with("timestamp is 2999-01-01T00:00:00Z; write a time that is kept"), "{told}");
    // What would be SQL elsewhere is a value here.
    let found = read(platform, "events?event_type=%27%20OR%201%3D1%20--").await;
    assert_eq!((&found["total"], &found["events"]), (&json!(0), &json!([])));
}

async fn what_a_monitor_sends_is_answered_and_not_kept(platform: &Platform) {
    let kept = async || {
        let (dashboard, costs) = (read(platform, "dashboard").await, read(platform, "costs").await);
        ["total_events", "active_users", "total_cost"]
            .map(|key| dashboard[key].clone())
            .into_iter()
            .chain([costs["summary"].clone()])
            .collect::<Vec<_>>()
    };
    let before = kept().await;
    let post = async |path: &str, body: Value| {
        let request = platform.request("POST", path).header("x-api-key", KEY).header("x-monitor-probe", "1");
        send(request.header("content-type", "application/json"), body.to_string()).await.json()
    };
    let event = json!({ "event_type": "api_call", "event_data": { "cost_usd": 1 }, "user_id": "probe" });
    let row = post("/analytics/events", event).await;
    assert_eq!((&row["event_type"], &row["user_id"]), (&json!("api_call"), &json!("probe")));
    post("/analytics/metrics", json!({ "metric_name": "probe", "metric_value": 1 })).await;
    let account = json!({ "name": "Watcher", "email": "analytics@watch.example", "password": PASSWORD });
    let watcher = text(&post("/auth/register", account).await, "id");
    // Also what others tell of it.
    write(platform, "events", json!({ "event_type": "api_call", "user_id": watcher })).await.good(200);
    write(platform, "metrics", json!({ "metric_name": "probe", "metric_value": 1, "user_id": watcher }))
        .await
        .good(200);
    assert_eq!(read(platform, "events?user_id=probe").await["total"], 0);
    assert_eq!(read(platform, "metrics?metric_name=probe").await["count"], 0);
    assert_eq!(kept().await, before);
}

async fn a_user_reads_what_is_his(platform: &Platform) {
    let account = platform.register("reader@example.com").await.good(201);
    let (token, id) = (text(&account, "access_token"), text(&account, "id"));
    let event = json!({ "event_type": "api_call", "event_data": { "cost_usd": 0.5 }, "user_id": id });
    write(platform, "events", event).await.good(200);
    let ask = async |path: &str| platform.ask("GET", &format!("/analytics/{path}"), Some(&token), None).await;
    let own = ask("events").await.good(200);
    assert_eq!((&own["total"], &own["events"][0]["user_id"]), (&json!(1), &json!(id)));
    assert_eq!(ask("costs").await.good(200)["summary"]["total_cost_usd"], 0.5);
    assert_eq!(ask(&format!("usage/{id}")).await.good(200)["usage"][0]["cost_usd"], 0.5);
    assert_eq!(ask("metrics").await.good(200)["count"], 0);
    for path in ["events?user_id=one", "metrics?user_id=one", "costs?user_id=one", "usage/one", "dashboard"] {
        ask(path).await.error(403, "forbidden");
    }
    let body = json!({ "event_type": "x" });
    platform.ask("POST", "/analytics/events", Some(&token), Some(body)).await.error(403, "forbidden");
    platform.change(&format!("UPDATE {{schema}}users SET role = 'admin' WHERE id = '{id}'")).await;
    assert!(ask("events?user_id=one").await.good(200)["total"].as_i64().unwrap() > 0);
    ask("dashboard").await.good(200);
}

async fn only_keys_write(platform: &Platform) {
    let wrong = async |method, path| {
        platform.with_key("wrong", method, path, None).await.error(401, "unauthorized");
        platform.ask(method, path, None, None).await.error(401, "unauthorized");
        platform.ask(method, path, Some("garbage"), None).await.error(401, "unauthorized");
    };
    for path in ["/analytics/events", "/analytics/metrics"] {
        wrong("GET", path).await;
        wrong("POST", path).await;
    }
    for path in ["/analytics/usage/one", "/analytics/costs", "/analytics/dashboard"] {
        wrong("GET", path).await;
    }
    wrong("POST", "/analytics/metrics/batch").await;
    let scraped = platform.ask("GET", "/metrics", None, None).await;
    assert!(String::from_utf8_lossy(&scraped.body).contains("# TYPE"), "the bare path is Prometheus's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_asked_for_is_still_not_to_be_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("platform.db").display());
    let platform = Platform::start_with(folder, &url, ("REQUIRE_API_KEY", "false")).await.ready().await;
    let event = json!({ "event_type": "x" });
    platform.ask("POST", "/analytics/events", None, Some(event)).await.good(200);
    assert_eq!(platform.ask("GET", "/analytics/events", None, None).await.good(200)["total"], 1);
    platform.with_key("wrong", "GET", "/analytics/events", None).await.error(401, "unauthorized");
}
