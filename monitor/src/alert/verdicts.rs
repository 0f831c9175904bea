//! What the board says is wrong: bad and degraded verdicts, and our own blindness, as conditions. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};

use super::condition::{Condition, Holds};
use super::discovered;
use super::evidence::{evidence, failing, reason};
use super::findings::{findings, joined};
use super::message::{Evidence, Severity};
use super::objectives::Objectives;
use crate::judge::{Board, CheckEntry, Health, ServiceEntry, Verdict};
use crate::probe::Outcome;
use crate::supervise::discovery::Finds;
use crate::supervise::redact;

/// A degraded service is worth a ticket when it has been so for this long: one slow answer is not.
const DEGRADED_FOR: Duration = Duration::from_secs(60);
/// Longest that a slow check's interval may stretch that.
const DEGRADED_FOR_MOST: Duration = Duration::from_secs(600);
/// The incident about our own blindness: one, whatever we cannot see.
const BLIND_KEY: &str = "monitor_blind";
/// Whoever runs a workload may be away for so long, as for an upgrade (DESIGN section 6, for checks).
const RUNTIME_AWAY_FOR: Duration = Duration::from_secs(180);

/// What alerts need to know of a service's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceAlerts {
    /// Labels for routing, beside `service`, `severity` and `alertname`.
    pub labels: BTreeMap<String, String>,
    /// How urgent a bad verdict is; none: nobody is told. Default `page`, for a service that is not critical `ticket`.
    pub down: Option<Severity>,
    /// How urgent it is to be degraded. Default `ticket`.
    pub degraded: Option<Severity>,
    /// What it promises.
    pub objectives: Objectives,
    /// What its checks ask and those of its replicas, by their ids, without secrets.
    pub targets: BTreeMap<String, String>,
}

impl ServiceAlerts {
    /// What holds for a service that says nothing of alerts.
    pub fn standard(is_critical: bool) -> Self {
        let down = if is_critical { Severity::Page } else { Severity::Ticket };
        Self {
            labels: BTreeMap::new(),
            down: Some(down),
            degraded: Some(Severity::Ticket),
            objectives: Objectives::default(),
            targets: BTreeMap::new(),
        }
    }
}

/// Settings by service.
pub type ServicesAlerts = HashMap<Arc<str>, ServiceAlerts>;

/// Returns what is wrong, hard needs before what needs them. Of services in `told`, which something elsewhere has been
/// saying is wrong since then, it also returns where they stand. What services that find themselves come from is in
/// `finds`.
pub fn conditions(
    board: &Board,
    settings: &ServicesAlerts,
    finds: &[Finds],
    told: &HashMap<Arc<str>, Moment>,
    now: Stamp,
) -> Vec<Condition> {
    let graph = Graph::of(board);
    let mut found: Vec<(usize, Condition)> = Vec::new();
    let mut blind = Vec::new();
    for service in board.services() {
        let Some(alerts) = settings.get(service.whole()) else { continue };
        blind.extend(blindness(service, now.at));
        // What is wrong with a replica is told of the service.
        if service.is_replica() {
            continue;
        }
        let told_since = told.get(&service.spec.name).copied();
        let condition = of_service(board, service, alerts, now).or_else(|| {
            let key = Condition::service_key(&service.spec.name);
            told_since.map(|_| vague(key, Holds::No))
        });
        if let Some(mut condition) = condition {
            graph.place(&mut condition, service, told_since);
            found.push((condition.needs.len(), condition));
        }
    }
    found.sort_by_key(|(depth, _)| *depth);
    let mut conditions: Vec<Condition> = found.into_iter().map(|(_, condition)| condition).collect();
    let watched = board.services().iter().filter_map(|service| Some((service, settings.get(service.whole())?)));
    conditions.extend(joined(watched.flat_map(|(service, alerts)| findings(service, alerts, now))));
    conditions.extend(discovered::mistakes(finds));
    blind.extend(finds.iter().filter_map(|finds| blind_discovery(finds, now.at)));
    // One that was blind before a restart is so for a moment only.
    let may_be_blind =
        || finds.iter().any(|finds| finds.blind.is_some()).then(|| vague(BLIND_KEY.to_owned(), Holds::Unclear));
    conditions.extend(of_blindness(&blind, now).or_else(may_be_blind));
    conditions
}

