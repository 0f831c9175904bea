//! A database that a newer program made is left alone: the service lives, and says so.

use kit::db::{CACHE_KIB, DamageCheck, Durability, SqliteFile, open_sqlite};
use testkit::{Postgres, eventually};

use crate::{LIMIT, Platform, send};

async fn is_told(platform: &Platform, expected: &str) {
    eventually("the newer version to be told", LIMIT, async || {
        let ready = send(platform.request("GET", "/readyz"), "").await.good(503).to_string();
        ready.contains(expected).then_some(())
    })
    .await;
    platform.ask("GET", "/livez", None, None).await.good(200);
    platform.register("ada@example.com").await.error(503, "database_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.db");
    let (durability, check) = (Durability::Full, DamageCheck::Always);
    let newer = SqliteFile { path: &path, durability, check, migrations: &["SELECT 1"; 99], cache_kib: CACHE_KIB };
    open_sqlite(newer).await.unwrap().close().await;
    let url = format!("sqlite:{}", path.display());
    let expected = "has schema version 99, newer than the 8 this program knows; run the newer program";
    is_told(&Platform::start(folder, &url).await, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tables_of_a_newer_version_is_refused() {
    let postgres = Postgres::start().await;
    let ledger = "platform_services.steps";
    postgres.sql("CREATE SCHEMA platform_services");
    postgres.sql(&format!("CREATE TABLE {ledger} (version BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL)"));
    postgres.sql(&format!("INSERT INTO {ledger} VALUES (99, now())"));
    let expected = "has tables of version 99, newer than the 8 this program knows; run the newer program";
    is_told(&Platform::start(tempfile::tempdir().unwrap(), &postgres.url()).await, expected).await;
}
