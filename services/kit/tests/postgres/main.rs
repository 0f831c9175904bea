//! Pools and queues on a real PostgreSQL: what they hold to, and what they say when they cannot.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

#[path = "../queue/history.rs"]
mod history;
mod queues;
#[path = "../queue/suite/mod.rs"]
mod suite;

use std::error::Error;
use std::time::Duration;

use kit::db::{ConnectError, Database, open_postgres};
use secrecy::SecretString;
use testkit::{Postgres, Target, eventually, free_port};

const PASSWORD: &str = Postgres::PASSWORD;
const CONNECTIONS: u32 = 2;
/// Ten times what anything here takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);
/// For what is meant to run out of time.
const SHORT: Duration = Duration::from_millis(300);

fn secret(url: &str) -> SecretString {
    url.to_owned().into()
}

/// Opens nothing; returns the error and all of its causes, one after the other, as a person would read them.
async fn refusal(url: &str, timeout: Duration) -> String {
    let error = open_postgres(&secret(url), CONNECTIONS, timeout).await.unwrap_err();
    let debug = format!("{error:?}");
    let mut text = error.to_string();
    let mut cause = Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(!text.contains(PASSWORD) && !debug.contains(PASSWORD), "{text} {debug}");
    text
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let server = Postgres::start().await;
    let pool = open_postgres(&secret(&server.url()), CONNECTIONS, LIMIT).await.unwrap();
    let (one, limit): (i32, String) =
        sqlx::query_as("SELECT 1, current_setting('statement_timeout')").fetch_one(&pool).await.unwrap();
    assert_eq!((one, limit.as_str()), (1, "1min"));
    let hurried = open_postgres(&secret(&server.url()), CONNECTIONS, SHORT).await.unwrap();
    let error = sqlx::query("SELECT pg_sleep(3600)").execute(&hurried).await.unwrap_err();
    // PostgreSQL manual, appendix A: 57014 is query_canceled.
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("57014"), "{error}");
    assert!(error.to_string().contains("canceling statement due to statement timeout"), "{error}");
    sqlx::query("SELECT 1").execute(&hurried).await.unwrap();
    assert!(!format!("{pool:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_pool_never_holds_more_connections_than_allowed_and_says_so_to_whoever_waits() {
    let server = Postgres::start().await;
    let pool = open_postgres(&secret(&server.url()), CONNECTIONS, SHORT).await.unwrap();
    let mut first = pool.acquire().await.unwrap();
    let second = pool.acquire().await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.to_string(), "pool timed out while waiting for an open connection");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&mut *first).await.unwrap();
    assert_eq!(open, i64::from(CONNECTIONS), "the connection that only tried is closed again");
    drop(second);
    pool.acquire().await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_a_server_that_hangs_is_told_so_and_keeps_no_connection_from_others() {
    let server = Postgres::start().await;
    let pool = open_postgres(&secret(&server.url()), CONNECTIONS, SHORT).await.unwrap();
    let database = Database::Postgres(pool.clone());
    let mut transaction = database.begin().await.unwrap();
    transaction.rows::<(i32,)>("SELECT 1", &[]).await.unwrap();
    server.hang();
    let late = transaction.rows::<(i32,)>("SELECT 1", &[]).await.unwrap_err();
    assert!(late.to_string().contains("the server does not answer"), "{late}");
    drop(transaction);
    eventually("the connection to be given up", LIMIT, async || (pool.size() == 0).then_some(())).await;
    assert!(database.begin().await.is_err());
    server.go_on();
    eventually("the server to be reached again", LIMIT, async || database.begin().await.ok()).await;
}

#[tokio::test]
async fn what_hinders_a_connection_is_named_and_the_password_is_not() {
    let server = Postgres::start().await;
    let at = server.addr();
    let wrong = refusal(&format!("postgres://tester:{PASSWORD}-not@{at}/postgres"), LIMIT).await;
    assert!(wrong.starts_with(&format!("cannot connect to PostgreSQL at {at}: ")), "{wrong}");
    assert!(wrong.contains("password authentication failed for user \"tester\""), "{wrong}");
    let missing = refusal(&server.url().replace("/postgres", "/nowhere"), LIMIT).await;
    assert!(missing.contains("database \"nowhere\" does not exist"), "{missing}");

    let nobody = free_port();
    let refused = refusal(&format!("postgres://tester:{PASSWORD}@127.0.0.1:{nobody}/postgres"), LIMIT).await;
    assert!(refused.starts_with(&format!("cannot connect to PostgreSQL at 127.0.0.1:{nobody}: ")), "{refused}");
    assert!(refused.contains("Connection refused"), "{refused}");

    let silent = Target::stall();
    let late = refusal(&format!("postgres://tester:{PASSWORD}@{}/postgres", silent.addr()), SHORT).await;
    assert_eq!(late, format!("PostgreSQL at {} did not answer within 300ms", silent.addr()));

    let url = format!("postgres://tester:{PASSWORD}@{at}x/postgres");
    let error = open_postgres(&secret(&url), CONNECTIONS, LIMIT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)), "{error:?}");
    let unusable = refusal(&url, LIMIT).await;
    assert!(unusable.starts_with("the database URL is wrong; write postgres://"), "{unusable}");
}
