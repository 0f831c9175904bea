//! Keeps one process running: starts it, waits as its ledger says, gives up and tries again, and obeys commands.
//!
//! It knows one service only. Order between services, readiness and heals are its caller's, who commands it.

use kit::clock::{Moment, Stamp};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::bucket::with_jitter;
use super::cause::{Cause, Exit};
use super::launcher::{LaunchError, Launcher};
use super::ledger::{End, Ledger, Who};
use super::message::{Command, Event, Rest};
use super::process::{Ending, Held, read_ending};
use super::run_record::{Mode, RunRecord, StopReason};
use super::settings::{ProcessSettings, Restart};

/// Supervises one service; [`Supervisor::run`] is its task.
#[derive(Debug)]
pub struct Supervisor {
    service: String,
    settings: ProcessSettings,
    launcher: Launcher,
    ledger: Ledger,
    random: fn() -> f64,
    events: Sender<Event>,
}

enum State {
    Resting,
    Waiting(Instant),
    Running(Held),
}

impl Supervisor {
    /// Makes a supervisor at rest; `ledger` is what is known of earlier runs, `random` gives numbers in 0..1.
    pub const fn new(
        service: String,
        settings: ProcessSettings,
        launcher: Launcher,
        ledger: Ledger,
        random: fn() -> f64,
        events: Sender<Event>,
    ) -> Self {
        Self { service, settings, launcher, ledger, random, events }
    }

    /// Adopts or settles what an earlier monitor left, then obeys until `commands` closes, and returns the ledger.
    ///
    /// What is not running by then rests until a command starts it, so that the caller has the order in hand.
    /// While a stop waits for the service's grace, further commands wait too. When `commands` closes,
    /// it stops the service in mode `up` and leaves it running in mode `run`. Events wait for room: whoever takes
    /// them must not wait for this supervisor.
    ///
    /// # Cancel safety
    /// Not safe: close `commands` instead.
    pub async fn run(mut self, mut commands: Receiver<Command>) -> Ledger {
        let mut state = self.recover().await;
        loop {
            state = match state {
                State::Resting => match commands.recv().await {
                    Some(command) => self.obey(State::Resting, command).await,
                    None => return self.ledger,
                },
                State::Waiting(until) => tokio::select! {
                    command = commands.recv() => match command {
                        Some(command) => self.obey(State::Waiting(until), command).await,
                        None => return self.ledger,
                    },
                    () = sleep_until(until) => self.start(Who::Us).await,
                },
                State::Running(mut held) => tokio::select! {
                    command = commands.recv() => match command {
                        Some(command) => self.obey(State::Running(held), command).await,
                        None => return self.leave(held).await,
                    },
                    ending = held.wait() => self.ended(held.run(), ending).await,
                },
            }
        }
    }

    async fn obey(&mut self, state: State, command: Command) -> State {
        match (state, command) {
            (State::Running(held), Command::Start(_)) => State::Running(held),
            (State::Running(held), Command::Restart(by)) => {
                self.stop(held, by, true).await;
                self.start(by).await
            }
            (State::Running(held), Command::Heal) => {
                self.stop(held, Who::Us, false).await;
                self.wait_or_start().await
            }
            (State::Running(held), Command::Stop(by)) => {
                self.stop(held, by, true).await;
                self.rest(stopped(by)).await
            }
            (_, Command::Start(Who::Us)) => self.wait_or_start().await,
            (_, Command::Start(by) | Command::Restart(by)) => self.start(by).await,
            (_, Command::Stop(by)) => self.rest(stopped(by)).await,
            (state, Command::Heal) => {
                let (service, why) = (self.service.clone(), "it does not run any more".to_owned());
                self.tell(Event::Refused { service, command, why }).await;
                state
            }
            (state, Command::Excuse(run, excuse)) => {
                let news = self.ledger.excuse(run, excuse);
                if news && matches!(state, State::Waiting(_)) { self.wait_or_start().await } else { state }
            }
        }
    }

    async fn start(&mut self, by: Who) -> State {
        let (run, stamp) = (Uuid::now_v7(), Stamp::now());
        self.ledger.record_start(run, stamp, by);
        match self.launcher.launch(&self.service, run, &self.settings).await {
            Ok(held) => {
                self.tell_start(&held, by, false, stamp).await;
                State::Running(held)
            }
            Err(error) => {
                tracing::error!(service.id = %self.service, %run, error = &error as &dyn std::error::Error, "cannot start");
                self.ended(run, never_was(&error)).await
            }
        }
    }

