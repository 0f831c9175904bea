//! What came of discoveries, for whoever plans with it or shows it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kit::clock::Moment;

/// Who found a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBy {
    /// The discovery.
    pub discovery: Arc<str>,
    /// What it is there, such as `container "web-1"`.
    pub shown: String,
    /// What is wrong with its labels.
    pub mistakes: Vec<String>,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "found by {} as {}", self.discovery, self.shown)
    }
}

/// What came of one discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finds {
    /// The discovery.
    pub discovery: Arc<str>,
    /// Where it looks.
    pub address: String,
    /// What it looks for.
    pub looks_for: String,
    /// Services that are watched because of it.
    pub services: usize,
    /// Workloads beyond its limit, which are not watched.
    pub left_out: usize,
    /// Why it cannot look now.
    pub blind: Option<String>,
    /// Since when it cannot, as far as that was noted.
    pub blind_since: Option<Moment>,
    /// What is wrong that belongs to no service.
    pub problems: Vec<String>,
    /// What is wrong with its services, by their names.
    pub mistakes: BTreeMap<Arc<str>, Vec<String>>,
    /// Since when anything is wrong, as far as that was noted.
    pub wrong_since: Option<Moment>,
}

impl Finds {
    /// Returns everything that is wrong with what was found.
    pub fn wrong(&self) -> impl Iterator<Item = &String> {
        self.problems.iter().chain(self.mistakes.values().flatten())
    }

    /// Returns whether anything is.
    pub fn is_wrong(&self) -> bool {
        self.wrong().next().is_some()
    }
}
