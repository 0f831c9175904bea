//! Debian's Prometheus: queries, what is empty, old or wrong, and that it is not ready.

use monitor::probe::ReasonCode;
use testkit::{Server, eventually, free_port};

use crate::{PATIENT, ask, assert_fail, assert_pass, fail};

#[tokio::test]
async fn a_real_prometheus_answers_and_says_what_is_wrong_with_a_query() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let scraping = format!(
        "global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}\nscrape_configs:\n  - job_name: itself\n    \
         static_configs: [{{ targets: ['127.0.0.1:{port}', '127.0.0.1:9'] }}]\n"
    );
    std::fs::write(path("settings"), scraping).unwrap();
    let arguments = [
        format!("--config.file={}", path("settings")),
        format!("--storage.tsdb.path={}", path("data")),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let _server = Server::start(port, "prometheus", &arguments).await;
    let check = |settings: &str, expect: &str| {
        format!("prometheus: {{ url: 'http://127.0.0.1:{port}', {settings} }}\n{expect}")
    };
    let both = "expect: { json: { count: 2, min: 0, max: 1 } }";
    eventually("both targets to be scraped", PATIENT * 6, async || {
        (ask(&check("query: up", both)).await.outcome == monitor::probe::Outcome::Pass).then_some(())
    })
    .await;

    let itself = format!("query: 'up{{instance=\"127.0.0.1:{port}\"}}', min: 1, max_age: 4m");
    assert_pass(&ask(&check(&itself, "expect: { expr: 'json.newest_age_secs < 240.0 && json.value == 1.0' }")).await);
    let dead = "query: 'up{instance=\"127.0.0.1:9\"}', min: 1";
    let text = "up{instance=\"127.0.0.1:9\",job=\"itself\"} is 0: less than 1";
    assert_fail(&ask(&check(dead, "")).await, ReasonCode::Limit, text);
    assert_pass(&ask(&check("query: sum(up), min: 1, max: 1, max_age: 4m, age_of: up", "")).await);
    assert_pass(&ask(&check("query: 1 + 1", "expect: { json: { value: 2 } }")).await);
    let (code, text) = fail(&ask(&check("query: 0 / 0, min: 0", "")).await);
    assert_eq!((code, text.as_str()), (ReasonCode::Limit, "the value is NaN, which is within no limit"));

    let text = "no series matches up == 7, so nothing is known; where that is well, write empty: pass";
    assert_fail(&ask(&check("query: up == 7", "")).await, ReasonCode::Body, text);
    let looked_for = ask(&check("query: up == 7, empty: pass, max_age: 1m, age_of: up", "")).await;
    assert_pass(&looked_for);
    assert_eq!(looked_for.seen.note.as_deref(), Some("no series"));
    let gone = ask(&check("query: up == 7, empty: pass, max_age: 1m, age_of: vanished", "")).await;
    let text = "no series matches vanished, so its age is not known";
    assert_fail(&gone, ReasonCode::Body, text);
    let text = "the query does not fit: it gives many samples of a series (a matrix), not one";
    assert_fail(&ask(&check("query: 'up[5m]'", "")).await, ReasonCode::Rejected, text);
    let (code, text) = fail(&ask(&check("query: up ==", "")).await);
    assert_eq!(code, ReasonCode::Rejected);
    assert!(text.starts_with("the query is wrong: bad_data: ") && text.contains("parse error"), "{text}");
    let (code, text) = fail(&ask(&check("query: up + on() up", "")).await);
    assert_eq!(code, ReasonCode::Rejected);
    assert!(
        text.starts_with("the query cannot be run: execution: found duplicate series for the match group "),
        "{text}"
    );
    let elsewhere = ask(&format!("prometheus: {{ url: 'http://127.0.0.1:{port}/graph', query: up }}")).await;
    let text = "the API of Prometheus is not at this URL: status 404: 404 page not found";
    assert_fail(&elsewhere, ReasonCode::Status, text);
}
