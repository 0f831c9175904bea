//! Letters for people: those that a filter chooses, a page at a time, newest first; and one with all that it holds.

use std::pin::pin;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Filter, Ledger, LedgerError};

/// Letters that are looked through by one statement.
const PART: i64 = 100_000;
/// Letters whose words are looked through at once.
const LOOKED_AT: usize = 1_000;

/// A letter, without what its job held.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Listed {
    /// Counts letters as they are taken in.
    pub number: i64,
    /// Names it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// The queue.
    pub queue: String,
    /// The job's id in it.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// When the job failed, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// In whose words it failed.
    pub message: String,
    /// The kind of error.
    pub error_class: Option<String>,
    /// Which others are alike.
    pub fingerprint: String,
    /// What it is.
    pub class: String,
    /// The rule that says so.
    pub rule: Option<String>,
    /// What was decided.
    pub action: String,
    /// Why.
    pub reason: String,
    /// How far it has come.
    pub state: String,
    /// When it was taken in, in milliseconds since the epoch.
    pub seen_at_ms: i64,
    /// When it is redriven at the earliest.
    pub due_at_ms: Option<i64>,
    /// When its state changed.
    pub changed_at_ms: i64,
    /// How often its job was redriven without being asked for, up to now.
    pub redrives: i64,
    /// The file that what it held was put into, if it is not in the ledger any more.
    pub cold: Option<String>,
    /// Tries of its job that came to an end.
    pub attempts: i64,
    /// How often its worker was not heard of again.
    pub stalls: i64,
    /// How its newest stack trace begins, at most 1000 characters.
    pub stack: Option<String>,
    /// The queue that told of it, if it is not the one that it failed in.
    pub found_in: Option<String>,
    /// The id under which its job was put back, if it is another.
    pub new_job: Option<String>,
    /// The queue that it goes to, if it is another.
    pub to_queue: Option<String>,
    /// When somebody edited what its job held, in milliseconds since the epoch.
    pub edited_at_ms: Option<i64>,
}

impl Listed {
    /// Returns the queues that something is done in when it is redriven.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.queue.as_str()).chain(self.found_in.as_deref())
    }
}

/// What a list has of a letter.
pub(super) const COLUMNS: &str =
    "number, id, source, queue, job, name, failed_at_ms, message, error_class, fingerprint, class, rule,
    action, reason, state, seen_at_ms, due_at_ms, changed_at_ms, redrives, cold, attempts, stalls,
    (SELECT SUBSTR(stack, 1, 1000) FROM stacks WHERE letter = letters.number) AS stack, found_in, new_job,
    to_queue, edited_at_ms";

impl Ledger {
    /// Returns a page of at most `most` letters.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn letters(&self, filter: &Filter, most: usize) -> Result<Vec<Listed>, LedgerError> {
        // Each by itself: SQLite reads all of them for both (sqlite.org/optoverview.html, section 13).
        let range =
            "SELECT COALESCE((SELECT MIN(number) FROM letters), 0), COALESCE((SELECT MAX(number) FROM letters), 0)";
        let (lead, (oldest, newest)) = self
            .read(async |transaction| {
                let lead = filter.lead(transaction).await?;
                Ok((lead, transaction.row::<(i64, i64)>(range, &[]).await?.unwrap_or_default()))
            })
            .await?;
        let before = filter.before.unwrap_or(i64::MAX).min(newest.saturating_add(1));
        if filter.message_re.is_some() {
            return self.look_through(filter, lead, (oldest, before), most).await;
        }
        if lead.is_some() {
            return self.part(filter, lead, (oldest, before), most).await;
        }
        // What is common is in the first part. For what is rare all are read, two parts at once.
        let ends =
            std::iter::successors(Some(before), |end| Some(end.saturating_sub(PART))).take_while(|end| *end > oldest);
        let parts = ends.map(|end| self.part(filter, None, (end.saturating_sub(PART), end), most));
        let mut parts = pin!(stream::iter(parts).buffered(2));
        let mut letters = Vec::new();
        while letters.len() < most
            && let Some(part) = parts.try_next().await?
        {
            letters.extend(part);
        }
        letters.truncate(most);
        Ok(letters)
    }

    /// Returns letters that have the words which no condition of a database asks for, of those with numbers from the first one
    /// to before the second one.
    async fn look_through(
        &self,
        filter: &Filter,
        lead: Option<&str>,
        (from, mut before): (i64, i64),
        most: usize,
    ) -> Result<Vec<Listed>, LedgerError> {
        let (search, mut letters) = (self.searches.begin(), Vec::new());
        loop {
            let page = self.part(filter, lead, (from, before), LOOKED_AT).await?;
            let next = page.last().filter(|_| page.len() == LOOKED_AT).map(|last| last.number);
            letters.extend(search.find(filter, page, |letter| &letter.message).await?);
            match next {
                Some(last) if letters.len() < most => before = last,
                _ => break,
            }
        }
        letters.truncate(most);
        Ok(letters)
    }

    /// Returns letters with numbers from the first one to before the second one.
    async fn part(
        &self,
        filter: &Filter,
        lead: Option<&str>,
        (from, before): (i64, i64),
        most: usize,
    ) -> Result<Vec<Listed>, LedgerError> {
        let (pattern, filter) = (filter.pattern(), Filter { before: Some(before), ..filter.clone() });
        let mut condition = filter.to_where(&pattern, lead);
        let (from, most) =
            (condition.bind(from.into()), condition.bind(i64::try_from(most).unwrap_or(i64::MAX).into()));
        let sql = format!(
            "SELECT {COLUMNS} FROM letters WHERE {} AND number >= {from} ORDER BY number DESC LIMIT {most}",
            condition.sql
        );
        self.read(async |transaction| transaction.rows::<Listed>(&sql, &condition.binds).await).await
    }

    /// Returns one letter.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn letter(&self, id: &str) -> Result<Option<Listed>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM letters WHERE id = $1");
        self.read(async |transaction| transaction.row::<Listed>(&sql, &[id.into()]).await).await
    }

    /// Returns what the job of a letter held, byte for byte; nothing if there is no such letter.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn payload(&self, id: &str) -> Result<Vec<u8>, LedgerError> {
        let sql = "SELECT data FROM payloads WHERE letter = (SELECT number FROM letters WHERE id = $1)";
        let found = self.read(async |transaction| transaction.row::<(Vec<u8>,)>(sql, &[id.into()]).await).await?;
        Ok(found.map(|(data,)| data).unwrap_or_default())
    }
}
