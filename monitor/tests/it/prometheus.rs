//! Kind `prometheus`: what may be answered, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::{Response, Target};

use crate::{ask, assert_fail, assert_pass, soft};

/// A server that answers queries with these series, and asked for their times with these.
fn serving(series: &'static str, times: &'static str) -> Target {
    Target::respond_with(move |request| {
        let result = if request.path.contains("query=timestamp%28") { times } else { series };
        Response::new(200, format!(r#"{{"status":"success","warnings":["some are missing"],"data":{result}}}"#))
    })
}

fn check(target: &Target, settings: &str, expect: &str) -> String {
    format!("prometheus: {{ url: '{}', query: up{settings} }}\n{expect}", target.url("/below/"))
}

const TWO: &str = r#"{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1000,"5"]},
                     {"metric":{"job":"b"},"value":[1000,"NaN"]}]}"#;

#[tokio::test]
async fn every_series_is_held_to_the_limits_and_nan_is_within_none() {
    let target = serving(TWO, "");
    let text = "{job=\"a\"} is 5: more than 4; {job=\"b\"} is NaN, which is within no limit";
    assert_fail(&ask(&check(&target, ", max: 4", "")).await, ReasonCode::Limit, text);
    let text = "{job=\"b\"} is NaN, which is within no limit";
    assert_fail(&ask(&check(&target, ", min: 0", "")).await, ReasonCode::Limit, text);
    let facts = "expect: { json: { count: 2, max: NaN, 'series[0].value': 5, 'series[0].labels.job': a } }";
    let observation = ask(&check(&target, "", facts)).await;
    assert_pass(&observation);
    assert_eq!(soft(&observation), ["it warns: some are missing"]);
    let path = &target.requests()[0].path;
    assert!(path.starts_with("/below/api/v1/query?query=up&timeout=") && path.ends_with("ms"), "{path}");
    let compared = ask(&check(&target, "", "expect: { expr: json.max < 9.0 }")).await;
    assert_eq!(crate::fail(&compared).0, ReasonCode::Expression);
}

#[tokio::test]
async fn old_samples_are_told_by_the_servers_own_clock() {
    let times = r#"{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1000,"760"]},
                   {"metric":{"job":"b"},"value":[1000,"700"]}]}"#;
    let target = serving(r#"{"resultType":"scalar","result":[1000,"7"]}"#, times);
    let observation =
        ask(&check(&target, ", max_age: 5m, min: 7, max: 7", "expect: { json: { newest_age_secs: 240, value: 7 } }"))
            .await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note.as_deref(), Some("the value is 7"));
    let text = "the newest sample is 4m old, allowed are 2m";
    assert_fail(&ask(&check(&target, ", max_age: 2m", "")).await, ReasonCode::Body, text);
    assert!(target.requests().last().unwrap().path.contains("query=timestamp%28up%29"));
    let gone = serving(TWO, r#"{"resultType":"vector","result":[]}"#);
    let text = "no series matches up{job=\"x\"}, so its age is not known";
    let gone = check(&gone, ", max_age: 2m, age_of: 'up{job=\"x\"}'", "");
    assert_fail(&ask(&gone).await, ReasonCode::Body, text);
}
