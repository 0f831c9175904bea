//! Starts workloads in the order of their needs, keeps their supervisors, and stops them in reverse. What others run is
//! only watched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lookout::{Lookouts, known_past};
use super::plan::{Plan, ServicePlan};
use super::restore::Memory;
use crate::judge::{Board, Verdict};
use crate::supervise::launcher::Launcher;
use crate::supervise::settings::Restart;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::{Command, Event, Ledger, ProcessSettings, Who, Workload};

/// How long a hard need that we do not run ourselves may hold up a start: it may never come up, and a service that
/// cannot start says more than one that was never tried.
const FOREIGN_NEED_PATIENCE: Duration = Duration::from_secs(15);
/// Beyond its own stop grace, for its keeper's last resort.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// All workloads.
pub(super) struct Pilot {
    launcher: Launcher,
    events: mpsc::Sender<Event>,
    crews: HashMap<Arc<str>, Crew>,
    lookouts: Lookouts,
    /// Workloads that a reload removed and that are being stopped.
    leaving: Vec<JoinHandle<Ledger>>,
    /// When the latest workload came: what it needs has its time from then on.
    begun: Moment,
}

struct Crew {
    settings: ProcessSettings,
    hard_needs: Vec<Arc<str>>,
    replica_of: Option<Arc<str>>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<Ledger>,
    started: bool,
    start_as: Who,
}

/// What was there before a crew.
enum Before {
    /// What is known of earlier runs.
    Ledger(Ledger),
    /// A crew with other settings, to be stopped first.
    Crew(Crew),
}

impl Pilot {
    pub(super) fn new(launcher: Launcher, events: mpsc::Sender<Event>) -> Self {
        let lookouts = Lookouts::new(events.clone());
        Self { launcher, events, crews: HashMap::new(), lookouts, leaving: Vec::new(), begun: Moment::now() }
    }

    /// Gives every workload of the plan its supervisor; those that are gone are stopped, those that changed are stopped
    /// and then started as the plan now says. Nothing here waits: each change goes on in its workload's own task.
    pub(super) fn configure(&mut self, plan: &Plan, memory: &Memory, board: &mut Board, now: Stamp) {
        let renamed: Vec<Arc<str>> = plan.renames().into_iter().map(|(old, _)| old).collect();
        let is_gone = |name: &&Arc<str>| settings_of(plan, name).is_none() && !renamed.contains(name);
        let gone: Vec<Arc<str>> = self.crews.keys().filter(is_gone).cloned().collect();
        for crew in gone.iter().filter_map(|name| self.crews.remove(name)) {
            self.leaving.push(tokio::spawn(dismiss(crew)));
        }
        self.leaving.retain(|task| !task.is_finished());
        for service in &plan.services {
            let Some(settings) = service.workload.as_ref().and_then(Workload::as_run) else { continue };
            // A renamed service's runs are kept under its name: it is stopped as the old one and started as the new one.
            let known_as =
                service.was.as_ref().filter(|was| plan.service(was).is_none() && self.crews.contains_key(*was));
            match self.crews.remove(known_as.unwrap_or(&service.name)) {
                Some(mut crew) if known_as.is_none() && crew.settings == *settings => {
                    crew.hard_needs.clone_from(&service.needs.hard);
                    self.crews.insert(service.name.clone(), crew);
                }
                Some(old) => {
                    self.begun = now.at;
                    let crew = self.crew(service, settings, Before::Crew(old));
                    self.crews.insert(service.name.clone(), crew);
                }
                None => {
                    self.begun = now.at;
                    let past = known_past(board, memory, &service.name, now);
                    let ledger = past.ledger.clone();
                    board.restore_workload(&service.name, past);
                    let crew = self.crew(service, settings, Before::Ledger(ledger));
                    self.crews.insert(service.name.clone(), crew);
                }
            }
        }
        self.lookouts.configure(plan, memory, board, now);
    }

    fn crew(&self, service: &ServicePlan, settings: &ProcessSettings, before: Before) -> Crew {
        let (commands, obeyed) = mpsc::channel(8);
        let (name, launcher, events) = (service.name.to_string(), self.launcher.clone(), self.events.clone());
        // A changed configuration was announced; a first start waits as long as the ledger says.
        let start_as = if matches!(before, Before::Crew(_)) { Who::Announced } else { Who::Us };
        let own = settings.clone();
        let task = tokio::spawn(async move {
            let ledger = match before {
                Before::Ledger(ledger) => ledger,
                Before::Crew(old) => dismiss(old).await,
            };
            Supervisor::new(name, own, launcher, ledger, rand::random, events).run(obeyed).await
        });
        let (hard_needs, replica_of) =
            (service.needs.hard.clone(), service.replica_of.as_ref().map(|one| one.whole.clone()));
        Crew { settings: settings.clone(), hard_needs, replica_of, commands, task, started: false, start_as }
    }

