//! An Uptime Kuma (github.com/louislam/uptime-kuma, databases of 1.23 and 2.x, backups of 1.x) as ours: monitors become
//! services, notifications channels.

mod backup;
mod database;
mod http;
mod maintenance;
mod monitor;
mod notification;
mod servers;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Imported;
use super::channels::Channels;
use super::names::Names;
use super::routes::Audiences;
use super::secrets::Secrets;
use tables::{Tables, id, text};

/// Its own defaults, which hold where a monitor says the same.
const EVERY_SECS: u64 = 60;
const TIMEOUT_MS: u64 = 48_000;
/// What a file of SQLite begins with (sqlite.org/fileformat.html, section 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Everything that comes of it.
struct Kuma<'a> {
    tables: Tables,
    secrets: &'a Secrets<'a>,
    channels: Channels<'a>,
    /// Our channel of each notification.
    told: BTreeMap<i64, String>,
    names: Names,
    /// Our service of each monitor.
    known: BTreeMap<i64, String>,
    services: Map<String, Value>,
    windows: Vec<Value>,
    audiences: Audiences,
    left_out: Vec<String>,
    changed: Vec<String>,
}

/// Reads the database or the backup, whichever it is, and makes ours of it.
///
/// # Errors
/// It cannot be read, or is neither, or a secret cannot be kept.
pub(super) async fn import(file: &Path, secrets: &Path) -> Result<Imported, String> {
    let tables = if begins_with(file, MAGIC)? { database::read(file).await? } else { backup::read(file)? };
    let secrets = Secrets::new(secrets);
    let mut kuma = Kuma {
        tables,
        secrets: &secrets,
        channels: Channels::new(&secrets),
        told: BTreeMap::new(),
        names: Names::default(),
        known: BTreeMap::new(),
        services: Map::new(),
        windows: Vec::new(),
        audiences: Audiences::default(),
        left_out: Vec::new(),
        changed: Vec::new(),
    };
    for row in kuma.tables.take("notification") {
        kuma.notification(&row);
    }
    for row in kuma.tables.all("monitor").to_vec() {
        kuma.monitor(&row)?;
    }
    for row in kuma.tables.take("maintenance") {
        kuma.maintenance(&row);
    }
    for row in kuma.tables.take("status_page") {
        let title = text(&row, "title").unwrap_or_default();
        kuma.left_out.push(format!("status page {title}: there is one page, of all services by their groups"));
    }
    secrets.all_kept()?;
    Ok(kuma.finish())
}

impl Kuma<'_> {
    fn finish(self) -> Imported {
        let mut imported = Imported { left_out: self.left_out, changed: self.changed, ..Imported::default() };
        imported.config.insert(
            "defaults".to_owned(),
            json!({
                "every": length_ms(EVERY_SECS * 1000), "every_when_failing": length_ms(EVERY_SECS * 1000),
                "timeout": length_ms(TIMEOUT_MS), "fail_after": 1, "recover_after": 1,
            }),
        );
        imported.config.insert("services".to_owned(), self.services.into());
        let all = self.channels.all();
        if !all.is_empty() {
            imported.config.insert("routes".to_owned(), self.audiences.into_routes(&all).into());
            imported.config.insert("channels".to_owned(), self.channels.made.into());
        }
        if !self.windows.is_empty() {
            imported.config.insert("windows".to_owned(), self.windows.into());
        }
        imported
    }

    /// Returns the names of the groups that a monitor stands in, the outermost first.
    fn group(&self, row: &Value) -> Option<String> {
        let mut names = Vec::new();
        let mut parent = id(row, "parent");
        // Each group once: a loop of parents would never end.
        while let Some(group) = parent.and_then(|parent| self.tables.find("monitor", parent)) {
            names.push(text(group, "name").unwrap_or_default());
            parent = id(group, "parent").filter(|_| names.len() < 16);
        }
        names.reverse();
        (!names.is_empty()).then(|| names.join(" / "))
    }
}

fn begins_with(file: &Path, magic: &[u8]) -> Result<bool, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    let mut start = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(magic.len() as u64).read_to_end(&mut start).map_err(failed)?;
    Ok(start == magic)
}

/// A duration as it is written in a configuration.
fn length_ms(milliseconds: u64) -> String {
    super::written_duration(std::time::Duration::from_millis(milliseconds))
}
