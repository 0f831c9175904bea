//! Which letters a reader wants to see, as the form of the list says it: what is left empty matters not.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kit::cli::quoted;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::made::Trouble;
use crate::ledger::Filter;

/// The form's fields.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) queue: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) class: String,
    pub(super) fingerprint: String,
    pub(super) message: String,
    pub(super) failed_after: String,
    pub(super) failed_before: String,
    /// The number of the letter that the page before ended with.
    before: Option<i64>,
}

impl Wanted {
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("source", &self.source),
            ("queue", &self.queue),
            ("name", &self.name),
            ("state", &self.state),
            ("class", &self.class),
            ("fingerprint", &self.fingerprint),
            ("message", &self.message),
            ("failed_after", &self.failed_after),
            ("failed_before", &self.failed_before),
        ]
        .map(|(name, value)| (name, value.trim()))
    }

    /// What is asked for, field by field.
    pub(super) fn set(&self) -> Vec<(&'static str, &str)> {
        self.fields().into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Whether this is not the newest page.
    pub(super) fn is_older(&self) -> bool {
        self.before.is_some()
    }

    /// The query of the same list from the letter before this one on.
    pub(super) fn older(&self, before: i64) -> String {
        Serializer::new(String::new()).extend_pairs(self.set()).append_pair("before", &before.to_string()).finish()
    }

    /// The query of the newest page of the same list.
    pub(super) fn newest(&self) -> String {
        Serializer::new(String::new()).extend_pairs(self.set()).finish()
    }

    /// Checks it; times without an offset are of `zone`.
    pub(super) fn filter(&self, zone: &TimeZone) -> Result<Filter, Trouble> {
        let text = |value: &str| Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
        let filter = Filter {
            source: text(&self.source),
            queue: text(&self.queue),
            name: text(&self.name),
            state: text(&self.state),
            class: text(&self.class),
            fingerprint: text(&self.fingerprint),
            message: text(&self.message),
            message_re: None,
            failed_after: time("failed after", &self.failed_after, zone)?,
            failed_before: time("failed before", &self.failed_before, zone)?,
            data: None,
            before: self.before,
        };
        filter.check().map_err(Trouble::Unread)?;
        Ok(filter)
    }
}

/// What a person types to hear what redriving those would come to; none for all that there are.
pub(super) fn command(filter: &Filter) -> Option<String> {
    let filter = serde_json::to_value(filter).unwrap_or_default();
    let set = filter.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let options: String = set.map(|(name, value)| format!(" --{} {}", name.replace('_', "-"), quoted(value))).collect();
    (!options.is_empty()).then(|| format!("dlq-processor redrive{options} --reason '…'"))
}

/// With an offset, or as a browser's field for times gives it.
fn time(what: &str, given: &str, zone: &TimeZone) -> Result<Option<Timestamp>, Trouble> {
    let given = given.trim();
    if given.is_empty() {
        return Ok(None);
    }
    let local = || given.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
    let found = given.parse::<Timestamp>().ok().or_else(local);
    found.map(Some).ok_or_else(|| Trouble::Unread(format!("{what} is {given:?}; write it like 2026-11-30T14:00")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_empty_matters_not_and_the_next_page_asks_for_the_same() {
        let wanted = Wanted { queue: " mails ".to_owned(), message: "a&b=c d".to_owned(), ..Wanted::default() };
        let filter = wanted.filter(&TimeZone::UTC).unwrap();
        assert_eq!((filter.queue.as_deref(), filter.name.as_deref()), (Some("mails"), None));
        assert_eq!(wanted.older(7), "queue=mails&message=a%26b%3Dc+d&before=7");
        let typed = "dlq-processor redrive --message 'a&b=c d' --queue mails --reason '…'";
        assert_eq!(command(&filter).as_deref(), Some(typed));
        assert_eq!(command(&Filter::default()), None);
    }

    #[test]
    fn times_are_local_or_have_an_offset_and_wrong_words_are_told() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let after = |failed_after: &str| {
            let wanted = Wanted { failed_after: failed_after.to_owned(), ..Wanted::default() };
            wanted.filter(&zone).map(|filter| filter.failed_after.map(|at| at.to_string()))
        };
        assert_eq!(after("2026-11-30T14:00").unwrap().as_deref(), Some("2026-11-30T13:00:00Z"));
        assert_eq!(after("2026-11-30T14:00:00Z").unwrap().as_deref(), Some("2026-11-30T14:00:00Z"));
        assert!(after("yesterday").unwrap_err().to_string().contains("write it like 2026-11-30T14:00"));
        let wanted = Wanted { state: "lost".to_owned(), ..Wanted::default() };
        assert!(wanted.filter(&zone).unwrap_err().to_string().contains("state is \"lost\"; write one of observed,"));
    }
}
