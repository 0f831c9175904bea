//! How many requests each may make, counted here or in a real Redis.

use std::num::NonZeroU32;

use api_gateway::{Failure, Settings, Signed};
use serde_json::json;
use testkit::{Redis, Target, eventually};

use crate::sign_in::{SECRET, SignIn};
use crate::{Answer, Gateway, LIMIT, send, settings, upstream};

fn few(requests: u32) -> Settings {
    let mut settings = settings();
    settings.rate_limit = NonZeroU32::new(requests);
    settings
}

fn remaining(answer: &Answer) -> u32 {
    answer.header("x-ratelimit-remaining").unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_is_told_its_limit_and_refused_beyond_it() {
    let target = Target::ok("");
    let mut settings = few(3);
    settings.airtable_gateway = upstream(&target.url(""));
    let gateway = Gateway::start(settings).await;
    for left in [2, 1, 0] {
        let answer = gateway.ask("GET", "/api/airtable/x").await;
        assert_eq!((answer.status, remaining(&answer), answer.header("x-ratelimit-limit")), (200, left, Some("3")));
        assert_eq!(answer.header("x-ratelimit-type"), Some("key"));
        let reset: i64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert!((0..=61).contains(&(reset - jiff::Timestamp::now().as_second())), "{reset}");
    }
    let refused = gateway.ask("GET", "/api/airtable/x").await;
    assert_eq!(refused.error(429, "rate_limited"), "too many requests; try again in 20 s");
    assert_eq!((refused.header("retry-after"), remaining(&refused)), (Some("20"), 0));
    assert_eq!(target.requests().len(), 3);
    // Wrong keys and no keys are counted by address, and others are not refused for them.
    for _request in 0..3 {
        gateway.get("/api/airtable/x").await.error(401, "unauthorized");
    }
    let refused = gateway.get("/api/airtable/x").await;
    refused.error(429, "rate_limited");
    assert_eq!(refused.header("x-ratelimit-type"), Some("address"));
    for _rapid in 0..15 {
        assert_eq!(gateway.get("/api/health").await.status, 200);
    }
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("api_gateway_rate_limited_total{type=\"key\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn whoever_makes_up_keys_and_tokens_has_few_of_them_asked_about() {
    let platform = Target::answer(401, &[], "");
    for is_key in [true, false] {
        let mut settings = few(3);
        settings.platform_services = upstream(&platform.url(""));
        let gateway = Gateway::start(settings).await;
        let mut statuses = Vec::new();
        for number in 0..6 {
            let key = gateway.request("GET", "/api/tools").header("x-api-key", format!("pak_{number}"));
            let answer = match is_key {
                true => send(key, "").await,
                false => gateway.post("/api/v1/chat", Some(&format!("made.up.{number}")), &json!({})).await,
            };
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    }
    assert_eq!(platform.requests().len(), 6, "three keys, three tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_one_address_are_counted_apart() {
    let sign_in = SignIn::start().await;
    let (ada, eve) = (sign_in.register("ada@example.com").await, sign_in.register("eve@example.com").await);
    // One that has counted nothing yet, and little enough that speed does not matter.
    let mut settings = few(3);
    settings.platform_services = upstream(&sign_in.platform);
    settings.llm_orchestrator = upstream(&sign_in.llm.url(""));
    settings.signed = Signed::Secret(SECRET.into());
    let gateway = Gateway::start(settings).await;
    let profile = async |token: &str| gateway.get_as(token, "/api/v1/users/profile").await;
    assert_eq!((remaining(&profile(&ada).await), remaining(&profile(&ada).await)), (2, 1));
    let chat = gateway.post("/api/v1/chat", Some(&ada), &json!({ "message": "hello" })).await;
    assert_eq!((chat.status, remaining(&chat), chat.header("x-ratelimit-type")), (200, 0, Some("user")));
    profile(&ada).await.error(429, "rate_limited");
    assert_eq!(remaining(&profile(&eve).await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_redis_count_together() {
    let redis = Redis::start().await;
    let target = Target::ok("");
    let start = async || {
        let mut settings = few(40);
        settings.redis = Some(redis.url().into());
        settings.airtable_gateway = upstream(&target.url(""));
        Gateway::start(settings).await
    };
    let gateways = [start().await, start().await];
    let asked = (0..60).map(|number: usize| gateways[number % 2].ask("GET", "/api/airtable/x"));
    let answers = futures_util::future::join_all(asked).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    // A request and a half come back in a second; the machine may have been slow.
    assert!((40..50).contains(&admitted), "{admitted}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)));
    let least = answers.iter().map(remaining).min();
    assert_eq!(least, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_redis_a_gateway_counts_alone_or_refuses_and_says_so() {
    for (failure, status, words) in
        [(Failure::Open, 200, "this gateway counts requests alone"), (Failure::Closed, 503, "requests are refused")]
    {
        let mut redis = Redis::start().await;
        let target = Target::ok("");
        let mut settings = few(1000);
        (settings.redis, settings.rate_limit_failure) = (Some(redis.url().into()), failure);
        settings.airtable_gateway = upstream(&target.url(""));
        let gateway = Gateway::start(settings).await;
        let ask = async || gateway.ask("GET", "/api/airtable/x").await.status;
        assert_eq!(ask().await, 200);
        redis.end();
        assert_eq!(ask().await, status);
        let ready = gateway.get("/readyz").await;
        assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")));
        assert!(ready.text().contains(words), "{}", ready.text());
        redis.begin().await;
        eventually("Redis to count again", LIMIT, async || {
            let answers = ask().await == 200;
            let healthy = gateway.get("/readyz").await.json()["status"] == "healthy";
            (answers && healthy).then_some(())
        })
        .await;
    }
}
