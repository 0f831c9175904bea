//! `GET /`: the whole first, then what is broken and why, then every service, then what changed.

use std::sync::Arc;

use askama::Template;
use kit::page::{Html, Tone, words};

use super::headline::{Headline, headline};
use super::incidents::{MAX_TITLE, by_severity, of_severity, open};
use super::past::{DAYS, Past, today_ms};
use super::state::{of_verdict, spoken};
use super::{Moment, When};
use crate::alert::Incident;
use crate::export::catalogue::{Catalogue, ServiceCard};
use crate::export::overlay::{Overlay, OverlayStatus};
use crate::export::shared::Shared;
use crate::judge::{Board, ServiceEntry, Severity, Verdict};
use crate::probe::Outcome;
use crate::record::Transition;
use crate::supervise::discovery::Finds;

/// Broken services that are shown in full; more are in the list below.
const MAX_TROUBLES: usize = 12;
/// From so many services on, rows are one line each.
const DENSE: usize = 40;
/// From so many services on, bars tell nothing of each day: words for each of them would be most of the page.
const WORDLESS: usize = 100;
/// Verdict changes that are shown.
const CHANGES: usize = 15;
/// Verdict changes that are read for that, and how many of one service in a row are shown as one.
const CHANGES_READ: u32 = 200;
const FOLDED: usize = 4;

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    head: Headline,
    no_channels: bool,
    strip: Option<Strip>,
    troubles: Vec<Trouble>,
    more_troubles: usize,
    minor: Vec<Glance>,
    groups: Vec<Group>,
    dense: bool,
    /// What is wrong with looking for services, or with what was found.
    finding: Vec<(String, Vec<String>)>,
    changes: Option<Vec<ChangeView>>,
}

/// A service as copied from the board.
#[derive(Debug, Clone)]
pub(super) struct Glance {
    pub(super) name: Arc<str>,
    pub(super) verdict: Verdict,
    pub(super) critical: bool,
    pub(super) blocked_by: Option<Arc<str>>,
    /// Why, without the check's name.
    pub(super) short_why: String,
    pub(super) since: When,
    why: String,
    about: String,
    group: Option<String>,
    flapping: bool,
    latency: Option<String>,
    lines: Vec<String>,
    recurring: Option<String>,
    /// Maintenance and silences: their word, and what they are about.
    quiet: Vec<(&'static str, String)>,
    /// How many replicas it has, if it runs more than once.
    replicas: Option<Replicated>,
    /// Who found it, if nobody wrote it, and whether its labels have mistakes.
    found: Option<(String, bool)>,
}

/// How many replicas there are, and how many of them work.
#[derive(Debug, Clone, Copy)]
struct Replicated {
    working: usize,
    all: usize,
}

/// What is wrong as people were told of it.
struct Strip {
    tone: Tone,
    sentence: String,
    /// How many of each severity.
    counts: String,
    newest: String,
    since: When,
}

impl Glance {
    fn tone(&self) -> Tone {
        of_verdict(self.verdict)
    }

    fn word(&self) -> String {
        spoken(self.verdict.as_str())
    }

