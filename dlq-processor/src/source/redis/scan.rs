//! Looking through all keys of a server (redis.io, SCAN) so that nobody else waits for it.

use std::time::Duration;

use super::super::SourceError;
use super::Server;

/// Keys that are looked at at once: a server is kept from others for 0.1 to 0.2 ms (Redis 7.0.15 with 100,000 jobs, as
/// `compose/bench/dead_letters.py` makes them; a thousand keys took 0.4 to 0.6 ms).
pub(crate) const KEYS: usize = 250;
/// After so many times there is a pause: else a server does nothing else for as long as it takes, of a million keys 0.5 s.
const TIMES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(1);

/// A look through all keys, part by part.
pub(crate) struct Scan<'s> {
    server: &'s Server,
    pattern: String,
    kind: Option<&'static str>,
    /// Nothing once all were looked at.
    cursor: Option<u64>,
    times: u32,
}

impl Server {
    /// Looks for the keys of a pattern, of those that hold something of a kind (`hash`, `stream` …; Redis 6.0) if one is said.
    pub(crate) fn scan(&self, pattern: String, kind: Option<&'static str>) -> Scan<'_> {
        Scan { server: self, pattern, kind, cursor: Some(0), times: 0 }
    }
}

impl Scan<'_> {
    /// Returns what the next part of the keys holds, maybe none; nothing once all were looked at. A key may be found twice.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, SourceError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        if self.times == TIMES {
            self.times = 0;
            tokio::time::sleep(PAUSE).await;
        }
        self.times += 1;
        let mut asked = redis::pipe();
        asked.cmd("SCAN").arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(KEYS);
        if let Some(kind) = self.kind {
            asked.arg("TYPE").arg(kind);
        }
        let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.server.ask(&asked).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        Ok(Some(keys))
    }
}