fn of_service(board: &Board, service: &ServiceEntry, alerts: &ServiceAlerts, now: Stamp) -> Option<Condition> {
    let name = &service.spec.name;
    let key = Condition::service_key(name);
    let (alert, severity, after) = match service.verdict {
        verdict if verdict.is_bad() => ("ServiceDown", alerts.down?, Duration::ZERO),
        Verdict::Degraded => ("ServiceDegraded", alerts.degraded?, degraded_for(board, service)),
        // It may be anything: what is open stays so.
        Verdict::Starting | Verdict::Stale | Verdict::Unknown => return Some(vague(key, Holds::Unclear)),
        _ if board.deciding(service).iter().any(|check| check.state.flap.is_flapping()) => {
            return Some(vague(key, Holds::Restless));
        }
        _ => return None,
    };
    let mut condition =
        Condition::new(key, alert, severity, format!("{name} {}: {}", service.verdict.said(), redact(&service.why)));
    condition.verdict = service.verdict.as_str().to_owned();
    condition.rank = u8::from(service.verdict == Verdict::GaveUp);
    let replica = board.worst_replica(service);
    condition.cause = cause(service, replica);
    condition.labels.clone_from(&alerts.labels);
    condition.since = service.since.at;
    condition.after = after;
    condition.evidence = evidence(service, replica, alerts, now);
    condition.service = Some(name.clone());
    Some(condition)
}

fn vague(key: String, holds: Holds) -> Condition {
    Condition { holds, ..Condition::new(key, "", Severity::Notice, "") }
}

/// Returns how long a service must be degraded: long enough for a few answers of the check that says so.
fn degraded_for(board: &Board, service: &ServiceEntry) -> Duration {
    let checks = service.checks.iter().chain(board.replicas(service).flat_map(|replica| &replica.checks));
    let impaired = checks.filter(|check| matches!(check.health, Health::Degraded | Health::Down));
    let longest = impaired.map(|check| check.policy.every).max().unwrap_or_default();
    longest.mul_f64(2.5).clamp(DEGRADED_FOR, DEGRADED_FOR_MOST)
}

/// Returns when the failure began: at the first fail of the streak, or when the verdict changed.
fn first_fail(board: &Board, service: &ServiceEntry) -> Moment {
    board
        .deciding(service)
        .into_iter()
        .filter_map(|check| check.failing_since)
        .min()
        .unwrap_or(service.since.at)
        .min(service.since.at)
}

/// Returns what it is caused by in words without figures: the same as long as it is the same trouble. `replica` is the
/// one that is worst off, if it has any.
fn cause(service: &ServiceEntry, replica: Option<&ServiceEntry>) -> String {
    let by_run = matches!(service.verdict, Verdict::CrashLooping | Verdict::GaveUp);
    let runs = replica.unwrap_or(service);
    let end = runs.workload.as_ref().and_then(|workload| workload.last_end.clone());
    match (failing(service).or_else(|| failing(runs)), end) {
        (_, Some(end)) if by_run => end,
        (Some(check), _) => {
            // On its way back there is no reason: then the last one holds.
            let reason = check.last.as_deref().and_then(reason);
            reason.map(|reason| format!("{} {}", check.id.check, reason.code.as_str())).unwrap_or_default()
        }
        (None, end) => end.unwrap_or_default(),
    }
}

/// A service that we cannot see, or a discovery that cannot look.
struct Blind<'a> {
    service: Option<&'a Arc<str>>,
    name: String,
    /// What cannot be asked; none if it is whoever runs it.
    check: Option<&'a CheckEntry>,
    since: Option<Moment>,
    why: &'a str,
}

fn blindness(entry: &ServiceEntry, now: Moment) -> Option<Blind<'_>> {
    let (service, name) = (Some(entry.whole()), entry.spec.name.to_string());
    if let Some(check) = entry.critical().find(|check| check.is_blind(now)) {
        let why = check.reason().unwrap_or("there is no fresh news");
        return Some(Blind { service, name, check: Some(check), since: check.blind_since, why });
    }
    let workload = entry.workload.as_ref()?;
    let (why, since) = (workload.unseen.as_deref()?, workload.unseen_since?);
    (now.since(since) > RUNTIME_AWAY_FOR).then_some(Blind { service, name, check: None, since: Some(since), why })
}

/// What is started while it cannot look is watched by nobody.
fn blind_discovery(finds: &Finds, now: Moment) -> Option<Blind<'_>> {
    let (why, since) = (finds.blind.as_deref()?, finds.blind_since?);
    let name = format!("discover.{}", finds.discovery);
    (now.since(since) > RUNTIME_AWAY_FOR).then_some(Blind { service: None, name, check: None, since: Some(since), why })
}

