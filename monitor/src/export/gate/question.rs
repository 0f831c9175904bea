//! What the gate is asked, and what it sees of each service.

use std::collections::BTreeMap;
use std::time::Duration;

use kit::clock::Stamp;
use kit::config::{parse_duration, suggest};
use kit::http::ApiError;

use super::{GateAnswer, GateQuery, GateService, MAX_WAIT, decode};
use crate::export::shared::Shared;
use crate::judge::{Board, Health, Phase, STREAK_KEPT, ServiceEntry, Verdict};
use crate::probe::CheckId;
use crate::supervise::{Rest, Who};

/// A checked question to the gate.
pub(super) struct Question {
    cursor: u64,
    services: Vec<String>,
    stable: usize,
    pub(super) wait: Duration,
    expect: Option<Expected>,
}

/// What a service must be beside working.
enum Expected {
    NewIncarnation,
    Digest(String),
    Version(String),
}

/// Fewest hexadecimal digits of a digest that say anything.
const MIN_DIGEST_CHARS: usize = 8;

impl Expected {
    fn parse(text: &str) -> Result<Self, String> {
        let hex =
            |digits: &str| digits.len() >= MIN_DIGEST_CHARS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.split_once(':') {
            None if text == "new-incarnation" => Ok(Self::NewIncarnation),
            Some(("digest", digits)) if hex(digits) => Ok(Self::Digest(digits.to_ascii_lowercase())),
            Some(("version", version)) if !version.is_empty() => Ok(Self::Version(version.to_owned())),
            _ => Err(format!(
                "expect is {text:?}; write new-incarnation, digest:HEX (8 digits at least) or version:TEXT"
            )),
        }
    }

    /// Returns what is missing of a service or replica, if anything, and whether waiting cannot help. `whole` is asked where
    /// the replica is not.
    fn judge(&self, service: &ServiceEntry, whole: &ServiceEntry, cursor: u64) -> Option<(String, bool)> {
        let found = match self {
            Self::NewIncarnation => match &service.workload {
                Some(workload) if workload.started_at > cursor => return None,
                Some(_) => return Some(("it was not started anew since the cursor".to_owned(), false)),
                None => {
                    return Some((
                        "new-incarnation is expected, but the monitor does not run this service".to_owned(),
                        true,
                    ));
                }
            },
            Self::Digest(wanted) => {
                let digest = service.workload.as_ref().and_then(|workload| workload.digest.as_deref());
                if digest.is_some_and(|digest| digest.starts_with(wanted)) {
                    return None;
                }
                format!("its program's digest is {}, expected {wanted}", digest.unwrap_or("not known"))
            }
            Self::Version(wanted) => {
                let critical = || service.critical().chain(whole.critical());
                let versions = || critical().filter_map(|check| check.last.as_ref()?.seen.version.as_deref());
                if versions().any(|version| version == wanted) {
                    return None;
                }
                format!("its version is {}, expected {wanted}", versions().next().unwrap_or("not known"))
            }
        };
        Some((found, false))
    }
}

