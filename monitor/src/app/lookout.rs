//! Watches workloads that runtimes of their own run: one task for each runtime, whatever the number of its workloads.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kit::clock::Stamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::plan::Plan;
use super::restore::Memory;
use crate::judge::{Board, WorkloadState};
use crate::supervise::workload::{Runtime, Subject, Watched, Workload};
use crate::supervise::{Event, Ledger};

/// All workloads that are watched.
pub(super) struct Lookouts {
    events: mpsc::Sender<Event>,
    /// One for each runtime's address.
    lookouts: HashMap<String, Lookout>,
    /// What each service's workload was in the last configuration.
    watched: HashMap<Arc<str>, Watched>,
}

struct Lookout {
    subjects: watch::Sender<Vec<Subject>>,
    task: JoinHandle<()>,
}

impl Lookouts {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, lookouts: HashMap::new(), watched: HashMap::new() }
    }

    /// Watches what the plan says from now on. Nothing here waits.
    pub(super) fn configure(&mut self, plan: &Plan, memory: &Memory, board: &mut Board, now: Stamp) {
        let mut wanted: HashMap<String, (Arc<dyn Runtime>, Vec<Subject>)> = HashMap::new();
        let before = std::mem::take(&mut self.watched);
        for service in &plan.services {
            let Some(watched) = service.workload.as_ref().and_then(Workload::as_watch) else { continue };
            let ledger = known_ledger(board, memory, &service.name, now);
            if !before.get(&service.name).is_some_and(|before| before.is_found_like(watched)) {
                board.restore_workload(&service.name, WorkloadState::restored(ledger.clone(), Vec::new()));
            }
            let subject = Subject { service: service.name.clone(), sought: watched.sought.clone(), ledger };
            let address = watched.runtime.address().to_owned();
            wanted.entry(address).or_insert_with(|| (watched.runtime.clone(), Vec::new())).1.push(subject);
            self.watched.insert(service.name.clone(), watched.clone());
        }
        // Whose list is dropped ends by itself.
        self.lookouts.retain(|address, _| wanted.contains_key(address));
        for (address, (runtime, subjects)) in wanted {
            if let Some(lookout) = self.lookouts.get(&address) {
                lookout.subjects.send_replace(subjects);
                continue;
            }
            let (subjects, listed) = watch::channel(subjects);
            let task = tokio::spawn(keep_watch(runtime, listed, self.events.clone()));
            self.lookouts.insert(address, Lookout { subjects, task });
        }
    }

    /// Ends every watcher; what they watched goes on. They only read, so they may end at any point.
    pub(super) fn end(&mut self) {
        std::mem::take(&mut self.lookouts).values().for_each(|lookout| lookout.task.abort());
    }
}

/// Watches until the list's sender is gone. A watcher that breaks must not look as if it saw nothing new.
async fn keep_watch(runtime: Arc<dyn Runtime>, subjects: watch::Receiver<Vec<Subject>>, events: mpsc::Sender<Event>) {
    let listed = subjects.clone();
    if AssertUnwindSafe(runtime.watch(subjects, events.clone())).catch_unwind().await.is_ok() {
        return;
    }
    let why = format!("the watcher of {} broke; restart the monitor", runtime.address());
    tracing::error!(runtime = runtime.address(), "{why}");
    let services: Vec<String> = listed.borrow().iter().map(|subject| subject.service.to_string()).collect();
    for service in services {
        let _ending = events.send(Event::Sight { service, lost: Some(why.clone()) }).await;
    }
}

/// Returns a service's runs as the board has them, or else as an earlier monitor left them.
pub(super) fn known_ledger(board: &Board, memory: &Memory, service: &str, now: Stamp) -> Ledger {
    let known = board.service(service).and_then(|service| service.workload.as_ref());
    let ledger = known.map(|known| known.ledger.clone()).filter(|ledger| ledger.last().is_some());
    ledger.unwrap_or_else(|| memory.ledger(service, &now))
}
