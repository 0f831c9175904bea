//! Starts workloads in the order of their needs, keeps their supervisors, and stops them in reverse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::plan::{Plan, ServicePlan};
use super::restore::Memory;
use crate::judge::{Board, Verdict, WorkloadState};
use crate::supervise::launcher::Launcher;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::{Command, Event, Ledger, ProcessSettings, Who};

/// How long a hard need that we do not run ourselves may hold up a start: it may never come up, and a service that
/// cannot start says more than one that was never tried.
const FOREIGN_NEED_PATIENCE: Duration = Duration::from_secs(15);
/// Beyond its own stop grace, for its keeper's last resort.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// Last lines of a run that are read back: as many as an ending carries.
const LINES_KEPT: usize = 50;
const LINES_KEPT_BYTES: u64 = 16 * 1024;

/// All workloads.
pub(super) struct Pilot {
    launcher: Launcher,
    events: mpsc::Sender<Event>,
    crews: HashMap<Arc<str>, Crew>,
    begun: Moment,
}

struct Crew {
    settings: ProcessSettings,
    hard_needs: Vec<Arc<str>>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<Ledger>,
    started: bool,
}

impl Pilot {
    pub(super) fn new(launcher: Launcher, events: mpsc::Sender<Event>) -> Self {
        Self { launcher, events, crews: HashMap::new(), begun: Moment::now() }
    }

    /// Gives every workload of the plan its supervisor; ends those that are gone, restarts those that changed.
    pub(super) fn configure(&mut self, plan: &Plan, memory: &Memory, board: &mut Board, now: Stamp) {
        let gone: Vec<Arc<str>> = self
            .crews
            .iter()
            .filter(|(name, crew)| {
                plan.service(name).and_then(|service| service.workload.as_ref()) != Some(&crew.settings)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            // Its supervisor stops it when its commands end; the new one starts it, as announced by the configuration.
            self.crews.remove(&name);
        }
        self.begun = now.at;
        for service in &plan.services {
            let Some(settings) = &service.workload else { continue };
            if self.crews.contains_key(&service.name) {
                continue;
            }
            let known = board.service(&service.name).and_then(|service| service.workload.as_ref());
            let ledger = match known {
                Some(known) if known.ledger.last().is_some() => known.ledger.clone(),
                _ => {
                    let ledger = memory.ledger(&service.name, &now);
                    board.restore_workload(
                        &service.name,
                        WorkloadState::restored(ledger.clone(), self.last_lines(&service.name, &ledger)),
                    );
                    ledger
                }
            };
            self.crews.insert(service.name.clone(), self.crew(service, settings, ledger));
        }
    }

    /// Reads the last lines of the newest run that ended; none if they are gone.
    fn last_lines(&self, service: &str, ledger: &Ledger) -> Vec<String> {
        let ended = ledger.runs().rev().find(|run| run.end.is_some());
        let folder = ended.and_then(|run| Some(self.launcher.runs(service).ok()?.folder(run.id)));
        folder.and_then(|folder| folder.last_lines(LINES_KEPT, LINES_KEPT_BYTES).ok()).unwrap_or_default()
    }

    fn crew(&self, service: &ServicePlan, settings: &ProcessSettings, ledger: Ledger) -> Crew {
        let (commands, obeyed) = mpsc::channel(8);
        let (name, launcher, events) = (service.name.to_string(), self.launcher.clone(), self.events.clone());
        let supervisor = Supervisor::new(name, settings.clone(), launcher, ledger, rand::random, events);
        let task = tokio::spawn(supervisor.run(obeyed));
        Crew { settings: settings.clone(), hard_needs: service.needs.hard.clone(), commands, task, started: false }
    }

    /// Starts every workload whose hard needs are there, or have had their time.
    pub(super) fn steer(&mut self, board: &Board, now: Moment) {
        let waited = now.since(self.begun);
        for (name, crew) in self.crews.iter_mut().filter(|(_, crew)| !crew.started) {
            if crew.hard_needs.iter().all(|need| is_there(board, need, waited, now)) {
                tracing::debug!(service.id = &**name, "everything it needs is there");
                // The channel is empty: nothing was asked of it yet.
                crew.started = crew.commands.try_send(Command::Start(Who::Us)).is_ok();
            }
        }
    }

    /// Stops everything, dependants before what they need. Each stop has its own deadline.
    pub(super) async fn drain(&mut self) {
        let mut left: HashMap<Arc<str>, Crew> = std::mem::take(&mut self.crews);
        while !left.is_empty() {
            let needed: Vec<Arc<str>> = left.values().flat_map(|crew| crew.hard_needs.iter().cloned()).collect();
            let mut round: Vec<Arc<str>> = left.keys().filter(|name| !needed.contains(name)).cloned().collect();
            if round.is_empty() {
                // Needs have no cycles; should they ever, everything left goes together.
                round = left.keys().cloned().collect();
            }
            let stops = round
                .iter()
                .filter_map(|name| Some((name.clone(), left.remove(name)?)))
                .map(|(name, crew)| stop(name, crew));
            futures_util::future::join_all(stops).await;
        }
    }
}

async fn stop(name: Arc<str>, crew: Crew) {
    let deadline = crew.settings.stop_grace + STOP_MARGIN;
    drop(crew.commands);
    if tokio::time::timeout(deadline, crew.task).await.is_err() {
        tracing::error!(service.id = &*name, "did not stop in time");
    }
}

/// True if a need works, or has had the time that its own start may take.
fn is_there(board: &Board, need: &str, waited: Duration, now: Moment) -> bool {
    let Some(service) = board.service(need) else { return true };
    let Some(workload) = &service.workload else {
        return matches!(service.verdict, Verdict::Up | Verdict::Degraded) || waited > FOREIGN_NEED_PATIENCE;
    };
    let grace = service.spec.start_grace.unwrap_or_default();
    let since_start = match &workload.phase {
        crate::judge::Phase::Running { since, .. } => now.since(since.at),
        _ => Duration::ZERO,
    };
    service.is_ready() || since_start > grace || waited > grace + FOREIGN_NEED_PATIENCE
}