    /// Keeps names, states and what people wrote, and nothing that a probe or a process has said.
    fn keep_names(&mut self) {
        for said in [&mut self.why, &mut self.short_why] {
            said.clear();
        }
        self.lines.clear();
        (self.latency, self.recurring, self.found) = (None, None, None);
        self.quiet.iter_mut().for_each(|(_, about)| about.clear());
    }
}

/// A broken service and the ones it takes along.
struct Trouble {
    glance: Glance,
    impacted: Vec<Arc<str>>,
}

struct Group {
    name: String,
    summary: String,
    rows: Vec<Row>,
}

struct Row {
    glance: Glance,
    bars: Html,
    available: Option<String>,
    seen: String,
}

/// A verdict change as shown.
#[derive(Clone)]
pub(super) struct ChangeView {
    pub(super) service: String,
    pub(super) tone: Tone,
    pub(super) word: String,
    pub(super) reason: String,
    pub(super) when: When,
    /// Older changes of the same service right before it, and when the first of them was.
    pub(super) before: Option<(usize, When)>,
}

/// Makes the view, its tone and the window's title.
pub(super) async fn view(shared: &Shared, moment: &Moment) -> (Overview, Tone, String) {
    let mut glances = glances(shared, moment);
    if !moment.visitor.sees_details() {
        glances.iter_mut().for_each(Glance::keep_names);
    }
    let changes = changes(shared, None, CHANGES_READ, moment).await.map(|changes| fold(changes, CHANGES));
    let head = headline(&glances);
    let (tone, title) = (head.tone, words::clip(&head.sentence, 60));
    let mut troubles = troubles(&glances);
    let more_troubles = troubles.len().saturating_sub(MAX_TROUBLES);
    troubles.truncate(MAX_TROUBLES);
    let is_minor = |glance: &&Glance| {
        let is_quiet = glance.verdict == Verdict::Up || glance.verdict.is_done();
        !glance.verdict.is_bad() && (!is_quiet || glance.flapping || glance.recurring.is_some())
    };
    let minor = glances.iter().filter(is_minor).cloned().collect();
    let today_ms = today_ms(moment.now.wall);
    let dense = glances.len() >= DENSE;
    let wordless = glances.len() >= WORDLESS;
    let groups = groups(glances.into_iter().map(|glance| row(shared, glance, wordless, today_ms)).collect());
    let no_channels = moment.visitor.sees_details() && shared.alerts.settings().channels.is_empty();
    let strip = strip(shared, moment);
    let finding = finding(shared, moment);
    let page = Overview { head, no_channels, strip, troubles, more_troubles, minor, groups, dense, finding, changes };
    (page, tone, title)
}

/// Says how many incidents are open; none if there is none.
fn strip(shared: &Shared, moment: &Moment) -> Option<Strip> {
    let open = open(shared);
    let real: Vec<&Incident> = open.iter().filter(|incident| !incident.is_trial()).collect();
    let newest = real.iter().max_by_key(|incident| incident.opened)?;
    Some(Strip {
        tone: real.iter().map(|incident| incident.severity).max().map_or(Tone::Off, of_severity),
        sentence: words::count(real.len() as u64, "open incident"),
        counts: by_severity(&real),
        newest: if moment.visitor.sees_details() { words::clip(&newest.title, MAX_TITLE) } else { String::new() },
        since: moment.when(newest.opened),
    })
}

/// Copies what the page needs; the board is held no longer than that takes.
fn glances(shared: &Shared, moment: &Moment) -> Vec<Glance> {
    let catalogue: arc_swap::Guard<Arc<Catalogue>> = shared.catalogue.load();
    let overlay = Overlay::of(shared, moment.now.wall);
    let board = shared.board();
    let pairs = board.wholes().filter_map(|entry| Some((entry, catalogue.service(&entry.spec.name)?)));
    pairs.map(|(entry, card)| glance(&board, entry, card, quiet(&overlay, entry, moment), moment)).collect()
}

/// Says what lies over a service: what keeps messages about it back, and what is announced.
pub(super) fn quiet(overlay: &Overlay, entry: &ServiceEntry, moment: &Moment) -> Vec<(&'static str, String)> {
    let overlays = overlay.service(entry.whole());
    let change = OverlayStatus::of_change(entry, moment.now.wall);
    let all = [("maintenance", overlays.maintenance), ("silenced", overlays.silenced), ("change announced", change)];
    let said = |(word, status): (&'static str, Option<OverlayStatus>)| {
        let status = status?;
        let until = status.until.parse().map(|until| moment.clock(until)).unwrap_or_default();
        let why = if status.why.is_empty() { String::new() } else { format!(": {}", status.why) };
        let by = if status.by.is_empty() { String::new() } else { format!(" by {}", status.by) };
        Some((word, format!("until {until}{by}{why}")))
    };
    all.into_iter().filter_map(said).collect()
}

fn glance(
    board: &Board,
    entry: &ServiceEntry,
    card: &ServiceCard,
    quiet: Vec<(&'static str, String)>,
    moment: &Moment,
) -> Glance {
    let short_why =
        entry.why.split_once(": ").filter(|(check, _)| entry.checks.iter().any(|own| *own.id.check == **check));
    let critical = entry.checks.iter().find(|check| check.policy.severity == Severity::Critical);
    let newest = critical.and_then(|check| check.last.as_ref()).filter(|last| last.outcome == Outcome::Pass);
    let workload = board.worst_replica(entry).unwrap_or(entry).workload.as_ref();
    let is_bad = entry.verdict.is_bad();
    Glance {
        name: entry.spec.name.clone(),
        verdict: entry.verdict,
        critical: card.critical,
        blocked_by: entry.blocked_by.clone(),
        short_why: short_why.map_or(&*entry.why, |(_, why)| why).to_owned(),
        since: moment.when(entry.since.wall),
        why: entry.why.clone(),
        about: card.about.clone().unwrap_or_default(),
        group: card.group.clone(),
        flapping: entry.checks.iter().any(|check| check.state.flap.is_flapping()),
        latency: newest.map(|last| words::latency(last.took.as_secs_f64() * 1000.0)),
        lines: workload.filter(|_| is_bad).map(|workload| workload.lines.last().to_vec()).unwrap_or_default(),
        recurring: workload
            .and_then(|workload| workload.assessment(moment.now.at).recurring_crash)
            .map(|recurring| recurring.to_string()),
        quiet,
        replicas: entry
            .spec
            .replicas
            .as_ref()
            .map(|replicas| Replicated { working: board.working_replicas(entry), all: replicas.names.len() }),
        found: card.found.as_ref().map(|found| (found.to_string(), !found.mistakes.is_empty())),
    }
}

/// Says what is wrong with each discovery as a whole.
fn finding(shared: &Shared, moment: &Moment) -> Vec<(String, Vec<String>)> {
    if !moment.visitor.sees_details() {
        return Vec::new();
    }
    let told = |finds: &Finds| {
        let blind = finds.blind.iter().map(|why| format!("{why}; what was known before is watched on"));
        let wrong: Vec<String> = blind.chain(finds.problems.iter().cloned()).collect();
        (!wrong.is_empty()).then(|| (finds.discovery.to_string(), wrong))
    };
    shared.catalogue.load().discoveries.iter().filter_map(told).collect()
}

/// Root causes first, each with what fails because of it; then what nobody else explains.
fn troubles(glances: &[Glance]) -> Vec<Trouble> {
    let is_listed = |name: &Arc<str>| glances.iter().any(|glance| glance.name == *name && glance.verdict.is_bad());
    let is_root = |glance: &&Glance| glance.verdict.is_bad() && !glance.blocked_by.as_ref().is_some_and(is_listed);
    let trouble = |glance: &Glance| {
        let impacted = glances.iter().filter(|other| other.blocked_by.as_ref() == Some(&glance.name));
        Trouble { impacted: impacted.map(|other| other.name.clone()).collect(), glance: glance.clone() }
    };
    let mut found: Vec<Trouble> = glances.iter().filter(is_root).map(trouble).collect();
    found.sort_by_key(|trouble| (!trouble.glance.critical, std::cmp::Reverse(trouble.impacted.len())));
    found
}

fn row(shared: &Shared, glance: Glance, wordless: bool, today_ms: i64) -> Row {
    let past = Past::of(&shared.stores.history.days(&glance.name), today_ms);
    let available = past.availability(DAYS).map(words::share);
    let bars = if wordless { past.wordless_bars() } else { past.bars() };
    Row { bars, available, seen: past.in_words(), glance }
}

/// Sorts rows by their heading, in the order of the file; those without one come last.
fn groups(rows: Vec<Row>) -> Vec<Group> {
    let mut groups: Vec<(Option<String>, Vec<Row>)> = Vec::new();
    for row in rows {
        let name = row.glance.group.clone();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    groups.sort_by_key(|(name, _)| name.is_none());
    let only = if groups.len() > 1 { "Others" } else { "Services" };
    let group = |(name, rows): (Option<String>, Vec<Row>)| {
        let up = rows.iter().filter(|row| row.glance.verdict == Verdict::Up).count();
        let summary = if up == rows.len() { format!("all {up} up") } else { format!("{up} of {} up", rows.len()) };
        Group { name: name.unwrap_or_else(|| only.to_owned()), summary, rows }
    };
    groups.into_iter().map(group).collect()
}

/// Reads the newest verdict changes; none if the store cannot be read.
pub(super) async fn changes(
    shared: &Shared,
    service: Option<&str>,
    limit: u32,
    moment: &Moment,
) -> Option<Vec<ChangeView>> {
    let found = shared.stores.state.store().transitions(service, limit).await.ok()?;
    let view = |change: Transition| ChangeView {
        tone: Verdict::parse(&change.to).map_or(Tone::Blind, of_verdict),
        word: spoken(&change.to),
        service: change.service,
        reason: if moment.visitor.sees_details() { change.reason } else { String::new() },
        when: moment.when(change.at),
        before: None,
    };
    Some(found.into_iter().map(view).collect())
}

/// Shows a restless service's changes, newest first, as one, so that they do not push out everybody else's.
fn fold(changes: Vec<ChangeView>, limit: usize) -> Vec<ChangeView> {
    let mut shown: Vec<ChangeView> = Vec::new();
    for run in changes.chunk_by(|left, right| left.service == right.service) {
        match run {
            [newest, .., oldest] if run.len() >= FOLDED => {
                shown.push(ChangeView { before: Some((run.len() - 1, oldest.when.clone())), ..newest.clone() });
            }
            few => shown.extend_from_slice(few),
        }
    }
    shown.truncate(limit);
    shown
}
