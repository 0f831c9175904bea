//! The daemon's loop: one task that owns the schedule and is the only writer of the board.
//!
//! It never waits for a probe, a store, a reader or a supervisor; what follows from news is handed on at once.

mod configure;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alarm::Alarm;
use super::channels::ChannelWorkers;
use super::embedding::Observer;
use super::healer;
use super::inquirer::{self, Checks};
use super::loopback;
use super::news::{follow, happened, point, stopped};
use super::pilot::Pilot;
use super::plan::{CheckPlan, Plan};
use super::program_digest::program_digest;
use super::restore::Memory;
use super::uplink::Uplink;
use crate::alert::{conditions, doctor_condition};
use crate::export::{Ask, Shared};
use crate::heal::{HealAction, Inquiry};
use crate::judge::{Board, Effects, ServiceEntry};
use crate::probe::{CheckId, Observation, Outcome, Why, observe};
use crate::record::{HistoryNews, Mark, StateBatch};
use crate::schedule::Schedule;
use crate::supervise::{Command, Event};

/// The loop wakes at least this often: gaps are seen, graces end, ages grow.
const TICK: Duration = Duration::from_secs(1);
/// Verdict time is added up this often.
const TIME_BOOKED_EVERY: Duration = Duration::from_secs(5);
/// One sampled trace a minute and check, beside failing ones and the first after a change (DESIGN section 9).
const SAMPLED_EVERY: Duration = Duration::from_secs(60);

/// What comes back from work that the loop handed out.
#[expect(clippy::large_enum_variant, reason = "nearly every message is an observation")]
pub(super) enum News {
    /// A finished probe, the sequence number it was started with, and the generation of its question.
    Observed(Observation, u64, u64),
    /// The digest of the program that a run runs.
    Digest(Arc<str>, Uuid, String),
    /// A heal that is written down.
    Heal(Arc<str>, HealAction),
    /// What was found by another way.
    Elsewhere(Inquiry, Vec<Observation>),
}

/// The loop's own state.
pub(super) struct Loop {
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
    schedule: Schedule,
    checks: Checks,
    sampled: HashMap<CheckId, Moment>,
    /// Checks that have passed since this monitor started.
    answered: HashSet<CheckId>,
    uplink: Arc<Uplink>,
    memory: Memory,
    pub(super) pilot: Pilot,
    workers: ChannelWorkers,
    probes: JoinSet<()>,
    finished: mpsc::Sender<News>,
    booked: Stamp,
    ticked: Moment,
    max_running: usize,
    /// What this turn has to write down.
    batch: StateBatch,
    /// Where everything runs that is not a probe or this loop.
    elsewhere: Handle,
    /// Whether something happened that incidents may follow from.
    must_look: bool,
}

/// What the loop listens to.
pub(super) struct Inbox {
    /// Finished probes.
    pub(super) finished: mpsc::Receiver<News>,
    /// Workload events.
    pub(super) events: mpsc::Receiver<Event>,
    /// Wishes of readers.
    pub(super) asked: mpsc::Receiver<Ask>,
    /// Checked new configurations.
    pub(super) plans: mpsc::Receiver<Plan>,
}

impl Loop {
    /// Returns one that has nothing to watch yet. What is no probe will run where this is called.
    pub(super) fn new(
        shared: Arc<Shared>,
        observer: Arc<dyn Observer>,
        memory: Memory,
        pilot: Pilot,
        workers: ChannelWorkers,
        finished: mpsc::Sender<News>,
        max_running: usize,
    ) -> Self {
        // It has as much time for its first turn as for any other.
        shared.figures.last_turn_ms.store(Moment::now().as_ms(), Relaxed);
        Self {
            shared,
            observer,
            schedule: Schedule::default(),
            checks: HashMap::new(),
            sampled: HashMap::new(),
            answered: HashSet::new(),
            uplink: Arc::default(),
            memory,
            pilot,
            workers,
            probes: JoinSet::new(),
            finished,
            booked: Stamp::now(),
            ticked: Moment::default(),
            max_running,
            batch: StateBatch::default(),
            elsewhere: Handle::current(),
            must_look: false,
        }
    }