    /// Records an end nobody asked us for, and decides what comes next.
    async fn ended(&mut self, run: Uuid, ending: Ending) -> State {
        let clean = ending.cause == Cause::Clean;
        self.settle(run, ending).await;
        match self.settings.restart {
            Restart::OnFailure | Restart::Never if clean => self.rest(Rest::Completed).await,
            Restart::Never => self.rest(Rest::Failed).await,
            Restart::Always | Restart::OnFailure => self.wait_or_start().await,
        }
    }

    async fn settle(&mut self, run: Uuid, ending: Ending) {
        let (by, planned) = match ending.stopped {
            // SIGTERM to the keeper is not ours: we write to its pipe.
            Some(StopReason::Signal) => (Who::Anonymous, false),
            Some(StopReason::Asked | StopReason::MonitorGone) => (Who::Us, true),
            None => (Who::Runtime, ending.cause == Cause::Clean && self.settings.restart != Restart::Always),
        };
        self.record_end(run, by, planned, ending).await;
    }

    async fn stop(&mut self, mut held: Held, by: Who, planned: bool) {
        let ending = held.stop().await;
        self.record_end(held.run(), by, planned, ending).await;
    }

    /// Waits as long as the ledger says, counted from the last end.
    async fn wait_or_start(&mut self) -> State {
        let now = Moment::now();
        let assessment = self.ledger.assess(now);
        let wait = with_jitter(assessment.next_delay.unwrap_or_default(), (self.random)());
        let since_end = self.ledger.last().and_then(|run| run.end.as_ref()).map_or(wait, |end| now.since(end.at.at));
        let delay = wait.saturating_sub(since_end);
        self.tell(Event::Waiting { service: self.service.clone(), delay, assessment }).await;
        State::Waiting(Instant::now() + delay)
    }

    /// Takes over what an earlier monitor started, or learns how it ended while nobody watched.
    async fn recover(&mut self) -> State {
        let known = self.ledger.last().filter(|run| run.end.is_none()).map(|run| run.id);
        if let Ok(Some((held, record))) = self.launcher.adopt(&self.service, &self.settings).await {
            let now = Stamp::now();
            let stamp = now.stamp_of(record.started);
            if known != Some(held.run()) {
                self.ledger.record_start(held.run(), stamp, Who::Us);
            }
            self.tell_start(&held, Who::Us, true, stamp).await;
            return State::Running(held);
        }
        if let (Some(run), Ok(runs)) = (known, self.launcher.runs(&self.service)) {
            let folder = runs.folder(run);
            // Of another boot the child's number may be somebody else's by now.
            let child = folder.read_run().ok().filter(RunRecord::is_this_boot).and_then(|record| record.child);
            let ending = read_ending(folder, child).await;
            self.settle(run, ending).await;
        }
        State::Resting
    }

    /// Ends as the mode says: a run goes on under its keeper, or is stopped.
    async fn leave(mut self, held: Held) -> Ledger {
        if self.launcher.mode() == Mode::Up {
            self.stop(held, Who::Us, true).await;
        }
        self.ledger
    }

    async fn record_end(&mut self, run: Uuid, by: Who, planned: bool, ending: Ending) {
        let (at, exit, cause) = (ending.at, ending.exit, ending.cause);
        self.ledger.record_end(run, End { at, by, exit, cause, planned, excuse: None });
        self.tell(Event::Ended { service: self.service.clone(), run, by, planned, ending }).await;
    }

    async fn rest(&self, rest: Rest) -> State {
        self.tell(Event::Resting { service: self.service.clone(), rest, why: None }).await;
        State::Resting
    }

    async fn tell_start(&self, held: &Held, by: Who, adopted: bool, stamp: Stamp) {
        let (service, run, pid) = (self.service.clone(), held.run(), held.pid());
        self.tell(Event::Started { service, run, pid, by, adopted, stamp }).await;
    }

    /// Nobody to tell means that the app is ending; supervision goes on until it is told so.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// Returns how a service rests that was stopped: what we stop by our own decision is held.
fn stopped(by: Who) -> Rest {
    if by == Who::Us { Rest::Quarantined } else { Rest::Stopped }
}

/// Returns the end of a run for which there was no keeper.
fn never_was(error: &LaunchError) -> Ending {
    let exit: Exit = error.exit();
    let cause = Cause::of(exit, false, "");
    Ending { exit, cause, at: Stamp::now(), stopped: None, last_lines: Vec::new(), record: None }
}
