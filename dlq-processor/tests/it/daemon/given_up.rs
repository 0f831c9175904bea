//! What was given up long ago, and is still listed as dead by its queue.

use serde_json::json;
use testkit::eventually;

use super::machine::{LIMIT, Machine};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_long_ago_is_not_taken_in_anew_while_its_queue_lists_it() {
    let machine = Machine::start("operator_token_file: token\n").await;
    machine.fail(2, "ValidationError: no address").await;
    let daemon = machine.daemon().await;
    let letters = eventually("both to be taken in", LIMIT, async || {
        Some(machine.letters().await).filter(|letters| letters.len() == 2)
    })
    .await;
    for (letter, key) in letters.iter().zip(["1", "2"]) {
        let path = format!("/api/v1/letters/{}/discard", letter.id);
        let (status, body) = machine.ask_as_operator("POST", &path, key, &json!({ "reason": "a test" })).await;
        assert_eq!(status, 200, "{body}");
    }
    daemon.kill();
    // One of them was removed from its queue meanwhile.
    let keys = [format!("bull:mails:{}", letters[0].job)];
    machine.bull.query::<()>(redis::cmd("DEL").arg(&keys)).await;
    machine.bull.query::<()>(redis::cmd("ZREM").arg("bull:mails:failed").arg(&letters[0].job)).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(machine.folder.path().join("data/ledger.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE letters SET changed_at_ms = 1").execute(&pool).await.unwrap();
    pool.close().await;
    let _daemon = machine.daemon().await;
    let left = eventually("what was given up to be let go of", LIMIT, async || {
        let left = machine.letters().await;
        (left.len() == 1 && left[0].reason == "removed").then_some(left)
    })
    .await;
    assert_eq!((left[0].id.as_str(), left[0].state.as_str()), (letters[1].id.as_str(), "discarded"));
    let asked = json!({ "reason": "is anything new?" });
    eventually("all that is listed to be looked at", LIMIT, async || {
        let (status, _) = machine.ask_as_operator("POST", "/api/v1/reconcile", "3", &asked).await;
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(machine.letters().await, left, "nothing is taken in anew");
}
