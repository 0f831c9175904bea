//! What a killed daemon left on disk, read from a copy, so that the next daemon finds it exactly as it was left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use monitor::probe::CheckId;
use monitor::record::Stores;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

/// A service's verdict and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) word: String,
    pub(crate) since: String,
}

/// Both stores.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    /// Fails in a row of the checks that are down.
    fails: BTreeMap<String, u64>,
    /// Check and time of every observation.
    pub(crate) points: BTreeSet<(String, i64)>,
}

impl Record {
    /// Copies both stores, checks that each is whole, and reads them.
    pub(crate) async fn read(folder: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder.join("data")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(!name.contains("damaged"), "{name}: a store was found damaged and set aside");
            // The index of the write-ahead log (-shm) is made anew from the log (sqlite.org/walformat.html).
            if name.ends_with(".db") || name.ends_with(".db-wal") {
                std::fs::copy(entry.path(), copy.path().join(name)).unwrap();
            }
        }
        let _history = open_whole(&copy.path().join("history.db")).await;
        let state = open_whole(&copy.path().join("state.db")).await;
        let (mut verdicts, mut fails) = (BTreeMap::new(), BTreeMap::new());
        for (service, document) in documents(&state, "verdict").await {
            let text = |key: &str| document[key].as_str().unwrap().to_owned();
            verdicts.insert(service, Verdict { word: text("verdict"), since: text("since") });
        }
        let checks = documents(&state, "check").await;
        for (check, document) in checks.iter().filter(|(_, document)| document["established"] == "down") {
            fails.insert(check.clone(), document["fails"].as_u64().unwrap());
        }
        state.close().await;
        let names = checks.keys().map(String::as_str);
        Self { verdicts, fails, points: points(copy.path(), names).await }
    }

    /// Says what was taken back since `before`.
    pub(crate) fn assert_continues(&self, before: &Self) {
        assert_eq!(self.verdicts, before.verdicts, "no verdict changes while the targets do not");
        for (check, fails) in &before.fails {
            assert!(self.fails.get(check) >= Some(fails), "{check}: {fails} fails in a row, then {:?}", self.fails);
        }
        let lost: Vec<_> = before.points.difference(&self.points).collect();
        assert!(lost.is_empty(), "{} points are gone: {lost:?}", lost.len());
    }
}

async fn open_whole(file: &Path) -> SqlitePool {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file)).await.unwrap();
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&pool).await.unwrap();
    assert_eq!(found, ["ok"], "{}", file.display());
    pool
}

async fn documents(state: &SqlitePool, kind: &str) -> BTreeMap<String, Value> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT key, body FROM documents WHERE kind = $1").bind(kind).fetch_all(state).await.unwrap();
    rows.into_iter().map(|(key, body)| (key, serde_json::from_str(&body).unwrap())).collect()
}

/// Reads history as the daemon does.
async fn points(folder: &Path, checks: impl Iterator<Item = &str>) -> BTreeSet<(String, i64)> {
    let stores = Stores::open(folder).await.unwrap();
    stores.history.load().await.unwrap();
    let mut points = BTreeSet::new();
    for name in checks {
        let (service, check) = name.split_once('/').unwrap();
        let found = stores.history.points(&CheckId::new(service, check), 0, i64::MAX).await.unwrap();
        points.extend(found.iter().map(|point| (name.to_owned(), point.at_ms)));
    }
    points
}
