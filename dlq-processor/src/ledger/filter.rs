//! Which letters: for lists, and for plans that freeze them.

use jiff::Timestamp;
use kit::db::{Bind, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::Chosen;
use super::{Expression, LetterState};
use crate::policy::Class;
use crate::texts::check;

/// Columns that have an index.
const INDEXED: [&str; 3] = ["fingerprint", "state", "queue"];
/// So many letters are read and sorted within a hundredth of a second.
const FEW: i64 = 5_000;
/// Longest text of a filter, in bytes.
const LONGEST: usize = 1000;
/// Letters of a plan that are written at once.
const CHUNK: usize = 2_000;

/// Which letters. What is not said matters not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Of this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Of this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Of jobs with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// With this fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// With this in their message, in small or capital letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// With words in their message that this is found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_re: Option<Expression>,
    /// Of jobs that failed at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_after: Option<Timestamp>,
    /// Of jobs that failed before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_before: Option<Timestamp>,
    /// With this value in their data. Only plans look there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<InData>,
    /// Taken in before the letter of this number.
    #[serde(skip)]
    pub before: Option<i64>,
}

/// A value at a place in a job's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InData {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is there.
    pub value: Value,
}

/// A condition, and what is bound in it.
pub(super) struct Where<'a> {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind<'a>>,
}

impl Filter {
    /// Checks its texts, and the words that have to be one of ours.
    ///
    /// # Errors
    /// Which one is wrong, and what to write instead.
    pub fn check(&self) -> Result<(), String> {
        let texts = self.equal().chain(self.message.as_deref().map(|message| ("message", message)));
        let expression = self.message_re.as_ref().map(|expression| ("message_re", expression.as_str()));
        for (field, text) in texts.chain(expression) {
            check(field, text, LONGEST)?;
        }
        one_of("state", self.state.as_deref(), &LetterState::ALL.map(LetterState::word))?;
        one_of("class", self.class.as_deref(), &Class::ALL.map(Class::word))
    }

    /// The pattern that [`Self::to_where`] needs to hold on to.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::from("%");
        for char in self.message.as_deref().unwrap_or_default().chars() {
            if matches!(char, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(char);
        }
        pattern + "%"
    }

    /// Columns, and what is to be in them.
    fn equal(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let columns = [
            ("source", &self.source),
            ("queue", &self.queue),
            ("name", &self.name),
            ("state", &self.state),
            ("class", &self.class),
            ("fingerprint", &self.fingerprint),
        ];
        columns.into_iter().filter_map(|(column, value)| Some((column, value.as_deref()?)))
    }

    /// Returns the column to find letters by: that whose value the fewest have, if these are few. Else they are read from the
    /// newest on, and enough of them are soon found. No database knows which is which: SQLite takes any index that there is,
    /// and sorts a million letters for a page of fifty.
    pub(super) async fn lead(&self, transaction: &mut Transaction) -> Result<Option<&'static str>, sqlx::Error> {
        let mut fewest = (FEW, None);
        for (column, value) in self.equal().filter(|(column, _)| INDEXED.contains(column)) {
            let sql = format!(
                "SELECT COUNT(*) FROM (SELECT number FROM letters WHERE {column} = $1 LIMIT {}) AS few",
                fewest.0
            );
            let (count,) = transaction.row::<(i64,)>(&sql, &[value.into()]).await?.unwrap_or((FEW,));
            if count < fewest.0 {
                fewest = (count, Some(column));
            }
        }
        Ok(fewest.1)
    }

    /// Writes it as a condition whose first value is `$1`, on letters that are found by the column `lead`.
    pub(super) fn to_where<'a>(&'a self, pattern: &'a str, lead: Option<&str>) -> Where<'a> {
        let mut condition = Where { sql: "number < $1".to_owned(), binds: Vec::new() };
        condition.binds.push(Bind::from(self.before.unwrap_or(i64::MAX)));
        for (column, value) in self.equal() {
            let index = if lead == Some(column) { "" } else { "{no_index}" };
            condition.and(&format!("{index}{column} = "), value.into(), "");
        }
        if self.message.is_some() {
            condition.and("message {like} ", pattern.into(), " ESCAPE '\\'");
        }
        if let Some(after) = self.failed_after {
            condition.and("failed_at_ms >= ", after.as_millisecond().into(), "");
        }
        if let Some(before) = self.failed_before {
            condition.and("failed_at_ms < ", before.as_millisecond().into(), "");
        }
        condition
    }

    /// Writes the letters that it chooses into a plan, as they are now, the first failed first: of those that meet `condition` at
    /// most `most`, if that is given; or else those that are `chosen`.
    pub(super) async fn freeze(
        &self,
        transaction: &mut Transaction,
        plan: i64,
        condition: &str,
        most: Option<i64>,
        chosen: Option<&[Chosen]>,
    ) -> Result<(), sqlx::Error> {
        let Some(chosen) = chosen else {
            let pattern = self.pattern();
            let mut of_all = self.to_where(&pattern, self.lead(transaction).await?);
            let (place, most) = (of_all.bind(plan.into()), of_all.bind(most.unwrap_or(i64::MAX).into()));
            let sql = format!(
                "INSERT INTO plan_letters (plan, position, letter, version, state)
                SELECT {place}, ROW_NUMBER() OVER (ORDER BY failed_at_ms, number), number, version, 'waits'
                FROM letters WHERE {} AND {condition} ORDER BY failed_at_ms, number LIMIT {most}",
                of_all.sql
            );
            return transaction.change(&sql, &of_all.binds).await.map(drop);
        };
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX).min(chosen.len());
        let (chosen, _) = chosen.split_at(most);
        for (part, chunk) in chosen.chunks(CHUNK).enumerate() {
            let rows = chunk.iter().enumerate();
            let values: Vec<String> = rows
                .map(|(at, (_, number, version))| {
                    format!("({plan}, {}, {number}, {version}, 'waits')", part * CHUNK + at + 1)
                })
                .collect();
            let sql = format!(
                "INSERT INTO plan_letters (plan, position, letter, version, state) VALUES {}",
                values.join(", ")
            );
            transaction.change(&sql, &[]).await?;
        }
        Ok(())
    }
}

fn one_of(what: &str, given: Option<&str>, words: &[&str]) -> Result<(), String> {
    match given {
        Some(given) if !words.contains(&given) => {
            Err(format!("{what} is {given:?}; write one of {}", words.join(", ")))
        }
        _ => Ok(()),
    }
}

impl<'a> Where<'a> {
    fn and(&mut self, before: &str, value: Bind<'a>, after: &str) {
        let place = self.bind(value);
        self.sql += &format!(" AND {before}{place}{after}");
    }

    /// Returns the place of a further value.
    pub(super) fn bind(&mut self, value: Bind<'a>) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_a_filter_is_checked() {
        let of =
            |field: &str, text: &str| serde_json::from_value::<Filter>(serde_json::json!({ field: text })).unwrap();
        for field in ["source", "queue", "name", "state", "class", "fingerprint", "message", "message_re"] {
            let why = of(field, "a\0").check().unwrap_err();
            assert!(why.starts_with(&format!("{field} has a control character in it")), "{why}");
        }
        assert_eq!(of("message", &"m".repeat(1001)).check(), Err("message is longer than 1000 bytes".to_owned()));
        assert_eq!(of("message", &"m".repeat(1000)).check(), Ok(()));
    }
}
