//! A database that is not there makes the service unready, and neither ends it nor keeps it from starting.

use serde_json::json;
use testkit::{Postgres, eventually, free_port};

use crate::{KEY, LIMIT, PASSWORD, Platform, send};

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
        let health = platform.with_key(KEY, "GET", "/health", None).await.good(503).to_string();
        health.contains("password authentication failed").then_some(health)
    });
    assert!(!told.await.contains("hush-hush"));
    // Who asks from elsewhere, as through a gateway, learns what does not work and not why.
    for path in ["/health", "/readyz"] {
        let health = platform.ask("GET", path, None, None).await.good(503);
        assert_eq!(health["checks"]["database"], json!({ "status": "unhealthy" }), "{path}");
    }
    let here = send(platform.request("GET", "/readyz"), "").await.good(503).to_string();
    assert!(here.contains("password authentication failed"), "{here}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_what_clients_look_for() {
    let platform = Platform::over_sqlite().await;
    let health = platform.ask("GET", "/health", None, None).await.good(200);
    assert_eq!((&health["status"], &health["service"]), (&json!("healthy"), &json!("platform-services")));
    for component in ["auth", "analytics", "database"] {
        assert_eq!(health["components"][component]["status"], "healthy", "{health}");
    }
    assert_eq!(health["components"]["redis"]["status"], "not_configured");
    assert!(health["endpoints"].as_array().unwrap().contains(&json!("/auth")));
}
