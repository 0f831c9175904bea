//! Which letters a command is about.

use jiff::Timestamp;
use serde_json::Value;

use crate::ledger::{Expression, Filter, InData};
use crate::texts::read_moment;

/// Which letters. What is not said matters not.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which letters")]
pub(super) struct FilterArguments {
    /// Of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// In this state: observed, scheduled, parked, quarantined, escalated, intended, redriven, resolved, recurred, withdrawn,
    /// uncertain, discarded or expired.
    #[arg(long)]
    state: Option<String>,
    /// Of this class: transient, transient_ambiguous, throttled, auth, malformed, poison or unknown.
    #[arg(long)]
    class: Option<String>,
    /// Alike, as `fingerprints` shows them.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of jobs with this name.
    #[arg(long)]
    name: Option<String>,
    /// With this in their message, in small or capital letters.
    #[arg(long)]
    message: Option<String>,
    /// With words in their message that this regular expression is found in, whatever is small or capital.
    #[arg(long, value_name = "REGEX", value_parser = Expression::parse)]
    message_re: Option<Expression>,
    /// Failed at this time or later: 2026-01-31T12:00:00Z, or 2h or 7d ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    failed_after: Option<Timestamp>,
    /// Failed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    failed_before: Option<Timestamp>,
}

impl FilterArguments {
    /// Returns the letters that failed since a time.
    pub(super) fn since(time: Timestamp) -> Self {
        Self { failed_after: Some(time), ..Self::default() }
    }

    /// Returns it as the API has it.
    pub(super) fn to_filter(&self) -> Filter {
        let Self { queue, state, class, fingerprint, source, name, message, message_re, failed_after, failed_before } =
            self.clone();
        Filter {
            source,
            queue,
            name,
            state,
            class,
            fingerprint,
            message,
            message_re,
            failed_after,
            failed_before,
            data: None,
            before: None,
        }
    }

    /// Returns it as the parameters of a query.
    pub(super) fn to_query(&self) -> Vec<(String, String)> {
        let filter = serde_json::to_value(self.to_filter()).unwrap_or_default();
        let pairs = filter.as_object().into_iter().flatten();
        pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }
}

/// Reads a time, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    read_moment(text, Timestamp::now())
}

/// Reads `/pointer=JSON`; what is no JSON is text.
pub(super) fn in_data(text: &str) -> Result<InData, String> {
    let wrong = || format!("{text:?} names nothing in data; write it like /customer/id=17");
    let (pointer, value) = text.split_once('=').filter(|(pointer, _)| pointer.starts_with('/')).ok_or_else(wrong)?;
    let value = serde_json::from_str(value).unwrap_or_else(|_no_json| Value::from(value));
    Ok(InData { pointer: pointer.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_in_data_is_json_or_text() {
        for (text, value) in [("/a/b=17", json!(17)), ("/a/b=\"17\"", json!("17")), ("/a/b=DE=1", json!("DE=1"))] {
            assert_eq!(in_data(text).unwrap(), InData { pointer: "/a/b".to_owned(), value });
        }
        assert!(in_data("a=1").unwrap_err().contains("write it like /customer/id=17"));
    }

    #[test]
    fn a_query_has_what_was_said_and_nothing_else() {
        let filter = FilterArguments { queue: Some("a&b".to_owned()), ..FilterArguments::since(Timestamp::UNIX_EPOCH) };
        let expected = [("failed_after", "1970-01-01T00:00:00Z"), ("queue", "a&b")];
        let mut found = filter.to_query();
        found.sort();
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
