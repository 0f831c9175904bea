//! What came of discoveries, for whoever plans with it or shows it.

use std::fmt;
use std::sync::Arc;

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
    /// What is wrong that belongs to no service.
    pub problems: Vec<String>,
}