/// One incident, whatever we cannot see: its cause is ours, not that of what is not seen.
fn of_blindness(blind: &[Blind<'_>], now: Stamp) -> Option<Condition> {
    let first = blind.first()?;
    let names: Vec<&str> = blind.iter().map(|blind| &*blind.name).collect();
    let mut services: Vec<&Arc<str>> = blind.iter().filter_map(|blind| blind.service).collect();
    services.dedup();
    let why = redact(first.why);
    let title = match services.as_slice() {
        [] => format!("the monitor cannot look for services ({}): {why}", names.join(", ")),
        [one] => format!("the monitor cannot see {one}: {why}"),
        several => format!("the monitor cannot see {} services: {why}", several.len()),
    };
    let mut condition = Condition::new(BLIND_KEY, "MonitorBlind", Severity::Page, title);
    condition.since = blind.iter().filter_map(|blind| blind.since).min().unwrap_or(now.at);
    condition.cause = BLIND_KEY.to_owned();
    condition.impacted = services.iter().map(ToString::to_string).collect();
    condition.description = format!("Not asked, or not able to ask: {}.", names.join(", "));
    // Whatever else goes out of sight is news: who knows of the one need not know of the other.
    condition.joined = names.iter().map(|name| (*name).to_owned()).collect();
    condition.tells_of_joins = true;
    let check = first.check.map(|check| check.id.to_string()).unwrap_or_default();
    condition.evidence = Evidence { check, reason: why, ..Evidence::default() };
    // With one service it can be routed to whoever looks after it.
    condition.service =
        first.service.cloned().filter(|_| services.len() == 1 && blind.iter().all(|blind| blind.service.is_some()));
    Some(condition)
}

/// Who needs whom.
struct Graph<'a> {
    board: &'a Board,
    needed_by: HashMap<&'a str, Vec<Arc<str>>>,
}

impl<'a> Graph<'a> {
    fn of(board: &'a Board) -> Self {
        let mut needed_by: HashMap<&str, Vec<Arc<str>>> = HashMap::new();
        for service in board.wholes() {
            for need in &service.spec.hard_needs {
                needed_by.entry(need).or_default().push(service.spec.name.clone());
            }
        }
        Self { board, needed_by }
    }

    /// Says where a condition's service stands: what it needs, what of that fails, what needs it.
    fn place(&self, condition: &mut Condition, service: &ServiceEntry, told_since: Option<Moment>) {
        let needs = self.needs(&service.spec.name);
        // To be degraded is its own trouble, unless somebody else says that it is worse.
        if service.verdict.is_bad() || told_since.is_some() {
            let own = Some(first_fail(self.board, service)).filter(|_| service.verdict.is_bad());
            let since = own.into_iter().chain(told_since).min().unwrap_or(service.since.at);
            condition.roots = self.failing(&needs);
            condition.vouched = needs.iter().all(|need| self.vouches(need, since));
            condition.impacted = self.dependants(&service.spec.name);
        }
        condition.needs = needs;
        condition.grace =
            2 * self.board.deciding(service).into_iter().map(|check| check.policy.every).max().unwrap_or_default();
    }

    /// Returns hard needs, direct and through others, the deepest first.
    fn needs(&self, name: &Arc<str>) -> Vec<Arc<str>> {
        let needs = |name: &Arc<str>| self.board.service(name).map(|s| s.spec.hard_needs.clone()).unwrap_or_default();
        let mut found = reach(name, needs);
        found.reverse();
        found
    }

    /// Returns the services that need this one, direct and through others, in file order.
    fn dependants(&self, name: &Arc<str>) -> Vec<String> {
        let reached = reach(name, |name| self.needed_by.get(&**name).cloned().unwrap_or_default());
        if reached.is_empty() {
            return Vec::new();
        }
        let reached: HashSet<Arc<str>> = reached.into_iter().collect();
        let services = self.board.services().iter().map(|service| &service.spec.name);
        services.filter(|service| reached.contains(*service)).map(ToString::to_string).collect()
    }

    fn failing(&self, needs: &[Arc<str>]) -> Vec<Arc<str>> {
        let is_bad = |need: &&Arc<str>| self.board.service(need).is_some_and(|service| service.verdict.is_bad());
        needs.iter().filter(is_bad).cloned().collect()
    }

    /// Returns whether a need has shown that it works since a moment. What cannot be asked (nothing checks it, or jobs
    /// push to it) cannot show more by waiting.
    fn vouches(&self, need: &Arc<str>, since: Moment) -> bool {
        let Some(service) = self.board.service(need) else { return true };
        let shows = |check: &CheckEntry| {
            check.last.as_ref().is_some_and(|last| last.outcome == Outcome::Pass && last.started.at >= since)
        };
        let shows_all = |entry: &ServiceEntry| entry.critical().filter(|check| !check.pushed).all(shows);
        let replicas = self.board.replicas(service);
        let counted: Vec<&ServiceEntry> = replicas.filter(|replica| !replica.verdict.is_done()).collect();
        let quorum = service.spec.replicas.as_ref().map_or(0, |replicas| replicas.quorum).min(counted.len());
        let showing = counted.iter().filter(|replica| shows_all(replica)).count();
        !service.verdict.is_bad() && shows_all(service) && showing >= quorum
    }
}

/// Walks from a service along `next`, nearest first; the service itself is not in it.
fn reach(from: &Arc<str>, next: impl Fn(&Arc<str>) -> Vec<Arc<str>>) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    let mut seen: HashSet<Arc<str>> = [from.clone()].into();
    let mut at: Vec<Arc<str>> = vec![from.clone()];
    while !at.is_empty() {
        let reached: Vec<Arc<str>> = at.iter().flat_map(&next).filter(|name| seen.insert(name.clone())).collect();
        found.extend(reached.iter().cloned());
        at = reached;
    }
    found
}
