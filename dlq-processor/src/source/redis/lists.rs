//! The lists that the queue system's first daemon wrote, for scripts that read them: `dlq:alerts`, `dlq:escalations`,
//! `dlq:discarded` and `dlq:archive`, the newest entry first. They are a copy for reading: nothing is read from them here.

use kit::config::Cursor;
use redis::RedisError;
use secrecy::SecretString;

use super::super::SourceError;
use super::server::Server;

/// Begins their keys, unless told otherwise.
const PREFIX: &str = "dlq";
/// Entries that a list keeps, unless told otherwise. The first daemon kept all, until its Redis was full.
const KEEP: u32 = 1000;
/// More than anybody reads: a message has 8 KiB at most, so that a list stays below 90 MB.
const MOST: u32 = 10_000;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    /// What waits for a person.
    Alerts,
    /// What cannot wait.
    Escalations,
    /// What a person has given up.
    Discarded,
    /// What is over: done after all, dealt with by others, or let go.
    Archive,
}

impl List {
    /// All of them.
    const ALL: [Self; 4] = [Self::Alerts, Self::Escalations, Self::Discarded, Self::Archive];

    /// Its name in keys and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Escalations => "escalations",
            Self::Discarded => "discarded",
            Self::Archive => "archive",
        }
    }
}

/// How lists are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListSettings {
    prefix: String,
    keep: u32,
}

/// The lists of one source, over a connection of their own: nothing else waits for them.
pub struct Lists {
    server: Server,
    settings: ListSettings,
}

impl Lists {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL is not one of Redis.
    pub(crate) fn new(url: &SecretString, settings: ListSettings) -> Result<Self, RedisError> {
        Ok(Self { server: Server::new(url)?, settings })
    }

    /// Puts entries into lists, the first one first, all of them or none. Asked again, it puts them there again.
    ///
    /// # Errors
    /// [`SourceError`]; they may be there if it was late.
    pub(crate) async fn put(&self, entries: &[(List, String)]) -> Result<(), SourceError> {
        self.check().await?;
        let mut asked = redis::pipe();
        asked.atomic();
        for (list, entry) in entries {
            asked.cmd("LPUSH").arg(self.key(*list)).arg(entry).ignore();
        }
        for list in List::ALL {
            asked.cmd("LTRIM").arg(self.key(list)).arg(0).arg(self.settings.keep - 1).ignore();
        }
        self.server.ask(&asked).await
    }

    /// A transaction of Redis does the rest where one command fails: what cannot be written is found out before.
    async fn check(&self) -> Result<(), SourceError> {
        let mut asked = redis::pipe();
        for list in List::ALL {
            asked.cmd("TYPE").arg(self.key(list));
        }
        let kinds: Vec<String> = self.server.ask(&asked).await?;
        match List::ALL.into_iter().zip(kinds).find(|(_, kind)| !matches!(kind.as_str(), "list" | "none")) {
            Some((list, kind)) => {
                Err(SourceError::Odd(format!("{} is a {kind} and no list; give lists another prefix", self.key(list))))
            }
            None => Ok(()),
        }
    }

    fn key(&self, list: List) -> String {
        format!("{}:{}", self.settings.prefix, list.word())
    }
}

/// Reads `lists: { prefix: dlq, keep: 1000 }`.
pub(in super::super) fn decode_lists(cursor: &Cursor<'_>) -> Option<ListSettings> {
    let fields = cursor.fields()?;
    let prefix = fields.get("prefix").map_or_else(|| Some(PREFIX.to_owned()), |cursor| cursor.text());
    let keep = fields.get("keep").map_or(Some(KEEP), |cursor| cursor.whole(1..=MOST));
    if prefix.as_ref().is_some_and(String::is_empty) {
        fields.cursor().mistake("\"prefix\" is empty; write prefix: dlq");
    }
    fields.end();
    Some(ListSettings { prefix: prefix?, keep: keep? })
}
