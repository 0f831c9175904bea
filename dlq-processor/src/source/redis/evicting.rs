//! What a server does with what it holds: whether it throws away what it has no room for, without a word (redis.io, "Key
//! eviction"), and whether it says when something is on its disk.

use super::super::SourceError;
use super::Server;

impl Server {
    /// Says in one sentence that it throws away what it has no room for, if it does; `what` is what could be lost. From then on
    /// [`Self::confirmed`] knows whether it says when something is on its disk.
    pub(crate) async fn find_eviction(&self, what: &str) -> Result<Option<String>, SourceError> {
        let mut asked = redis::pipe();
        for part in ["memory", "server", "persistence"] {
            asked.cmd("INFO").arg(part);
        }
        let said = self.ask::<Vec<String>>(&asked).await?.concat();
        self.note_disk(says_when_written(&said));
        let policy = find(&said, "maxmemory_policy").unwrap_or("noeviction");
        let why = format!("Redis throws {what} away when it is full (maxmemory-policy {policy}); set it to noeviction");
        Ok((policy != "noeviction").then_some(why))
    }
}

/// Whether a server that says this of itself has `WAITAOF` (since 7.2) and a file for it to wait for. Valkey says of which Redis it
/// is like.
fn says_when_written(said: &str) -> bool {
    let version = find(said, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (7, 2) && find(said, "aof_enabled") == Some("1")
}

/// A value of what `INFO` says.
fn find<'s>(said: &'s str, name: &str) -> Option<&'s str> {
    said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_waited_for_that_can_say_when_something_is_written() {
        let said = |version: &str, aof: &str| {
            says_when_written(&format!("# Server\r\nredis_version:{version}\r\n# Persistence\r\naof_enabled:{aof}\r\n"))
        };
        for (version, aof, expected) in [
            ("7.2.4", "1", true),
            ("8.0.0", "1", true),
            ("10.0.0", "1", true),
            ("7.2.4", "0", false),
            ("7.0.15", "1", false),
            ("6.2.0", "1", false),
            ("unstable", "1", false),
        ] {
            assert_eq!(said(version, aof), expected, "{version} {aof}");
        }
        assert!(!says_when_written(""));
    }
}
