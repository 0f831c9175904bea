//! Debian's Redis: signing in, what it tells of itself, a replica, and its refusals.

use monitor::probe::ReasonCode;
use testkit::{Server, eventually, free_port};

use super::asked_until_full;
use crate::{PATIENT, ask, assert_fail, assert_pass, fail};

async fn start(port: u16, more: &[&str]) -> Server {
    let port_text = port.to_string();
    let basics = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"];
    Server::start(port, "redis-server", &[&basics, more].concat()).await
}

#[tokio::test]
async fn a_real_redis_signs_in_and_tells_of_itself() {
    let port = free_port();
    let acl = ["--requirepass", "hunter2", "--user", "watcher", "on", ">hunter2", "+ping", "+info"];
    let _server = start(port, &acl).await;
    let check = |settings: &str, expect: &str| format!("redis: {{ address: '127.0.0.1:{port}'{settings} }}\n{expect}");
    let signed_in = ", password: '${SECRET}'";
    let facts =
        "expect: { json: { role: master, loading: 0 }, expr: 'json.connected_clients >= 1 && json.used_memory > 0' }";
    let observation = ask(&check(signed_in, facts)).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("Redis ")));
    assert!(observation.seen.note.is_some_and(|note| note.starts_with("master, ")));
    let wrong_role = ask(&check(signed_in, "expect: { json: { role: slave } }")).await;
    assert_fail(&wrong_role, ReasonCode::Json, "json role is \"master\", expected \"slave\"");
    let reply = "expect: { json: { reply: [one, two] } }";
    let echo = ", command: [EVAL, \"return {'one', 'two'}\", '0'], database: 2";
    assert_pass(&ask(&check(&format!("{signed_in}{echo}"), reply)).await);

    let as_watcher = ", username: watcher, password: '${SECRET}'";
    assert_pass(&ask(&check(as_watcher, facts)).await);
    let (code, text) = fail(&ask(&check(&format!("{as_watcher}, command: GET key"), "")).await);
    assert_eq!(code, ReasonCode::Auth);
    assert!(text.starts_with("GET: the user may not do this: NOPERM "), "{text}");

    let text =
        "PING: it wants a password, and none is configured; write password_file: NOAUTH Authentication required.";
    assert_fail(&ask(&check("", "")).await, ReasonCode::Auth, text);
    let wrong = ask(&check(", username: nobody, password: '${SECRET}'", "")).await;
    let text = "AUTH: it refuses the password: WRONGPASS invalid username-password pair or user is disabled.";
    assert_fail(&wrong, ReasonCode::Auth, text);
    let no_such = ask(&check(&format!("{signed_in}, database: 99"), "")).await;
    assert_fail(&no_such, ReasonCode::Rejected, "SELECT: it answers with an error: ERR DB index is out of range");
}

#[tokio::test]
async fn a_real_replica_without_its_master_is_no_pass() {
    let (first, second) = (free_port(), free_port());
    let mut master = start(first, &[]).await;
    let of = format!("127.0.0.1 {first}");
    let _replica = start(second, &["--replicaof", &of, "--replica-serve-stale-data", "no"]).await;
    let check = format!(
        "redis: {{ address: '127.0.0.1:{second}' }}\nexpect: {{ json: {{ role: slave, master_link_status: up }} }}"
    );
    eventually("the replica to be in step", PATIENT * 6, async || {
        (ask(&check).await.outcome == monitor::probe::Outcome::Pass).then_some(())
    })
    .await;
    master.end();
    let (code, text) = eventually("the link to be missed", PATIENT * 6, async || {
        let observation = ask(&check).await;
        (observation.outcome != monitor::probe::Outcome::Pass).then(|| fail(&observation))
    })
    .await;
    assert_eq!(code, ReasonCode::Rejected, "{text}");
    assert!(text.starts_with("PING: it is a replica that has lost its master: MASTERDOWN "), "{text}");
}

#[tokio::test]
async fn a_real_redis_that_takes_no_more_clients_says_so() {
    let port = free_port();
    let _server = start(port, &["--maxclients", "1"]).await;
    let text = "PING: it takes no more clients: ERR max number of clients reached";
    let refused = asked_until_full(port, &format!("redis: {{ address: '127.0.0.1:{port}' }}")).await;
    assert_fail(&refused, ReasonCode::Rejected, text);
}
