//! What this monitor itself stands on: what it may open, read and reach from the machine or container it runs in.
//!
//! * `rights` is what the kernel lets us do; `sources` what supervision reads; `reach` what the network lets us ask.
//!
//! Each check ends as fine, as a finding with its fix, or as not checked; none of them changes anything.

mod reach;
mod rights;
mod sources;

use std::path::Path;
use std::sync::Arc;

use super::finding::{Finding, RuleText, Severity};
use crate::supervise::workload::Runtime;

pub use reach::Target;

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be, and how.
    Fine(String),
    /// Something to mend: what it is, and the fix.
    Wrong(String, String),
    /// It cannot be told from here, and why.
    Unknown(String),
}

/// One thing we stand on.
#[derive(Debug, Clone)]
pub struct Footing {
    /// What was checked.
    pub text: RuleText,
    /// What it came to.
    pub outcome: Outcome,
}

impl Footing {
    /// Returns the finding, if something is to be mended.
    pub fn finding(&self) -> Option<Finding> {
        let Outcome::Wrong(message, fix) = &self.outcome else { return None };
        Some(Finding {
            rule: self.text.id,
            severity: self.text.severity,
            file: "self".to_owned(),
            line: 0,
            column: 0,
            service: String::new(),
            message: message.clone(),
            why: self.text.why,
            fix: fix.clone(),
        })
    }
}

/// What a configuration has the monitor do, and so what it must stand on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StandsOn {
    /// It runs workloads of its own.
    pub runs: bool,
    /// It watches what an engine or systemd runs.
    pub watches: bool,
}

/// Checks what a running monitor cannot know better, and what it needs for what it does: not the network, which its
/// checks ask all the time, and not rights that no kind of check needs. Nothing leaves the machine.
pub async fn check_here(data_dir: &Path, stands_on: StandsOn) -> Vec<Footing> {
    let mut found = local(data_dir, kit::container::is_inside()).await;
    found.retain(|footing| match footing.text.id {
        id if id == ICMP.id => false,
        id if [DOCKER.id, DBUS.id, JOURNAL.id].contains(&id) => stands_on.watches,
        id if id == CGROUP.id => stands_on.watches || stands_on.runs,
        _ => true,
    });
    found
}

/// Checks everything; `data_dir` is the monitor's own folder, `targets` what it is configured to ask, `runtimes` who runs
/// what it is configured to watch.
pub async fn check(data_dir: &Path, targets: &[Target], runtimes: &[Arc<dyn Runtime>]) -> Vec<Footing> {
    let is_inside = kit::container::is_inside();
    let mut found = local(data_dir, is_inside).await;
    found.push(footing(RESOLVER, reach::resolver().await));
    for runtime in runtimes {
        found.push(footing(RUNTIME, sources::runtime(&**runtime).await));
    }
    for target in targets {
        found.push(footing(TARGET, reach::target(target, is_inside).await));
    }
    found
}

async fn local(data_dir: &Path, is_inside: bool) -> Vec<Footing> {
    vec![
        footing(ICMP, rights::icmp()),
        footing(FILES, rights::open_files()),
        footing(DATA, rights::data_folder(data_dir)),
        footing(CLOCK, rights::clock()),
        footing(PROC, sources::host_proc(is_inside)),
        footing(DOCKER, sources::docker_socket().await),
        footing(DBUS, sources::system_bus().await),
        footing(JOURNAL, sources::journal()),
        footing(CGROUP, sources::cgroup()),
    ]
}

fn footing(text: RuleText, outcome: Outcome) -> Footing {
    Footing { text, outcome }
}

const fn text(id: &'static str, severity: Severity, title: &'static str, why: &'static str) -> RuleText {
    RuleText { id, severity, title, why }
}

/// What `monitor doctor self` checks.
pub const TEXTS: [RuleText; 12] =
    [ICMP, FILES, DATA, CLOCK, PROC, DOCKER, DBUS, JOURNAL, CGROUP, RESOLVER, RUNTIME, TARGET];

const ICMP: RuleText =
    text("self-icmp", Severity::Warning, "no socket for ICMP", "A ping check can only be unknown, never up or down.");
const FILES: RuleText = text(
    "self-open-files",
    Severity::Warning,
    "few open files are allowed",
    "Under load probes fail with `too many open files`, which says nothing of their targets.",
);
const DATA: RuleText = text(
    "self-data-folder",
    Severity::Error,
    "the data folder cannot be written or has no room",
    "Alerts, streaks and ledgers are on disk before anything is sent.",
);
const CLOCK: RuleText = text(
    "self-clock",
    Severity::Warning,
    "the clock is not synchronised",
    "Times of incidents do not match those of logs elsewhere, and certificates expire at the wrong time.",
);
const PROC: RuleText = text(
    "self-host-proc",
    Severity::Warning,
    "/proc does not show the host's processes",
    "Host checks and exits of the host's processes are those of this container or user only.",
);
const DOCKER: RuleText = text(
    "self-docker-socket",
    Severity::Warning,
    "the Docker socket is there, and we may not ask it",
    "Containers are unknown: their exits, loops and health cannot be seen.",
);
const DBUS: RuleText = text(
    "self-system-bus",
    Severity::Warning,
    "the system bus is there, and we may not ask it",
    "Units are unknown: their exits and loops cannot be seen.",
);
const JOURNAL: RuleText = text(
    "self-journal",
    Severity::Warning,
    "the journal cannot be read",
    "Alerts about units come without the last lines of the run that failed.",
);
const CGROUP: RuleText = text(
    "self-cgroup",
    Severity::Warning,
    "no cgroup v2 with memory.events",
    "That the kernel killed something for its memory cannot be told from any other kill.",
);
const RESOLVER: RuleText = text(
    "self-resolver",
    Severity::Error,
    "no name server answers",
    "Every check with a name in its address is unknown.",
);
const RUNTIME: RuleText = text(
    "self-runtime",
    Severity::Error,
    "what runs a workload cannot be asked",
    "Its services are unknown: their exits and loops cannot be seen.",
);
const TARGET: RuleText = text(
    "self-target",
    Severity::Error,
    "a target cannot be reached from here",
    "Its check fails whatever its service does.",
);