    /// Turns until `stop`, then drains the workloads in reverse order while it goes on listening to them.
    pub(super) async fn run(mut self, mut inbox: Inbox, stop: CancellationToken) {
        let mut alarm = Alarm::new();
        loop {
            alarm.set(self.next_turn());
            tokio::select! {
                () = stop.cancelled() => break,
                () = alarm.rings() => {}
                Some(news) = inbox.finished.recv() => self.heard(news),
                Some(event) = inbox.events.recv() => self.happened(&event),
                Some(ask) = inbox.asked.recv() => self.asked(ask),
                Some(plan) = inbox.plans.recv() => self.configure(&plan),
            }
            // Everything that is there is taken before the next turn: a flood must not starve the schedule's clock.
            while let Ok(news) = inbox.finished.try_recv() {
                self.heard(news);
            }
            self.turn();
        }
        self.probes.abort_all();
        self.workers.stop().await;
        let drain = self.pilot.drain();
        tokio::pin!(drain);
        loop {
            tokio::select! {
                () = &mut drain => break,
                Some(event) = inbox.events.recv() => stopped(&self.shared, &event),
            }
        }
        while let Ok(event) = inbox.events.try_recv() {
            stopped(&self.shared, &event);
        }
    }

    fn next_turn(&self) -> Moment {
        let tick = Moment::now() + TICK;
        // While every place is taken, a finished probe wakes the loop.
        let due = self.schedule.next_due().filter(|_| self.probes.len() < self.max_running);
        due.map_or(tick, |due| due.min(tick))
    }

    /// Starts what is due and lets time pass.
    fn turn(&mut self) {
        while self.probes.try_join_next().is_some() {}
        let now = Stamp::now();
        let room = self.max_running.saturating_sub(self.probes.len());
        let due = self.schedule.poll(now.at, room, rand::random);
        if let Some(gap) = due.gap {
            let slept = gap.to.since(gap.from);
            tracing::warn!(
                gap_ms = slept.as_millis(),
                "nobody looked for a while: the machine slept or the monitor was stopped"
            );
            self.shared.figures.gaps.fetch_add(1, Relaxed);
            self.shared.board().gap(gap);
            self.booked = now;
        }
        if !due.checks.is_empty() {
            self.shared.metrics.late(due.lag);
        }
        for (check, why) in due.checks {
            self.start(&check, why, now);
        }
        let figures = &self.shared.figures;
        figures.overruns.store(self.schedule.overruns(), Relaxed);
        figures.running.store(self.probes.len() as u64, Relaxed);
        figures.last_turn_ms.store(now.at.as_ms(), Relaxed);
        if now.at.since(self.ticked) >= TICK {
            self.ticked = now.at;
            let effects = self.shared.board().tick(now);
            // Time alone opens and ends incidents too: holds, graces, windows, reminders.
            self.follow(Effects { time_passed: true, ..effects }, now);
            let healed = healer::look(&self.shared, &self.checks, &self.finished, now, &mut self.batch);
            self.follow(healed, now);
            self.book(now);
            self.pilot.steer(&self.shared.board(), now.at);
        }
        self.write_down(now);
    }

    /// Writes down what this turn brought. However much that was, incidents are looked at once, and all of it is one
    /// transaction: what changed, the incident, and whom to tell (DESIGN section 8).
    fn write_down(&mut self, now: Stamp) {
        let batch = std::mem::take(&mut self.batch);
        if !std::mem::take(&mut self.must_look) {
            self.shared.stores.state.put(batch);
            return;
        }
        let settings = self.shared.alerts.settings();
        let told = self.shared.alerts.externals().told(&settings.services, now);
        let catalogue = self.shared.catalogue.load();
        let mut conditions = conditions(&self.shared.board(), &settings.services, &catalogue.discoveries, &told, now);
        conditions.extend(doctor_condition(&self.shared.examined.load(), &self.shared.doctor.load(), now));
        let is_known = |service: &str| settings.services.contains_key(service);
        for became in self.shared.alerts.follow(conditions, &is_known, now, batch) {
            let _nobody_listens = self.shared.changes.send(became.into());
        }
    }

