//! Watches workloads that runtimes of their own run: one task for each runtime, whatever the number of its workloads.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kit::clock::Stamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::plan::{Plan, ServicePlan};
use super::restore::Memory;
use crate::judge::{Board, WorkloadState};
use crate::supervise::workload::{Assignment, Order, Runtime, Subject, Watched, Workload};
use crate::supervise::{Command, Event};

/// Orders that wait for a watcher, at most: it takes them at once, whatever the runtime does with them.
const ORDERS_QUEUED: usize = 64;

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
    orders: mpsc::Sender<Order>,
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
            let past = known_past(board, memory, &service.name, now);
            let ledger = past.ledger.clone();
            if !before.get(&service.name).is_some_and(|before| before.is_found_like(watched)) {
                board.restore_workload(&service.name, past);
            }
            let ordered = memory.heal_record(&service.name).ordered();
            let subject = Subject { service: service.name.clone(), sought: watched.sought.clone(), ledger, ordered };
            let address = watched.runtime.address().to_owned();
            wanted.entry(address).or_insert_with(|| (watched.runtime.clone(), Vec::new())).1.push(subject);
            self.watched.insert(service.name.clone(), watched.clone());
        }
        // Whose list is dropped ends by itself.
        self.lookouts.retain(|address, _| wanted.contains_key(address));
        for (address, (runtime, subjects)) in wanted {
            if let Some(lookout) = self.lookouts.get(&address) {
                lookout.list(subjects);
                continue;
            }
            let (subjects, listed) = watch::channel(subjects);
            let (orders, ordered) = mpsc::channel(ORDERS_QUEUED);
            let assignment = Assignment { subjects: listed, orders: ordered, events: self.events.clone() };
            let task = tokio::spawn(keep_watch(runtime, assignment));
            self.lookouts.insert(address, Lookout { subjects, orders, task });
        }
    }

    /// Returns the old and new names of workloads that a plan watches by another name than the last one did.
    pub(super) fn moved(&self, plan: &Plan) -> Vec<(Arc<str>, Arc<str>)> {
        let watch = |service: &ServicePlan| service.workload.as_ref().and_then(Workload::as_watch).cloned();
        let is_left = |name: &Arc<str>, watched: &Watched| {
            plan.service(name).and_then(watch).is_none_or(|now| !now.is_found_like(watched))
        };
        let moved =
            plan.services.iter().filter(|service| !self.watched.contains_key(&service.name)).filter_map(|new| {
                let wanted = watch(new)?;
                let was =
                    |(name, watched): &(&Arc<str>, &Watched)| watched.is_found_like(&wanted) && is_left(name, watched);
                Some((self.watched.iter().find(was)?.0.clone(), new.name.clone()))
            });
        moved.collect()
    }

    /// Hands an order to whoever runs a service's workload; returns whether it was taken.
    pub(super) fn order(&self, service: &Arc<str>, command: Command) -> bool {
        let lookout = self.watched.get(service).and_then(|watched| self.lookouts.get(watched.runtime.address()));
        lookout.is_some_and(|lookout| lookout.orders.try_send(Order { service: service.clone(), command }).is_ok())
    }

    /// Ends every watcher; what they watched goes on. They only read, so they may end at any point.
    pub(super) fn end(&mut self) {
        std::mem::take(&mut self.lookouts).values().for_each(|lookout| lookout.task.abort());
    }
}

impl Lookout {
    /// Hands over the list. Only another one is told: whoever watches looks at everything anew then, and what happens at
    /// one runtime must not disturb those who watch others.
    fn list(&self, subjects: Vec<Subject>) {
        self.subjects.send_if_modified(|listed| {
            let is_same =
                listed.len() == subjects.len() && listed.iter().zip(&subjects).all(|(one, other)| one.is_like(other));
            *listed = subjects;
            !is_same
        });
    }
}

