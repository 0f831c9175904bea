//! What is worth knowing of a server: how much of what it holds outlives a crash, and what time it has.

use super::super::SourceError;
use super::Server;

impl Server {
    /// Says what a crash would lose.
    pub(crate) async fn find_notes(&self) -> Result<Vec<String>, SourceError> {
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("persistence");
        let (persistence,): (String,) = self.ask(&asked).await?;
        let mut asked = redis::pipe();
        asked.cmd("CONFIG").arg("GET").arg("appendfsync");
        // Servers that somebody else runs forbid CONFIG.
        let answer = self.ask::<((String, String),)>(&asked).await;
        let when = answer.ok().map(|((_, when),)| when);
        Ok(lost_in_a_crash(&persistence, when.as_deref()).into_iter().collect())
    }

    /// Returns its time, in milliseconds since the epoch.
    pub(crate) async fn find_time(&self) -> Result<Option<i64>, SourceError> {
        let mut asked = redis::pipe();
        asked.cmd("TIME");
        let ((secs, micros),): ((i64, i64),) = self.ask(&asked).await?;
        Ok(Some(secs.saturating_mul(1000).saturating_add(micros / 1000)))
    }
}

/// Of `INFO persistence` and of `appendfsync`, if that is told (redis.io, "Redis persistence", "How durable is the append only
/// file?").
fn lost_in_a_crash(persistence: &str, appendfsync: Option<&str>) -> Option<String> {
    if !persistence.lines().any(|line| line.trim() == "aof_enabled:1") {
        let loses = "Redis writes no append-only file: a crash loses what came since its last snapshot";
        return Some(format!("{loses}; set appendonly yes"));
    }
    let loses = match appendfsync {
        Some("always") => return None,
        Some("everysec") => "the last second",
        Some("no") => "about half a minute",
        _ => return Some("Redis does not say how often it writes its append-only file to the disk".to_owned()),
    };
    Some(format!("a crash of Redis loses {loses} (appendfsync {})", appendfsync.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_loses_depends_on_the_append_only_file_and_on_when_it_is_on_the_disk() {
        let on = "# Persistence\r\naof_enabled:1\r\n";
        for (persistence, appendfsync, expected) in [
            ("aof_enabled:0\r\n", Some("everysec"), "set appendonly yes"),
            (on, Some("always"), ""),
            (on, Some("everysec"), "a crash of Redis loses the last second (appendfsync everysec)"),
            (on, Some("no"), "about half a minute"),
            (on, None, "does not say how often"),
        ] {
            let said = lost_in_a_crash(persistence, appendfsync).unwrap_or_default();
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{persistence}: {said}");
        }
    }
}