    fn start(&mut self, id: &CheckId, why: Why, now: Stamp) {
        let Some(plan) = self.checks.get(id).cloned() else { return };
        let (started, is_troubled, may_be_down) = {
            let mut board = self.shared.board();
            let is_known = board.check(id).is_some_and(|check| check.state.established.is_some());
            let is_ours = self.pilot.runs_any() || board.service(&id.service).is_some_and(runs_on_this_host);
            let may_be_down = is_known || is_ours || self.answered.contains(id);
            let troubled = board.check(id).is_none_or(|check| check.state.is_suspect() || check.reason().is_some());
            (board.next_sequence(), troubled, may_be_down)
        };
        let last = self.sampled.get(id).copied();
        let is_sampled = is_troubled || last.is_none_or(|last| now.at.since(last) >= SAMPLED_EVERY);
        if is_sampled {
            self.sampled.insert(id.clone(), now.at);
        }
        let (vantage, uplink, finished) = (self.shared.vantage.clone(), self.uplink.clone(), self.finished.clone());
        self.probes.spawn(async move {
            let mut observation = observe(vantage, &plan.question, why, is_sampled).await;
            uplink.excuse(&mut observation, plan.question.probe.target().scope).await;
            loopback::excuse(&mut observation, may_be_down);
            let _loop_has_ended = finished.send(News::Observed(observation, started, plan.generation)).await;
        });
    }

    fn heard(&mut self, news: News) {
        match news {
            News::Observed(observation, started, generation) => self.observed(observation, started, generation),
            News::Heal(service, action) => {
                if healer::is_still_due(&self.shared, &service, action) {
                    self.order(&service, action.command());
                }
            }
            News::Elsewhere(inquiry, found) => {
                inquirer::answered(&self.shared, &inquiry, &found, Moment::now());
            }
            News::Digest(service, run, digest) => {
                let effects = self.shared.board().learn_digest(&service, run, digest);
                self.follow(effects, Stamp::now());
            }
        }
    }

    fn observed(&mut self, observation: Observation, started: u64, generation: u64) {
        let now = Stamp::now();
        let observation = Arc::new(observation);
        let id = observation.check.clone();
        // A reload removed it, or asks something else now, while its probe ran.
        let kind = match self.checks.get(&id) {
            Some(check) if check.generation == generation => check.kind,
            Some(_) => return self.schedule.finished(&id, now.at, true),
            None => return,
        };
        if observation.outcome == Outcome::Pass {
            self.answered.insert(id.clone());
        }
        self.shared.metrics.observe(&observation);
        self.observer.observed(kind, &observation);
        let is_starting = self.shared.board().service(&id.service).is_some_and(|service| service.is_starting(now.at));
        let lasting = point(&observation, is_starting);
        if lasting.mark != Mark::Unknown {
            self.count(&observation);
        }
        self.shared.stores.history.take(HistoryNews::Point(id.clone(), lasting));
        tracing::debug!(
            check.id = %id, outcome = ?observation.outcome, duration_ms = observation.took.as_secs_f64() * 1000.0, "observed"
        );
        let (effects, suspect) = {
            let mut board = self.shared.board();
            let established = |board: &Board| board.check(&id).map(|check| check.state.established);
            let before = established(&board);
            let effects = board.observe(observation, started, now);
            if established(&board) != before {
                // What follows a change is worth a trace.
                self.sampled.remove(&id);
            }
            let is_starting = board.service(&id.service).is_some_and(|service| service.is_starting(now.at));
            let suspect = is_starting || board.check(&id).is_some_and(|check| check.state.is_suspect());
            (effects, suspect)
        };
        self.schedule.finished(&id, now.at, suspect);
        self.follow(effects, now);
        self.pilot.steer(&self.shared.board(), now.at);
    }