/// Watches until the list's sender is gone. A watcher that breaks must not look as if it saw nothing new.
async fn keep_watch(runtime: Arc<dyn Runtime>, assignment: Assignment) {
    let (listed, events) = (assignment.subjects.clone(), assignment.events.clone());
    if AssertUnwindSafe(runtime.watch(assignment)).catch_unwind().await.is_ok() {
        return;
    }
    let why = format!("the watcher of {} broke; restart the monitor", runtime.address());
    tracing::error!(runtime = runtime.address(), "{why}");
    let services: Vec<String> = listed.borrow().iter().map(|subject| subject.service.to_string()).collect();
    for service in services {
        let _ending = events.send(Event::Sight { service, lost: Some(why.clone()) }).await;
    }
}

/// Returns what is known of a service's runs as the board has them, or else as an earlier monitor left them.
pub(super) fn known_past(board: &Board, memory: &Memory, service: &str, now: Stamp) -> WorkloadState {
    let known = board.service(service).and_then(|service| service.workload.as_ref());
    let known = known.filter(|known| known.ledger.last().is_some()).map(WorkloadState::anew);
    known.unwrap_or_else(|| WorkloadState::restored(memory.ledger(service, &now), memory.lines(service)))
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use kit::config::Environment;

    use super::*;
    use crate::config::Config;
    use crate::probe::Kinds;
    use crate::supervise::workload::Sought;

    /// A runtime that runs nothing, and tells which lists it is given.
    #[derive(Debug)]
    struct Idle {
        address: &'static str,
        lists: mpsc::UnboundedSender<(&'static str, String)>,
    }

    impl Runtime for Idle {
        fn address(&self) -> &str {
            self.address
        }

        fn reach(&self) -> BoxFuture<'static, Result<(), String>> {
            std::future::ready(Ok(())).boxed()
        }

        fn watch(&self, mut assignment: Assignment) -> BoxFuture<'static, ()> {
            let (address, lists) = (self.address, self.lists.clone());
            async move {
                loop {
                    let names: Vec<String> = {
                        let subjects = assignment.subjects.borrow_and_update();
                        subjects.iter().map(|subject| subject.service.to_string()).collect()
                    };
                    lists.send((address, names.join(" "))).unwrap();
                    if assignment.subjects.changed().await.is_err() {
                        return;
                    }
                }
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn a_watcher_hears_of_its_own_workloads_alone() {
        let (lists, mut listed) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yml");
        let services =
            ["web", "db", "late"].map(|name| format!("{name}: {{ workload: {{ process: {{ command: [x] }} }} }}"));
        std::fs::write(&file, format!("services: {{ {} }}", services.join(", "))).unwrap();
        let mut plan = Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard()).unwrap();
        let watch = |address, name: &str| {
            let (runtime, sought) = (Arc::new(Idle { address, lists: lists.clone() }), Sought::Name(name.to_owned()));
            Workload::Watch(Watched { runtime, sought, ready_timeout: std::time::Duration::ZERO })
        };
        plan.services[0].workload = Some(watch("one", "web"));
        plan.services[1].workload = Some(watch("two", "db"));
        let (events, _happened) = mpsc::channel(1);
        let (mut lookouts, mut board, memory) = (Lookouts::new(events), Board::default(), Memory::default());
        let mut heard = Vec::new();
        lookouts.configure(&plan, &memory, &mut board, Stamp::now());
        for _ in 0..2 {
            heard.push(listed.recv().await.unwrap());
        }
        heard.sort();
        assert_eq!(heard, [("one", "web".to_owned()), ("two", "db".to_owned())]);
        // One more at one of them, after nothing at all.
        lookouts.configure(&plan, &memory, &mut board, Stamp::now());
        plan.services[2].workload = Some(watch("two", "late"));
        lookouts.configure(&plan, &memory, &mut board, Stamp::now());
        assert_eq!(listed.recv().await.unwrap(), ("two", "db late".to_owned()));
        plan.services[0].workload = Some(watch("one", "web-2"));
        lookouts.configure(&plan, &memory, &mut board, Stamp::now());
        assert_eq!(listed.recv().await.unwrap(), ("one", "web".to_owned()), "it is another container");
        lookouts.end();
    }
}
