//! Looking through all keys of a server (redis.io, SCAN) so that nobody else waits for it.

use std::time::Duration;

use super::super::SourceError;
use super::Server;

/// Keys that are looked at at once: a server is kept from others for 0.1 to 0.2 ms (measured, Redis 7.0).
const KEYS: usize = 250;
/// Between two times, so that what others ask comes in between.
const PAUSE: Duration = Duration::from_millis(1);

/// A look through all keys, part by part.
pub(crate) struct Scan<'s> {
    server: &'s Server,
    pattern: String,
    kind: &'static str,
    /// Nothing once all were looked at.
    cursor: Option<u64>,
}

impl Server {
    /// Looks for the keys of a pattern that hold something of a kind: `hash`, `stream` …
    pub(crate) fn scan(&self, pattern: String, kind: &'static str) -> Scan<'_> {
        Scan { server: self, pattern, kind, cursor: Some(0) }
    }
}

impl Scan<'_> {
    /// Returns what the next part of the keys holds, maybe none; nothing once all were looked at. A key may be found twice.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, SourceError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        if cursor != 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut asked = redis::pipe();
        asked.cmd("SCAN").arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(KEYS);
        asked.arg("TYPE").arg(self.kind);
        let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.server.ask(&asked).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        Ok(Some(keys))
    }
}
