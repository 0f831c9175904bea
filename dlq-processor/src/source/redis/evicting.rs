//! Whether a server throws away what it has no room for, without a word (redis.io, "Key eviction").

use super::super::SourceError;
use super::Server;

impl Server {
    /// Says in one sentence that it does, if it does; `what` is what could be lost.
    pub(crate) async fn find_eviction(&self, what: &str) -> Result<Option<String>, SourceError> {
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("memory");
        let (memory,): (String,) = self.ask(&asked).await?;
        let found = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).unwrap_or("noeviction");
        let policy = found.trim();
        let why = format!("Redis throws {what} away when it is full (maxmemory-policy {policy}); set it to noeviction");
        Ok((policy != "noeviction").then_some(why))
    }
}
