//! Letters that are chosen by what no condition of a database asks for: words, and values in data. They are read part by part, each
//! by itself, so that nobody waits for the ledger meanwhile.

use serde_json::Value;

use super::{Filter, InData, Ledger, LedgerError};

/// Letters whose words are looked at at once.
const PAGE: i64 = 1000;
/// Letters whose payloads are looked at at once.
const PAYLOADS: i64 = 200;

/// A letter that is chosen: when it failed, its number and its version.
pub(super) type Chosen = (i64, i64, i64);

/// A letter that is looked at.
#[derive(sqlx::FromRow)]
struct Row {
    failed_at_ms: i64,
    number: i64,
    version: i64,
    message: String,
    /// If it is looked at.
    #[sqlx(default)]
    data: Option<Vec<u8>>,
}

impl InData {
    fn is_in(&self, data: &[u8]) -> bool {
        let data: Option<Value> = serde_json::from_slice(data).ok();
        data.is_some_and(|data| data.pointer(&self.pointer) == Some(&self.value))
    }
}

impl Ledger {
    /// Returns the letters that a filter chooses by what they say or hold, of those that meet `condition`, the first failed first;
    /// none if it asks for neither.
    pub(super) async fn choose(&self, filter: &Filter, condition: &str) -> Result<Option<Vec<Chosen>>, LedgerError> {
        if filter.data.is_none() && filter.message_re.is_none() {
            return Ok(None);
        }
        let (pattern, mut chosen, mut after) = (filter.pattern(), Vec::new(), 0);
        let search = self.searches.begin();
        let lead = self.read(async |transaction| filter.lead(transaction).await).await?;
        let (data, payloads, most) = match &filter.data {
            Some(_) => (", data", "JOIN payloads ON payloads.letter = letters.number", PAYLOADS),
            None => ("", "", PAGE),
        };
        loop {
            let mut of_page = filter.to_where(&pattern, lead);
            let (from, most) = (of_page.bind(after.into()), of_page.bind(most.into()));
            let sql = format!(
                "SELECT failed_at_ms, number, version, message{data} FROM letters {payloads}
                WHERE {} AND {condition} AND number > {from} ORDER BY number LIMIT {most}",
                of_page.sql
            );
            let rows = self.read(async |transaction| transaction.rows::<Row>(&sql, &of_page.binds).await).await?;
            let Some(last) = rows.last() else { break };
            after = last.number;
            let rows = that_hold(filter.data.as_ref(), rows).await?;
            let rows = search.find(filter, rows, |row| &row.message).await?;
            chosen.extend(rows.into_iter().map(|row| (row.failed_at_ms, row.number, row.version)));
        }
        chosen.sort_unstable();
        Ok(Some(chosen))
    }
}

/// Returns those that hold a value. To read long payloads takes a while.
async fn that_hold(wanted: Option<&InData>, mut rows: Vec<Row>) -> Result<Vec<Row>, LedgerError> {
    let Some(wanted) = wanted.cloned() else { return Ok(rows) };
    let choosing = move || {
        rows.retain(|row| wanted.is_in(row.data.as_deref().unwrap_or_default()));
        rows
    };
    tokio::task::spawn_blocking(choosing).await.map_err(|_panic| LedgerError::Late)
}