    /// Starts every workload whose hard needs are there, or have had their time.
    pub(super) fn steer(&mut self, board: &Board, now: Moment) {
        let waited = now.since(self.begun);
        let one_shots: Vec<Arc<str>> = self
            .crews
            .iter()
            .filter(|(_, crew)| crew.settings.restart != Restart::Always)
            .map(|(name, _)| name.clone())
            .collect();
        for (name, crew) in self.crews.iter_mut().filter(|(_, crew)| !crew.started) {
            let there = |need: &Arc<str>| {
                if one_shots.contains(need) { has_completed(board, need) } else { is_there(board, need, waited, now) }
            };
            if crew.hard_needs.iter().all(there) {
                tracing::debug!(service.id = &**name, "everything it needs is there");
                // The channel is empty: nothing was asked of it yet.
                crew.started = crew.commands.try_send(Command::Start(crew.start_as)).is_ok();
            }
        }
    }

    /// Returns the old and new names of workloads that are watched by another name from now on.
    pub(super) fn moved(&self, plan: &Plan) -> Vec<(Arc<str>, Arc<str>)> {
        self.lookouts.moved(plan)
    }

    /// Returns whether it runs anything itself.
    pub(super) fn runs_any(&self) -> bool {
        !self.crews.is_empty()
    }

    /// Hands an order to whoever runs a service; returns whether it was taken.
    pub(super) fn order(&self, service: &Arc<str>, command: Command) -> bool {
        match self.crews.get(service) {
            Some(crew) => crew.commands.try_send(command).is_ok(),
            // The board's ledger is the one that counts; a runtime keeps no budget.
            None => matches!(command, Command::Excuse(..)) || self.lookouts.order(service, command),
        }
    }

    /// Stops everything, dependants before what they need. Each stop has its own deadline.
    pub(super) async fn drain(&mut self) {
        self.lookouts.end();
        let mut left: HashMap<Arc<str>, Crew> = std::mem::take(&mut self.crews);
        while !left.is_empty() {
            let needed: Vec<Arc<str>> = left.values().flat_map(|crew| crew.hard_needs.iter().cloned()).collect();
            let is_needed = |(name, crew): &(&Arc<str>, &Crew)| {
                needed.contains(name) || crew.replica_of.as_ref().is_some_and(|whole| needed.contains(whole))
            };
            let mut round: Vec<Arc<str>> =
                left.iter().filter(|crew| !is_needed(crew)).map(|(name, _)| name.clone()).collect();
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
        for task in std::mem::take(&mut self.leaving) {
            let _late = tokio::time::timeout(STOP_MARGIN, task).await;
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

/// Stops a workload for good and returns its ledger.
async fn dismiss(crew: Crew) -> Ledger {
    let _supervisor_is_gone = crew.commands.send(Command::Stop(Who::Announced)).await;
    drop(crew.commands);
    crew.task.await.unwrap_or_default()
}

/// True if a one-shot did its work: what needs it starts after its end, not beside it.
fn has_completed(board: &Board, need: &str) -> bool {
    board.service(need).is_none_or(|service| service.verdict == Verdict::Completed)
}

/// True if a need works, or has had the time that its own start may take.
fn is_there(board: &Board, need: &str, waited: Duration, now: Moment) -> bool {
    let Some(service) = board.service(need) else { return true };
    if let Some(replicas) = &service.spec.replicas {
        let there = replicas.names.iter().filter(|name| is_there(board, name, waited, now)).count();
        return there >= replicas.quorum;
    }
    let Some(workload) = &service.workload else {
        return matches!(service.verdict, Verdict::Up | Verdict::Degraded) || waited > FOREIGN_NEED_PATIENCE;
    };
    if service.verdict == Verdict::Completed {
        return true;
    }
    let grace = service.spec.start_grace.unwrap_or_default();
    let since_start = match &workload.phase {
        crate::judge::Phase::Running { since, .. } => now.since(since.at),
        _ => Duration::ZERO,
    };
    service.is_ready() || since_start > grace || waited > grace + FOREIGN_NEED_PATIENCE
}

fn settings_of<'a>(plan: &'a Plan, name: &str) -> Option<&'a ProcessSettings> {
    plan.service(name)?.workload.as_ref()?.as_run()
}

#[cfg(test)]
mod tests {
    use kit::config::Environment;

    use super::*;
    use crate::config::Config;
    use crate::probe::Kinds;
    use crate::supervise::Mode;

    #[tokio::test]
    async fn only_a_new_workload_gives_what_it_needs_more_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yml");
        std::fs::write(&file, "services: { web: { workload: { process: { command: [web] } } } }").unwrap();
        let plan = Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard()).unwrap();
        let (events, _happened) = mpsc::channel(16);
        let mut pilot = Pilot::new(Launcher::new(folder.path().to_owned(), Mode::Run), events);
        let (memory, mut board, began) = (Memory::default(), Board::default(), Stamp::now());
        pilot.configure(&plan, &memory, &mut board, began);
        assert_eq!(pilot.begun, began.at);
        let later = Stamp { at: began.at + Duration::from_secs(10), wall: began.wall };
        pilot.configure(&plan, &memory, &mut board, later);
        assert_eq!(pilot.begun, began.at, "something was found elsewhere");
        pilot.drain().await;
    }
}
