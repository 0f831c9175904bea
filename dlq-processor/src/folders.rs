//! The folders of what the daemon keeps.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;

use kit::db::Source;

use crate::settings::Settings;

/// Makes the folders of what this daemon keeps, for nobody else, and says where it listens.
///
/// # Errors
/// One sentence.
pub(crate) fn prepare(settings: &Settings) -> Result<SocketAddr, String> {
    let of_ledger = match &settings.ledger {
        Source::Sqlite(path) => path.parent(),
        Source::Postgres(_) => None,
    };
    for folder in of_ledger.into_iter().chain([&*settings.data_dir]) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    Ok(settings.listen)
}