    /// Counts it against the service's objectives: critical checks only, and nothing that could not be asked. What fails
    /// while a service starts is not counted: nobody has it yet, and of that time neither the page nor history knows.
    fn count(&self, observation: &Observation) {
        let is_critical = |check: &Arc<CheckPlan>| check.policy.severity == crate::judge::Severity::Critical;
        if !self.checks.get(&observation.check).is_some_and(is_critical) {
            return;
        }
        let passed = match observation.outcome {
            Outcome::Pass => true,
            Outcome::Fail(_) => false,
            Outcome::Unknown(_) => return,
        };
        let Some((whole, counts_as)) = self.as_whole(&observation.check.service, passed) else { return };
        let took = passed.then_some(observation.took);
        self.shared.alerts.observe(&whole, observation.started.wall, counts_as, took);
    }

    /// Returns whose objectives a probe counts for, and as what: what a replica fails is a fail of its service only while
    /// that does not work. One that somebody stopped counts for nothing.
    fn as_whole(&self, asked: &Arc<str>, passed: bool) -> Option<(Arc<str>, bool)> {
        let board = self.shared.board();
        let Some(replica) = board.service(asked).filter(|service| service.is_replica()) else {
            return Some((asked.clone(), passed));
        };
        if replica.verdict.is_done() {
            return None;
        }
        let whole = board.service(replica.whole())?;
        Some((whole.spec.name.clone(), passed || !whole.verdict.is_bad()))
    }

    fn happened(&mut self, event: &Event) {
        if let Event::Started { service, run, pid: Some(pid), .. } = event {
            self.digest(service.as_str().into(), *run, *pid);
        }
        let stamp = Stamp::now();
        healer::happened(&self.shared, event, stamp, &mut self.batch);
        let mut effects = happened(&self.shared, event, stamp);
        let force = std::mem::take(&mut effects.force);
        self.follow(effects, stamp);
        let now = stamp.at;
        for check in force {
            // After an exit this decides at once; after a start a fail makes the check suspect, so it is asked again soon.
            self.schedule.force(&check, now);
        }
        self.pilot.steer(&self.shared.board(), now);
    }

    fn digest(&mut self, service: Arc<str>, run: Uuid, pid: i32) {
        let finished = self.finished.clone();
        tokio::spawn(async move {
            if let Some(digest) = program_digest(pid).await {
                let _loop_has_ended = finished.send(News::Digest(service, run, digest)).await;
            }
        });
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Probe(checks) => checks.iter().for_each(|check| self.schedule.force(check, Moment::now())),
            Ask::Order(service, command) => self.order(&service, command),
        }
    }

    fn order(&mut self, service: &Arc<str>, command: Command) {
        if !self.pilot.order(service, command) {
            let why = "whoever runs it takes no orders now".to_owned();
            self.happened(&Event::Refused { service: service.to_string(), command, why });
        }
    }

    fn follow(&mut self, effects: Effects, now: Stamp) {
        for (service, run, excuse) in &effects.excused {
            tracing::info!(service.id = &**service, ?excuse, "an exit spends no budget");
            self.pilot.order(service, Command::Excuse(*run, *excuse));
        }
        for check in &effects.force {
            self.schedule.force(check, now.at);
        }
        self.must_look |= effects.time_passed
            || !(effects.changed_checks.is_empty() && effects.verdicts.is_empty() && effects.healths.is_empty());
        follow(&self.shared, effects, now, &mut self.batch);
    }

    /// Adds the time since the last call to every service's present verdict.
    fn book(&mut self, now: Stamp) {
        let passed = now.at.since(self.booked.at);
        if passed < TIME_BOOKED_EVERY {
            return;
        }
        self.booked = now;
        let (to_ms, ms) = (now.wall.as_millisecond(), i64::try_from(passed.as_millis()).unwrap_or(0));
        for service in self.shared.board().services() {
            let (service, verdict) = (service.spec.name.clone(), service.verdict.as_str());
            self.shared.stores.history.take(HistoryNews::Verdict { service, verdict, to_ms, ms });
        }
    }
}

/// A unit of systemd runs where systemd does, which may be our own container.
fn runs_on_this_host(service: &ServiceEntry) -> bool {
    service.workload.as_ref().is_some_and(|workload| workload.described.unit.is_some())
}
