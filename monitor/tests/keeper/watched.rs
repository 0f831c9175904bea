//! A supervisor under test with real keepers, and the events it tells.

use std::path::Path;
use std::time::Duration;

use monitor::supervise::bucket::Policy;
use monitor::supervise::launcher::Launcher;
use monitor::supervise::ledger::{Ledger, Who};
use monitor::supervise::message::{Command, Event, Rest};
use monitor::supervise::process::Ending;
use monitor::supervise::run_files::RunFolder;
use monitor::supervise::run_record::Mode;
use monitor::supervise::settings::ProcessSettings;
use monitor::supervise::supervisor::Supervisor;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::kept::MONITOR;

const LIMIT: Duration = Duration::from_secs(30);

/// The real rules with a thousandth of the real waits.
pub(crate) fn quick() -> Policy {
    let milli = |length: Duration| length / 1000;
    let real = Policy::default();
    Policy {
        base: milli(real.base),
        cap: milli(real.cap),
        hopeless_delay: milli(real.hopeless_delay),
        first_try: milli(real.first_try),
        try_cap: milli(real.try_cap),
        ..real
    }
}

pub(crate) struct Watched {
    pub(crate) commands: Sender<Command>,
    events: Receiver<Event>,
    task: JoinHandle<Ledger>,
}

/// A data folder; a failed test leaves no run of mode `run` behind.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns the folder of a run of the service.
    pub(crate) fn folder(&self, run: Uuid) -> RunFolder {
        Launcher::new(self.0.path().to_owned(), Mode::Up).runs("web").unwrap().folder(run)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let runs = Launcher::new(self.0.path().to_owned(), Mode::Run).runs("web").unwrap();
        for record in runs.list().iter().filter_map(|(_, folder)| folder.read_run().ok()) {
            if record.is_held() {
                let _ = kill(record.keeper.as_pid(), Signal::SIGTERM);
            }
        }
    }
}

pub(crate) fn settings(script: &str) -> ProcessSettings {
    ProcessSettings { args: vec!["-c".into(), script.into()], ..ProcessSettings::new("sh") }
}

pub(crate) fn watch(data: &Path, mode: Mode, settings: ProcessSettings, ledger: Ledger) -> Watched {
    let launcher = Launcher::new(data.to_owned(), mode).with_program(MONITOR.into());
    watch_with(launcher, settings, ledger)
}

pub(crate) fn watch_with(launcher: Launcher, settings: ProcessSettings, ledger: Ledger) -> Watched {
    let (commands, inbox) = channel(8);
    let (outbox, events) = channel(8);
    let supervisor = Supervisor::new("web".into(), settings, launcher, ledger, || 0.5, outbox);
    Watched { commands, events, task: tokio::spawn(supervisor.run(inbox)) }
}

pub(crate) async fn begin(data: &Place, settings: ProcessSettings) -> Watched {
    begin_with(data, Path::new(MONITOR), settings).await
}

/// Begins with another program as keeper.
pub(crate) async fn begin_with(data: &Place, keeper: &Path, settings: ProcessSettings) -> Watched {
    let launcher = Launcher::new(data.0.path().to_owned(), Mode::Up).with_program(keeper.to_owned());
    let watched = watch_with(launcher, settings, Ledger::new(quick()));
    watched.tell(Command::Start(Who::Us)).await;
    watched
}

impl Watched {
    pub(crate) async fn tell(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    /// Returns the next event that is not about waiting.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match self.any().await {
                Event::Waiting { .. } => {}
                event => return event,
            }
        }
    }

    pub(crate) async fn any(&mut self) -> Event {
        timeout(LIMIT, self.events.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn started(&mut self) -> (Uuid, i32, bool) {
        match self.next().await {
            Event::Started { run, pid, adopted, .. } => (run, pid.unwrap(), adopted),
            event => panic!("not a start: {event:?}"),
        }
    }

    pub(crate) async fn ended(&mut self) -> (Who, bool, Ending) {
        match self.next().await {
            Event::Ended { by, planned, ending, .. } => (by, planned, ending),
            event => panic!("not an end: {event:?}"),
        }
    }

    pub(crate) async fn rests(&mut self) -> Rest {
        match self.next().await {
            Event::Resting { rest, .. } => rest,
            event => panic!("no rest: {event:?}"),
        }
    }

    /// Closes the commands, as the app does when it ends, and returns the ledger.
    pub(crate) async fn close(self) -> Ledger {
        drop(self.commands);
        let mut events = self.events;
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    monitor::supervise::process_table::ProcessId::of(pid).is_some()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}
