//! `GET /services/{name}`: everything that is known of one service.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use kit::page::{Html, Tone, words};

use super::check::{self, CheckView, Range};
use super::findings::{self, Item};
use super::healing::{self, HealingView};
use super::incidents::{self, Card, PastRow};
use super::overview::{ChangeView, changes, quiet};
use super::past::{DAYS, Past, today_ms};
use super::state::{of_verdict, spoken};
use super::workload::{self, WorkloadView};
use super::{Hand, Moment, When};
use crate::alert::{Incident, read_rows};
use crate::export::catalogue::{Catalogue, ServiceCard};
use crate::export::overlay::Overlay;
use crate::export::shared::Shared;
use crate::export::workload_status::DiscrepancyStatus;
use crate::judge::{ServiceEntry, Severity, Verdict};
use crate::record::{IncidentQuery, Rollup};

/// Verdict changes that are shown.
const CHANGES: u32 = 30;
/// Past incidents that are shown.
const INCIDENTS: u32 = 10;
const HOUR_MS: i64 = 3_600_000;
/// Lengths of time that objectives are compared over, in days.
const WINDOWS: [usize; 3] = [7, 30, 90];

#[derive(Template)]
#[template(path = "service.html")]
pub(super) struct ServicePage {
    name: Arc<str>,
    about: String,
    group: Option<String>,
    critical: bool,
    /// Who found it and what it is there, and what is wrong with its labels.
    found: Option<(String, Vec<String>)>,
    tone: Tone,
    said: String,
    why: String,
    since: When,
    blocked_by: Option<Arc<str>>,
    unchecked: bool,
    hard_needs: Vec<Neighbour>,
    soft_needs: Vec<Neighbour>,
    needed_by: Vec<Neighbour>,
    bars: Html,
    seen: String,
    goals: Vec<Goal>,
    has_objective: bool,
    ranges: Vec<(&'static str, &'static str, bool)>,
    checks: Vec<CheckView>,
    workload: Option<WorkloadView>,
    /// How many of its replicas must work, and each of them, if it runs more than once.
    replicas: Option<(usize, Vec<ReplicaRow>)>,
    /// The service that it is a replica of.
    replica_of: Option<Arc<str>>,
    healing: Option<HealingView>,
    /// Why its runtime and its checks disagree, and what to write instead.
    discrepancy: Option<(String, String)>,
    /// What is wrong with it in the files that the doctor reads.
    findings: Vec<Item>,
    hand: Hand,
    changes: Option<Vec<ChangeView>>,
    /// Maintenance and silences: their word, and what they are about.
    quiet: Vec<(&'static str, String)>,
    open: Vec<Card>,
    past_incidents: Option<Vec<PastRow>>,
}

/// One of the replicas that a service is together.
struct ReplicaRow {
    name: Arc<str>,
    tone: Tone,
    word: String,
    why: String,
    since: When,
    /// Unplanned exits that are on record, and how many of the last 10 minutes.
    exits: (usize, usize),
}

/// A service that this one has to do with.
struct Neighbour {
    name: Arc<str>,
    tone: Tone,
    word: String,
}

/// An objective against reality, over [`WINDOWS`].
struct Goal {
    name: &'static str,
    objective: String,
    /// What was reached, and whether that is within the objective.
    reached: Vec<(String, Option<bool>)>,
    left: String,
}

/// Makes the view, its tone and the window's title; none if there is no such service.
pub(super) async fn view(
    shared: &Shared,
    name: &str,
    range: Range,
    moment: &Moment,
) -> Option<(ServicePage, Tone, String)> {
    let catalogue = shared.catalogue.load_full();
    let card = catalogue.service(name)?;
    let (entry, neighbours) = copied(shared, &catalogue, card)?;
    let [hard_needs, soft_needs, needed_by] = neighbours;
    let past = Past::of(&shared.stores.history.days(name), today_ms(moment.now.wall));
    let goals = vec![availability(shared, card, &past, moment), latency(shared, &catalogue, card, moment).await];
    let tone = of_verdict(entry.verdict);
    let said = entry.verdict.said();
    let title = format!("{name} {said}");
    let page = ServicePage {
        name: card.name.clone(),
        about: card.about.clone().unwrap_or_default(),
        group: card.group.clone(),
        critical: card.critical,
        found: card.found.as_ref().map(|found| (found.to_string(), found.mistakes.clone())),
        tone,
        said,
        why: entry.why.clone(),
        since: moment.when(entry.since.wall),
        blocked_by: entry.blocked_by.clone(),
        unchecked: entry.is_unchecked(),
        hard_needs,
        soft_needs,
        needed_by,
        bars: past.bars(),
        seen: past.in_words(),
        has_objective: card.availability.is_some() || card.latency_p95.is_some(),
        goals,
        ranges: Range::ALL.map(|known| (known.key(), known.name(), known == range)).into(),
        checks: checks(shared, &entry, card, range, moment).await,
        workload: entry.workload.as_ref().map(|workload| workload::view(workload, moment)),
        replicas: replicas(shared, &entry, moment),
        replica_of: entry.spec.replica_of.as_ref().map(|one| one.whole.clone()),
        discrepancy: discrepancy(&entry, card),
        healing: healing::view(shared, &entry, moment),
        findings: findings::of_service(shared, name, moment),
        hand: moment.hand(),
        changes: changes(shared, Some(name), CHANGES, moment).await,
        quiet: quiet(&Overlay::of(shared, moment.now.wall), &entry, moment),
        open: open(shared, entry.whole(), moment).await,
        past_incidents: past_incidents(shared, entry.whole(), moment).await,
    };
    Some((page, tone, title))
}

fn replicas(shared: &Shared, entry: &ServiceEntry, moment: &Moment) -> Option<(usize, Vec<ReplicaRow>)> {
    let replicas = entry.spec.replicas.as_ref()?;
    let board = shared.board();
    let row = |name: &Arc<str>| {
        let replica = board.service(name)?;
        let workload = replica.workload.as_ref()?;
        let exits = workload.ledger.unplanned_ends();
        let (tone, word) = match replica.only_runs() {
            true => (Tone::Good, "running".to_owned()),
            false => (of_verdict(replica.verdict), spoken(replica.verdict.as_str())),
        };
        Some(ReplicaRow {
            name: name.clone(),
            tone,
            word,
            why: if replica.only_runs() { String::new() } else { replica.why.clone() },
            since: moment.when(replica.since.wall),
            exits: (exits, workload.assessment(moment.now.at).exits_10m),
        })
    };
    Some((replicas.quorum, replicas.names.iter().filter_map(row).collect()))
}

fn discrepancy(entry: &ServiceEntry, card: &ServiceCard) -> Option<(String, String)> {
    let status = DiscrepancyStatus::of(entry, card)?;
    let words = status.kind.replace('_', " ");
    let why = status.why.map(|why| format!("{words}: {why}"))?;
    Some((why, status.fix.unwrap_or_default()))
}

async fn open(shared: &Shared, name: &str, moment: &Moment) -> Vec<Card> {
    let mut cards = Vec::new();
    for incident in incidents::open(shared).iter().filter(|incident| incident.service.as_deref() == Some(name)) {
        cards.push(incidents::card(shared, incident, moment).await);
    }
    cards
}

/// Reads what was wrong with it before; none if the store cannot be read.
async fn past_incidents(shared: &Shared, name: &str, moment: &Moment) -> Option<Vec<PastRow>> {
    let query =
        IncidentQuery { service: Some(name.to_owned()), ended: true, limit: INCIDENTS, ..IncidentQuery::default() };
    let found: Vec<Incident> = read_rows(&shared.stores.state.store().incidents(&query).await.ok()?);
    Some(found.iter().map(|incident| incidents::past_row(incident, moment)).collect())
}

/// Copies the service and the verdicts of its neighbours off the board.
fn copied(shared: &Shared, catalogue: &Catalogue, card: &ServiceCard) -> Option<(ServiceEntry, [Vec<Neighbour>; 3])> {
    let board = shared.board();
    let entry = board.service(&card.name)?.clone();
    let neighbour = |name: &Arc<str>| {
        let verdict = board.service(name).map_or(Verdict::Unknown, |entry| entry.verdict);
        Neighbour { name: name.clone(), tone: of_verdict(verdict), word: spoken(verdict.as_str()) }
    };
    let needs_us =
        |other: &&ServiceCard| other.hard_needs.contains(&card.name) || other.soft_needs.contains(&card.name);
    let needed_by = catalogue.wholes().filter(needs_us).map(|other| neighbour(&other.name)).collect();
    let hard = card.hard_needs.iter().map(neighbour).collect();
    let soft = card.soft_needs.iter().map(neighbour).collect();
    Some((entry, [hard, soft, needed_by]))
}

async fn checks(
    shared: &Shared,
    entry: &ServiceEntry,
    card: &ServiceCard,
    range: Range,
    moment: &Moment,
) -> Vec<CheckView> {
    let settings = shared.alerts.settings();
    let mut views = Vec::new();
    for check in &entry.checks {
        let Some(check_card) = card.checks.iter().find(|known| known.id == check.id) else { continue };
        // The objective is the service's, so it is held against the checks that stand for the service.
        let is_critical = check.policy.severity == Severity::Critical;
        let objective = card.latency_p95.filter(|_| is_critical).map(|most| most.as_secs_f64() * 1000.0);
        views.push(
            check::view(&shared.stores.history, check, check_card, range, objective, &settings.elsewhere, moment).await,
        );
    }
    views
}

fn availability(shared: &Shared, card: &ServiceCard, past: &Past, moment: &Moment) -> Goal {
    let reached = WINDOWS.map(|days| match past.availability(days) {
        Some(share) => (words::share(share), card.availability.map(|objective| share >= objective)),
        None => ("–".to_owned(), None),
    });
    // The budget is what the objective leaves of 30 days, however much of them was seen.
    let left = card.availability.map(|objective| {
        let budget = Duration::from_secs(30 * 86_400).mul_f64((1.0 - objective).clamp(0.0, 1.0));
        match budget.checked_sub(past.down(30)) {
            Some(left) => format!("{} of {} left in 30 d", words::length(left), words::length(budget)),
            None => format!("overspent by {} in 30 d", words::length(past.down(30) - budget)),
        }
    });
    Goal {
        name: "Availability",
        objective: card.availability.map_or_else(|| "–".to_owned(), words::share),
        reached: reached.into(),
        left: budget(shared, card, "availability", moment).or(left).unwrap_or_default(),
    }
}

/// Says what is left of an error budget, as it is alerted on: probes, without maintenance.
fn budget(shared: &Shared, card: &ServiceCard, what: &str, moment: &Moment) -> Option<String> {
    let slos = shared.alerts.slos();
    let budget = &slos.of(&card.name).iter().find(|objective| objective.what == what)?.budget;
    let (now, hour) = (moment.now.wall, Duration::from_secs(3600));
    let left = budget.left(now)?;
    let pace = budget.burn(hour, now).filter(|pace| *pace > 1.0);
    let pace = pace.map(|pace| format!(", now spent {pace:.1} times too fast")).unwrap_or_default();
    Some(match left {
        left if left >= 0.0 => format!("{} of the error budget left in 30 d{pace}", words::share(left)),
        over => format!("error budget overspent {:.1} times in 30 d{pace}", 1.0 - over),
    })
}

async fn latency(shared: &Shared, catalogue: &Catalogue, card: &ServiceCard, moment: &Moment) -> Goal {
    let now_ms = moment.now.wall.as_millisecond();
    let longest_ms = i64::try_from(DAYS).unwrap_or(90) * 24 * HOUR_MS;
    let mut sums = WINDOWS.map(|_| Rollup::default());
    let asked = catalogue.checks_of(card).filter(|check| check.severity == Severity::Critical && !check.pushed);
    for check in asked {
        let spans = shared.stores.history.rollups(&check.id, HOUR_MS, now_ms - longest_ms, now_ms).await;
        for (at_ms, rollup) in spans.unwrap_or_default() {
            for (sum, days) in sums.iter_mut().zip(WINDOWS) {
                if now_ms - at_ms <= i64::try_from(days).unwrap_or(90) * 24 * HOUR_MS {
                    sum.merge(&rollup);
                }
            }
        }
    }
    let objective_ms = card.latency_p95.map(|most| most.as_secs_f64() * 1000.0);
    let reached = sums.map(|sum| match sum.quantile_us(0.95).map(|us| us / 1000.0) {
        Some(ms) => (words::latency(ms), objective_ms.map(|objective| ms <= objective)),
        None => ("–".to_owned(), None),
    });
    Goal {
        name: "Latency, 95 % within",
        objective: objective_ms.map_or_else(|| "–".to_owned(), words::latency),
        reached: reached.into(),
        left: budget(shared, card, "latency", moment).unwrap_or_default(),
    }
}
