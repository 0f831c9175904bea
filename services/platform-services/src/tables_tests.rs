//! A database of an earlier version is brought up to date with what is in it, by one program at a time.

use kit::db::{Database, Source};
use testkit::Postgres;

use super::*;

/// Tables of an earlier version, with a row; then several programs that know the newest start at once.
async fn is_brought_up_to_date(source: &Source, version: usize) {
    let tables = Tables { steps: &TABLES.steps[..version], ..TABLES };
    let old = Database::open(source, &tables, 1).await.unwrap();
    let mut transaction = old.begin().await.unwrap();
    let user =
        "INSERT INTO users (id, email, password_hash, first_name, last_name, role, is_active, created_ms, updated_ms)
        VALUES ('u', 'a@x.y', '', 'Ada', '', 'user', 1, 0, 0)";
    transaction.change(user, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    old.close().await;
    is_opened_by_several(source).await;
    let new = Database::open(source, &TABLES, 1).await.unwrap();
    let mut transaction = new.begin_reading().await.unwrap();
    let name: Option<(String,)> = transaction.row("SELECT first_name FROM users", &[]).await.unwrap();
    assert_eq!(name.unwrap().0, "Ada");
    transaction.rollback().await.unwrap();
    new.close().await;
    let error = Database::open(source, &tables, 1).await.unwrap_err().to_string();
    let newest = TABLES.steps.len();
    let expected = format!("version {newest}, newer than the {version} this program knows; run the newer program");
    assert!(error.contains(&expected), "{error}");
}

/// Programs that start at the same time wait for the one that makes the tables.
async fn is_opened_by_several(source: &Source) {
    let opened = futures_util::future::join_all((0..4).map(|_| Database::open(source, &TABLES, 1))).await;
    for database in opened {
        let database = database.unwrap();
        let mut transaction = database.begin_reading().await.unwrap();
        let count: Option<(i64,)> = transaction.row("SELECT count(*) FROM analytics_events", &[]).await.unwrap();
        assert_eq!(count, Some((0,)));
        transaction.rollback().await.unwrap();
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_up_from_nothing_and_from_every_version_before() {
    let folder = tempfile::tempdir().unwrap();
    is_opened_by_several(&Source::Sqlite(folder.path().join("new.db"))).await;
    for version in 1..TABLES.steps.len() {
        is_brought_up_to_date(&Source::Sqlite(folder.path().join(format!("{version}.db"))), version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_up_from_nothing_and_from_every_version_before() {
    let postgres = Postgres::start().await;
    let source = Source::parse(&postgres.url()).unwrap();
    is_opened_by_several(&source).await;
    for version in 1..TABLES.steps.len() {
        postgres.sql("DROP SCHEMA platform_services CASCADE");
        is_brought_up_to_date(&source, version).await;
    }
}
