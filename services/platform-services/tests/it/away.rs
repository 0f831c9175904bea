//! A database that is not there makes the service unready, and neither ends it nor keeps it from starting.

use testkit::free_port;

use crate::{PASSWORD, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_lives_says_so_and_refuses() {
    let url = format!("postgres://tester:hush@127.0.0.1:{}/postgres", free_port());
    let platform = Platform::start(tempfile::tempdir().unwrap(), &url).await;
    platform.ask("GET", "/livez", None, None).await.good(200);
    let health = platform.ask("GET", "/health", None, None).await;
    assert_eq!(health.good(503)["checks"]["database"]["status"], "unhealthy");
    assert!(!String::from_utf8_lossy(&health.body).contains("hush"), "{health:?}");
    platform.register("ada@example.com").await.error(503, "database_unavailable");
    platform.login("ada@example.com", PASSWORD).await.error(503, "database_unavailable");
}
