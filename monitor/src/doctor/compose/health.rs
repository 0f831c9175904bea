//! A service's own health check: what it runs, how often, how long it may take.

use std::time::Duration;

use kit::config::{Node, Place, Value, parse_duration};

use crate::supervise::check_command::CheckCommand;
use crate::supervise::shell::Step;

/// Docker's own values where the file has none (docs.docker.com/reference/dockerfile, HEALTHCHECK).
const INTERVAL: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;

/// What the check runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Nothing is written: the image's own check holds, if it has one.
    Inherited,
    /// Switched off.
    Off,
    /// This.
    Runs(CheckCommand),
}

/// A `healthcheck:` section.
#[derive(Debug, Clone)]
pub struct Health {
    /// Where the section's key stands.
    pub place: Place,
    /// Where the test stands.
    pub test_place: Place,
    /// What it runs.
    pub test: Test,
    /// Time between two checks.
    pub interval: Duration,
    /// Longest time of one check, if written.
    pub timeout: Option<(Duration, Place)>,
    /// Fails until it is unhealthy.
    pub retries: u32,
    /// Grace at the start, if written.
    pub start_period: Option<Duration>,
}

impl Health {
    pub(super) fn of(node: &Node, place: &Place) -> Self {
        let duration = |key| {
            let node: &Node = node.child(key)?;
            Some((parse_duration(&node.scalar_text()?).ok()?, node.place.clone()))
        };
        let test = node.child("test");
        let is_off = node.child("disable").is_some_and(|node| node.value == Value::Bool(true));
        Self {
            place: place.clone(),
            test_place: test.map_or(place, |test| &test.place).clone(),
            test: if is_off { Test::Off } else { test.map_or(Test::Inherited, test_of) },
            interval: duration("interval").map_or(INTERVAL, |(length, _)| length),
            timeout: duration("timeout"),
            retries: node.child("retries").and_then(Node::scalar_text).and_then(|t| t.parse().ok()).unwrap_or(RETRIES),
            start_period: duration("start_period").map(|(length, _)| length),
        }
    }

    /// Returns true if something is run.
    pub fn runs(&self) -> bool {
        self.command().is_some()
    }

    /// Returns what is run.
    pub fn command(&self) -> Option<&CheckCommand> {
        match &self.test {
            Test::Runs(command) => Some(command),
            Test::Inherited | Test::Off => None,
        }
    }

    /// Returns the whole test as one line.
    pub fn line(&self) -> String {
        self.command().map(CheckCommand::line).unwrap_or_default()
    }

    /// Returns true if a shell is started, by Docker or by the test itself.
    pub fn uses_shell(&self) -> bool {
        self.command().is_some_and(CheckCommand::uses_shell)
    }

    /// Returns the programs that are started, whoever starts them.
    pub(in crate::doctor) fn steps(&self) -> Vec<Step> {
        self.command().map(CheckCommand::steps).unwrap_or_default()
    }
}

fn test_of(node: &Node) -> Test {
    let Value::List(items) = &node.value else {
        return node.scalar_text().map_or(Test::Inherited, |line| Test::Runs(CheckCommand::Shell(line)));
    };
    let words: Vec<String> = items.iter().filter_map(Node::scalar_text).collect();
    match CheckCommand::of(&words) {
        Some(command) => Test::Runs(command),
        None if words.is_empty() => Test::Inherited,
        None => Test::Off,
    }
}
