//! What letters leave behind goes while the daemon runs.

use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine};

const CONFIG: &str = "operator_token_file: token\nretention: { audit: 1h }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_so_long_ago_and_kinds_of_failures_without_letters_are_forgotten() {
    let machine = Machine::start(CONFIG).await;
    machine.fail(1, "ValidationError: no address").await;
    let daemon = machine.daemon().await;
    let letter = eventually("a letter to be taken in", LIMIT, async || {
        machine.get("/api/v1/letters").await?;
        machine.letters().await.pop()
    })
    .await;
    let act = async |act: &str, of: &str| {
        let path = format!("/api/v1/letters/{of}/{act}");
        machine.ask_as_operator("POST", &path, act, &json!({ "reason": "it looks odd" })).await.0
    };
    assert_eq!(act("quarantine", &letter.id).await, 200);
    machine.set_breaker("open").await;
    daemon.kill();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(machine.folder.path().join("data/ledger.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for sql in [
        "UPDATE audit SET at_ms = 1",
        "INSERT INTO fingerprints (fingerprint, queue, name, class, message, first_seen_at_ms, last_seen_at_ms, count)
        SELECT 'old', queue, name, class, message, 1, 1, 1 FROM fingerprints",
        "UPDATE fingerprints SET last_seen_at_ms = 1",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    pool.close().await;

    let _daemon = machine.daemon().await;
    let left = eventually("what is old to go", LIMIT, async || {
        let (_, answer) = machine.ask_as_operator("GET", "/api/v1/audit", "", &Value::Null).await;
        answer["audit"].as_array().filter(|audit| audit.len() == 1).cloned()
    });
    let left = left.await.remove(0);
    assert_eq!([&left["what"], &left["letter"]], [&json!("quarantine"), &json!(letter.id)], "it has not ended");
    let (_, answer) = machine.ask_as_operator("GET", "/api/v1/fingerprints", "", &Value::Null).await;
    let kinds: Vec<&Value> = answer["fingerprints"].as_array().unwrap().iter().map(|it| &it["fingerprint"]).collect();
    assert_eq!(kinds, [&json!(letter.fingerprint)]);
}
