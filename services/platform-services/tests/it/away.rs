//! A database that is not there makes the service unready, and neither ends it nor keeps it from starting.

use testkit::{Postgres, eventually, free_port};

use crate::{LIMIT, PASSWORD, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_lives_says_so_and_refuses() {
    let url = format!("postgres://tester:hush@127.0.0.1:{}/postgres", free_port());
    let platform = Platform::start(tempfile::tempdir().unwrap(), &url).await;
    platform.ask("GET", "/livez", None, None).await.good(200);
    let health = platform.ask("GET", "/health", None, None).await;
    assert_eq!(health.good(503)["checks"]["database"]["status"], "unhealthy");
    platform.register("ada@example.com").await.error(503, "database_unavailable");
    platform.login("ada@example.com", PASSWORD).await.error(503, "database_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_password_is_told_without_it() {
    let postgres = Postgres::start().await;
    let url = postgres.url().replace(Postgres::PASSWORD, "hush-hush");
    let platform = Platform::start(tempfile::tempdir().unwrap(), &url).await;
    let told = eventually("the refusal to be told", LIMIT, async || {
        let health = platform.ask("GET", "/health", None, None).await.good(503).to_string();
        health.contains("password authentication failed").then_some(health)
    });
    assert!(!told.await.contains("hush-hush"));
}
