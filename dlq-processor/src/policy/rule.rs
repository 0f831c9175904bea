//! Rules: the first that knows a failure says its class.

use regex::Regex;

use super::class::Class;
use super::error_facts::ErrorFacts;
use super::pattern::Pattern;

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name in metrics, answers and the audit.
    pub id: String,
    /// Only letters of these queues.
    pub queue: Pattern,
    /// Only jobs of these names.
    pub name: Pattern,
    /// What it knows failures by.
    pub when: When,
    /// What they are.
    pub class: Class,
}

/// Signs of a failure: one is enough. Case does not count.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// Kinds of error.
    pub classes: Vec<String>,
    /// Matches kinds of error.
    pub class_matches: Option<Regex>,
    /// Codes.
    pub codes: Vec<String>,
    /// Statuses.
    pub http: Vec<u16>,
    /// Parts of messages.
    pub contains: Vec<String>,
    /// Matches messages.
    pub matches: Option<Regex>,
    /// Times that its worker was not heard of again, at least.
    pub stalls: Option<u32>,
}

impl Rule {
    /// Returns whether it knows a failure; `stalls` is how often the job's worker was not heard of again.
    pub fn knows(&self, queue: &str, name: &str, error: &ErrorFacts, stalls: u32) -> bool {
        self.queue.matches(queue) && self.name.matches(name) && self.when.is_met(error, stalls)
    }
}

impl When {
    /// What stands in fields of its own comes before what stands in words.
    fn is_met(&self, error: &ErrorFacts, stalls: u32) -> bool {
        let is_one_of = |known: &[String], found: &Option<String>| {
            found.as_ref().is_some_and(|found| known.iter().any(|known| known.eq_ignore_ascii_case(found)))
        };
        let class = error.class.as_deref().unwrap_or_default();
        error.codes.iter().any(|found| self.codes.iter().any(|known| known.eq_ignore_ascii_case(found)))
            || error.http.is_some_and(|status| self.http.contains(&status))
            || self.stalls.is_some_and(|least| stalls >= least)
            || is_one_of(&self.classes, &error.class)
            || self.class_matches.as_ref().is_some_and(|pattern| pattern.is_match(class))
            || self.contains.iter().any(|part| contains(&error.message, part))
            || self.matches.as_ref().is_some_and(|pattern| pattern.is_match(&error.message))
    }
}

fn contains(message: &str, part: &str) -> bool {
    message.to_lowercase().contains(&part.to_lowercase())
}