impl Question {
    pub(super) fn of(shared: &Shared, cursor: &str, query: &GateQuery) -> Result<Self, ApiError> {
        let wrong = |message: String| ApiError::bad_request(message).code("bad_gate");
        let cursor = decode(cursor, &shared.cursor_key)
            .ok_or_else(|| wrong("this is not a cursor; get one by POST /api/v1/gate".to_owned()))?;
        let board = shared.board();
        if cursor > board.sequence() {
            return Err(wrong("this cursor is not of this monitor; get one by POST /api/v1/gate".to_owned()));
        }
        let catalogue = shared.catalogue.load();
        let known: Vec<&str> = catalogue.services.iter().map(|card| &*card.name).collect();
        let services: Vec<String> = match (&query.services, query.all) {
            (Some(names), false) => {
                names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
            }
            (None, true) => {
                let wholes = catalogue.wholes().filter(|card| card.critical);
                wholes.map(|card| card.name.to_string()).collect()
            }
            _ => return Err(wrong("name the services (services=a,b) or ask for all of them (all=true)".to_owned())),
        };
        if services.is_empty() {
            return Err(wrong("no service is named; an empty list would say nothing".to_owned()));
        }
        if let Some(unknown) = services.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(format!("there is no service {unknown:?}{}", suggest(unknown, known.iter().copied()))));
        }
        let stable = query.stable.unwrap_or(3);
        if !(1..=STREAK_KEPT).contains(&stable) {
            return Err(wrong(format!("stable is {stable}; write a number from 1 to {STREAK_KEPT}")));
        }
        let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration).map_err(wrong)?;
        let expect = query.expect.as_deref().map(Expected::parse).transpose().map_err(wrong)?;
        Ok(Self { cursor, services, stable, wait: wait.min(MAX_WAIT), expect })
    }

    pub(super) fn checks(&self, board: &Board) -> Vec<CheckId> {
        let services = self.services.iter().filter_map(|name| board.service(name));
        let asked = services.flat_map(|service| [service].into_iter().chain(board.replicas(service)));
        asked.flat_map(ServiceEntry::critical).map(|check| check.id.clone()).collect()
    }

    pub(super) fn ask(&self, board: &Board) -> GateAnswer {
        let mut services = BTreeMap::new();
        let mut is_hopeless = false;
        for name in &self.services {
            let (answer, hopeless) = match board.service(name) {
                Some(service) => self.ask_service(board, service),
                None => (gone(), true),
            };
            is_hopeless |= hopeless;
            services.insert(name.clone(), answer);
        }
        let open = services.values().all(|service| service.open);
        GateAnswer { open, decided: open || is_hopeless, services }
    }

    /// Returns what is seen of one service, and whether waiting cannot help.
    fn ask_service(&self, board: &Board, service: &ServiceEntry) -> (GateService, bool) {
        let mut seen = self.look(service);
        let (done, replicas): (Vec<&ServiceEntry>, Vec<&ServiceEntry>) =
            board.replicas(service).partition(|replica| replica.verdict.is_done());
        let stopped = done.len();
        let of_each: Vec<Seen> = replicas.iter().map(|replica| self.look(replica)).collect();
        let quorum = service.spec.replicas.as_ref().map_or(0, |replicas| replicas.quorum);
        let open = of_each.iter().filter(|seen| seen.reasons.is_empty()).count();
        let hopeful = stopped + of_each.iter().filter(|seen| !seen.hopeless).count();
        if open < quorum {
            let all = stopped + replicas.len();
            seen.reasons.push(format!("{open} of {all} replicas are as they must be, {quorum} must"));
        }
        for (replica, own) in replicas.iter().zip(of_each) {
            if open < quorum {
                seen.reasons.extend(own.reasons.into_iter().map(|reason| format!("{}: {reason}", replica.spec.name)));
            }
            seen.passes.extend(own.passes);
            seen.ages_secs.extend(own.ages_secs);
        }
        seen.hopeless |= hopeful < quorum;
        // What dies is no working version, however many others there are.
        for one in [service].into_iter().chain(replicas.iter().copied()) {
            let Some((how, is_final)) = self.ended_since(one) else { continue };
            let whose = if one.spec.name == service.spec.name { String::new() } else { format!("{}: ", one.spec.name) };
            seen.reasons.push(format!("{whose}{how}"));
            seen.hopeless |= is_final;
        }
        if service.is_replica() && service.critical().next().is_none() {
            let whole = service.whole();
            seen.reasons.push(format!("running_unchecked: nothing asks this replica by itself; ask for {whole}"));
            seen.hopeless = true;
        }
        // What is expected is expected of all: half of a roll-out is none.
        let expected_of = if replicas.is_empty() { vec![service] } else { replicas };
        let missing = |one: &&ServiceEntry| self.expect.as_ref()?.judge(one, service, self.cursor);
        for (one, (reason, is_final)) in expected_of.iter().filter_map(|one| Some((one, missing(one)?))) {
            let whose = if one.is_replica() { format!("{}: ", one.spec.name) } else { String::new() };
            seen.reasons.push(format!("{whose}{reason}"));
            seen.hopeless |= is_final;
        }
        if !matches!(service.verdict, Verdict::Up | Verdict::Degraded) && !service.only_runs() {
            seen.reasons.push(format!("it {}: {}", service.verdict.said(), service.why));
            seen.hopeless |= service.verdict == Verdict::GaveUp;
        }
        let answer = GateService {
            open: seen.reasons.is_empty(),
            verdict: service.verdict.as_str().to_owned(),
            reasons: seen.reasons,
            passes: seen.passes,
            ages_secs: seen.ages_secs,
        };
        (answer, seen.hopeless)
    }

    /// Says how a run ended that nobody planned to end, if one has since the cursor, and whether that stays so: what
    /// somebody ended may be about to be replaced by a new version.
    fn ended_since(&self, service: &ServiceEntry) -> Option<(String, bool)> {
        let workload = service.workload.as_ref().filter(|workload| workload.unplanned_end_at > self.cursor)?;
        let how = workload.last_end.as_deref().unwrap_or("unknown");
        let last = workload.ledger.runs().rev().find_map(|run| run.end.as_ref());
        let is_final = last.is_none_or(|end| end.by != Who::Anonymous);
        Some((format!("it ended unplanned since the cursor: {how}"), is_final))
    }

    /// Looks at the checks and at the runs of one service or replica.
    fn look(&self, service: &ServiceEntry) -> Seen {
        let now = Stamp::now().at;
        let (mut reasons, mut hopeless) = (Vec::new(), false);
        let (mut passes, mut ages_secs) = (BTreeMap::new(), BTreeMap::new());
        for check in service.critical() {
            let count = check.pass_starts.iter().filter(|start| **start > self.cursor).count();
            let name = if service.is_replica() { check.id.to_string() } else { check.id.check.to_string() };
            if !matches!(check.health, Health::Up | Health::Degraded) {
                reasons.push(format!("{name} is {}", check.health.as_str()));
            }
            if count < self.stable {
                let why = check.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
                reasons.push(format!("{name}: {count} of {} passes in a row since the cursor{why}", self.stable));
            }
            if let Some(last) = &check.last {
                ages_secs.insert(name.clone(), now.since(last.started.at).as_secs_f64());
            }
            passes.insert(name, count);
        }
        if service.is_unchecked() {
            reasons.push("running_unchecked: no critical check looks at it".to_owned());
            hopeless = true;
        }
        let phase = service.workload.as_ref().map(|workload| &workload.phase);
        if phase.is_some_and(|phase| !matches!(phase, Phase::Running { .. })) {
            reasons.push("it does not run".to_owned());
            // It has ended for good; one that was stopped may be about to be started.
            hopeless |= matches!(phase, Some(Phase::Resting(Rest::Completed | Rest::Failed)));
        }
        Seen { reasons, hopeless, passes, ages_secs }
    }
}

/// What the gate sees of one service or replica.
struct Seen {
    /// What is missing.
    reasons: Vec<String>,
    /// Waiting cannot help.
    hopeless: bool,
    passes: BTreeMap<String, usize>,
    ages_secs: BTreeMap<String, f64>,
}

fn gone() -> GateService {
    GateService {
        open: false,
        verdict: Verdict::Gone.as_str().to_owned(),
        reasons: vec!["it was removed from the configuration".to_owned()],
        passes: BTreeMap::new(),
        ages_secs: BTreeMap::new(),
    }
}
